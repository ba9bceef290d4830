"""The page below a path of another site, as a reverse proxy that removes the path from requests serves it."""

import threading

import pytest
from serving import wait_for

from hyperrestore import Restorer
from hyperrestore.web.app import create_app
from hyperrestore.web.server import Server
from web.conftest import Screen

pytestmark = pytest.mark.web

TOKEN = "0123456789abcdef"


class Below:
    """An application whose addresses all begin with `/photos/`."""

    def __init__(self, app):
        self.app, self.state = app, app.state

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            below = scope["path"].startswith("/photos/")
            scope = {**scope, "path": scope["path"].removeprefix("/photos") if below else "/outside"}
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    app = create_app(tmp_path_factory.mktemp("server"), Restorer.load, token=TOKEN, workers=2)
    server = Server(Below(app))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/photos/?token={TOKEN}"
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()


def test_it_works_below_a_path(browser, address, noisy, by_command):
    context = browser.new_context(accept_downloads=True)
    page, asked = context.new_page(), []
    page.set_default_timeout(120_000)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    screen = Screen(page)
    screen.add(noisy)
    screen.type_level(25)
    screen.settle()
    screen.press("Save")
    screen.press("Restore the whole photo")
    saved = screen.download().path().read_bytes()
    assert saved == by_command("restore", noisy, 25).read_bytes()
    context.close()
    root = address.partition("?")[0]
    assert all(url.startswith((root, "blob:", "data:")) for url in asked)
