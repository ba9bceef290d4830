"""The workers of a Ray cluster: started where there is room, given pictures, replaced when they die."""

from __future__ import annotations

import logging
import math
import queue
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperrestore.errors import HyperrestoreError, PictureError, UsageError
from hyperrestore.restore.batch import Failure
from hyperrestore.restore.ledger import Outcome
from hyperrestore.restore.stream import Found
from hyperrestore.restore.worker import Order, Worker

if TYPE_CHECKING:
    from hyperrestore.restore.file import Success

LOOK = 2.0  # seconds between two looks at the room in the cluster
MOST_WAITING = 256  # workers that wait for machines to be added
PATIENCE = 30.0  # seconds without a worker after which that is said
MOST_DEATHS = 3  # of workers that restored the same picture, which is then taken for the cause
MOST_BAD_STARTS = 10  # of workers in a row that died before they were ready
ENDING = 10.0  # seconds that killed workers have to end

logger = logging.getLogger(__name__)


class Crew:
    """Workers of the cluster that this process is connected to.

    Each has one picture at a time. So a dead worker costs at most one picture's work, and no worker waits at
    the end while pictures lie at another. Only paths and report rows travel: machines read and write pictures
    themselves, and no pixels get into the object store.

    Args:
        order: What each of them is told first.
        cpus: CPUs that a worker takes of a machine; below 1 several workers share one.
        gpus: GPUs, likewise.
        grows: Whether machines may join, so that workers should wait for them.

    Attributes:
        waiting: Pictures that need a worker.
        died_in: Folders in which ended workers may have left unfinished files.

    Raises:
        UsageError: No machine may join, and there is no room for a worker.
    """

    def __init__(self, order: Order, *, cpus: float, gpus: float, grows: bool) -> None:
        import ray

        self._ray = ray
        self._order = asdict(order)
        self._needs = {"CPU": cpus, "GPU": gpus}
        self._grows = grows
        if not grows:
            check_room(self._needs, ray.cluster_resources())
        # Spread: the next worker starts on another machine, as long as it has room.
        self._new = ray.remote(Worker).options(
            num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        self.waiting: deque[Found] = deque()
        self._starting: set[Any] = set()
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Found, Future[Any]]] = {}
        self._events: queue.SimpleQueue[tuple[Any, Future[Any]]] = queue.SimpleQueue()
        self._deaths: dict[Found, int] = {}
        self.died_in: set[Path] = set()
        self._bad_starts = 0
        self._room, self._looked = 0, -math.inf
        self._last_ready = time.monotonic()

    @property
    def has_idle(self) -> bool:
        """Whether a worker has nothing to do."""
        return bool(self._idle)

    @property
    def is_busy(self) -> bool:
        """Whether a worker restores a picture."""
        return bool(self._busy)

    def hire(self, pictures: int) -> None:
        """Start workers where there is room, and let some wait for more.

        A cluster that scales itself adds machines for workers that wait, as many again as there are.

        Args:
            pictures: How many are known to need a worker; no more are started.
        """
        now = time.monotonic()
        if now - self._looked > LOOK:
            self._looked = now
            free = self._ray.available_resources()
            self._room = min(int(free.get(name, 0) / need) for name, need in self._needs.items() if need)
        ready = len(self._idle) + len(self._busy)
        waiting = min(max(1, ready), MOST_WAITING) if self._grows or not ready else 0
        wanted = min(max(self._room, waiting), pictures)
        while len(self._starting) < wanted:
            worker = self._new.remote()
            self._starting.add(worker)
            self._listen(worker, worker.prepare.remote(self._order))
        if not ready and now - self._last_ready > PATIENCE:
            self._last_ready = now
            logger.warning("the cluster has no room for a worker yet: each needs %s", _needs(self._needs))

    def give(self) -> None:
        """Let an idle worker restore the picture that waits longest."""
        worker, picture = self._idle.pop(), self.waiting.popleft()
        again = picture in self._deaths
        reference = worker.restore.remote(picture.source, picture.target, again)
        self._busy[worker] = picture, self._listen(worker, reference)

    def _listen(self, worker: Any, reference: Any) -> Future[Any]:
        future: Future[Any] = reference.future()
        future.add_done_callback(lambda done: self._events.put((worker, done)))
        return future

    def dismiss_idle(self) -> None:
        """End the workers that have nothing to do, so that others can use their machines."""
        for worker in (*self._idle, *self._starting):
            self._ray.kill(worker)
        self._idle.clear()
        self._starting.clear()

    def finished(self, seconds: float) -> list[tuple[Found, Outcome]]:
        """Wait for something to happen; a picture whose worker died waits again.

        Args:
            seconds: The longest wait.

        Returns:
            The picture that was finished, with what became of it, if that is what happened.

        Raises:
            HyperrestoreError: A worker refuses to start; the same holds for all others there.
        """
        try:
            worker, future = self._events.get(timeout=seconds)
        except queue.Empty:
            return []
        if worker in self._starting:
            self._starting.remove(worker)
            self._welcome(worker, future)
        elif worker in self._busy:
            picture, _ = self._busy.pop(worker)
            outcome = self._outcome(worker, picture, future)
            if outcome is not None:
                return [(picture, outcome)]
            self.waiting.append(picture)
        return []

    def _welcome(self, worker: Any, future: Future[Any]) -> None:
        """Take a worker that is ready, or say why it is not."""
        error = future.exception()
        if error is None:
            self._bad_starts = 0
            self._last_ready = time.monotonic()
            self._idle.append(worker)
            logger.info("a worker is ready on %s", future.result())
            return
        cause = getattr(error, "cause", None)
        if isinstance(cause, HyperrestoreError):
            raise type(cause)(str(cause))
        self._bad_starts += 1
        if _is_foreign(error):
            wanted = self._order["versions"]["hyperrestore"]
            raise UsageError(
                f"a machine of the cluster cannot import hyperrestore {wanted} ({_last_line(error)}); "
                "install the same version on all machines"
            )
        if self._bad_starts >= MOST_BAD_STARTS:
            raise PictureError(
                f"workers end when they start ({_last_line(error)}); look at the logs of the cluster"
            )
        logger.info("a worker could not start: %s", _last_line(error))

    def _outcome(self, worker: Any, picture: Found, future: Future[Any]) -> Outcome | None:
        """What became of a picture; None if its worker died."""
        error = future.exception()
        if error is None:
            self._idle.append(worker)
            self._deaths.pop(picture, None)
            result: Success | Failure | None = future.result()
            return result or "skipped"  # it was made by someone else meanwhile
        if isinstance(error, self._ray.exceptions.RayTaskError):  # not the worker's end, but an error in it
            self._idle.append(worker)
            return _failure(picture, _last_line(error))
        self._ray.kill(worker)  # it may only be out of reach
        self._note_place(picture)
        deaths = self._deaths[picture] = self._deaths.get(picture, 0) + 1
        logger.info("%s: its worker died (%s)", picture.source, _last_line(error))
        if deaths < MOST_DEATHS:
            return None
        del self._deaths[picture]
        return _failure(picture, f"{deaths} workers died with it, perhaps for lack of memory")

    def _note_place(self, picture: Found) -> None:
        if isinstance(picture.target, Path):
            self.died_in.add(picture.target.parent)

    def end(self) -> list[tuple[Found, Success | Failure | None]]:
        """End all workers at once; what they have not finished is abandoned.

        Returns:
            The pictures that they had, each with its result if that was complete; else None.
        """
        for worker in (*self._busy, *self._idle, *self._starting):
            self._ray.kill(worker)
        wait_for([future for _, future in self._busy.values()], timeout=ENDING)
        ended = [
            (picture, future.result() if future.done() and not future.exception() else None)
            for picture, future in self._busy.values()
        ]
        for picture, _ in ended:
            self._note_place(picture)
        for workers in (self._busy, self._idle, self._starting):
            workers.clear()
        return ended


def check_room(needs: Mapping[str, float], there: Mapping[str, float]) -> None:
    """Refuse workers that would wait for ever.

    Args:
        needs: What each takes of a machine, by resource.
        there: What all machines have.

    Raises:
        UsageError: It is less.
    """
    for name, need in needs.items():
        if need > there.get(name, 0):
            less = {"CPU": "give fewer --worker-cpus", "GPU": "give --device auto or cpu"}[name]
            raise UsageError(
                f"this machine has {there.get(name, 0):g} {name}, a worker needs {need:g}; {less}"
            )


def _failure(picture: Found, why: str) -> Failure:
    error = PictureError(f"{picture.source}: cannot be restored ({why})")
    return Failure(str(picture.source), str(picture.target), error)


def _is_foreign(error: BaseException) -> bool:
    """Whether a machine has another version, or none: it then lacks a module, or a name in it."""
    text = str(error)
    return any(name in text for name in ("ModuleNotFoundError", "ImportError", "AttributeError", "TypeError"))


def _last_line(error: BaseException) -> str:
    """What an error of Ray says; before that stands where it was raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _needs(needs: dict[str, float]) -> str:
    return " and ".join(f"{need:g} {name}" for name, need in needs.items() if need)
