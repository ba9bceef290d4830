"""Maps of levels: where a photo is restored more or less."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request

from hyperrestore.errors import PictureError
from hyperrestore.web.messages import MapInfo
from hyperrestore.web.pages import new_identity
from hyperrestore.web.photos import LevelMap
from hyperrestore.web.routes.request import (
    BINARY,
    CHANGES,
    FoundPage,
    FoundPhoto,
    Here,
    body,
    failures,
    receive,
    unless_gone,
)
from hyperrestore.web.shared import TooLargeError, check_map

MAPS = 20  # of a photo; the oldest are forgotten
MAP_BYTES = 2**26

router = APIRouter()


@router.put(
    "/api/photos/{photo}/map",
    status_code=201,
    dependencies=CHANGES,
    responses=failures(400, 404, 413, 415, 422, 429, 503),
    openapi_extra=body("image/png", BINARY),
)
async def add_map(shared: Here, page: FoundPage, photo: FoundPhoto, request: Request) -> MapInfo:
    """Add a map of levels: a grey PNG of any size; white is the dial's level, black `map_level`."""
    identity = new_identity()
    level_map = LevelMap(photo.path.with_name(f"map-{identity}"))
    kept = False
    try:
        await receive(request, level_map.mask, MAP_BYTES)
        await unless_gone(request, page, shared.files.submit(check_map, shared, photo, level_map))
        kept = True
    except TooLargeError as error:
        raise HTTPException(413, str(error)) from error
    except PictureError as error:
        raise HTTPException(415, str(error).replace(f"{level_map.mask}: ", "the map ", 1)) from error
    finally:
        if not kept:
            shared.files.submit(level_map.remove)
    older = [key for key in page.maps if key[0] == photo.identity]
    for key in older[: max(0, len(older) + 1 - MAPS)]:
        page.maps.pop(key).remove()
    page.maps[photo.identity, identity] = level_map
    return MapInfo(map=identity)
