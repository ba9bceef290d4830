"""The page's server with given models, in this process, on a free port; and a client that is its page."""

import contextlib
import functools
import threading
import time

import httpx

from hyperrestore import Restorer
from hyperrestore.web.app import create_app
from hyperrestore.web.server import Server

OWN = {"X-Hyperrestore": "1"}


def load(models, task):
    """The model of a task; a function that can be pickled."""
    return Restorer.load(models[task])


@contextlib.contextmanager
def running(folder, models, **options):
    """Serve; gives the address and what all pages share. `models` are paths by task."""
    app = create_app(folder, functools.partial(load, models), **options)
    server = Server(app)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", app.state.shared
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@contextlib.contextmanager
def page_at(address):
    """A client that has opened a page, and closes it."""
    with httpx.Client(base_url=address, headers=OWN, timeout=60, trust_env=False) as client:
        opened = client.post("/api/pages").raise_for_status().json()
        client.headers["X-Page"] = opened["page"]
        yield client
        client.delete(f"/api/pages/{opened['page']}")


def wait_for(condition, seconds=20):
    """Wait until it is true, and give what it gives."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value


def add(client, path, name=None):
    headers = {"X-File-Name": path.name if name is None else name}
    response = client.post("/api/photos", content=path.read_bytes(), headers=headers)
    assert response.status_code == 201, response.text
    return response.json()


def begin(client, photo, **wanted):
    response = client.post(f"/api/photos/{photo['id']}/jobs", json=wanted)
    assert response.status_code == 202, response.text
    return response.json()


def finish(client, job):
    def ended():
        told = client.get(f"/api/jobs/{job['id']}").json()
        return told if told["state"] not in ("queued", "running") else None

    return wait_for(ended)


def sentence(response, status):
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    return response.json()["error"]
