"""Luminance, the one brightness of three colours."""

from __future__ import annotations

import numpy as np

from hyperrestore.arrays import AnyFloat, Float64
from hyperrestore.errors import UsageError

LUMA = (0.299, 0.587, 0.114)  # shares of red, green and blue in the luminance of ITU-R BT.601


def full_range_luma(rgb: AnyFloat) -> Float64:
    """Turn RGB into the luminance of ITU-R BT.601 in full range, as OpenCV's grey does.

    Args:
        rgb: Picture (3, h, w), values in [0, 1].

    Returns:
        Picture (1, h, w), values in [0, 1], not rounded.

    Raises:
        UsageError: The picture has not three channels.

    Example:
        >>> full_range_luma(np.array([0.0, 1.0, 0.0])[:, None, None]).tolist()
        [[[0.587]]]
    """
    if rgb.ndim != 3 or rgb.shape[0] != 3:
        raise UsageError(f"luminance needs a picture of shape (3, h, w), got {rgb.shape}")
    values = rgb.astype(np.float64)
    red, green, blue = LUMA
    return red * values[0:1] + green * values[1:2] + blue * values[2:3]
