"""Several processes that restore for one server: the same bytes, each visitor served, crashes survived."""

import functools
import os
import signal
import threading

import numpy as np
import pytest
from makers import make_photo
from serving import add, begin, finish, page_at, running, sentence, wait_for

from hyperrestore import Restorer, restore_file
from hyperrestore.errors import PictureError
from hyperrestore.level import Task
from hyperrestore.restore.repair import repair_at
from hyperrestore.run.engine import Region
from hyperrestore.web.photos import keep_photo
from hyperrestore.web.restoring import InThisProcess, Saved, Viewed
from hyperrestore.web.workers import Workers

REGION = Region(5, 5, 105, 85)


LOAD = functools.partial(Restorer.load, precision="fp32")


@pytest.fixture(scope="module")
def workers():
    made = Workers(2, LOAD, threads=1)
    yield made
    made.close()
    assert made.processes() == []


@pytest.fixture
def photo(tmp_path):
    source = make_photo(tmp_path / "a.png", height=120, width=160)
    return keep_photo(source, identity="1", name="a.png", max_pixels=10**6)


@pytest.fixture
def repair():
    return repair_at(LOAD("denoise"), 25)


def test_they_restore_what_one_process_does(workers, photo, repair, tmp_path):
    here = InThisProcess(LOAD)
    viewed = Viewed(photo, repair, REGION, 1, None, quick=False)
    assert np.array_equal(workers.view(viewed, None), here.view(viewed, None))
    steps = []
    workers.save(Saved(photo.path, tmp_path / "there.png", repair, None), lambda *step: steps.append(step))
    here.save(Saved(photo.path, tmp_path / "here.png", repair, None), lambda *step: None)
    assert (tmp_path / "there.png").read_bytes() == (tmp_path / "here.png").read_bytes()
    assert steps[-1][0] == steps[-1][1] > 0


def test_a_view_comes_in_between_and_an_unwanted_one_ends(workers, photo, repair):
    viewed = Viewed(photo, repair, REGION, 1, None, quick=False)
    inner = []

    def between():
        if inner:
            raise ZeroDivisionError
        inner.append(workers.view(viewed, None))

    with pytest.raises(ZeroDivisionError):
        whole = Viewed(photo, repair, Region(0, 0, 160, 120), 1, None, quick=False)
        workers.view(whole, lambda: between() or between())
    assert inner[0].shape == (3, 80, 100)
    assert np.array_equal(workers.view(viewed, None), inner[0]), "it is ready for the next one"


def test_errors_come_back(workers, photo, repair, tmp_path):
    with pytest.raises(PictureError, match=r"missing\.png"):
        workers.save(Saved(tmp_path / "missing.png", tmp_path / "a.jpg", repair, None), lambda *step: None)


class OddError(Exception):
    """Cannot be pickled."""

    def __init__(self, words):
        super().__init__(words)
        self.lock = threading.Lock()


def fail(task):
    raise OddError("no such model")


def test_an_error_that_cannot_be_sent_ends_the_call(photo, repair, tmp_path):
    made = Workers(1, fail, threads=1)
    late = threading.Timer(30, made.close)
    late.start()
    try:
        for call in (
            lambda: made.save(Saved(photo.path, tmp_path / "a.jpg", repair, None), lambda *step: None),
            lambda: made.view(Viewed(photo, repair, REGION, 1, None, quick=False), None),
        ):
            with pytest.raises(RuntimeError, match="OddError: no such model"):
                call()
    finally:
        late.cancel()
        made.close()


def test_a_crash_fails_one_call_and_a_new_process_follows(workers, photo, repair):
    viewed = Viewed(photo, repair, REGION, 1, None, quick=False)
    rows = workers.view(viewed, None)
    (number, *_) = workers.processes()

    def kill():
        os.kill(number, signal.SIGKILL)
        wait_for(lambda: number not in workers.processes())

    with pytest.raises(PictureError, match="has crashed"):
        workers.view(viewed, kill)
    assert np.array_equal(workers.view(viewed, None), rows)
    assert number not in workers.processes()


@pytest.mark.web
def test_several_visitors_are_served_at_a_time(
    photo_model, tiny_model, dejpeg_model, upscale_model, tmp_path
):
    models = {
        Task.PHOTO: photo_model,
        Task.DENOISE: tiny_model,
        Task.DEJPEG: dejpeg_model,
        Task.UPSCALE: upscale_model,
    }
    picture = make_photo(tmp_path / "a.png", height=300, width=400)
    restore_file(Restorer.load(models[Task.DENOISE]), picture, tmp_path / "b.png", 25)
    expected = (tmp_path / "b.png").read_bytes()

    def visit(address, results):
        with page_at(address) as client:
            photo = add(client, picture)
            view = {"left": 0, "top": 0, "width": 300, "height": 200, "task": "denoise", "level": 25}
            shown = client.get(f"/api/photos/{photo['id']}/region", params=view)
            job = begin(client, photo, task="denoise", level=25)
            assert finish(client, job)["state"] == "done"
            results.append((shown.content, client.get(f"/api/jobs/{job['id']}/file").content))
            wrong = client.get(f"/api/photos/{photo['id']}/region", params={**view, "level": 1000})
            assert "1000" in sentence(wrong, 422)

    with running(tmp_path, models, workers=2) as (address, shared):
        results = []
        visits = [threading.Thread(target=visit, args=(address, results)) for _ in range(3)]
        for each in visits:
            each.start()
        for each in visits:
            each.join(100)
        assert len(results) == 3
        assert {saved for _, saved in results} == {expected}
        assert len({shown for shown, _ in results}) == 1
        assert len(shared.restoring.processes()) == 2
    assert shared.restoring.processes() == []
