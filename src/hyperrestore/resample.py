"""Cubic resampling of pictures, as MATLAB and OpenCV do it."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from hyperrestore.arrays import AnyFloat, AnyPixels, Float64, Int64
from hyperrestore.errors import UsageError

Weights = TypeVar("Weights", bound=AnyFloat)


def resize_bicubic(image: AnyPixels, height: int, width: int, *, antialias: bool) -> AnyPixels:
    """Resize by cubic convolution, keeping the corners where they are.

    Source: R. Keys, "Cubic convolution interpolation for digital image processing", 1981.

    Args:
        image: Picture (c, h, w), any range.
        height: Rows of the result.
        width: Columns of the result.
        antialias: True for MATLAB's `imresize`: a = -0.5, the kernel widened when shrinking, the border
            mirrored. False for OpenCV's `INTER_CUBIC`: a = -0.75, four taps always, the border repeated.

    Returns:
        Picture (c, height, width) of the same dtype, not clipped: the kernel overshoots at edges.

    Raises:
        UsageError: The picture is not (c, h, w), or a size is below 1.

    Example:
        >>> resize_bicubic(np.ones((1, 8, 6)), 4, 9, antialias=True).shape
        (1, 4, 9)
    """
    check_picture(image)
    if height < 1 or width < 1:
        raise UsageError(f"cannot resize to {height} x {width} pixels: both sides need at least 1")
    steps = image.shape[1] / height, image.shape[2] / width
    return resized(image, (height, width), steps, antialias=antialias).astype(image.dtype)


def resized(
    image: AnyPixels,
    size: tuple[int, int],
    steps: tuple[float, float],
    *,
    antialias: bool,
    softness: float = 1.0,
) -> Float64:
    """Resample (c, h, w) to `size`, pixels `steps` apart: first along the rows, then along the columns."""
    taps = [
        bicubic_taps(count, length, step, antialias=antialias, softness=softness)
        for count, length, step in zip(image.shape[1:], size, steps, strict=True)
    ]
    tall = _resize_rows(image, *taps[0])  # (c, height, w)
    wide = _resize_rows(tall.swapaxes(1, 2), *taps[1])  # (c, width, height)
    return wide.swapaxes(1, 2)


def resize_matrix(count: int, length: int, step: float, *, antialias: bool) -> Float64:
    """Bicubic resampling of one axis as a matrix: result = matrix @ samples.

    Args:
        count: Samples of the picture along the axis.
        length: Samples of the result.
        step: Distance of two samples of the result, in samples of the picture.
        antialias: See `resize_bicubic`.

    Returns:
        Matrix (length, count); its rows sum to 1.
    """
    return matrix_of(*bicubic_taps(count, length, step, antialias=antialias), count)


def matrix_of(places: Int64, weights: Weights, count: int) -> Weights:
    """The matrix (length, count) of places and weights (length, taps), in the precision of the weights."""
    matrix = np.zeros((len(places), count), weights.dtype)
    np.add.at(matrix, (np.arange(len(places))[:, None], places), weights)
    return matrix  # type: ignore[return-value]


def _resize_rows(image: AnyPixels, places: Int64, weights: Float64) -> Float64:
    """Resample (c, n, w) to (c, length, w), by places and weights (length, taps)."""
    result = np.zeros((image.shape[0], len(places), image.shape[2]))
    for place, weight in zip(places.T, weights.T, strict=True):
        result += weight[:, None] * image[:, place]
    return result


def bicubic_taps(
    count: int, length: int, step: float, *, antialias: bool, softness: float = 1.0
) -> tuple[Int64, Float64]:
    """Which of `count` samples make each of `length` new ones, and by which weights.

    Args:
        count: Samples of the picture along one axis.
        length: Samples of the result.
        step: Distance of two samples of the result, in samples of the picture.
        antialias: See `resize_bicubic`.
        softness: Width of an antialiasing kernel (see `shrink`).

    Returns:
        Indices and weights, both (length, taps); the weights of a sample sum to 1.
    """
    centres = (np.arange(length) + 0.5) * step - 0.5
    stretch = max(1.0, softness * step) if antialias else 1.0
    first = np.floor(centres - 2 * stretch).astype(np.int64) + 1  # the kernel is zero from 2 * stretch on
    places = first[:, None] + np.arange(math.ceil(4 * stretch))
    weights = _cubic((places - centres[:, None]) / stretch, -0.5 if antialias else -0.75)
    weights /= weights.sum(axis=1, keepdims=True)  # a widened kernel does not sum to 1 by itself
    if antialias:
        places = np.minimum(
            places % (2 * count), -(places + 1) % (2 * count)
        )  # ... 1 0 | 0 1 ... n-1 | n-1 ...
    else:
        places = places.clip(0, count - 1)
    return places, weights


def _cubic(distance: Float64, a: float) -> Float64:
    """Kernel of Keys: piecewise cubic, 1 at 0, 0 at 1 and from 2 on; `a` is its slope at 1."""
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def check_picture(image: AnyPixels) -> None:
    """Refuse what is no picture."""
    if image.ndim != 3 or image.size == 0:
        raise UsageError(f"expected a picture of shape (c, h, w) with at least one pixel, got {image.shape}")
