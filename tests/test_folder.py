"""Folders as they are: bad files among good ones, pictures under odd names, kinds that are not read."""

import errno
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from makers import damaged, photo
from PIL import Image

import hyperrestore.detect.findings
import hyperrestore.restore.file
from hyperrestore import read_picture
from hyperrestore.cli.main import main
from hyperrestore.errors import UsageError
from hyperrestore.level import LevelScale
from hyperrestore.picture.kinds import FOREIGN, KINDS_NAMED, NAMED, foreign_kind, is_picture, name_foreign
from hyperrestore.restore.folder import find_inputs, plan_targets, real, reals
from hyperrestore.restore.place import StoredPath


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    """Run a command line: exit code, lines on stdout, lines on stderr."""

    def call(*words):
        code = main([str(word) for word in words])
        output = capsys.readouterr()
        return code, output.out.splitlines(), output.err.splitlines()

    return call


def test_many_files_are_found_behind_links_as_one_is(tmp_path):
    Path("a/b").mkdir(parents=True)
    Path("a/b/1.png").touch()
    Path("a/link").symlink_to("b")
    Path("a/loop.png").symlink_to("loop.png")
    Path("a/2.png").symlink_to("link/1.png")
    Path("a/gone.png").symlink_to("missing.png")
    names = (
        "a/b/1.png",
        "a/link/1.png",
        "a/2.png",
        "a/loop.png",
        "a/gone.png",
        "a/link/../b/1.png",
        "new/3.png",
    )
    places = [Path(name) for name in names] + [tmp_path / name for name in names] + [Path(), Path("..")]
    places += [Path("a/.."), Path("/"), StoredPath("s3://bucket/a/1.png")]
    assert reals(places) == [real(place) for place in places]


# --- Bad files among good ones ----------------------------------------------------------------------

LARGE = 200  # pixels a side of the picture that is too large


def pages(path):
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def cut(path):
    data = photo(path, height=40, width=50).read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def cut_in_the_header(path):
    path.write_bytes(photo(path).read_bytes()[:20])


def no_pixels(path):
    """A PNG that says it is 0 pixels wide."""
    data = bytearray(photo(path).read_bytes())
    data[16:20] = bytes(4)
    path.write_bytes(data)


BAD = {
    "empty.png": Path.touch,
    "cut.jpg": cut,
    "header.png": cut_in_the_header,
    "none.png": no_pixels,
    "text.png": lambda path: path.write_text("no picture"),
    "page.tif": pages,
    "large.png": lambda path: photo(path, height=LARGE, width=LARGE),
    "circle.png": lambda path: path.symlink_to(path.name),
    "nowhere.png": lambda path: path.symlink_to("missing"),
    "pipe.png": os.mkfifo,
    "locked.png": photo,
    "vanished.png": photo,
    "lost.png": photo,
}
COMMANDS = {
    "restore": [],
    "denoise": ["-l", "25"],
    "denoise auto": [],
    "dejpeg": ["-l", "30"],
    "dejpeg auto": [],
    "scale": ["-s", "1.5"],
    "width": ["--width", "60"],
    "height": ["--height", "60"],
    "long side": ["--long-side", "60"],
    "inspect": [],
}
SIZES = ("scale", "width", "height", "long side")


@pytest.fixture
def spoiled(monkeypatch):
    """Files that root cannot open, that vanish before their turn, and that vanish once they are open."""
    open_path, open_picture = Path.open, hyperrestore.restore.file.open_picture

    def refuse(path, *words, **options):
        # What is still being written lies in a folder of its own.
        reads = words[:1] == ("rb",) and path.parent.suffix != ".part"
        if reads and path.name == "locked.png":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        if reads and path.name == "vanished.png":
            path.unlink(missing_ok=True)
        return open_path(path, *words, **options)

    def lose(path, **options):
        opened = open_picture(path, **options)
        if Path(path).name == "lost.png":
            Path(path).unlink(missing_ok=True)
        return opened

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(hyperrestore.restore.file, "open_picture", lose)
    monkeypatch.setattr(hyperrestore.detect.findings, "open_picture", lose)


@pytest.fixture
def words(tiny_model, dejpeg_model, upscale_model):
    """The words of a command, but for its inputs and its output, by its name in `COMMANDS`."""
    models = {"denoise": tiny_model, "dejpeg": dejpeg_model}

    def give(name):
        task = "upscale" if name in SIZES else name.split()[0]
        model = upscale_model if name in SIZES else models.get(task)
        return [task, *COMMANDS[name], *(["--model", model] if model else []), "--max-pixels", LARGE**2 - 1]

    return give


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="its bad files need POSIX")
@pytest.mark.parametrize("name", COMMANDS)
def test_bad_files_stop_no_good_ones(run, words, spoiled, name):
    Path("in/deep").mkdir(parents=True)
    good = [photo(Path("in") / place, seed=n) for n, place in enumerate(("a.png", "deep/m.jpg", "z.tif"))]
    for number, (file, make) in enumerate(BAD.items()):
        make(Path("in/deep" if number % 2 else "in", file))
    inspects = name == "inspect"
    into = [] if inspects else ["-o", "out"]
    code, out, err = run(*words(name), "in", "-r", *into)
    assert code == 1
    bad = {file for file in BAD if any(f"/{file}: " in line and " error: " in line for line in err)}
    assert bad == set(BAD), "each is named"
    assert sum(" error: " in line for line in err) == len(BAD), "in a line of its own"
    assert err[-1].endswith(f"{len(BAD)} failed, 0 not pictures")
    if inspects:
        assert {line for line in out if line.startswith("in/")} == set(map(str, good))
        return
    assert sorted(out) == ["out/a.png", "out/deep/m.jpg", "out/z.tif"]
    assert sorted(str(path) for path in Path("out").rglob("*.*")) == sorted(out), "and nothing else is left"
    for path in out:
        read_picture(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="its bad files need POSIX")
@pytest.mark.parametrize("file", BAD)
@pytest.mark.parametrize("name", ["denoise auto", *SIZES, "inspect"])
def test_a_bad_file_alone_is_one_line(run, words, spoiled, name, file):
    Path("in").mkdir()
    BAD[file](Path("in", file))
    for inputs in ([Path("in", file)], ["in", "-r"]):
        if file in ("vanished.png", "lost.png"):
            Path("in", file).unlink(missing_ok=True)
            photo(Path("in", file))
        into = [] if name == "inspect" else ["-o", "out/"]
        code, out, err = run(*words(name), *inputs, *into)
        assert (code, out) == (1, []) and f"error: in/{file}: " in err[0]
        assert len(err) == (1 if len(inputs) == 1 else 2)
    assert not any(Path("out").rglob("*.*"))


# --- Pictures under odd names -----------------------------------------------------------------------


def test_pictures_are_found_whatever_their_name(run, words):
    Path("in").mkdir()
    data = photo(Path("whole.jpg")).read_bytes()
    for name in ("a.jpg", "b.jfif", "c.jpe", "D.JPE", "e.mpo", "scan"):
        Path("in", name).write_bytes(data)
    photo(Path("drawn.png")).rename("in/drawn")
    Path("in/README").write_text("no picture")
    Path("in/notes.txt").write_text("no picture")
    code, out, err = run(*words("denoise"), "in", "-r", "-o", "out")
    assert code == 0
    assert out == [
        f"out/{name}" for name in ("D.JPE", "a.jpg", "b.jfif", "c.jpe", "drawn.png", "e.mpo.jpg", "scan.jpg")
    ]
    assert err == ["hyperrestore: 7 restored, 0 copied, 0 skipped, 0 failed, 2 not pictures"]
    for path in map(Path, out):
        assert path.read_bytes()[:3] == (b"\x89PN" if path.suffix == ".png" else b"\xff\xd8\xff")
        with Image.open(path) as image:
            assert image.size == (36, 24)
    again = run(*words("denoise"), "in", "-r", "-o", "out")
    assert again[:2] == (0, []) and again[2][-1].startswith("hyperrestore: 0 restored, 0 copied, 7 skipped")
    code, out, _ = run(*words("denoise"), "in", "-r", "-o", "png", "-f", "png")
    assert code == 0
    assert out[3:] == ["png/c.png", "png/drawn.png", "png/e.mpo.png", "png/scan.png"]
    assert run(*words("denoise"), "in/scan", "-o", "alone/")[:2] == (0, ["alone/scan.jpg"])
    assert run(*words("denoise"), "in/a.jpg", "-o", "x.jfif")[:2] == (0, ["x.jfif"])
    assert Path("x.jfif").read_bytes()[:3] == b"\xff\xd8\xff"


def test_a_format_may_be_named_by_any_of_its_suffixes(run, words):
    photo(Path("a.png"))
    for suffix in ("jfif", "jpe"):
        assert run(*words("denoise"), "a.png", "-o", "x/", "-f", suffix)[:2] == (0, [f"x/a.{suffix}"])


# --- Kinds that are not read ------------------------------------------------------------------------

BEGINNINGS = {
    "GIF": b"GIF89a",
    "BMP": b"BM" + bytes(12) + struct.pack("<I", 40),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "HEIC": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic",
    "JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG-LS": b"\xff\xd8\xff\xf7",
    "camera raw": b"II*\0\x10\0\0\0CR\x02\0",
    "Photoshop": b"8BPS\0\x01",
    "icon": b"\0\0\1\0\1\0",
}


def test_what_cannot_be_read_is_counted_and_named(run, words):
    Path("in/deep").mkdir(parents=True)
    photo(Path("in/a.png"))
    for number in range(NAMED + 2):
        Image.new("RGB", (3, 3)).save(f"in/{number}.gif")
    Image.new("RGB", (3, 3)).save("in/deep/b.bmp")
    photo(Path("x.tif")).rename("in/deep/x.DNG")
    photo(Path("y.jpg")).rename("in/y.jpg_original")
    Path("in/notes.txt").write_text("no picture")
    code, out, err = run(*words("denoise"), "in", "-r", "-o", "out", "--report", "report.json")
    assert (code, out) == (0, ["out/a.png"])
    assert err == [
        "hyperrestore: not read: 5 GIF (in/0.gif, in/1.gif, in/2.gif and 2 more), "
        "1 JPEG under another suffix (in/y.jpg_original), 1 BMP (in/deep/b.bmp), "
        "1 camera raw (in/deep/x.DNG); convert or rename them first",
        "hyperrestore: 1 restored, 0 copied, 0 skipped, 0 failed, 8 not read, 1 not pictures",
    ]
    report = json.loads(Path("report.json").read_text())
    assert report["complete"] and report["totals"]["not_read"] == 8 and report["totals"]["not_pictures"] == 1
    assert {"source": "in/deep/x.DNG", "kind": "camera raw"} in report["not_read"]
    Path("in/a.png").unlink()
    code, out, err = run(*words("denoise"), "in", "-r", "-o", "out")
    assert code == 2 and "in holds no pictures" in err[0] and "not read: 5 GIF (" in err[0]


def test_films_in_a_folder_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("a.mkv", "b.MP4"):
        Path("in", name).write_bytes(b"")
    words = ["denoise", "in", "-r", "-o", "out"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "in holds no pictures (" in said
    assert said.endswith("; not read: 2 film (in/a.mkv, in/b.MP4); give each film by itself\n")
    Path("in", "c.gif").write_bytes(b"GIF89a")
    assert main(words) == 2
    assert "1 GIF (in/c.gif); convert them first, and give each film by itself\n" in capsys.readouterr().err


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_kinds_are_told_by_how_files_begin(tmp_path, kind):
    path = tmp_path / "a"
    path.write_bytes(BEGINNINGS[kind].ljust(200, b"\0"))
    assert not is_picture(path) and foreign_kind(path) == kind


def test_kinds_are_told_by_suffixes_and_texts_are_none(tmp_path):
    for kind in FOREIGN:
        for suffix in kind.suffixes:
            path = tmp_path / f"a{suffix.upper()}"
            assert not is_picture(path) and foreign_kind(path) == kind.name
    for text in ("", "B", "BMW and others", "P1 is a text", "II*", "GIF is a format", "8BPS"):
        path = tmp_path / "text"
        path.write_text(text)
        assert not is_picture(path) and foreign_kind(path) is None


def test_many_kinds_are_shortened():
    found = [(Path(f"{number}.x"), f"kind {number}") for number in range(KINDS_NAMED + 3)]
    said = name_foreign(found)
    assert said.endswith(", 3 of other kinds; convert them first") and said.count("(") == KINDS_NAMED


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe")
def test_what_cannot_be_opened_is_named_and_what_is_no_file_is_none(tmp_path, monkeypatch):
    for name in ("pipe", "pipe.x"):
        os.mkfifo(tmp_path / name)
        assert not is_picture(tmp_path / name) and foreign_kind(tmp_path / name) is None
    photo(tmp_path / "a.png").rename(tmp_path / "a")

    def refuse(path, *words, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert not is_picture(tmp_path / "a")
    assert foreign_kind(tmp_path / "a") == "file that cannot be opened"


def test_what_only_has_another_name_is_to_be_renamed(tmp_path):
    photo(tmp_path / "a.jpg").rename(tmp_path / "a.jpg_original")
    kind = foreign_kind(tmp_path / "a.jpg_original")
    assert name_foreign([(Path("a.bak"), kind)]) == "1 JPEG under another suffix (a.bak); rename them first"


def test_two_names_for_one_result_are_refused(tmp_path):
    photo(tmp_path / "scan.png")
    (tmp_path / "scan.png").rename(tmp_path / "scan")
    photo(tmp_path / "scan.png")
    found = find_inputs([tmp_path], out=None, recursive=True)
    with pytest.raises(UsageError, match="would both be written to"):
        plan_targets(found.pictures, "out/")


# --- Larger already ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "size"), [("--width", 60), ("--height", 40), ("--long-side", 60)])
def test_what_is_large_enough_is_left_as_it_is(run, words, option, size):
    Path("in").mkdir()
    photo(Path("in/small.png"), width=30, height=20)
    for name in ("exact.png", "large.png"):
        photo(Path("in", name), width=60 + 30 * (name == "large.png"), height=40 + 30 * (name == "large.png"))
    os.utime("in/large.png", (10**9, 10**9))
    command = [*words("scale")[:1], *words("scale")[3:], option, size]
    code, out, err = run(*command, "in", "-r", "-o", "out")
    assert (code, out) == (0, ["out/exact.png", "out/large.png", "out/small.png"])
    assert read_picture("out/small.png").pixels.shape == (3, 40, 60)
    for name in ("exact.png", "large.png"):
        assert Path("out", name).read_bytes() == Path("in", name).read_bytes()
    assert Path("out/large.png").stat().st_mtime == 10**9
    side = option[2:].replace("-", " ")
    assert (
        f"in/large.png: not enlarged: at 90 x 70 pixels it already has the requested {side} of"
        in " ".join(err)
    )
    assert err[-1] == "hyperrestore: 1 restored, 2 copied, 0 skipped, 0 failed, 0 not pictures"
    code, out, err = run(*command, "in/large.png", "in/exact.png", "-o", "jpg/", "-f", "jpg")
    assert code == 0 and read_picture("jpg/large.jpg").pixels.shape == (3, 70, 90), "converted only"
    code, out, err = run(*command, "in/large.png", "-o", "alone.png")
    assert (code, out) == (2, []) and f"size {size} is not accepted for 90 x 70 pixels" in err[0]
    assert not Path("alone.png").exists()


# --- Times ------------------------------------------------------------------------------------------

THEN = (1_000_000_000_123_456_789, 1_100_000_000_987_654_321)  # nanoseconds: last read, last changed


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "avif"])
def test_times_are_kept_where_that_is_asked_for(run, words, suffix):
    photo(Path("a.png"))
    os.utime("a.png", ns=THEN)
    for more, kept in (["--keep-times"], True), ([], False):
        assert run(*words("denoise"), "a.png", "-o", f"out.{suffix}", "--overwrite", *more)[0] == 0
        assert (Path(f"out.{suffix}").stat().st_mtime_ns == THEN[1]) == kept
    assert run(*words("denoise"), "a.png", "-o", "a.png", "--overwrite", "--keep-times")[0] == 0
    assert Path("a.png").stat().st_mtime_ns == THEN[1], "of a picture that replaces itself, too"
    photo(Path("b.png"))
    assert run(*words("denoise auto"), "b.png", "-o", "c.png", "--sweep", "5,10", "--keep-times")[0] == 2


def test_copies_always_keep_their_times_and_count_as_finished(run):
    Path("in").mkdir()
    damaged("in/clean.png", sigma=0)
    os.utime("in/clean.png", ns=THEN)
    assert run("denoise", "in", "-r", "-o", "out")[:2] == (0, ["out/clean.png"])
    assert Path("out/clean.png").read_bytes() == Path("in/clean.png").read_bytes()
    assert Path("out/clean.png").stat().st_mtime_ns == THEN[1]
    os.utime("out/clean.png", ns=(THEN[0], THEN[1] - 1_900_000_000))  # as FAT would round it
    _, out, err = run("denoise", "in", "-r", "-o", "out")
    assert out == [] and not any("older than" in line for line in err)


# --- What is said -----------------------------------------------------------------------------------


@pytest.mark.parametrize("words_of_others", [["-l", "10"], ["-l"], ["--level", "10"], ["--sweep", "5,10"]])
def test_restore_names_the_commands_that_take_a_level(run, words_of_others):
    photo(Path("a.png"))
    code, out, err = run("restore", "a.png", "-o", "b.png", *words_of_others)
    assert (code, out, len(err)) == (2, [], 1)
    assert f"{words_of_others[0]} is not for `restore`" in err[0]
    assert "`denoise -l SIGMA`" in err[0] and "`dejpeg -l QUALITY`" in err[0]


def test_inspect_takes_folders_and_ends_with_a_table(run):
    Path("in/deep").mkdir(parents=True)
    damaged("in/noisy.jpg", sigma=20, quality=85)
    damaged("in/deep/clean.png", sigma=0)
    Path("in/bad.png").write_text("no picture")
    Path("in/notes.txt").write_text("no picture")
    assert run("inspect", "in")[0] == 2
    code, out, err = run("inspect", "in", "-r")
    assert code == 1
    head, *rows = out[out.index("") + 1 :]
    assert head.split() == ["noise", "JPEG", "repair", "picture"]
    assert [row.split()[-1] for row in rows] == ["in/noisy.jpg", "in/deep/clean.png"]
    assert " 85 " in rows[0] and "dejpeg 85" in rows[0] and "denoise " in rows[0] and "nothing" in rows[1]
    assert len({row.index("in/") for row in rows} | {head.index("picture")}) == 1
    assert err[-1] == ("hyperrestore: 1 to repair, 1 with nothing to repair, 1 failed, 1 not pictures")
    code, out, err = run("inspect", "in", "-r", "--json")
    assert [json.loads(line)["source"] for line in out] == ["in/noisy.jpg", "in/deep/clean.png"]
    assert code == 1 and "1 to repair" in err[-1]


def test_a_level_above_the_range_is_said_as_it_is_applied(run):
    values = np.random.default_rng(0).normal(0.5, 80 / 255, (3, 256, 256)).clip(0, 1)
    Image.fromarray((values * 255).astype(np.uint8).transpose(1, 2, 0)).save("wild.png")
    _, out, _ = run("inspect", "wild.png", "--json")
    found = json.loads(out[0])
    assert found["noise"]["sigma"] > 75.5 and found["levels"]["denoise"] == 75
    assert any(line.endswith("# denoise at 75") for line in run("inspect", "wild.png")[1])
    code, out, err = run("denoise", "wild.png", "-o", "x.png", "--json")
    assert code == 0 and json.loads(out[0])["levels"] == {"denoise": 75}
    assert "denoise at sigma 75, the nearest that the model was trained for: noise of sigma" in err[0]


@pytest.mark.parametrize(
    ("command", "option", "said", "level"),
    [
        ("denoise", "-l", "0 to 75, or to 100 with a warning", "101"),
        ("dejpeg", "-l", "5 to 100, or from 1 with a warning", "0.5"),
        ("upscale", "-s", "1 to 4, or to 6 with a warning", "7"),
    ],
)
def test_help_and_errors_give_the_range_of_the_model(run, capsys, command, option, said, level):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert said in " ".join(capsys.readouterr().out.split())
    photo(Path("a.png"))
    code, _, err = run(command, "a.png", "-o", "x.png", option, level)
    numbers = [word for word in said.replace(",", "").split() if word.isdigit()]
    assert code == 2 and "with a warning" in err[0] and all(number in err[0] for number in numbers)


def test_a_range_in_words():
    whole = LevelScale("sigma", low=0, high=75, trained=(0, 75), origin=0, reference=50)
    assert whole.range == "a number from 0 to 75"
    assert (whole.nearest_trained(80), whole.nearest_trained(7.5)) == (75, 7.5)
