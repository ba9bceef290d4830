"""Sub-pixels of a small picture -> rows or regions of it enlarged to an exact size, in bounded memory.

A network for upscaling works on the small picture. It gives a residual, to be added to the cubic enlargement,
on a grid a fixed number of times as fine. That grid is interpolated at the pixels of the result.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np

from hyperrestore.arrays import Float32, Int64, Pixels, Rows
from hyperrestore.errors import UsageError
from hyperrestore.resample import bicubic_taps, matrix_of
from hyperrestore.run.engine import Backend, Region, from_floats, mirrored, to_floats
from hyperrestore.run.tiles import round_up

STRIP = (
    64  # samples of a result made by one product of matrices: few, since most entries of larger ones are 0
)
TILE = 768  # pixels of the small picture
RESULT_TILE = 2048  # the most pixels that a usual tile has in the result, which is held as floats

logger = logging.getLogger(__name__)


def tile_of(size: int | None, scale: float) -> int:
    """The side of a tile in pixels of the small picture, for one in pixels of the result.

    None stands for the usual one: `TILE`, or less where that would be more than `RESULT_TILE` in the result.
    """
    return min(TILE, round(RESULT_TILE / scale)) if size is None else max(1, round(size / scale))


@runtime_checkable
class SubpixelBackend(Backend, Protocol):
    """A network with sub-pixels: for a window (c, h, w) it gives a residual (c, n * h, n * w).

    Attributes:
        subpixels: n, along each side of a pixel.
    """

    @property
    def subpixels(self) -> int:
        """Sub-pixels along each side of a pixel."""


def has_subpixels(backend: Backend) -> TypeGuard[SubpixelBackend]:
    """Whether a network works on the small picture, instead of an enlarged one."""
    return getattr(backend, "subpixels", 1) > 1


@dataclass(frozen=True)
class Taps:
    """The samples and weights of which each sample of a resampled axis is made; both (length, taps)."""

    places: Int64
    weights: Float32

    @classmethod
    def interpolating(cls, count: int, length: int) -> Taps:
        """Cubic interpolation of `count` samples at `length` places, however far apart these are."""
        places, weights = bicubic_taps(count, length, count / length, antialias=True, softness=0)
        return cls(places, weights.astype(np.float32))

    def part(self, start: int, stop: int) -> Taps:
        """Those of samples start..stop of the result."""
        return Taps(self.places[start:stop], self.weights[start:stop])

    @property
    def first(self) -> int:
        """The first sample that counts."""
        return int(self.places.min())

    @property
    def last(self) -> int:
        """The last sample that counts."""
        return int(self.places.max())

    @property
    def matrix(self) -> Float32:
        """(length, samples), from the first sample that counts to the last."""
        return matrix_of(self.places - self.first, self.weights, self.last - self.first + 1)

    def across(self, picture: Pixels, offset: int) -> Pixels:
        """Resample the last axis of (c, h, w), which begins with sample `offset`: (c, h, length)."""
        if (only := self._copied) is not None:
            return picture[:, :, only - offset]
        result = np.empty((*picture.shape[:2], len(self.places)), np.float32)
        for start in range(0, len(self.places), STRIP):
            strip = self.part(start, start + STRIP)
            seen = picture[:, :, strip.first - offset : strip.last - offset + 1]
            np.matmul(seen, strip.matrix.T, out=result[:, :, start : start + STRIP])
        return result

    def down(self, picture: Pixels, offset: int) -> Pixels:
        """Resample the middle axis of (c, h, w), which begins with sample `offset`: (c, length, w)."""
        if (only := self._copied) is not None:
            return picture[:, only - offset]
        result = np.empty((picture.shape[0], len(self.places), picture.shape[2]), np.float32)
        for start in range(0, len(self.places), STRIP):
            strip = self.part(start, start + STRIP)
            seen = picture[:, strip.first - offset : strip.last - offset + 1]
            np.matmul(strip.matrix, seen, out=result[:, start : start + STRIP])
        return result

    @cached_property
    def _copied(self) -> Int64 | None:
        """The samples themselves, where each of the result is one of them."""
        if not ((self.weights == 0) | (self.weights == 1)).all():
            return None
        samples: Int64 = self.places[np.arange(len(self.places)), self.weights.argmax(axis=1)]
        return samples


@dataclass(frozen=True)
class Axis:
    """How one axis of a picture becomes that of a larger one.

    Attributes:
        count: Of the picture, pixels.
        near: Taps of the cubic enlargement in the picture.
        fine: Taps in the sub-pixels.
        subpixels: For each pixel.
    """

    count: int
    near: Taps
    fine: Taps
    subpixels: int

    @classmethod
    def between(cls, count: int, length: int, subpixels: int) -> Axis:
        """From `count` pixels to `length`."""
        fine = Taps.interpolating(count * subpixels, length)
        return cls(count, Taps.interpolating(count, length), fine, subpixels)

    @property
    def length(self) -> int:
        """Of the result, pixels."""
        return len(self.near.places)

    def step(self, tile: int) -> int:
        """Pixels of the result for `tile` pixels of the picture, at least 1."""
        return max(1, tile * self.length // self.count)

    def part(self, start: int, stop: int) -> Axis:
        """Of pixels start..stop of the result."""
        return Axis(self.count, self.near.part(start, stop), self.fine.part(start, stop), self.subpixels)

    def seen(self, backend: Backend) -> tuple[int, int]:
        """Start and end of the pixels on which the result depends, in multiples of the stride.

        The end may lie beyond the picture, by less than a multiple.
        """
        first = min(self.near.first, self.fine.first // self.subpixels - backend.halo)
        last = max(self.near.last, self.fine.last // self.subpixels + backend.halo)
        multiple = backend.multiple
        return max(0, first) // multiple * multiple, round_up(min(self.count, last + 1), multiple)


class Upscaled:
    """A picture enlarged by a network with sub-pixels; the result is the same for all tiles and regions.

    Args:
        backend: The network.
        size: Height and width of the picture, pixels.
        to: Height and width of the result, pixels; not smaller.
        visible_only: Whether the picture is read as the rows of `transparency.VisibleRows`, (2 c + 1, h, w).
        finish: Applied to the result at the end, such as `linear_light.to_linear`.

    Raises:
        UsageError: The result would be smaller than the picture.
    """

    def __init__(
        self,
        backend: SubpixelBackend,
        *,
        size: tuple[int, int],
        to: tuple[int, int],
        visible_only: bool = False,
        finish: Callable[[Pixels], Pixels] | None = None,
    ) -> None:
        if to[0] < size[0] or to[1] < size[1]:
            raise UsageError(f"cannot enlarge {size[1]} x {size[0]} to {to[1]} x {to[0]} pixels")
        self.backend, self.visible_only, self.finish = backend, visible_only, finish
        self._rows, self._columns = (
            Axis.between(count, length, backend.subpixels) for count, length in zip(size, to, strict=True)
        )

    def region(self, read: Callable[[Region], Rows], region: Region, *, tile: int = TILE) -> Pixels:
        """A part of the result.

        Args:
            read: Gives any region of the picture, (c, h, w).
            region: Of the result, pixels.
            tile: Side of a tile, pixels of the picture.

        Returns:
            (c, bottom - top, right - left), clipped to [0, 1].
        """
        tiles = self._tiles(read, region, tile)
        place, part = next(tiles)
        height, width = region.bottom - region.top, region.right - region.left
        result = np.empty((len(part), height, width), part.dtype)
        np.clip(part, 0, 1, out=result[place])
        for place, part in tiles:
            np.clip(part, 0, 1, out=result[place])
        return result

    def rows(self, read: Callable[[int, int], Rows], *, tile: int = TILE) -> Iterator[Rows]:
        """The whole result from top to bottom, in memory for one row of tiles.

        Args:
            read: Gives the rows from top up to, not including, bottom as (c, rows, width). It is asked for
                every row once, from top to bottom.
            tile: Side of a tile, pixels of the picture.

        Yields:
            (c, rows, width) in the precision that `read` gives.
        """
        logger.info(
            "%d x %d pixels from %d x %d, tile size %d, halo %d",
            *(self._columns.length, self._rows.length, self._columns.count, self._rows.count),
            *(tile, self.backend.halo),
        )
        held: Rows = np.empty((0, 0, 0), np.uint8)  # rows start..stop
        start = stop = 0
        for top, bottom in _cut(0, self._rows.length, self._rows.step(tile)):
            first, last = self._rows.part(top, bottom).seen(self.backend)
            last = min(last, self._rows.count)
            kept = [held[:, first - start :]] if stop else []
            fresh = [read(stop, last)] if last > stop else []
            held = np.concatenate([*kept, *fresh], axis=1)
            start, stop = first if stop else 0, max(last, stop)
            window, offset = held, start

            def cut(seen: Region, window: Rows = window, offset: int = offset) -> Rows:
                return window[:, seen.top - offset : seen.bottom - offset, seen.left : seen.right]

            channels = (len(held) - 1) // 2 if self.visible_only else len(held)
            result: Rows = np.empty((channels, bottom - top, self._columns.length), held.dtype)
            for place, part in self._tiles(cut, Region(0, top, self._columns.length, bottom), tile):
                from_floats(part, result[place])
            yield result

    def windows(self, tile: int = TILE) -> int:
        """The number of network runs for the whole result."""
        rows, columns = (len(_cut(0, axis.length, axis.step(tile))) for axis in (self._rows, self._columns))
        return rows * columns

    def _tiles(
        self, read: Callable[[Region], Rows], region: Region, tile: int
    ) -> Iterator[tuple[tuple[slice, slice, slice], Pixels]]:
        """Parts of a region of the result: where each lies in it, and its pixels, not clipped."""
        for top, bottom in _cut(region.top, region.bottom, self._rows.step(tile)):
            for left, right in _cut(region.left, region.right, self._columns.step(tile)):
                rows, columns = self._rows.part(top, bottom), self._columns.part(left, right)
                (first, last), (start, stop) = rows.seen(self.backend), columns.seen(self.backend)
                window = read(Region(start, first, min(stop, columns.count), min(last, rows.count)))
                place = (
                    slice(None),
                    slice(top - region.top, bottom - region.top),
                    slice(left - region.left, right - region.left),
                )
                yield place, self._part(to_floats(window), rows, columns)

    def _part(self, window: Pixels, rows: Axis, columns: Axis) -> Pixels:
        """One tile of the result, not clipped."""
        (top, bottom), (left, right) = rows.seen(self.backend), columns.seen(self.backend)
        c = (len(window) - 1) // 2 if self.visible_only else len(window)
        added = self.backend(mirrored(window[:c], bottom - top, right - left))
        fine = self.backend.subpixels
        near = columns.near.across(rows.near.down(window, top), left)
        restored = near[:c] + columns.fine.across(rows.fine.down(added, fine * top), fine * left)
        if self.visible_only:
            restored = np.where(near[2 * c] > 0.5, restored, near[c : 2 * c])
        return self.finish(restored) if self.finish else restored


def _cut(start: int, stop: int, step: int) -> list[tuple[int, int]]:
    """start..stop in nearly equal parts of at most `step`."""
    parts = max(1, -(-(stop - start) // step))
    edges = [start + (stop - start) * part // parts for part in range(parts + 1)]
    return list(pairwise(edges))
