"""For those who run the server: its health, its metrics, and a token that stays."""

import os
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import httpx
import pytest
from makers import make_photo
from serving import add, begin, finish, page_at, running, sentence

from hyperrestore.errors import UsageError
from hyperrestore.level import SHIPPED
from hyperrestore.web.executor import FairExecutor
from hyperrestore.web.metrics import STAGES, Stages, exposition, resident_bytes
from hyperrestore.web.safety import _cookie
from hyperrestore.web.server import serve

TOKEN = "a" * 32


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The address of a server that asks for a token, with the shipped models."""
    options = {"token": TOKEN, "static": tmp_path_factory.mktemp("static")}
    with running(tmp_path_factory.mktemp("web"), {task: task for task in SHIPPED}, **options) as (
        address,
        shared,
    ):
        yield address, shared


def get(address, path, **options):
    return httpx.get(f"{address}{path}", trust_env=False, **options)


def test_health_needs_no_token_and_says_nothing_else(guarded):
    address, _ = guarded
    answer = get(address, "/healthz", headers={"Host": "10.0.0.7:8642"})
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert get(address, "/healthz/").status_code == 403
    assert httpx.post(f"{address}/healthz", trust_env=False).status_code == 403
    assert "token" in sentence(get(address, "/metrics"), 403)
    assert "token" in sentence(get(address, "/"), 403)


def test_metrics_without_their_library_say_which(guarded, monkeypatch):
    address, _ = guarded
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    answer = get(address, "/metrics", params={"token": TOKEN})
    assert "pip install 'hyperrestore[metrics]'" in sentence(answer, 404)


def test_metrics_count_the_work():
    pytest.importorskip("prometheus_client")
    executors = [FairExecutor(name, most=9) for name in ("views", "renders")]
    stages = Stages()
    assert stages.timed("save", int)("5") == 5
    with pytest.raises(ZeroDivisionError):
        stages.timed("view", lambda: 1 / 0)()
    jobs = {
        str(number): SimpleNamespace(state=state) for number, state in enumerate(["done", "done", "failed"])
    }
    shared = SimpleNamespace(
        pages=SimpleNamespace(all=lambda: [SimpleNamespace(jobs=jobs), SimpleNamespace(jobs={})]),
        views=executors[0], renders=executors[1], stages=stages,
        restoring=SimpleNamespace(processes=lambda: [os.getpid()]),
    )  # fmt: skip
    content, kind = exposition(shared)
    for executor in executors:
        executor.close()
    lines = content.decode().splitlines()
    assert kind.startswith("text/plain")
    for line in (
        "hyperrestore_pages 2.0",
        'hyperrestore_jobs{state="done"} 2.0',
        'hyperrestore_jobs{state="queued"} 0.0',
        'hyperrestore_queue_length{queue="views"} 0.0',
        'hyperrestore_stage_seconds_count{stage="save"} 1.0',
        'hyperrestore_stage_seconds_count{stage="view"} 1.0',
    ):
        assert line in lines
    assert {stage for stage, (count, _) in stages.totals().items() if count} == {"view", "save"} < set(STAGES)
    if resident_bytes(os.getpid()) is not None:
        assert re.search(r'memory_bytes\{process="worker 1"\} \d', content.decode())


def test_a_queue_says_how_many_wait():
    gate, executor = threading.Event(), FairExecutor("test", most=9)
    running_call = executor.submit("a", lambda: gate.wait(20), background=True)
    waiting = [executor.submit(page, int, background=True) for page in "ab"]
    waiting[0].cancel()
    assert executor.waiting() in (1, 2), "the first may not have begun"
    gate.set()
    running_call.result(20)
    waiting[1].result(20)
    assert executor.waiting() == 0
    executor.close()


@pytest.mark.web
def test_a_served_job_is_counted(tmp_path):
    pytest.importorskip("prometheus_client")
    with (
        running(tmp_path, {task: task for task in SHIPPED}) as (open_address, _),
        page_at(open_address) as client,
    ):
        photo = add(client, make_photo(tmp_path / "a.png"))
        assert finish(client, begin(client, photo, task="denoise", level=25))["state"] == "done"
        text = client.get("/metrics").text
    assert 'hyperrestore_jobs{state="done"} 1.0' in text
    assert 'hyperrestore_stage_seconds_count{stage="save"} 1.0' in text
    assert 'hyperrestore_stage_seconds_count{stage="decode"} 1.0' in text


@pytest.mark.parametrize("others", ["", 'a"b;;=; ', "$x={}[]; ", "a:b={1,2}; =; ;", "a=\\x; "])
def test_cookies_of_other_servers_do_not_hide_the_token(others):
    assert _cookie(f"{others}hyperrestore-1={TOKEN}; b", "hyperrestore-1") == TOKEN
    assert _cookie(others, "hyperrestore-1") == ""


@pytest.mark.parametrize("token", ["short", "with spaces in between", 'quoted"quoted"quoted', "a;b" * 9])
def test_a_token_that_would_not_work_is_refused(token):
    with pytest.raises(UsageError, match="openssl rand -hex 24"):
        serve(host="127.0.0.1", port=0, browser=False, token=token)


def test_a_token_of_the_environment_stays_and_is_not_printed(tmp_path):
    """Also on loopback, where a proxy may be the only one that knows it."""
    with subprocess.Popen(
        [sys.executable, "-m", "hyperrestore", "web", "--port", "0", "--no-open"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "HYPERRESTORE_TOKEN": TOKEN, "TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        address = process.stdout.readline().strip()
        assert TOKEN not in address
        refused = get(address, "", headers={"Host": "photos.example.org"}, timeout=60)
        assert "token" in sentence(refused, 403)
        headers = {"Host": "photos.example.org", "X-Forwarded-For": "10.1.1.1", "X-Forwarded-Proto": "https"}
        shown = get(address, "", params={"token": TOKEN}, headers=headers)
        assert shown.status_code == 200
        cookie = shown.headers["set-cookie"].partition(";")[0]
        origin = {"Origin": "https://photos.example.org", "X-Hyperrestore": "1", "Cookie": cookie}
        opened = httpx.post(f"{address}api/pages", headers={**headers, **origin}, trust_env=False)
        assert opened.status_code == 201, "the page calls itself by the name that the proxy passes on"
        process.terminate()
        assert process.wait(60) == 0
    assert not list(tmp_path.iterdir())
