"""Colour samples, of which a film has fewer than pixels, at each pixel and back again.

Between colour samples lie straight lines. What is made of the pixels is the least-squares inverse of that:
the samples from which the lines come closest to them. So samples that are enlarged and shrunk again are the
same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from hyperrestore.arrays import Float32

Place = Literal["first", "middle"]  # among the pixels that share a sample, where the sample is taken


@dataclass(frozen=True)
class Siting:
    """Where colour samples lie among the pixels.

    Attributes:
        name: As FFmpeg has it, such as "left" and "topleft".
        across: Along a row.
        down: Along a column.
    """

    name: str
    across: Place
    down: Place


SITINGS = {
    siting.name: siting
    for siting in (
        Siting("left", "first", "middle"),
        Siting("center", "middle", "middle"),
        Siting("topleft", "first", "first"),
        Siting("top", "middle", "first"),
    )
}


@dataclass(frozen=True)
class Grid:
    """The colour samples of pictures of one size.

    Attributes:
        height: Pixels.
        width: Pixels.
        apart: Pixels from one sample to the next, (in a column, in a row): 1, 2 or 4.
        siting: Where the samples lie.
    """

    height: int
    width: int
    apart: tuple[int, int]
    siting: Siting

    def at_pixels(self, samples: Float32) -> Float32:
        """Samples (rows, columns) -> colours (height, width)."""
        for axis, (up, _) in enumerate(self._axes()):
            samples = _along(samples, up, axis)
        return samples

    def samples(self, colours: Float32) -> Float32:
        """Colours (height, width) -> samples (rows, columns)."""
        for axis, (_, down) in enumerate(self._axes()):
            colours = _along(colours, down, axis)
        return colours

    def _axes(self) -> tuple[tuple[Float32 | None, Float32 | None], ...]:
        (down, across), siting = self.apart, self.siting
        return _matrices(self.height, down, siting.down), _matrices(self.width, across, siting.across)


def _along(values: Float32, matrix: Float32 | None, axis: int) -> Float32:
    if matrix is None:
        return values
    result: Float32 = matrix @ values if axis == 0 else values @ matrix.T
    return result


@cache
def _matrices(length: int, apart: int, place: Place) -> tuple[Float32 | None, Float32 | None]:
    """What enlarges a line of samples to `length` pixels, and what shrinks it again; None for neither."""
    if apart == 1:
        return None, None
    count = -(-length // apart)
    offset = (apart - 1) / 2 if place == "middle" else 0.0
    position = np.clip((np.arange(length) - offset) / apart, 0, count - 1)  # in samples
    left = np.minimum(position.astype(int), max(count - 2, 0))
    share = position - left
    up = np.zeros((length, count))
    up[np.arange(length), left] = 1 - share
    up[np.arange(length), np.minimum(left + 1, count - 1)] += share
    down = np.linalg.solve(up.T @ up, up.T)
    return up.astype(np.float32), down.astype(np.float32)
