"""Batches: which file becomes which, and one file restored in bounded memory."""

import errno
import functools
import importlib
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import pyvips
from conftest import SIGMA, SOURCE, needs_linux, peak_memory
from hypothesis import given
from hypothesis import strategies as st
from makers import names, photo

import hyperrestore.restore.batch as batch
import hyperrestore.restore.file as one_file
from hyperrestore import PictureInfo, Restorer, read_picture, restore_file
from hyperrestore.errors import FULL, DiskFullError, LevelError, PictureError, UsageError
from hyperrestore.level import Task
from hyperrestore.picture.file import Picture, write_picture
from hyperrestore.picture.formats import SUFFIXES
from hyperrestore.picture.temporary import remove_leftovers
from hyperrestore.picture.vips import writing
from hyperrestore.picture.writer import create_picture
from hyperrestore.restore.batch import Failure, restore_files
from hyperrestore.restore.file import Success
from hyperrestore.restore.folder import find_finished, find_inputs, make_folder, plan_targets

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def folder_benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("folder")


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
    scales = (SIGMA,)

    def __init__(self, backend):
        self.backend = backend
        self.asked = []

    def network(self, levels, *, bits, pixels=None):
        (level,) = levels
        self.asked.append((level, bits))
        return self.backend


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
    found, unreadable, foreign, others, in_folder = find_inputs(
        [Path("in"), Path("c.tif")], out=Path("out"), recursive=True
    )
    assert (unreadable, foreign, others, in_folder) == ([], [], 1, True)
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
        found = find_inputs([Path("in")], out=Path(out), recursive=True).pictures
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
    found, unreadable, *_ = find_inputs([tmp_path], out=tmp_path / "out", recursive=True)
    assert found == [(tmp_path / "a.png", Path("a.png"))]
    assert unreadable == [tmp_path / "locked"]


def test_a_folder_is_made_with_its_parents(tmp_path):
    make_folder(tmp_path / "a/b/c")
    make_folder(tmp_path / "a/b/c")
    assert (tmp_path / "a/b/c").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(PictureError, match="cannot create this folder"):
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

    with pytest.raises(UsageError, match="already exists"):
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
            assert "not enough memory for tiles of 16 pixels; give a smaller tile" in str(caught.value)
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


# --- Many files -------------------------------------------------------------------------------------

KINDS = [(".png", 8), (".jpg", 8), (".tif", 16), (".webp", 8), (".png", 16)]


def mixed(folder, count):
    """Pictures of several formats and sizes, and their places."""
    paths = []
    for number in range(count):
        suffix, bits = KINDS[number % len(KINDS)]
        path = folder / f"{number % 3}" / f"{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(photo(path, height=20 + 7 * number, width=90 - 5 * number, bits=bits, seed=number))
    return paths


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()}


def pairs_of(paths, source, out):
    return [(path, out / path.relative_to(source)) for path in paths]


def test_together_they_become_what_they_become_one_by_one(tmp_path, tiny_model):
    restorer = Restorer.load(tiny_model, precision="fp32")
    paths = mixed(tmp_path / "in", 12)
    paths[4].write_bytes(b"no picture")
    restore = functools.partial(restore_file, restorer, level=25, tile=32)
    pairs = pairs_of(paths, tmp_path / "in", tmp_path / "together")
    results = list(restore_files(restore, pairs, make_folders=True))
    assert [(result.source, result.target) for result in results] == [(str(a), str(b)) for a, b in pairs]
    assert [index for index, result in enumerate(results) if isinstance(result, Failure)] == [4]
    assert "is not a PNG" in str(results[4].error)
    alone = pairs_of(paths, tmp_path / "in", tmp_path / "alone")
    for source, target in alone[:4] + alone[5:]:
        make_folder(target.parent)
        restore(source, target)
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")
    assert len(contents(tmp_path / "alone")) == 11


class Stages:
    """Instead of `restore_file`: decodes, runs the network in turn, and encodes, as long as it is told."""

    def __init__(self, *, before=0.0, network=0.0, after=0.0):
        self.before, self.network, self.after = before, network, after
        self.lock = threading.Lock()
        self.running = self.most = self.networks = self.most_networks = 0
        self.begun = []

    def __call__(self, source, target, *, progress, turn):
        with self.lock:
            self.begun.append(source.name)
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self.before)
        with turn:
            self.networks += 1
            self.most_networks = max(self.most_networks, self.networks)
            time.sleep(self.network)
            progress(1, 1)
            self.networks -= 1
        time.sleep(self.after)
        with self.lock:
            self.running -= 1
        return Success(str(source), str(target), {}, 1, 1, 0, ())


def named(count):
    return [(Path(f"{number}.png"), Path(f"out/{number}.png")) for number in range(count)]


def test_the_network_does_not_wait_for_files():
    stages = Stages(before=0.04, network=0.05, after=0.04)
    start = time.perf_counter()
    assert len(list(restore_files(stages, named(20)))) == 20
    seconds = time.perf_counter() - start
    assert seconds < 0.75 * 20 * (0.04 + 0.05 + 0.04), "one by one takes 2.6 s, the network 1 s"
    assert stages.most_networks == 1
    assert stages.most == batch.IN_FLIGHT


def test_a_slow_file_holds_up_no_other():
    class OneSlow(Stages):
        def __call__(self, source, target, **options):
            if source.name == "0.png":
                while len(self.begun) < 9:  # all the others are begun while it is encoded
                    time.sleep(0.001)
            return super().__call__(source, target, **options)

    results = list(restore_files(OneSlow(), named(10)))
    assert [Path(result.source).name for result in results] == [f"{number}.png" for number in range(10)]


def test_large_pictures_are_alone_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "PIXELS_IN_FLIGHT", 1000)
    pairs = [(photo(tmp_path / f"{n}.png", height=30, width=30), tmp_path / f"out{n}.png") for n in range(4)]
    stages = Stages(before=0.01)
    list(restore_files(stages, pairs))
    assert stages.most == 1
    list(restore_files(stages, pairs, size=lambda width, height: (width // 2, height // 2)))
    assert stages.most == batch.IN_FLIGHT


def test_progress_counts_pixels(tmp_path):
    small, large = photo(tmp_path / "a.png", height=10), photo(tmp_path / "b.png", height=30)
    seen = []
    pairs = [(small, tmp_path / "x.png"), (large, tmp_path / "y.png"), (tmp_path / "no.png", Path("z.png"))]
    list(restore_files(Stages(), pairs, progress=lambda index, share: seen.append((index, share))))
    shares = [share for _, share in seen]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)
    steps = dict(zip((index for index, _ in seen), np.diff([0, *shares]), strict=True))
    assert steps[0] * 3 == pytest.approx(steps[1]) and steps[2] < 0.01


def test_a_large_batch_does_not_wait_for_the_sizes_of_all_its_pictures(monkeypatch):
    begun, opened = threading.Event(), []

    def opens(source, size):
        if len(opened) >= 10:
            assert begun.wait(30)
        opened.append(source)
        return 100

    class Begins(Stages):
        def __call__(self, source, target, **options):
            if source.name == "0.png":
                assert len(opened) == 10
                begun.set()
            return super().__call__(source, target, **options)

    monkeypatch.setattr(batch, "MEASURED_FIRST", 10)
    monkeypatch.setattr(batch, "pixel_count", opens)
    seen, pairs = [], named(40)
    results = list(restore_files(Begins(), pairs, progress=lambda index, share: seen.append(share)))
    assert [Path(result.source) for result in results] == [source for source, _ in pairs] == opened
    assert seen[-1] == pytest.approx(1)
    np.testing.assert_allclose(seen, np.arange(1, 41) / 40)  # all are as large as the first


def test_what_is_closed_opens_no_more_files(monkeypatch):
    opened = []
    monkeypatch.setattr(batch, "MEASURED_FIRST", 5)
    monkeypatch.setattr(batch, "pixel_count", lambda source, size: time.sleep(0.01) or opened.append(1) or 1)
    running = restore_files(Stages(), named(2000))
    next(running)
    running.close()
    time.sleep(0.1)
    count = len(opened)
    time.sleep(0.2)
    assert count == len(opened) < 2000


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), MemoryError()])
def test_what_goes_wrong_with_one_stops_no_other(error):
    class Fails(Stages):
        def __call__(self, source, target, **options):
            if source.name == "1.png":
                raise error
            return super().__call__(source, target, **options)

    results = list(restore_files(Fails(), named(5)))
    assert [isinstance(result, Failure) for result in results] == [False, True, False, False, False]
    assert str(results[1].error).startswith("1.png: cannot be restored (")


def test_sources_and_folders_may_vanish(tmp_path, tiny_model):
    restorer = Restorer.load(tiny_model, precision="fp32")
    sources = [photo(tmp_path / f"{number}.png") for number in range(6)]
    pairs = [(source, tmp_path / source.stem / "out.png") for source in sources]

    def restore(source, target, **options):
        if source == sources[2]:
            source.unlink()
        if source == sources[3]:
            target.parent.rmdir()
        return restore_file(restorer, source, target, 25, **options)

    results = list(restore_files(restore, pairs, make_folders=True))
    assert [isinstance(result, Failure) for result in results] == [False, False, True, True, False, False]
    assert "2.png: cannot be opened" in str(results[2].error)
    assert "cannot be written" in str(results[3].error)


def test_a_folder_that_vanishes_while_the_network_runs_fails_its_picture(tmp_path):
    class Loses(Identity):
        def __call__(self, window, /):
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            return window

    source = photo(tmp_path / "a.png")
    restore = functools.partial(restore_file, Fake(Loses()), level=25)
    (result,) = restore_files(restore, [(source, tmp_path / "out" / "a.png")], make_folders=True)
    assert isinstance(result, Failure) and "out/a.png: cannot be written" in str(result.error)
    assert names(tmp_path) == ["a.png"]


def test_a_full_disk_ends_the_batch():
    class Full(Stages):
        def __call__(self, source, target, **options):
            if source.name == "2.png":
                raise DiskFullError("2.png: cannot be written (No space left on device)")
            return super().__call__(source, target, **options)

    results = list(restore_files(Full(before=0.01), named(50)))
    assert [isinstance(result, Failure) for result in results[:4]] == [False, False, True, False][
        : len(results)
    ]
    assert len(results) <= 3 + batch.IN_FLIGHT


@pytest.mark.parametrize("number", FULL)
@pytest.mark.parametrize("where", ["folder", "temporary file"])
def test_so_does_one_without_room_for_a_folder(tmp_path, monkeypatch, number, where):
    def full(*words, **options):
        raise OSError(number, os.strerror(number))

    class Makes(Stages):
        def __call__(self, source, target, **options):
            if where == "temporary file":
                full()
            return super().__call__(source, target, **options)

    monkeypatch.setattr(Path, "mkdir", full if where == "folder" else lambda *words, **options: None)
    results = list(restore_files(Makes(), named(50), make_folders=True))
    assert len(results) <= 2 * batch.IN_FLIGHT
    assert all(isinstance(result.error, DiskFullError) for result in results)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_apart():
    image = pyvips.Image.black(10, 10)
    with pytest.raises(DiskFullError, match="No space left"), writing(Path("a.png")):
        image.write_to_target(pyvips.Target.new_to_file("/dev/full"), ".png")
    with pytest.raises(DiskFullError, match="No space left"), writing(Path("a.png")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(PictureError) as caught, writing(Path("a.png")):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    assert not isinstance(caught.value, DiskFullError)


@pytest.mark.parametrize("copied", [False, True])
def test_a_disk_that_is_full_only_when_it_writes_for_good_gets_no_file(
    denoiser, tmp_path, monkeypatch, copied
):
    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    pixels = np.full((3, 40, 40), 0.5, np.float32)  # nothing is to be repaired
    write_picture(tmp_path / "a.png", Picture(pixels, None, PictureInfo(40, 40, 3)))
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError, match="No space left"):
        restore_file(denoiser, tmp_path / "a.png", tmp_path / "b.png", None if copied else 20)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_batch_that_is_closed_leaves_only_whole_files(tmp_path):
    class Slow(Identity):
        def __call__(self, window, /):
            time.sleep(0.02)
            return window

    paths = mixed(tmp_path / "in", 9)
    restore = functools.partial(restore_file, Fake(Slow()), level=25, tile=16)
    pairs = pairs_of(paths, tmp_path / "in", tmp_path / "out")
    results = restore_files(restore, pairs, make_folders=True)
    first = next(results)
    results.close()
    made = contents(tmp_path / "out")
    assert Path(first.target).relative_to(tmp_path / "out") in made and len(made) < 9
    for name in made:
        np.testing.assert_array_equal(
            read_picture(tmp_path / "out" / name).pixels.shape,
            read_picture(tmp_path / "in" / name).pixels.shape,
        )
    assert not list(tmp_path.rglob("*.part"))


# --- What killed processes leave --------------------------------------------------------------------


def test_only_what_the_dead_have_left_is_removed(tmp_path):
    info = PictureInfo(4, 4, 3)
    (tmp_path / ".a-abcd1234.part").mkdir()
    (tmp_path / ".a-abcd1234.part" / "rows").touch()
    others = [".b-abcd1234.part", ".c.part", "d-abcd1234.part", "e.part/f"]
    for name in others:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / others[0] / "a-folder").mkdir()
    with create_picture(tmp_path / "alive.png", info) as writer:
        assert remove_leftovers(tmp_path) == 0, "somebody writes into this folder"
        writer.write(np.zeros((3, 4, 4), np.uint8))
    assert (tmp_path / "alive.png").is_file()
    assert remove_leftovers(tmp_path) == 1
    assert names(tmp_path) == [".b-abcd1234.part", ".c.part", "alive.png", "d-abcd1234.part", "e.part"]
    assert remove_leftovers(tmp_path / "missing") == 0


def test_what_is_finished_is_found(tmp_path):
    pairs = [(photo(tmp_path / f"{number}.png"), tmp_path / f"out{number}.png") for number in range(3)]
    assert find_finished(pairs) == ([], [])
    for _, target in pairs[1:]:
        photo(target)
    os.utime(pairs[1][1], (1, 1))
    assert find_finished(pairs) == (pairs[1:], [pairs[1][1]])
    with pytest.raises(UsageError, match="would be replaced by its own result"):
        find_finished([(pairs[0][0], tmp_path / "." / "0.png")])


# --- Nothing to repair ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def denoiser():
    return Restorer.load("denoise", precision="fp32")


def smooth(path, **options):
    """A picture without noise, as other programs write it."""
    ramp = pyvips.Image.xyz(300, 200)
    bands = [(ramp[0] * a + ramp[1] * b).cast("uchar") for a, b in ((0.5, 0.1), (0.2, 0.7), (0.4, 0.4))]
    image = bands[0].bandjoin(bands[1:]).copy(interpretation="srgb")
    image.write_to_file(os.fspath(path), **options)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_what_needs_no_repair_is_copied(tmp_path, denoiser, name):
    source = smooth(tmp_path / name)
    target = tmp_path / f"copy{source.suffix}"
    report = restore_file(denoiser, source, target, None)
    assert target.read_bytes() == source.read_bytes()
    assert report.levels == {} and (report.width, report.height) == (300, 200)
    assert report.notes[0].startswith("nothing was repaired: ") and report.notes[1:] == (
        "copied byte for byte",
    )
    with pytest.raises(UsageError, match="already exists"):
        restore_file(denoiser, source, target, None)
    restore_file(denoiser, source, source, None, overwrite=True)
    assert target.read_bytes() == source.read_bytes()
    assert names(tmp_path) == sorted([name, target.name])


def test_what_is_asked_for_otherwise_is_not_copied(tmp_path, denoiser):
    source = smooth(tmp_path / "a.jpg")
    for name, level, quality in (("b.png", None, None), ("c.jpg", None, 70), ("d.jpg", 0, None)):
        report = restore_file(denoiser, source, tmp_path / name, level, quality=quality)
        assert (tmp_path / name).read_bytes() != source.read_bytes()
        assert "copied byte for byte" not in report.notes


def test_what_is_damaged_is_not_copied(tmp_path, denoiser, monkeypatch):
    whole = smooth(tmp_path / "a.jpg", Q=95).read_bytes()
    source = tmp_path / "cut.jpg"
    source.write_bytes(whole[:-400])
    for held in (one_file.HELD, 0):
        monkeypatch.setattr(one_file, "HELD", held)
        with pytest.raises(PictureError, match="cannot be read"):
            restore_file(denoiser, source, tmp_path / "b.jpg", None)
    assert names(tmp_path) == ["a.jpg", "cut.jpg"]


def test_levels_are_found_in_the_rows_that_are_restored(tmp_path, denoiser, monkeypatch):
    source = photo(tmp_path / "a.png", height=200, width=300)
    streamed = tmp_path / "streamed.png"
    with monkeypatch.context() as patch:
        patch.setattr(one_file, "HELD", 0)
        found = restore_file(denoiser, source, streamed, None)
    monkeypatch.setattr("hyperrestore.detect.findings.open_picture", None)  # it is not decoded again
    report = restore_file(denoiser, source, tmp_path / "held.png", None)
    assert report.levels == found.levels and report.notes == found.notes
    assert (tmp_path / "held.png").read_bytes() == streamed.read_bytes()


# --- Killed -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_batch_that_is_killed_goes_on_to_the_same_folder(tmp_path, folder_benchmark):
    """500 mixed pictures, the real network, killed five times at random."""
    kinds = list(folder_benchmark.KINDS)
    paths = folder_benchmark.draw_folder(tmp_path / "in", 480, (0.1, 1), kinds)
    paths += folder_benchmark.draw_folder(tmp_path / "in" / "large", 20, (1, 24), kinds, seed=1)

    def command(out):
        words = ["denoise", str(tmp_path / "in"), "-o", str(tmp_path / out), "-r", "-l", "20"]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        return subprocess.Popen(
            [sys.executable, "-m", "hyperrestore", *words],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment,
        )  # fmt: skip

    start = time.monotonic()
    with command("whole") as process:
        assert process.communicate()[1] == b"" and process.returncode == 0
    seconds = time.monotonic() - start
    generator = random.Random()
    left = 0
    for _ in range(5):
        with command("parts") as process:
            time.sleep(2 + generator.uniform(0, seconds / 7))
            process.kill()
            process.communicate()
        assert process.returncode == -9
        left += len(list((tmp_path / "parts").rglob("*.part")))
    with command("parts") as process:
        process.communicate()
        assert process.returncode == 0
    assert left, "it was killed while it wrote"
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert len(contents(tmp_path / "whole")) == len(paths) == 500
    assert not list(tmp_path.rglob("*.part"))


# --- Memory -----------------------------------------------------------------------------------------


@needs_linux
def test_memory_does_not_grow_with_the_picture(tmp_path):
    peaks = []
    for height in (8000, 16000):
        ramp = pyvips.Image.xyz(1000, height)
        grey = ((ramp[0] * 0.1 + ramp[1] * 0.05) % 256).cast("uchar")
        colour = grey.bandjoin([grey, grey]).copy(interpretation="srgb")
        colour.write_to_file(os.fspath(tmp_path / "in.jpg"))
        peaks.append(peak_memory(Task.DENOISE, tmp_path / "in.jpg", tmp_path / "out.jpg", 25, tile=256))
    picture = 3 * 1000 * (16000 - 8000) / 2**20  # MiB by which the pictures differ, 8 bits a sample
    assert peaks[1] - peaks[0] < picture / 3


@pytest.mark.slow
@needs_linux
@pytest.mark.parametrize("kind", ["jpg", "progressive", "png16", "tif16", "webp"])
def test_a_hundred_megapixels_leave_room_for_the_network(tmp_path, folder_benchmark, kind):
    """Of two gigabytes the network takes 0.9: `benchmarks/folder.py --memory` measures both together."""
    suffix, bits, options = folder_benchmark.KINDS[kind]
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    folder_benchmark.draw(source, 12_250, 8_165, bits, seed=0, options=options)
    assert peak_memory(Task.DENOISE, source, target, 10, tile=1536) < 1.1 * 1024
