"""The page's server: every route, every refusal, and what it writes."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import pyvips
from makers import make_photo
from serving import OWN, add, begin, finish, page_at, running, sentence, wait_for
from skimage import data

import hyperrestore.web as web
import hyperrestore.web.restoring as restoring
import hyperrestore.web.routes.jobs as job_routes
import hyperrestore.web.routes.maps as map_routes
import hyperrestore.web.routes.photos as photo_routes
import hyperrestore.web.shared as shared_module
from hyperrestore import PictureInfo, Restorer, read_picture
from hyperrestore.cli.main import main
from hyperrestore.detect.findings import inspect
from hyperrestore.level import SHIPPED, Task
from hyperrestore.measure.metrics import psnr
from hyperrestore.picture.file import Picture, write_picture
from hyperrestore.restore.file import restore_file
from hyperrestore.web.app import LIMITS
from hyperrestore.web.photos import reduced_levels

SOURCE = Path(web.__file__).parents[2]
Serving = namedtuple("Serving", "address shared folder")


@pytest.fixture(scope="module")
def models(photo_model, tiny_model, dejpeg_model, upscale_model):
    return {
        Task.PHOTO: photo_model,
        Task.DENOISE: tiny_model,
        Task.DEJPEG: dejpeg_model,
        Task.UPSCALE: upscale_model,
    }


@pytest.fixture(scope="module")
def serving(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    limits = LIMITS.model_copy(update={"bytes": 2**20, "pixels": 10**5, "view_pixels": 6 * 10**4})
    with running(folder, models, limits=limits, static=static_files(folder)) as (address, shared):
        yield Serving(address, shared, folder)


def static_files(folder):
    static = folder / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html><title>page</title>")
    (static / "assets" / "page-1a2b.js").write_text("'use strict'")
    (static / "secret.txt").write_text("not for you")
    return static


@pytest.fixture
def client(serving):
    with page_at(serving.address) as client:
        yield client


def decode(png):
    """A view's samples, (c, h, w)."""
    image = pyvips.Image.pngload_buffer(png)
    assert (image.format, image.interpretation) == ("uchar", "srgb")
    return image.numpy().transpose(2, 0, 1)


def ask(client, photo, region=(0, 0, 110, 90), **more):
    left, top, width, height = region
    query = {"left": left, "top": top, "width": width, "height": height, **more}
    return client.get(f"/api/photos/{photo['id']}/region", params=query)


def view(client, photo, *region, **more):
    response = ask(client, photo, *region, **more)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    return decode(response.content)


# --- Pages ------------------------------------------------------------------------------------------


def test_a_page_is_told_the_levels_of_every_task(client, models):
    opened = client.post("/api/pages").json()
    assert opened["formats"] == ["png", "jpg", "webp", "tif", "avif"]
    assert [told["task"] for told in opened["tasks"]] == list(SHIPPED)
    for told in opened["tasks"]:
        scale = Restorer.load(models[Task(told["task"])]).scale
        assert (told["unit"], told["low"], told["high"]) == (scale.unit, scale.low, scale.high)
        assert tuple(told["trained"]) == scale.trained
        assert {told["weakest"], told["strongest"]} == set(scale.trained)
        strengths = [scale.strength(level) for level in (told["weakest"], *told["usual"], told["strongest"])]
        assert strengths == sorted(strengths)
        assert told["maps"] == (told["task"] != "upscale")
        assert told["grain"] == (told["task"] in ("photo", "denoise"))
        assert bool(told["axes"]) == (told["task"] == "photo")
    client.delete(f"/api/pages/{opened['page']}")


def test_pages_do_not_see_each_other(client, serving, tmp_path):
    photo = add(client, make_photo(tmp_path / "a.png"))
    job = begin(client, photo, task="denoise", level=20)
    finish(client, job)
    with page_at(serving.address) as other:
        assert "no such photo" in sentence(ask(other, photo), 404)
        assert "no such job" in sentence(other.get(f"/api/jobs/{job['id']}/file"), 404)
        assert "no such photo" in sentence(other.delete(f"/api/photos/{photo['id']}"), 404)
    assert ask(client, photo).status_code == 200


def test_a_page_is_named_by_header_or_address(serving, client):
    with httpx.Client(base_url=serving.address, headers=OWN, trust_env=False) as bare:
        assert "name the page in the header X-Page" in sentence(bare.get("/api/jobs/x"), 400)
        assert "no such page" in sentence(bare.get("/api/jobs/x?page=nobody"), 404)
        page = client.headers["X-Page"]
        assert "no such job" in sentence(bare.get(f"/api/jobs/x?page={page}"), 404)


def test_a_closed_page_leaves_nothing_and_its_jobs_stop(serving, tmp_path):
    before = sorted(serving.folder.iterdir())
    gate = threading.Event()
    with page_at(serving.address) as client:
        photo = add(client, make_photo(tmp_path / "a.png"))
        held = serving.shared.renders.submit("another", lambda: gate.wait(20), background=True)
        begin(client, photo, task="denoise", level=20)
        page = serving.shared.pages.find(client.headers["X-Page"])
        (job,) = page.jobs.values()
        assert len(sorted(page.folder.rglob("*"))) > 2
        assert client.delete(f"/api/pages/{page.identity}").status_code == 204
        gate.set()
        held.result(20)
        assert "no such page" in sentence(ask(client, photo), 404)
    assert job.unwanted
    assert not job.target.exists()
    assert sorted(serving.folder.iterdir()) == before


def test_a_page_that_is_not_heard_of_ends_unless_its_events_are_open(models, tmp_path):
    with running(tmp_path, models, patience=0.4) as (address, shared):
        with httpx.Client(base_url=address, headers=OWN, trust_env=False) as client:
            quiet, listening = (client.post("/api/pages").json()["page"] for _ in range(2))
            with client.stream("GET", f"/api/pages/{listening}/events") as events:
                assert events.headers["content-type"].startswith("text/event-stream")
                wait_for(lambda: not (tmp_path / f"page-{quiet}").exists())
                time.sleep(1)
                assert (tmp_path / f"page-{listening}").exists()
            wait_for(lambda: not (tmp_path / f"page-{listening}").exists())
        assert shared.pages.find(listening) is None


def test_a_page_that_waits_for_an_answer_is_not_lost(models, tmp_path):
    with running(tmp_path, models, patience=0.3) as (address, shared), page_at(address) as client:
        photo = add(client, make_photo(tmp_path / "a.png"))
        gate = threading.Event()
        shared.views.submit("another", lambda: gate.wait(20))
        threading.Timer(1.5, gate.set).start()
        assert view(client, photo, task="denoise", level=5).shape == (3, 90, 110)
        page = shared.pages.find(client.headers["X-Page"])
        wait_for(lambda: page.waiting == 0)  # the answer arrives a moment before the server has counted it
        wait_for(lambda: page.closed)


def test_too_many_pages_are_refused(models, tmp_path, monkeypatch):
    monkeypatch.setattr("hyperrestore.web.app.PAGES", 2)
    with running(tmp_path, models) as (address, _), page_at(address) as client:
        assert client.post("/api/pages").status_code == 201
        assert "too many pages" in sentence(client.post("/api/pages"), 429)


def events_of(client, page):
    """Read a page's stream of events in a thread; gives the list that it fills."""
    heard, opened = [], threading.Event()

    def listen():
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.Client(base_url=client.base_url, timeout=60, trust_env=False) as own,
            own.stream("GET", f"/api/pages/{page}/events") as stream,
        ):
            for line in stream.iter_lines():
                opened.set()
                if line.startswith("data: "):
                    heard.append(json.loads(line[6:]))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert opened.wait(20)
    return heard, thread


def test_events_tell_how_far_jobs_are(client, tmp_path):
    page = client.headers["X-Page"]
    heard, thread = events_of(client, page)
    photo = add(client, make_photo(tmp_path / "a.png"))
    job = begin(client, photo, task="denoise", level=20)
    wait_for(lambda: heard and heard[-1]["state"] == "done")
    assert {told["id"] for told in heard} == {job["id"]}
    assert heard[-1] == client.get(f"/api/jobs/{job['id']}").json()
    assert heard[-1]["done"] == heard[-1]["total"] == 1
    again, other = events_of(client, page)  # whoever comes later hears how it is
    wait_for(lambda: again)
    assert again == [heard[-1]]
    client.delete(f"/api/pages/{page}")
    for each in (thread, other):
        each.join(20)
        assert not each.is_alive()


# --- Photos -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a.png", {}),
        ("b.png", {"bits": 16, "alpha": True}),
        ("c.tif", {"channels": 1, "bits": 16}),
        ("d.jpg", {}),
        ("e.webp", {"alpha": True}),
        ("f.png", {"height": 1, "width": 1}),
    ],
)
def test_a_photo_is_told_as_it_is(client, tmp_path, name, made):
    path = make_photo(tmp_path / name, **made)
    told = add(client, path)
    info = read_picture(path).info
    for field in ("width", "height", "bits", "channels", "has_alpha"):
        assert told[field] == getattr(info, field)
    assert told["notes"] == list(info.notes)
    findings = inspect(path)
    for task in (Task.DENOISE, Task.DEJPEG):
        found = {"level": findings.levels.get(task), "sentence": findings.sentence(task)}
        assert told["findings"][task] == found


def test_a_photo_that_is_removed_is_gone(client, serving, tmp_path):
    photo = add(client, make_photo(tmp_path / "a.png"))
    folder = serving.shared.pages.find(client.headers["X-Page"]).photos[photo["id"]].path.parent
    job = begin(client, photo, task="denoise", level=20)
    assert client.delete(f"/api/photos/{photo['id']}").status_code == 204
    assert "no such photo" in sentence(ask(client, photo), 404)
    assert finish(client, job)["state"] == "cancelled"
    wait_for(lambda: not folder.exists())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("caf%C3%A9%20au%20lait.png", "café au lait.png"),
        ("..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("C%3A%5Cphotos%5Ca.png", "a.png"),
        ("a%00%0D%0AX-Evil%3A%201.png", "aX-Evil: 1.png"),
        ("%FF%FE", "��"),
        ("..", ".."),
        ("", "photo"),
        ("x" * 5000, "x" * 120),
    ],
)
def test_a_name_is_only_a_label(client, serving, tmp_path, given, kept):
    path = make_photo(tmp_path / "a.png", height=9, width=9)
    before = {each for each in serving.folder.rglob("*") if re.search("passwd|evil", each.name, re.I)}
    told = add(client, path, given)
    assert told["name"] == kept
    job = finish(client, begin(client, told, task="denoise", level=20))
    response = client.get(f"/api/jobs/{job['id']}/file")
    assert response.headers["content-disposition"].startswith("attachment; filename")
    assert "x-evil" not in response.headers
    assert {each for each in serving.folder.rglob("*") if re.search("passwd|evil", each.name, re.I)} == before


@pytest.mark.parametrize(
    ("body", "status", "fragment"),
    [
        (b"", 415, "is empty"),
        (b"hello, world", 415, "is not a PNG, JPEG, WebP, TIFF or AVIF file"),
        (b"\x89PNG\r\n\x1a\nrest", 415, "cannot be read"),
        (b"x" * (2**20 + 1), 413, "at most 1048576 bytes"),
    ],
)
def test_what_is_no_photo_is_refused_and_leaves_nothing(client, serving, body, status, fragment):
    response = client.post("/api/photos", content=body, headers={"X-File-Name": "my.png"})
    said = sentence(response, status)
    assert fragment in said
    assert str(serving.folder) not in said
    folder = serving.shared.pages.find(client.headers["X-Page"]).folder
    wait_for(lambda: not list(folder.iterdir()))


def test_bytes_are_counted_while_they_come(client):
    """Without a length in front of it, as curl sends a pipe."""

    def endless():
        for _ in range(100):
            yield b"x" * 2**16

    with contextlib.suppress(httpx.WriteError):  # it need not read to the end
        assert "at most" in sentence(client.post("/api/photos", content=endless()), 413)


def test_a_truncated_photo_is_refused(client, tmp_path):
    body = make_photo(tmp_path / "a.png").read_bytes()
    assert "damaged" in sentence(client.post("/api/photos", content=body[: len(body) // 2]), 415)


def test_too_many_pixels_are_refused_before_they_are_decoded(client, tmp_path):
    path = make_photo(tmp_path / "a.png", height=400, width=251)
    said = sentence(
        client.post("/api/photos", content=path.read_bytes(), headers={"X-File-Name": "a.png"}), 413
    )
    assert said.startswith("a.png: has 251 x 400 pixels, and at most 100000 are allowed here")


def test_a_full_disk_is_said(client, serving, tmp_path, monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shared_module.shutil, "disk_usage", lambda path: Usage(1, 1, 1000))
    path = make_photo(tmp_path / "a.png")
    assert "disk is full" in sentence(client.post("/api/photos", content=path.read_bytes()), 503)


def test_a_page_that_is_closed_while_its_photo_is_read_is_said(client, serving, tmp_path, monkeypatch):
    path, real = make_photo(tmp_path / "a.png"), photo_routes.take_in

    def take_in(*words):
        httpx.delete(f"{serving.address}/api/pages/{client.headers['X-Page']}", headers=OWN)
        return real(*words)

    monkeypatch.setattr(photo_routes, "take_in", take_in)
    answer = client.post("/api/photos", content=path.read_bytes())
    assert "closed in the meantime" in sentence(answer, 404)


def test_a_page_that_is_closed_while_its_map_is_read_is_said(client, serving, tmp_path, monkeypatch):
    photo, real = add(client, make_photo(tmp_path / "a.png")), map_routes.check_map

    def check_map(*words):
        httpx.delete(f"{serving.address}/api/pages/{client.headers['X-Page']}", headers=OWN)
        return real(*words)

    monkeypatch.setattr(map_routes, "check_map", check_map)
    mask = make_photo(tmp_path / "mask.png", channels=1)
    answer = client.put(f"/api/photos/{photo['id']}/map", content=mask.read_bytes())
    assert "closed in the meantime" in sentence(answer, 404)


def test_too_many_photos_are_refused(client, tmp_path, monkeypatch):
    monkeypatch.setattr(photo_routes, "PHOTOS", 1)
    path = make_photo(tmp_path / "a.png")
    add(client, path)
    assert "remove one first" in sentence(client.post("/api/photos", content=path.read_bytes()), 429)


# --- Regions ----------------------------------------------------------------------------------------


def in_8_bits(picture):
    """What is shown of a picture without a profile: RGB, with alpha if it has some."""
    bands = np.repeat(picture.pixels, 3, axis=0) if len(picture.pixels) == 1 else picture.pixels
    if picture.alpha is not None:
        bands = np.concatenate([bands, picture.alpha])
    return np.rint(bands * 255).astype(int)


@pytest.mark.parametrize(
    "made", [{}, {"bits": 16}, {"channels": 1}, {"alpha": True}, {"alpha": True, "bits": 16}]
)
def test_the_photo_itself_is_shown(client, tmp_path, made):
    path = make_photo(tmp_path / "a.png", **made)
    photo = add(client, path)
    shown = view(client, photo, (20, 30, 40, 50))
    expected = in_8_bits(read_picture(path))[:, 30:80, 20:60]
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).max() <= (made.get("bits") == 16)


def test_colours_are_shown_through_their_profile(client, tmp_path):
    path = make_photo(tmp_path / "srgb.png")
    image = pyvips.Image.new_from_file(os.fspath(path))
    wide = image.icc_transform("p3", input_profile="srgb")
    wide.pngsave(os.fspath(tmp_path / "p3.png"), keep="icc")
    assert np.abs(wide.numpy().astype(int) - image.numpy()).max() > 3
    shown = view(client, add(client, tmp_path / "p3.png"))
    assert np.abs(shown.astype(int) - image.numpy().transpose(2, 0, 1)).max() <= 2


def test_a_damaged_profile_is_left_out(client, tmp_path):
    path = make_photo(tmp_path / "a.tif", icc_profile=b"\0" * 16 + b"RGB " + b"\0" * 200)
    shown = view(client, add(client, path))
    assert np.array_equal(shown, in_8_bits(read_picture(path)))


MADE = [{}, {"bits": 16}, {"channels": 1, "bits": 16}, {"alpha": True}, {"alpha": True, "hidden": True}]


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize(
    "asked",
    [
        {"task": "photo", "level": 35, "colour_noise": 10, "jpeg_quality": 40},
        {"task": "denoise", "level": 35},
        {"task": "dejpeg", "level": 30},
        {"task": "upscale", "level": 2.3},
    ],
    ids=lambda asked: asked["task"],
)
def test_a_region_is_that_of_the_full_result(client, tmp_path, made, asked):
    photo = add(client, make_photo(tmp_path / "a.png", **made))
    job = finish(client, begin(client, photo, **asked))
    task = asked["task"]
    assert (job["state"], job["error"]) == ("done", None)
    (tmp_path / "full.png").write_bytes(client.get(f"/api/jobs/{job['id']}/file").content)
    full = in_8_bits(read_picture(tmp_path / "full.png"))
    height, width = full.shape[1:]
    changed = 0
    for region in ((0, 0, width, height), (width - 31, height - 17, 31, 17), (13, 7, 50, 60)):
        left, top, wide, tall = region
        for priority in ("now", "background"):
            shown = view(client, photo, region, **asked, priority=priority)
            part = full[:, top : top + tall, left : left + wide]
            assert shown.shape == part.shape
            assert np.abs(shown - part).max() <= 1
            assert (shown != part).mean() < 0.01
        if task != "upscale":
            before = view(client, photo, region).astype(int)
            changed = max(changed, np.abs(before[: len(shown)] - shown).mean())
    assert task == "upscale" or changed > 0.5, "the model does nothing"


def test_exact_is_said_only_of_what_is(client, tmp_path):
    photo = add(client, make_photo(tmp_path / "a.png"))
    assert ask(client, photo).headers["x-exact"] == "yes"
    assert ask(client, photo, task="denoise", level=5).headers["x-exact"] == "yes"
    assert ask(client, photo, (0, 0, 55, 45), reduce=2).headers["x-exact"] == "no"
    assert ask(client, photo, (0, 0, 55, 45), reduce=2, task="denoise", level=5).headers["x-exact"] == "no"


def test_a_reduced_photo_is_the_mean_of_its_pixels(client, tmp_path):
    path = make_photo(tmp_path / "a.png", height=96, width=112)
    photo = add(client, path)
    pixels = in_8_bits(read_picture(path))
    for reduce in (2, 4, 8, 16):
        shown = view(client, photo, (0, 0, 112 // reduce, 96 // reduce), reduce=reduce)
        means = pixels.reshape(3, 96 // reduce, reduce, 112 // reduce, reduce).mean(axis=(2, 4))
        assert np.abs(shown - means).max() <= 1.5
    assert view(client, photo, (0, 0, 2, 2), reduce=64).shape == (
        3,
        2,
        2,
    )  # what is left over counts as a pixel
    assert "2 x 2 pixels" in sentence(ask(client, photo, (0, 0, 3, 2), reduce=64), 422)


def test_hidden_colours_do_not_reach_a_reduced_view(client, tmp_path):
    pixels = np.full((3, 8, 8), 0.2, np.float32)
    alpha = np.ones((1, 8, 8), np.float32)
    pixels[:, ::2], alpha[:, ::2] = 1.0, 0.0
    write_picture(tmp_path / "a.png", Picture(pixels, alpha, PictureInfo(8, 8, 3, 8, True)))
    shown = view(client, add(client, tmp_path / "a.png"), (0, 0, 4, 4), reduce=2)
    assert np.abs(shown[:3] - 51.0).max() <= 1
    assert np.abs(shown[3] - 127.5).max() <= 1


def test_a_reduced_result_is_that_of_the_reduced_photo(client, tmp_path, models):
    photo = add(client, make_photo(tmp_path / "a.png", bits=16))
    small = view(client, photo, (0, 0, 55, 45), reduce=2) / np.float32(255)
    shown = view(client, photo, (0, 0, 55, 45), reduce=2, task="denoise", level=30)
    expected = Restorer.load(models[Task.DENOISE])(small.astype(np.float32), 15) * 255
    assert np.abs(shown - expected).mean() < 1
    assert np.abs(shown - small * 255).mean() > 2
    large = view(client, photo, (0, 0, 110, 90), reduce=2, task="upscale", level=2)
    assert large.shape == (3, 90, 110)


def test_a_weaker_level_of_the_reduced_photo_shows_what_the_result_will_be():
    restorer = Restorer.load("denoise")
    clean = data.chelsea()[100:260, 100:260].transpose(2, 0, 1) / np.float32(255)
    noisy = (clean + np.random.default_rng(0).normal(0, 20 / 255, clean.shape)).clip(0, 1).astype(np.float32)

    def halved(pixels):
        return pixels.reshape(3, 80, 2, 80, 2).mean(axis=(2, 4))

    result = halved(restorer(noisy, 20))
    assert reduced_levels(restorer, (20,), 2) == (10,)
    previews = {level: psnr(restorer(halved(noisy), level), result) for level in (10, 20)}
    assert previews[10] > previews[20] + 3
    assert reduced_levels(Restorer.load("dejpeg"), (30,), 2) == (65,)
    assert reduced_levels(Restorer.load("upscale"), (3, 1.5), 2) == (3, 1.5)


def put_map(client, photo, grey):
    image = pyvips.Image.new_from_array(np.asarray(grey, np.uint8))
    response = client.put(f"/api/photos/{photo['id']}/map", content=image.pngsave_buffer())
    assert response.status_code == 201, response.text
    return response.json()["map"]


def test_a_map_says_where_which_level_holds(client, tmp_path, models):
    path = make_photo(tmp_path / "a.png", bits=16)
    photo = add(client, path)
    one = view(client, photo, task="denoise", level=40)
    weak = view(client, photo, task="denoise", level=5)
    white, black = (put_map(client, photo, np.full((3, 4), value)) for value in (255, 0))
    as_white, as_black = (
        view(client, photo, task="denoise", level=40, map=each, map_level=5) for each in (white, black)
    )
    assert np.abs(as_white.astype(int) - one).max() <= 1
    assert np.abs(as_black.astype(int) - weak).max() <= 1
    assert np.abs(one.astype(int) - weak).mean() > 0.5
    grey = np.arange(110 * 90).reshape(90, 110) % 256
    ramp = put_map(client, photo, grey)
    shown = view(client, photo, (10, 20, 60, 50), task="denoise", level=40, map=ramp, map_level=5, grain=0.4)
    levels = (5 + (40 - 5) * (grey / 255)).astype(np.float32)
    whole = Restorer.load(models[Task.DENOISE])(read_picture(path), levels, grain=0.4)
    assert np.abs(shown - in_8_bits(whole)[:, 20:70, 10:70]).max() <= 1
    preview = view(client, photo, (0, 0, 55, 45), reduce=2, task="denoise", level=40, map=white)
    assert (
        np.abs(
            preview.astype(int) - view(client, photo, (0, 0, 55, 45), reduce=2, task="denoise", level=40)
        ).max()
        <= 1
    )


def test_a_map_is_black_at_the_weakest_level_unless_told(client, tmp_path):
    photo = add(client, make_photo(tmp_path / "a.png", bits=16))
    black = put_map(client, photo, np.zeros((2, 2)))
    for task, weakest in (("denoise", 0), ("dejpeg", 95)):
        shown = view(client, photo, task=task, level=30, map=black)
        assert np.abs(shown.astype(int) - view(client, photo, task=task, level=weakest)).max() <= 1


def test_a_map_sets_every_level_of_a_photo(client, tmp_path, models):
    path = make_photo(tmp_path / "a.png", bits=16)
    photo = add(client, path)
    grey = np.arange(110 * 90).reshape(90, 110) % 256
    levels = {"level": 40, "colour_noise": 10, "jpeg_quality": 30}
    asked = {"task": "photo", "map": put_map(client, photo, grey), **levels}
    shown = view(client, photo, (10, 20, 60, 50), **asked)
    ends = zip((0, 0, 100), levels.values(), strict=True)
    maps = np.stack([black + (white - black) * (grey / 255) for black, white in ends]).astype(np.float32)
    whole = Restorer.load(models[Task.PHOTO])(read_picture(path), maps)
    assert np.abs(shown - in_8_bits(whole)[:, 20:70, 10:70]).max() <= 1
    job = finish(client, begin(client, photo, **asked))
    (tmp_path / "full.png").write_bytes(client.get(f"/api/jobs/{job['id']}/file").content)
    assert np.abs(shown - in_8_bits(read_picture(tmp_path / "full.png"))[:, 20:70, 10:70]).max() <= 1
    black = put_map(client, photo, np.zeros((2, 2)))
    assert np.array_equal(view(client, photo, **{**asked, "map": black}), view(client, photo))


def test_the_noise_of_colours_is_as_all_noise_unless_told(client, tmp_path):
    photo = add(client, make_photo(tmp_path / "a.png"))
    by_colours = {
        colours: view(client, photo, task="photo", level=30, jpeg_quality=50, **colours_of(colours))
        for colours in (None, 30, 0)
    }
    assert np.array_equal(by_colours[None], by_colours[30])
    assert np.abs(by_colours[None].astype(int) - by_colours[0]).mean() > 0.5


def colours_of(level):
    return {} if level is None else {"colour_noise": level}


def test_what_is_no_map_is_refused(client, tmp_path):
    photo = add(client, make_photo(tmp_path / "a.png"))
    address = f"/api/photos/{photo['id']}/map"
    for made, fragment, code in (
        ({"alpha": True}, "no transparency", 415),
        ({"bits": 16}, "give a grey PNG with 8", 415),
        ({"height": 400, "width": 251}, "at most 100000", 413),
    ):
        body = make_photo(tmp_path / "mask.png", **made).read_bytes()
        (tmp_path / "mask.png").unlink()
        said = sentence(client.put(address, content=body), code)
        assert fragment in said
        assert said.startswith("the map ")
    assert "give a grey PNG" in sentence(
        client.put(address, content=make_photo(tmp_path / "mask.jpg").read_bytes()), 415
    )
    assert "not a PNG" in sentence(client.put(address, content=b"hello"), 415)
    assert "no such map" in sentence(ask(client, photo, task="denoise", level=5, map="x"), 404)
    given = put_map(client, photo, np.zeros((2, 2)))
    assert "not for upscaling" in sentence(ask(client, photo, task="upscale", level=2, map=given), 422)
    assert "sigma 999" in sentence(ask(client, photo, task="denoise", level=5, map=given, map_level=999), 422)
    other = add(client, tmp_path / "a.png")
    assert "no such map" in sentence(ask(client, other, task="denoise", level=5, map=given), 404)


def test_a_result_that_is_too_large_or_too_much_for_the_disk_is_refused(
    client, serving, tmp_path, monkeypatch
):
    photo = add(client, make_photo(tmp_path / "a.png"))
    address = f"/api/photos/{photo['id']}/jobs"
    limits = serving.shared.limits.model_copy(update={"result_pixels": 220 * 180 - 1})
    with monkeypatch.context() as patched:
        patched.setattr(serving.shared, "limits", limits)
        asked = (
            client.post(address, json={"task": "upscale", "level": 2}),
            ask(client, photo, task="upscale", level=2),
        )
        for response in asked:
            assert "the result would have 220 x 180 pixels, and at most 39599" in sentence(response, 422)
        assert ask(client, photo, task="upscale", level=1.9).status_code == 200
    monkeypatch.setattr(shared_module, "SPARE_DISK", 2**62)
    assert "disk is full" in sentence(client.post(address, json={"task": "denoise", "level": 5}), 503)
    body = make_photo(tmp_path / "mask.png", channels=1).read_bytes()
    assert "disk is full" in sentence(client.put(f"/api/photos/{photo['id']}/map", content=body), 503)


def test_only_so_many_maps_are_kept(client, serving, tmp_path, monkeypatch):
    monkeypatch.setattr(map_routes, "MAPS", 2)
    photo = add(client, make_photo(tmp_path / "a.png"))
    given = [put_map(client, photo, np.zeros((2, 2))) for _ in range(4)]
    codes = [ask(client, photo, task="denoise", level=5, map=each).status_code for each in given]
    assert codes == [404, 404, 200, 200]
    folder = serving.shared.pages.find(client.headers["X-Page"]).folder
    assert len(list(folder.glob("*/map-*"))) == 2 * 2  # as given, and as it fits the photo


@pytest.mark.parametrize(
    ("query", "fragment"),
    [
        ({"width": 111}, "there are 110 x 90 pixels"),
        ({"top": 1}, "there are 110 x 90 pixels"),
        ({"left": 10**30, "width": 1}, "there are 110 x 90 pixels"),
        ({"left": -1}, "query left"),
        ({"width": 0}, "query width"),
        ({"height": "many"}, "query height"),
        ({"reduce": 3}, "give one of"),
        ({"reduce": 0}, "give one of"),
        ({"task": "sharpen"}, "query task"),
        ({"task": "denoise"}, "denoise needs a level"),
        ({"task": "photo"}, "photo needs a level; give one in noise and colour noise and quality"),
        ({"task": "photo", "level": 5}, "photo needs a level; give one in quality"),
        ({"task": "photo", "jpeg_quality": 30}, "give one in noise and colour noise"),
        ({"task": "photo", "level": 5, "jpeg_quality": 0}, "quality 0.0 is not accepted"),
        ({"task": "photo", "level": 5, "jpeg_quality": 30, "colour_noise": 101}, "colour noise 101.0 is not"),
        ({"task": "photo", "level": 5, "jpeg_quality": 30, "softness": 1}, "no level 'softness'"),
        ({"task": "denoise", "level": 5, "colour_noise": 5}, "no level 'colour noise'; it takes sigma"),
        ({"task": "denoise", "level": "nan"}, "is not accepted"),
        ({"task": "denoise", "level": "inf"}, "is not accepted"),
        ({"task": "denoise", "level": 101}, "is not accepted"),
        ({"task": "upscale", "level": 0.5}, "is not accepted"),
        ({"task": "upscale", "level": 4, "width": 440, "height": 360}, "at most 60000 pixels"),
        ({"task": "denoise", "level": 5, "map_level": "nan"}, "query map_level"),
        ({"task": "denoise", "level": 5, "grain": 2}, "query grain"),
        ({"task": "dejpeg", "level": 50, "grain": 0.1}, "dejpeg removes none"),
        ({"priority": "high"}, "query priority"),
    ],
)
def test_an_impossible_region_is_refused(client, tmp_path, query, fragment):
    photo = add(client, make_photo(tmp_path / "a.png"))
    everything = {"left": 0, "top": 0, "width": 110, "height": 90, **query}
    assert fragment in sentence(client.get(f"/api/photos/{photo['id']}/region", params=everything), 422)


@pytest.mark.parametrize("priority", ["now", "background"])
def test_who_goes_away_is_not_restored_for(client, serving, tmp_path, priority):
    photo = add(client, make_photo(tmp_path / "a.png"))
    gate = threading.Event()
    held = serving.shared.views.submit("another", lambda: gate.wait(20))
    calls = []
    page = serving.shared.pages.find(client.headers["X-Page"])
    real = page.photos[photo["id"]]
    names = ("identity", "inputs", "size", "alpha")
    spied = SimpleNamespace(**{name: getattr(real, name) for name in names})
    spied.restored = lambda *words, **more: calls.append(words)
    page.photos[photo["id"]] = spied
    with pytest.raises(httpx.ReadTimeout):
        client.get(
            f"/api/photos/{photo['id']}/region?left=0&top=0&width=9&height=9&task=denoise&level=5"
            f"&priority={priority}", timeout=0.5,
        )  # fmt: skip
    time.sleep(0.3)
    gate.set()
    held.result(20)
    serving.shared.views.submit("another", lambda: None, background=True).result(20)
    assert calls == []


def test_a_page_that_asks_for_too_much_is_told_to_wait(client, serving, tmp_path, monkeypatch):
    photo = add(client, make_photo(tmp_path / "a.png"))
    monkeypatch.setattr(serving.shared.views, "_most", 0)
    response = ask(client, photo, task="denoise", level=5)
    assert "wait" in sentence(response, 429)
    assert response.headers["retry-after"] == "1"
    assert ask(client, photo).status_code == 200  # without the network


# --- Jobs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "made", "wanted", "words"),
    [
        ("a.png", {}, {"task": "denoise", "level": 20}, ["denoise", "-l", "20"]),
        ("a.png", {"bits": 16, "alpha": True}, {"task": "dejpeg", "level": 40.5}, ["dejpeg", "-l", "40.5"]),
        ("a.jpg", {}, {"task": "upscale", "level": 1.7}, ["upscale", "-s", "1.7"]),
        ("a.tif", {"channels": 1, "bits": 16}, {"task": "denoise", "level": 5}, ["denoise", "-l", "5"]),
        ("a.webp", {}, {"task": "denoise", "level": 5, "quality": 80}, ["denoise", "-l", "5", "-q", "80"]),
        ("a.png", {"bits": 16, "resolution": (10.0, 10.0)},
         {"task": "denoise", "level": 20, "format": "jpg", "quality": 70},
         ["denoise", "-l", "20", "-f", "jpg", "-q", "70"]),
        ("a.jpg", {}, {"task": "denoise", "level": 20, "format": "avif"},
         ["denoise", "-l", "20", "-f", "avif"]),
        ("a.png", {}, {"task": "upscale", "to_width": 199}, ["upscale", "--width", "199"]),
        ("a.png", {}, {"task": "upscale", "to_height": 131}, ["upscale", "--height", "131"]),
        ("a.jpg", {"width": 70}, {"task": "upscale", "long_side": 151}, ["upscale", "--long-side", "151"]),
        ("a.png", {}, {"task": "denoise"}, ["denoise"]),
        ("a.png", {}, {"task": "dejpeg"}, ["dejpeg"]),
        ("a.png", {}, {"task": "dejpeg", "format": "webp", "quality": 60},
         ["dejpeg", "-f", "webp", "-q", "60"]),
    ],
)  # fmt: skip
def test_a_download_is_what_the_command_line_writes(
    client, tmp_path, models, capsys, name, made, wanted, words
):
    path = make_photo(tmp_path / name, **made)
    photo = add(client, path)
    job = finish(client, begin(client, photo, **wanted))
    assert (job["state"], job["error"]) == ("done", None)
    response = client.get(f"/api/jobs/{job['id']}/file")
    model = os.fspath(models[Task(wanted["task"])])
    task, *options = words
    out = tmp_path / "out"
    assert main([task, os.fspath(path), "-o", f"{out}/", "--model", model, *options]) == 0
    (written,) = out.iterdir()
    assert response.content == written.read_bytes()
    assert response.headers["content-type"] == {
        ".png": "image/png", ".jpg": "image/jpeg", ".tif": "image/tiff", ".webp": "image/webp",
        ".avif": "image/avif",
    }[written.suffix]  # fmt: skip
    how = f"-{wanted['level']:g}" if "level" in wanted else ""
    if wanted.keys() & {"to_width", "to_height", "long_side"}:
        how = "-{0.width}x{0.height}".format(read_picture(written).info)
    expected = f'attachment; filename="a-{wanted["task"]}{how}{written.suffix}"'
    assert response.headers["content-disposition"] == expected
    said = capsys.readouterr().err
    assert all(note in said for note in job["notes"])


@pytest.mark.parametrize(
    ("asked", "level", "name"),
    [
        ({}, None, "a-photo.jpg"),
        ({"level": 12}, {"noise": 12, "colour noise": 12}, "a-photo-12.jpg"),
        ({"jpeg_quality": 30}, {"quality": 30}, "a-photo-quality-30.jpg"),
        (
            {"level": 12, "colour_noise": 0, "jpeg_quality": 30},
            {"noise": 12, "colour noise": 0, "quality": 30},
            "a-photo-12-colour-noise-0-quality-30.jpg",
        ),
        (
            {"level": 12, "colour_noise": 12, "jpeg_quality": 100},
            {"noise": 12, "colour noise": 12, "quality": 100},
            "a-photo-12.jpg",
        ),
    ],
)
def test_the_levels_of_a_photo_that_are_not_given_are_estimated(client, tmp_path, models, asked, level, name):
    path = tmp_path / "a.jpg"
    pyvips.Image.new_from_file(os.fspath(make_photo(tmp_path / "a.png"))).jpegsave(os.fspath(path), Q=40)
    photo = add(client, path)
    assert photo["findings"]["dejpeg"]["level"] == 40
    job = finish(client, begin(client, photo, task="photo", **asked))
    assert (job["state"], job["error"]) == ("done", None)
    report = restore_file([Restorer.load(models[Task.PHOTO])], path, tmp_path / "out.jpg", level)
    answer = client.get(f"/api/jobs/{job['id']}/file")
    assert answer.content == (tmp_path / "out.jpg").read_bytes()
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert job["notes"] == list(report.notes)


def test_a_photo_in_which_nothing_is_found_is_copied_byte_for_byte(client, tmp_path):
    path = tmp_path / "a.png"
    clean = pyvips.Image.new_from_array(data.camera()[:96, :128].astype(np.uint8) // 4 * 4)
    clean.gaussblur(4).pngsave(os.fspath(path), compression=1)  # as no encoder of ours would
    photo = add(client, path)
    kinds = {"photo": ("denoise", "dejpeg"), "denoise": ("denoise",), "dejpeg": ("dejpeg",)}
    for task, damages in kinds.items():
        job = finish(client, begin(client, photo, task=task))
        assert client.get(f"/api/jobs/{job['id']}/file").content == path.read_bytes()
        assert job["notes"][-1] == "copied byte for byte"
        for damage in damages:
            assert photo["findings"][damage]["level"] is None
            assert photo["findings"][damage]["sentence"] in job["notes"][0]


@pytest.mark.parametrize("size", [{"to_width": 187}, {"to_height": 153}, {"long_side": 187}])
def test_a_size_shows_what_its_scale_shows(client, tmp_path, size):
    photo = add(client, make_photo(tmp_path / "a.png"))
    seen = view(client, photo, (0, 0, 187, 153), task="upscale", **size)
    np.testing.assert_array_equal(seen, view(client, photo, (0, 0, 187, 153), task="upscale", level=1.7))
    assert "187 x 153 pixels" in sentence(ask(client, photo, (0, 0, 188, 153), task="upscale", **size), 422)
    assert "keeps the size" in sentence(ask(client, photo, task="denoise", level=5, **size), 422)


@pytest.fixture(scope="module")
def soft_address(models, subpixel_model, tmp_path_factory):
    """A server whose model for upscaling has a second level, softness."""
    folder = tmp_path_factory.mktemp("soft")
    with running(folder, {**models, Task.UPSCALE: subpixel_model}) as (address, _):
        yield address


def test_a_page_is_told_the_further_levels_of_a_model(soft_address):
    with page_at(soft_address) as client:
        opened = client.post("/api/pages").json()
        client.delete(f"/api/pages/{opened['page']}")
    names = ("unit", "field", "low", "high", "trained", "origin")
    colours = ("colour noise", "colour_noise", 0, 100, [0, 75], 0)
    quality = ("quality", "jpeg_quality", 1, 100, [5, 100], 100)
    softness = ("softness", "softness", 0, 3, [0, 2], 1)
    assert {told["task"]: told["axes"] for told in opened["tasks"]} == {
        "photo": [dict(zip(names, axis, strict=True)) for axis in (colours, quality)],
        "denoise": [],
        "dejpeg": [],
        "upscale": [dict(zip(names, softness, strict=True))],
    }


@pytest.mark.parametrize(("softness", "size"), [(0, {"level": 1.7}), (1.5, {"to_width": 187})])
def test_softness_is_seen_and_saved(soft_address, tmp_path, subpixel_model, softness, size):
    path = make_photo(tmp_path / "a.png")
    with page_at(soft_address) as client:
        photo = add(client, path)
        asked = {"task": "upscale", "softness": softness, **size}
        job = finish(client, begin(client, photo, **asked))
        assert (job["state"], job["error"]) == ("done", None)
        assert job["request"]["softness"] == softness
        response = client.get(f"/api/jobs/{job['id']}/file")
        region = (20, 10, 90, 70)
        shown, usual = (
            view(client, photo, region, **asked),
            view(client, photo, region, task="upscale", **size),
        )
        told = view(client, photo, region, task="upscale", softness=1, **size)
    name = f"a-upscale-{'187x153' if 'to_width' in size else '1.7'}-softness-{softness:g}.png"
    assert response.headers["content-disposition"] == f'attachment; filename="{name}"'
    out, model = tmp_path / "out.png", os.fspath(subpixel_model)
    words = ["-s", "1.7"] if "level" in size else ["--width", "187"]
    words += ["--softness", str(softness), "--model", model]
    assert main(["upscale", os.fspath(path), "-o", os.fspath(out), *words]) == 0
    assert response.content == out.read_bytes()
    full = in_8_bits(read_picture(out))
    assert np.abs(shown - full[:, 10:80, 20:110]).max() <= 1
    assert np.array_equal(told, usual), "1 is what is taken where none is given"
    assert np.abs(shown.astype(int) - usual).mean() > 0.5


def test_a_reduced_photo_is_nearer_to_the_usual_softness(soft_address, tmp_path, subpixel_model):
    with page_at(soft_address) as client:
        photo = add(client, make_photo(tmp_path / "a.png", bits=16))
        small = (view(client, photo, (0, 0, 55, 45), reduce=2) / 255).astype(np.float32)
        shown = view(client, photo, (0, 0, 110, 90), reduce=2, task="upscale", level=2, softness=2)
    restored = {
        softness: Restorer.load(subpixel_model)(small, {"scale": 2, "softness": softness}) * 255
        for softness in (1, 1.5, 2)
    }
    apart = {softness: np.abs(shown - pixels).mean() for softness, pixels in restored.items()}
    assert min(apart, key=apart.__getitem__) == 1.5


@pytest.mark.parametrize(
    ("asked", "fragment"),
    [
        ({"task": "upscale", "level": 2, "softness": -0.1}, "softness -0.1 is not accepted"),
        ({"task": "upscale", "level": 2, "softness": 3.5}, "this model takes a number from 0 to 3"),
        ({"task": "denoise", "level": 5, "softness": 1}, "no level 'softness'; it takes sigma"),
        ({"task": "upscale", "level": 2, "softness": "soft"}, " softness: "),
    ],
)
def test_an_impossible_softness_is_refused(soft_address, client, tmp_path, asked, fragment):
    path = make_photo(tmp_path / "a.png")
    with page_at(soft_address) as soft:
        photo = add(soft, path)
        answers = ask(soft, photo, **asked), soft.post(f"/api/photos/{photo['id']}/jobs", json=asked)
        for answer in answers:
            assert fragment in sentence(answer, 422)
        assert "is not accepted" in sentence(ask(soft, photo, task="upscale", level=2, softness="nan"), 422)
    photo, asked = add(client, path), {"task": "upscale", "level": 2, "softness": 1}
    for answer in (ask(client, photo, **asked), client.post(f"/api/photos/{photo['id']}/jobs", json=asked)):
        assert "no level 'softness'; it takes scale" in sentence(answer, 422)


@pytest.mark.parametrize(("task", "level"), [("denoise", 30), ("denoise", 0), ("dejpeg", 40), ("upscale", 1)])
def test_a_quick_view_is_the_exact_one_but_for_a_rounding(client, tmp_path, task, level):
    photo = add(
        client, make_photo(tmp_path / "a.png", bits=16)
    )  # in fp32: these models add noise, not a little
    exact, quick = (ask(client, photo, task=task, level=level, quick=quick) for quick in (False, True))
    assert (exact.headers["x-exact"], quick.headers["x-exact"]) == ("yes", "no")
    apart = np.abs(decode(exact.content).astype(int) - decode(quick.content))
    assert apart.max() <= 1


@pytest.mark.parametrize(("task", "black"), [("denoise", 5), ("dejpeg", 90), ("denoise", None)])
def test_a_download_with_a_map_is_what_the_command_line_writes(
    client, serving, tmp_path, models, monkeypatch, task, black
):
    monkeypatch.setattr(map_routes, "MAPS", 1)
    path = make_photo(tmp_path / "a.png", bits=16)
    photo = add(client, path)
    grey = np.arange(40 * 30).reshape(30, 40) % 256
    pyvips.Image.new_from_array(grey.astype(np.uint8)).pngsave(os.fspath(tmp_path / "mask.png"))
    given = put_map(client, photo, grey)
    grain = 0.3 if task == "denoise" else 0.0
    region = (5, 10, 60, 70)
    shown = view(client, photo, region, task=task, level=40, map=given, grain=grain, map_level=black or 0)
    wanted = {"task": task, "level": 40, "map": given, "grain": grain, "map_level": black}
    held = threading.Event()
    serving.shared.renders.submit("another", lambda: held.wait(20), background=True)
    job = begin(client, photo, **{key: value for key, value in wanted.items() if value is not None})
    put_map(client, photo, grey // 2)  # the first is forgotten, and its job keeps it
    held.set()
    told = finish(client, job)
    assert (told["state"], told["error"]) == ("done", None)
    words = ["-l", f"{black or 0}:40", "--level-map", os.fspath(tmp_path / "mask.png")]
    words += ["--grain", "0.3"] if grain else []
    model = os.fspath(models[Task(task)])
    assert main([task, os.fspath(path), "-o", os.fspath(tmp_path / "out.png"), "--model", model, *words]) == 0
    assert client.get(f"/api/jobs/{job['id']}/file").content == (tmp_path / "out.png").read_bytes()
    full = in_8_bits(read_picture(tmp_path / "out.png"))
    assert np.abs(shown - full[:, 10:80, 5:65]).max() <= 1


def test_a_job_that_cannot_be_done_says_why(client, serving, tmp_path):
    photo = add(client, make_photo(tmp_path / "my.png"))
    page = serving.shared.pages.find(client.headers["X-Page"])
    page.photos[photo["id"]].path.write_bytes(b"no picture any more")
    job = finish(client, begin(client, photo, task="denoise", level=20))
    assert job["state"] == "failed"
    assert job["error"].startswith("my.png: is not a PNG")
    assert "only a job that is done has a file" in sentence(client.get(f"/api/jobs/{job['id']}/file"), 409)


@pytest.mark.parametrize(
    ("wanted", "fragment"),
    [
        ({}, "body task"),
        ({"task": "sharpen", "level": 5}, "body task"),
        ({"task": "photo", "level": 5, "jpeg_quality": 101}, "quality 101.0 is not accepted"),
        ({"task": "photo", "level": 5, "colour_noise": "much"}, "body colour_noise"),
        ({"task": "photo", "jpeg_quality": 30, "map": "x"}, "a map needs the level where it is white"),
        ({"task": "dejpeg", "level": 50, "jpeg_quality": 30}, "jpeg_quality is not for dejpeg"),
        ({"task": "denoise", "level": 5, "to_width": 300}, "denoise keeps the size"),
        ({"task": "denoise", "map": "x"}, "a map needs the level where it is white"),
        ({"task": "upscale"}, "got 0 of them"),
        ({"task": "upscale", "level": 2, "to_width": 220}, "got 2 of them"),
        ({"task": "upscale", "to_width": 220, "long_side": 220}, "got 2 of them"),
        ({"task": "upscale", "to_width": 109}, "size 109 is not accepted for 110 x 90 pixels"),
        ({"task": "upscale", "long_side": 5000}, "is not accepted"),
        ({"task": "upscale", "to_width": 0}, "body to_width"),
        ({"task": "upscale", "to_height": 180.5}, "body to_height"),
        ({"task": "denoise", "level": float("nan")}, "body level"),
        ({"task": "denoise", "level": 5, "map": "x" * 2**15}, "at most 16384 bytes"),
        ({"task": "denoise", "level": 500}, "is not accepted"),
        ({"task": "upscale", "level": 0.1}, "is not accepted"),
        ({"task": "denoise", "level": "high"}, "body level"),
        ({"task": "denoise", "level": True}, "body level"),
        ({"task": "denoise", "level": 5, "quality": 0}, "body quality"),
        ({"task": "denoise", "level": 5, "quality": True}, "body quality"),
        ({"task": "denoise", "level": 5, "quality": "90"}, "body quality"),
        ({"task": "denoise", "level": 5, "format": "gif"}, "body format"),
        ({"task": "upscale", "level": 2, "grain": 0.1}, "upscale removes none"),
        ({"task": "denoise", "level": 5, "grain": 1.1}, "body grain"),
        ({"task": "denoise", "level": 5, "target": "/etc/passwd"}, "body target"),
    ],
)
def test_an_impossible_job_is_refused(client, tmp_path, wanted, fragment):
    photo = add(client, make_photo(tmp_path / "a.png"))
    response = client.post(f"/api/photos/{photo['id']}/jobs", content=json.dumps(wanted))
    assert fragment in sentence(response, 413 if "bytes" in fragment else 422)


class Slow:
    """Whole photos are restored in small tiles, and wait after the first until they are let go."""

    def __init__(self, monkeypatch):
        self.begun, self.gate = threading.Event(), threading.Event()
        real = restoring.repair_file

        def repair_file(*words, progress, **more):
            def step(done, total):
                self.begun.set()
                progress(done, total)
                assert self.gate.wait(20)

            return real(*words, progress=step, tile=32, **more)

        monkeypatch.setattr(restoring, "repair_file", repair_file)


def test_a_running_job_tells_its_tiles_and_can_be_cancelled(client, serving, tmp_path, monkeypatch):
    slow = Slow(monkeypatch)
    photo = add(client, make_photo(tmp_path / "a.png"))
    job = begin(client, photo, task="denoise", level=20)
    assert slow.begun.wait(20)
    told = wait_for(lambda: (now := client.get(f"/api/jobs/{job['id']}").json())["done"] and now)
    assert (told["state"], told["done"], told["total"]) == ("running", 1, 12)
    assert told["seconds_left"] > 0
    assert "only a job that is done" in sentence(client.get(f"/api/jobs/{job['id']}/file"), 409)
    assert client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert client.get(f"/api/jobs/{job['id']}").json()["state"] == "cancelled"
    slow.gate.set()
    serving.shared.renders.submit("another", lambda: None, background=True).result(20)
    assert client.get(f"/api/jobs/{job['id']}").json()["state"] == "cancelled"
    folder = serving.shared.pages.find(client.headers["X-Page"]).folder
    assert [path.name for path in folder.iterdir()] == [photo["id"]]


def test_jobs_of_a_page_come_in_order_and_pages_take_turns(client, serving, tmp_path, monkeypatch):
    slow = Slow(monkeypatch)
    order = []
    real = shared_module.render

    def render(shared, page, job, loop):
        order.append(job.identity)
        real(shared, page, job, loop)

    monkeypatch.setattr(job_routes, "render", render)
    path = make_photo(tmp_path / "a.png")
    with page_at(serving.address) as other:
        mine, theirs = add(client, path), add(other, path)
        jobs = [begin(client, mine, task="denoise", level=level) for level in (1, 2, 3)]
        assert slow.begun.wait(20)
        last = begin(other, theirs, task="denoise", level=4)
        slow.gate.set()
        for job in jobs:
            assert finish(client, job)["state"] == "done"
        assert finish(other, last)["state"] == "done"
    assert order == [jobs[0]["id"], jobs[1]["id"], last["id"], jobs[2]["id"]] or order == [
        jobs[0]["id"], last["id"], jobs[1]["id"], jobs[2]["id"]
    ]  # fmt: skip


def test_only_so_many_jobs_are_kept(client, serving, tmp_path, monkeypatch):
    monkeypatch.setattr(job_routes, "JOBS", 2)
    photo = add(client, make_photo(tmp_path / "a.png"))
    jobs = [begin(client, photo, task="denoise", level=level) for level in (1, 2)]
    for job in jobs:
        finish(client, job)
    third = begin(client, photo, task="denoise", level=3)
    assert "no such job" in sentence(client.get(f"/api/jobs/{jobs[0]['id']}"), 404)
    assert client.get(f"/api/jobs/{jobs[1]['id']}/file").status_code == 200
    finish(client, third)
    page = serving.shared.pages.find(client.headers["X-Page"])
    assert len(list(page.folder.glob("*.png"))) == 2
    assert client.delete(f"/api/jobs/{third['id']}").status_code == 204
    assert len(list(page.folder.glob("*.png"))) == 1
    for job in page.jobs.values():
        job.state = "queued"
    begin(client, photo, task="denoise", level=3)
    assert "cancel one" in sentence(
        client.post(f"/api/photos/{photo['id']}/jobs", json={"task": "denoise", "level": 3}), 429
    )


# --- Who may ask ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "headers", "fragment"),
    [
        ("POST", "/api/pages", {}, "needs the header X-Hyperrestore"),
        ("DELETE", "/api/photos/x", {}, "needs the header X-Hyperrestore"),
        ("POST", "/api/pages", {**OWN, "Host": "evil.example"}, "answers as localhost"),
        ("GET", "/", {"Host": "evil.example:80"}, "answers as localhost"),
        ("GET", "/", {"Host": "127.0.0.1.evil.example"}, "answers as localhost"),
        ("GET", "/", {"Host": "[::1"}, "answers as localhost"),
        ("GET", "/", {"Host": ""}, "answers as localhost"),
        ("POST", "/api/pages", {**OWN, "Origin": "https://evil.example"}, "only from this server's own page"),
        ("POST", "/api/pages", {**OWN, "Origin": "null"}, "only from this server's own page"),
        ("POST", "/api/pages", {**OWN, "Origin": "http://["}, "only from this server's own page"),
        ("POST", "/api/pages", {**OWN, "Origin": "http://localhost:1"}, "only from this server's own page"),
        ("GET", "/api/jobs/x", {"Sec-Fetch-Site": "cross-site"}, "came from another site"),
        ("GET", "/api/jobs/x", {"Sec-Fetch-Site": "same-site"}, "came from another site"),
    ],
)
def test_strangers_are_refused(serving, method, path, headers, fragment):
    with httpx.Client(base_url=serving.address, trust_env=False) as client:
        response = client.request(method, path, headers=headers)
    assert fragment in sentence(response, 403)
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8080", "LOCALHOST:99"])
def test_this_machine_is_let_in_under_all_its_names(serving, host):
    with httpx.Client(base_url=serving.address, trust_env=False) as client:
        headers = {**OWN, "Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert client.post("/api/pages", headers=headers).status_code == 201
        arriving = {"Host": host, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert client.get("/", headers=arriving).status_code == 200  # a link on another page


def test_every_answer_keeps_browsers_strict(serving, client, tmp_path):
    photo = add(client, make_photo(tmp_path / "a.png"))
    answers = [
        client.get("/"), client.get("/api/jobs/x"), client.get("/nothing"), client.get("/openapi.json"),
        ask(client, photo), ask(client, photo, reduce=3), client.get("/", headers={"Host": "evil.example"}),
        client.put("/"),
    ]  # fmt: skip
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_elsewhere_than_on_loopback_a_token_is_needed(models, tmp_path):
    with (
        running(tmp_path, models, token="secret", cookie="ours", static=static_files(tmp_path)) as (
            address,
            _,
        ),
        httpx.Client(base_url=address, headers=OWN, trust_env=False) as client,
    ):
        for path in ("/", "/openapi.json", "/assets/page-1a2b.js", "/?token=wrong", "/?token="):
            assert "asks for its token" in sentence(client.get(path), 403)
        assert "asks for its token" in sentence(client.post("/api/pages"), 403)
        for cookie in ("ours=wrong", "theirs=secret", "ours=", "ours"):
            assert client.get("/", headers={"Cookie": cookie}).status_code == 403
        first = client.get("/?token=secret", headers={"Host": "photos.lan"})
        assert first.status_code == 200
        cookie = first.headers["set-cookie"]
        assert cookie == "ours=secret; Path=/; HttpOnly; SameSite=Strict"
        client.cookies.clear()
        client.headers["Cookie"] = "other=1; ours=secret"
        assert client.post("/api/pages").status_code == 201
        assert "needs the header" in sentence(client.post("/api/pages", headers={"X-Hyperrestore": ""}), 403)


# --- The page itself, and the document --------------------------------------------------------------


def test_the_built_page_is_served_and_nothing_else(client):
    for path, kind in (
        ("/", "text/html"),
        ("/index.html", "text/html"),
        ("/assets/page-1a2b.js", "text/javascript"),
    ):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == answer.headers["content-length"]
    assert client.head("/secret.txt").status_code == 404
    for path in (
        "/secret.txt",
        "/assets/",
        "/assets/../secret.txt",
        "/%2e%2e/conftest.py",
        "//etc/passwd",
        "/docs",
    ):
        assert "nothing at this address" in sentence(client.get(path), 404)
    assert client.post("/api/nothing").status_code == 405
    assert client.post("/api/jobs/x", content=b"x" * 10**7).status_code == 405


def test_the_document_describes_every_route(client):
    document = client.get("/openapi.json").json()
    assert document["info"]["title"] == "hyperrestore"
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert described == {
        ("/api/pages", "post"), ("/api/pages/{page}", "get"), ("/api/pages/{page}", "delete"),
        ("/api/pages/{page}/events", "get"),
        ("/api/photos", "post"), ("/api/photos/{photo}", "delete"), ("/api/photos/{photo}/region", "get"),
        ("/api/photos/{photo}/map", "put"), ("/api/photos/{photo}/jobs", "post"), ("/api/jobs/{job}", "get"),
        ("/api/jobs/{job}", "delete"), ("/api/jobs/{job}/file", "get"), ("/api/archive", "get"),
    }  # fmt: skip
    for methods in document["paths"].values():
        for method, operation in methods.items():
            assert operation["description"]
            names = {parameter["name"].lower() for parameter in operation["parameters"]}
            assert ("x-hyperrestore" in names) == (method != "get")


# --- The command ------------------------------------------------------------------------------------


def start(*words, **environment):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", 
         "from hyperrestore.cli.main import main; raise SystemExit(main())", "web", "--no-open", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_ctrl_c_and_leaves_nothing(tmp_path, number):
    process = start("--port", "0", TMPDIR=str(tmp_path))
    try:
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        with page_at(address) as client:
            photo = add(client, make_photo(tmp_path / "a.png"))
            assert view(client, photo, task="denoise", level=90).shape == (3, 90, 110)  # beyond training
            (folder,) = tmp_path.glob("hyperrestore-web-*")
            assert folder.stat().st_mode & 0o777 == 0o700
            with client.stream("GET", f"/api/pages/{client.headers['X-Page']}/events") as events:
                next(events.iter_lines())
                process.send_signal(number)
                out, err = process.communicate(timeout=30)
            client.delete = lambda path: None
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out) == (0, "")
    assert err == "hyperrestore: stopped; the temporary files are removed\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_taken_port_is_said(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["web", "--no-open", "--port", port]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"hyperrestore: error: cannot listen on 127.0.0.1 port {port} (")
    assert "--port" in said
    assert main(["web", "--no-open", "--host", "no such host"]) == 2


def test_without_the_extra_the_command_says_what_to_install():
    program = "import sys; sys.modules['{}'] = None\n"
    program += "from hyperrestore.cli.main import main\nsys.exit(main(['web']))"
    for module in ("fastapi", "uvicorn"):
        result = subprocess.run(
            [sys.executable, "-c", program.format(module)], capture_output=True, text=True, timeout=60,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )  # fmt: skip
        assert result.returncode == 2
        assert result.stderr == (
            f"hyperrestore: error: the page needs {module}: pip install 'hyperrestore[web]'\n"
        )


def test_the_command_line_and_the_package_do_without_the_server():
    program = (
        "import sys, hyperrestore.cli.main, hyperrestore.restore.batch, hyperrestore.restore.restorer\n"
        "print(sorted({'fastapi', 'uvicorn', 'pydantic', 'hyperrestore.web'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    assert result.stdout == "[]\n"
