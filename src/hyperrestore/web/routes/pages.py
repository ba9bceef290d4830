"""Pages: opened, kept open, listened to, closed."""

from __future__ import annotations

from typing import get_args

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse

from hyperrestore import __version__
from hyperrestore.level import Task
from hyperrestore.restore.repair import takes_noise_out
from hyperrestore.restore.restorer import Restorer
from hyperrestore.web.messages import Axis, PageOpened, Suffix, TaskLevels
from hyperrestore.web.routes.repair import FIELDS
from hyperrestore.web.routes.request import CHANGES, Here, failures, open_page_of

_USUAL = {
    Task.PHOTO: [5.0, 10.0, 15.0, 25.0, 40.0],
    Task.DENOISE: [5.0, 15.0, 25.0, 40.0, 60.0],
    Task.DEJPEG: [80.0, 60.0, 40.0, 20.0, 10.0],
    Task.UPSCALE: [1.5, 2.0, 2.5, 3.0, 4.0],
}

router = APIRouter()


@router.post("/api/pages", status_code=201, dependencies=CHANGES, responses=failures(422, 429))
async def open_page(shared: Here) -> PageOpened:
    """Open a page. It closes when no stream of its events is open and it sends no request for 150 s."""
    page = shared.pages.open()
    if page is None:
        raise HTTPException(429, "too many pages are open; close one, or try again later")
    return PageOpened(
        page=page.identity,
        tasks=[_levels(task, restorer) for task, restorer in shared.restorers.items()],
        limits=shared.limits,
        formats=list(get_args(Suffix)),
        version=__version__,
    )


@router.delete("/api/pages/{page}", status_code=204, dependencies=CHANGES, responses=failures(404, 422))
async def close_page(shared: Here, request: Request, page: str) -> None:
    """Close a page at once: stop its jobs, and remove its photos and files."""
    shared.pages.close(open_page_of(request, page))


@router.get("/api/pages/{page}", status_code=204, responses=failures(404, 422))
async def keep_page(request: Request, page: str) -> None:
    """Keep a page open for a while, as every other request from it does."""
    open_page_of(request, page).heard()


@router.get(
    "/api/pages/{page}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, **failures(404, 422)},
)
async def events(request: Request, page: str) -> StreamingResponse:
    """Server-sent events: `job`, with what GET /api/jobs/JOB answers. They keep the page open."""
    return StreamingResponse(open_page_of(request, page).events(), media_type="text/event-stream")


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
        grain=takes_noise_out(task),
        axes=[
            Axis(
                unit=axis.unit,
                field=FIELDS[axis.unit],
                low=axis.low,
                high=axis.high,
                trained=axis.trained,
                origin=axis.origin,
            )
            for axis in restorer.axes
        ],
    )
