"""What those who run the server ask: whether it answers, and how much it does."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import PlainTextResponse, Response

from hyperrestore.errors import MissingExtraError
from hyperrestore.web.metrics import exposition
from hyperrestore.web.routes.request import Here
from hyperrestore.web.safety import HEALTH

router = APIRouter()


@router.get(HEALTH, include_in_schema=False)
async def show_health() -> PlainTextResponse:
    """Whether it answers; nobody needs a token for it."""
    return PlainTextResponse("ok\n")


@router.get("/metrics", include_in_schema=False)
async def show_metrics(shared: Here) -> Response:
    """How much it does, for Prometheus."""
    try:
        content, kind = exposition(shared)
    except MissingExtraError as error:
        raise HTTPException(404, str(error)) from error
    return Response(content, media_type=kind)
