"""How much work the server has and had, in the form that Prometheus reads."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_args

from hyperrestore.errors import MissingExtraError
from hyperrestore.web.messages import State

if TYPE_CHECKING:
    from hyperrestore.web.shared import Shared

Result = TypeVar("Result")
Words = ParamSpec("Words")

STAGES = ("decode", "view", "save", "encode")


class Stages:
    """How often each stage of the work was gone through, and how many seconds it took; threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(STAGES, 0)
        self._seconds = dict.fromkeys(STAGES, 0.0)

    def timed(self, stage: str, call: Callable[Words, Result]) -> Callable[Words, Result]:
        """The same function, whose time counts for a stage, also if it fails."""

        def measured(*words: Words.args, **options: Words.kwargs) -> Result:
            start = time.perf_counter()
            try:
                return call(*words, **options)
            finally:
                seconds = time.perf_counter() - start
                with self._lock:
                    self._counts[stage] += 1
                    self._seconds[stage] += seconds

        return measured

    def totals(self) -> dict[str, tuple[int, float]]:
        """By stage, how often and for how many seconds."""
        with self._lock:
            return {stage: (self._counts[stage], self._seconds[stage]) for stage in STAGES}


def exposition(shared: Shared) -> tuple[bytes, str]:
    """What Prometheus reads, and its media type; on the application's thread.

    Raises:
        MissingExtraError: The library for it is not installed.
    """
    try:
        import prometheus_client
    except ImportError as error:
        raise MissingExtraError(
            "metrics need prometheus-client: pip install 'hyperrestore[metrics]'"
        ) from error
    registry = prometheus_client.CollectorRegistry()
    registry.register(_Collector(shared))
    return prometheus_client.generate_latest(registry), prometheus_client.CONTENT_TYPE_LATEST


class _Collector:
    """Reads the state of the server when Prometheus asks."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def collect(self) -> Iterator[Any]:
        """The metrics, each with its samples."""
        from prometheus_client.core import GaugeMetricFamily, SummaryMetricFamily

        shared = self._shared
        pages = shared.pages.all()
        yield GaugeMetricFamily("hyperrestore_pages", "Open pages.", value=len(pages))
        counts = Counter(job.state for page in pages for job in page.jobs.values())
        jobs = GaugeMetricFamily("hyperrestore_jobs", "Jobs of open pages, by state.", labels=["state"])
        for state in get_args(State):
            jobs.add_metric([state], counts[state])
        yield jobs
        queue = GaugeMetricFamily("hyperrestore_queue_length", "Calls that wait.", labels=["queue"])
        queue.add_metric(["views"], shared.views.waiting())
        queue.add_metric(["jobs"], shared.renders.waiting())
        yield queue
        stages = SummaryMetricFamily("hyperrestore_stage_seconds", "Time of each stage.", labels=["stage"])
        for stage, (count, seconds) in shared.stages.totals().items():
            stages.add_metric([stage], count, seconds)
        yield stages
        memory = GaugeMetricFamily(
            "hyperrestore_resident_memory_bytes", "Memory of the server and its workers.", labels=["process"]
        )
        for name, number in _processes(shared):
            resident = resident_bytes(number)
            if resident is not None:
                memory.add_metric([name], resident)
        yield memory


def _processes(shared: Shared) -> list[tuple[str, int]]:
    workers = enumerate(shared.restoring.processes(), 1)
    return [("server", os.getpid()), *((f"worker {index}", number) for index, number in workers)]


def resident_bytes(number: int) -> int | None:
    """The memory that a process holds, bytes; None where that cannot be told, as on all but Linux."""
    try:
        pages = Path(f"/proc/{number}/statm").read_text().split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
