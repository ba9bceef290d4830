"""A finished network and a picture -> the restored picture, tile by tile; knows no deep-learning library."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from hyperrestore.arrays import Pixels, Rows
from hyperrestore.colour import full_range_luma
from hyperrestore.errors import UsageError
from hyperrestore.floats import check_floats
from hyperrestore.run.tiles import Span, round_up, spans

TILE = 1536

logger = logging.getLogger(__name__)


class Region(NamedTuple):
    """A part of a picture, pixels; right and bottom are not included."""

    left: int
    top: int
    right: int
    bottom: int


@runtime_checkable
class Backend(Protocol):
    """A network whose kernels are generated: a window of a picture in, the restored window out.

    What wraps another backend sets both attributes when it is made, from those of the other, and `axes` as
    well (see `level_channels`).

    Attributes:
        halo: How far away a pixel of the result can depend on the window, pixels.
        multiple: A window's sides must be multiples of it, pixels.
    """

    @property
    def halo(self) -> int:
        """Receptive radius, pixels."""

    @property
    def multiple(self) -> int:
        """Product of the strides, pixels."""

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a window (c, h, w), values about [0, 1]; the result is not clipped.

        A window may hold more channels than the picture, such as a level for each pixel; the result does not.
        """


def level_channels(backend: Backend) -> int:
    """How many levels a backend takes for each pixel, as the last channels of windows: its `axes`, or 0."""
    return getattr(backend, "axes", 0)


class Grain:
    """A backend that puts back a share of the luminance noise that it removed.

    Args:
        backend: What removes noise.
        share: 0 for none of it, up to 1 for all.
        others: What repairs all but the noise, with the same halo; None where noise is all that is repaired.
            Without it, blocks of JPEG would come back with the noise.
    """

    def __init__(self, backend: Backend, share: float, others: Backend | None = None) -> None:
        self.backend, self.share, self.others = backend, share, others
        self.halo, self.multiple = backend.halo, backend.multiple
        self.axes = level_channels(backend)

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a window, and put grain back."""
        restored = self.backend(window)
        noisy = window[: len(restored)] if self.others is None else self.others(window)
        taken = noisy - restored
        luma = full_range_luma(taken) if len(taken) == 3 else taken  # (1, h, w)
        result: Pixels = restored + np.asarray(self.share * luma, restored.dtype)
        return result


class Relevelled:
    """A backend for maps of levels that takes some of the levels to be other ones, the same everywhere.

    Args:
        backend: Restores windows (c + axes, h, w).
        levels: For each axis the level; None where it is that of the map.
    """

    def __init__(self, backend: Backend, levels: Sequence[float | None]) -> None:
        self.backend, self.levels = backend, tuple(levels)
        self.halo, self.multiple = backend.halo, backend.multiple
        self.axes = level_channels(backend)

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a window."""
        window = window.copy()
        for own, level in zip(window[-self.axes :], self.levels, strict=True):
            if level is not None:
                own[:] = level
        return self.backend(window)


class Chain:
    """Several backends run one after the other, with the sum of their halos.

    Args:
        backends: In the order in which they restore a window; without any, it stays as it is.
    """

    def __init__(self, backends: Sequence[Backend]) -> None:
        self.backends = tuple(backends)
        self.halo = sum(backend.halo for backend in backends)
        self.multiple = math.lcm(*(backend.multiple for backend in backends))

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a window by one after the other."""
        for backend in self.backends:
            window = backend(window)
        return window


def run_tiled(backend: Backend, pixels: Pixels, *, size: int = TILE) -> Pixels:
    """Restore a whole picture tile by tile.

    The result is the same for every `size`: each tile is read with a halo as wide as the network can
    see, clipped at the picture's border.

    Args:
        backend: Network with its kernels generated for one level; or for a level of each pixel.
        pixels: Picture (c, h, w), floating point, values in [0, 1]; behind it the levels, if there are any.
        size: Side of the kept part of a tile, pixels. Larger is faster and needs more memory.

    Returns:
        Restored picture (c, h, w), of the same precision, clipped to [0, 1].

    Raises:
        UsageError: `pixels` is not an array (c, h, w) of floats about [0, 1] (see `floats`) or is empty, or
            `size` is below 1.
    """
    if pixels.ndim != 3 or not np.issubdtype(pixels.dtype, np.floating):
        raise UsageError(
            f"a picture is floats (c, h, w) in [0, 1], got {pixels.dtype} of shape {pixels.shape}"
        )
    if not np.isfinite(pixels).all():
        raise UsageError("the pixels contain infinities or NaN; a picture has values in [0, 1]")
    levels = level_channels(backend)
    if len(pixels) <= levels:
        raise UsageError(
            f"pixels of shape {pixels.shape} hold no picture: this network takes {levels} levels of each "
            "pixel behind it"
        )
    if pixels.size:
        check_floats(pixels[: len(pixels) - levels])
    restored = restore_rows(
        backend,
        lambda top, bottom: pixels[:, top:bottom],
        height=pixels.shape[1],
        width=pixels.shape[2],
        size=size,
    )
    return np.concatenate(list(restored), axis=1)


def restore_region(
    backend: Backend,
    read: Callable[[Region], Pixels],
    region: Region,
    *,
    height: int,
    width: int,
    size: int = TILE,
) -> Pixels:
    """Restore a part of a picture: the result of `run_tiled` on the whole, cut to the region.

    Args:
        backend: Network with its kernels generated for one level.
        read: Gives any region of the picture as (c, h, w), floating point, values in [0, 1].
        region: What to restore.
        height: Height of the picture, pixels.
        width: Width of the picture, pixels.
        size: Side of the kept part of a tile, pixels.

    Returns:
        Restored pixels (c, bottom - top, right - left), clipped to [0, 1].

    Raises:
        UsageError: The region is empty or not within the picture, or as `run_tiled`.

    Example:
        >>> from hyperrestore import Restorer
        >>> read = lambda part: np.full((3, part.bottom - part.top, part.right - part.left), 0.5, np.float32)
        >>> part = Region(left=10, top=20, right=30, bottom=60)
        >>> restore_region(Restorer.load("denoise").at(25), read, part, height=4000, width=6000).shape
        (3, 40, 20)
    """
    check_region(region, height=height, width=width)
    # Windows of the part start where windows of the whole may start, and see as far as the network does.
    seen = Region(
        left=max(0, region.left - backend.halo) // backend.multiple * backend.multiple,
        top=max(0, region.top - backend.halo) // backend.multiple * backend.multiple,
        right=min(width, round_up(region.right + backend.halo, backend.multiple)),
        bottom=min(height, round_up(region.bottom + backend.halo, backend.multiple)),
    )
    restored = run_tiled(backend, read(seen), size=size)
    top, left = region.top - seen.top, region.left - seen.left
    return restored[:, top : top + region.bottom - region.top, left : left + region.right - region.left]


def check_region(region: Region, *, height: int, width: int) -> None:
    """Refuse a region that is not a part of a picture.

    Raises:
        UsageError: It is empty, or not within the picture.
    """
    if not (0 <= region.left < region.right <= width and 0 <= region.top < region.bottom <= height):
        corners = f"from column {region.left} and row {region.top} to {region.right} and {region.bottom}"
        raise UsageError(f"a region {corners} is not a part of a picture of {width} x {height} pixels")


def restore_rows(
    backend: Backend, read: Callable[[int, int], Rows], *, height: int, width: int, size: int = TILE
) -> Iterator[Rows]:
    """Restore a picture that is read and written from top to bottom, in memory for one row of tiles.

    Args:
        backend: Network with its kernels generated for one level.
        read: Gives the rows from top up to, not including, bottom as (c, rows, width). It is asked for
            every row once, from top to bottom.
        height: Height of the picture, pixels.
        width: Width of the picture, pixels.
        size: Side of the kept part of a tile, pixels.

    Yields:
        Restored rows (c, rows, width), from top to bottom, in the precision that `read` gives: integers
        are rounded, floats are clipped to [0, 1].

    Raises:
        UsageError: The picture is empty, or `size` is below 1.
        ValueError: `read` or the backend gives another shape than it was asked for.
    """
    if min(height, width) < 1 or size < 1:
        raise UsageError(f"cannot cut {width}x{height} pixels into tiles of {size}; both must be at least 1")
    columns = spans(width, size=size, halo=backend.halo, multiple=backend.multiple)
    rows = spans(height, size=size, halo=backend.halo, multiple=backend.multiple)
    logger.info("%d x %d pixels, tile size %d, halo %d", width, height, size, backend.halo)
    top, bottom = 0, min(rows[0].read_stop, height)
    held = _read(read, top, bottom, width)  # rows top..bottom
    for row in rows:
        held, top = held[:, row.read_start - top :], row.read_start
        if bottom < min(row.read_stop, height):
            start, bottom = bottom, min(row.read_stop, height)
            held = np.concatenate([held, _read(read, start, bottom, width)], axis=1)
        restored: Rows = np.empty((0, 0, 0), held.dtype)  # until the backend tells how many channels it gives
        for column in columns:
            window = _window(held, row, column)
            result = backend(window)
            if result.ndim != 3 or result.shape[1:] != window.shape[1:]:
                raise ValueError(f"the backend returned {result.shape} for a window {window.shape}")
            if not restored.size:
                restored = np.empty((len(result), row.keep_stop - row.keep_start, width), held.dtype)
            kept = result[
                :,
                row.keep_start - row.read_start : row.keep_stop - row.read_start,
                column.keep_start - column.read_start : column.keep_stop - column.read_start,
            ]
            from_floats(kept, restored[:, :, column.keep_start : column.keep_stop])
        yield restored


def _read(read: Callable[[int, int], Rows], top: int, bottom: int, width: int) -> Rows:
    """Read rows, and check their number: too few would be padded as if the picture ended there."""
    rows = read(top, bottom)
    if rows.ndim != 3 or rows.shape[1:] != (bottom - top, width):
        raise ValueError(f"rows {top} to {bottom} of {width} pixels were asked for, got {rows.shape}")
    return rows


def _window(held: Rows, row: Span, column: Span) -> Pixels:
    """Cut a window out of the rows in memory, and mirror the picture's right and bottom edge if needed."""
    window = to_floats(held[:, :, column.read_start : column.read_stop])
    return mirrored(window, row.read_stop - row.read_start, column.read_stop - column.read_start)


def mirrored(window: Pixels, height: int, width: int) -> Pixels:
    """Pad (c, h, w) to a larger size at the right and bottom.

    A mirrored edge still looks like the picture; a replicated one turns every noisy pixel into a streak.
    """
    rows, columns = height - window.shape[1], width - window.shape[2]
    if not rows and not columns:
        return window
    return np.pad(window, ((0, 0), (0, rows), (0, columns)), mode="reflect")


def to_floats(rows: Rows) -> Pixels:
    """Integers of 8 or 16 bit -> float32 in [0, 1]; floats stay as they are."""
    if np.issubdtype(rows.dtype, np.floating):
        return rows
    return rows.astype(np.float32) / np.float32(np.iinfo(rows.dtype).max)


def from_floats(pixels: Pixels, out: Rows) -> None:
    """Clip to [0, 1] into `out`, rounded to its depth if it holds integers."""
    if np.issubdtype(out.dtype, np.floating):
        np.clip(pixels, 0, 1, out=out, casting="same_kind")
        return
    scaled = np.clip(pixels, 0, 1)
    scaled *= np.iinfo(out.dtype).max
    out[...] = np.rint(scaled, out=scaled)
