"""Rows or regions of a picture -> those of the enlarged picture, in memory for the requested part."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hyperrestore.arrays import Float32, Int64, Pixels, Rows
from hyperrestore.errors import LevelError, UsageError
from hyperrestore.level import as_number
from hyperrestore.resample import bicubic_taps
from hyperrestore.run.engine import Region, to_floats

MAX_SIDE = 2**31 - 1  # pixels; no format that we write holds more
STRIP = 64  # rows computed at a time, since intermediate results are several times as large


def enlarged_size(
    width: int,
    height: int,
    *,
    scale: float | None = None,
    to_width: int | None = None,
    to_height: int | None = None,
    long_side: int | None = None,
) -> tuple[int, int, float]:
    """The size of an enlarged picture; its proportions stay, except for the rounding to whole pixels.

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
        UsageError: Not exactly one of the four is given, or the picture has no pixels.
        LevelError: It is not a number, or the result would be smaller than the picture or larger than
            `MAX_SIDE`.

    Example:
        >>> enlarged_size(640, 480, long_side=1000)
        (1000, 750, 1.5625)
    """
    wanted = [entry for entry in (scale, to_width, to_height, long_side) if entry is not None]
    if len(wanted) != 1:
        raise UsageError(f"give one of scale, width, height and long side; got {len(wanted)} of them")
    if min(width, height) < 1:
        raise UsageError(
            f"a picture of {width} x {height} pixels cannot be enlarged; it needs at least 1 x 1"
        )
    asked, along = "scale", 1
    if scale is None:
        asked = "size"
        along = width if to_width is not None else height if to_height is not None else max(width, height)
    scale = as_number(wanted[0]) / along
    if not 1 <= scale <= MAX_SIDE / max(width, height):
        raise LevelError(
            f"{asked} {str(wanted[0])[:20]} is not accepted for {width} x {height} pixels: give a number "
            f"that does not shrink them, and makes no side longer than {MAX_SIDE}"
        )
    sides = (max(1, math.floor(side * scale + 0.5)) for side in (width, height))
    return (*sides, scale)  # type: ignore[return-value]


def is_as_large(
    width: int,
    height: int,
    *,
    to_width: int | None = None,
    to_height: int | None = None,
    long_side: int | None = None,
) -> bool:
    """Tell whether a picture already has the requested size, one of three, or is larger.

    Args:
        width: Of the picture, pixels.
        height: Of the picture, pixels.
        to_width: Requested width, pixels.
        to_height: Requested height, pixels.
        long_side: Requested longer side, pixels.

    Example:
        >>> is_as_large(640, 480, to_height=500), is_as_large(640, 480, long_side=500)
        (False, True)
    """
    asked = ((width, to_width), (height, to_height), (max(width, height), long_side))
    return any(wanted is not None and side >= wanted for side, wanted in asked)


Taps = tuple[Int64, Float32]  # places and weights, each (length, taps)


def _taps(size: tuple[int, int], to: tuple[int, int]) -> tuple[Taps, Taps]:
    """The samples and weights of which each row and each column of the result is made."""
    if to[0] < size[0] or to[1] < size[1]:
        raise UsageError(f"cannot enlarge {size[1]} x {size[0]} to {to[1]} x {to[0]} pixels")
    rows, columns = (
        (places, weights.astype(np.float32))
        for places, weights in (
            bicubic_taps(count, length, count / length, antialias=True)
            for count, length in zip(size, to, strict=True)
        )
    )
    return rows, columns


def _taller(picture: Pixels, places: Int64, weights: Float32) -> Pixels:
    """(c, h, w) -> (c, rows of the result, w)."""
    result = np.empty((picture.shape[0], len(places), picture.shape[2]), np.float32)
    for row in range(0, len(places), STRIP):
        part = slice(row, row + STRIP)
        result[:, part] = sum(
            weight[:, None] * picture[:, place]
            for place, weight in zip(places[part].T, weights[part].T, strict=True)
        )
    return result


def _wider(picture: Pixels, places: Int64, weights: Float32) -> Pixels:
    """(c, h, w) -> (c, h, columns of the result)."""
    result = np.empty((*picture.shape[:2], len(places)), np.float32)
    for row in range(0, picture.shape[1], STRIP):
        part = picture[:, row : row + STRIP]
        result[:, row : row + STRIP] = sum(
            weight * part[:, :, place] for place, weight in zip(places.T, weights.T, strict=True)
        )
    return result


def enlarged_region(
    read: Callable[[Region], Pixels], region: Region, *, size: tuple[int, int], to: tuple[int, int]
) -> Pixels:
    """A part of an enlarged picture; the same as `degrade.resize_bicubic`, cut to the region.

    Args:
        read: Gives any region of the picture as (c, h, w), floats in [0, 1].
        region: Of the result.
        size: Height and width of the picture, pixels.
        to: Height and width of the result, pixels; not smaller.

    Returns:
        (c, bottom - top, right - left), in the type that `read` gives, not clipped.
    """
    (rows, row_weights), (columns, column_weights) = (
        (places[part], weights[part].astype(np.float32))
        for (places, weights), part in zip(
            _taps(size, to), (slice(region.top, region.bottom), slice(region.left, region.right)), strict=True
        )
    )
    left, top = int(columns.min()), int(rows.min())
    seen = read(Region(left, top, int(columns.max()) + 1, int(rows.max()) + 1))
    enlarged = _taller(_wider(seen, columns - left, column_weights), rows - top, row_weights)
    return enlarged.astype(seen.dtype, copy=False)


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
        self._read = read
        (self._rows, self._row_weights), (self._columns, self._column_weights) = _taps(size, to)
        self._start = self._stop = 0
        self._held: Pixels = np.empty((0, 0, 0), np.float32)  # rows start..stop, as wide as the result

    def rows(self, top: int, bottom: int) -> Pixels:
        """Rows of the result from `top` up to, not including, `bottom`: (c, rows, width), not clipped.

        Each call must begin where the last one ended, since the picture is read once, from top to bottom.
        """
        places, weights = self._rows[top:bottom], self._row_weights[top:bottom]
        start, stop = int(places.min()), int(places.max()) + 1
        if stop > self._stop:
            fresh = _wider(to_floats(self._read(self._stop, stop)), self._columns, self._column_weights)
            kept = [self._held[:, start - self._start :]] if self._stop else []
            self._held = np.concatenate([*kept, fresh], axis=1)
            self._start, self._stop = start, stop
        return _taller(self._held, places - self._start, weights)
