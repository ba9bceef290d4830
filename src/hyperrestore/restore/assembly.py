"""A repair and a picture -> the networks with all that surrounds them, and rows or a region of the result.

    Seen       how networks see a picture: its size, with or without hidden colours, encoded or not
    Step       one model, at its levels for this picture
    assemble   networks, grain, one after the other, hidden colours, linear light, enlargement -> Assembly
               (what repairs a picture before it is enlarged works on the small one)
    Assembly   .rows: the whole result from top to bottom; .region: a part of it

The command line, Python, folders, sheets and the page all use these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Protocol

import numpy as np

from hyperrestore.arrays import Pixels, Rows
from hyperrestore.errors import UsageError
from hyperrestore.level import Task, kinds_of
from hyperrestore.picture.reader import MAX_PIXELS
from hyperrestore.restore.levels import Mask
from hyperrestore.restore.repair import Repair, TaskAndScales
from hyperrestore.run.beforehand import RepairedRows, repaired_regions
from hyperrestore.run.engine import (
    TILE,
    Backend,
    Chain,
    Grain,
    Region,
    Relevelled,
    check_region,
    from_floats,
    level_channels,
    restore_region,
    restore_rows,
    to_floats,
)
from hyperrestore.run.enlarge import STRIP, Enlargement, enlarged_region, enlarged_size
from hyperrestore.run.level_map import level_rows
from hyperrestore.run.linear_light import LinearResult, to_linear
from hyperrestore.run.subpixels import TILE as SMALL_TILE
from hyperrestore.run.subpixels import SubpixelBackend, Upscaled, has_subpixels, tile_of
from hyperrestore.run.tiles import spans
from hyperrestore.run.transparency import StillVisible, VisibleOnly

FLOATS_TILE = TILE * 2 // 3  # pixels: rows that are held as floats take more memory than those of a file


class Model(TaskAndScales, Protocol):
    """The part of a `Restorer` that a repair needs."""

    def network(self, levels: tuple[float, ...], *, bits: int, pixels: int | None = None) -> Backend:
        """The network for levels that were checked already."""

    def mapped(self, *, bits: int) -> Backend:
        """The network for a level of each pixel."""


@dataclass(frozen=True)
class Seen:
    """How networks see a picture.

    Attributes:
        width: Pixels.
        height: Pixels.
        bits: Depth of its samples.
        visible_only: Whether it is read as rows of `transparency.VisibleRows`.
        linear: Whether it was encoded (see `linear_light`), so that the result must be decoded.
    """

    width: int
    height: int
    bits: int
    visible_only: bool
    linear: bool


@dataclass(frozen=True)
class Step:
    """One model, and what it does to one picture.

    Attributes:
        model: The model.
        levels: One for each axis, checked; None if they are read from a map, with the picture.
        grain: Share of the luminance noise to put back; JPEG damage that is repaired as well stays away.
    """

    model: Model
    levels: tuple[float, ...] | None
    grain: float = 0.0

    @classmethod
    def of(cls, model: Model, repair: Repair, width: int, height: int) -> Step:
        """The step of a repair with given levels, for a picture of that size, pixels."""
        return cls(model, repair.levels_for(width, height), repair.grain)

    def network(self, bits: int, pixels: int) -> Backend:
        """The backend that restores windows of the picture."""
        backend = self._at(self.levels, bits, pixels)
        return self._with_grain(backend, bits, pixels) if self.grain else backend

    def _with_grain(self, backend: Backend, bits: int, pixels: int) -> Backend:
        """The backend with a share of the noise, but with none of what is repaired besides."""
        of_noise = [kind == Task.DENOISE for kind in kinds_of(self.model.task, len(self.model.scales))]
        if all(of_noise):
            return Grain(backend, self.grain)
        axes = zip(self.model.scales, of_noise, strict=True)
        noisy = [axis.origin if is_noise else None for axis, is_noise in axes]
        if self.levels is None:
            return Grain(backend, self.grain, Relevelled(backend, noisy))
        levels = tuple(own if level is None else level for own, level in zip(self.levels, noisy, strict=True))
        if levels == self.levels:  # no noise is removed
            return backend
        return Grain(backend, self.grain, self._at(levels, bits, pixels))

    def _at(self, levels: tuple[float, ...] | None, bits: int, pixels: int) -> Backend:
        if levels is None:
            return self.model.mapped(bits=bits)
        return self.model.network(levels, bits=bits, pixels=pixels)


def assemble(steps: Sequence[Step], seen: Seen, *, quick: bool = False) -> Assembly:
    """Put together what restores a picture.

    Args:
        steps: In the order in which they repair it; the last may upscale what the others have repaired. None
            leaves it as it is.
        seen: The picture.
        quick: Use the graph for small pictures (see `Restorer.at`): sooner ready, and may differ by a
            rounding.

    Raises:
        LevelError: The result would be too large.
        UsageError: A model has no map of levels, or the picture has too many bits for its precision.
    """
    width, height = seen.width, seen.height
    pixels = 0 if quick else width * height
    if not steps or steps[-1].model.task != Task.UPSCALE or steps[-1].levels is None:
        return Assembly(_in_turn([step.network(seen.bits, pixels) for step in steps]), seen, (height, width))
    *before, last = steps
    scale, *further = steps[-1].levels
    width, height, _ = enlarged_size(width, height, scale=scale)
    if (width, height) == (seen.width, seen.height):  # nothing is enlarged: the scale is 1
        last = replace(last, levels=(1.0, *further))
    return Assembly(
        last.network(seen.bits, 0 if quick else width * height),
        seen,
        (height, width),
        _in_turn([step.network(seen.bits, pixels) for step in before]) if before else None,
    )


def _in_turn(networks: Sequence[Backend]) -> Backend:
    return networks[0] if len(networks) == 1 else Chain(networks)


@dataclass(frozen=True)
class Assembly:
    """Networks for one picture, with all that surrounds them.

    Attributes:
        backend: The networks.
        seen: The picture.
        to: Height and width of the result, pixels.
        beforehand: Networks that repair the picture before it is enlarged; None for none.
    """

    backend: Backend
    seen: Seen
    to: tuple[int, int]
    beforehand: Backend | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture, pixels."""
        return self.seen.height, self.seen.width

    def rows(
        self,
        read: Callable[[int, int], Rows],
        *,
        tile: int | None = None,
        progress: Callable[[int, int], None] = lambda done, tiles: None,
    ) -> Iterator[Rows]:
        """The whole result from top to bottom, in memory for one row of tiles.

        Args:
            read: Gives the rows of the picture as networks are to see it. It is asked for every row once,
                from top to bottom.
            tile: Side of a tile, pixels of the result, and of what is repaired before it is enlarged; None
                for the usual.
            progress: Called with the number of tiles done and of all tiles.

        Returns:
            Rows (c, rows, width) in the precision that `read` gives.

        Raises:
            UsageError: `tile` is below 1.
        """
        check_tile(tile)
        done = count(1)
        windows = 0

        def step() -> None:
            progress(next(done), windows)

        if self.beforehand is not None:
            first, side = self._first_backend(self.beforehand), tile or FLOATS_TILE
            windows = _windows(first, self.size, side)
            height, width = self.size
            read = RepairedRows(Watched(first, after=step), read, height=height, width=width, tile=side).rows
        if has_subpixels(self.backend):
            small = tile_of(tile, self.to[1] / self.size[1])
            upscaled = self._upscaled(Watched(self.backend, after=step))
            windows += upscaled.windows(small)
            return upscaled.rows(read, tile=small)
        enlarged = self.size != self.to
        side = tile or (FLOATS_TILE if enlarged else TILE)
        backend = self._whole_backend()
        windows += _windows(backend, self.to, side)
        if enlarged:
            read = Enlargement(read, size=self.size, to=self.to).rows
        watched = Watched(backend, after=step)
        return restore_rows(watched, read, height=self.to[0], width=self.to[1], size=side)

    def region(
        self,
        read: Callable[[Region], Rows],
        region: Region,
        *,
        tile: int | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> Pixels:
        """A part of the result: the same as `rows` gives, as floats.

        Args:
            read: Gives any region of the picture as networks see it, (c, h, w).
            region: Of the result, pixels.
            tile: Side of a tile, pixels of the result; None for the usual.
            before: Called before every tile; what it raises ends the work.

        Returns:
            (c, bottom - top, right - left), clipped to [0, 1].

        Raises:
            UsageError: The region is not within the result, or `tile` is below 1.
        """
        check_tile(tile)
        height, width = self.to
        check_region(region, height=height, width=width)
        if self.beforehand is not None:
            first = Watched(self._first_backend(self.beforehand), before=before)
            read = repaired_regions(
                first, read, height=self.size[0], width=self.size[1], tile=tile or FLOATS_TILE
            )
        if has_subpixels(self.backend):
            upscaled = self._upscaled(Watched(self.backend, before=before))
            small = min(tile_of(tile, width / self.size[1]), SMALL_TILE)
            return upscaled.region(read, region, tile=small)

        def floats(part: Region) -> Pixels:
            return to_floats(read(part))

        def enlarged(part: Region) -> Pixels:
            return enlarged_region(floats, part, size=self.size, to=self.to)

        return restore_region(
            Watched(self._whole_backend(), before=before),
            floats if self.size == self.to else enlarged,
            region,
            height=height,
            width=width,
            size=TILE if tile is None else tile,
        )

    def _upscaled(self, backend: SubpixelBackend) -> Upscaled:
        return Upscaled(
            backend,
            size=self.size,
            to=self.to,
            visible_only=self.seen.visible_only,
            finish=to_linear if self.seen.linear else None,
        )

    def _first_backend(self, beforehand: Backend) -> Backend:
        """What makes windows of the picture, as it is seen, of such windows before they are repaired."""
        return StillVisible(beforehand) if self.seen.visible_only else beforehand

    def _whole_backend(self) -> Backend:
        """The backend for windows of the picture as it is seen, already enlarged if it is upscaled."""
        backend = VisibleOnly(self.backend) if self.seen.visible_only else self.backend
        return LinearResult(backend) if self.seen.linear else backend


def _windows(backend: Backend, size: tuple[int, int], tile: int) -> int:
    """How many windows a picture of that height and width is cut into."""
    down, across = (
        len(spans(length, size=tile, halo=backend.halo, multiple=backend.multiple)) for length in size
    )
    return down * across


class Watched:
    """A backend that calls something before and after every window.

    Args:
        backend: What restores windows, or gives sub-pixels of them.
        before: Called before every window.
        after: Called after it.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._backend, self._before, self._after = backend, before, after
        self.halo, self.multiple = backend.halo, backend.multiple
        self.axes = level_channels(backend)
        self.subpixels = backend.subpixels if has_subpixels(backend) else 1

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a window."""
        self._before()
        restored = self._backend(window)
        self._after()
        return restored


def with_levels(read: Callable[..., Rows], levels: Callable[..., Pixels]) -> Callable[..., Pixels]:
    """Rows or regions of a picture as floats, with their levels as the last channels."""

    def together(*place: Any) -> Pixels:
        pixels = to_floats(read(*place))
        return np.concatenate([pixels, levels(*place).astype(pixels.dtype, copy=False)])

    return together


def map_rows(
    repair: Repair, *, height: int, width: int, max_pixels: int = MAX_PIXELS
) -> Callable[[int, int], Pixels]:
    """Rows of a repair's map of levels, (axes, rows, width), for a picture of that size.

    Raises:
        PictureError: A mask cannot be read, or has transparency.
        UsageError: An array has another size than the picture.
    """
    level_map, (black, white) = repair.level_map, repair.ends
    if isinstance(level_map, Mask):
        return level_rows(
            level_map.path, height=height, width=width, black=black, white=white, max_pixels=max_pixels
        )
    if level_map is None:
        raise UsageError("this repair has no map of levels")
    if level_map.shape[-2:] != (height, width):
        shape = (*level_map.shape[:-2], height, width)
        raise UsageError(
            f"levels of shape {level_map.shape} and type {level_map.dtype} do not fit: a picture of "
            f"{width} x {height} pixels takes numbers {shape}"
        )
    maps = level_map if level_map.ndim == 3 else level_map[None]
    others = black[len(maps) :]  # the same everywhere

    def rows(top: int, bottom: int) -> Pixels:
        own = maps[:, top:bottom]
        if not others:
            return own
        # A level beside a map of integers need not be one.
        alike = [np.full((1, *own.shape[1:]), level, np.float32) for level in others]
        return np.concatenate([own, *alike])

    return rows


def stored(rows: Rows, dtype: np.dtype[Any]) -> Rows:
    """Rows converted to another depth, such as that of a file."""
    if rows.dtype == dtype:
        return rows
    result = np.empty(rows.shape, dtype)
    for top in range(0, rows.shape[1], STRIP):
        from_floats(rows[:, top : top + STRIP], result[:, top : top + STRIP])
    return result


def check_tile(tile: int | None) -> None:
    """Refuse a tile without pixels.

    Raises:
        UsageError: It is one.
    """
    if tile is not None and tile < 1:
        raise UsageError(f"a tile of {tile} pixels was asked for; give at least 1")
