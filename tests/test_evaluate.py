"""Evaluation: scores that depend on the model, the picture, the level and the seed, and on nothing else."""

import csv
import io
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from makers import Fake, Identity

from hyperrestore import PictureInfo, Restorer
from hyperrestore.errors import LevelError, MissingExtraError, PictureError, UsageError
from hyperrestore.level import SHIPPED, Task
from hyperrestore.measure.evaluate import USUAL_LEVELS, evaluate
from hyperrestore.measure.pictures import find_pictures
from hyperrestore.measure.plot import check_plot, plot
from hyperrestore.measure.scores import FORMATS, Evaluation, Score, as_csv, as_json, as_text
from hyperrestore.picture.file import Picture, write_picture


def photo(path, *, channels=3, height=128, width=160, low=0.0, high=1.0, seed=0):
    """A smooth picture."""
    y, x = np.mgrid[:height, :width] / 20
    waves = [np.sin(x + seed + channel) * np.cos(y) for channel in range(channels)]
    values = (low + (high - low) * (np.stack(waves) + 1) / 2).astype(np.float32)
    write_picture(path, Picture(values, None, PictureInfo(width, height, channels)))
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("b.png", "a.png", "c.png")):
        photo(folder / name, seed=number)
    return folder


def without_time(evaluation):
    return [replace(score, seconds=0) for score in evaluation.scores]


# --- Scores -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [5, 15, 50, 75])
def test_the_input_is_as_noisy_as_theory_says(folder, level):
    (mean,) = evaluate(Fake(), find_pictures(folder), [level]).means()
    assert mean.input_psnr == pytest.approx(20 * math.log10(255 / level), abs=0.05)


def test_an_identity_restores_nothing(tmp_path):
    """Far from black and white nothing is clipped, and 8 bits hold weak noise nearly as it is."""
    path = photo(tmp_path / "a.png", low=0.4, high=0.6)
    (score,) = evaluate(Fake(), [path], [15]).scores
    assert score.psnr == pytest.approx(score.input_psnr, abs=0.02)
    assert 0 < score.ssim < 1 and score.seconds > 0 and (score.picture, score.level) == ("a.png", 15)


def test_the_protocols_differ_as_they_say(tmp_path):
    bright = photo(tmp_path / "a.png", low=0.9, high=1.0)
    (standard,) = evaluate(Fake(), [bright], [50]).scores
    (hyperres,) = evaluate(Fake(), [bright], [50], protocol="hyperres").scores
    assert hyperres.input_psnr > standard.input_psnr + 1, "clipping takes noise away"
    middle = photo(tmp_path / "b.png", low=0.5, high=0.5)
    (score,) = evaluate(Fake(), [middle], [1], protocol="hyperres").scores
    truncated = 1 + 1 / 12 + 0.5**2  # sigma 1, and what truncation to whole steps adds: spread and shift
    assert score.input_psnr == pytest.approx(20 * math.log10(255 / math.sqrt(truncated)), abs=0.1)


def test_runs_are_equal_and_pictures_independent(folder):
    pictures = find_pictures(folder)
    whole = without_time(evaluate(Fake(), pictures, [15, 50]))
    assert whole == without_time(evaluate(Fake(), pictures, [15, 50]))
    alone = without_time(evaluate(Fake(), [folder / "c.png"], [50]))
    assert alone == [score for score in whole if (score.picture, score.level) == ("c.png", 50)]
    backwards = without_time(evaluate(Fake(), pictures[::-1], [50, 15]))
    assert sorted(backwards, key=str) == sorted(whole, key=str)


def test_the_seed_and_nothing_else_changes_the_noise(folder):
    pictures = find_pictures(folder)
    scores = [evaluate(Fake(), pictures, [25], seed=seed).scores for seed in (0, 1)]
    assert all(one.input_psnr != other.input_psnr for one, other in zip(*scores, strict=True))
    levels = evaluate(Fake(), pictures[:1], [25, 25.01]).scores
    assert abs(levels[0].input_psnr - levels[1].input_psnr) > 20 * math.log10(25.01 / 25) + 1e-6


def test_rows_are_ordered_by_level_then_picture(folder):
    steps = []
    evaluation = evaluate(
        Fake(), find_pictures(folder), [50, 15, 50.0], progress=lambda *step: steps.append(step)
    )
    assert [(score.level, score.picture) for score in evaluation.scores] == [
        (level, name) for level in (50, 15) for name in ("a.png", "b.png", "c.png")
    ]
    assert [(mean.level, mean.picture) for mean in evaluation.means()] == [
        (50, "mean of 3"),
        (15, "mean of 3"),
    ]
    assert steps == [(done, 6) for done in range(1, 7)]
    for mean in evaluation.means():
        scores = [score for score in evaluation.scores if score.level == mean.level]
        assert mean.psnr == pytest.approx(sum(score.psnr for score in scores) / 3)
        assert mean.ssim == pytest.approx(sum(score.ssim for score in scores) / 3)


def test_grey_pictures_and_the_luminance(tmp_path):
    grey, colour = photo(tmp_path / "g.png", channels=1), photo(tmp_path / "c.png")
    assert "scored on grey," in evaluate(Fake(), [grey], [25]).protocol
    assert "scored on RGB," in evaluate(Fake(), [colour], [25]).protocol
    assert "scored on grey and RGB," in evaluate(Fake(), [grey, colour], [25]).protocol
    luminance = evaluate(Fake(), [grey, colour], [25], grey=True)
    assert "scored on full-range luminance" in luminance.protocol
    for score in luminance.scores:
        assert score.input_psnr == pytest.approx(20 * math.log10(255 / 25), abs=0.1)
    assert luminance.scores[0].psnr == evaluate(Fake(), [grey], [25]).scores[0].psnr


def test_tiles_do_not_change_a_score(tiny_model, folder):
    restorer = Restorer.load(tiny_model, precision="fp32")
    whole, tiled = (evaluate(restorer, find_pictures(folder), [25], tile=tile) for tile in (1000, 32))
    for one, other in zip(whole.scores, tiled.scores, strict=True):
        assert one.input_psnr == other.input_psnr
        assert one.psnr == pytest.approx(other.psnr, abs=1e-3)
    assert "tiles of 32 pixels" in tiled.protocol and restorer.at(25.0, bits=8).name in tiled.protocol


def test_a_model_is_measured_as_it_is_used(tiny_model, folder):
    """The score of the library's own steps, one after the other."""
    from hyperrestore import read_picture
    from hyperrestore.measure.metrics import psnr, ssim, to_8bit

    restorer = Restorer.load(tiny_model, precision="fp32")
    seen = []

    class Recorder:
        task = Task.DENOISE

        def at(self, level, *, bits, pixels=None):
            backend = restorer.at(level, bits=bits)

            class Recording(Identity):
                def __call__(self, window, /):
                    seen.append(window)
                    return backend(window)

            return Recording(backend.halo, backend.multiple)

    (score,) = evaluate(Recorder(), [folder / "a.png"], [25]).scores
    clean = read_picture(folder / "a.png").pixels
    restored = to_8bit(restorer(seen[-1], 25))
    assert score.psnr == pytest.approx(psnr(restored, clean), abs=1e-3)
    assert score.ssim == pytest.approx(ssim(restored, clean), abs=1e-4)


@pytest.mark.parametrize("scale", [2, 2.5])
def test_a_method_that_enlarges_in_its_own_way_sees_the_small_picture(folder, scale):
    from hyperrestore.measure.degrade import shrink
    from hyperrestore.picture.file import read_picture

    class Knowing(Identity):
        def enlarge(self, small, size, /):
            seen.append((small, size))
            return clean

    seen, clean = [], read_picture(folder / "a.png").pixels
    method = SimpleNamespace(task=Task.UPSCALE, at=lambda level, *, bits: Knowing())
    (score,) = evaluate(method, [folder / "a.png"], [scale]).scores
    ((small, size),) = seen
    np.testing.assert_array_equal(small, shrink(clean, scale))
    assert size == clean.shape[1:] and score.psnr == math.inf > score.input_psnr


@pytest.mark.skipif(os.name == "nt", reason="its file names are text")
def test_a_name_that_is_no_text_is_scored():
    odd = os.fsdecode(b"a\xff.png")
    score = Score(25.0, odd, 20.0, 30.0, 0.9, 1.0)
    assert json.loads(as_json(Evaluation("p", (score,))))["scores"][0]["picture"] == odd


# --- What is refused --------------------------------------------------------------------------------


def test_pictures_of_a_folder(folder, tmp_path):
    (folder / "notes.txt").touch()
    (folder / "deeper.png").mkdir()
    photo(folder / "Z.JPG")
    assert [path.name for path in find_pictures(folder)] == ["Z.JPG", "a.png", "b.png", "c.png"]
    assert find_pictures(str(folder)) == find_pictures(folder)
    for bad, words in ((tmp_path / "no", "no such folder"), (folder / "a.png", "no such folder"),
                       (folder / "deeper.png", "holds no pictures")):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            find_pictures(bad)


def test_what_cannot_be_measured(tiny_model, folder, tmp_path):
    restorer, pictures = Restorer.load(tiny_model), find_pictures(folder)
    photo(tmp_path / "small.png", height=10)
    (tmp_path / "text.png").write_text("no picture")
    cases = [
        (UsageError, "at least one picture and one level", (pictures, []), {}),
        (UsageError, "at least one picture and one level", ([], [25]), {}),
        (UsageError, "protocol 'mine' is unknown", (pictures, [25]), {"protocol": "mine"}),
        (UsageError, "seed -1", (pictures, [25]), {"seed": -1}),
        (LevelError, "101", (pictures, [25, 101]), {}),
        (UsageError, "SSIM needs at least 11 x 11", ([*pictures, tmp_path / "small.png"], [25]), {}),
        (PictureError, "is not a PNG", ([*pictures, tmp_path / "text.png"], [25]), {}),
        (PictureError, "No such file", ([*pictures, tmp_path / "no.png"], [25]), {}),
    ]
    for error, words, arguments, options in cases:
        steps = []
        with pytest.raises(error, match=words):
            evaluate(restorer, *arguments, **options, progress=lambda *step, steps=steps: steps.append(step))
        assert not steps, "before the slow work"


def test_what_cannot_be_degraded_is_refused_before_anything_is_scored(tmp_path):
    large, small = photo(tmp_path / "large.png"), photo(tmp_path / "small.png", height=17, width=40)
    for task, levels, error, words in (
        (Task.DEJPEG, [10, 10.5], LevelError, r"10\.5"),
        (Task.UPSCALE, [2, 0.5], LevelError, r"0\.5"),
        (Task.UPSCALE, [2, 3], UsageError, r"small\.png: .*level 3 scores 33 x 9"),
    ):
        steps = []
        with pytest.raises(error, match=words):
            evaluate(
                Fake(task), [large, small], levels, progress=lambda *step, steps=steps: steps.append(step)
            )
        assert not steps
    assert len(evaluate(Fake(Task.UPSCALE), [large, small], [2]).scores) == 2


def test_usual_levels_are_accepted():
    scales = {Task.DENOISE: (0, 100), Task.DEJPEG: (1, 100), Task.UPSCALE: (1, 6)}
    assert USUAL_LEVELS.keys() == scales.keys() == set(SHIPPED) - {Task.PHOTO}
    for task, (low, high) in scales.items():
        assert all(low <= level <= high for level in USUAL_LEVELS[task])


# --- What is written --------------------------------------------------------------------------------

EVALUATION = Evaluation(
    "standard: in full, with commas",
    (
        Score(15.0, "a, b.png", 24.6, 33.0, 0.91, 0.5),
        Score(15.0, "c.png", 24.8, 35.0, 0.93, 0.7),
        Score(0.0, "a, b.png", math.inf, 50.0, 0.99, 0.5),
        Score(0.0, "c.png", math.inf, math.inf, 1.0, 0.5),
    ),
)


def test_the_text_holds_means_and_the_protocol_in_full():
    lines = as_text(EVALUATION).splitlines()
    assert lines[0] == "protocol  standard: in full, with commas"
    assert lines[3].split() == ["15", "mean", "of", "2", "24.70", "34.00", "0.9200", "0.60"]
    assert lines[4].split() == ["0", "mean", "of", "2", "inf", "inf", "0.9950", "0.50"]
    assert len({len(line) for line in lines[2:]}) == 1, "columns stand below each other"


def test_the_csv_reads_back():
    rows = list(csv.DictReader(io.StringIO(as_csv(EVALUATION))))
    assert len(rows) == 6 and {row["protocol"] for row in rows} == {EVALUATION.protocol}
    assert [row["picture"] for row in rows] == ["a, b.png", "c.png"] * 2 + ["mean of 2"] * 2
    assert float(rows[4]["psnr"]) == 34.0


def test_the_json_is_strict():
    def refuse(text):
        raise AssertionError(text)

    document = json.loads(as_json(EVALUATION), parse_constant=refuse)
    assert document["protocol"] == EVALUATION.protocol
    assert [row["psnr"] for row in document["means"]] == [34.0, None]
    assert [row["input_psnr"] for row in document["scores"]] == [24.6, 24.8, None, None]
    assert document["scores"][0]["picture"] == "a, b.png"


def test_every_format_has_a_name():
    assert list(FORMATS) == ["text", "csv", "json"]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_plot_is_drawn(tmp_path, suffix):
    path = tmp_path / f"curve.{suffix}"
    check_plot(path)
    assert not path.exists()
    plot(EVALUATION, path, unit="sigma")
    assert path.stat().st_size > 1000
    check_plot(path)
    if suffix == "svg":
        assert "sigma" in path.read_text() and "34.00" in path.read_text()


def test_a_plot_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "folder.png").mkdir()
    cases = {
        "curve": "cannot draw a file without suffix; use .png",
        "curve.xyz": "cannot draw .xyz",
        "no/curve.png": "cannot be written",
        "folder.png": "cannot be written",
    }
    for name, words in cases.items():
        with pytest.raises(UsageError, match=words):
            check_plot(tmp_path / name)
    with pytest.raises(UsageError, match="the plot cannot be written"):
        plot(EVALUATION, tmp_path / "no/curve.png", unit="sigma")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
        with pytest.raises(UsageError, match="no permission"):
            check_plot(tmp_path / "curve.png")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"hyperrestore\[torch\]"):
        check_plot(tmp_path / "curve.png")
