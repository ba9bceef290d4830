"""Noise and JPEG compression together: which should be repaired first?

    python benchmarks/restore_order.py PHOTOS

On photos that training holds out: Gaussian noise, stored in 8 bits, then JPEG (4:2:0). Prints the mean PSNR
of each order of repair. Sigma is the estimate of `hyperrestore.detect.noise`, except where it says "true".
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

import numpy as np

from hyperrestore import Restorer, run_tiled
from hyperrestore.arrays import Pixels
from hyperrestore.detect.findings import Compression, Findings
from hyperrestore.detect.noise import find_noise
from hyperrestore.learn.photos import find_photos, split_photos, validation_crops
from hyperrestore.level import Task
from hyperrestore.measure.degrade import jpeg
from hyperrestore.measure.metrics import psnr
from hyperrestore.run.engine import Backend

SIGMAS, QUALITIES = (0, 5, 10, 20, 40), (30, 80, 92)
WAYS = (
    "input", "JPEG only", "noise only", "JPEG, noise", "noise, JPEG", "noise, JPEG, sigma true",
    "JPEG, noise, sigma found after JPEG repair", "one network", "one network, sigma true",
)  # fmt: skip


@cache
def network(task: Task, *levels: float) -> Backend:
    """The network for its levels, generated once."""
    return Restorer.load(task).network(levels, bits=8)


def dejpeg(pixels: Pixels, quality: int) -> Pixels:
    """Repair JPEG compression."""
    return run_tiled(network(Task.DEJPEG, quality), pixels)


def denoise(pixels: Pixels, sigma: float) -> Pixels:
    """Remove noise."""
    return pixels if sigma == 0 else run_tiled(network(Task.DENOISE, float(round(min(sigma, 75)))), pixels)


def both(pixels: Pixels, sigma: float, quality: int) -> Pixels:
    """Remove noise and repair JPEG compression in one pass."""
    noise = float(round(min(sigma, 75)))
    return run_tiled(network(Task.PHOTO, noise, noise, quality), pixels)


def found(pixels: Pixels, model: Task = Task.DENOISE) -> float:
    """The noise that is estimated for a model; 0 if none is found."""
    findings = Findings(Compression(None, ""), find_noise(pixels * 255))
    return findings.levels_for(model).get(Task.DENOISE, 0.0)


def scores(clean: Pixels, sigma: int, quality: int, seed: int) -> list[float]:
    """PSNR of each order for one picture, dB."""
    noise = np.random.default_rng(seed).normal(0, sigma / 255, clean.shape)
    noisy: Pixels = (np.rint((clean + noise).clip(0, 1) * 255) / 255).astype(np.float32)
    picture = jpeg(noisy, quality)
    estimate, repaired = found(picture), dejpeg(picture, quality)
    results = (
        picture,
        repaired,
        denoise(picture, estimate),
        denoise(repaired, estimate),
        dejpeg(denoise(picture, estimate), quality),
        dejpeg(denoise(picture, sigma), quality),
        denoise(repaired, found(repaired)),
        both(picture, found(picture, Task.PHOTO), quality),
        both(picture, sigma, quality),
    )
    return [psnr(result, clean) for result in results]


def main() -> None:
    """Parse the arguments, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=16, help="number of photos, one crop of 256x256 each")
    options = parser.parse_args()
    _, held_out = split_photos(find_photos(options.photos))
    crops = validation_crops(held_out, count=options.count, size=256)
    print(f"Mean PSNR in dB on {len(crops)} photos held out of training\n")
    print(f"| sigma | quality | {' | '.join(WAYS)} |")
    print("|---" * (len(WAYS) + 2) + "|")
    for sigma in SIGMAS:
        for quality in QUALITIES:
            means = np.mean([scores(crop, sigma, quality, seed) for seed, crop in enumerate(crops)], axis=0)
            print(f"| {sigma} | {quality} | {' | '.join(f'{mean:.2f}' for mean in means)} |", flush=True)


if __name__ == "__main__":
    main()
