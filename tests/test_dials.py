"""The dials of an automatic repair: a level given for one kind of damage, a strength, a least sigma."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import COLOUR_NOISE, NOISE, QUALITY, SAVED, SIGMA
from hypothesis import given
from hypothesis import strategies as st
from makers import damaged, photo

from hyperrestore import Restorer, UsageError, read_picture, restore_file
from hyperrestore.cli.main import main
from hyperrestore.detect.findings import Compression, Findings
from hyperrestore.detect.noise import Noise
from hyperrestore.errors import LevelError
from hyperrestore.level import Task, kinds_of, times_as_strong
from hyperrestore.picture.containers.jpeg import LUMINANCE, quantisation_tables
from hyperrestore.restore.repair import Repair, repairs_of
from hyperrestore.restore.steps import steps_of

SCALES = {Task.DENOISE: SIGMA, Task.DEJPEG: QUALITY}
FACTORS = st.floats(0.1, 10)
LEVELS = {Task.DENOISE: st.floats(0.1, 75), Task.DEJPEG: st.floats(1, 99)}
TASK_AND_LEVEL = st.sampled_from(list(LEVELS)).flatmap(lambda task: st.tuples(st.just(task), LEVELS[task]))


@pytest.fixture(scope="module")
def restorers(tiny_model, dejpeg_model):
    return [Restorer.load(path, precision="fp32") for path in (tiny_model, dejpeg_model)]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# --- A level times a strength -----------------------------------------------------------------------


PHOTO = (NOISE, COLOUR_NOISE, SAVED)
OF_PHOTO = kinds_of(Task.PHOTO, 3)
ORIGINS = (0, 0, 100)


@given(TASK_AND_LEVEL, FACTORS, FACTORS)
def test_factors_multiply(level, one, other):
    task, level = level
    once = times_as_strong(task, level, one * other)
    assert times_as_strong(task, level, 1) == pytest.approx(level)
    assert times_as_strong(task, times_as_strong(task, level, one), other) == pytest.approx(once)


@given(st.floats(2, 95), FACTORS)
def test_the_steps_of_jpeg_are_multiplied(quality, factor):
    """As libjpeg rounds them, which is coarse where they are near 1."""
    stronger = times_as_strong(Task.DEJPEG, quality, factor)
    if not 1 <= stronger <= 95:
        return
    before, after = (np.array(quantisation_tables(q)[0]) for q in (quality, stronger))
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    exact = np.array(LUMINANCE) * factor * percent / 100
    within = (exact < 250) & (before < 250)
    # Half a step for the table, and libjpeg's whole percentages besides.
    np.testing.assert_array_less(np.abs(after - exact)[within], 0.51 + np.array(LUMINANCE)[within] / 100)


@given(TASK_AND_LEVEL, FACTORS)
def test_what_is_found_is_multiplied_within_the_trained_levels(level, factor):
    task, found = level
    scale = SCALES[task]
    (applied,) = Repair(task, (scale,), strength=factor).automatic_levels({task: found}) or (scale.origin,)
    least, most = scale.trained
    assert least <= applied <= most
    wanted = found if factor == 1 else times_as_strong(task, found, factor)
    assert applied == pytest.approx(min(max(wanted, least), most), abs=0.051)
    if factor > 1:
        nearest = scale.nearest_trained(found)
        assert scale.strength(applied) >= scale.strength(nearest) - 0.01, "not weaker than what was found"


@given(st.none() | st.floats(0.1, 75), FACTORS, st.floats(0, 75))
def test_a_least_sigma_is_a_least_sigma(found, factor, least):
    levels = {} if found is None else {Task.DENOISE: found}
    (plain,) = Repair(Task.DENOISE, (SIGMA,), strength=factor).automatic_levels(levels) or (0,)
    repair = Repair(Task.DENOISE, (SIGMA,), strength=factor, at_least=least)
    (applied,) = repair.automatic_levels(levels) or (0,)
    assert applied == max(plain, least)


def test_nothing_found_is_nothing_however_strong():
    assert Repair(Task.DEJPEG, (QUALITY,), strength=10).automatic_levels({}) is None
    assert Repair(Task.DENOISE, (SIGMA,), at_least=0).automatic_levels({}) is None
    assert Repair(Task.PHOTO, PHOTO, strength=10).automatic_levels({}) is None


@given(
    st.dictionaries(st.sampled_from(list(LEVELS)), st.floats(5, 75)),
    st.dictionaries(st.sampled_from(["noise", "colour noise", "quality"]), st.floats(5, 75)),
    FACTORS,
)
def test_each_level_of_a_photo_is_given_or_found(found, given, factor):
    whole = {"strength": factor} if len(given) < 3 else {}
    levels = Repair(Task.PHOTO, PHOTO, given, **whole).automatic_levels(found)
    if not found and not given:
        assert levels is None
    for axis, kind, level in zip(PHOTO, OF_PHOTO, levels or ORIGINS, strict=True):
        if axis.unit in given:
            assert level == given[axis.unit]
        elif kind not in found:
            assert level == axis.origin
        else:
            wanted = times_as_strong(kind, found[kind], whole.get("strength", 1))
            assert level == pytest.approx(axis.nearest_trained(wanted), abs=0.051)


def test_a_least_noise_is_that_of_colours_too():
    least = Repair(Task.PHOTO, PHOTO, at_least=8)
    assert least.automatic_levels({}) == (8, 8, 100)
    assert least.automatic_levels({Task.DENOISE: 20, Task.DEJPEG: 30}) == (20, 20, 30)


# --- What is said -----------------------------------------------------------------------------------

NOISY = Findings(Compression(40, "from its quantisation tables"), Noise(8.0, 0.3, 0.99, 8.0))
WILD = Findings(Compression(None, "no traces of JPEG compression were found"), Noise(60.0, 0.3, 1.0, 60.0))
CLEAN = Findings(Compression(None, "no traces of JPEG compression were found"), Noise(0.5, 0.3, 0.01, 0.5))
FOUND = "noise of sigma 8.0, give or take 0.3"
NONE = "no noise found with certainty (sigma 0.5, give or take 0.3)"
SAID = {
    "as found": (NOISY, {}, f"denoise at sigma 8: {FOUND}", "dejpeg at quality 40: JPEG quality 40, "),
    "stronger": (
        NOISY, {"strength": 1.5}, f"denoise at sigma 12 (found 8, times 1.5): {FOUND}",
        "dejpeg at quality 26.7 (found 40, times 1.5): JPEG quality 40, ",
    ),
    "at least, less found": (
        NOISY, {"at_least": 10}, f"denoise at sigma 10 (found 8, at least 10): {FOUND}",
        "dejpeg at quality 40: ",
    ),
    "at least, more found": (
        NOISY, {"at_least": 5}, f"denoise at sigma 8: {FOUND}", "dejpeg at quality 40: ",
    ),
    "at least, none found": (CLEAN, {"at_least": 5}, f"denoise at sigma 5 (at least 5): {NONE}"),
    "both": (
        NOISY, {"at_least": 6, "strength": 0.5},
        f"denoise at sigma 6 (found 8, times 0.5, at least 6): {FOUND}",
        "dejpeg at quality 68.8 (found 40, times 0.5)",
    ),
    "too strong": (
        WILD, {"strength": 2},
        "denoise at sigma 75, the nearest that the model was trained for (found 60, times 2): noise of",
    ),
    "one given": (
        NOISY, {"level": {"quality": 30}}, f"denoise at sigma 8: {FOUND}", "dejpeg at quality 30, as given",
    ),
    "one given, nothing else found": (CLEAN, {"level": {"sigma": 3}}, "denoise at sigma 3, as given"),
    "nothing": (
        CLEAN, {"strength": 3},
        f"nothing was repaired: {NONE}; no traces of JPEG compression were found; a level of the noise "
        "(`--noise`) or a JPEG quality (`--jpeg-quality`) repairs it anyway",
    ),
}  # fmt: skip

PHOTOS = FOUND.partition(",")[0]  # how sure that is, is known of sigma
SAID_OF_PHOTO = {
    "as found": (
        NOISY, {}, f"photo at noise and colour noise 8: {PHOTOS}", "photo at quality 40: JPEG quality 40, ",
    ),
    "more colour noise": (
        NOISY, {"level": {"colour noise": 20}},
        f"photo at noise 8: {PHOTOS}", "photo at colour noise 20, as given", "photo at quality 40: ",
    ),
    "stronger, at least": (
        NOISY, {"strength": 1.5, "at_least": 15},
        f"photo at noise and colour noise 15 (found 8, times 1.5, at least 15): {PHOTOS}",
        "photo at quality 26.7 (found 40, times 1.5): ",
    ),
    "no noise": (CLEAN, {"level": {"quality": 30}}, "photo at quality 30, as given"),
    "none wanted": (
        NOISY, {"level": {"noise": 0, "colour noise": 0}}, "photo at quality 40: JPEG quality 40, ",
    ),
    "nothing": (CLEAN, {}, SAID["nothing"][2]),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID_OF_PHOTO)
def test_what_is_said_of_a_photo(photo_model, name):
    findings, asked, *said = SAID_OF_PHOTO[name]
    model = Restorer.load(photo_model, precision="fp32")
    repairs = repairs_of([model], **{"level": None, **asked})
    _, notes = steps_of([model], repairs, 20, 30, findings=findings)
    assert len(notes) == len(said)
    for note, start in zip(notes, said, strict=True):
        assert note.startswith(start)


@pytest.mark.parametrize(("count", "level"), [(2, (5, 40)), (1, (5,)), (1, (5, 40, 60)), (1, ())])
def test_a_map_has_two_levels_and_is_for_one_model(restorers, count, level):
    with pytest.raises(UsageError, match=rf"got levels \(.*\) and {count} models"):
        repairs_of(restorers[:count], level, level_map="mask.png")


def test_softness_is_given_once(subpixel_model):
    model = Restorer.load(subpixel_model, precision="fp32")
    with pytest.raises(UsageError, match="softness of 1 and of 2 is given"):
        repairs_of([model], {"scale": 2, "softness": 1}, softness=2)


@pytest.mark.parametrize("name", SAID)
def test_what_was_found_and_what_is_applied_is_said(restorers, name):
    findings, asked, *said = SAID[name]
    repairs = repairs_of(restorers, **{"level": None, **asked})
    steps, notes = steps_of(restorers, repairs, 20, 30, findings=findings)
    assert len(notes) == len(said)
    for note, start in zip(notes, said, strict=True):
        assert note.startswith(start)
    applied = [step.levels[0] for step in steps if step is not None]
    assert [f" {level:g}" in note for level, note in zip(applied, notes, strict=False)] == [True] * len(
        applied
    )


# --- Files ------------------------------------------------------------------------------------------


def test_one_level_given_and_one_found(restorers):
    damaged("noisy.jpg", sigma=20, quality=85)
    report = restore_file(restorers, "noisy.jpg", "given.png", {"sigma": 12}, strength=2)
    assert report.levels == {"denoise": 12, "dejpeg": 70}
    assert report.notes[0] == "denoise at sigma 12, as given"
    both = restore_file(restorers, "noisy.jpg", "both.png", {"sigma": 12, "quality": 70})
    assert both.levels == report.levels and not both.notes, "nothing is estimated"
    assert Path("both.png").read_bytes() == Path("given.png").read_bytes()
    one = restore_file(restorers[0], "noisy.jpg", "one.tif", 12)
    assert one.levels == {"denoise": 12} and not one.notes


def test_a_given_level_repairs_a_clean_picture_of_one_kind(restorers):
    damaged("clean.png", sigma=0)
    report = restore_file(restorers, "clean.png", "out.png", {"quality": 30})
    assert report.levels == {"dejpeg": 30}
    report = restore_file(restorers, "clean.png", "least.png", None, at_least=4)
    assert report.levels == {"denoise": 4}
    assert report.notes[0].startswith("denoise at sigma 4 (at least 4): no noise found")


@pytest.mark.parametrize(
    ("which", "level", "more", "error", "said"),
    [
        ((0, 1), 12, {}, UsageError, "level 12 may be of any of 2 models; give it by its unit: {'sigma': ."),
        ((0, 1), {"scale": 2}, {}, UsageError, "no level 'scale'; it takes sigma, quality"),
        ((0, 1), {"sigma": 101}, {}, LevelError, "sigma 101 is not accepted"),
        ((0, 1), {"sigma": 5, "quality": 50}, {"strength": 2}, UsageError, "none is estimated here"),
        ((0, 1), {"sigma": 5}, {"at_least": 2}, UsageError, "a least sigma is for one that is estimated"),
        ((0,), 5, {"strength": 2}, UsageError, "a strength multiplies the sigma that is estimated"),
        ((0,), None, {"strength": 0.01}, UsageError, "strength 0.01 is not accepted: give a number"),
        ((0,), None, {"strength": float("nan")}, UsageError, "strength nan is not accepted"),
        ((0,), None, {"strength": "strong"}, UsageError, "strength 'strong' is not accepted"),
        ((0,), None, {"at_least": 300}, LevelError, "sigma 300 is not accepted"),
        ((1,), None, {"at_least": 3}, UsageError, "a least sigma is for noise, not for dejpeg"),
    ],
)  # fmt: skip
def test_what_is_refused(restorers, which, level, more, error, said):
    photo(Path("a.png"))
    with pytest.raises(error) as caught:
        restore_file([restorers[index] for index in which], "a.png", "no.png", level, **more)
    assert said in str(caught.value)
    assert not Path("no.png").exists()


# --- The command line -------------------------------------------------------------------------------


def run(capsys, words, *more):
    """The exit code, the objects printed, and the lines said."""
    code = main([*words.split(), *more, "--json"])
    output = capsys.readouterr()
    return code, [json.loads(line) for line in output.out.splitlines()], output.err.splitlines()


def test_restore_takes_levels(capsys):
    damaged("noisy.jpg", sigma=20, quality=85)
    _, (found,), _ = run(capsys, "restore noisy.jpg -o auto.png --noise auto --jpeg-quality auto")
    _, (plain,), _ = run(capsys, "restore noisy.jpg -o plain.png")
    assert found["levels"] == plain["levels"] and found["levels"]["dejpeg"] == 85
    noise = found["levels"]["denoise"]
    levels = {
        "--strength 1.5": {"denoise": round(1.5 * noise, 1), "dejpeg": 77.5},
        "--noise 12": {"denoise": 12, "dejpeg": 85},
        "--noise 12 --strength 2": {"denoise": 12, "dejpeg": 70},
        "--noise none": {"dejpeg": 85},
        "--jpeg-quality none": {"denoise": noise},
        "--noise none --jpeg-quality 30": {"dejpeg": 30},
        "--noise 3+": {"denoise": noise, "dejpeg": 85},
        "--noise 40+": {"denoise": 40, "dejpeg": 85},
        "--noise 30+ --strength 0.1": {"denoise": 30, "dejpeg": 98.5},
    }
    for number, (words, expected) in enumerate(levels.items()):
        code, (result,), said = run(capsys, f"restore noisy.jpg -o {number}.png {words}")
        assert code == 0 and result["levels"] == pytest.approx(expected), words
        if "--strength 1.5" in words:
            assert f"denoise at sigma {1.5 * noise:.3g} (found {noise:g}, times 1.5): noise of" in said[0]


def test_noise_of_colours_has_a_level_of_its_own_in_one_network(capsys):
    damaged("noisy.jpg", sigma=20, quality=85)
    _, (found,), said = run(capsys, "restore noisy.jpg -o auto.png --colour-noise auto")
    applied = found["levels"]["photo"]
    noise = applied["noise"]
    assert applied == {"noise": noise, "colour noise": noise, "quality": 85} and noise > 10
    assert said[0].endswith(f"photo at noise and colour noise {noise:g}: noise of sigma {noise:.1f}")
    levels = {
        "--colour-noise 30": (noise, 30, 85),
        "--colour-noise 30 --strength 1.5": (round(1.5 * noise, 1), 30, 77.5),
        "--colour-noise none": (noise, 0, 85),
        "--noise 12 --colour-noise 30": (12, 30, 85),
        "--noise 12 --colour-noise auto --strength 2": (12, round(2 * noise, 1), 70),
        "--noise none --colour-noise 30": (0, 30, 85),
        "--noise none --jpeg-quality none --colour-noise 30": (0, 30, 100),
        "--noise 40+ --colour-noise 30": (40, 30, 85),
    }
    for number, (words, expected) in enumerate(levels.items()):
        code, (result,), _ = run(capsys, f"restore noisy.jpg -o {number}.png {words}")
        units = ("noise", "colour noise", "quality")
        assert list(result["levels"]) == ["photo"]
        assert code == 0 and tuple(result["levels"]["photo"][unit] for unit in units) == pytest.approx(
            expected
        )
    code, (result,), _ = run(capsys, "upscale noisy.jpg -o large.png -s 1.5 --restore --colour-noise 30")
    assert code == 0 and list(result["levels"]) == ["photo", "upscale"]


def test_each_command_takes_a_strength(capsys):
    damaged("noisy.jpg", sigma=20, quality=85)
    _, (noise,), _ = run(capsys, "denoise noisy.jpg -o a.png")
    _, (result,), said = run(capsys, "denoise noisy.jpg -o b.png -l auto --strength 2")
    assert result["levels"]["denoise"] == pytest.approx(2 * noise["levels"]["denoise"])
    assert "times 2" in said[0]
    _, (result,), said = run(capsys, "dejpeg noisy.jpg -o c.png --strength 2")
    assert result["levels"] == {"dejpeg": 70} and "(found 85, times 2)" in said[0]


def test_a_folder_and_its_report(capsys):
    Path("in").mkdir()
    damaged("in/noisy.png", sigma=20)
    damaged("in/clean.png", sigma=0)
    words = "restore in -r -o out --noise 6+ --jpeg-quality none --strength 0.5 --report report.json"
    code, results, said = run(capsys, words)
    assert code == 0 and len(results) == 2
    noise = {Path(result["source"]).name: result["levels"]["denoise"] for result in results}
    assert noise["clean.png"] == 6 and noise["noisy.png"] == pytest.approx(10, abs=1.5)
    assert any("in/clean.png: denoise at sigma 6 (at least 6): " in line for line in said)
    report = json.loads(Path("report.json").read_text())
    asked = {"noise": "6+", "jpeg_quality": "none", "strength": 0.5, "level": None}
    assert {name: report["settings"][name] for name in asked} == asked
    assert [model["task"] for model in report["models"]] == ["denoise"]
    main(["restore", "in/clean.png", "-o", "a.png", "--report", "report.json"])
    report = json.loads(Path("report.json").read_text())
    assert report["settings"]["noise"] is None and report["settings"]["strength"] is None
    assert np.array_equal(read_picture("a.png").pixels, read_picture("in/clean.png").pixels)


REFUSED = {
    "restore --noise none --jpeg-quality none": "leave nothing to repair",
    "restore --noise none --grain 0.5": "--noise none removes none",
    "restore --noise much": "--noise: 'much' is not a number, auto or none",
    "restore --noise much+": "--noise: 'much+' is not a number with + behind it, as 8+",
    "restore --noise +": "'+' is not a number with +",
    "restore --noise 101": "sigma 101.0 is not accepted",
    "restore --noise nan": "sigma nan is not accepted",
    "restore --noise 101+": "sigma 101.0 is not accepted",
    "restore --colour-noise 101": "colour noise 101.0 is not accepted",
    "restore --noise none --jpeg-quality none --colour-noise none": "leave nothing to repair",
    "restore --jpeg-quality 0": "quality 0.0 is not accepted",
    "restore --jpeg-quality 40+": "--jpeg-quality: '40+' is not a number, auto or none",
    "restore --strength 0": "strength 0.0 is not accepted: give a number from 0.1 to 10",
    "restore --strength 11": "strength 11.0 is not accepted",
    "restore --strength very": "--strength: 'very' is not a number",
    "restore --strength 2 --noise 5 --jpeg-quality 20": "leave none to estimate",
    "restore --strength 2 --noise 5 --jpeg-quality none": "leave none to estimate",
    "restore -l 12": "-l is not for `restore`, which repairs two kinds of damage: give --noise SIGMA, "
    "--jpeg-quality QUALITY or --strength FACTOR; or use `denoise -l SIGMA` or `dejpeg -l QUALITY`",
    "denoise -l 12 --strength 2": "give only one of -l and --strength",
    "denoise -l 0:40 --level-map a.png --strength 2": "give only one of -l and --strength",
    "dejpeg -l 12 --strength 2": "give only one of -l and --strength",
    "denoise --sweep 5,10 --strength 2": "--sweep takes its levels instead of",
    "denoise --strength 20": "strength 20.0 is not accepted",
    "denoise --noise 12": "unrecognized arguments: --noise",
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_the_command_line_refuses(capsys, words):
    photo(Path("a.png"))
    command, *options = words.split()
    code, out, said = run(capsys, command, "a.png", "-o", "no.png", *options)
    assert (code, out, len(said)) == (2, [], 1)
    assert REFUSED[words] in said[0]
    assert not Path("no.png").exists()
