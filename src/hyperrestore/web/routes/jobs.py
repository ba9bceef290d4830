"""Jobs: whole photos that are restored and written to files."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from functools import partial
from pathlib import PurePath

from fastapi import APIRouter, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from hyperrestore.restore.levels import Mask
from hyperrestore.web.messages import JobRequest, JobStatus
from hyperrestore.web.pages import Job, Page, new_identity
from hyperrestore.web.routes.photos import PHOTOS
from hyperrestore.web.routes.repair import further_levels, repair_of, result_size
from hyperrestore.web.routes.request import CHANGES, FoundJob, FoundPage, FoundPhoto, Here, body, failures
from hyperrestore.web.shared import check_disk, end, forget, render

JOBS = 2 * PHOTOS  # of a page, with their files: each photo can be saved twice
JOB_BYTES = 2**14

router = APIRouter()


@router.post(
    "/api/photos/{photo}/jobs",
    status_code=202,
    dependencies=CHANGES,
    responses=failures(400, 404, 413, 422, 429, 503),
    openapi_extra=body("application/json", {"$ref": "#/components/schemas/JobRequest"}),
)
async def begin_job(shared: Here, page: FoundPage, photo: FoundPhoto, request: Request) -> JobStatus:
    """Restore the whole photo, as the command line does; events tell how far it is."""
    asked = await _asked(request)
    repair, _ = repair_of(shared.restorers[asked.task], page, photo, asked)
    width, height = photo.info.width, photo.info.height
    if not repair.is_automatic:
        width, height = result_size(shared, repair, width, height)
    check_disk(shared, 2 * width * height * photo.info.channels * photo.info.dtype.itemsize)  # rows, and file
    _make_room(page)
    suffix = f".{asked.format}" if asked.format else photo.format.suffixes[0]
    identity = new_identity()
    how = f"-{width}x{height}" if any(asked.size) else "" if asked.level is None else f"-{asked.level:g}"
    restorer = shared.restorers[asked.task]
    for unit, level in further_levels(asked).items():
        usual = asked.level if unit == "colour noise" else restorer.axis(unit).origin
        if level == usual:
            continue
        how += f"-{unit.replace(' ', '-')}-{level:g}"
    name = f"{PurePath(photo.name).stem}-{asked.task}{how}{suffix}"
    if isinstance(repair.level_map, Mask):  # whose file may be removed before the job begins
        mask = repair.level_map._replace(path=page.folder / f"{identity}-map")
        shutil.copyfile(repair.level_map.path, mask.path)
        repair = replace(repair, level_map=mask)
    job = Job(identity, photo, asked, repair, page.folder / f"{identity}{suffix}", name)
    call = partial(render, shared, page, job, asyncio.get_running_loop())
    # In the background, where jobs of one page run in the order of their requests.
    shared.renders.submit(page.identity, call, background=True)
    page.jobs[identity] = job
    page.tell(job)
    return job.status()


@router.get("/api/jobs/{job}", responses=failures(400, 404, 422))
async def show_job(job: FoundJob) -> JobStatus:
    """How far a job is."""
    return job.status()


@router.delete("/api/jobs/{job}", status_code=204, dependencies=CHANGES, responses=failures(400, 404, 422))
async def end_job(page: FoundPage, job: FoundJob) -> None:
    """Cancel a job; of one that has ended, remove the file."""
    if job.ended:
        forget(page, job)
    else:
        end(page, job)


async def _asked(request: Request) -> JobRequest:
    """The request for a job; its body is read only up to a limit."""
    given = b""
    async for chunk in request.stream():
        given += chunk
        if len(given) > JOB_BYTES:
            raise HTTPException(413, f"a job request has at most {JOB_BYTES} bytes")
    try:
        return JobRequest.model_validate_json(given)
    except ValidationError as error:
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        ) from error


def _make_room(page: Page) -> None:
    """If the page has as many jobs as are kept, forget the oldest finished one."""
    if len(page.jobs) < JOBS:
        return
    ended = [job for job in page.jobs.values() if job.ended]
    if not ended:
        raise HTTPException(429, f"{JOBS} jobs of this page wait; cancel one, or wait")
    forget(page, ended[0])
