"""The HTTP interface: what a page may ask for, and the answers."""

from __future__ import annotations

import asyncio
import mimetypes
import shutil
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import FiniteFloat, ValidationError
from starlette.requests import ClientDisconnect

from hyperrestore import __version__
from hyperrestore.arrays import Rows
from hyperrestore.errors import PictureError
from hyperrestore.level import Task
from hyperrestore.restore.repair import ANY_SIZE, Mask, Repair, Size
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import Region
from hyperrestore.run.enlarge import enlarged_size
from hyperrestore.web.archive import distinct_names, zipped
from hyperrestore.web.messages import (
    Failure,
    Finding,
    JobTold,
    JobWanted,
    MapTold,
    PageOpened,
    PhotoTold,
    Suffix,
    TaskLevels,
)
from hyperrestore.web.pages import Job, Page, new_identity
from hyperrestore.web.photos import REDUCTIONS, LevelMap, Photo
from hyperrestore.web.safety import OWN_HEADER
from hyperrestore.web.shared import (
    Shared,
    TooLargeError,
    check_disk,
    check_map,
    end,
    forget,
    prepare,
    render,
    take_in,
    weakest,
)

Result = TypeVar("Result")

PHOTOS = 100  # of a page
JOBS = 2 * PHOTOS  # of a page, with their files: every photo saved, and saved once more
MAPS = 20  # of a photo; the oldest are forgotten
MAP_BYTES = 2**26
JOB_BYTES = 2**14

_USUAL = {
    Task.DENOISE: [5.0, 15.0, 25.0, 40.0, 60.0],
    Task.DEJPEG: [80.0, 60.0, 40.0, 20.0, 10.0],
    Task.UPSCALE: [1.5, 2.0, 2.5, 3.0, 4.0],
}
_NAME = 120  # characters of a file's name that are kept


# --- What a request belongs to ----------------------------------------------------------------------


def _shared(request: Request) -> Shared:
    shared: Shared = request.app.state.shared
    return shared


async def _page(
    request: Request,
    x_page: Annotated[str | None, Header(description="The page's identity.")] = None,
    page: Annotated[str | None, Query(description="The same, where no header can be sent.")] = None,
) -> AsyncIterator[Page]:
    identity = x_page or page
    if identity is None:
        raise HTTPException(400, "name the page in the header X-Page or as ?page=; POST /api/pages opens one")
    found = _open_page(request, identity)
    found.waiting += 1
    try:
        yield found
    finally:
        found.waiting -= 1
        found.heard()


def _open_page(request: Request, identity: str) -> Page:
    found = _shared(request).pages.find(identity)
    if found is None:
        raise HTTPException(404, "no such page is open any more; POST /api/pages opens a new one")
    return found


def _photo(photo: str, page: Annotated[Page, Depends(_page)]) -> Photo:
    found = page.photos.get(photo)
    if found is None:
        raise HTTPException(404, "this page has no such photo; POST /api/photos adds one")
    return found


def _job(job: str, page: Annotated[Page, Depends(_page)]) -> Job:
    found = page.jobs.get(job)
    if found is None:
        raise HTTPException(404, "this page has no such job; POST /api/photos/PHOTO/jobs begins one")
    return found


def _own_header(
    value: Annotated[Literal["1"], Header(alias=OWN_HEADER, description="Which no other site can send.")],
) -> None:
    """Asked for by `Safety` already; here it is described."""


Here = Annotated[Shared, Depends(_shared)]
FoundPage = Annotated[Page, Depends(_page)]
FoundPhoto = Annotated[Photo, Depends(_photo)]
FoundJob = Annotated[Job, Depends(_job)]
CHANGES: Any = [Depends(_own_header)]


@dataclass(frozen=True)
class View:
    """A region to be shown; see `_view`."""

    region: Region
    reduce: int
    task: Task | None
    level: float | None
    size: Size
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
    task: Annotated[Task | None, Query(description="None shows the photo itself.")] = None,
    level: Annotated[float | None, Query(description="In the task's unit.")] = None,
    to_width: Annotated[int | None, Query(ge=1, description="Of upscaling: width of the result.")] = None,
    to_height: Annotated[int | None, Query(ge=1, description="Of upscaling: height of the result.")] = None,
    long_side: Annotated[int | None, Query(ge=1, description="Of upscaling: its longer side.")] = None,
    map: Annotated[str | None, Query(description="A map of the photo.")] = None,
    map_level: Annotated[FiniteFloat | None, Query(description="Where it is black.")] = None,
    grain: Annotated[float, Query(ge=0, le=1, description="Share of the noise put back.")] = 0.0,
    quick: Annotated[
        bool, Query(description="Whether it may be a rounding away, to be there sooner.")
    ] = False,
    priority: Annotated[Literal["now", "background"], Query()] = "now",
) -> View:
    region = Region(left, top, left + width, top + height)
    size = Size(to_width, to_height, long_side)
    return View(region, reduce, task, level, size, map, map_level, grain, quick, priority == "background")


# --- Routes -----------------------------------------------------------------------------------------


def _failures(*codes: int) -> dict[int | str, dict[str, Any]]:
    """What the document says of answers that are no success."""
    return {code: {"model": Failure} for code in (*codes, 403)}


def _body(kind: str, schema: dict[str, str]) -> dict[str, Any]:
    """What the document says of a body that is not read as a whole, or only so far."""
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


_BINARY = {"type": "string", "format": "binary"}


router = APIRouter()


@router.post("/api/pages", status_code=201, dependencies=CHANGES, responses=_failures(422, 429))
async def open_page(shared: Here) -> PageOpened:
    """Open a page. It ends when no stream of its events is open and nothing is heard of it for 150 s."""
    page = shared.pages.open()
    if page is None:
        raise HTTPException(429, "no more pages can be open at a time; close one, or try again later")
    return PageOpened(
        page=page.identity,
        tasks=[_levels(task, restorer) for task, restorer in shared.restorers.items()],
        limits=shared.limits,
        formats=list(get_args(Suffix)),
        version=__version__,
    )


@router.delete("/api/pages/{page}", status_code=204, dependencies=CHANGES, responses=_failures(404, 422))
async def close_page(shared: Here, request: Request, page: str) -> None:
    """End a page at once: its jobs are stopped, its photos and files removed."""
    shared.pages.close(_open_page(request, page))


@router.get("/api/pages/{page}", status_code=204, responses=_failures(404, 422))
async def keep_page(request: Request, page: str) -> None:
    """Keep a page open for a while, as every other request of it does."""
    _open_page(request, page).heard()


@router.get(
    "/api/pages/{page}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, **_failures(404, 422)},
)
async def events(request: Request, page: str) -> StreamingResponse:
    """Server-sent events: `job`, with what GET /api/jobs/JOB answers. They keep the page open."""
    return StreamingResponse(_open_page(request, page).events(), media_type="text/event-stream")


@router.post(
    "/api/photos",
    status_code=201,
    dependencies=CHANGES,
    responses=_failures(400, 404, 413, 415, 422, 429, 503),
    openapi_extra=_body("application/octet-stream", _BINARY),
)
async def add_photo(
    shared: Here,
    page: FoundPage,
    request: Request,
    x_file_name: Annotated[str, Header(description="Percent-encoded.")] = "photo",
) -> PhotoTold:
    """Add a photo: the body is the file, PNG, JPEG, WebP, TIFF or AVIF."""
    if len(page.photos) >= PHOTOS:
        raise HTTPException(429, f"this page has {PHOTOS} photos, the most at a time; remove one first")
    identity, name = new_identity(), _plain_name(x_file_name)
    folder = page.folder / identity
    folder.mkdir()
    photo = None
    try:
        path = folder / "photo"
        await _receive(request, path, shared.limits.bytes)
        photo = await _unless_gone(request, page, shared.files.submit(take_in, shared, path, identity, name))
        page.photos[identity] = photo
    except TooLargeError as error:
        raise HTTPException(413, str(error)) from error
    except PictureError as error:
        sentence = str(error).replace(f"{path}: ", "", 1)
        raise HTTPException(415, f"{name}: {sentence}") from error
    finally:
        if photo is None:  # on the thread that may still be decoding it
            shared.files.submit(shutil.rmtree, folder, ignore_errors=True)
    return _told(photo, shared)


@router.delete(
    "/api/photos/{photo}", status_code=204, dependencies=CHANGES, responses=_failures(400, 404, 422)
)
async def remove_photo(shared: Here, page: FoundPage, photo: FoundPhoto) -> None:
    """Remove a photo, and stop its jobs."""
    del page.photos[photo.identity]
    for key in [key for key in page.maps if key[0] == photo.identity]:
        del page.maps[key]
    for job in [job for job in page.jobs.values() if job.photo is photo]:
        end(page, job)
    shared.files.submit(shutil.rmtree, photo.path.parent, ignore_errors=True)


@router.get(
    "/api/photos/{photo}/region",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **_failures(400, 404, 422, 429)},
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
    width, height = photo.size(view.reduce)
    restorer = None if view.task is None else shared.restorers[view.task]
    repair = level_map = None
    if restorer is not None:
        repair, level_map = _repair(restorer, page, photo, view)
        if repair.is_automatic:
            raise HTTPException(422, f"{view.task} needs a level; give one in {restorer.scale.unit}")
        width, height = _result_size(shared, repair, width, height)
    region = view.region
    if region.right > width or region.bottom > height:
        raise HTTPException(
            422, f"columns {region.left} to {region.right} and rows {region.top} to {region.bottom} were "
            f"asked for, and there are {width} x {height} pixels"
        )  # fmt: skip
    if (region.right - region.left) * (region.bottom - region.top) > shared.limits.view_pixels:
        raise HTTPException(422, f"a region has at most {shared.limits.view_pixels} pixels; ask for parts")
    if view.reduce not in photo.inputs or (level_map and view.reduce not in level_map.shares):
        await _unless_gone(request, page, shared.files.submit(prepare, photo, level_map, view.reduce))
    if repair is None:
        showing = shared.encoder.submit(photo.shown, region, view.reduce)
    else:
        wanted = repair
        left = threading.Event()

        def between() -> None:
            if left.is_set():
                raise CancelledError
            shared.views.give_way()

        def restore() -> Rows:
            return photo.restored(
                shared.last_used.get(wanted.task, mapped=level_map is not None),
                wanted,
                region,
                view.reduce,
                level_map=level_map,
                quick=view.quick,
                between=between if view.background else None,
            )

        waiting = shared.views.submit(page.identity, restore, background=view.background)
        try:
            rows = await _unless_gone(request, page, waiting)
        except ClientDisconnect:
            left.set()
            raise
        showing = shared.encoder.submit(photo.shown_result, rows, region, view.reduce, (width, height))
    png = await _unless_gone(request, page, showing)
    exact = "yes" if view.reduce == 1 and not view.quick else "no"
    return Response(png, media_type="image/png", headers={"X-Exact": exact})


@router.put(
    "/api/photos/{photo}/map",
    status_code=201,
    dependencies=CHANGES,
    responses=_failures(400, 404, 413, 415, 422, 429, 503),
    openapi_extra=_body("image/png", _BINARY),
)
async def add_map(shared: Here, page: FoundPage, photo: FoundPhoto, request: Request) -> MapTold:
    """Add a map of levels: a grey PNG of any size; white is the dial's level, black `map_level`."""
    identity = new_identity()
    level_map = LevelMap(photo.path.with_name(f"map-{identity}"))
    kept = False
    try:
        await _receive(request, level_map.mask, MAP_BYTES)
        await _unless_gone(request, page, shared.files.submit(check_map, shared, photo, level_map))
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
    return MapTold(map=identity)


@router.post(
    "/api/photos/{photo}/jobs",
    status_code=202,
    dependencies=CHANGES,
    responses=_failures(400, 404, 413, 422, 429, 503),
    openapi_extra=_body("application/json", {"$ref": "#/components/schemas/JobWanted"}),
)
async def begin_job(shared: Here, page: FoundPage, photo: FoundPhoto, request: Request) -> JobTold:
    """Restore the whole photo, as the command line does; events tell how far it is."""
    wanted = await _wanted(request)
    restorer = shared.restorers[wanted.task]
    repair, level_map = _repair(restorer, page, photo, wanted)
    width, height = photo.info.width, photo.info.height
    if not repair.is_automatic:
        width, height = _result_size(shared, repair, width, height)
    check_disk(shared, 2 * width * height * photo.info.channels * photo.info.dtype.itemsize)  # rows, and file
    ended = [job for job in page.jobs.values() if job.ended]
    if len(page.jobs) >= JOBS:
        if not ended:
            raise HTTPException(429, f"{JOBS} jobs of this page wait; cancel one, or wait")
        forget(page, ended[0])
    suffix = f".{wanted.format}" if wanted.format else photo.format.suffixes[0]
    identity = new_identity()
    how = f"-{width}x{height}" if any(wanted.size) else "" if wanted.level is None else f"-{wanted.level:g}"
    name = f"{PurePath(photo.name).stem}-{wanted.task}{how}{suffix}"
    job = Job(identity, photo, wanted, page.folder / f"{identity}{suffix}", name)
    if level_map is not None:  # whose file may be removed before the job begins
        job.mask = page.folder / f"{identity}-map"
        shutil.copyfile(level_map.mask, job.mask)
    call = partial(render, shared, page, job, asyncio.get_running_loop())
    # In the background: jobs of one page are done in the order in which they were asked for.
    shared.renders.submit(page.identity, call, background=True)
    page.jobs[identity] = job
    page.tell(job)
    return job.told()


@router.get("/api/jobs/{job}", responses=_failures(400, 404, 422))
async def show_job(job: FoundJob) -> JobTold:
    """How far a job is."""
    return job.told()


@router.delete("/api/jobs/{job}", status_code=204, dependencies=CHANGES, responses=_failures(400, 404, 422))
async def end_job(page: FoundPage, job: FoundJob) -> None:
    """Cancel a job; of one that has ended, remove the file."""
    if job.ended:
        forget(page, job)
    else:
        end(page, job)


@router.get(
    "/api/jobs/{job}/file",
    response_class=FileResponse,
    responses={200: {"content": {"image/*": {}}}, **_failures(400, 404, 409, 422)},
)
async def download(job: FoundJob) -> FileResponse:
    """The result's file, the same as the command line writes."""
    _done(job)
    kind = mimetypes.guess_type(job.target.name)[0] or "application/octet-stream"
    return FileResponse(job.target, media_type=kind, filename=job.name)


@router.get(
    "/api/archive",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}}, **_failures(400, 404, 409, 422)},
)
async def download_all(
    page: FoundPage,
    job: Annotated[list[str], Query(min_length=1, max_length=JOBS, description="Of this page, each done.")],
) -> StreamingResponse:
    """Several jobs' files as one ZIP, made while it is sent; each is what GET /api/jobs/JOB/file gives."""
    jobs = [_done(_job(identity, page)) for identity in dict.fromkeys(job)]
    names = distinct_names([one.name for one in jobs])
    files = zip(names, [one.target for one in jobs], strict=True)
    headers = {"Content-Disposition": 'attachment; filename="restored.zip"'}
    return StreamingResponse(zipped(files), media_type="application/zip", headers=headers)


@router.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def show_static(request: Request, path: str) -> Response:
    """The page itself, from memory."""
    files: dict[str, tuple[bytes, str]] = request.app.state.static
    found = files.get(path or "index.html")
    if found is None:
        raise HTTPException(404, "there is nothing at this address; the page is at /")
    return Response(found[0], media_type=found[1])


# --- How it is done ---------------------------------------------------------------------------------


def _done(job: Job) -> Job:
    """A job of which there is a file."""
    if job.state != "done":
        raise HTTPException(409, f"this job is {job.state}; only of one that is done there is a file")
    return job


def _repair(
    restorer: Restorer, page: Page, photo: Photo, wanted: View | JobWanted
) -> tuple[Repair, LevelMap | None]:
    """What is asked for, with the map of levels; a scale stands for a size."""
    level, size = wanted.level, wanted.size
    if restorer.task == Task.UPSCALE and any(size):
        *_, level = enlarged_size(photo.info.width, photo.info.height, scale=level, **size._asdict())
        size = ANY_SIZE
    if level is None and (wanted.map is not None or wanted.map_level is not None):
        raise HTTPException(
            422, f"a map needs the level where it is white; give one in {restorer.scale.unit}"
        )
    if wanted.map is None or level is None:
        return Repair(restorer.task, restorer.scales, level, grain=wanted.grain, size=size), None
    level_map = _map(page, photo, wanted.map)
    black = weakest(restorer.scale) if wanted.map_level is None else wanted.map_level
    mask = Mask(level_map.mask, black, level)
    repair = Repair(restorer.task, restorer.scales, level_map=mask, grain=wanted.grain, size=size)
    return repair, level_map


def _result_size(shared: Shared, repair: Repair, width: int, height: int) -> tuple[int, int]:
    """Width and height of a result, if it is not too large."""
    width, height = repair.result_size(width, height)
    if width * height > shared.limits.result_pixels:
        raise HTTPException(
            422,
            f"the result would have {width} x {height} pixels, and at most {shared.limits.result_pixels} are "
            "made here; give a smaller scale, or use the command line",
        )
    return width, height


def _levels(task: Task, restorer: Restorer) -> TaskLevels:
    scale = restorer.scale
    least, most = sorted(scale.trained, key=scale.strength)
    return TaskLevels(
        task=task,
        unit=scale.unit,
        low=scale.low,
        high=scale.high,
        trained=scale.trained,
        weakest=least,
        strongest=most,
        usual=_USUAL[task],
        maps=task != Task.UPSCALE,
        grain=task == Task.DENOISE,
    )


def _told(photo: Photo, shared: Shared) -> PhotoTold:
    findings = {}
    for task in (Task.DENOISE, Task.DEJPEG):
        level = photo.findings.levels.get(task)
        if level is not None:
            least, most = shared.restorers[task].scale.trained
            level = float(min(max(level, least), most))
        findings[str(task)] = Finding(level=level, sentence=photo.findings.sentence(task))
    info = photo.info
    return PhotoTold(
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


async def _receive(request: Request, path: Path, most: int) -> None:
    """Write a request's body to a file."""
    refusal = HTTPException(413, f"a file has at most {most} bytes here; give a smaller one")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise refusal
    received = 0
    with path.open("xb") as file:
        async for chunk in request.stream():
            received += len(chunk)
            if received > most:
                raise refusal
            file.write(chunk)


async def _wanted(request: Request) -> JobWanted:
    """What a job is to do; its body is read only so far."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > JOB_BYTES:
            raise HTTPException(413, f"what a job is to do takes at most {JOB_BYTES} bytes to say")
    try:
        return JobWanted.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        ) from error


async def _unless_gone(request: Request, page: Page, future: Future[Result]) -> Result:
    """The result of a call on another thread, taken back if the client leaves before it begins."""
    closed = HTTPException(404, "this page was closed meanwhile")

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    waiting: asyncio.Future[Any] = asyncio.wrap_future(future)
    leaving: asyncio.Future[Any] = asyncio.ensure_future(gone())
    try:
        await asyncio.wait([waiting, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise ClientDisconnect
        if waiting.cancelled():
            raise closed
        try:
            result: Result = waiting.result()
        except PictureError as error:
            if page.closed:  # what was to be read is gone with it
                raise closed from error
            raise
        return result
    finally:
        leaving.cancel()
        waiting.cancel()


def _map(page: Page, photo: Photo, identity: str) -> LevelMap:
    found = page.maps.get((photo.identity, identity))
    if found is None:
        raise HTTPException(404, "this photo has no such map; PUT /api/photos/PHOTO/map adds one")
    return found
