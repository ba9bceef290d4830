"""Checks of a repair that is asked for: its level, size, softness, map and grain."""

from __future__ import annotations

from typing import NamedTuple

from fastapi import HTTPException

from hyperrestore.level import Task
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.enlarge import enlarged_size
from hyperrestore.web.pages import Page
from hyperrestore.web.photos import LevelMap, Photo
from hyperrestore.web.shared import Shared


class Size(NamedTuple):
    """How large the result of upscaling is to be, pixels, where no scale says it; one of them at most."""

    to_width: int | None
    to_height: int | None
    long_side: int | None


def level_of(restorer: Restorer, photo: Photo, level: float | None, size: Size) -> float | None:
    """The level that is asked for, of upscaling also by a size; None where it is to be found out."""
    if restorer.task != Task.UPSCALE:
        if any(size):
            raise HTTPException(422, f"{restorer.task} keeps the size of a photo; task upscale takes another")
        return level
    if level is not None and not any(size):
        return level
    return enlarged_size(photo.info.width, photo.info.height, scale=level, **size._asdict())[2]


def result_size(shared: Shared, restorer: Restorer, width: int, height: int, level: float) -> tuple[int, int]:
    """Width and height of a result, if it is not too large."""
    width, height = restorer.result_size(width, height, level)
    if width * height > shared.limits.result_pixels:
        raise HTTPException(
            422,
            f"the result would have {width} x {height} pixels, and at most {shared.limits.result_pixels} are "
            "allowed; give a smaller scale, or use the command line",
        )
    return width, height


def check_extras(
    restorer: Restorer, *, softness: float | None, mapped: bool, map_level: float | None, grain: float
) -> None:
    """Refuse softness, maps and grain where the task has no use for them, and values out of range."""
    if softness is not None:
        restorer.axis("softness").check(softness)
    if mapped and restorer.task == Task.UPSCALE:
        raise HTTPException(422, "a map of levels is not for upscaling: its level is the size of the result")
    if mapped and map_level is not None:
        restorer.scale.check(map_level)
    if grain and restorer.task != Task.DENOISE:
        raise HTTPException(422, f"grain puts noise back, and {restorer.task} removes none")


def map_of(page: Page, photo: Photo, identity: str) -> LevelMap:
    """A photo's map of that identity."""
    found = page.maps.get((photo.identity, identity))
    if found is None:
        raise HTTPException(404, "this photo has no such map; PUT /api/photos/PHOTO/map adds one")
    return found
