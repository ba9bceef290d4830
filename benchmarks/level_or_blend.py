"""Is a level better than a blend of result and input that leaves as much noise?

    python benchmarks/level_or_blend.py PHOTOS

On photos that training holds out, with Gaussian noise. The noise left is its share in the error of the
result: the slope of a linear regression. Two questions, answered by mean PSNR and SSIM:

1. The network is too strong for the picture. Is blending its result with the input as good, if as much noise
   is left as at the true level?
2. More noise is wanted than the true level leaves. Is a weaker level better (found by bisection), or the
   result of the true level blended with the input, or with its luminance alone (grain)?
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hyperrestore import Restorer
from hyperrestore.arrays import Pixels
from hyperrestore.learn.photos import find_photos, split_photos, validation_crops
from hyperrestore.measure.metrics import psnr, ssim

SIGMAS, STRONGER, WEIGHTS = (10, 25, 50), (25, 50, 75), (0.1, 0.2, 0.3, 0.5)
STEPS = 8  # of the bisection: the level is then known to a 256th of sigma


def left(results: list[Pixels], clean: list[Pixels], noise: list[Pixels]) -> float:
    """The share of the noise that is left in a result."""
    products = [
        (float(((result - truth) * part).sum()), float((part * part).sum()))
        for result, truth, part in zip(results, clean, noise, strict=True)
    ]
    return sum(product for product, _ in products) / sum(power for _, power in products)


def blend(weight: float, noisy: list[Pixels], results: list[Pixels]) -> list[Pixels]:
    """The results, with that share of the input in them."""
    return [weight * before + (1 - weight) * after for before, after in zip(noisy, results, strict=True)]


def score(results: list[Pixels], clean: list[Pixels]) -> str:
    """Mean PSNR and SSIM, as two cells."""
    pairs = list(zip([result.clip(0, 1) for result in results], clean, strict=True))
    decibels = np.mean([psnr(result, truth) for result, truth in pairs])
    similarity = np.mean([ssim(result, truth) for result, truth in pairs])
    return f"{decibels:.2f} | {similarity:.4f}"


def main() -> None:
    """Parse the arguments, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=12, help="number of photos, one crop of 256x256 each")
    options = parser.parse_args()
    _, held_out = split_photos(find_photos(options.photos))
    clean = list(validation_crops(held_out, count=options.count, size=256))
    restorer = Restorer.load("denoise")
    stronger, weaker = [], []
    for sigma in SIGMAS:
        random = np.random.default_rng(sigma)
        noise = [random.normal(0, sigma / 255, truth.shape).astype(np.float32) for truth in clean]
        noisy = [(truth + part).clip(0, 1) for truth, part in zip(clean, noise, strict=True)]

        def restored(level: float, grain: float = 0.0, noisy: list[Pixels] = noisy) -> list[Pixels]:
            return [restorer(picture, level, grain=grain) for picture in noisy]

        true = restored(sigma)
        least, most = left(true, clean, noise), left(noisy, clean, noise)
        for strong in (level for level in STRONGER if level > sigma):
            results = restored(strong)
            weight = (least - left(results, clean, noise)) / (most - left(results, clean, noise))
            cells = f"{score(true, clean)} | {weight:.2f} | {score(blend(weight, noisy, results), clean)}"
            stronger.append(f"| {sigma} | {least:.0%} | {strong} | {cells} |")
        for weight in WEIGHTS:
            share = least + weight * (most - least)
            low, high = 0.0, float(sigma)
            for _ in range(STEPS):
                level = (low + high) / 2
                results = restored(level)
                low, high = (level, high) if left(results, clean, noise) > share else (low, level)
            cells = f"{score(results, clean)} | {score(blend(weight, noisy, true), clean)}"
            weaker.append(
                f"| {sigma} | {share:.0%} | {level:.1f} | {cells} | {score(restored(sigma, weight), clean)} |"
            )
    print("| sigma | noise left | network for | true level: PSNR | SSIM | weight | blend: PSNR | SSIM |")
    print("|---|---|---|---|---|---|---|---|", *stronger, sep="\n")
    print("\n| sigma | noise left | weaker level | PSNR | SSIM | blend: PSNR | SSIM | grain: PSNR | SSIM |")
    print("|---|---|---|---|---|---|---|---|---|", *weaker, sep="\n")


if __name__ == "__main__":
    main()
