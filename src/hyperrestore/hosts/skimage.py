"""The denoiser as scikit-image's are called: `denoise(image, sigma=..., channel_axis=-1)`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperrestore.errors import LevelError, UsageError
from hyperrestore.level import Task, as_number
from hyperrestore.restore.restorer import Restorer

WHITE = 255  # sigma of the model is on the 8-bit scale


def denoise(
    image: npt.NDArray[Any],
    *,
    sigma: float | npt.NDArray[np.floating[Any]],
    channel_axis: int | None = None,
    model: str | Path = Task.DENOISE,
    device: str = "auto",
) -> npt.NDArray[Any]:
    """Remove noise from an image.

    Args:
        image: (h, w), grey; or with a channel axis of 1 or 3, grey or RGB. Floats with white at 1,
            or unsigned integers with white at the largest of their type, as scikit-image has them.
        sigma: Standard deviation of the noise, in the units of the image: 0.1 for floats is 25.5 for `uint8`.
            A number, or an array (h, w) with one for each pixel.
        channel_axis: Where the channels are; None for an image (h, w).
        model: "denoise", or the path of a checkpoint that removes noise.
        device: As for `Restorer.load`.

    Returns:
        The restored image, of the same shape and type, clipped to the range from black to white.

    Raises:
        UsageError: The image has another shape, type or range, or the model repairs something else.
        LevelError: The model does not accept sigma.

    Example:
        >>> image = np.random.default_rng(0).normal(0.5, 0.1, (40, 30))
        >>> restored = denoise(image, sigma=0.1)
        >>> restored.shape, restored.dtype, bool(restored.std() < 0.02)
        ((40, 30), dtype('float64'), True)
    """
    image = np.asarray(image)
    pixels = _pixels(image, channel_axis)
    white = 1.0 if image.dtype.kind == "f" else float(np.iinfo(image.dtype).max)
    restored = _restorer(model, device)(
        np.asarray(pixels / white, np.float32), _level(sigma, white, pixels.shape[1:])
    )
    if image.dtype.kind != "f":
        restored = np.rint(restored.astype(np.float64) * white)
    result = restored[0] if channel_axis is None else np.moveaxis(restored, 0, channel_axis)
    return np.ascontiguousarray(result, image.dtype)


def _pixels(image: npt.NDArray[Any], channel_axis: int | None) -> npt.NDArray[Any]:
    """(1 or 3, h, w), in the range of the image."""
    if image.dtype.kind not in "fu":
        raise UsageError(
            f"an image is floats or unsigned integers, got {image.dtype}; use skimage.img_as_float"
        )
    if channel_axis is None:
        if image.ndim != 2:
            raise UsageError(
                f"an image without channels is (h, w), got {image.shape}; for colours give channel_axis=-1"
            )
        return image[None]
    if image.ndim != 3 or not -3 <= channel_axis < 3 or image.shape[channel_axis] not in (1, 3):
        raise UsageError(f"channel_axis={channel_axis} of {image.shape} is no axis of 1 or 3 channels")
    return np.moveaxis(image, channel_axis, 0)


def _level(sigma: Any, white: float, shape: tuple[int, ...]) -> float | npt.NDArray[np.float32]:
    """On the 8-bit scale: a number, or (h, w)."""
    if isinstance(sigma, np.ndarray) and sigma.ndim:
        if sigma.shape != shape:
            raise UsageError(
                f"sigma of shape {sigma.shape} does not fit an image of {shape}; give one a pixel"
            )
        return np.asarray(sigma * (WHITE / white), np.float32)
    level = as_number(sigma) * WHITE / white
    if np.isnan(level):
        raise LevelError(f"sigma {sigma!r} is not a number")
    return level


@cache
def _restorer(model: str | Path, device: str) -> Restorer:
    restorer = Restorer.load(model, device=device)
    if restorer.task != Task.DENOISE:
        raise UsageError(f"{model} is for {restorer.task}; give 'denoise', or a model that removes noise")
    return restorer
