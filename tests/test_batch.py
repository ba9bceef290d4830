"""Batches: which file becomes which, and one file restored in bounded memory."""

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperrestore.batch as batch
from hyperrestore import PictureInfo, Restorer, read_picture, restore_file
from hyperrestore.batch import find_inputs, make_folder, plan_targets
from hyperrestore.errors import LevelError, PictureError, UsageError
from hyperrestore.level import Task
from hyperrestore.picture import SUFFIXES, Picture, write_picture

SOURCE = Path(batch.__file__).parents[1]


@dataclass(frozen=True)
class Identity:
    """A network that changes nothing, but sees far."""

    halo: int = 5
    multiple: int = 4

    def __call__(self, window, /):
        return window


class Fake:
    """A Restorer whose networks are given."""

    task = Task.DENOISE

    def __init__(self, backend):
        self.backend = backend
        self.asked = []

    def at(self, level, *, bits):
        self.asked.append((level, bits))
        return self.backend


def photo(path, *, channels=3, height=24, width=36, bits=8, seed=0):
    values = np.random.default_rng(seed).random((channels, height, width), np.float32)
    write_picture(path, Picture(values, None, PictureInfo(width, height, channels, bits)))
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- Targets ----------------------------------------------------------------------------------------


def plan(sources, out, **options):
    return [
        target.as_posix()
        for _, target in plan_targets(
            [(Path(source), Path(Path(source).name)) for source in sources], out, **options
        )
    ]


def test_one_picture_is_written_to_the_file_or_into_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("folder.png").mkdir()
    assert plan(["a.jpg"], "b.png") == ["b.png"]
    assert plan(["a.jpg"], "b.png", suffix=".png") == ["b.png"]
    assert plan(["a.jpg"], "b.unknown") == ["b.unknown"], "whoever writes it refuses it"
    assert plan(["a.jpg"], "folder") == ["folder/a.jpg"]
    assert plan(["a.jpg"], "folder", suffix=".png") == ["folder/a.png"]
    assert plan(["a.jpg"], "folder.png") == ["folder.png/a.jpg"]
    assert plan(["deep/a.b.jpg"], "new/", suffix=".png") == ["new/a.b.png"]
    assert plan(["a.jpg"], ".") == ["a.jpg"]


def test_a_backslash_ends_a_folder_only_on_windows(monkeypatch):
    if os.sep == "/":
        assert plan(["a.jpg"], "odd.png\\") == ["odd.png\\"]
    monkeypatch.setattr(os, "altsep", "\\")
    assert PureWindowsPath(plan(["a.jpg"], "new\\")[0]).name == "a.jpg"


def test_several_pictures_go_into_a_folder():
    assert plan(["x/a.jpg", "b.PNG", "c"], "new") == ["new/a.jpg", "new/b.PNG", "new/c"]
    assert plan(["x/a.jpg", "b.PNG"], "new", suffix=".tif") == ["new/a.tif", "new/b.tif"]


@given(st.lists(st.sampled_from("abcd"), min_size=2), st.sampled_from([None, *SUFFIXES]))
def test_no_two_pictures_share_a_target(stems, suffix):
    sources = [Path(f"{number % 2}/{stem}.png") for number, stem in enumerate(stems)]
    try:
        pairs = plan_targets([(source, Path(source.name)) for source in sources], "new", suffix=suffix)
    except UsageError as error:
        assert len(set(stems)) < len(stems) and "would both be written to" in str(error)
    else:
        assert [source for source, _ in pairs] == sources
        assert len({target for _, target in pairs}) == len(set(stems)) == len(stems)


def test_links_do_not_lead_to_the_file_of_another_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/a.png").symlink_to("../b.png")
    with pytest.raises(UsageError, match=r"a\.png would be written to out/a\.png, which is the input b\.png"):
        plan(["a.png", "b.png"], "out/")
    Path("out/c.png").symlink_to("d.png")
    with pytest.raises(UsageError, match=r"c\.png and d\.png would both be written to out/d\.png"):
        plan(["c.png", "d.png"], "out")
    assert plan(["b.png", "c.png"], ".") == ["b.png", "c.png"]


def touch(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_are_searched_and_mirrored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch("in/b.PNG", "in/deep/er/a.jpg", "in/deep/a.jpg", "in/notes.txt", "in/.hidden.png", "c.tif")
    found, unreadable = find_inputs([Path("in"), Path("c.tif")], out=Path("out"), recursive=True)
    assert unreadable == []
    assert [(source.as_posix(), place.as_posix()) for source, place in found] == [
        ("in/b.PNG", "b.PNG"),
        ("in/deep/a.jpg", "deep/a.jpg"),
        ("in/deep/er/a.jpg", "deep/er/a.jpg"),
        ("c.tif", "c.tif"),
    ]
    targets = [target.as_posix() for _, target in plan_targets(found, "out/", suffix=".png")]
    assert targets == ["out/b.png", "out/deep/a.png", "out/deep/er/a.png", "out/c.png"]


def test_results_below_the_input_and_loops_of_links_are_no_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch("in/a.png", "in/out/a.png", "in/out/deep/b.png")
    Path("in/loop").symlink_to(".")
    Path("in/link.png").symlink_to("a.png")
    for out in ("in/out", "in/loop/out/"):
        found, _ = find_inputs([Path("in")], out=Path(out), recursive=True)
        assert [place.as_posix() for _, place in found] == ["a.png", "link.png"]


def test_folders_are_refused_without_recursion_or_pictures(tmp_path):
    with pytest.raises(UsageError, match="is a folder; give -r"):
        find_inputs([tmp_path], out=Path("out"), recursive=False)
    with pytest.raises(UsageError, match="holds no pictures"):
        find_inputs([tmp_path], out=Path("out"), recursive=True)


def test_folders_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    touch(tmp_path / "a.png", tmp_path / "locked" / "b.png")
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read every folder
    found, unreadable = find_inputs([tmp_path], out=tmp_path / "out", recursive=True)
    assert found == [(tmp_path / "a.png", Path("a.png"))]
    assert unreadable == [tmp_path / "locked"]


def test_a_folder_is_made_with_its_parents(tmp_path):
    make_folder(tmp_path / "a/b/c")
    make_folder(tmp_path / "a/b/c")
    assert (tmp_path / "a/b/c").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(PictureError, match="cannot make this folder"):
        make_folder(tmp_path / "file/c")


# --- One file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("tile", [1, 7, 16, 1000])
def test_an_identity_keeps_every_sample(tmp_path, bits, channels, tile):
    source = photo(tmp_path / "a.png", channels=channels, bits=bits, height=23, width=31)
    restorer, seen = Fake(Identity()), []
    report = restore_file(
        restorer, source, tmp_path / "b.png", 25, tile=tile, progress=lambda *step: seen.append(step)
    )
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png").pixels, read_picture(source).pixels)
    assert restorer.asked == [(25, bits)]
    done, totals = zip(*seen, strict=True)
    assert done == tuple(range(1, totals[0] + 1)) and set(totals) == {done[-1]}
    assert (report.source, report.target) == (str(source), str(tmp_path / "b.png"))
    assert (report.width, report.height, report.levels, report.notes) == (31, 23, {"denoise": 25}, ())
    assert report.seconds >= 0


def test_a_file_is_restored_as_a_picture_in_memory(tmp_path, tiny_model):
    restorer = Restorer.load(tiny_model, precision="fp32")
    source = photo(tmp_path / "a.png", bits=16, height=70)
    report = restore_file(restorer, str(source), str(tmp_path / "b.png"), 30, tile=32)
    restored = restorer(read_picture(source), 30)
    assert isinstance(restored, Picture) and restored.info.bits == 16
    np.testing.assert_allclose(read_picture(tmp_path / "b.png").pixels, restored.pixels, atol=2 / 65535)
    assert (report.source, report.target) == (str(source), str(tmp_path / "b.png"))


def test_what_changes_is_noted(tmp_path):
    source = photo(tmp_path / "a.png", bits=16)
    report = restore_file(Fake(Identity()), source, tmp_path / "b.jpg", 25)
    assert report.notes == ("rounded from 16 to 8 bits, the most that JPEG holds",)


def test_a_file_may_replace_itself(tmp_path):
    source = photo(tmp_path / "a.png", height=300)
    before = read_picture(source).pixels

    class Inverse(Identity):
        def __call__(self, window, /):
            return 1 - window

    with pytest.raises(UsageError, match="exists already"):
        restore_file(Fake(Inverse()), source, source, 25)
    np.testing.assert_array_equal(read_picture(source).pixels, before)
    restore_file(Fake(Inverse()), source, source, 25, tile=16, overwrite=True)
    np.testing.assert_allclose(read_picture(source).pixels, 1 - before, atol=1e-6)
    assert names(tmp_path) == ["a.png"]


class Broken(Identity):
    """A network that fails at its third window."""

    def __init__(self, error):
        super().__init__()
        object.__setattr__(self, "error", error)
        object.__setattr__(self, "calls", [])

    def __call__(self, window, /):
        self.calls.append(window)
        if len(self.calls) == 3:
            raise self.error
        return window


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (RuntimeError("a fault of ours"), RuntimeError),
        (MemoryError(), PictureError),
    ],
)
def test_a_failure_leaves_nothing_and_keeps_the_old_file(tmp_path, error, expected):
    source = photo(tmp_path / "a.png", height=100)
    (tmp_path / "b.png").write_text("old")
    for target in ("b.png", "c.png"):
        with pytest.raises(expected) as caught:
            restore_file(Fake(Broken(error)), source, tmp_path / target, 25, tile=16, overwrite=True)
        if expected is PictureError:
            assert "memory does not suffice for tiles of 16 pixels; give a smaller tile" in str(caught.value)
    assert names(tmp_path) == ["a.png", "b.png"]
    assert (tmp_path / "b.png").read_text() == "old"


def test_what_cannot_be_done(tmp_path, tiny_model):
    source = photo(tmp_path / "a.png")
    restorer = Restorer.load(tiny_model)
    cases = [
        (LevelError, {"level": 101}),
        (LevelError, {"level": float("nan")}),
        (LevelError, {"level": "strong"}),
        (UsageError, {"tile": 0}),
        (UsageError, {"quality": 101}),
        (UsageError, {"target": tmp_path / "b.gif"}),
        (UsageError, {"target": source}),
        (UsageError, {"target": tmp_path}),
        (PictureError, {"target": tmp_path / "no/b.png"}),
        (PictureError, {"source": tmp_path / "no.png"}),
        (PictureError, {"source": tmp_path}),
        (PictureError, {"max_pixels": 36 * 24 - 1}),
    ]
    for error, changed in cases:
        words = {"source": source, "target": tmp_path / "b.jpg", "level": 25} | changed
        with pytest.raises(error):
            restore_file(restorer, words.pop("source"), words.pop("target"), words.pop("level"), **words)
        assert names(tmp_path) == ["a.png"]
    restore_file(restorer, source, tmp_path / "b.jpg", 25, max_pixels=36 * 24)


def test_threads_share_a_restorer(tmp_path, tiny_model):
    restorer = Restorer.load(tiny_model, precision="fp32")
    sources = [photo(tmp_path / f"{number}.png", seed=number) for number in range(4)]

    def work(number):
        restore_file(restorer, sources[number], tmp_path / f"thread-{number}.png", 20 + 5 * number, tile=16)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, source in enumerate(sources):
        restore_file(restorer, source, tmp_path / "alone.png", 20 + 5 * number, tile=16, overwrite=True)
        alone = read_picture(tmp_path / "alone.png").pixels
        np.testing.assert_array_equal(alone, read_picture(tmp_path / f"thread-{number}.png").pixels)


# --- Memory -----------------------------------------------------------------------------------------

MEASURE = """
import resource, sys
import pyvips
from hyperrestore import restore_file
from hyperrestore.level import Task

class Identity:
    halo, multiple, task = 32, 8, Task.DENOISE
    def __call__(self, window):
        return window
    def at(self, level, *, bits):
        return self

height, folder = int(sys.argv[1]), sys.argv[2]
ramp = pyvips.Image.xyz(1000, height)
picture = ((ramp[0] * 0.1 + ramp[1] * 0.05) % 256).cast("uchar")
picture.bandjoin([picture, picture]).copy(interpretation="srgb").jpegsave(folder + "/in.jpg")
restore_file(Identity(), folder + "/in.jpg", folder + "/out.jpg", 25, tile=256, overwrite=True)
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from Linux")
def test_memory_does_not_grow_with_the_picture(tmp_path):
    peaks = []
    for height in (8000, 16000):
        result = subprocess.run(
            [sys.executable, "-c", MEASURE, str(height), str(tmp_path)],
            capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(SOURCE)}, timeout=60,
        )  # fmt: skip
        assert not result.stderr
        peaks.append(int(result.stdout) / 1024)
    picture = 3 * 1000 * (16000 - 8000) / 2**20  # MiB by which the pictures differ, 8 bits a sample
    assert peaks[1] - peaks[0] < picture / 3
