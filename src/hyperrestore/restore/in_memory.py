"""A picture or an array in memory, and a repair -> a part of the result."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hyperrestore.arrays import Pixels
from hyperrestore.floats import check_picture
from hyperrestore.picture.file import Picture
from hyperrestore.restore.assembly import Model, Seen, Step, assemble, map_rows, with_levels
from hyperrestore.restore.repair import Repair
from hyperrestore.run.engine import Region
from hyperrestore.run.linear_light import in_linear_light, to_perceptual
from hyperrestore.run.transparency import VisibleRows, find_surroundings


def restore_part(
    model: Model, repair: Repair, image: Picture | Pixels, region: Region, *, tile: int | None = None
) -> Pixels:
    """Restore a part of a picture.

    Args:
        model: The model.
        repair: The repair, with given levels.
        image: The whole picture; samples of an array (c, h, w) are assumed to be spaced as in sRGB.
        region: Of the result, pixels.
        tile: Side of a tile, pixels of the result; None for the usual.

    Returns:
        (c, bottom - top, right - left), in the type of the picture's pixels, clipped to [0, 1].

    Raises:
        LevelError: The result would be too large.
        UsageError: The image is not a picture, a map of levels has another size, the region is not within the
            result, or the picture has too many bits for the precision of the model.
    """
    pixels = pixels_of(image)
    height, width = pixels.shape[1:]
    shown = _as_seen(image, pixels)
    bits = image.info.bits if isinstance(image, Picture) else 16
    seen = Seen(width, height, bits, visible_only=shown.visible_only, linear=shown.linear)

    def read(part: Region) -> Pixels:
        return shown.pixels[:, part.top : part.bottom, part.left : part.right]

    reads = read
    if repair.level_map is not None:
        levels = map_rows(repair, height=height, width=width)(0, height)
        reads = with_levels(read, lambda part: levels[:, part.top : part.bottom, part.left : part.right])
    assembly = assemble([Step.of(model, repair, width, height)], seen)
    return assembly.region(reads, region, tile=tile).astype(pixels.dtype, copy=False)


def pixels_of(image: Picture | Pixels) -> Pixels:
    """The pixels (c, h, w) of a picture, or the array itself.

    Raises:
        UsageError: The image is neither a picture nor floats about [0, 1] (see `floats`).
    """
    pixels = image.pixels if isinstance(image, Picture) else np.asarray(image)
    check_picture(pixels)
    return pixels


class _Shown(NamedTuple):
    pixels: Pixels
    visible_only: bool  # whether these are rows of `VisibleRows`
    linear: bool  # whether they were encoded, so that the result must be decoded


def _as_seen(image: Picture | Pixels, pixels: Pixels) -> _Shown:
    """A picture as the network sees it."""
    if not isinstance(image, Picture):
        return _Shown(pixels, visible_only=False, linear=False)
    linear = in_linear_light(image.info)
    if linear:
        pixels = to_perceptual(pixels)
    without = _without_hidden(image, pixels)
    return _Shown(pixels if without is None else without, visible_only=without is not None, linear=linear)


def _without_hidden(image: Picture, pixels: Pixels) -> Pixels | None:
    """The rows of `VisibleRows`; None where nothing is hidden."""
    if image.alpha is None:
        return None
    bands = np.concatenate([pixels, image.alpha])

    def read(top: int, bottom: int) -> Pixels:
        return bands[:, top:bottom]

    surroundings = find_surroundings(read, height=bands.shape[1])
    if surroundings is None:
        return None
    return VisibleRows(read, surroundings, bits=image.info.bits).rows(0, bands.shape[1])
