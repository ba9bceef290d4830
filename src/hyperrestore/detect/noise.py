"""Pixels -> the standard deviation of their noise, by a small network on DCT coefficients.

Noise is everywhere, detail is not: the calm blocks of a picture contain little but noise. How true that is
depends on clipping, JPEG, demosaicing, grain and texture. So a small network, trained on photos with known
noise, examines the blocks of the picture and of the picture shrunk by two, weights them, and estimates the
level from them (`benchmarks/noise_estimate.py` trains and measures it). It needs only NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from hyperrestore.arrays import Float32, Float64
from hyperrestore.detect.blocks import block_dct, cut_blocks
from hyperrestore.level import Task

WEIGHTS = Path(__file__).parents[1] / "models" / "noise.safetensors"
BLOCKS = 4096  # of 8x8 pixels, that are looked at
FEWEST_BLOCKS = 16  # below which statistics say nothing
LEAST_SPREAD = 0.05
MOST = 85.0  # sigma that is still taken for noise
DRAWN_VALUES = 16  # different values; a photo has more
PLAIN = 4  # largest difference within a row of a border, 8-bit scale: JPEG may have touched it
LEAST_VARIANCE = 1e-4
LEVELS = (0.0, 2.5, 5.0, 9.0, 15.0, 24.0, 38.0, 60.0)  # of the denoiser whose gains are estimated
FLOOR = 0.03  # added to squared coefficients, so that flat blocks have a logarithm


@dataclass(frozen=True)
class Noise:
    """The noise of a picture, as estimated.

    Attributes:
        sigma: The level at which `denoise` restores the picture best: the standard deviation of white noise
            on the 8-bit scale, before clipping, JPEG or demosaicing; more for coarse noise, less where there
            is texture.
        spread: Its expected mean error.
        worth: How probable it is, from 0 to 1, that the picture gets better at this level.
        uncompressed: The level for `photo`, which is told the JPEG quality as well: that of the noise before
            the picture was compressed.
    """

    sigma: float
    spread: float
    worth: float
    uncompressed: float

    def level_for(self, task: Task) -> float:
        """The level for a model of that task."""
        return self.uncompressed if task == Task.PHOTO else self.sigma


def find_noise(pixels: Float32) -> Noise | None:
    """Estimate the standard deviation of a picture's noise.

    Args:
        pixels: (1 or 3, h, w) on the 8-bit scale, any size; clipped and rounded or not.

    Returns:
        None if it cannot be estimated: fewer than 16 blocks of 8x8 pixels without a plain border; so few
        different values that the picture must be drawn or dithered; or more than any noise, as in a halftone.
    """
    if len(np.unique(pixels[0, ::4, ::4])) <= DRAWN_VALUES and len(np.unique(pixels)) <= DRAWN_VALUES:
        flat = pixels.max() == pixels.min()
        return Noise(0.0, LEAST_SPREAD, 0.0, 0.0) if flat and describe_blocks(pixels) is not None else None
    scales = describe_blocks(_without_border(pixels))
    noise = None if scales is None else estimate(scales)
    return None if noise is not None and noise.sigma > MOST else noise


def _without_border(pixels: Float32) -> Float32:
    """Cut off plain rows and columns at the edges, in steps of a block, since they show no noise."""
    for axis in (2, 1):  # rows, then columns
        plain = (np.ptp(pixels, axis=axis) <= PLAIN).all(axis=0)
        inside = np.flatnonzero(~plain)
        if len(inside):
            first, end = -(-inside[0] // 8) * 8, inside[-1] + 1
            if first >= end:  # all that is not plain lies within one block
                continue
            pixels = pixels[:, first:end] if axis == 2 else pixels[:, :, first:end]
    return pixels


def estimate(scales: list[Float32]) -> Noise:
    """The noise of a picture with these blocks (see `describe_blocks`)."""
    known = pooled(scales)
    x = np.maximum(_layer("whole", known), 0)
    logarithm, spread, worth, white, *gains = _layer("level", x).astype(np.float64)
    by_gains = best_levels(np.array([[0.0, *gains]]))[0]
    sigma = float(np.expm1(np.clip(logarithm, 0, 6)) if white > 0 else by_gains)
    return Noise(
        sigma,
        float((1 + sigma) * np.log1p(np.exp(spread)) + LEAST_SPREAD),
        float(1 / (1 + np.exp(-np.clip(worth, -30, 30)))),
        sigma if white > 0 else _uncompressed(known, sigma),
    )


def _uncompressed(known: Float32, sigma: float) -> float:
    """The noise before the picture was compressed: midway between what is found for it, and sigma.

    On pictures of cameras the first removes too little, after JPEG the second too much.
    """
    (logarithm,) = _layer("uncompressed", np.maximum(_layer("noise", known), 0)).astype(np.float64)
    return float(np.sqrt(sigma * np.expm1(np.clip(logarithm, 0, np.log1p(MOST)))))


def _layer(name: str, x: Float32) -> Float32:
    weights = _weights()
    result: Float32 = x @ weights[f"{name}.kernel"] + weights[f"{name}.bias"]
    return result


def pooled(scales: list[Float32]) -> Float32:
    """What is known of a picture with these blocks, (512,): weighted means and deviations."""
    statistics = []
    for number, blocks in enumerate(scales):
        x = np.maximum(_layer(f"block{number}", blocks), 0)
        x = np.maximum(_layer(f"deeper{number}", x), 0)
        scores = _layer(f"score{number}", x)  # (n, heads): how much a block counts
        shares = np.exp(scores - scores.max(axis=0))
        shares = (shares / shares.sum(axis=0)).T
        mean = shares @ x
        # How much blocks differ tells noise, which is everywhere, from detail.
        deviation = np.sqrt(np.maximum(shares @ np.square(x) - np.square(mean), 0) + LEAST_VARIANCE)
        statistics += [mean.ravel(), deviation.ravel()]
    known: Float32 = np.concatenate(statistics)
    return known


def best_levels(gains: Float64) -> Float64:
    """Where a parabola through the best of LEVELS and its neighbours is highest.

    Args:
        gains: What each of LEVELS gains, dB, (n, levels).

    Returns:
        One level each, (n,).
    """
    x = np.log1p(LEVELS)
    best = gains.argmax(axis=1)
    middle = best.clip(1, len(x) - 2)
    left, centre, right = (
        np.take_along_axis(gains, (middle + step)[:, None], 1)[:, 0] for step in (-1, 0, 1)
    )
    rise = (centre - left) / (x[middle] - x[middle - 1])
    fall = (right - centre) / (x[middle + 1] - x[middle])
    bend = (fall - rise) / (x[middle + 1] - x[middle - 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        top = (x[middle] + x[middle - 1]) / 2 - rise / (2 * bend)
    levels: Float64 = np.expm1(np.where((best == middle) & (bend < 0), top, x[best]))
    return levels


def describe_blocks(pixels: Float32) -> list[Float32] | None:
    """The input of the network for a picture.

    Args:
        pixels: (1 or 3, h, w) on the 8-bit scale.

    Returns:
        For the picture, and for the picture shrunk by two, (n, 197): for each block the logarithms of the 64
        DCT coefficients of brightness and two colour differences, its brightness, the shares of its values at
        and beyond both ends, and whether it is grey. None if there are too few blocks.
    """
    height, width = pixels.shape[1] // 2, pixels.shape[2] // 2
    if (height // 4) * (width // 4) < FEWEST_BLOCKS or min(height, width) < 8:
        return None
    halves = pixels[:, : 2 * height, : 2 * width].reshape(-1, height, 2, width, 2).mean(axis=(2, 4))
    scales = [cut_blocks(planes, BLOCKS) for planes in (pixels, halves)]
    full, half = (blocks.shape[1] for blocks in scales)  # those without a hidden pixel
    if full < FEWEST_BLOCKS or half == 0:
        return None
    return [_describe(blocks) for blocks in scales]


def _describe(blocks: Float32) -> Float32:
    """(1 or 3, n, 64) on the 8-bit scale -> (n, 197)."""
    grey = len(blocks) == 1 or (np.array_equal(blocks[0], blocks[1]) and np.array_equal(blocks[0], blocks[2]))
    blocks = blocks[:1] if grey else blocks
    planes = (
        np.concatenate([blocks, np.zeros_like(blocks), np.zeros_like(blocks)]) if grey else _opponents(blocks)
    )
    logarithms = 0.5 * np.log(np.square(planes @ block_dct()) + FLOOR)  # (3, n, 64)
    ends = [blocks <= 0.5, blocks >= 254.5, (blocks < -0.5) | (blocks > 255.5)]
    others = [blocks.mean(axis=(0, 2)) / 255, *(end.mean(axis=(0, 2)) for end in ends)]
    others.append(np.full(blocks.shape[1], float(grey)))
    return np.concatenate([*logarithms, np.stack(others, axis=1)], axis=1).astype(np.float32)


def _opponents(pixels: Float32) -> Float32:
    """Brightness and two colour differences; white noise keeps its standard deviation."""
    red, green, blue = pixels
    planes = (
        (red + green + blue) / np.sqrt(3),
        (red - blue) / np.sqrt(2),
        (red - 2 * green + blue) / np.sqrt(6),
    )
    return np.stack(planes).astype(np.float32)


@cache
def _weights() -> dict[str, Float32]:
    """The network's tensors by name."""
    weights: dict[str, Float32] = load_file(WEIGHTS)
    return weights
