"""A folder for a cluster, without one: what is found meanwhile, its report, what workers refuse."""

import argparse
import gc
import itertools
import json
import os
import pickle
import subprocess
import sys
import threading
import types
from collections import deque
from pathlib import Path

import fsspec
import pytest
from makers import photo

import hyperrestore.restore.worker as worker
from hyperrestore.cli.arguments.values import worker_cpus
from hyperrestore.cli.main import main
from hyperrestore.cli.stream import _sum_up
from hyperrestore.errors import DiskFullError, PictureError, UsageError
from hyperrestore.restore.batch import Failure
from hyperrestore.restore.cluster import connected
from hyperrestore.restore.crew import check_room
from hyperrestore.restore.file import Success
from hyperrestore.restore.folder import find_inputs, plan_targets
from hyperrestore.restore.hand_out import abandon, restore_stream
from hyperrestore.restore.ledger import Ledger
from hyperrestore.restore.place import place_of
from hyperrestore.restore.report import write_report
from hyperrestore.restore.stream import AHEAD, Ahead, Found, check_stream, stream_folder


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    for name in ("b/2.png", "b/c/1.jpg", "a/3.tif", "0.webp", "z.png", "a-/4.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        photo(folder / name)
    (folder / "z.png").rename(folder / "z")
    (folder / "old.gif").write_bytes(b"GIF89a" + bytes(20))
    (folder / "note.txt").write_text("a note")
    (folder / ".hidden.png").write_bytes(b"hidden")
    return folder


class Stand:
    """A crew without a cluster, one picture at a time."""

    def __init__(self, restore):
        self.waiting, self._restore, self._held = deque(), restore, []

    has_idle = property(lambda self: not self._held)
    is_busy = property(lambda self: bool(self._held))

    def give(self):
        self._held.append(self.waiting.popleft())

    def hire(self, pictures):
        pass

    def dismiss_idle(self):
        pass

    def finished(self, seconds):
        picture = self._held.pop()
        outcome = self._restore(picture)
        if outcome is None:  # its worker died
            self.waiting.append(picture)
            return []
        return [(picture, outcome)]

    def end(self):
        ended, self._held = [(picture, None) for picture in self._held], []
        return ended


def made(picture):
    return Success(str(picture.source), str(picture.target), {"denoise": 5.0}, 36, 24, 0.5, ())


# --- What is found --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [None, ".png"])
@pytest.mark.parametrize("stored", [False, True])
def test_a_stream_finds_what_a_plan_finds(scans, tmp_path, suffix, stored):
    folder, out = str(scans), str(tmp_path / "out")
    if stored:
        fsspec.filesystem("memory").put(f"{scans}/", "memory://bucket/stream/", recursive=True)
        folder, out = "memory://bucket/stream", "memory://bucket/stream/out"
    found = find_inputs([place_of(folder)], out=place_of(out), recursive=True)
    planned = plan_targets(found.pictures, out, suffix=suffix, in_folder=True)
    streamed = list(stream_folder(place_of(folder), place_of(out), suffix=suffix))
    pictures = sorted((one for one in streamed if one.kind == "picture"), key=lambda one: one.order)
    assert [(one.source, one.target) for one in pictures] == planned
    assert [(one.source, one.words) for one in streamed if one.kind == "foreign"] == found.foreign
    assert sum(one.kind == "other" for one in streamed) == found.others


def test_two_pictures_for_one_result_are_refused_and_others_are_not(scans, tmp_path):
    photo(scans / "a" / "3.jpg")
    streamed = list(stream_folder(scans, tmp_path / "out", suffix=".png"))
    refused = [one for one in streamed if one.kind == "refused"]
    assert sorted(one.source.name for one in refused) == ["3.jpg", "3.tif"]
    assert all("would all be written to" in one.words for one in refused)
    assert sum(one.kind == "picture" for one in streamed) == 5


def test_existing_results_are_skipped_and_older_ones_noted(scans, tmp_path):
    out = tmp_path / "out"
    (out / "b").mkdir(parents=True)
    (out / "b" / "2.png").write_bytes(b"a result")
    os.utime(out / "b" / "2.png", (1, 1))
    (skipped,) = (one for one in stream_folder(scans, out) if one.kind == "skipped")
    assert skipped.source == scans / "b" / "2.png" and skipped.older
    assert not [one for one in stream_folder(scans, out, overwrite=True) if one.kind == "skipped"]


def test_shards_of_a_stream_are_disjoint(scans, tmp_path):
    parts = [
        {one.source for one in stream_folder(scans, tmp_path / "out", shard=(k, 3)) if one.kind == "picture"}
        for k in (1, 2, 3)
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 6


def test_a_shard_without_pictures_is_done_and_a_folder_without_is_refused(scans, tmp_path, capsys):
    empty = next(
        (k, 50)
        for k in range(1, 51)
        if not any(one.kind == "picture" for one in stream_folder(scans, tmp_path / "out", shard=(k, 50)))
    )
    ledger = Ledger()
    for one, outcome in restore_stream(
        Ahead(stream_folder(scans, tmp_path / "out", shard=empty)), Stand(made)
    ):
        ledger.note(one, outcome)
    assert _sum_up(ledger, scans, empty) == 0
    assert f"part {empty[0]} of 50: 0 of 6 pictures\n" in capsys.readouterr().err
    with pytest.raises(UsageError, match="holds no pictures"):
        _sum_up(Ledger(), scans, empty)


def test_a_folder_that_changes_while_it_is_read(scans, tmp_path):
    """What is added or vanishes meanwhile is found or not, but nothing is found twice."""
    (scans / "a" / "b").mkdir()
    streamed = []
    for one in stream_folder(scans, tmp_path / "out"):
        streamed.append(one)
        if len(streamed) == 1:
            photo(scans / "0-new.png")
            (scans / "new").mkdir()
            photo(scans / "new" / "1.png")
            (scans / "z").unlink()
            (scans / "a" / "b").rmdir()
            (scans / "b" / "2.png").unlink()
    sources = [one.source for one in streamed if one.kind == "picture"]
    assert len(set(sources)) == len(sources)
    assert {scans / "0.webp", scans / "a" / "3.tif", scans / "b" / "c" / "1.jpg"} <= set(sources)


ODD = (
    "a b",
    'it\'s "#?%*[x]"',
    "-l",
    "~",
    "$HOME",
    "line\nbreak",
    "\u00e9",
    "\udcff",
    "n" * 251,
    "\u6f22" * 83,
)


def test_odd_names_come_through(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ODD:
        (folder / name[:80]).mkdir(parents=True)
        photo(folder / "picture.png").rename(folder / name[:80] / f"{name}.png")
    ledger = Ledger()
    for one, outcome in restore_stream(Ahead(stream_folder(folder, out)), Stand(made)):
        assert pickle.loads(pickle.dumps(one)) == one
        ledger.note(one, outcome)
    about = {"models": {}, "settings": {}, "seconds": 1, "complete": True}
    ledger.write_report(tmp_path / "report.json", **about)
    entries = json.loads((tmp_path / "report.json").read_text())["pictures"]
    assert {entry["target"] for entry in entries} == {str(out / name[:80] / f"{name}.png") for name in ODD}


def test_results_among_the_pictures_are_refused(scans, tmp_path):
    for out in (scans, tmp_path):
        with pytest.raises(UsageError, match="holds the pictures themselves"):
            check_stream(scans, out, None)
    check_stream(scans, scans / "restored", ".png")


# --- What becomes of it ---------------------------------------------------------------------------------


def test_a_ledger_writes_the_report_of_a_batch(scans, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    photo(out / "0.webp")
    found = find_inputs([scans], out=out, recursive=True)
    pairs = plan_targets(found.pictures, str(out), in_folder=True)
    bad = PictureError("bad\nname")
    results = [
        Failure(str(source), str(target), bad)
        if source.name == "z"
        else made(Found("picture", source, 0, target))
        for source, target in pairs[1:]
    ]
    about = {"models": {"denoise": "denoise"}, "settings": {"level": 5}, "seconds": 1.5, "complete": True}
    write_report(
        tmp_path / "batch.json", pairs[1:], results, skipped=pairs[:1], foreign=found.foreign,
        others=found.others, **about,
    )  # fmt: skip

    def restore(one):
        return Failure(str(one.source), str(one.target), bad) if one.source.name == "z" else made(one)

    ledger = Ledger()
    for one, outcome in restore_stream(Ahead(stream_folder(scans, out)), Stand(restore)):
        ledger.note(one, outcome)
    ledger.write_report(tmp_path / "stream.json", **about)
    ledger.close()
    assert (tmp_path / "stream.json").read_text() == (tmp_path / "batch.json").read_text()


def test_a_picture_whose_worker_died_is_restored_once(scans, tmp_path):
    tries = []

    def restore(one):
        tries.append(one.source)
        return None if tries.count(one.source) == 1 else made(one)

    finished = list(restore_stream(Ahead(stream_folder(scans, tmp_path / "out")), Stand(restore)))
    done = [one.source for one, outcome in finished if outcome is not None]
    assert len(done) == len(set(done)) == 6 and len(tries) == 12


def test_what_is_not_restored_is_left(scans, tmp_path):
    crew, found = Stand(made), Ahead(stream_folder(scans, tmp_path / "out"))
    stream = restore_stream(found, crew)
    first = [next(stream)]
    while first[-1][1] is None:
        first.append(next(stream))
    rest = [outcome for _, outcome in abandon(found, crew) if outcome is not None]
    assert rest == ["left"] * 5


def test_what_is_interrupted_lists_no_further():
    """However large the rest of the folder is; an error in it is no longer of interest."""

    def endless():
        yield from (Found("picture", Path(f"in/{n}.png"), n, Path(f"out/{n}.png")) for n in range(AHEAD))
        asked.wait()
        yield from (
            Found("picture", Path(f"in/{n}.png"), n, Path(f"out/{n}.png")) for n in itertools.count(AHEAD)
        )

    asked = threading.Event()
    crew, found = Stand(made), Ahead(endless())
    stream = restore_stream(found, crew)
    assert [next(stream)[1] is None for _ in range(3)] == [False] * 3
    found.close()
    asked.set()
    left = list(abandon(found, crew))
    assert 0 < len(left) <= 2 * AHEAD and {outcome for _, outcome in left} == {"left"}

    failing = Ahead(broken(PictureError("no answer")))
    failing.close()
    assert list(abandon(failing, Stand(made))) == []


def broken(error):
    """A listing that fails."""
    yield from ()
    raise error


@pytest.mark.parametrize("error", [PictureError("no answer"), OSError("no answer"), KeyError("no answer")])
def test_an_error_of_the_listing_is_raised(error):
    with pytest.raises(type(error), match="no answer"):
        list(restore_stream(Ahead(broken(error)), Stand(made)))


def test_a_full_disk_starts_no_further_picture(scans, tmp_path):
    def restore(picture):
        full = picture.source.name == "2.png"
        error = DiskFullError("full")
        return Failure(str(picture.source), str(picture.target), error) if full else made(picture)

    found = list(restore_stream(Ahead(stream_folder(scans, tmp_path / "out")), Stand(restore)))
    outcomes = [outcome for _, outcome in found if outcome is not None]
    first = next(n for n, outcome in enumerate(outcomes) if isinstance(outcome, Failure))
    assert outcomes[first + 1 :] == ["left"] * (5 - first)


def test_a_full_disk_for_temporary_files_is_said():
    ledger = Ledger()
    ledger._rows.execute("PRAGMA max_page_count = 4")
    with pytest.raises(DiskFullError, match="the report does not fit on the disk for temporary files"):
        for number in range(1000):
            one = Found("picture", Path(f"in/{number}.png"), number, Path(f"out/{number}.png"))
            ledger.note(one, made(one))


def test_what_is_held_does_not_grow_with_the_number_of_pictures():
    count = 6 * AHEAD
    found = (Found("picture", Path(f"in/{n}.png"), n, Path(f"out/{n}.png")) for n in range(count))
    ledger = Ledger()
    for one, outcome in restore_stream(Ahead(found), Stand(made)):
        ledger.note(one, outcome)
        if one.order == count // 2:
            held = sum(type(each) in (Found, Success) for each in gc.get_objects())
            assert held < AHEAD + 20
    assert ledger.statuses["restored"] == count
    ledger.close()


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "0.001", "nan", "inf", "1e999", "many", ""])
def test_cpus_that_no_worker_can_have_are_refused(text):
    assert [worker_cpus(word) for word in ("1", "4", "0.5", "0.01")] == [1, 4, 0.5, 0.01]
    with pytest.raises(argparse.ArgumentTypeError):
        worker_cpus(text)


def test_workers_for_which_there_will_never_be_room_are_refused():
    check_room({"CPU": 2, "GPU": 0}, {"CPU": 2.0, "memory": 1e9})
    with pytest.raises(
        UsageError, match="this machine has 2 CPU, a worker needs 1000; give fewer --worker-cpus"
    ):
        check_room({"CPU": 1000, "GPU": 0}, {"CPU": 2.0})
    with pytest.raises(UsageError, match=r"this machine has 0 GPU, a worker needs 0\.25; give --device"):
        check_room({"CPU": 1, "GPU": 0.25}, {"CPU": 2.0})


def test_other_versions_are_refused():
    versions = worker.versions()
    worker.check_versions(versions)
    with pytest.raises(
        UsageError, match=r"has openvino .*, and the machine with the command 1\.0; install the"
    ):
        worker.check_versions({**versions, "openvino": "1.0"})


def test_other_weights_are_refused(tiny_model, tmp_path):
    worker.check_weights(worker.digests([tiny_model]))
    with pytest.raises(
        UsageError, match=r"model .*tiny.* has other weights \(.{8}\) than on the machine with"
    ):
        worker.check_weights({str(tiny_model): "0" * 64})
    with pytest.raises(
        UsageError, match=r"missing cannot be read \(No such file or directory\); copy it there"
    ):
        worker.check_weights({str(tmp_path / "missing"): ""})


def test_folders_that_a_machine_does_not_see_are_refused(tmp_path):
    worker.check_places(tmp_path, tmp_path, tmp_path)
    with pytest.raises(
        PictureError, match="missing: there is no such folder; all machines of a cluster must"
    ):
        worker.check_places(tmp_path / "missing", tmp_path, tmp_path)
    with pytest.raises(
        PictureError, match="is not the folder of the command; all machines of a cluster must"
    ):
        worker.check_places(tmp_path, tmp_path, tmp_path / "marker")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="only root can become someone else")
@pytest.mark.parametrize(
    ("modes", "words"), [((0o700, 0o777), "no permission to read"), ((0o755, 0o755), "cannot be written to")]
)
def test_folders_without_permission_are_refused(tmp_path, modes, words):
    folders = [tmp_path / "in", tmp_path / "out"]
    for parent in tmp_path.parents[:-2]:
        if parent.stat().st_uid == 0 and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o055)
    tmp_path.chmod(0o755)
    for folder, mode in zip(folders, modes, strict=True):
        folder.mkdir()
        folder.chmod(mode)
    child = os.fork()
    if not child:
        os.setuid(65534)
        try:
            worker.check_places(folders[0], folders[1], folders[1])
        except PictureError as error:
            os._exit(0 if words in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_worker_restores_and_keeps_what_others_made(tmp_path, tiny_model):
    source, target = photo(tmp_path / "a.png"), tmp_path / "out" / "a.png"
    words = [
        "denoise",
        str(tmp_path),
        "-r",
        "-l",
        "5",
        "--model",
        str(tiny_model),
        "-o",
        str(tmp_path / "out"),
    ]
    from functools import partial

    from hyperrestore.cli.arguments.parser import parser
    from hyperrestore.cli.restore import on_worker

    order = worker.Order(
        versions=worker.versions(), folder=str(Path.cwd()), keeps=True, threads=1,
        models=worker.digests([tiny_model]), places=pickle.dumps((tmp_path, tmp_path, tmp_path)),
        recipe=pickle.dumps(partial(on_worker, parser().parse_args(words))),
    )  # fmt: skip
    program = (
        "import pickle, sys\n"
        "from hyperrestore.restore.worker import Worker\n"
        "order, source, target = pickle.load(sys.stdin.buffer)\n"
        "hand = Worker()\n"
        "hand.prepare(order)\n"
        "print([type(hand.restore(source, target, again)).__name__ for again in (False, False, True)])"
    )
    given = pickle.dumps((vars(order), source, target))
    result = subprocess.run([sys.executable, "-c", program], input=given, capture_output=True, timeout=60)
    assert result.stdout.decode().strip() == "['Success', 'NoneType', 'Success']", result.stderr
    assert main([*words[:-1], str(tmp_path / "alone")]) == 0
    assert target.read_bytes() == (tmp_path / "alone" / "a.png").read_bytes()


# --- The command ----------------------------------------------------------------------------------------


def test_without_ray_the_command_says_what_to_install(scans, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["denoise", str(scans), "-r", "-l", "5", "-o", str(tmp_path / "out"), "--cluster"]) == 2
    said = capsys.readouterr().err
    assert said == "hyperrestore: error: --cluster needs Ray: pip install 'hyperrestore[cluster]'\n"


@pytest.mark.parametrize("error", [Exception("timed out\nat length"), ConnectionError("timed out")])
def test_a_cluster_that_does_not_start_is_said(monkeypatch, error):
    def init(**options):
        raise error

    ray = types.ModuleType("ray")
    ray.init, ray.shutdown = init, lambda: None
    theirs = types.ModuleType("ray._private.worker")
    modules = {"ray": ray, "ray._private": types.ModuleType("ray._private"), "ray._private.worker": theirs}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    ray._private, modules["ray._private"].worker = modules["ray._private"], theirs
    for name in ("RAY_worker_niceness", "RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):
        monkeypatch.setenv(name, "0")
    with pytest.raises(UsageError, match=r"^cluster local: timed out; give HOST:PORT"), connected("local"):
        pass


@pytest.mark.parametrize("named", ["word", "variable"])
@pytest.mark.parametrize(
    "address",
    [
        *("", "nonsense", ":6379", "host:", "host:port", "ray://host:10001", "a..b:1", f"{'a' * 70}:6379"),
        *("127.0.0.1:0", "127.0.0.1:99999"),
    ],
)
def test_an_address_where_no_cluster_can_be(scans, tmp_path, monkeypatch, capsys, address, named):
    if named == "variable" and address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        address = "auto"
    words = ["denoise", str(scans), "-r", "-l", "5", "-o", str(tmp_path / "out"), "--cluster", address]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("hyperrestore: error: cluster ") and error.count("\n") == 1
    assert "give HOST:PORT of a running cluster's head" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{in}", "-o", "{out}", "--cluster"), "--cluster restores one folder: give FOLDER -r -o OUT"),
        (("{in}", "{in}", "-r", "-o", "{out}", "--cluster"), "--cluster restores one folder"),
        (("{in}", "-r", "-o", "{out}", "--device", "cuda:1", "--cluster"), "give --device cuda"),
        (("{in}", "-r", "-o", "{in}", "--cluster"), "holds the pictures themselves"),
    ],
)
def test_what_a_cluster_cannot_do(scans, tmp_path, capsys, words, said):
    places = {"in": scans, "out": tmp_path / "out"}
    assert main(["denoise", "-l", "5", *(word.format(**places) for word in words)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
