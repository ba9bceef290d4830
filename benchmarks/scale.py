"""What many machines do in a day: the stages of a picture measured here, and a simulation of machines.

    python benchmarks/scale.py                      # measures, checks against real runs, simulates
    python benchmarks/scale.py --no-check           # without the runs
    python benchmarks/scale.py --megabytes-per-second 1000 --price 0.03   # of your storage, of a core-hour

Stages are CPU seconds of one core, so that other load on the machine matters little; reading and writing of a
file that is in memory cost next to nothing, and a storage is what bounds them: every picture passes it, one
after the other, at its bandwidth. The checks compare CPU seconds, too.
"""

from __future__ import annotations

import argparse
import heapq
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster import run_both_ways
from folder import KINDS, draw_folder
from machine import cpu_name, usable_cores
from markdown import grid

from hyperrestore import Restorer
from hyperrestore.picture.reader import open_picture
from hyperrestore.picture.writer import create_picture
from hyperrestore.restore.assembly import stored
from hyperrestore.run.engine import TILE, restore_rows
from hyperrestore.run.openvino import limit_threads

DAY = 86_400.0  # seconds
STAGES = ("read", "decode", "infer", "encode", "write")


@dataclass(frozen=True)
class Picture:
    """What one picture costs, on average.

    Attributes:
        seconds: CPU seconds, by stage.
        bytes_in: That are read.
        bytes_out: That are written.
        megapixels: Its size.
    """

    seconds: dict[str, float]
    bytes_in: float
    bytes_out: float
    megapixels: float

    @property
    def cpu(self) -> float:
        """CPU seconds in all."""
        return sum(self.seconds.values())


def measure(paths: list[Path], folder: Path, level: float) -> Picture:
    """Measure the stages on pictures, each by itself."""
    limit_threads(1)
    restorer = Restorer.load("denoise")
    seconds = dict.fromkeys(STAGES, 0.0)
    sizes = [_measure_one(restorer, path, folder, level, seconds) for path in paths]
    count = len(paths)
    bytes_in, bytes_out, megapixels = (sum(values) / count for values in zip(*sizes, strict=True))
    return Picture({name: value / count for name, value in seconds.items()}, bytes_in, bytes_out, megapixels)


def _measure_one(
    restorer: Restorer, path: Path, folder: Path, level: float, seconds: dict[str, float]
) -> tuple[float, float, float]:
    """Add the seconds of a picture; return the bytes of its files, and its megapixels."""

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        seconds[name] += time.process_time() - start

    with stage("read"):
        content = path.read_bytes()
    target = folder / path.name
    with open_picture(path) as reader:
        info = reader.info
        with stage("decode"):
            rows = reader.rows(0, info.height)
        with stage("infer"):
            backend = restorer.at(level, bits=info.bits, pixels=info.width * info.height)
            whole = {"height": info.height, "width": info.width, "size": TILE}
            restored = list(restore_rows(backend, lambda top, bottom: rows[:, top:bottom], **whole))
        with (
            stage("encode"),
            create_picture(target, reader, width=info.width, height=info.height) as writer,
        ):
            for one in restored:
                writer.write(stored(one, info.dtype))
    made = target.read_bytes()
    with stage("write"):
        (folder / "again").write_bytes(made)
    return len(content), len(made), info.width * info.height / 1e6


def simulate(picture: Picture, *, cores: int, bandwidth: float, pictures_each: int = 200) -> float:
    """Pictures a second of so many cores that share a storage.

    Each core reads a picture, restores it and writes it; the storage serves one transfer after the other.

    Args:
        picture: What each costs.
        cores: That work.
        bandwidth: Of the storage, bytes a second.
        pictures_each: How many each core restores.
    """
    moments = [(picture.cpu * core / cores, core, "read") for core in range(cores)]  # starts are spread
    heapq.heapify(moments)
    left = dict.fromkeys(range(cores), pictures_each)
    free = 0.0  # when the storage is
    done, last = 0, 0.0
    while moments:
        now, core, what = heapq.heappop(moments)
        size = picture.bytes_in if what == "read" else picture.bytes_out
        free = max(free, now) + size / bandwidth
        if what == "read":
            heapq.heappush(moments, (free + picture.cpu, core, "write"))
            continue
        done, last = done + 1, free
        left[core] -= 1
        if left[core]:
            heapq.heappush(moments, (free, core, "read"))
    return done / last


def bottleneck(picture: Picture, cores: int, bandwidth: float) -> str:
    """What bounds so many cores: the storage, or the stage of the CPU that takes longest."""
    if cores / picture.cpu > bandwidth / (picture.bytes_in + picture.bytes_out):
        return "storage"
    return max(STAGES, key=lambda name: picture.seconds[name])


def check(picture: Picture, folder: Path, count: int) -> None:
    """Print how far real runs are from the sum of the stages, and Ray from one process."""
    found = {}
    for way, runs in run_both_ways(folder).items():
        found[way] = runs["results_cpu"] / (2 * (count - 1))
        print(
            f"{way}: {found[way]:.3f} s of CPU a picture between the first result and the last, the stages "
            f"{picture.cpu:.3f} s: {found[way] / picture.cpu - 1:+.0%}; with all starts {runs['cpu']:.1f} s",
            flush=True,
        )
    print(f"Ray takes {found['Ray, local'] / found['one process']:.2f} times the CPU of one process")


def main() -> None:
    """Measure, check, simulate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--megapixels", type=float, nargs=2, default=[0.5, 12], help="smallest and largest")
    parser.add_argument("--level", type=float, default=10)
    parser.add_argument("--cores", type=int, default=16, help="of a machine")
    parser.add_argument("--megabytes-per-second", type=float, default=1000, help="of the storage")
    parser.add_argument("--price", type=float, help="of a core-hour")
    parser.add_argument("--no-check", action="store_true")
    options = parser.parse_args()
    bandwidth = options.megabytes_per_second * 1e6
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = draw_folder(folder / "in", options.pictures, tuple(options.megapixels), list(KINDS))
        (folder / "out").mkdir()
        picture = measure(paths, folder / "out", options.level)
        print(f"{cpu_name()}, {usable_cores()} cores used, {len(paths)} pictures of all kinds")
        print(
            f"a picture: {picture.megapixels:.2f} megapixels, {picture.bytes_in / 1e6:.2f} MB read, "
            f"{picture.bytes_out / 1e6:.2f} MB written"
        )
        print(grid(["stage", "CPU seconds", "share"], [
            [name, f"{value:.4f}", f"{value / picture.cpu:.1%}"] for name, value in picture.seconds.items()
        ]))  # fmt: skip
        if not options.no_check:
            check(picture, folder, len(paths))
    lines = []
    for what, cores in (
        ("a core", 1),
        ("a machine", options.cores),
        ("10 machines", 10 * options.cores),
        ("100 machines", 100 * options.cores),
    ):
        rate = simulate(picture, cores=cores, bandwidth=bandwidth)
        alone = simulate(picture, cores=cores, bandwidth=1e18)
        traffic = rate * (picture.bytes_in + picture.bytes_out) / 1e6
        bound = bottleneck(picture, cores, bandwidth)
        lines.append(
            [what, str(cores), f"{rate * DAY:,.0f}", f"{alone * DAY:,.0f}", f"{traffic:,.0f}", bound]
        )
    head = ["", "cores", "pictures a day", "with an unlimited storage", "MB/s", "bound by"]
    print(f"\nsimulated, with a storage of {options.megabytes_per_second:g} MB/s:")
    print(grid(head, lines))
    most = bandwidth * picture.cpu / (picture.bytes_in + picture.bytes_out)
    print(f"the storage is full at {most:,.0f} cores; above that, more cores restore nothing more")
    hours = 1e15 / picture.bytes_in * picture.cpu / 3600
    print(f"a petabyte: {1e15 / picture.bytes_in:,.0f} pictures, {hours:,.0f} core-hours")
    if options.price is not None:
        print(f"at {options.price:g} for a core-hour: {hours * options.price:,.0f}")


if __name__ == "__main__":
    main()
