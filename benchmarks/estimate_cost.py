"""PSNR lost by restoring at the estimated level instead of the true one.

    python benchmarks/estimate_cost.py TEST                    # the folder with CBSD68 and LIVE1
    python benchmarks/estimate_cost.py TEST --count 8          # 8 pictures of each only

Noise: CBSD68, colour, both protocols of `evaluate`. JPEG: LIVE1, colour, 4:2:0. The quality is estimated from
the pixels, stored as PNG, or read from the JPEG file. The last column is for everything that `restore` does
to that file, so it also counts noise that is found where there is none. The estimates are those that the
command line uses: a picture that it leaves alone is scored as it is.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from hyperrestore import Restorer, read_picture, run_tiled
from hyperrestore.arrays import Pixels
from hyperrestore.detect.findings import Compression, Findings, inspect
from hyperrestore.detect.noise import find_noise
from hyperrestore.level import Task
from hyperrestore.measure.degrade import Protocol, gaussian_noise
from hyperrestore.measure.metrics import psnr, to_8bit
from hyperrestore.measure.pictures import find_pictures
from hyperrestore.run.engine import Backend

SIGMAS = (5, 10, 15, 25, 35, 50, 75)
QUALITIES = (10, 20, 30, 40, 50, 60, 70, 80, 90)
LIMIT = 0.1  # dB


@lru_cache(maxsize=32)
def network(task: Task, level: float) -> Backend:
    """The network for one level, as the command line uses it for 8-bit pictures."""
    restorer = Restorer.load(task)
    least, most = restorer.scale.trained
    return restorer.at(min(max(level, least), most), bits=8)


def score(degraded: Pixels, levels: dict[Task, float], clean: Pixels) -> float:
    """PSNR after restoring at these levels, dB; the result is rounded to 8 bits."""
    for task, level in levels.items():
        degraded = run_tiled(network(task, float(level)), degraded)
    return psnr(to_8bit(degraded), clean)


def noise_row(pictures: Sequence[Path], sigma: int, protocol: Protocol) -> list[float]:
    """Means: PSNR at the true level, sigma found, its mean error, PSNR lost."""
    rows = []
    for path in pictures:
        clean = read_picture(path).pixels
        random = np.random.default_rng([zlib.crc32(path.name.encode()), sigma])
        noisy = gaussian_noise(clean, sigma, random, protocol=protocol)
        levels = Findings(Compression(None, ""), find_noise(noisy * 255)).levels
        found = levels.get(Task.DENOISE, 0.0)
        best = score(noisy, {Task.DENOISE: sigma}, clean)
        rows.append((best, found, abs(found - sigma), best - score(noisy, levels, clean)))
    return list(np.mean(rows, axis=0))


def jpeg_row(pictures: Sequence[Path], quality: int, folder: Path) -> list[float]:
    """Means: PSNR at the true level, error from pixels, PSNR lost by pixels, file and `restore`."""
    rows = []
    for path in pictures:
        clean = read_picture(path).pixels
        file, copy = folder / "a.jpg", folder / "a.png"
        picture = Image.fromarray((clean.transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8))
        picture.save(file, quality=quality, subsampling="4:2:0")
        with Image.open(file) as decoded:  # as `evaluate` decodes
            decoded.save(copy)
        degraded = read_picture(copy).pixels
        seen, known = inspect(copy), inspect(file)
        best = score(degraded, {Task.DEJPEG: quality}, clean)
        lost = [
            best - (best if levels == {Task.DEJPEG: quality} else score(degraded, levels, clean))
            for levels in (only_jpeg(seen), only_jpeg(known), known.levels)
        ]
        rows.append((best, abs((seen.compression.quality or 100) - quality), *lost))
    return list(np.mean(rows, axis=0))


def only_jpeg(findings: Findings) -> dict[Task, float]:
    """The level at which `dejpeg` would repair."""
    return {task: level for task, level in findings.levels.items() if task == Task.DEJPEG}


def line(*cells: object) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(f'{cell:.2f}' if isinstance(cell, float) else str(cell) for cell in cells)} |"


def main() -> None:
    """Parse the arguments, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("test", type=Path)
    parser.add_argument("--count", type=int, help="pictures of each set, evenly spread; default all")
    options = parser.parse_args()
    sets = []
    for name in ("CBSD68", "LIVE1"):
        pictures = find_pictures(options.test / name)
        chosen = pictures[:: max(1, len(pictures) // options.count)] if options.count else pictures
        sets.append(chosen)
        print(f"{name}: {len(chosen)} of {len(pictures)} pictures, whole")
    noisy, compressed = sets
    losses = []
    head = ("protocol", "sigma", "PSNR, dB", "sigma found", "mean error", "lost, dB")
    print(f"\n{line(*head)}\n{'|---' * len(head)}|")
    protocols: tuple[Protocol, ...] = ("standard", "hyperres")
    for protocol in protocols:
        for sigma in SIGMAS:
            row = noise_row(noisy, sigma, protocol)
            print(line(protocol, sigma, *row), flush=True)
            losses.append(row[-1])
    head = ("quality", "PSNR, dB", "mean error from pixels", "lost: pixels", "lost: file", "lost: restore")
    print(f"\n{line(*head)}\n{'|---' * len(head)}|")
    with TemporaryDirectory() as folder:
        for quality in QUALITIES:
            row = jpeg_row(compressed, quality, Path(folder))
            print(line(quality, *row), flush=True)
            losses.extend(row[2:])
    over = sum(loss > LIMIT for loss in losses)
    print(f"\nMost that is lost: {max(losses):.2f} dB; {over} of {len(losses)} lose more than {LIMIT} dB")


if __name__ == "__main__":
    main()
