"""The 8x8 blocks of a picture, and their DCT, as JPEG has them."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from hyperrestore.arrays import Float32


def cut_blocks(planes: Float32, most: int) -> Float32:
    """Cut planes into blocks, from their corner on; incomplete blocks at the right and bottom are left out.

    Args:
        planes: (planes, h, w), any size. Blocks with NaN, which stands for hidden pixels, are left out.
        most: About so many blocks of a plane, spread evenly, or all of them.

    Returns:
        (planes, n, 64), row by row.
    """
    count, rows, columns = len(planes), planes.shape[1] // 8, planes.shape[2] // 8
    whole = planes[:, : 8 * rows, : 8 * columns].reshape(count, rows, 8, columns, 8).swapaxes(2, 3)
    every = max(1, round(math.sqrt(rows * columns / most)))
    blocks = whole[:, ::every, ::every].reshape(count, -1, 64)
    seen = ~np.isnan(blocks).any(axis=(0, 2))
    return blocks if seen.all() else blocks[:, seen]


@cache
def block_dct() -> Any:
    """The orthonormal DCT of a block as a matrix (64, 64): coefficients = block @ matrix, both row by row."""
    index = np.arange(8)
    dct = 0.5 * np.cos(np.pi * (2 * index + 1) * index[:, None] / 16)
    dct[0] /= np.sqrt(2)
    return np.ascontiguousarray(np.kron(dct, dct).T.astype(np.float32))
