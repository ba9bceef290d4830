"""A picture that is repaired before it is enlarged: its repaired rows or regions, as floats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hyperrestore.arrays import Pixels, Rows
from hyperrestore.run.engine import Backend, Region, restore_region, restore_rows, to_floats


class RepairedRows:
    """Repaired rows for what asks for them a few at a time, in memory for one row of tiles.

    Args:
        backend: What repairs the picture.
        read: Gives the picture's rows as `engine.restore_rows` asks for them.
        height: Of the picture, pixels.
        width: Of the picture, pixels.
        tile: Side of a tile, pixels.
    """

    def __init__(
        self, backend: Backend, read: Callable[[int, int], Rows], *, height: int, width: int, tile: int
    ) -> None:
        def floats(top: int, bottom: int) -> Pixels:
            return to_floats(read(top, bottom))

        self._parts = restore_rows(backend, floats, height=height, width=width, size=tile)
        self._left: list[Rows] = []  # repaired, and not yet asked for

    def rows(self, top: int, bottom: int) -> Rows:
        """Rows from `top` up to, not including, `bottom`: (c, rows, width), in [0, 1].

        Each call begins where the last one ended.
        """
        count = bottom - top
        parts, self._left = self._left, []
        while sum(part.shape[1] for part in parts) < count:
            parts.append(next(self._parts))
        rows = np.concatenate(parts, axis=1)
        if rows.shape[1] > count:
            self._left = [rows[:, count:].copy()]
        return rows[:, :count]


def repaired_regions(
    backend: Backend, read: Callable[[Region], Rows], *, height: int, width: int, tile: int
) -> Callable[[Region], Pixels]:
    """What gives any region of the repaired picture, as `RepairedRows`; `read` gives any of the picture."""

    def repaired(region: Region) -> Pixels:
        return restore_region(
            backend, lambda part: to_floats(read(part)), region, height=height, width=width, size=tile
        )

    return repaired
