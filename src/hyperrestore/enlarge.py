"""Rows of a picture -> rows of the same picture enlarged, in memory for the rows that are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hyperrestore.degrade import bicubic_taps
from hyperrestore.engine import Pixels, Rows, to_floats
from hyperrestore.errors import LevelError, UsageError
from hyperrestore.level import as_number

MAX_SIDE = 2**31 - 1  # pixels; no format that we write holds more
STRIP = 64  # rows computed at a time: their intermediate results are several times as large as they are


def enlarged_size(
    width: int,
    height: int,
    *,
    scale: float | None = None,
    to_width: int | None = None,
    to_height: int | None = None,
    long_side: int | None = None,
) -> tuple[int, int, float]:
    """The size that a picture is enlarged to; its proportions stay, but for the rounding to whole pixels.

    Args:
        width: Of the picture, pixels.
        height: Of the picture, pixels.
        scale: Factor for both sides; or one of the following.
        to_width: Width of the result, pixels.
        to_height: Height of the result, pixels.
        long_side: The longer side of the result, pixels.

    Returns:
        Width and height of the result, and the scale.

    Raises:
        UsageError: Not exactly one of the four is given.
        LevelError: It is no number, or the result would be smaller than the picture or larger than
            `MAX_SIDE`.

    Example:
        >>> enlarged_size(640, 480, long_side=1000)
        (1000, 750, 1.5625)
    """
    wanted = [entry for entry in (scale, to_width, to_height, long_side) if entry is not None]
    if len(wanted) != 1:
        raise UsageError(f"give one of scale, width, height and long side; got {len(wanted)} of them")
    asked, along = "scale", 1
    if scale is None:
        asked = "size"
        along = width if to_width is not None else height if to_height is not None else max(width, height)
    scale = as_number(wanted[0]) / along
    if not 1 <= scale <= MAX_SIDE / max(width, height):
        raise LevelError(
            f"{asked} {str(wanted[0])[:20]} is not accepted for {width} x {height} pixels: give a number "
            f"that makes them no smaller, and no side longer than {MAX_SIDE}"
        )
    sides = (max(1, math.floor(side * scale + 0.5)) for side in (width, height))
    return (*sides, scale)  # type: ignore[return-value]


class Enlargement:
    """Enlarges a picture by bicubic interpolation, row by row; the same as `degrade.resize_bicubic`.

    Args:
        read: Gives the picture's rows as `engine.restore_rows` asks for them.
        size: Height and width of the picture, pixels.
        to: Height and width of the result, pixels; not smaller.

    Raises:
        UsageError: The result would be smaller than the picture.
    """

    def __init__(
        self, read: Callable[[int, int], Rows], *, size: tuple[int, int], to: tuple[int, int]
    ) -> None:
        if to[0] < size[0] or to[1] < size[1]:
            raise UsageError(f"cannot enlarge {size[1]} x {size[0]} to {to[1]} x {to[0]} pixels")
        self._read = read
        (self._rows, self._row_weights), (self._columns, self._column_weights) = (
            bicubic_taps(count, length, count / length, antialias=True)
            for count, length in zip(size, to, strict=True)
        )
        self._start = self._stop = 0
        self._held: Pixels = np.empty((0, 0, 0), np.float32)  # rows start..stop, as wide as the result

    def rows(self, top: int, bottom: int) -> Pixels:
        """Rows of the result from `top` up to, not including, `bottom`: (c, rows, width), not clipped.

        Each call begins where the last one ended: the picture is read once, from top to bottom.
        """
        places, weights = self._rows[top:bottom], self._row_weights[top:bottom].astype(np.float32)
        start, stop = int(places.min()), int(places.max()) + 1
        if stop > self._stop:
            fresh = self._widened(to_floats(self._read(self._stop, stop)))
            kept = [self._held[:, start - self._start :]] if self._stop else []
            self._held = np.concatenate([*kept, fresh], axis=1)
            self._start, self._stop = start, stop
        result = np.empty((self._held.shape[0], bottom - top, self._held.shape[2]), np.float32)
        for row in range(0, bottom - top, STRIP):
            part = slice(row, row + STRIP)
            result[:, part] = sum(
                weight[:, None] * self._held[:, place - self._start]
                for place, weight in zip(places[part].T, weights[part].T, strict=True)
            )
        return result

    def _widened(self, rows: Pixels) -> Pixels:
        """Rows (c, n, w) -> (c, n, width of the result)."""
        columns, weights = self._columns.T, self._column_weights.astype(np.float32).T
        result = np.empty((*rows.shape[:2], len(self._columns)), np.float32)
        for row in range(0, rows.shape[1], STRIP):
            part = rows[:, row : row + STRIP]
            result[:, row : row + STRIP] = sum(
                weight * part[:, :, place] for place, weight in zip(columns, weights, strict=True)
            )
        return result
