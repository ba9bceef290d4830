"""Pixels -> the standard deviation of their noise, by a small network on statistics of DCT coefficients.

Noise is everywhere, detail is not: among the blocks of a picture those with the least energy at high
frequencies show little but noise. How far that holds depends on clipping, JPEG, demosaicing and texture, so a
small network, trained on photos with known noise, reads the level off the quantiles of block energies
(`benchmarks/noise_estimate.py` trains and measures it). It needs NumPy alone.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from hyperrestore.blocks import Floats, block_dct, cut_blocks

WEIGHTS = Path(__file__).parent / "models" / "noise.safetensors"
BLOCKS = 8192  # of 8x8 pixels, that are looked at
FEWEST_BLOCKS = 16  # below which statistics say nothing
BANDS = ((2, 4), (5, 7), (8, 14))  # of the sum of the two frequencies
QUANTILES = (0.02, 0.1, 0.3, 0.6, 0.9)
BRIGHTNESS = (0, 24, 72, 184, 232, 256)  # limits of the classes of blocks, 8-bit scale
LEAST_SPREAD = 0.05
MOST = 85.0  # sigma that is still taken for noise
DRAWN_VALUES = 16  # different values; a photo has more
PLAIN = 4  # largest difference within a row of a border, 8-bit scale: JPEG may have touched it
FLOOR = 0.03  # added to energies, so that flat blocks have a logarithm


@dataclass(frozen=True)
class Noise:
    """What is known of a picture's noise.

    Attributes:
        sigma: Standard deviation that Gaussian noise before clipping, JPEG or demosaicing had, 8-bit scale.
        spread: Mean error to be expected of it.
    """

    sigma: float
    spread: float


def find_noise(pixels: Floats) -> Noise | None:
    """Estimate the standard deviation of a picture's noise.

    Args:
        pixels: (1 or 3, h, w) on the 8-bit scale, any size; clipped and rounded or not.

    Returns:
        None where nothing can be said: less than 16 blocks of 8x8 pixels without a plain border; so few
        different values that it must be drawn or dithered; or more than any noise, as a halftone has.
    """
    if len(np.unique(pixels[0, ::4, ::4])) <= DRAWN_VALUES and len(np.unique(pixels)) <= DRAWN_VALUES:
        flat = pixels.max() == pixels.min()
        return Noise(0.0, LEAST_SPREAD) if flat and noise_features(pixels) is not None else None
    features = noise_features(_without_border(pixels))
    noise = None if features is None else estimate(features)
    return None if noise is not None and noise.sigma > MOST else noise


def _without_border(pixels: Floats) -> Floats:
    """Cut off plain rows and columns at the edges, in steps of a block: noise does not show in them."""
    for axis in (2, 1):  # rows, then columns
        plain = (np.ptp(pixels, axis=axis) <= PLAIN).all(axis=0)
        inside = np.flatnonzero(~plain)
        if len(inside):
            first, end = -(-inside[0] // 8) * 8, inside[-1] + 1
            pixels = pixels[:, first:end] if axis == 2 else pixels[:, :, first:end]
    return pixels


def estimate(features: Floats) -> Noise:
    """The noise of a picture with these features (see `noise_features`)."""
    weights = _weights()
    x = (features - weights["mean"]) / weights["deviation"]
    x = x.clip(-4, 4)  # beyond what it was trained on nothing is known
    for layer in range(2):
        x = np.maximum(weights[f"kernel{layer}"] @ x + weights[f"bias{layer}"], 0)
    sigma, spread = weights["kernel2"] @ x + weights["bias2"]
    return Noise(float(max(sigma, 0.0)), float(np.log1p(np.exp(spread)) + LEAST_SPREAD))


def noise_features(pixels: Floats) -> Floats | None:
    """Statistics of a picture from which the level of its noise can be read.

    Args:
        pixels: (1 or 3, h, w) on the 8-bit scale.

    Returns:
        One vector, of the same length for all pictures; None where there are too few blocks.
    """
    grey = len(pixels) == 1 or (np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[0], pixels[2]))
    planes = pixels[:1] if grey else _opponents(pixels)
    blocks = cut_blocks(planes, BLOCKS)  # (planes, n, 64)
    if blocks.shape[1] < FEWEST_BLOCKS:
        return None
    energies = np.square(blocks @ block_dct()) @ _band_means()  # (planes, n, bands)
    logarithms = 0.5 * np.log(energies + FLOOR)
    brightness = cut_blocks(pixels.mean(axis=0, keepdims=True), BLOCKS)[0].mean(axis=1)
    whole = np.quantile(logarithms, QUANTILES, axis=1)  # (quantiles, planes, bands)
    colours = np.zeros((len(QUANTILES), 2, len(BANDS))) if grey else whole[:, 1:]
    classes = []
    for low, high in itertools.pairwise(BRIGHTNESS):
        inside = (brightness >= low) & (brightness < high)
        of_class = logarithms[0, inside] if inside.sum() >= FEWEST_BLOCKS // 4 else logarithms[0]
        classes += [[inside.mean()], np.quantile(of_class[:, 1:], (0.1, 0.3), axis=0).ravel()]
    beyond = ((pixels < -0.5) | (pixels > 255.5)).mean()  # noise that was not clipped
    ends = [(pixels <= 0.5).mean(), (pixels >= 254.5).mean(), min(10 * beyond, 1.0), float(grey)]
    return np.concatenate([whole[:, 0].ravel(), colours.ravel(), *classes, ends]).astype(np.float32)


def _opponents(pixels: Floats) -> Floats:
    """Brightness and two colour differences; white noise keeps its standard deviation."""
    red, green, blue = pixels
    planes = (
        (red + green + blue) / np.sqrt(3),
        (red - blue) / np.sqrt(2),
        (red - 2 * green + blue) / np.sqrt(6),
    )
    return np.stack(planes).astype(np.float32)


@cache
def _band_means() -> Floats:
    """(64, bands): means over the frequencies of each band."""
    order = np.add.outer(np.arange(8), np.arange(8)).ravel()
    members = np.stack([(order >= low) & (order <= high) for low, high in BANDS], axis=1)
    means: Floats = (members / members.sum(axis=0)).astype(np.float32)
    return means


@cache
def _weights() -> dict[str, Floats]:
    """The network's tensors by name."""
    weights: dict[str, Floats] = load_file(WEIGHTS)
    return weights
