"""A TIFF of floats -> integers of 16 bits, where its colour profile says what the floats mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperrestore.errors import PictureError
from hyperrestore.picture.forked import before_threads

MOST_BEYOND = 0.05  # of [0, 1], that is clipped, as resampling leads there; what lies farther off is HDR
_WHITE = 65535


def with_integers(decode: Callable[..., Any]) -> Callable[..., Any]:
    """Let what opens a TIFF as a libvips image give floats as integers of 16 bits, clipped to [0, 1]."""

    def decoded(*arguments: Any, **options: Any) -> Any:
        image = decode(*arguments, **options)
        if image.format != "float" or image.interpretation not in ("scrgb", "b-w", "rgb", "srgb"):
            return image
        interpretation = "grey16" if image.interpretation == "b-w" else "rgb16"
        return (image * _WHITE).rint().cast("ushort").copy(interpretation=interpretation)

    return decoded


def check_floats_of(path: Path, image: Any) -> list[str]:
    """Look through the floats of a TIFF before they are rounded.

    Args:
        path: The file, for messages.
        image: A libvips image of it, that is read once from top to bottom.

    Returns:
        A sentence for each thing that rounding them changes.

    Raises:
        PictureError: There is no colour profile, or floats that are not finite or far outside of [0, 1].
    """
    kind = f"{path}: has samples of type {image.format}"
    if not image.get_typeof("icc-profile-data"):
        raise PictureError(
            f"{kind} and no colour profile, so they may or may not be in linear light; add a profile, "
            "or convert it to 16-bit integers first"
        )
    before_threads(str(path))
    low, high, total = image.stats().numpy()[0, :3].tolist()
    if not math.isfinite(total):
        raise PictureError(f"{kind}, some of which are infinite or not a number; convert it first")
    if low < -MOST_BEYOND or high > 1 + MOST_BEYOND:
        raise PictureError(
            f"{kind} that range from {low:g} to {high:g}; only 0 to 1 can be read: scale it first"
        )
    notes = ["rounded from floats to 16 bits"]
    if low < 0 or high > 1:
        notes.append(f"clipped to the range 0 to 1, because its floats ranged from {low:g} to {high:g}")
    return notes
