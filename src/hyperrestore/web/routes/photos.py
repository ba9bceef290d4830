"""Photos: added and removed."""

from __future__ import annotations

import shutil
from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Header, HTTPException, Request

from hyperrestore.errors import PictureError
from hyperrestore.level import Task
from hyperrestore.web.messages import Finding, PhotoInfo
from hyperrestore.web.pages import new_identity
from hyperrestore.web.photos import Photo
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
from hyperrestore.web.shared import TooLargeError, end, take_in

PHOTOS = 100  # of a page
_NAME = 120  # characters of a file's name that are kept

router = APIRouter()


@router.post(
    "/api/photos",
    status_code=201,
    dependencies=CHANGES,
    responses=failures(400, 404, 413, 415, 422, 429, 503),
    openapi_extra=body("application/octet-stream", BINARY),
)
async def add_photo(
    shared: Here,
    page: FoundPage,
    request: Request,
    x_file_name: Annotated[str, Header(description="Percent-encoded.")] = "photo",
) -> PhotoInfo:
    """Add a photo: the body is the file, PNG, JPEG, WebP, TIFF or AVIF."""
    if len(page.photos) >= PHOTOS:
        raise HTTPException(429, f"this page has {PHOTOS} photos, and no more are allowed; remove one first")
    identity, name = new_identity(), _plain_name(x_file_name)
    folder = page.folder / identity
    folder.mkdir()
    photo = None
    try:
        path = folder / "photo"
        await receive(request, path, shared.limits.bytes)
        photo = await unless_gone(request, page, shared.files.submit(take_in, shared, path, identity, name))
        page.photos[identity] = photo
    except TooLargeError as error:
        raise HTTPException(413, str(error)) from error
    except PictureError as error:
        sentence = str(error).replace(f"{path}: ", "", 1)
        raise HTTPException(415, f"{name}: {sentence}") from error
    finally:
        if photo is None:  # on the thread that may still be decoding it
            shared.files.submit(shutil.rmtree, folder, ignore_errors=True)
    return _info(photo)


@router.delete(
    "/api/photos/{photo}", status_code=204, dependencies=CHANGES, responses=failures(400, 404, 422)
)
async def remove_photo(shared: Here, page: FoundPage, photo: FoundPhoto) -> None:
    """Remove a photo, and stop its jobs."""
    del page.photos[photo.identity]
    for key in [key for key in page.maps if key[0] == photo.identity]:
        del page.maps[key]
    for job in [job for job in page.jobs.values() if job.photo is photo]:
        end(page, job)
    shared.files.submit(shutil.rmtree, photo.path.parent, ignore_errors=True)


def _info(photo: Photo) -> PhotoInfo:
    info, found = photo.info, photo.findings
    findings = {
        str(kind): Finding(level=found.levels.get(kind), sentence=found.sentence(kind))
        for kind in (Task.DENOISE, Task.DEJPEG)
    }
    return PhotoInfo(
        id=photo.identity,
        name=photo.name,
        format=photo.format.name,
        width=info.width,
        height=info.height,
        bits=info.bits,
        channels=info.channels,
        has_alpha=info.has_alpha,
        notes=list(info.notes),
        findings=findings,
    )


def _plain_name(encoded: str) -> str:
    """The name of a client's file, without folders and control characters; it never names a file here."""
    name = unquote(encoded, errors="replace").replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in name if c.isprintable())[:_NAME].strip() or "photo"
