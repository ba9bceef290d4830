"""The command line: what people type, what they read, and what scripts rely on."""

import importlib.util
import io
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import pyvips
from conftest import SOURCE
from makers import RECIPE, damaged, photo
from PIL import Image, ImageCms

import hyperrestore.learn.train
import hyperrestore.restore.assembly
import hyperrestore.restore.file
from hyperrestore import PictureInfo, Restorer, __version__, read_picture
from hyperrestore.cli.arguments.parser import parser
from hyperrestore.cli.main import COMMANDS, main
from hyperrestore.cli.output import logs_in_lines
from hyperrestore.errors import DiskFullError
from hyperrestore.picture.file import Picture, write_picture

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONIOENCODING": "utf-8:strict"}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def run(*words, **options):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "hyperrestore", *words]
    return subprocess.run(command, capture_output=True, env=ENVIRONMENT, timeout=60, **options)


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def denoise(tiny_model, capsys):
    """Run `denoise` by a tiny model: exit code, lines on stdout, lines on stderr."""

    def call(*words, level="25"):
        options = ["--model", str(tiny_model), *(["-l", level] if level else [])]
        code = main(["denoise", *options, *map(str, words)])
        output = capsys.readouterr()
        return code, output.out.splitlines(), output.err.splitlines()

    return call


def only_error(result, code):
    """The text of the one line that a failed command says."""
    assert result[:2] == (code, [])
    (line,) = result[2]
    assert line.startswith("hyperrestore: error: ")
    return line.removeprefix("hyperrestore: error: ")


# --- Start and help ---------------------------------------------------------------------------------


def test_help_answers_at_once():
    """In the time that a core works for it, so that what else runs on the machine does not count."""
    seconds = []
    for _ in range(5):
        before = os.times()
        run("--help", check=True)
        after = os.times()
        seconds.append(
            after.children_user - before.children_user + after.children_system - before.children_system
        )
    assert 0 < min(seconds) < 0.3


def test_the_command_line_itself_imports_nothing_heavy():
    program = (
        "import sys, hyperrestore.cli.main\n"
        "heavy = {'numpy', 'openvino', 'torch', 'pyvips', 'tqdm', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, check=True, timeout=60)


@pytest.mark.parametrize(
    "command", [[], ["denoise"], ["dejpeg"], ["upscale"], ["evaluate"], ["train"], ["export"], ["calibrate"]]
)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    output = capsys.readouterr()
    assert output.out.startswith(" ".join(["usage: hyperrestore", *command])) and not output.err


def test_every_option_has_a_help_text():
    commands = next(action for action in parser()._actions if action.choices).choices
    assert set(commands) == {
        "restore", "inspect", "denoise", "dejpeg", "upscale", "report", "web", "evaluate", "train",
        "export", "calibrate",
    }  # fmt: skip
    assert COMMANDS.keys() == commands.keys()
    for command in commands.values():
        assert all(action.help for action in command._actions)


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"hyperrestore {__version__}\n")


# --- denoise: what it makes -------------------------------------------------------------------------


def test_the_built_in_model_restores_a_photo(capsys):
    photo(Path("in.jpg"))
    assert main(["denoise", "in.jpg", "-o", "out.png", "-l", "25"]) == 0
    output = capsys.readouterr()
    assert (output.out, output.err) == ("out.png\n", "")
    noisy, restored = read_picture("in.jpg").pixels, read_picture("out.png").pixels
    assert restored.shape == noisy.shape
    assert restored.std() < noisy.std()
    expected = Restorer.load("denoise")(read_picture("in.jpg"), 25).pixels
    np.testing.assert_allclose(restored, expected, atol=0.51 / 255)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
@pytest.mark.parametrize(("channels", "bits", "alpha"), [(1, 8, False), (3, 8, True), (3, 16, False)])
def test_every_kind_of_picture(denoise, suffix, channels, bits, alpha):
    photo(Path("in.png"), channels=channels, bits=bits, alpha=alpha)
    result = denoise("in.png", "-o", f"out.{suffix}")
    assert result[:2] == (0, [f"out.{suffix}"])
    restored = read_picture(f"out.{suffix}")
    assert restored.pixels.shape[1:] == (24, 36)
    if suffix in ("png", "tif"):
        assert result[2] == []
        assert (restored.info.channels, restored.info.bits) == (channels, bits)
        source = read_picture("in.png")
        assert not np.array_equal(restored.pixels, source.pixels)
        if alpha:
            np.testing.assert_array_equal(restored.alpha, source.alpha)


def test_what_is_not_pixels_stays(denoise):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "ACME", 6
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><note/></x:xmpmeta>'
    values = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
    Image.fromarray(values).save("in.jpg", exif=exif, icc_profile=PROFILE, xmp=xmp)
    for target in ("out.jpg", "out.png", "out.tif", "out.webp", "out.avif"):
        assert denoise("in.jpg", "-o", target) == (0, [target], [])
        restored = read_picture(target)
        assert restored.pixels.shape == (3, 36, 24), "turned once"
        assert restored.info.icc_profile == PROFILE
        assert xmp in restored.info.xmp
        again = Image.Exif()
        again.load(restored.info.exif)
        assert (again[0x010F], again.get(0x0112, 1)) == ("ACME", 1)


def test_conversions_are_said(denoise):
    values = np.random.default_rng(0).integers(0, 256, (24, 36, 4), np.uint8)
    Image.fromarray(values, "CMYK").save("cmyk.jpg")
    code, paths, said = denoise("cmyk.jpg", "-o", "out.png")
    assert (code, paths) == (0, ["out.png"])
    assert said == ["hyperrestore: cmyk.jpg: converted from CMYK to sRGB through a general CMYK profile, "
                    "because it has none"]  # fmt: skip
    Image.fromarray(values[:, :, :3]).quantize(16).save("palette.png")
    assert denoise("palette.png", "-o", "plain.png")[2] == [
        "hyperrestore: palette.png: expanded from a palette to RGB"
    ]


def test_quality_sets_the_size(denoise):
    photo(Path("in.png"), height=100, width=100)
    for quality in ("30", "95"):
        assert denoise("in.png", "-o", f"{quality}.jpg", "-q", quality)[0] == 0
    assert Path("30.jpg").stat().st_size < 0.7 * Path("95.jpg").stat().st_size
    assert denoise("in.png", "-o", "default.jpg")[0] == 0
    assert Path("default.jpg").read_bytes() == Path("95.jpg").read_bytes()


def test_tiles_change_nothing_that_can_be_seen(denoise):
    photo(Path("in.png"), height=70, width=90)
    denoise("in.png", "-o", "whole.png", "--precision", "fp32")
    denoise("in.png", "-o", "tiles.png", "--precision", "fp32", "-t", "16")
    difference = read_picture("whole.png").pixels - read_picture("tiles.png").pixels
    assert abs(difference).max() < 1.01 / 255
    assert (difference != 0).mean() < 0.01


def test_the_level_matters(denoise):
    photo(Path("in.png"))
    for level in ("0", "25", "50"):
        denoise("in.png", "-o", f"{level}.png", level=level)
    weak, middle, strong = (read_picture(f"{level}.png").pixels for level in ("0", "25", "50"))
    assert abs(weak - middle).max() > 0 and abs(middle - strong).max() > 0


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_mask_says_which_level_is_where(denoise, suffix):
    photo(Path(f"in.{suffix}"), height=60, width=200, bits=16, alpha=True)
    mask = np.zeros((3, 4), np.uint8)
    mask[:, 2:] = 255
    Image.fromarray(np.repeat(np.repeat(mask, 20, 0), 50, 1)).save("mask.png")
    words = (f"in.{suffix}", "-o")
    assert denoise(*words, f"map.{suffix}", "--level-map", "mask.png", level="0:50")[0] == 0
    for level in ("0", "50"):
        assert denoise(*words, f"{level}.{suffix}", level=level)[0] == 0
    black, white, both = (read_picture(f"{name}.{suffix}") for name in ("0", "50", "map"))
    assert abs(white.pixels - black.pixels).mean() > 0.01
    step = 1.01 / 65535
    np.testing.assert_allclose(both.pixels[:, :, :60], black.pixels[:, :, :60], rtol=0, atol=step)
    np.testing.assert_allclose(both.pixels[:, :, 140:], white.pixels[:, :, 140:], rtol=0, atol=step)
    np.testing.assert_array_equal(both.alpha, black.alpha)
    assert denoise(*words, f"tiled.{suffix}", "--level-map", "mask.png", "-t", "32", level="0:50")[0] == 0
    np.testing.assert_allclose(read_picture(f"tiled.{suffix}").pixels, both.pixels, rtol=0, atol=step)
    code, (line,), _ = denoise(*words, "j.png", "--level-map", "mask.png", "--json", level="0:50")
    assert (code, json.loads(line)["levels"]) == (0, {"denoise": [0, 50]})


def test_grain_puts_noise_back(capsys):
    values = np.random.default_rng(0).normal(0.5, 0.06, (3, 48, 64)).astype(np.float32)
    write_picture("in.png", Picture(values, None, PictureInfo(64, 48, 3, 16)))
    for share in ("0", "0.5", "1"):
        assert main(["denoise", "in.png", "-o", f"{share}.png", "-l", "15", "--grain", share]) == 0
    clean, half, full = (read_picture(f"{share}.png").pixels.std() for share in ("0", "0.5", "1"))
    assert clean < half < full < values.std()
    Image.fromarray(np.full((48, 64), 255, np.uint8)).save("white.png")
    words = ["--grain", "0.5", "--level-map", "white.png", "-l", "0:15"]
    assert main(["denoise", "in.png", "-o", "map.png", *words]) == 0
    np.testing.assert_allclose(read_picture("map.png").pixels, read_picture("0.5.png").pixels, atol=2e-4)


def test_a_sheet_to_choose_from(denoise):
    photo(Path("in.jpg"), height=60, width=200, seed=3)
    words = ("in.jpg", "--sweep", "5,30,60", "--region", "10,20,100,30")
    code, out, err = denoise(*words, "-o", "sheet.png", level=None)
    assert (code, out) == (0, ["sheet.png"])
    assert any("shows region 10,20,100,30" in line for line in err)
    assert names(Path()) == ["in.jpg", "sheet.png"]
    denoise("in.jpg", "-o", "5.png", level="5")
    assert denoise(*words, "-o", "more/", "-f", "png", "--singles", level=None)[0] == 0
    assert names(Path("more")) == ["in-30.png", "in-5.png", "in-60.png", "in.png"]
    assert Path("more/in.png").read_bytes() == Path("sheet.png").read_bytes()
    denoise("in.jpg", "-o", "30.png", level="30")
    assert Path("30.png").read_bytes() == Path("more/in-30.png").read_bytes()
    # The sheet is the last file: without it, the others are kept and it is made.
    Path("more/in.png").unlink()
    Path("more/in-5.png").unlink()
    Path("more/in-30.png").write_bytes(b"kept")
    assert denoise(*words, "-o", "more/", "-f", "png", "--singles", "--skip-existing", level=None)[0] == 0
    assert Path("more/in.png").read_bytes() == Path("sheet.png").read_bytes()
    assert Path("more/in-30.png").read_bytes() == b"kept"
    assert names(Path("more")) == ["in-30.png", "in-5.png", "in-60.png", "in.png"]
    sheet, restored = read_picture("sheet.png").pixels, read_picture("5.png").pixels[:, 20:50, 10:110]
    shown = [
        sheet[:, top : top + 30, left : left + 100]
        for top in range(sheet.shape[1] - 30)
        for left in (8, 116)
        if left + 100 <= sheet.shape[2]
    ]
    assert min(np.abs(panel - restored).max() for panel in shown) <= 1.01 / 255


def test_singles_take_the_place_of_nothing_else(denoise):
    Path("full").mkdir()
    for name in ("photo.png", "photo-10.png"):
        photo(Path("full") / name, seed=len(name))
    words = ("--sweep", "10,20", "--singles", "--overwrite")
    text = only_error(denoise("full", "-r", "-o", "out", *words, level=None), 2)
    assert "photo-10.png of full/photo.png would overwrite" in text and not Path("out").exists()
    before = Path("full/photo-10.png").read_bytes()
    text = only_error(denoise("full/photo-10.png", "-o", "full/photo.png", *words, level=None), 2)
    assert "would overwrite full/photo-10.png" in text
    assert Path("full/photo-10.png").read_bytes() == before


def test_sheets_say_what_was_converted(denoise):
    values = np.random.default_rng(0).integers(0, 256, (24, 36, 4), dtype=np.uint8)
    Image.fromarray(values, "CMYK").save("in.tif")
    _, _, said = denoise("in.tif", "-o", "sheet.png", "--sweep", "80,90", level=None)
    assert sum("CMYK" in line for line in said) == 1
    assert sum("extrapolates" in line for line in said) == 2


def test_a_mask_is_not_replaced_while_it_is_needed(denoise):
    Path("full").mkdir()
    for name in ("a.png", "mask.png"):
        photo(Path("full") / name, channels=1)
    before = Path("full/mask.png").read_bytes()
    words = ("-r", "-o", "full", "--level-map", "full/mask.png", "--overwrite")
    assert "mask would be replaced" in only_error(denoise("full", *words, level="0:40"), 2)
    assert Path("full/mask.png").read_bytes() == before
    photo(Path("large.png"), height=40, width=40)
    words = ("full/a.png", "-o", "b.png", "--level-map", "large.png", "--max-pixels", "900")
    assert "large.png: has 40 x 40 pixels" in only_error(denoise(*words, level="0:40"), 1)


def test_nothing_is_told_to_anyone():
    """Importing OpenVINO would report its use to a server."""
    photo(Path("a.png"))
    program = (
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith(('socket.', 'urllib.')):\n"
        "        print('NETWORK', event, arguments)\n"
        "sys.addaudithook(refuse)\n"
        "from hyperrestore.cli.main import main\n"
        "code = main(['denoise', 'a.png', '-o', 'b.png', '-l', '25'])\n"
        "print(code, 'openvino' in sys.modules, sys.modules.get('openvino_telemetry'))\n"
    )
    home = {**ENVIRONMENT, "HOME": str(Path("home").resolve())}
    Path("home").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=home, timeout=60, text=True
    )
    assert done.stdout.splitlines() == ["b.png", "0 True None"], done.stdout + done.stderr
    assert names(Path("home")) == []


def test_sheets_do_not_overwrite(denoise):
    photo(Path("in.png"))
    Path("sheet-5.png").write_text("mine")
    words = ("in.png", "--sweep", "5", "--singles", "-o", "sheet.png")
    text = only_error(denoise(*words, level=None), 2)
    assert "sheet-5.png: already exists" in text and "sheet.png" not in names(Path())
    assert denoise(*words, "--overwrite", level=None)[0] == 0


def test_one_json_object_for_each_picture(denoise):
    photo(Path("a.png"), height=24)
    photo(Path("b.png"), height=20, bits=16)
    code, lines, said = denoise("a.png", "b.png", "-o", "out", "-f", "jpg", "--json", level="12.5")
    assert code == 0
    reports = [json.loads(line) for line in lines]
    assert [report["source"] for report in reports] == ["a.png", "b.png"]
    assert [report["target"] for report in reports] == ["out/a.jpg", "out/b.jpg"]
    assert [(report["width"], report["height"], report["levels"]) for report in reports] == [
        (36, 24, {"denoise": 12.5}),
        (36, 20, {"denoise": 12.5}),
    ]
    assert all(report["seconds"] > 0 for report in reports)
    assert [len(report["notes"]) for report in reports] == [0, 1]
    assert said == [f"hyperrestore: b.png: {reports[1]['notes'][0]}"]


def test_a_folder_comes_back_as_a_folder(denoise):
    for name in ("in/a.png", "in/deep/b.jpg", "in/deep/c.tif"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        photo(Path(name))
    Path("in/deep/broken.png").write_bytes(b"no picture")
    code, lines, said = denoise("in", "-o", "out", "-r")
    assert code == 1
    assert lines == ["out/a.png", "out/deep/b.jpg", "out/deep/c.tif"]
    assert "in/deep/broken.png" in said[0] and said[1:] == [
        "hyperrestore: 3 restored, 0 copied, 0 skipped, 1 failed, 0 not pictures"
    ]
    assert names(Path("out")) == ["a.png", "b.jpg", "c.tif", "deep"]
    Path("out/deep/c.tif").unlink()
    for words in ([], ["--skip-existing"]):
        code, lines, said = denoise("in", "-o", "out", "-r", *words)
        assert (code, lines) == (1, [] if words else ["out/deep/c.tif"])
        assert said[0] == f"hyperrestore: {3 if words else 2} of 4 pictures already exist"
    Path("one").mkdir()
    photo(Path("one/a.png"))
    assert denoise("one", "-o", "single", "-r")[:2] == (0, ["single/a.png"])
    assert "give -r" in only_error(denoise("in", "-o", "elsewhere"), 2)


def test_a_folder_goes_on_where_it_stopped_unless_told_otherwise(denoise):
    for name in ("in/a.png", "in/b.png"):
        Path(name).parent.mkdir(exist_ok=True)
        photo(Path(name))
    counts = "hyperrestore: {} restored, 0 copied, {} skipped, 0 failed, 0 not pictures"
    assert denoise("in", "-o", "out", "-r") == (0, ["out/a.png", "out/b.png"], [counts.format(2, 0)])
    made = Path("out/a.png").read_bytes()
    Path("out/a.png").write_text("mine")
    os.utime("out/a.png", (1, 1))
    Path("out/.b-abcd1234.part").mkdir()
    code, lines, said = denoise("in", "-o", "out", "-r", level="50")
    assert (code, lines, Path("out/a.png").read_text()) == (0, [], "mine")
    assert said == [
        "hyperrestore: removed unfinished pictures left by killed processes",
        "hyperrestore: 2 of 2 pictures already exist",
        "hyperrestore: warning: out/a.png: older than its original, and kept; --overwrite replaces all",
        counts.format(0, 2),
    ]
    assert names(Path("out")) == ["a.png", "b.png"]
    assert denoise("in", "-o", "out", "-r", "--overwrite")[:2] == (0, ["out/a.png", "out/b.png"])
    assert Path("out/a.png").read_bytes() == made
    for words in (["-r"], ["-r", "--skip-existing"]):
        assert "would be replaced by its own result" in only_error(denoise("in", "-o", "in", *words), 2)


def test_a_report_says_what_became_of_each_picture(denoise):
    Path("in").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        photo(Path("in", name))
    Path("in/b.png").write_bytes(b"no picture")
    photo(Path("in/d.png"))
    Path("out").mkdir()
    photo(Path("out/d.png"))
    code, _, _ = denoise("in", "-o", "out", "-r", "--report", "out/report.json", "-t", "64")
    report = json.loads(Path("out/report.json").read_text())
    assert code == 1 and report["complete"]
    assert {entry["source"]: entry["status"] for entry in report["pictures"]} == {
        "in/a.png": "restored", "in/b.png": "failed", "in/c.png": "restored", "in/d.png": "skipped",
    }  # fmt: skip
    assert report["settings"]["level"] == 25 and report["settings"]["tile"] == 64
    assert "is not a PNG" in report["pictures"][1]["error"]["message"]
    assert "ends with .json" in only_error(denoise("in/a.png", "-o", "x.png", "--report", "in/a.png"), 2)


def test_an_interrupted_batch_is_reported(denoise, monkeypatch):
    sources = [photo(Path(f"{number}.png"), seed=number) for number in range(6)]
    real = hyperrestore.restore.file.repair_file

    def stop_at_the_fourth(restorers, repairs, source, target, **options):
        if source.name == "3.png":
            os.kill(os.getpid(), signal.SIGINT)
            while True:  # until it is told to give up
                options["progress"](0, 1)
                time.sleep(0.01)
        return real(restorers, repairs, source, target, **options)

    monkeypatch.setattr(hyperrestore.restore.file, "repair_file", stop_at_the_fourth)
    code, lines, said = denoise(*sources, "-o", "out", "--report", "report.json")
    assert (code, said[-1]) == (130, "hyperrestore: interrupted")
    report = json.loads(Path("report.json").read_text())
    assert not report["complete"] and report["totals"]["left"] >= 1
    restored = [entry["target"] for entry in report["pictures"] if entry["status"] == "restored"]
    assert sorted(restored) == sorted(lines) == [f"out/{name}" for name in names(Path("out"))]


def test_a_full_disk_ends_the_batch_with_a_way_out(denoise, monkeypatch):
    sources = [photo(Path(f"{number}.png")) for number in range(9)]
    real = hyperrestore.restore.file.repair_file

    def full(restorers, repairs, source, target, **options):
        if source.name == "1.png":
            raise DiskFullError(f"{target}: cannot be written (No space left on device)")
        return real(restorers, repairs, source, target, **options)

    monkeypatch.setattr(hyperrestore.restore.file, "repair_file", full)
    code, lines, said = denoise(*sources, "-o", "out")
    assert code == 1 and 1 <= len(lines) < 8
    assert "No space left" in said[0]
    assert said[-1] == (
        f"hyperrestore: the disk is full: {8 - len(lines)} more not started; free some space and run the "
        "command again with --skip-existing"
    )


def test_folders_that_cannot_be_made_stop_only_their_pictures(denoise):
    for name in ("in/a.png", "in/deep/b.png"):
        Path(name).parent.mkdir(exist_ok=True)
        photo(Path(name))
    Path("out").mkdir()
    Path("out/deep").touch()
    code, lines, said = denoise("in", "-o", "out", "-r")
    assert (code, lines) == (1, ["out/a.png"])
    assert "out/deep: cannot create this folder" in said[0]
    Path("other/a.png").mkdir(parents=True)
    code, lines, said = denoise("in", "-o", "other", "-r", "--skip-existing")
    assert (code, lines) == (1, ["other/deep/b.png"]), "a folder is no finished picture"


def test_a_folder_is_not_written_to_a_file(denoise):
    Path("in").mkdir()
    photo(Path("in/a.png"))
    assert "one file out.png" in only_error(denoise("in", "-o", "out.png", "-r"), 2)
    assert "has no name" in only_error(denoise("", "-o", "out/"), 2)
    assert denoise("in", "in", "-o", "out", "-r")[:2] == (0, ["out/a.png"]), "the same folder twice"


def test_inspect_prints_commands_that_work(capsys):
    damaged("-x.png", sigma=20)
    damaged("line\nbreak.png", sigma=20)
    assert main(["inspect", "--", "-x.png", "line\nbreak.png"]) == 0
    said = capsys.readouterr().out
    assert "hyperrestore restore ./-x.png -o" in said
    assert "  repair: denoise at" in said, "no command that would name another file"


def test_inspect_says_what_restore_repairs(capsys):
    clean = damaged("noisy.jpg", sigma=20, quality=85)
    before = Path("noisy.jpg").read_bytes()
    assert main(["inspect", "noisy.jpg"]) == 0
    said = capsys.readouterr().out
    assert "dejpeg: JPEG quality 85, from its quantisation tables" in said
    assert (
        "hyperrestore restore noisy.jpg -o restored/  # denoise at " in said and " and dejpeg at 85\n" in said
    )
    assert names(Path()) == ["noisy.jpg"] and Path("noisy.jpg").read_bytes() == before
    assert main(["inspect", "noisy.jpg", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["levels"] == {
        "dejpeg": 85,
        "denoise": pytest.approx(30, abs=14),
    }  # in a JPEG more than sigma
    assert found["levels"]["denoise"] == pytest.approx(found["noise"]["sigma"], abs=0.05)
    assert main(["restore", "noisy.jpg", "-o", "out.png", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["levels"] == found["levels"]
    assert "dejpeg at quality 85: JPEG quality 85" in output.err and "denoise at sigma " in output.err
    errors = [np.square(read_picture(name).pixels - clean).mean() for name in ("noisy.jpg", "out.png")]
    assert errors[1] < errors[0] / 3


def test_clean_pictures_come_back_as_they_are(capsys):
    damaged("clean.png", sigma=0)
    assert main(["inspect", "clean.png"]) == 0
    assert "nothing to repair" in capsys.readouterr().out
    both = "a level of the noise (`--noise`) or a JPEG quality (`--jpeg-quality`)"
    for command, way in (("restore", both), ("denoise", "a level")):
        assert main([command, "clean.png", "-o", f"{command}.png"]) == 0
        said = capsys.readouterr().err
        assert "nothing was repaired: " in said and f"; {way} repairs it anyway\n" in said
        assert np.array_equal(read_picture(f"{command}.png").pixels, read_picture("clean.png").pixels)


def test_the_level_of_noise_is_found_out(capsys):
    damaged("noisy.png", sigma=20)
    for words in ([], ["-l", "auto"]):
        assert main(["denoise", "noisy.png", "-o", "out.png", "--overwrite", "--json", *words]) == 0
        output = capsys.readouterr()
        assert json.loads(output.out)["levels"]["denoise"] == pytest.approx(20, abs=2.5)
        assert "denoise at sigma " in output.err


def test_inspect_goes_on_after_a_bad_file(capsys):
    damaged("noisy.png", sigma=20)
    Path("bad.png").write_bytes(b"no picture")
    assert main(["inspect", "bad.png", "noisy.png"]) == 1
    output = capsys.readouterr()
    assert "bad.png" in output.err and output.out.startswith("noisy.png\n")


def test_a_level_beyond_training_is_said_once(denoise):
    photo(Path("a.png"))
    photo(Path("b.png"))
    code, lines, said = denoise("a.png", "b.png", "-o", "out/", level="90")
    assert (code, len(lines)) == (0, 2)
    (warning,) = said
    assert warning.startswith("hyperrestore: warning: sigma 90 lies outside the trained range 0 to 75")


# --- denoise: where it goes -------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["new/", "new/deeper/", "old", "old/"])
def test_one_picture_into_a_folder(denoise, out):
    photo(Path("a.jpg"))
    Path("old").mkdir()
    target = f"{Path(out)}/a.jpg"
    assert denoise("a.jpg", "-o", out) == (0, [target], [])
    assert Path(target).is_file()


def test_several_pictures_into_a_folder_and_a_format(denoise):
    sources = [photo(Path("a.jpg")), photo(Path("b.C.TIF")), photo(Path("c.webp"))]
    assert denoise(*sources, "-o", "kept") == (0, ["kept/a.jpg", "kept/b.C.TIF", "kept/c.webp"], [])
    for number, text in enumerate(("png", ".png", "PNG")):
        code, lines, _ = denoise(*sources, "-o", f"{number}", "-f", text)
        assert (code, lines) == (0, [f"{number}/a.png", f"{number}/b.C.png", f"{number}/c.png"])


def test_one_bad_picture_does_not_stop_the_others(denoise):
    photo(Path("a.png"))
    photo(Path("z.png"))
    Path("text.png").write_text("no picture")
    photo(Path("whole.jpg"), height=200, width=200)
    Path("cut.jpg").write_bytes(Path("whole.jpg").read_bytes()[:9000])
    Path("notes.txt").write_text("no picture")
    sources = ["a.png", "text.png", "cut.jpg", "missing.png", "notes.txt", "z.png"]
    code, lines, said = denoise(*sources, "-o", "out")
    assert (code, lines) == (1, ["out/a.png", "out/z.png"])
    assert names(Path("out")) == ["a.png", "z.png"]
    assert len(said) == 5
    for line, name in zip(said, sources[1:5], strict=False):
        assert line.startswith(f"hyperrestore: error: {name}: ")
    assert said[4] == "hyperrestore: 4 of 6 pictures failed"


def test_existing_files_are_refused_before_any_work(denoise):
    for name in ("a.png", "b.png", "c.png"):
        photo(Path(name))
    Path("out").mkdir()
    Path("out/b.png").write_text("mine")
    Path("out/c.png").write_text("mine")
    error = only_error(denoise("a.png", "b.png", "c.png", "-o", "out"), 2)
    assert error.startswith("out/b.png and 1 more: already exists")
    assert names(Path("out")) == ["b.png", "c.png"]
    assert Path("out/b.png").read_text() == "mine"

    code, lines, said = denoise("a.png", "b.png", "c.png", "-o", "out", "--skip-existing")
    assert (code, lines, said) == (0, ["out/a.png"], ["hyperrestore: 2 of 3 pictures already exist"])
    assert Path("out/b.png").read_text() == "mine"
    assert denoise("a.png", "b.png", "c.png", "-o", "out", "--skip-existing")[:2] == (0, [])

    code, lines, said = denoise("a.png", "b.png", "c.png", "-o", "out", "--overwrite")
    assert (code, len(lines), said) == (0, 3, [])
    assert read_picture("out/b.png").pixels.shape == (3, 24, 36)


def test_a_batch_that_was_stopped_goes_on(denoise, monkeypatch):
    sources = [photo(Path(f"{number}.png"), seed=number) for number in range(4)]
    denoise(*sources, "-o", "whole")
    real = hyperrestore.restore.file.repair_file

    def stop_at_the_third(restorers, repairs, source, target, **options):
        if source.name == "2.png":
            while not (Path("parts/0.png").exists() and Path("parts/1.png").exists()):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            while True:  # until it is told to give up
                options["progress"](0, 1)
                time.sleep(0.01)
        return real(restorers, repairs, source, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(hyperrestore.restore.file, "repair_file", stop_at_the_third)
        assert denoise(*sources, "-o", "parts")[0] == 130
    assert names(Path("parts")) in (["0.png", "1.png"], ["0.png", "1.png", "3.png"])
    assert denoise(*sources, "-o", "parts", "--skip-existing")[0] == 0
    assert names(Path("parts")) == names(Path("whole"))
    for name in names(Path("whole")):
        assert Path("parts", name).read_bytes() == Path("whole", name).read_bytes()


@pytest.mark.parametrize(("suffix", "alpha"), [("png", True), ("jpg", False), ("tif", True)])
def test_a_picture_replaces_itself_only_when_asked(denoise, suffix, alpha):
    path = photo(Path(f"a.{suffix}"), height=100, alpha=alpha)
    before, source = path.read_bytes(), read_picture(path)
    assert denoise(path, "-o", "other.png")[0] == 0
    assert "already exists" in only_error(denoise(path, "-o", path), 2)
    assert path.read_bytes() == before
    assert denoise(path, "-o", path, "--overwrite") == (0, [str(path)], [])
    restored = read_picture(path)
    assert restored.pixels.shape == source.pixels.shape
    assert not np.array_equal(restored.pixels, source.pixels)
    if suffix != "jpg":
        np.testing.assert_array_equal(restored.pixels, read_picture("other.png").pixels)
        np.testing.assert_array_equal(restored.alpha, source.alpha)
    assert names(Path()) == sorted([path.name, "other.png"])


# --- denoise: what is refused -----------------------------------------------------------------------

REFUSED = {
    "no output": ("a.png -l 5", 2, "required: -o/--out"),
    "no picture": ("-o x.png -l 5", 2, "required: PICTURE"),
    "unknown option": ("a.png -o x.png -l 5 --fast", 2, "unrecognized arguments: --fast"),
    "level text": ("a.png -o x.png -l strong", 2, "-l/--level: 'strong' is not a number"),
    "level empty": ("a.png -o x.png -l ''", 2, "'' is not a number"),
    "level nan": ("a.png -o x.png -l nan", 2, "from 0 to 100"),
    "level negative": ("a.png -o x.png -l -1", 2, "from 0 to 100"),
    "level too high": ("a.png -o x.png -l 100.5", 2, "from 0 to 100"),
    "level infinite": ("a.png -o x.png -l inf", 2, "from 0 to 100"),
    "level of several": ("a.png b.jpg -o x -l 101", 2, "from 0 to 100"),
    "two levels": ("a.png -o x.png -l 0:40", 2, "two levels need a mask"),
    "map, one level": ("a.png -o x.png -l 40 --level-map a.png", 2, "--level-map needs two levels"),
    "map, auto": ("a.png -o x.png --level-map a.png", 2, "--level-map needs two levels"),
    "map, bad level": ("a.png -o x.png -l 0:400 --level-map a.png", 2, "from 0 to 100"),
    "no mask": ("a.png -o x.png -l 0:40 --level-map no.png", 1, "no.png: cannot be opened"),
    "mask is text": ("a.png -o x.png -l 0:40 --level-map text.png", 1, "text.png: is not a PNG"),
    "map in int8": ("a.png -o x.png -l 0:40 --level-map a.png --precision int8", 1, "tiny"),
    "grain": ("a.png -o x.png -l 5 --grain 1.5", 2, "'1.5' is not a number from 0 to 1"),
    "sweep and level": ("a.png -o x.png -l 5 --sweep 5,10", 2, "--sweep takes its levels instead of -l"),
    "sweep beyond": ("a.png -o x.png --sweep 5,400", 2, "from 0 to 100"),
    "sweep of words": ("a.png -o x.png --sweep weak,strong", 2, "'weak' is not a number"),
    "region alone": ("a.png -o x.png -l 5 --region 0,0,5,5", 2, "--region and --singles are for a sheet"),
    "region outside": (
        "a.png -o x.png --sweep 5 --region 30,0,9,9",
        2,
        "is not a part of a picture of 36 x 24",
    ),
    "region of three": ("a.png -o x.png --sweep 5 --region 1,2,3", 2, "'1,2,3' is not X,Y,W,H"),
    "quality 0": ("a.png -o x.jpg -l 5 -q 0", 2, "whole number from 1 to 100"),
    "quality 101": ("a.png -o x.jpg -l 5 -q 101", 2, "whole number from 1 to 100"),
    "quality text": ("a.png -o x.jpg -l 5 -q high", 2, "'high' is not a whole number"),
    "tile 8": ("a.png -o x.png -l 5 -t 8", 2, "'8' is not a whole number of at least 16"),
    "tile -1": ("a.png -o x.png -l 5 -t -1", 2, "'-1' is not a whole number"),
    "too large": ("a.png -o x.png -l 5 --max-pixels 800", 1, "a.png: has 36 x 24 pixels"),
    "missing": ("nothing.png -o x.png -l 5", 1, "nothing.png: cannot be opened (No such file"),
    "folder": ("full -o x.png -l 5", 2, "full is a folder; give -r"),
    "empty": ("empty.png -o x.png -l 5", 1, "empty.png: is empty"),
    "no picture in it": ("text.png -o x.png -l 5", 1, "is not a PNG, JPEG, WebP, TIFF or AVIF"),
    "truncated": ("cut.jpg -o x.png -l 5", 1, "cut.jpg: cannot be read"),
    "unknown suffix": ("a.png -o x.bmp -l 5", 2, "cannot write .bmp; use .png"),
    "no suffix": ("a.png -o x -l 5", 2, "output x is neither a file with a suffix nor a folder"),
    "no name": ("a.png -o '' -l 5", 2, "the output has no name"),
    "unknown format": ("a.png -o x/ -f bmp -l 5", 2, "format 'bmp' is unknown"),
    "empty format": ("a.png -o x/ -f '' -l 5", 2, "format '' is unknown"),
    "two formats": ("a.png -o x.png -f jpg -l 5", 2, "does not end with the format .jpg"),
    "no such folder": ("a.png -o no/x.png -l 5", 1, "no/x.png: cannot be written (No such file"),
    "file as folder": ("a.png -o text.png/x.png -l 5", 1, "cannot be written (Not a directory)"),
    "into a file": ("a.png -o text.png/ -l 5", 2, "text.png/ is a file, where a folder is needed"),
    "several into a file": ("a.png b.jpg -o x.png -l 5", 2, "2 pictures cannot be written to"),
    "several into an old file": ("a.png b.jpg -o word -l 5", 2, "word is a file, where"),
    "two for one": ("a.png full/a.png -o x -l 5", 2, "would both be written to x/a.png"),
    "two for one by format": ("b.jpg b.png -f png -o x -l 5", 2, "both be written to"),
    "exists": ("a.png -o b.jpg -l 5", 2, "b.jpg: already exists; give --overwrite, --skip-existing"),
    "both answers": ("a.png -o b.jpg -l 5 --overwrite --skip-existing", 2, "not allowed with"),
    "no model": ("a.png -o x.png -l 5 --model no.safetensors", 1, "no.safetensors: "),
    "folder as model": (
        "a.png -o x.png -l 5 --model full",
        1,
        "full: not a readable model file (it is a folder); give a",
    ),
    "no name as model": ("a.png -o x.png -l 5 --model=", 2, "argument --model: a model has no name"),
    "picture as model": ("a.png -o x.png -l 5 --model a.png", 1, "a.png: not a readable model"),
    "device": ("a.png -o x.png -l 5 --device toaster", 2, "device 'toaster' cannot be used"),
    "precision": ("a.png -o x.png -l 5 --precision int3", 2, "precision 'int3' is unknown"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(denoise, case):
    photo(Path("a.png"))
    photo(Path("b.jpg"), height=200, width=200)
    Path("full").mkdir()
    Path("full/a.png").write_text("mine")
    Path("cut.jpg").write_bytes(Path("b.jpg").read_bytes()[:9000])
    Path("text.png").write_text("no picture")
    Path("word").write_text("no folder")
    Path("empty.png").touch()
    before = names(Path())
    words, code, fragment = REFUSED[case]
    assert fragment in only_error(denoise(*shlex.split(words), level=None), code)
    assert names(Path()) == before
    assert Path("full/a.png").read_text() == "mine"


@pytest.mark.parametrize("words", [[], ["restore"], ["denoise"]])
def test_wrong_commands_are_one_line(words, capsys):
    assert main(words) == 2
    output = capsys.readouterr()
    assert not output.out and output.err.count("\n") == 1
    assert output.err.startswith("hyperrestore: error: ") and "--help`" in output.err


def test_a_picture_that_is_cut_off_below_leaves_nothing(denoise):
    """Its header is good, and the damage shows when the first tiles are done."""
    photo(Path("whole.png"), height=900, width=300)
    Path("cut.png").write_bytes(Path("whole.png").read_bytes()[:-200_000])
    for out in ("out.png", "folder/"):
        assert "cut.png: cannot be read" in only_error(denoise("cut.png", "-o", out, "-t", "256"), 1)
    assert names(Path()) == ["cut.png", "folder", "whole.png"]


UNPRIVILEGED = """
import json, os, sys
from hyperrestore import Restorer
from hyperrestore.cli import main as cli
from hyperrestore.cli import restorers

model, commands = sys.argv[1], json.loads(sys.argv[2])
restorer = Restorer.load(model)
restorers.load_restorer = lambda *words, **options: restorer
assert cli.main(["denoise", "a.png", "-o", "first.png", "-l", "5"]) == 0  # loads what only root may read
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for words in commands:
    print(cli.main(["denoise", *words, "-l", "5"]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs POSIX permissions")
def test_what_permissions_forbid(tiny_model):
    """In a process that drops root's rights, which ignore permissions."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        photo(folder / "a.png").chmod(0o644)
        photo(folder / "secret.png").chmod(0)
        for subfolder, mode in (("open", 0o777), ("closed", 0o555)):
            (folder / subfolder).mkdir()
            (folder / subfolder).chmod(mode)
        commands = [
            ["secret.png", "-o", "open/x.png"],
            ["a.png", "-o", "closed/x.png"],
            ["a.png", "-o", "closed/new/"],
            ["a.png", "-o", "open/x.png"],
        ]
        result = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, tiny_model, json.dumps(commands)],
            capture_output=True, text=True, env=ENVIRONMENT, cwd=folder, timeout=60,
        )  # fmt: skip
        assert result.stdout.split() == ["first.png", "1", "1", "1", "open/x.png", "0"]
        first, second, third = result.stderr.splitlines()
        assert first.startswith("hyperrestore: error: secret.png: cannot be opened (Permission denied)")
        assert "closed/x.png: cannot be written (Permission denied" in second
        assert third.startswith(
            "hyperrestore: error: closed/new: cannot create this folder (Permission denied)"
        )
        assert (names(folder / "open"), names(folder / "closed")) == (["x.png"], [])
        (folder / "closed").chmod(0o755)


# --- Names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["with space.png", "näme 图.png", "a[1].png", "page=2,x.png", "%d.png", "it's.png", ".hid.png"]
)
def test_names_with_odd_characters(denoise, name):
    photo(Path(name))
    assert denoise(name, "-o", f"out {name}") == (0, [f"out {name}"], [])
    assert denoise(name, "-o", "folder/") == (0, [f"folder/{name}"], [])


def test_names_that_begin_with_a_dash(denoise):
    photo(Path("-a.png"))
    assert denoise("-o", "out/", "--", "-a.png") == (0, ["out/-a.png"], [])
    assert denoise("--out=-b.png", "./-a.png") == (0, ["-b.png"], [])


def test_control_characters_cannot_break_a_line(denoise):
    photo(Path("a\nb.png"))
    assert denoise("a\nb.png", "-o", "out.png") == (0, ["out.png"], [])
    error = only_error(denoise("no\n\x1b[31m.png", "-o", "x.png"), 1)
    assert error.startswith(r"no\n\x1b[31m.png: cannot be opened")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="its file names are text")
def test_names_that_are_no_text(tiny_model):
    photo(Path("a.png"))
    odd = b"\xff\xe9.png"
    Path(os.fsdecode(odd)).write_bytes(Path("a.png").read_bytes())
    for words, path in ((["a.png", "-o", b"out" + odd], b"out" + odd), ([odd, "-o", b"x/"], b"x/" + odd)):
        for more in ([], ["--json"]):
            result = run("denoise", *words, "-l", "5", "--overwrite", "--model", tiny_model, *more)
            assert result.returncode in (0, 1) and b"Traceback" not in result.stderr
            if result.returncode:
                assert result.stdout == b"" and result.stderr.count(b"\n") == 1
                assert rb"\udcff\udce9.png" in result.stderr
            elif more:
                assert os.fsencode(json.loads(result.stdout)["target"]) == path
            else:
                assert result.stdout == path + b"\n"


def test_a_path_that_is_no_text_is_printed_as_its_bytes():
    program = (
        "import os; from hyperrestore.cli.output import put; put(os.fsdecode(b'a\\xff\\xc3\\xa9')); put('b')"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, env=ENVIRONMENT, timeout=60)
    assert (result.stdout, result.stderr) == (b"a\xff\xc3\xa9\nb\n", b"")


# --- Terminals, pipes and signals -------------------------------------------------------------------


# --- What is logged ---------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["-v", "denoise"], ["denoise", "-v"], ["denoise", "--verbose"]])
def test_verbose_tells_what_is_loaded_estimated_and_written(tiny_model, capsys, words):
    photo(Path("a.png"), height=300, width=300)
    assert main([*words, "a.png", "-o", "b.png", "-t", "64", "--model", str(tiny_model)]) == 0
    output = capsys.readouterr()
    said = output.err.splitlines()
    assert output.out == "b.png\n"
    assert all(line.startswith("hyperrestore: ") for line in said)
    for fragment in (
        f"opened {tiny_model} with OpenVINO",
        "a.png: denoise: noise of sigma",
        "tiny.safetensors at level",
        "OpenVINO on the CPU, ",
        "300 x 300 pixels, tile size 64, halo",
        "wrote b.png: 300 x 300 pixels, denoise at",
    ):
        assert any(fragment in line for line in said), fragment


def test_without_verbose_nothing_is_logged_and_nothing_stays(tiny_model, capsys):
    logger = logging.getLogger("hyperrestore")
    before = logger.level, list(logger.handlers)
    photo(Path("a.png"))
    for number, words in enumerate(([], ["-v"], [])):
        assert (
            main([*words, "denoise", "a.png", "-o", f"{number}.png", "-l", "5", "--model", str(tiny_model)])
            == 0
        )
        assert bool(capsys.readouterr().err) == bool(words)
    assert (logger.level, logger.handlers) == before


def test_an_unexpected_error_is_logged_with_its_traceback(capsys):
    with logs_in_lines(verbose=False):
        try:
            raise ZeroDivisionError("by a picture without pixels")
        except ZeroDivisionError:
            logging.getLogger("hyperrestore.web").exception("a job failed")
    said = capsys.readouterr().err
    assert said.startswith("hyperrestore: error: a job failed\nTraceback")
    assert said.endswith("ZeroDivisionError: by a picture without pixels\n")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_is_for_terminals_only_and_leaves_no_trace(tiny_model, monkeypatch, capsys):
    photo(Path("a.png"), height=64)
    photo(Path("b.png"))
    words = ["denoise", "a.png", "b.png", "-l", "5", "-t", "16", "--model", str(tiny_model)]
    assert main([*words, "-o", "out"]) == 0
    assert capsys.readouterr().err == ""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main([*words, "-o", "out2"]) == 0
    shown = terminal.getvalue()
    assert "1/2 a.png   0%" in shown and "2/2 b.png" in shown
    assert shown.rsplit("\r", 2)[1].strip() == "" and shown.endswith("\r")
    assert capsys.readouterr().out.splitlines() == ["out2/a.png", "out2/b.png"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_nothing_half_written(request, denoise, monkeypatch, name):
    number = getattr(signal, name)
    before = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
    inherited = signal.signal(number, before)  # under nohup SIGHUP is ignored, and would stay so
    request.addfinalizer(lambda: signal.signal(number, inherited))
    photo(Path("a.png"), height=64)
    real = hyperrestore.restore.assembly.restore_rows

    def interrupted(*arguments, **options):
        rows = real(*arguments, **options)
        yield next(rows)
        assert any(path.suffix == ".part" for path in Path().iterdir())
        os.kill(os.getpid(), number)
        yield from rows

    monkeypatch.setattr(hyperrestore.restore.assembly, "restore_rows", interrupted)
    code, lines, said = denoise("a.png", "-o", "out.png", "-t", "16")
    assert (code, lines, said) == (130, [], ["hyperrestore: interrupted"])
    assert names(Path()) == ["a.png"]
    assert signal.getsignal(number) is before


def test_ctrl_c_in_a_real_process():
    photo(Path("a.png"), height=1500, width=1500)
    command = [
        sys.executable,
        "-m",
        "hyperrestore.cli.main",
        "denoise",
        "a.png",
        "-o",
        "b.png",
        "-l",
        "5",
        "-t",
        "64",
    ]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        patience = time.monotonic() + 30
        while not list(Path().glob(".*.part/rows")):
            assert process.poll() is None and time.monotonic() < patience
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"hyperrestore: interrupted\n")
    assert names(Path()) == ["a.png"]


def test_a_reader_that_stops_reading_is_no_traceback(tiny_model):
    photo(Path("a.png"))
    photo(Path("b.png"))
    read, write = os.pipe()
    os.close(read)
    command = [
        sys.executable,
        "-m",
        "hyperrestore.cli.main",
        "denoise",
        "a.png",
        "b.png",
        "-o",
        "out",
        "-l",
        "5",
    ]
    command += ["--model", tiny_model]
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=60)
    os.close(write)
    assert (result.returncode, result.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line(tiny_model):
    photo(Path("a.png"))
    command = [sys.executable, "-m", "hyperrestore", "denoise", "a.png", "-o", "b.png", "-l", "5"]
    command += ["--model", tiny_model]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=60)
    assert result.stderr == b"hyperrestore: error: No space left on device\n"
    assert result.returncode != 0


# --- evaluate ---------------------------------------------------------------------------------------


@pytest.fixture
def photos():
    folder = Path("photos")
    folder.mkdir()
    for number in range(2):
        photo(folder / f"{number}.png", seed=number)
    return folder


def test_evaluate_prints_a_table_with_its_protocol(tiny_model, photos, capsys):
    words = ["evaluate", str(tiny_model), str(photos), "--levels", "15,25", "--plot", "curve.png"]
    assert main(words) == 0
    output = capsys.readouterr()
    assert output.err == ""
    protocol, empty, head, *rows = output.out.splitlines()
    assert protocol.startswith("protocol  standard: ") and "seed 0" in protocol and "RGB" in protocol
    assert not empty and head.split()[:4] == ["level", "pictures", "input", "dB"]
    assert [row.split()[0] for row in rows] == ["15", "25"]
    assert pyvips.Image.new_from_file("curve.png").width > 500

    options = ["--protocol", "hyperres", "--grey", "--seed", "3", "-t", "64"]
    assert main([*words[:3], "--levels", "80", "-f", "json", *options]) == 0
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert document["protocol"].startswith("hyperres: ") and "luminance" in document["protocol"]
    assert "seed 3" in document["protocol"] and "tiles of 64" in document["protocol"]
    assert output.err.startswith("hyperrestore: warning: sigma 80") and output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "fragment"),
    [
        (["photos", "-l", "15,strong"], 2, "-l/--levels: 'strong' is not a number"),
        (["photos", "-l", "15,"], 2, "'' is not a number"),
        (["photos", "-l", "15,101"], 2, "from 0 to 100"),
        (["photos", "-l", "nan"], 2, "from 0 to 100"),
        (["photos", "--protocol", "mine"], 2, "protocol 'mine' is unknown; known are standard, hyperres"),
        (["photos", "-f", "xml"], 2, "format 'xml' is unknown; known are text, csv, json"),
        (["photos", "--seed", "-1"], 2, "'-1' is not a whole number of at least 0"),
        (["photos", "--plot", "no/curve.png"], 2, "no/curve.png: the plot cannot be written"),
        (["photos", "--plot", "curve.doc"], 2, "curve.doc: cannot draw .doc"),
        (["photos", "--plot", "photos"], 2, "photos: cannot draw"),
        (["nothing"], 2, "nothing: no such folder"),
        ([""], 2, "a path has no name"),
        (["photos/0.png"], 2, "photos/0.png: no such folder"),
        (["empty"], 2, "empty: holds no pictures"),
        (["small"], 2, "small/a.png: has 10 x 24 pixels; SSIM needs at least 11 x 11"),
        (["damaged"], 1, "damaged/b.png: is not a PNG"),
    ],
)
def test_evaluate_refuses_before_the_slow_work(
    tiny_model, photos, capsys, monkeypatch, words, code, fragment
):
    def never(*arguments, **options):
        raise AssertionError("the slow work has begun")

    monkeypatch.setattr("hyperrestore.measure.evaluate.run_tiled", never)
    for name in ("empty", "small", "damaged"):
        Path(name).mkdir()
    photo(Path("small/a.png"), width=10)
    photo(Path("damaged/a.png"))
    Path("damaged/b.png").write_text("no picture")
    before = names(Path())
    result = main(["evaluate", str(tiny_model), *words])
    output = capsys.readouterr()
    assert fragment in only_error((result, output.out.splitlines(), output.err.splitlines()), code)
    assert names(Path()) == before


# --- train and export -------------------------------------------------------------------------------


def write_training(monkeypatch):
    """A recipe for a tiny network, and photos that are large enough for it."""
    monkeypatch.setattr(hyperrestore.learn.train, "VALIDATION_SIZE", 32)
    Path("tiny.toml").write_text(RECIPE)
    Path("photos").mkdir()
    for number in range(25):
        photo(Path(f"photos/{number}.png"), height=32, width=32, seed=number)
    return ["train", "tiny.toml", "--data", "photos", "--device", "cpu", "--precision", "fp32"]


def test_training_gives_a_model_that_restores(monkeypatch, capsys):
    words = write_training(monkeypatch)
    assert main([*words, "--steps", "2"]) == 0
    assert capsys.readouterr().out == "runs/tiny/model.safetensors\n"
    model = Path("runs/tiny/model.safetensors")
    assert Restorer.load(model).description.history["steps"] == 2

    assert main([*words, "--steps", "2"]) == 2
    said = capsys.readouterr().err
    assert "already holds a training run: continue with --resume, or choose another folder with --out" in said
    assert main([*words, "--steps", "3", "--resume"]) == 0
    assert Restorer.load(model).description.history["steps"] == 3
    assert main([*words, "--minutes", "0.001", "--start-from", str(model), "-o", "second"]) == 0
    assert Restorer.load("second/model.safetensors").description.history["steps"] >= 1
    capsys.readouterr()

    assert main(["denoise", "photos/0.png", "-o", "out.png", "-l", "25", "--model", str(model)]) == 0
    output = capsys.readouterr()
    assert (output.out, output.err) == ("out.png\n", "")
    assert read_picture("out.png").pixels.shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("words", "code", "fragment"),
    [
        (["tiny.toml", "--data", "photos"], 2, "training needs an end"),
        (["tiny.toml", "--data", "photos", "--steps", "0"], 2, "'0' is not a whole number of at least 1"),
        (["tiny.toml", "--data", "photos", "--minutes", "0"], 2, "'0' is not a number above 0"),
        (["tiny.toml", "--data", "photos", "--minutes", "inf"], 2, "'inf' is not a number above 0"),
        (["tiny.toml", "--data", "photos", "--minutes", "soon"], 2, "'soon' is not a number"),
        (["tiny.toml", "--steps", "1"], 2, "required: --data"),
        (["tiny.toml", "--data", "nothing", "--steps", "1"], 2, "nothing: no such folder"),
        (["nothing.toml", "--data", "photos", "--steps", "1"], 2, "nothing.toml: not a readable recipe"),
        (["tiny.toml", "--data", "photos", "--steps", "1", "--device", "toaster"], 2, "device 'toaster'"),
        (["tiny.toml", "--data", "photos", "--steps", "1", "--resume"], 1, "not a readable training state"),
        (
            ["tiny.toml", "--data", "photos", "--steps", "1", "--resume", "--start-from", "m"],
            2,
            "not allowed",
        ),
        (
            ["tiny.toml", "--data", "photos", "--steps", "1", "--start-from", "m"],
            1,
            "m: not a readable model",
        ),
    ],
)
def test_training_refuses_in_one_line(monkeypatch, capsys, words, code, fragment):
    write_training(monkeypatch)
    before = names(Path())
    result = main(["train", *words])
    output = capsys.readouterr()
    assert fragment in only_error((result, output.out.splitlines(), output.err.splitlines()), code)
    assert names(Path()) == before


def test_training_says_what_is_not_installed(monkeypatch, capsys):
    words = write_training(monkeypatch)
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else real(name))
    assert main([*words, "--steps", "1"]) == 2
    assert capsys.readouterr().err == (
        "hyperrestore: error: training needs onnx: pip install 'hyperrestore[torch]'\n"
    )


def test_export_writes_the_graph_beside_the_checkpoint(tiny_model, capsys):
    Path("copy.safetensors").write_bytes(tiny_model.read_bytes())
    photo(Path("a.png"))
    assert main(["denoise", "a.png", "-o", "b.png", "-l", "5", "--model", "copy.safetensors"]) == 1
    assert "hyperrestore export copy.safetensors" in capsys.readouterr().err
    assert not Path("copy-map.onnx").exists()
    assert main(["export", "copy.safetensors"]) == 0
    assert capsys.readouterr().out == "copy.onnx\n"
    assert Path("copy-map.onnx").is_file()
    assert main(["denoise", "a.png", "-o", "b.png", "-l", "5", "--model", "copy.safetensors"]) == 0
    capsys.readouterr()
    assert main(["export", "nothing.safetensors"]) == 1
    assert capsys.readouterr().err.startswith(
        "hyperrestore: error: nothing.safetensors: not a readable model"
    )
