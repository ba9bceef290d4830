"""A picture repaired and enlarged at once: as by two commands, but for what is rounded between them."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import curve, damaged, display_profile, photo

from hyperrestore import LevelError, Picture, PictureInfo, Region, Restorer, UsageError, restore_file
from hyperrestore.cli.main import main
from hyperrestore.picture.file import read_picture, write_picture
from hyperrestore.restore.assembly import Seen, Step, assemble
from hyperrestore.run.transparency import hidden_pixels

LEVELS = {"sigma": 25.0, "quality": 40.0, "scale": 2.3}


@pytest.fixture(scope="module", params=["sub-pixels", "enlarged before"])
def upscaler(request, subpixel_model, upscale_model):
    return subpixel_model if request.param == "sub-pixels" else upscale_model


@pytest.fixture(scope="module")
def models(tiny_model, dejpeg_model, upscaler):
    return [Restorer.load(path, precision="fp32") for path in (tiny_model, dejpeg_model, upscaler)]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# --- The same however it is cut ---------------------------------------------------------------------


def rows_of_visible(random, height, width, channels):
    """Rows as those of `VisibleRows`: without what is hidden, as they are, and which are shown."""
    shown = np.kron(random.random((height // 8 + 1, width // 8 + 1)) < 0.6, np.ones((8, 8)))
    own, without = random.random((2, channels, height, width))
    shown = shown[None, :height, :width]
    return np.concatenate([np.where(shown, own, without), own, shown]).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 50),
    width=st.integers(1, 40),
    scale=st.floats(1, 3),
    tile=st.integers(8, 60),
    channels=st.sampled_from([1, 3]),
    visible_only=st.booleans(),
    linear=st.booleans(),
    integers=st.booleans(),
    repairs=st.sampled_from([(0,), (1,), (0, 1)]),
)
def test_every_cut_gives_the_whole(
    models, height, width, scale, tile, channels, visible_only, linear, integers, repairs
):
    random = np.random.default_rng(0)
    picture = random.random((channels, height, width), np.float32)
    if visible_only:
        picture = rows_of_visible(random, height, width, channels)
    if integers:
        picture = np.rint(picture * 255).astype(np.uint8)
    levels = ((25.0,), (40.0,))
    steps = [Step(models[index], levels[index], 0.2 * (index == 0)) for index in repairs]
    steps.append(Step(models[2], (scale, *(1.0 for _ in models[2].axes))))
    assembly = assemble(steps, Seen(width, height, 8, visible_only=visible_only, linear=linear))
    down, across = assembly.to
    asked, told = [], []

    def read(top, bottom):
        asked.append((top, bottom))
        return picture[:, top:bottom]

    def region(part):
        return picture[:, part.top : part.bottom, part.left : part.right]

    whole = np.concatenate(list(assembly.rows(read, tile=1000)), axis=1)
    assert whole.shape == (channels, down, across) and whole.dtype == np.float32, "nothing is rounded"
    asked.clear()
    rows = assembly.rows(read, tile=tile, progress=lambda done, tiles: told.append((done, tiles)))
    np.testing.assert_allclose(np.concatenate(list(rows), axis=1), whole, rtol=0, atol=5e-6)
    assert asked[0][0] == 0 and asked[-1][1] == height, "every row"
    assert all(before[1] == after[0] for before, after in pairwise(asked)), "once"
    assert [done for done, _ in told] == list(range(1, told[-1][1] + 1)), "every tile is counted"
    left, top = across // 3, down // 4
    part = assembly.region(region, Region(left, top, across, down), tile=tile)
    np.testing.assert_allclose(part, whole[:, top:, left:], rtol=0, atol=5e-6)


def test_rows_are_repaired_as_they_are_needed(models):
    steps = [Step(models[0], (25.0,)), Step(models[2], (2.0, *(1.0 for _ in models[2].axes)))]
    assembly = assemble(steps, Seen(40, 2000, 8, visible_only=False, linear=False))
    read = []

    def rows(top, bottom):
        read.append(bottom)
        return np.zeros((3, bottom - top, 40), np.uint8)

    made = 0
    for part in assembly.rows(rows, tile=64):
        made += part.shape[1]
        assert read[-1] <= made // 2 + 300
    assert made == 4000 and read[-1] == 2000


@pytest.mark.parametrize("which", [0, 1])
def test_the_upscaler_sees_the_repaired_picture(models, which):
    picture = np.random.default_rng(0).random((3, 30, 41), np.float32)
    levels = (2.3, *(1.0 for _ in models[2].axes))
    steps = [Step(models[which], (30.0,)), Step(models[2], levels)]
    assembly = assemble(steps, Seen(41, 30, 16, visible_only=False, linear=False))
    made = np.concatenate(list(assembly.rows(lambda top, bottom: picture[:, top:bottom])), axis=1)
    np.testing.assert_allclose(made, models[2](models[which](picture, 30), 2.3), rtol=0, atol=5e-6)


# --- As by two commands -----------------------------------------------------------------------------

KINDS = {
    "rgb.png": {},
    "grey.png": {"channels": 1},
    "alpha.png": {"alpha": 0.5},
    "hidden.tif": {"alpha": 0, "size": (43, 300)},
    "grey, hidden.png": {"alpha": 0, "channels": 1, "size": (43, 300)},
    "linear.tif": {"linear": True},
    "linear, hidden.tif": {"linear": True, "alpha": 0, "size": (43, 300)},
    "pixel.png": {"size": (1, 1)},
    "row.png": {"size": (1, 37)},
    "column.png": {"size": (29, 1)},
}


HIDDEN_UP_TO = 30  # column


def sixteen_bits(path, *, channels=3, alpha=None, linear=False, size=(43, 57)):
    """A smooth picture with noise, of which a part is transparent."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    smooth = 0.5 + 0.2 * np.sin(x / 9 + np.arange(channels)[:, None, None]) * np.cos(y / 7)
    pixels = (smooth + np.random.default_rng(0).normal(0, 0.05, smooth.shape)).clip(0, 1).astype(np.float32)
    opacity = None if alpha is None else np.ones((1, *size), np.float32)
    if opacity is not None:
        opacity[:, 10:25, 8:HIDDEN_UP_TO] = alpha
    icc = display_profile(curve()) if linear else None
    info = PictureInfo(size[1], size[0], channels, 16, alpha is not None, icc_profile=icc)
    write_picture(path, Picture(pixels, opacity, info))


@pytest.mark.parametrize("kind", KINDS)
def test_two_commands_through_16_bits_give_the_same(models, kind):
    sixteen_bits(kind, **KINDS[kind])
    given = {"sigma": 25.0, "quality": 40.0}
    restore_file(models[:2], kind, f"repaired-{kind}", given)
    restore_file(models[2], f"repaired-{kind}", f"two-{kind}", 2.3)
    report = restore_file(models, kind, f"one-{kind}", LEVELS)
    assert report.levels == {"denoise": 25, "dejpeg": 40, "upscale": 2.3} and not report.notes
    two, one = read_picture(f"two-{kind}"), read_picture(f"one-{kind}")
    assert (one.info.width, one.info.height) == (two.info.width, two.info.height)
    assert (report.width, report.height) == (one.info.width, one.info.height)
    assert one.info.icc_profile == two.info.icc_profile and one.info.bits == 16
    seen = np.ones(one.pixels.shape[1:], bool)
    if one.alpha is not None:
        np.testing.assert_array_equal(one.alpha, two.alpha)
        # As far as a network sees, it matters whether what is put in for hidden colours is repaired, or is of
        # repaired ones.
        halos = [model.at(level, pixels=1).halo for model, level in zip(models, (25, 40, 2.3), strict=True)]
        reach = 0 if KINDS[kind]["alpha"] else HIDDEN_UP_TO + sum(halos) + 8
        seen[:, : round(2.3 * reach)] = False
        assert seen.any()
    assert np.abs(one.pixels - two.pixels)[:, seen].max() < 1 / 255
    plain = restore_file(models[2], kind, f"plain-{kind}", 2.3)
    assert plain.width == report.width
    assert np.abs(read_picture(f"plain-{kind}").pixels - one.pixels).max() > 2 / 255, "it is repaired"


def test_what_is_hidden_changes_nothing_that_is_seen(models):
    made = []
    for garbage in (0.0, 1.0):
        sixteen_bits(f"{garbage}.png", alpha=0)
        picture = read_picture(f"{garbage}.png")
        picture.pixels[:, 10:25, 8:HIDDEN_UP_TO] = garbage
        write_picture("a.png", picture, overwrite=True)
        restore_file(models, "a.png", "b.png", LEVELS, overwrite=True)
        restored = read_picture("b.png")
        made.append(restored.pixels[:, ~hidden_pixels(restored.alpha[0])])
    np.testing.assert_array_equal(*made)


def test_levels_are_estimated_from_the_small_picture(models):
    damaged("noisy.jpg", sigma=20, quality=85)
    alone = restore_file(models[:2], "noisy.jpg", "alone.png", None)
    report = restore_file(models, "noisy.jpg", "large.png", {"scale": 1.5}, strength=0.5)
    assert report.levels["denoise"] == pytest.approx(alone.levels["denoise"] / 2, abs=0.06)
    assert report.levels["dejpeg"] == 92.5 and report.levels["upscale"] == 1.5
    assert "(found 85, times 0.5)" in report.notes[1]


def test_a_clean_picture_is_only_enlarged(models):
    damaged("clean.png", sigma=0)
    report = restore_file(models, "clean.png", "a.png", None, to_width=300)
    assert list(report.levels) == ["upscale"] and report.notes[0].startswith("nothing was repaired: no noise")
    restore_file(models[2], "clean.png", "b.png", None, to_width=300)
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_what_is_large_enough_is_only_repaired(models):
    damaged("noisy.png", sigma=20)
    report = restore_file(models, "noisy.png", "a.png", None, to_width=50, keep_larger=True)
    alone = restore_file(models[:2], "noisy.png", "b.png", None)
    assert report.levels == alone.levels and "not enlarged: at " in report.notes[-1]
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    with pytest.raises(LevelError):
        restore_file(models, "noisy.png", "c.png", None, to_width=50)


def test_an_upscaler_comes_last_and_alone(models):
    photo(Path("a.png"))
    for wrong in (models[::-1], [models[2], models[2]]):
        with pytest.raises(UsageError, match="of several models only the last may upscale"):
            restore_file(wrong, "a.png", "no.png", {"scale": 2})
    with pytest.raises(UsageError, match="give one of scale, width, height and long side; got 0"):
        restore_file(models, "a.png", "no.png", {"sigma": 2})


def test_softness_and_grain_are_for_those_that_have_them(tiny_model, subpixel_model, upscale_model):
    photo(Path("a.png"))
    denoiser, soft, plain = map(Restorer.load, (tiny_model, subpixel_model, upscale_model))
    given = {"sigma": 30, "scale": 2}
    restore_file([denoiser, soft], "a.png", "usual.png", given)
    restore_file([denoiser, soft], "a.png", "soft.png", given, softness=2.0)
    restore_file([denoiser, soft], "a.png", "grain.png", given, grain=0.5)
    made = [Path(f"{name}.png").read_bytes() for name in ("usual", "soft", "grain")]
    assert len(set(made)) == 3
    with pytest.raises(UsageError, match="no level 'softness'; it takes sigma, scale"):
        restore_file([denoiser, plain], "a.png", "no.png", given, softness=2.0)


# --- The command line -------------------------------------------------------------------------------


def run(capsys, words, *more):
    """The exit code, the objects printed, and the lines said."""
    code = main([*words.split(), *more, "--json"])
    output = capsys.readouterr()
    return code, [json.loads(line) for line in output.out.splitlines()], output.err.splitlines()


def test_one_command_repairs_and_enlarges(capsys, upscaler):
    Path("in").mkdir()
    damaged("in/noisy.jpg", sigma=20, quality=85)
    damaged("in/clean.png", sigma=0)
    words = ["--model", str(upscaler), "--report", "report.json"]
    code, results, said = run(capsys, "upscale in -r -o out -s 1.5 --restore", *words)
    assert code == 0
    levels = {Path(result["source"]).name: result["levels"] for result in results}
    assert levels["clean.png"] == {"upscale": 1.5}
    assert list(levels["noisy.jpg"]) == ["denoise", "dejpeg", "upscale"]
    assert any("in/clean.png: nothing was repaired: " in line for line in said)
    report = json.loads(Path("report.json").read_text())
    assert report["settings"]["restore"] is True and report["settings"]["level"] == 1.5
    assert [model["task"] for model in report["models"]] == ["denoise", "dejpeg", "upscale"]
    assert report["models"][2]["model"] == str(upscaler)
    noisy, options = "upscale in/noisy.jpg -o a.jpg --overwrite --restore", words[:2]
    for dials, expected in (
        ("--width 300 --noise 12 --strength 2", {"denoise": 12, "dejpeg": 70}),
        ("-s 2 --noise none --jpeg-quality 30", {"dejpeg": 30}),
        ("-s 2 --noise 40+ --jpeg-quality none", {"denoise": 40}),
    ):
        code, (result,), _ = run(capsys, f"{noisy} {dials}", *options)
        result["levels"].pop("upscale")
        assert (code, result["levels"]) == (0, expected)


REFUSED = {
    "-s 2 --noise 5": "--noise is for what `upscale` repairs first: add --restore, or leave it out",
    "-s 2 --jpeg-quality auto": "--jpeg-quality is for what `upscale` repairs first",
    "-s 2 --strength 2": "--strength is for what `upscale` repairs first",
    "-s 2 --restore --noise none --jpeg-quality none": "leave nothing to repair",
    "-s 2 --restore --noise 5 --jpeg-quality 50 --strength 2": "leave none to estimate",
    "-s 2 --restore --noise 101": "sigma 101.0 is not accepted",
    "-s 2 --restore --strength 99": "strength 99.0 is not accepted",
    "-s 7 --restore": "scale 7.0 is not accepted",
    "--restore": "one of the arguments -s/--scale --width --height --long-side is required",
}


@pytest.mark.parametrize("options", REFUSED)
def test_the_command_line_refuses(capsys, options):
    photo(Path("a.png"))
    code, out, said = run(capsys, "upscale a.png -o no.png", *options.split())
    assert (code, out, len(said)) == (2, [], 1)
    assert REFUSED[options] in said[0]
    assert not Path("no.png").exists()
