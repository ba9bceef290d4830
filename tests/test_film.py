"""Films, as far as they need no PyAV: which files are films, their colours, and what is said without PyAV."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperrestore.cli.main import main
from hyperrestore.errors import UsageError
from hyperrestore.film.chroma import SITINGS, Grid
from hyperrestore.film.colour import SHARES, Coding
from hyperrestore.film.kinds import check_container, is_film
from hyperrestore.film.work import Segment, Work
from tests.makers import make_photo


@pytest.fixture
def without_av(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)


def coding(*, kind="yuv", bits=8, full=False, matrix=1, size=(8, 12), apart=(2, 2), siting="left"):
    return Coding(kind, bits, full, SHARES[matrix], Grid(*size, apart, SITINGS[siting]))


@pytest.mark.parametrize("command", [["restore"], ["denoise"], ["dejpeg"], ["upscale", "-s", "2"]])
def test_without_pyav_a_film_is_refused_in_a_line(without_av, tmp_path, capsys, command):
    (tmp_path / "film.mkv").write_bytes(b"")
    assert main([*command, str(tmp_path / "film.mkv"), "-o", str(tmp_path / "out.mkv")]) == 2
    message = "hyperrestore: error: films need av (PyAV): pip install 'hyperrestore[film]'\n"
    assert capsys.readouterr().err == message
    assert [path.name for path in tmp_path.iterdir()] == ["film.mkv"]


def test_pictures_need_no_pyav(without_av, tmp_path, capsys, tiny_model):
    make_photo(tmp_path / "a.png")
    words = ["denoise", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "-l", "5"]
    assert main([*words, "--model", str(tiny_model)]) == 0
    assert main([*words, "--overwrite", "--follow"]) == 2
    assert "--follow is for films" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["film.mkv", "b.mkv", "-o", "out/"], "one film at a time"),
        (["film.mkv", "a.png", "-o", "out/"], "one film at a time"),
        (["film.mkv", "-o", "out.mkv", "--report", "r.json"], "--report is for pictures"),
        (["film.mkv", "-o", "out.mkv", "-q", "90"], "--quality is for pictures"),
        (["film.mkv", "-o", "out.mp4"], "another container"),
        (["film.mkv", "-o", "out.avi"], "films are written to mkv, mp4, m4v, mov"),
        (["film.mkv", "-o", "out"], "films are written to mkv, mp4, m4v, mov"),
        (["film.mp4", "-o", "out.mp4", "--lossless"], "--lossless writes FFV1, in Matroska"),
        (["film.mkv", "-o", "out.mkv", "-l", "5", "--follow"], "give only one of -l and --follow"),
    ],
)
def test_what_does_not_fit_a_film_is_wrong_usage(capsys, words, reason):
    assert main(["denoise", *words]) == 2
    assert reason in capsys.readouterr().err


def test_films_are_known_by_their_suffix():
    assert is_film(Path("a.MKV")) and is_film(Path("a.mp4"))
    assert not is_film(Path("a.png")) and not is_film(Path("mkv"))
    for source in ("a.avi", "a.ts", "a.webm", "a.mkv"):
        check_container(Path(source), Path("b.mkv"), lossless=True)
    with pytest.raises(UsageError, match=r"end the name with \.mkv"):
        check_container(Path("a.avi"), Path("b.mp4"), lossless=False)


@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([(2, 2), (1, 2), (2, 1), (1, 4), (4, 4)]),
    st.sampled_from(sorted(SITINGS)),
)  # fmt: skip
def test_colour_samples_that_are_enlarged_and_shrunk_are_the_same(height, width, apart, siting):
    grid = Grid(height, width, apart, SITINGS[siting])
    shape = -(-height // apart[0]), -(-width // apart[1])
    samples = np.random.default_rng(0).random(shape, np.float32)
    enlarged = grid.at_pixels(samples)
    assert enlarged.shape == (height, width)
    assert grid.samples(enlarged) == pytest.approx(samples, abs=1e-4)


@pytest.mark.parametrize("siting", sorted(SITINGS))
def test_a_slope_of_colours_stays_in_its_place(siting):
    """Where samples lie decides which pixels get their values; a slope shows a shift of a part of a pixel."""
    place = {"first": 0.0, "middle": 0.5}
    kind = SITINGS[siting]
    rows, columns = np.mgrid[:10, :12].astype(np.float32) * 2
    rows, columns = rows + place[kind.down], columns + place[kind.across]
    enlarged = Grid(20, 24, (2, 2), kind).at_pixels(rows + 3 * columns)
    expected = np.add.outer(np.arange(20), 3 * np.arange(24))
    assert enlarged[2:-2, 2:-2] == pytest.approx(expected[2:-2, 2:-2], abs=1e-3)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 16])
@pytest.mark.parametrize("matrix", sorted(SHARES))
def test_colours_are_those_of_the_standards(matrix, bits, full):
    """White, black and the primaries, by the formulas of ITU-R BT.601 and its successors."""
    red, blue = SHARES[matrix]
    rgb = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32).T[:, None]
    luma = np.array([1, 0, red, 1 - red - blue, blue])
    colours = (rgb[2, 0] - luma) / (2 - 2 * blue), (rgb[0, 0] - luma) / (2 - 2 * red)
    one = 2**bits - 1 if full else 219 * 2 ** (bits - 8)
    zero = 0 if full else 16 * 2 ** (bits - 8)
    step = 2**bits - 1 if full else 224 * 2 ** (bits - 8)
    expected = [zero + one * luma, *(2 ** (bits - 1) + step * colour for colour in colours)]
    used = coding(bits=bits, full=full, matrix=matrix, size=(1, 5), apart=(1, 1))
    planes = used.to_planes(rgb)
    for plane, values in zip(planes, expected, strict=True):
        assert plane[0] == pytest.approx(np.clip(values, 0, 2**bits - 1), abs=0.51)
    assert used.to_pixels(planes) == pytest.approx(rgb, abs=2.5 / 2**bits)


@pytest.mark.parametrize("kind", ["yuv", "rgb", "grey"])
@pytest.mark.parametrize("bits", [8, 10])
def test_samples_stay_exactly_where_nothing_changes(rng, kind, bits):
    """Also the many that stand for no colour within [0, 1]."""
    used = coding(kind=kind, bits=bits, apart=(2, 2) if kind == "yuv" else (1, 1))
    colours = {"yuv": [(8, 12), (4, 6), (4, 6)], "rgb": [(8, 12)] * 3, "grey": [(8, 12)]}[kind]
    dtype = np.uint8 if bits == 8 else np.uint16
    planes = [rng.integers(0, 2**bits, shape).astype(dtype) for shape in colours]
    pixels = used.to_pixels(planes)
    assert pixels.min() >= 0 and pixels.max() <= 1
    for before, after in zip(planes, used.changed(planes, np.zeros_like(pixels)), strict=True):
        np.testing.assert_array_equal(after, before)
        assert after.dtype == before.dtype


def test_a_change_is_that_of_the_picture(rng):
    """Restored samples, read again, show the restored picture."""
    used = coding(size=(16, 16), apart=(1, 1), full=True)
    planes = used.to_planes(rng.random((3, 16, 16), np.float32) * 0.5 + 0.25)
    pixels = used.to_pixels(planes)
    wanted = pixels + np.float32(0.1) * rng.random(pixels.shape, np.float32)
    assert used.to_pixels(used.changed(planes, wanted - pixels)) == pytest.approx(wanted, abs=2 / 255)


def test_finished_segments_are_found_again_but_not_those_of_another_command(tmp_path):
    work = Work.beside(tmp_path / "out.mkv")
    assert not work.begin({"level": 5})
    for number in range(2):
        work.path(number).write_bytes(b"x")
        work.finish(number, Segment(work.path(number), [number], [0]))
    work.path(2).write_bytes(b"begun")
    assert not work.begin({"level": 5})
    assert [segment.times for segment in work.finished()] == [[0], [1]]
    assert work.begin({"level": 6})
    assert list(work.finished()) == []
    work.remove()
    assert list(tmp_path.iterdir()) == []


def test_two_commands_do_not_work_on_one_film(tmp_path):
    pytest.importorskip("fcntl")
    work = Work.beside(tmp_path / "out.mkv")
    with (
        work.held(),
        pytest.raises(UsageError, match="another command is working on this film"),
        Work.beside(tmp_path / "out.mkv").held(),
    ):
        pass
    with work.held():
        assert not work.begin({"level": 5})


@pytest.mark.parametrize("name", ["settings.json", "levels.json", "00000.json"])
def test_a_damaged_note_counts_as_none(tmp_path, name):
    work = Work.beside(tmp_path / "out.mkv")
    work.begin({"level": 5})
    work.keep_levels([1])
    work.path(0).write_bytes(b"x")
    work.finish(0, Segment(work.path(0), [0], [0]))
    (work.folder / name).write_bytes(b'{"a"')
    assert work.begin({"level": 5}) == (name == "settings.json")
    assert work.levels() == (None if name != "00000.json" else [1])
    assert list(work.finished()) == ([] if name != "levels.json" else [Segment(work.path(0), [0], [0])])
