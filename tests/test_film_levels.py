"""The levels of a film's frames, and what is said of them; no film is decoded."""

import json
from types import SimpleNamespace

import pytest
from conftest import COLOUR_NOISE, NOISE, QUALITY, SAVED

from hyperrestore.detect.findings import Compression, Findings
from hyperrestore.detect.noise import Noise
from hyperrestore.film import plan as module
from hyperrestore.film.levels import APART, followed
from hyperrestore.film.plan import Plan, make_plan
from hyperrestore.level import Task
from hyperrestore.restore.repair import Repair, repairs_of

PHOTO = SimpleNamespace(task=Task.PHOTO, scales=(NOISE, COLOUR_NOISE, SAVED))
DEJPEG = SimpleNamespace(task=Task.DEJPEG, scales=(QUALITY,))


def frame(sigma=0.0, quality=None):
    return Findings(Compression(quality, "as told"), Noise(sigma, 0.1, 1.0, sigma))


NOISY, SAVED_AT_40, CLEAN = frame(10), frame(0, 40), frame()
FOLLOWED = {
    "noise": ([NOISY] * 5, {}, ["photo at noise and colour noise 10, found in 5 frames"]),
    "jpeg": ([SAVED_AT_40] * 5, {}, ["photo at quality 40, found in 5 frames"]),
    "one frame": ([frame(10, 40)], {}, [
        "photo at noise and colour noise 10, found in 1 frames", "photo at quality 40, found in 1 frames",
    ]),
    "more and more": ([frame(5), frame(5), frame(6), frame(6)], {}, [
        "photo at noise and colour noise 5.2 to 6.0, found in 4 frames"
    ]),
    "nothing": ([CLEAN] * 5, {}, ["no need to restore was found in 5 frames"]),
    "least": ([CLEAN] * 5, {"at_least": 4}, ["photo at noise and colour noise 4, found in 5 frames"]),
    "given": ([frame(10, 40)] * 5, {"level": {"noise": 5}}, [
        "photo at noise 5, as given", "photo at colour noise 10, found in 5 frames",
        "photo at quality 40, found in 5 frames",
    ]),
    "only given": ([CLEAN] * 5, {"level": {"quality": 30}}, ["photo at quality 30, as given"]),
    "off": ([NOISY] * 5, {"level": {"noise": 0}}, ["photo at colour noise 10, found in 5 frames"]),
}  # fmt: skip


def plan_of(found, monkeypatch, *, model=PHOTO, level=None, **asked):
    monkeypatch.setattr(module, "findings_along", lambda film: found)
    film = SimpleNamespace(times=range(APART * len(found)), width=64, height=48)
    return make_plan([model], repairs_of([model], level, **asked), film, follow=True)


@pytest.mark.parametrize("name", FOLLOWED)
def test_the_notes_name_every_level_that_repairs(name, monkeypatch):
    found, asked, notes = FOLLOWED[name]
    plan = plan_of(found, monkeypatch, **asked)
    assert list(plan.notes) == notes
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan, "as it is kept while one works"


def test_one_level_is_named_where_it_does_not_change(monkeypatch):
    plan = plan_of([SAVED_AT_40] * 3, monkeypatch, model=DEJPEG)
    assert plan.notes == ("dejpeg at quality 40, found in 3 frames",)


@pytest.mark.parametrize("strength", [0.3, 1, 10])
def test_no_frame_has_a_level_beyond_the_trained_ones(strength):
    found = [frame(10, 40), frame(10, 40), frame(40, 20), frame(40, 20), CLEAN, CLEAN]
    repair = Repair(PHOTO.task, PHOTO.scales, strength=strength)
    levels = followed(repair, found, APART * len(found))
    for axis, along in zip(PHOTO.scales, levels.T, strict=True):
        assert axis.trained[0] <= along.min() and along.max() <= axis.trained[1]


def test_a_level_that_does_not_change_is_exactly_what_was_found():
    levels = followed(Repair(PHOTO.task, PHOTO.scales), [NOISY] * 3, 30)
    assert (levels == [10, 10, 100]).all()
