"""Effects of a wrong level: it may remove detail or leave noise, but it must preserve tones.

    python benchmarks/wrong_level.py PHOTOS
    python benchmarks/wrong_level.py PHOTOS --model MODEL.safetensors
    python benchmarks/wrong_level.py PHOTOS --stored  # noise clipped and rounded, as in an 8-bit file

On photos that training holds out, with Gaussian noise. Tones are the means of blocks of 16x16 pixels, for
each channel. Their error is given as the root mean square and as that of the worst block, averaged over
photos, both on the 8-bit scale; their mean is above 0 where pictures become lighter. Variation is the mean
difference between neighbouring pixels, relative to the clean photo: it falls as detail is removed, and is
above 1 where noise is left.

The second table shows a kind of noise that no network here was trained on: coarse noise of sigma 10, blurred
over some pixels as in cameras and film. The share that is left is the difference between the results for two
such pictures, relative to the difference between the pictures.

The third table shows the tones of light and dark areas at the true level and above it: grey ramps of 96x96
pixels from 0.91 to 0.99 and from 0.01 to 0.09, and equally large areas of pure white and black. Results lie
in 0..1, so white can only become darker and black lighter: 0 there does not mean that tones near it are
right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hyperrestore import Restorer
from hyperrestore.arrays import Pixels
from hyperrestore.learn.photos import find_photos, split_photos, validation_crops
from hyperrestore.measure.degrade import gaussian_noise
from hyperrestore.measure.metrics import psnr, to_8bit

BLOCK = 16
COARSE, COARSE_LEVELS = 10, (5, 10, 15, 20, 30, 50)
AREA_LEVELS = {5: (5, 7.5, 10), 10: (10, 15, 20), 25: (25, 30, 50), 50: (50, 60, 75)}
LEVELS = {0: (25,), 5: (25,), 10: (12, 15, 25, 50), 25: (15, 25, 30, 50, 75), 50: (25, 50, 75), 75: (75,)}


def tones(error: Pixels) -> Pixels:
    """The means of blocks, (c, h / 16, w / 16), on the 8-bit scale."""
    channels, height, width = error.shape
    blocks = error.reshape(channels, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    means: Pixels = 255 * blocks.mean(axis=(2, 4))
    return means


def rms(errors: npt.ArrayLike) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(errors))))


def coarse_noise(shape: tuple[int, ...], sigma: float, random: np.random.Generator) -> Pixels:
    """White noise (c, h, w), each channel blurred by [1, 2, 1] both ways, to that standard deviation."""
    noise = random.standard_normal(shape)
    for axis in (1, 2):
        noise = 2 * noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    scaled: Pixels = (noise * (sigma / 255 / noise.std())).astype(np.float32)
    return scaled


def variation(picture: Pixels) -> float:
    """Mean difference of horizontal neighbours."""
    return float(np.abs(np.diff(picture, axis=2)).mean())


def main() -> None:
    """Parse the arguments, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="denoise", help="a model other than the built-in one")
    parser.add_argument("--count", type=int, default=12, help="number of photos, one crop of 256x256 each")
    parser.add_argument("--stored", action="store_true", help="clip and round noisy photos to 8 bits")
    options = parser.parse_args()
    _, held_out = split_photos(find_photos(options.photos))
    clean = validation_crops(held_out, count=options.count, size=256)
    restorer = Restorer.load(options.model)

    def add_noise(truth: Pixels, sigma: float, random: np.random.Generator) -> Pixels:
        noisy = gaussian_noise(truth, sigma, random)
        return to_8bit(noisy).astype(np.float32) if options.stored else noisy

    print("| sigma | level | PSNR, dB | error of tones | mean | worst block | variation |")
    print("|---|---|---|---|---|---|---|")
    for sigma, levels in LEVELS.items():
        random = np.random.default_rng(sigma)
        noisy = [add_noise(truth, sigma, random) for truth in clean]
        for level in levels:
            restored = [restorer(picture, level) for picture in noisy]
            both = list(zip(restored, clean, strict=True))
            errors = [tones(result - truth) for result, truth in both]
            cells = (
                f"{np.mean([psnr(result, truth) for result, truth in both]):.2f}",
                f"{rms(errors):.2f}",
                f"{np.mean(errors):+.2f}",
                f"{np.mean([np.abs(error).max() for error in errors]):.1f}",
                f"{np.mean([variation(result) / variation(truth) for result, truth in both]):.2f}",
            )
            print(f"| {sigma} | {level} | {' | '.join(cells)} |", flush=True)
    random = np.random.default_rng(0)
    pairs = [tuple(truth + coarse_noise(truth.shape, COARSE, random) for _ in range(2)) for truth in clean]
    print("\n| coarse noise | level | left |\n|---|---|---|")
    for level in COARSE_LEVELS:
        results = [(restorer(one, level), restorer(other, level)) for one, other in pairs]
        left = np.std([one - other for one, other in results]) / np.std([one - other for one, other in pairs])
        print(f"| {COARSE} | {level} | {left:.0%} |", flush=True)
    light = np.tile(np.linspace(0.91, 0.99, 96, dtype=np.float32), (3, 96, 1))
    white = np.ones_like(light)
    print("\n| areas, sigma | level | error of light tones | of dark ones | of white | of black |")
    print("|---|---|---|---|---|---|")
    for sigma, levels in AREA_LEVELS.items():
        for one in levels:
            cells = tuple(
                f"{rms(tones(restorer(add_noise(area, sigma, np.random.default_rng(0)), one) - area)):.2f}"
                for area in (light, 1 - light, white, 1 - white)
            )
            print(f"| {sigma} | {one:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
