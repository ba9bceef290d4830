"""A mask, a picture of any size -> rows of a map of levels, in memory for the requested rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hyperrestore.arrays import Pixels
from hyperrestore.colour import LUMA
from hyperrestore.errors import PictureError
from hyperrestore.picture.bands import resized
from hyperrestore.picture.decode import load
from hyperrestore.picture.reader import MAX_PIXELS
from hyperrestore.picture.vips import reading, vips_library

STRIP = 64  # rows requested at a time from libvips, which keeps several copies of them


def level_rows(
    mask: str | Path,
    *,
    height: int,
    width: int,
    black: float | Sequence[float],
    white: float | Sequence[float],
    max_pixels: int = MAX_PIXELS,
) -> Callable[[int, int], Pixels]:
    """Open a mask as a map of levels; grey means a level in between, a colour counts by its luminance.

    A mask of another size than the picture is resized linearly; its proportions need not be the picture's.

    Args:
        mask: PNG, JPEG, WebP, TIFF or AVIF file.
        height: Of the picture, pixels.
        width: Of the picture, pixels.
        black: Level where the mask is black; or of several axes one each.
        white: Level where the mask is white; of as many axes.
        max_pixels: The most pixels that are accepted.

    Returns:
        Gives the rows from top up to, not including, bottom: (axes, rows, width), levels. They are read
        once, from top to bottom.

    Raises:
        PictureError: The mask cannot be read, or has transparency.
    """
    mask = Path(mask)
    image, info = load(mask, max_pixels, strictly=False)
    if info.has_alpha:
        raise PictureError(f"{mask}: a mask is read by its brightness and has no transparency; flatten it")
    with reading(mask):
        image = image.cast("float") / (2**info.bits - 1)
        if info.channels == 3:
            image = image.recomb(vips_library().Image.new_from_array([list(LUMA)]))
        region = vips_library().Region.new(resized(image, width, height))

    def rows(top: int, bottom: int) -> Pixels:
        values = np.empty((1, bottom - top, width), np.float32)
        with reading(mask):
            for row in range(top, bottom, STRIP):
                count = min(STRIP, bottom - row)
                data = region.fetch(0, row, width, count)
                values[0, row - top : row - top + count] = np.frombuffer(data, np.float32).reshape(count, -1)
        return between(np.clip(values, 0, 1), black, white)

    return rows


def between(shares: Pixels, black: float | Sequence[float], white: float | Sequence[float]) -> Pixels:
    """Levels between two.

    Args:
        shares: 0 for `black`, 1 for `white`; (1, h, w).
        black: A level, or of several axes one each.
        white: A level, or of as many axes one each.

    Returns:
        (axes, h, w), never beyond the two, by rounding either, since a model may refuse such levels.
    """
    first, last = (np.atleast_1d(end)[:, None, None] for end in (black, white))
    levels: Pixels = shares * (last - first).astype(np.float32) + first.astype(np.float32)
    low, high = (end(first, last).astype(np.float32) for end in (np.minimum, np.maximum))
    return levels.clip(low, high)
