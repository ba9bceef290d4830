"""How close a restored picture is to the clean one, in the figures that papers print.

All functions take (c, h, w) pictures with values in [0, 1], the restored one first, and compute in float64.
A paper's protocol is spelled out in the call: `psnr(to_8bit(studio_luma(restored)), ..., border=4)`.
"""

from __future__ import annotations

import math

import numpy as np

from hyperrestore.arrays import AnyPixels, Float64
from hyperrestore.colour import full_range_luma
from hyperrestore.errors import UsageError

BLOCK = 8  # side of a JPEG block, pixels
WINDOW = 11  # side of the window of SSIM, pixels


def psnr(restored: AnyPixels, clean: AnyPixels, *, border: int = 0, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB, over all channels together.

    Args:
        restored: Picture (c, h, w).
        clean: Picture of the same shape.
        border: Pixels to leave out at each side; super-resolution papers leave out `scale`.
        peak: Largest possible value.

    Returns:
        10 log10(peak^2 / mean squared error); infinity for equal pictures.

    Raises:
        UsageError: The shapes differ, or the border leaves nothing.

    Example:
        >>> round(psnr(np.full((1, 8, 8), 0.1), np.zeros((1, 8, 8))), 3)
        20.0
    """
    a, b = _pair(restored, clean, border)
    return _decibel(float(np.mean((a - b) ** 2)), peak)


def ssim(restored: AnyPixels, clean: AnyPixels, *, border: int = 0, peak: float = 1.0) -> float:
    """Structural similarity, the mean over channels.

    Windows of 11x11 pixels with Gaussian weights of sigma 1.5, K1 = 0.01, K2 = 0.03; only windows that lie
    inside the picture count. Source: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from
    error visibility to structural similarity", 2004. (That paper first shrinks pictures larger than 256
    pixels; restoration papers do not, and neither does this.)

    Args:
        restored: Picture (c, h, w).
        clean: Picture of the same shape.
        border: Pixels to leave out at each side.
        peak: Largest possible value.

    Returns:
        A number up to 1, which is reached by equal pictures.

    Raises:
        UsageError: The shapes differ, or less than 11x11 pixels are left.

    Example:
        >>> picture = np.random.default_rng(0).random((3, 16, 16))
        >>> ssim(picture, picture)
        1.0
    """
    a, b = _pair(restored, clean, border)
    if min(a.shape[1:]) < WINDOW:
        raise UsageError(f"SSIM needs at least {WINDOW} x {WINDOW} pixels, got {a.shape[1]} x {a.shape[2]}")
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    variance_a = _window_mean(a * a) - mean_a * mean_a
    variance_b = _window_mean(b * b) - mean_b * mean_b
    covariance = _window_mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return float(np.mean(luminance * structure))


def psnr_b(restored: AnyPixels, clean: AnyPixels, *, peak: float = 1.0) -> float:
    """PSNR in dB that counts visible 8x8 blocks in `restored` as error, the mean over channels.

    The mean squared error grows by eta * (D - D'): D and D' are the mean squared steps between neighbours
    across the borders of blocks and elsewhere, eta = log(8) / log(shorter side) where D > D', otherwise 0.
    Source: Yim and Bovik, "Quality assessment of deblocked images", 2011. As in that paper and its common
    implementations a row of n pixels counts n // 8 - 1 borders, also where n is no multiple of 8.

    There is no `border`: the blocks begin at the first pixel. The order of the arguments matters.

    Args:
        restored: Picture (c, h, w), at least 16x16 pixels.
        clean: Picture of the same shape.
        peak: Largest possible value.

    Returns:
        A number up to the mean PSNR of the channels; infinity if one is equal and shows no blocks.

    Raises:
        UsageError: The shapes differ, or a side is shorter than two blocks.

    Example:
        >>> flat, half = np.zeros((1, 16, 16)), np.zeros((1, 16, 16))
        >>> half[:, :, 8:] = 0.1
        >>> round(psnr_b(flat, half), 2), round(psnr_b(half, flat), 2)
        (23.01, 20.58)
    """
    a, b = _pair(restored, clean, 0)
    if min(a.shape[1:]) < 2 * BLOCK:
        raise UsageError(f"PSNR-B needs two blocks of {BLOCK} pixels a side, got {a.shape[1]} x {a.shape[2]}")
    errors = np.mean((a - b) ** 2, axis=(1, 2))  # (c,)
    scores = [_decibel(float(e) + _blocking(channel), peak) for e, channel in zip(errors, a, strict=True)]
    return sum(scores) / len(scores)


def studio_luma(rgb: AnyPixels) -> Float64:
    """Turn RGB into the luminance of ITU-R BT.601 in studio range, as MATLAB's `rgb2ycbcr` does.

    Args:
        rgb: Picture (3, h, w), values in [0, 1].

    Returns:
        Picture (1, h, w), values from 16/255 to 235/255, not rounded.

    Raises:
        UsageError: The picture has not three channels.

    Example:
        >>> round(float(studio_luma(np.ones((3, 1, 1)))[0, 0, 0]) * 255, 3)
        235.0
    """
    return (16 + 219 * full_range_luma(rgb)) / 255


def to_8bit(image: AnyPixels) -> Float64:
    """Clip and round to what an 8-bit file would hold; papers score restored pictures after this.

    Args:
        image: Values of any shape.

    Returns:
        Multiples of 1/255 in [0, 1]; halves are rounded up.

    Example:
        >>> (to_8bit(np.array([-0.2, 0.4999, 1.7])) * 255).tolist()
        [0.0, 127.0, 255.0]
    """
    rounded: Float64 = np.floor(np.clip(image.astype(np.float64), 0, 1) * 255 + 0.5) / 255
    return rounded


def _pair(restored: AnyPixels, clean: AnyPixels, border: int) -> tuple[Float64, Float64]:
    """Check two pictures and return what is inside the border, in float64."""
    if restored.shape != clean.shape or restored.ndim != 3:
        raise UsageError(f"expected two pictures of one shape (c, h, w), got {restored.shape}, {clean.shape}")
    channels, height, width = restored.shape
    if border < 0 or channels == 0 or min(height, width) <= 2 * border:
        raise UsageError(f"a border of {border} pixels leaves nothing of {height} x {width}")
    inside = np.s_[:, border : height - border, border : width - border]
    return restored[inside].astype(np.float64), clean[inside].astype(np.float64)


def _decibel(error: float, peak: float) -> float:
    """Mean squared error in dB below the peak."""
    return 10 * math.log10(peak**2 / error) if error > 0 else math.inf


def _window_mean(x: Float64) -> Float64:
    """Mean of (c, h, w) under the window of SSIM, (c, h - 10, w - 10)."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-0.5 * (offsets / 1.5) ** 2)
    weights /= weights.sum()
    height, width = x.shape[1] - WINDOW + 1, x.shape[2] - WINDOW + 1
    rows = np.zeros((x.shape[0], height, x.shape[2]))
    for i, weight in enumerate(weights):
        rows += weight * x[:, i : i + height]
    means = np.zeros((x.shape[0], height, width))
    for i, weight in enumerate(weights):
        means += weight * rows[:, :, i : i + width]
    return means


def _blocking(channel: Float64) -> float:
    """Blocking effect factor of one channel (h, w)."""
    height, width = channel.shape
    across, down = np.diff(channel, axis=1) ** 2, np.diff(channel, axis=0) ** 2
    total = float(across.sum() + down.sum())
    at_borders = float(across[:, BLOCK - 1 :: BLOCK].sum() + down[BLOCK - 1 :: BLOCK].sum())
    borders = height * (width // BLOCK - 1) + width * (height // BLOCK - 1)
    others = height * (width - 1) + width * (height - 1) - borders
    excess = at_borders / borders - (total - at_borders) / others
    return max(0.0, float(excess)) * math.log(BLOCK, min(height, width))
