"""Who may talk to the server: its own page, under its own name, with the token where one is needed."""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

OWN_HEADER = "X-Hyperrestore"
HEALTH = "/healthz"  # what asks whether the server lives has no token, and calls it by any name
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Safety:
    """Checks every request before the application sees it, and adds security headers to the answers.

    Args:
        application: What answers.
        token: What every request must show, once in the address and then as a cookie; None on loopback.
        cookie: Its name; servers on several ports of one machine share their cookies.
    """

    def __init__(self, application: Application, *, token: str | None, cookie: str = "hyperrestore") -> None:
        self._application = application
        self._token = token
        self._cookie = cookie

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._application(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        added = dict(_HEADERS)
        if self._token is not None and _same(given, self._token):
            added["set-cookie"] = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in added.items()
                      if name.encode() not in names),
                ]  # fmt: skip
            await send(message)

        refusal = self._refusal(scope["method"], scope["path"], headers, given)
        if refusal is None:
            await self._application(scope, receive, send_with_headers)
            return
        body = json.dumps({"error": refusal}).encode()
        length = str(len(body)).encode()
        await send_with_headers(
            {
                "type": "http.response.start",
                "status": 403,
                "headers": [(b"content-type", b"application/json"), (b"content-length", length)],
            }
        )
        await send_with_headers({"type": "http.response.body", "body": body})

    def _refusal(self, method: str, path: str, headers: dict[str, str], token: str) -> str | None:
        """Why a request is refused; None if it is not."""
        if path == HEALTH and method in ("GET", "HEAD"):
            return None
        host = headers.get("host", "")
        # A page of another site may give its own name our address, and then call us its own.
        if self._token is None and not is_loopback(_name(f"//{host}")):
            return f"this server answers as localhost or 127.0.0.1, and was called {host[:100]!r}"
        if self._token is not None and not (
            _same(token, self._token) or _same(_cookie(headers.get("cookie", ""), self._cookie), self._token)
        ):
            return (
                "this server asks for its token: open the address that it printed when it started, or add "
                "?token= and the token in HYPERRESTORE_TOKEN to it"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return f"requests are accepted only from this server's own page, not from {origin[:100]!r}"
        if not path.startswith("/api"):
            return None
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return (
                "requests are accepted only from this server's own page, and this one came from another site"
            )
        if method not in ("GET", "HEAD") and headers.get(OWN_HEADER.lower()) != "1":
            return f"a request that changes something needs the header {OWN_HEADER}: 1"
        return None


def is_loopback(host: str) -> bool:
    """Whether a host's name or address can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(address: str) -> str:
    """The host that an address names; empty if it is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _cookie(header: str, name: str) -> str:
    """The value of a cookie, empty without it.

    Other servers of this machine share the header. `http.cookies` gives up at the first of their cookies that
    it does not understand.
    """
    cookies = (part.strip().partition("=") for part in header.split(";"))
    return next((value for key, _, value in cookies if key == name), "")


def _same(given: str, token: str) -> bool:
    """Compare in constant time."""
    return secrets.compare_digest(given.encode(), token.encode())
