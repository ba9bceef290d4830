"""A request -> the repair, checked, and the size of its result."""

from __future__ import annotations

from typing import Protocol

from fastapi import HTTPException

from hyperrestore.level import LevelScale, Task
from hyperrestore.restore.levels import Mask
from hyperrestore.restore.repair import ANY_SIZE, Repair, Size
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.enlarge import enlarged_size
from hyperrestore.web.pages import Page
from hyperrestore.web.photos import LevelMap, Photo
from hyperrestore.web.shared import Shared

FIELDS = {  # of requests, for further levels of a model, by their units
    "softness": "softness",
    "colour noise": "colour_noise",
    "quality": "jpeg_quality",
}


class RepairRequest(Protocol):
    """What a request says about a repair; see `messages.JobRequest`."""

    @property
    def level(self) -> float | None:
        """In the task's unit; None if it is to be estimated, or follows from a size."""

    @property
    def size(self) -> Size:
        """For upscaling: the requested size, if no scale is given."""

    @property
    def softness(self) -> float | None:
        """How soft the photo is, for a task that has this level."""

    @property
    def colour_noise(self) -> float | None:
        """For a photo: the level of the noise of colours."""

    @property
    def jpeg_quality(self) -> float | None:
        """For a photo: the quality at which it was saved."""

    @property
    def map(self) -> str | None:
        """A map of the photo, by its identity."""

    @property
    def map_level(self) -> float | None:
        """The level where the map is black."""

    @property
    def grain(self) -> float:
        """Share of the noise to put back."""


def repair_of(
    restorer: Restorer, page: Page, photo: Photo, asked: RepairRequest, *, reduce: int = 1
) -> tuple[Repair, LevelMap | None]:
    """The requested repair, with its map of levels; a size becomes a scale.

    Args:
        restorer: Of the task.
        page: Whose photo it is.
        photo: What is repaired.
        asked: The request.
        reduce: Reduction factor of the photo. Means of r x r pixels bring its softness about r times nearer
            to the usual one.
    """
    level, size = asked.level, asked.size
    if restorer.task == Task.UPSCALE and any(size):
        *_, level = enlarged_size(photo.info.width, photo.info.height, scale=level, **size._asdict())
        size = ANY_SIZE
    if level is None and (asked.map is not None or asked.map_level is not None):
        raise HTTPException(
            422, f"a map needs the level where it is white; give one in {restorer.scale.unit}"
        )
    levels = further_levels(asked)
    if restorer.scale.unit in levels:
        field = FIELDS[restorer.scale.unit]
        raise HTTPException(
            422, f"{field} is not for {restorer.task}, whose {restorer.scale.unit} is `level`"
        )
    if level is not None:
        levels[restorer.scale.unit] = level
        if restorer.task == Task.PHOTO:
            levels.setdefault("colour noise", level)  # of all noise
    if asked.softness is not None:
        axis = restorer.axis("softness")
        levels[axis.unit] = (axis.check(asked.softness) + (reduce - 1) * axis.origin) / reduce
    if asked.map is None or level is None:
        return Repair(restorer.task, restorer.scales, levels, grain=asked.grain, size=size), None
    level_map = map_of(page, photo, asked.map)
    black = {axis.unit: axis.origin for axis in restorer.axes if axis.unit in levels}
    black[restorer.scale.unit] = weakest(restorer.scale) if asked.map_level is None else asked.map_level
    mask = Mask(level_map.mask, black, levels)
    return Repair(restorer.task, restorer.scales, None, mask, grain=asked.grain, size=size), level_map


def further_levels(asked: RepairRequest) -> dict[str, float]:
    """The levels that a request gives besides that of the task, by their units."""
    given = {unit: getattr(asked, field) for unit, field in FIELDS.items()}
    return {unit: level for unit, level in given.items() if level is not None}


def weakest(scale: LevelScale) -> float:
    """The trained level that changes a picture least."""
    return float(min(scale.trained, key=scale.strength))


def result_size(shared: Shared, repair: Repair, width: int, height: int) -> tuple[int, int]:
    """Width and height of a result, if it is not too large."""
    width, height = repair.result_size(width, height)
    if width * height > shared.limits.result_pixels:
        raise HTTPException(
            422,
            f"the result would have {width} x {height} pixels, and at most {shared.limits.result_pixels} are "
            "allowed; give a smaller scale, or use the command line",
        )
    return width, height


def map_of(page: Page, photo: Photo, identity: str) -> LevelMap:
    """A photo's map of that identity."""
    found = page.maps.get((photo.identity, identity))
    if found is None:
        raise HTTPException(404, "this photo has no such map; PUT /api/photos/PHOTO/map adds one")
    return found
