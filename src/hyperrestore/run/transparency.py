"""Colours under transparency: kept away from the visible pixels beside them, which a network mixes with them.

Colours under full transparency are often garbage: black, white, or whatever an editor left there. A network
that sees them lets them bleed into visible pixels, as far as its halo. So it is shown the colours of the
visible surroundings instead, and the hidden pixels of the result are those of the picture.

    picture -> find_surroundings   (a first pass: a small picture of what is visible, without holes)
            -> VisibleRows         (a second: rows without holes, rows as they are, and which to choose)
            -> VisibleOnly         (the network on the former; its result where something is visible)
               or StillVisible     (the same rows again, restored, for another network)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hyperrestore.arrays import Bool, Pixels, Rows
from hyperrestore.run.engine import Backend, level_channels, to_floats

HIDDEN = np.float32(
    1 / 255
)  # the most alpha of a hidden pixel, which changes what is seen by one step of 255
CELL = 16  # pixels a side of a cell of the small picture: 2 to the power of the levels between them
STRIP = 64  # rows computed at a time, a multiple of CELL


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is visible of a picture, reduced and without holes.

    Attributes:
        colours: (c, h / CELL, w / CELL), rounded up, in [0, 1].
        height: Of the picture, pixels.
    """

    colours: Pixels
    height: int


def hidden_pixels(alpha: Rows) -> Bool:
    """Tell which pixels are so transparent that their colour cannot be seen.

    Args:
        alpha: Any shape; integers of 8 or 16 bit, or floats in [0, 1].

    Example:
        >>> hidden_pixels(np.array([0, 1, 2, 255], np.uint8)).tolist()
        [True, True, False, False]
    """
    hidden: Bool = to_floats(alpha) <= HIDDEN
    return hidden


def find_surroundings(read: Callable[[int, int], Rows], *, height: int) -> Surroundings | None:
    """Search a picture for hidden pixels, and for the colours around them.

    Each cell holds the mean of its visible colours, weighted by their alpha. A cell without any gets the
    colours of larger cells, smoothly interpolated, up to one as large as the picture (pull and push:
    S. Gortler et al., "The lumigraph", SIGGRAPH 1996).

    Args:
        read: Gives the rows from top up to, not including, bottom as (c + 1, rows, width), alpha last. It is
            asked for every row once, from top to bottom.
        height: Height of the picture, pixels.

    Returns:
        None if nothing is hidden, or everything is: then the colours are used as they are.
    """
    parts, any_hidden = [], False
    for top in range(0, height, STRIP):
        rows = read(top, min(top + STRIP, height))
        any_hidden = any_hidden or bool(hidden_pixels(rows[-1]).any())
        parts.append(_pyramid(_weighted(rows))[-1])
    sums = np.concatenate(parts, axis=1)
    if not any_hidden or not sums[-1].any():
        return None
    return Surroundings(_filled(sums), height)


class VisibleRows:
    """Rows of a picture for `VisibleOnly`; the same however they are cut.

    Args:
        read: As for `find_surroundings`, from the start again.
        surroundings: What that has found.
        bits: Depth to which the colours that are put in are rounded.
    """

    def __init__(self, read: Callable[[int, int], Rows], surroundings: Surroundings, *, bits: int) -> None:
        self._read = read
        self._colours, self._height = surroundings.colours, surroundings.height
        self._white = 2**bits - 1
        self._start = self._stop = 0
        self._held: Rows = np.empty((0, 0, 0))  # rows start..stop

    def rows(self, top: int, bottom: int) -> Rows:
        """Rows from `top` up to, not including, `bottom`, each call where the last one ended.

        Returns:
            (2 c + 1, bottom - top, width): the picture without what is hidden, the picture, and white where
            the former is to be restored: the visible pixels, and those that touch one, so that no later
            resizing draws hidden colours into what is seen.
        """
        parts = ((row, self._strip(row, min(row + STRIP, bottom))) for row in range(top, bottom, STRIP))
        row, part = next(parts)
        result = np.empty((part.shape[0], bottom - top, part.shape[2]), part.dtype)
        result[:, : part.shape[1]] = part
        for row, part in parts:
            result[:, row - top : row - top + part.shape[1]] = part
        return result

    def _strip(self, top: int, bottom: int) -> Rows:
        # From a cell above to a cell below: no farther do interpolated colours reach.
        first = max(top // CELL - 1, 0) * CELL
        last = min((-(-bottom // CELL) + 1) * CELL, self._height)
        if last > self._stop:
            kept = [self._held[:, max(first - self._start, 0) :]] if self._stop else []
            self._held = np.concatenate([*kept, self._read(self._stop, last)], axis=1)
            self._start, self._stop = max(first, self._start), last
        held = self._held[:, first - self._start : last - self._start]
        own, hidden = held[:-1], hidden_pixels(held[-1])
        inner = slice(top - first, bottom - first)
        shown = np.full((1, *hidden.shape), self._white if held.dtype.kind == "u" else 1, held.dtype)
        if not hidden.any():
            return np.concatenate([own, own, shown], axis=0)[:, inner]
        colours = self._colours[:, first // CELL : -(-last // CELL)]
        pyramid = _pyramid(_weighted(held))
        for sums in reversed(pyramid[1:-1]):
            colours = _pushed(sums, colours)
        colours = np.rint(_doubled(colours, *hidden.shape) * self._white)
        if held.dtype.kind == "f":
            colours /= self._white
        without = np.where(hidden, colours.astype(held.dtype), own)
        shown *= _touched(~hidden)
        return np.concatenate([without, own, shown], axis=0)[:, inner]


class VisibleOnly:
    """A backend that restores the rows of `VisibleRows`, or those rows enlarged.

    Args:
        backend: Restores windows (c, h, w).
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.halo, self.multiple = backend.halo, backend.multiple
        self.axes = level_channels(backend)

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore the first c of 2 c + 1 channels (h, w), with the next c where nothing is visible.

        Further channels, the levels, go to the backend. The result has c channels.
        """
        c = (len(window) - 1 - self.axes) // 2
        own, shown, levels = window[c : 2 * c], window[2 * c] > 0.5, window[2 * c + 1 :]
        if not shown.any():
            return own
        restored: Pixels = np.where(shown, self._backend(np.concatenate([window[:c], levels])), own)
        return restored


class StillVisible:
    """A backend that makes of rows as of `VisibleRows` such rows, restored, for what comes after it.

    What stands in the place of hidden colours is restored like the rest, so that no edge comes of it.

    Args:
        backend: Restores windows (c, h, w).
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.halo, self.multiple = backend.halo, backend.multiple

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore the first c of 2 c + 1 channels, and the next c where something is visible."""
        c = (len(window) - 1) // 2
        own, shown = window[c : 2 * c], window[2 * c :]
        restored = self._backend(window[:c])
        return np.concatenate([restored, np.where(shown > 0.5, restored, own), shown])


def _weighted(rows: Rows) -> Pixels:
    """(c + 1, h, w): colours multiplied by alpha, and alpha; both 0 where the pixel is hidden."""
    floats = to_floats(rows).astype(np.float32)
    alpha = np.where(hidden_pixels(rows[-1:]), np.float32(0), floats[-1:])
    return np.concatenate([floats[:-1] * alpha, alpha])


def _pyramid(weighted: Pixels) -> list[Pixels]:
    """Sums over pixels, over 2x2, 4x4, ... up to a cell."""
    levels = [weighted]
    for _ in range(CELL.bit_length() - 1):
        levels.append(_halved(levels[-1]))
    return levels


def _halved(sums: Pixels) -> Pixels:
    """Sums over 2x2. Added one by one, so that they do not depend on how a picture is cut."""
    sums = np.pad(sums, ((0, 0), (0, sums.shape[1] % 2), (0, sums.shape[2] % 2)))
    rows = sums[:, ::2] + sums[:, 1::2]
    halved: Pixels = rows[:, :, ::2] + rows[:, :, 1::2]
    return halved


def _doubled(colours: Pixels, height: int, width: int) -> Pixels:
    """Linear interpolation to twice the size, cut to (c, height, width)."""
    for axis in (1, 2):
        count = colours.shape[axis]
        before, after = np.arange(count) - 1, np.arange(count) + 1
        mean = np.float32(0.75) * colours
        doubled = [
            mean + np.float32(0.25) * colours.take(places.clip(0, count - 1), axis)
            for places in (before, after)
        ]
        shape = list(colours.shape)
        shape[axis] *= 2
        colours = np.stack(doubled, axis=axis + 1).reshape(shape)
    return colours[:, :height, :width]


def _pushed(sums: Pixels, coarser: Pixels) -> Pixels:
    """Colours of a level: its own where it has any, and those of the coarser level for the rest."""
    alpha = sums[-1:]
    share = np.minimum(alpha, np.float32(1))
    own = sums[:-1] / np.maximum(alpha, np.finfo(np.float32).tiny)
    colours: Pixels = share * own + (np.float32(1) - share) * _doubled(coarser, *sums.shape[1:])
    return colours


def _filled(sums: Pixels) -> Pixels:
    if sums.shape[1:] == (1, 1):
        mean: Pixels = sums[:-1] / sums[-1:]
        return mean
    return _pushed(sums, _filled(_halved(sums)))


def _touched(visible: Bool) -> Bool:
    """The visible pixels and the eight around each."""
    wide = visible.copy()
    wide[:, 1:] |= visible[:, :-1]
    wide[:, :-1] |= visible[:, 1:]
    high = wide.copy()
    high[1:] |= wide[:-1]
    high[:-1] |= wide[1:]
    return high
