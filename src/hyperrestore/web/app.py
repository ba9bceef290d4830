"""The application: routes, checks, and error messages."""

from __future__ import annotations

import asyncio
import errno
import queue
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from hyperrestore import __version__
from hyperrestore.errors import HyperrestoreError
from hyperrestore.level import SHIPPED, Task
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.device import cpu_threads
from hyperrestore.web.executor import FairExecutor
from hyperrestore.web.messages import Limits
from hyperrestore.web.metrics import Stages
from hyperrestore.web.pages import Pages
from hyperrestore.web.photos import REDUCTIONS
from hyperrestore.web.restoring import InThisProcess, Restoring
from hyperrestore.web.routes import router
from hyperrestore.web.routes.jobs import JOBS
from hyperrestore.web.safety import Safety
from hyperrestore.web.shared import Shared
from hyperrestore.web.workers import Workers

STATIC = Path(__file__).parent / "static"  # the page, already built
PAGES = 64
VIEWS = 32  # of a page that wait
PATIENCE = 150.0  # seconds in which a page may come back; hidden tabs wake only once in 60
SWEEP = 5.0  # seconds between two searches for pages that did not
LIMITS = Limits(
    bytes=2**29, pixels=10**8, result_pixels=4 * 10**8, view_pixels=4 * 10**6, reductions=list(REDUCTIONS)
)
# Listed here, since the system's own table of suffixes may be wrong.
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}


def create_app(
    folder: Path,
    load: Callable[[Task], Restorer],
    *,
    token: str | None = None,
    cookie: str = "hyperrestore",
    limits: Limits = LIMITS,
    patience: float = PATIENCE,
    workers: int = 1,
    static: Path = STATIC,
) -> FastAPI:
    """Make the application.

    Args:
        folder: For temporary files; private, and removed by the caller.
        load: Loads the model of a task. With several workers it is pickled.
        token: What requests must show, see `Safety`; None if only this machine can reach the server.
        cookie: Name of the cookie that holds the token.
        limits: What is refused.
        patience: How long a page without an open stream may send no request before it is closed, seconds.
        workers: How many processes restore; 1 is this one.
        static: The built page.
    """
    views = FairExecutor("views", most=VIEWS, threads=workers)
    renders = FairExecutor("renders", most=JOBS, threads=workers)

    def drop(page: str) -> None:
        views.drop(page)
        renders.drop(page)

    shared = Shared(
        folder=folder,
        limits=limits,
        restorers={task: load(task) for task in SHIPPED},
        restoring=_restoring(load, workers),
        pages=Pages(folder, most=PAGES, patience=patience, drop=drop),
        views=views,
        renders=renders,
        files=ThreadPoolExecutor(1, "files"),
        encoder=ThreadPoolExecutor(1, "encoder"),
        stages=Stages(),
    )

    async def sweep() -> None:
        while True:
            await asyncio.sleep(min(SWEEP, patience))
            shared.pages.close_lost()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(sweep())
        yield
        sweeping.cancel()
        shared.pages.close_all()
        for executor in (views, renders):
            executor.close()
        for pool in (shared.files, shared.encoder):
            pool.shutdown(cancel_futures=True)
        shared.restoring.close()

    app = FastAPI(
        title="hyperrestore",
        version=__version__,
        summary="Restore photos at a level that you set.",
        lifespan=lifespan,
        docs_url=None,  # these would load scripts from another host
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.shared = shared
    app.state.static = {
        path.relative_to(static).as_posix(): (path.read_bytes(), _KINDS[path.suffix])
        for path in static.rglob("*")
        if path.suffix in _KINDS
    }
    app.include_router(router)
    _put_failures_into_words(app)
    app.add_middleware(Safety, token=token, cookie=cookie)
    return app


def _restoring(load: Callable[[Task], Restorer], workers: int) -> Restoring:
    """What restores: this process, or several others that share the CPUs."""
    if workers == 1:
        return InThisProcess(load)
    return Workers(workers, load, threads=max(1, cpu_threads() // workers))


def _put_failures_into_words(app: FastAPI) -> None:
    """Answer every error with a sentence."""

    def failure(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
        return JSONResponse({"error": sentence}, status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = " ".join(str(part) for part in first["loc"])
        return failure(422, f"{where}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return failure(error.status_code, error.detail, error.headers)

    @app.exception_handler(HyperrestoreError)
    async def impossible(request: Request, error: HyperrestoreError) -> Response:
        return failure(422, str(error))

    @app.exception_handler(queue.Full)
    async def full(request: Request, error: queue.Full) -> Response:
        return failure(429, f"{error}; wait, or cancel some", {"Retry-After": "1"})

    @app.exception_handler(OSError)
    async def lost_or_full(request: Request, error: OSError) -> Response:
        if isinstance(error, FileNotFoundError):
            return failure(404, "the photo was removed, or its page closed, in the meantime")
        if error.errno != errno.ENOSPC:
            raise error
        return failure(503, "the server's disk is full; remove photos, or wait until others do")

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody hears it
