"""What a request belongs to: its page, photo or job; and its body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Header, HTTPException, Query, Request
from starlette.requests import ClientDisconnect

from hyperrestore.errors import PictureError
from hyperrestore.web.messages import Failure
from hyperrestore.web.pages import Job, Page
from hyperrestore.web.photos import Photo
from hyperrestore.web.safety import OWN_HEADER
from hyperrestore.web.shared import Shared

Result = TypeVar("Result")


def _shared(request: Request) -> Shared:
    shared: Shared = request.app.state.shared
    return shared


async def _page(
    request: Request,
    x_page: Annotated[str | None, Header(description="The page's identity.")] = None,
    page: Annotated[str | None, Query(description="The same, for requests without headers.")] = None,
) -> AsyncIterator[Page]:
    identity = x_page or page
    if identity is None:
        raise HTTPException(400, "name the page in the header X-Page or as ?page=; POST /api/pages opens one")
    found = open_page_of(request, identity)
    found.waiting += 1
    try:
        yield found
    finally:
        found.waiting -= 1
        found.heard()


def open_page_of(request: Request, identity: str) -> Page:
    """The open page of that identity."""
    found = _shared(request).pages.find(identity)
    if found is None:
        raise HTTPException(404, "no such page is open; POST /api/pages opens a new one")
    return found


def _photo(photo: str, page: Annotated[Page, Depends(_page)]) -> Photo:
    found = page.photos.get(photo)
    if found is None:
        raise HTTPException(404, "this page has no such photo; POST /api/photos adds one")
    return found


def job_of(job: str, page: Annotated[Page, Depends(_page)]) -> Job:
    """A page's job of that identity."""
    found = page.jobs.get(job)
    if found is None:
        raise HTTPException(404, "this page has no such job; POST /api/photos/PHOTO/jobs starts one")
    return found


def _own_header(
    value: Annotated[
        Literal["1"], Header(alias=OWN_HEADER, description="Other sites cannot send this header.")
    ],
) -> None:
    """`Safety` checks it; here it is only documented."""


Here = Annotated[Shared, Depends(_shared)]
FoundPage = Annotated[Page, Depends(_page)]
FoundPhoto = Annotated[Photo, Depends(_photo)]
FoundJob = Annotated[Job, Depends(job_of)]
CHANGES: Any = [Depends(_own_header)]
BINARY = {"type": "string", "format": "binary"}


def failures(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of error answers."""
    return {code: {"model": Failure} for code in (*codes, 403)}


def body(kind: str, schema: dict[str, str]) -> dict[str, Any]:
    """The documentation of a body that is read in parts, or only up to a limit."""
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


async def receive(request: Request, path: Path, most: int) -> None:
    """Write a request's body to a file; `most` is in bytes."""
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


async def unless_gone(request: Request, page: Page, future: Future[Result]) -> Result:
    """The result of a call on another thread, withdrawn if the client leaves before it starts."""
    closed = HTTPException(404, "this page was closed in the meantime")

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
