"""The page itself: the files that a browser loads."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

router = APIRouter()


@router.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def show_static(request: Request, path: str) -> Response:
    """The page itself, from memory."""
    files: dict[str, tuple[bytes, str]] = request.app.state.static
    found = files.get(path or "index.html")
    if found is None:
        raise HTTPException(404, "there is nothing at this address; the page is at /")
    return Response(found[0], media_type=found[1])
