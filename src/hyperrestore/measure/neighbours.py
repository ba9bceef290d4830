"""Every pixel and its neighbours: sums and shifts, for NumPy arrays and torch tensors alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = Any  # NumPy array or torch tensor (..., h, w)
Weights = tuple[tuple[float, float, float], ...]


def filtered(planes: Array, weights: Weights, *, apart: int = 1) -> Array:
    """Correlate (..., h, w) with 3 x 3 weights so many pixels apart; the border is that of `shifted`."""
    total: Array = 0 * planes
    for down, row in enumerate(weights):
        for right, weight in enumerate(row):
            if weight:
                total = total + weight * shifted(planes, apart * (down - 1), apart * (right - 1))
    return total


def shifted(planes: Array, down: int, right: int) -> Array:
    """The values so many pixels below and to the right; beyond the border those mirrored at its pixels."""
    rows, columns = (
        _mirrored(np.arange(side) + step, side)
        for side, step in zip(planes.shape[-2:], (down, right), strict=True)
    )
    return planes[..., rows, :][..., columns]


def _mirrored(places: npt.NDArray[np.int64], side: int) -> npt.NDArray[np.int64]:
    """Mirrored so that a mosaic goes on beyond the border: ... 2 1 0 1 2 ...; as often as it takes."""
    if side == 1:
        return 0 * places
    places = np.abs(places) % (2 * (side - 1))
    return np.where(places > side - 1, 2 * (side - 1) - places, places)
