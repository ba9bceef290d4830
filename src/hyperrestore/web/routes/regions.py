"""Regions of a photo or of its result, as they are shown."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import Response
from pydantic import FiniteFloat
from starlette.requests import ClientDisconnect

from hyperrestore.arrays import Rows
from hyperrestore.level import Task
from hyperrestore.restore.repair import Repair, Size
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import Region
from hyperrestore.web.messages import ShippedTask
from hyperrestore.web.pages import Page
from hyperrestore.web.photos import REDUCTIONS, LevelMap, Photo
from hyperrestore.web.restoring import Viewed
from hyperrestore.web.routes.repair import repair_of, result_size
from hyperrestore.web.routes.request import FoundPage, FoundPhoto, Here, failures, unless_gone
from hyperrestore.web.shared import Shared, add_reduced

router = APIRouter()


@dataclass(frozen=True)
class View:
    """A region to be shown; see `_view`."""

    region: Region
    reduce: int
    task: Task | None
    level: float | None
    size: Size
    softness: float | None
    colour_noise: float | None
    jpeg_quality: float | None
    map: str | None
    map_level: float | None
    grain: float
    quick: bool
    background: bool


def _view(
    left: Annotated[int, Query(ge=0)],
    top: Annotated[int, Query(ge=0)],
    width: Annotated[int, Query(ge=1)],
    height: Annotated[int, Query(ge=1)],
    reduce: Annotated[int, Query(description="1, 2, 4, ... 64: how much smaller the photo is shown.")] = 1,
    task: Annotated[ShippedTask | None, Query(description="Without it the photo itself is shown.")] = None,
    level: Annotated[float | None, Query(description="In the task's unit.")] = None,
    to_width: Annotated[int | None, Query(ge=1, description="For upscaling: width of the result.")] = None,
    to_height: Annotated[int | None, Query(ge=1, description="For upscaling: height of the result.")] = None,
    long_side: Annotated[
        int | None, Query(ge=1, description="For upscaling: longer side of the result.")
    ] = None,
    softness: Annotated[
        float | None, Query(description="How soft the photo is, for a task with this level.")
    ] = None,
    colour_noise: Annotated[
        float | None, Query(description="For `photo`: the noise of colours; by default as `level`.")
    ] = None,
    jpeg_quality: Annotated[
        float | None, Query(description="For `photo`: the quality at which it was saved, 100 for none.")
    ] = None,
    map: Annotated[str | None, Query(description="A map of the photo.")] = None,
    map_level: Annotated[FiniteFloat | None, Query(description="The level where the map is black.")] = None,
    grain: Annotated[float, Query(ge=0, le=1, description="Share of the noise to put back.")] = 0.0,
    quick: Annotated[bool, Query(description="May differ by a rounding, and is faster.")] = False,
    priority: Annotated[Literal["now", "background"], Query()] = "now",
) -> View:
    region = Region(left, top, left + width, top + height)
    size = Size(to_width, to_height, long_side)
    background = priority == "background"
    further = softness, colour_noise, jpeg_quality
    return View(region, reduce, task, level, size, *further, map, map_level, grain, quick, background)


def _units(restorer: Restorer, repair: Repair) -> str:
    """The units of the levels that are missing."""
    estimated = zip(restorer.scales, repair.estimated, strict=True)
    return " and ".join(axis.unit for axis, kind in estimated if kind is not None)


@router.get(
    "/api/photos/{photo}/region",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **failures(400, 404, 422, 429)},
)
async def show_region(
    shared: Here,
    page: FoundPage,
    photo: FoundPhoto,
    request: Request,
    view: Annotated[View, Depends(_view)],
) -> Response:
    """A region of the photo, or of its result at a level, as PNG in sRGB with 8 bits.

    Where `reduce` is 1 and `quick` is not set it equals the same region of the full result, and the header
    X-Exact says yes. With a larger `reduce` the photo is first reduced, and then restored: a preview.
    """
    if view.reduce not in REDUCTIONS:
        raise HTTPException(422, f"reduce {view.reduce} is not accepted; give one of {REDUCTIONS}")
    size = photo.size(view.reduce)
    restorer = None if view.task is None else shared.restorers[view.task]
    repair = level_map = None
    if restorer is not None:
        repair, level_map = repair_of(restorer, page, photo, view, reduce=view.reduce)
        if repair.is_automatic:
            raise HTTPException(422, f"{view.task} needs a level; give one in {_units(restorer, repair)}")
        size = result_size(shared, repair, *size)
    _check_region(view.region, size, shared.limits.view_pixels)
    if view.reduce not in photo.inputs or (level_map and view.reduce not in level_map.shares):
        await unless_gone(request, page, shared.files.submit(add_reduced, photo, level_map, view.reduce))
    if repair is None:
        showing = shared.encoder.submit(shared.stages.timed("encode", photo.shown), view.region, view.reduce)
    else:
        left = threading.Event()
        waiting = _restore(shared, page, photo, view, repair, level_map, left)
        try:
            rows = await unless_gone(request, page, waiting)
        except ClientDisconnect:
            left.set()
            raise
        encode = shared.stages.timed("encode", photo.shown_result)
        showing = shared.encoder.submit(encode, rows, view.region, view.reduce, size)
    png = await unless_gone(request, page, showing)
    exact = "yes" if view.reduce == 1 and not view.quick else "no"
    return Response(png, media_type="image/png", headers={"X-Exact": exact})


def _check_region(region: Region, size: tuple[int, int], most: int) -> None:
    """Refuse a region that is not within a picture of that size, or has more than `most` pixels."""
    width, height = size
    if region.right > width or region.bottom > height:
        raise HTTPException(
            422, f"columns {region.left} to {region.right} and rows {region.top} to {region.bottom} were "
            f"asked for, and there are {width} x {height} pixels"
        )  # fmt: skip
    if (region.right - region.left) * (region.bottom - region.top) > most:
        raise HTTPException(422, f"a region has at most {most} pixels; ask for it in parts")


def _restore(
    shared: Shared,
    page: Page,
    photo: Photo,
    view: View,
    repair: Repair,
    level_map: LevelMap | None,
    left: threading.Event,
) -> Future[Rows]:
    """Queue a region to be restored; `left` is set when nobody waits for it any more."""

    def between() -> None:
        if left.is_set():
            raise CancelledError
        shared.views.give_way()

    def restore() -> Rows:
        viewed = Viewed(photo, repair, view.region, view.reduce, level_map, view.quick)
        return shared.stages.timed("view", shared.restoring.view)(
            viewed, between if view.background else None
        )

    return shared.views.submit(page.identity, restore, background=view.background)
