"""Folders of mixed pictures: speed relative to the network alone, and peak memory.

    python benchmarks/folder.py                                    # 24 pictures of 0.1 to 6 megapixels
    python benchmarks/folder.py --pictures 40 --megapixels 0.1 24  # like holidays and archives
    python benchmarks/folder.py --kinds jpg png tif                # some formats only
    python benchmarks/folder.py --memory --megapixels 100          # peak memory by format

The network's own speed is that of `restore_rows` alone, on decoded pictures in memory. `restore_files` reads,
restores and writes the folder in the same process with the same restorer: the whole folder at once, and one
picture after the other. The three take turns, and the shortest time of several rounds counts, which limits
the influence of other load. Memory is the largest resident size of a whole `hyperrestore` process. The
pictures are synthetic: noise at several scales, and sensor noise.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyvips

from hyperrestore import Restorer
from hyperrestore.picture.reader import open_picture
from hyperrestore.restore.batch import restore_files
from hyperrestore.restore.file import Success, restore_file
from hyperrestore.run.engine import TILE, restore_rows

# By name: suffix, bits, and the options with which libvips saves it.
KINDS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "jpg": (".jpg", 8, {"Q": 92}),
    "progressive": (".jpg", 8, {"Q": 85, "interlace": True}),
    "png": (".png", 8, {"compression": 1}),
    "png16": (".png", 16, {"compression": 1}),
    "tif": (".tif", 8, {"compression": "lzw"}),
    "tif16": (".tif", 16, {}),
    "webp": (".webp", 8, {"Q": 90, "effort": 2}),
    "avif": (".avif", 8, {"Q": 80, "effort": 0}),
}
LARGEST_SIDE = {".webp": 16_383, ".avif": 16_384}


def draw(path: Path, width: int, height: int, bits: int, *, seed: int, options: dict[str, Any]) -> None:
    """Write a picture, the same for the same seed; it is computed while it is written."""
    bands = []
    for band in range(3):
        image = pyvips.Image.gaussnoise(width, height, sigma=8, seed=8 * seed + band)
        for cell, size in ((512, 50), (64, 25), (9, 12)):
            image += size * pyvips.Image.perlin(width, height, cell_size=cell, seed=8 * seed + 3)
        bands.append(image + 110 + 20 * band)
    picture = bands[0].bandjoin(bands[1:])
    if bits == 16:
        picture = (picture * 257).cast("ushort").copy(interpretation="rgb16")
    else:
        picture = picture.cast("uchar").copy(interpretation="srgb")
    picture.write_to_file(os.fspath(path), **options)


def draw_folder(
    folder: Path, count: int, megapixels: tuple[float, float], kinds: Sequence[str], *, seed: int = 0
) -> list[Path]:
    """Write pictures of all kinds in turn, with sizes spread evenly on a logarithmic scale."""
    generator = random.Random(seed)
    least, most = (math.log(size * 1e6) for size in megapixels)
    paths = []
    for number in range(count):
        suffix, bits, options = KINDS[kinds[number % len(kinds)]]
        pixels, ratio = math.exp(generator.uniform(least, most)), generator.choice([2 / 3, 3 / 4, 1, 3 / 2])
        width = min(round(math.sqrt(pixels * ratio)), LARGEST_SIDE.get(suffix, 65_500))
        height = min(round(pixels / width), LARGEST_SIDE.get(suffix, 65_500))
        path = folder / f"{number % 7}" / f"{number:05}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(path, width, height, bits, seed=number, options=options)
        paths.append(path)
    return paths


def network_seconds(restorer: Restorer, paths: Sequence[Path], level: float) -> float:
    """The time that the network alone takes for the pictures, seconds."""
    seconds = 0.0
    for path in paths:
        with open_picture(path) as reader:
            info = reader.info
            rows = reader.rows(0, info.height)
        backend = restorer.at(level, bits=info.bits)
        read = functools.partial(_cut, rows)
        start = time.perf_counter()
        for _ in restore_rows(backend, read, height=info.height, width=info.width, size=TILE):
            pass
        seconds += time.perf_counter() - start
    return seconds


def _cut(rows: Any, top: int, bottom: int) -> Any:
    return rows[:, top:bottom]


def folder_seconds(
    restorer: Restorer, paths: Sequence[Path], level: float, out: Path, *, together: bool
) -> float:
    """The time that the folder takes from files to files, seconds."""
    shutil.rmtree(out, ignore_errors=True)
    pairs = [(path, out / path.parent.name / path.name) for path in paths]
    restore = functools.partial(restore_file, restorer, level=level)
    start = time.perf_counter()
    for results in _batches(restore, pairs, together):
        for result in results:
            if not isinstance(result, Success):
                raise SystemExit(f"failed: {result.error}")
    return time.perf_counter() - start


def _batches(restore: Any, pairs: Sequence[tuple[Path, Path]], together: bool) -> Iterator[Any]:
    if together:
        yield restore_files(restore, pairs, make_folders=True)
        return
    for pair in pairs:
        yield restore_files(restore, [pair], make_folders=True)


def peak_memory(words: Sequence[str]) -> tuple[float, float]:
    """Gigabytes and seconds of a whole command."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "hyperrestore.cli.main", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the command failed: {' '.join(words)}")
    return usage.ru_maxrss * 1024 / 1e9, time.perf_counter() - start


def measure_speed(options: argparse.Namespace, kinds: Sequence[str], folder: Path) -> None:
    """Print the seconds of the network, of the folder, and one after the other."""
    paths = draw_folder(folder / "in", options.pictures, tuple(options.megapixels), kinds)
    restorer = Restorer.load("denoise", precision=options.precision)
    ways: dict[str, list[float]] = {"network": [], "folder": [], "one by one": []}
    total = 0.0
    for path in paths:
        with open_picture(path) as reader:
            total += reader.info.width * reader.info.height / 1e6
    print(f"{len(paths)} pictures, {total:.1f} megapixels: {' '.join(kinds)}", flush=True)
    for number in range(options.rounds):
        ways["network"].append(network_seconds(restorer, paths, options.level))
        ways["folder"].append(folder_seconds(restorer, paths, options.level, folder / "out", together=True))
        ways["one by one"].append(
            folder_seconds(restorer, paths, options.level, folder / "alone", together=False)
        )
        print(f"round {number + 1}: " + ", ".join(f"{w} {s[-1]:.2f} s" for w, s in ways.items()), flush=True)
    least = {way: min(seconds) for way, seconds in ways.items()}
    for way, seconds in least.items():
        print(f"{way:11} {seconds:7.2f} s   {least['network'] / seconds:.2f} of the network's own speed")
    same = all(
        (folder / "out" / path.parent.name / path.name).read_bytes()
        == (folder / "alone" / path.parent.name / path.name).read_bytes()
        for path in paths
    )
    print(f"folder and one by one give {'the same bytes' if same else 'DIFFERENT BYTES'}")
    words = ["denoise", str(folder / "in"), "-o", str(folder / "third"), "-r"]
    words += ["-l", f"{options.level:g}", "--precision", options.precision]
    memory, seconds = peak_memory(words)
    print(f"peak memory of the command {memory:.2f} GB ({seconds:.1f} s with its start)", flush=True)


def measure_memory(options: argparse.Namespace, kinds: Sequence[str], folder: Path) -> None:
    """Print the peak memory for a batch of two pictures of each kind."""
    for kind in kinds:
        suffix, bits, saving = KINDS[kind]
        for pixels in (size * 1e6 for size in options.megapixels):
            width = min(round(math.sqrt(pixels * 2 / 3)), LARGEST_SIDE.get(suffix, 65_500))
            height = min(round(pixels / width), LARGEST_SIDE.get(suffix, 65_500))
            source = folder / f"in-{kind}"
            source.mkdir(exist_ok=True)
            for number in range(options.pictures):
                draw(source / f"{number}{suffix}", width, height, bits, seed=number, options=saving)
            for to in options.to or [suffix[1:]]:
                out = folder / "out"
                words = ["denoise", str(source), "-o", str(out), "-r", "-f", to]
                words += ["-l", f"{options.level:g}", "--precision", options.precision]
                memory, seconds = peak_memory(words)
                shutil.rmtree(out)
                print(
                    f"{options.pictures} x {kind:11} to {to:4} {bits:2} bit  {width}x{height} "
                    f"({width * height / 1e6:.0f} MP)  {seconds:7.1f} s  peak {memory:.2f} GB",
                    flush=True,
                )
            shutil.rmtree(source)


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument(
        "--megapixels",
        type=float,
        nargs="+",
        default=[0.1, 6],
        help="smallest and largest; for --memory, each of them",
    )
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--level", type=float, default=10)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="measure memory of large pictures")
    parser.add_argument("--to", nargs="+", help="for --memory: formats to write; default: that of the input")
    parser.add_argument("--work", type=Path, help="folder for temporary files")
    options = parser.parse_args()
    print(f"{os.cpu_count()} CPUs; OpenVINO, level {options.level:g}, precision {options.precision}")
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        (measure_memory if options.memory else measure_speed)(options, options.kinds, Path(name))


if __name__ == "__main__":
    main()
