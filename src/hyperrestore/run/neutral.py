"""Neutral stays neutral: where a network sees nothing but R = G = B, its result is R = G = B.

A network trained on colours leaves a tint of a step or two in a black-and-white picture. So what it adds is
averaged over the channels there, as for a picture with one channel. A black-and-white picture stored as RGB
then gives the same result as its grey twin.

The rule is local, so that it holds for tiles and regions as for the whole: a pixel of the result is neutral
if all pixels that the network sees from there are neutral. A single neutral pixel among coloured ones is not
affected: in noise it is neutral by chance.
"""

from __future__ import annotations

import numpy as np

from hyperrestore.arrays import Bool, Pixels


def only_neutral_seen(window: Pixels, halo: int) -> Bool | None:
    """Tell from which pixels of a window nothing coloured is seen.

    Args:
        window: (3, h, w), RGB.
        halo: How far a pixel sees in each direction, pixels.

    Returns:
        (h, w); None if there is no such pixel.

    Example:
        >>> window = np.zeros((3, 1, 6), np.float32)
        >>> window[0, 0, 1] = 0.5
        >>> only_neutral_seen(window, 2).tolist()
        [[False, False, False, False, True, True]]
    """
    coloured: Bool = (window[0] != window[1]) | (window[0] != window[2])
    if not coloured.any():
        return np.ones(coloured.shape, np.bool_)
    if _nothing_neutral(coloured, halo + 1):
        return None
    neutral = ~_spread(_spread(coloured, halo).T, halo).T
    return neutral if neutral.any() else None


def without_tint(added: Pixels, neutral: Bool | None) -> Pixels:
    """Average (3, h, w) over its channels where the mask (h, w) says so."""
    if neutral is None:
        return added
    result: Pixels = np.where(neutral, added.mean(axis=0, keepdims=True), added)
    return result


def _nothing_neutral(coloured: Bool, side: int) -> bool:
    """Whether every square of that side certainly holds something coloured: a quick answer for most photos.

    From every pixel at least such a square is seen, even from the corner of a picture.
    """
    half = max(1, side // 2)  # a cell of half the side lies wholly within any such square
    height, width = (length // half for length in coloured.shape)
    if not height or not width:
        return False
    cells = coloured[: height * half, : width * half].reshape(height, half, width, half)
    return bool(cells.any(axis=(1, 3)).all())


def _spread(coloured: Bool, distance: int) -> Bool:
    """Spread a mask along its columns by so many pixels, up and down."""
    height = len(coloured)
    above = np.zeros((height + 1, coloured.shape[1]), np.int32)  # coloured pixels above a row
    np.cumsum(coloured, axis=0, out=above[1:])
    rows = np.arange(height)
    spread: Bool = above[np.minimum(rows + distance + 1, height)] > above[np.maximum(rows - distance, 0)]
    return spread
