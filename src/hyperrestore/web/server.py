"""`hyperrestore web`: a server on this machine, its address, and the browser that opens it."""

from __future__ import annotations

import re
import secrets
import socket
import sys
import threading
import warnings
import webbrowser

from hyperrestore.errors import ExtrapolationWarning, MissingExtraError, UsageError

try:
    import uvicorn
    from fastapi import FastAPI
except ImportError as error:
    raise MissingExtraError(f"the page needs {error.name}: pip install 'hyperrestore[web]'") from error

from hyperrestore.restore.restorer import Restorer
from hyperrestore.web.app import create_app
from hyperrestore.web.pages import Pages
from hyperrestore.web.safety import is_loopback
from hyperrestore.web.storage import private_folder

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,}")  # what needs no quotes in an address or a cookie
_STOPPING = 3  # seconds that open connections have to end


class Server(uvicorn.Server):
    """uvicorn, but streams of events end before it waits for open connections.

    Args:
        app: As `create_app` makes it.
        port: To listen on, on loopback, unless `run` is given a socket that listens.
    """

    def __init__(self, app: FastAPI, *, port: int = 0) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                port=port,
                log_level="warning",
                timeout_graceful_shutdown=_STOPPING,
                server_header=False,
                proxy_headers=False,
                ws="none",
            )
        )
        self._pages: Pages = app.state.shared.pages

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._pages.end_streams()
        await super().shutdown(sockets)


def serve(*, host: str, port: int, browser: bool, workers: int = 1, token: str | None = None) -> None:
    """Serve the page until Ctrl-C.

    Args:
        host: Address or name to listen on. Unless it is loopback, every request needs a token; if none is
            given, it is a new one, and part of the printed address.
        port: 0 chooses a free one.
        browser: Whether to open the page in a browser.
        workers: How many processes restore; 1 is this one.
        token: What every request must show, on loopback, too; it is not printed.

    Raises:
        UsageError: It cannot listen there, or the token is not one.
    """
    if token is not None and not _TOKEN.fullmatch(token):
        raise UsageError(
            "the token has characters other than letters, digits, - and _, or fewer than 16; "
            "`openssl rand -hex 24` makes one"
        )
    listener = _listen(host, port)
    port = listener.getsockname()[1]
    made = None if token or is_loopback(host) else secrets.token_urlsafe(24)
    shown = f"[{host}]" if ":" in host else host
    if host in ("0.0.0.0", "::"):  # everywhere
        shown = socket.gethostname()
    address = f"http://{shown}:{port}/" + ("" if made is None else f"?token={made}")
    # The page itself says when a level lies outside the trained ones.
    warnings.simplefilter("ignore", ExtrapolationWarning)
    with listener, private_folder() as folder:
        app = create_app(
            folder, Restorer.load, token=token or made, cookie=f"hyperrestore-{port}", workers=workers
        )
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        if browser:
            # It connects to the listening socket, and waits there until the server answers.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        Server(app).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """Listen on an address."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot listen on {host} port {port} ({reason}); give another --port, 0 for one that is free, "
            "or another --host"
        ) from error
