"""Downloads: the files of jobs that are done, one or many."""

from __future__ import annotations

import mimetypes
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse, StreamingResponse

from hyperrestore.web.archive import distinct_names, zipped
from hyperrestore.web.pages import Job
from hyperrestore.web.routes.jobs import JOBS
from hyperrestore.web.routes.request import FoundJob, FoundPage, failures, job_of

router = APIRouter()


@router.get(
    "/api/jobs/{job}/file",
    response_class=FileResponse,
    responses={200: {"content": {"image/*": {}}}, **failures(400, 404, 409, 422)},
)
async def download(job: FoundJob) -> FileResponse:
    """The result's file, the same as the command line writes."""
    _done(job)
    kind = mimetypes.guess_type(job.target.name)[0] or "application/octet-stream"
    return FileResponse(job.target, media_type=kind, filename=job.name)


@router.get(
    "/api/archive",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}}, **failures(400, 404, 409, 422)},
)
async def download_all(
    page: FoundPage,
    job: Annotated[
        list[str], Query(min_length=1, max_length=JOBS, description="Jobs of this page that are done.")
    ],
) -> StreamingResponse:
    """Several jobs' files as one ZIP, made while it is sent; each is what GET /api/jobs/JOB/file gives."""
    jobs = [_done(job_of(identity, page)) for identity in dict.fromkeys(job)]
    names = distinct_names([one.name for one in jobs])
    files = zip(names, [one.target for one in jobs], strict=True)
    headers = {"Content-Disposition": 'attachment; filename="restored.zip"'}
    return StreamingResponse(zipped(files), media_type="application/zip", headers=headers)


def _done(job: Job) -> Job:
    """A finished job, which has a file."""
    if job.state != "done":
        raise HTTPException(409, f"this job is {job.state}; only a job that is done has a file")
    return job
