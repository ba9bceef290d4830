"""A folder on a Ray cluster: its cost beside one process, what is lost when things die, the driver's memory.

    python benchmarks/cluster.py                       # 500 pictures: one process and Ray on the same cores
    python benchmarks/cluster.py --kills --nodes 4     # kills a worker, a machine, the command
    python benchmarks/cluster.py --memory 1000 1000000 # memory of the command's part, by number of pictures

The first runs both ways twice, one process first and last. It prints seconds from the first result to the
last, without the starts of Python and Ray, and the CPU seconds of the command with all its processes, which
other load on the machine influences less; those of Ray's runs also by process. All machines of the cluster
for `--kills` are on this one. `--memory` uses a crew that restores nothing; everything else is that of the
command: the listing of a real folder, the order of pictures, the report.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

from folder import KINDS, draw_folder
from machine import cpu_name, usable_cores

from hyperrestore.restore.file import Success
from hyperrestore.restore.hand_out import restore_stream
from hyperrestore.restore.ledger import Ledger, Outcome
from hyperrestore.restore.stream import Ahead, Found, stream_folder

TICKS = os.sysconf("SC_CLK_TCK")
NODES = Path(__file__).parents[1] / "tests" / "hosts" / "ray_nodes.py"


class CpuSeconds:
    """The CPU seconds of a process and all that descend from it, looked at several times a second."""

    def __init__(self, process: int) -> None:
        self._seen = {process: 0.0}
        self._names: dict[int, str] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.wait(0.2):
            for stat in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parent.name)):
                try:
                    fields = stat.read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                number = int(stat.parent.name)
                if number in self._seen or int(fields[1]) in self._seen:
                    self._seen[number] = (int(fields[11]) + int(fields[12])) / TICKS
                    self._names[number] = process_name(stat.parent) or self._names.get(number, "")

    def now(self) -> float:
        """The sum so far."""
        return sum(list(self._seen.values()))

    def by_name(self) -> Counter[str]:
        """The sum so far, by the names of the processes."""
        sums: Counter[str] = Counter()
        for number, seconds in list(self._seen.items()):
            sums[self._names.get(number, "")] += seconds
        return sums

    def total(self) -> float:
        """Stop, and sum up."""
        self._end.set()
        self._thread.join()
        return self.now()


def process_name(process: Path) -> str:
    """What a process is, from its command line; empty if it has ended.

    Args:
        process: Its folder in /proc.
    """
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    named = [Path(os.fsdecode(word)).name for word in words[:4]]
    return next((name for name in named if name.endswith(".py")), " ".join(named[:1]))


def timed(words: list[str]) -> dict[str, Any]:
    """Seconds of a command and of its CPUs: whole, and from the first result to the last; and its results."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "hyperrestore", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    cpu = CpuSeconds(process.pid)
    assert process.stdout is not None
    moments = []
    for _ in process.stdout:
        moments.append((time.perf_counter(), cpu.now()))
        if len(moments) == 1:
            before = cpu.by_name()
    after = cpu.by_name()
    _, said = process.communicate()
    whole_cpu = cpu.total()
    if process.returncode:
        raise SystemExit(said)
    return {
        "whole": time.perf_counter() - start,
        "results": moments[-1][0] - moments[0][0],
        "results_cpu": moments[-1][1] - moments[0][1],
        "processes": after - before,
        "cpu": whole_cpu,
        "count": len(moments),
    }


def contents(folder: Path) -> dict[Path, bytes]:
    """The files of a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def command(folder: Path, out: str, *more: str) -> list[str]:
    """A command that denoises the pictures."""
    report = str(folder / f"{out}.json")
    return [
        "denoise",
        str(folder / "in"),
        "-r",
        "-l",
        "10",
        "-o",
        str(folder / out),
        "--report",
        report,
        *more,
    ]


def run_both_ways(folder: Path) -> dict[str, dict[str, Any]]:
    """Restore the pictures by one process and by Ray, each twice: what `timed` measures, in the sum of both.

    One process is first and last, so that other load that grows or shrinks changes both alike.
    """
    runs = [
        timed(command(folder, "alone")),
        timed(command(folder, "cluster", "--cluster", "local")),
        timed(command(folder, "cluster-again", "--cluster", "local")),
        timed(command(folder, "alone-again")),
    ]
    return {
        "one process": {name: runs[0][name] + runs[3][name] for name in runs[0]},
        "Ray, local": {name: runs[1][name] + runs[2][name] for name in runs[1]},
    }


def measure_overhead(options: argparse.Namespace, folder: Path) -> None:
    """Print the times of one process and of Ray on the same cores."""
    ways = run_both_ways(folder)
    alone = ways["one process"]
    for way, seconds in ways.items():
        results, results_cpu, cpu = (
            f"{seconds[name]:.1f} s ({seconds[name] / alone[name]:.2f})"
            for name in ("results", "results_cpu", "cpu")
        )
        print(f"{way}: first to last result {results}, of CPUs {results_cpu}; with all starts {cpu} of CPUs")
    shares = ways["Ray, local"]["processes"].most_common()
    print("of CPUs, by process: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in shares))
    same = contents(folder / "alone") == contents(folder / "cluster")
    print(f"both give {'the same bytes' if same else 'DIFFERENT BYTES'}", flush=True)


def measure_kills(options: argparse.Namespace, folder: Path) -> None:
    """Print what is done again after kills, and whether the folder is that of one process."""
    timed(command(folder, "alone"))
    names = [f"machine-{number}" for number in range(options.nodes)]
    moment = random.Random(options.seed)
    nodes = subprocess.Popen(
        [sys.executable, str(NODES), *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert nodes.stdin is not None and nodes.stdout is not None
    address, *raylets = nodes.stdout.readline().split()
    for what in ("a worker", "a machine", "the command"):
        out = what.split()[-1]
        words = command(folder, out, "--cluster", address)
        process = begin(words)
        lines = [process.stdout.readline() for _ in range(moment.randint(2, options.pictures * 2 // 3))]
        time.sleep(moment.uniform(0, 0.5))
        if what == "a worker":
            os.kill(moment.choice(workers(raylets)), signal.SIGKILL)
        elif what == "a machine":
            nodes.stdin.write(f"kill {names[-1]}\nadd {names[-1]}\n")
            nodes.stdin.flush()
        else:
            process.kill()
        _, said = process.communicate()
        if what == "the command":
            _, said = begin(words).communicate()
        entries = json.loads((folder / f"{out}.json").read_text())["pictures"]
        twice = len(entries) - len({entry["source"] for entry in entries})
        same = contents(folder / out) == contents(folder / "alone")
        print(
            f"killed {what} after {len(lines)} results: {said.count('its worker died')} done again, {twice} "
            f"twice in the report, {sum(entry['status'] == 'skipped' for entry in entries)} kept, "
            f"{'the same bytes' if same else 'DIFFERENT BYTES'}",
            flush=True,
        )
    nodes.communicate()


def begin(words: list[str]) -> Any:
    """Start a command that says what happens."""
    words = [sys.executable, "-m", "hyperrestore", "-v", *words]
    # Errors go to a file: nobody reads them while results are read.
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - read when the command has ended
    process: Any = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=said, text=True)
    communicate = process.communicate

    def finish() -> tuple[str, str]:
        printed, _ = communicate()
        said.seek(0)
        return printed, said.read()

    process.communicate = finish
    return process


def workers(raylets: list[str]) -> list[int]:
    """The processes in which machines restore pictures."""
    sys.path.insert(0, str(NODES.parent))
    from ray_nodes import workers_of

    return sorted(worker for raylet in raylets for worker in workers_of(int(raylet)))


class StandIn:
    """A crew whose workers restore nothing."""

    def __init__(self) -> None:
        self.waiting: deque[Found] = deque()
        self._held: list[Found] = []

    @property
    def has_idle(self) -> bool:
        """Whether a worker has nothing to do."""
        return len(self._held) < 16

    @property
    def is_busy(self) -> bool:
        """Whether a worker has a picture."""
        return bool(self._held)

    def give(self) -> None:
        """Take a picture."""
        self._held.append(self.waiting.popleft())

    def hire(self, pictures: int) -> None:
        """Nobody else is hired."""

    def dismiss_idle(self) -> None:
        """Nobody is dismissed."""

    def end(self) -> list[tuple[Found, None]]:
        """Nothing is left."""
        return []

    def finished(self, seconds: float) -> list[tuple[Found, Outcome]]:
        """All pictures at once."""
        done, self._held = self._held, []
        return [
            (one, Success(str(one.source), str(one.target), {"denoise": 10.0}, 64, 64, 0.1, ()))
            for one in done
        ]


def measure_memory(count: int, folder: Path) -> None:
    """Print the memory for so many pictures, in a process of its own."""
    for number in range(count):
        path = folder / "many" / f"{number // 1000:04}" / f"{number:07}.png"
        if not number % 1000:
            path.parent.mkdir(parents=True)
        path.touch()
    if os.fork():
        os.wait()
        return
    start = time.perf_counter()
    ledger = Ledger()
    crew: Any = StandIn()
    for one, outcome in restore_stream(Ahead(stream_folder(folder / "many", folder / "out")), crew):
        ledger.note(one, outcome)
    ledger.write_report(folder / "report.json", models={}, settings={}, seconds=1, complete=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - start
    size = (folder / "report.json").stat().st_size / 1e6
    print(f"{count:8} pictures: {memory:.0f} MiB, {seconds:.1f} s, a report of {size:.1f} MB", flush=True)
    os._exit(0)


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--megapixels", type=float, nargs=2, default=[0.1, 1], help="smallest and largest")
    parser.add_argument("--kills", action="store_true")
    parser.add_argument("--nodes", type=int, default=4, help="machines of one CPU each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, nargs="+", metavar="COUNT")
    options = parser.parse_args()
    print(f"{cpu_name()}, {usable_cores()} cores")
    for count in options.memory or []:
        with tempfile.TemporaryDirectory() as name:
            measure_memory(count, Path(name))
    if options.memory:
        return
    with tempfile.TemporaryDirectory() as name:
        draw_folder(Path(name) / "in", options.pictures, tuple(options.megapixels), list(KINDS))
        least, most = options.megapixels
        print(f"{options.pictures} pictures of {least:g} to {most:g} megapixels", flush=True)
        (measure_kills if options.kills else measure_overhead)(options, Path(name))


if __name__ == "__main__":
    main()
