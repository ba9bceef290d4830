"""Object storage: pictures are fetched, restored and put back as whole files, as in local folders."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import pytest
from makers import photo
from PIL import Image

import hyperrestore.cli.stream as stream
import hyperrestore.restore.storage as storage
from hyperrestore.cli.main import main
from hyperrestore.errors import DiskFullError, MissingExtraError, PictureError, UsageError
from hyperrestore.restore.folder import find_inputs, plan_targets
from hyperrestore.restore.hand_out import restore_stream
from hyperrestore.restore.own_crew import OwnCrew
from hyperrestore.restore.place import DRIVERS, StoredPath, place_of
from hyperrestore.restore.spool import _Room
from hyperrestore.restore.stream import Ahead, Found

BUCKETS = ("bucket", "nothing", "odd", "out", "results", "there")


@pytest.fixture(autouse=True)
def files(monkeypatch):
    """An empty storage in memory, and no waiting between attempts."""
    monkeypatch.setattr(storage, "DELAYS", (0.0, 0.0))
    made = fsspec.filesystem("memory")
    made.store.clear()
    made.pseudo_dirs[:] = ["", *(f"/{bucket}" for bucket in BUCKETS)]
    return made


@pytest.fixture
def scans(tmp_path, files):
    """Pictures in a folder and in a bucket: one below another, one bad, and what is no picture."""
    folder = tmp_path / "scans"
    (folder / "2019").mkdir(parents=True)
    for name, brightness in (("a.png", 50), ("2019/b.jpg", 100), ("c.png", 150)):
        Image.new("RGB", (36, 24), (brightness, 90, 60)).save(folder / name)
    (folder / "c.png").rename(folder / "2019" / "c")
    (folder / "bad.png").write_bytes(b"no picture")
    (folder / "note.txt").write_text("a note")
    (folder / "old.gif").write_bytes(b"GIF89a" + bytes(20))
    (folder / ".hidden.png").write_bytes(b"hidden")
    files.put(f"{folder}/", "memory://bucket/scans/", recursive=True)
    return folder


@pytest.fixture
def run(capsys):
    """Run `denoise`: exit code, lines on stdout and stderr. Without a level it copies clean pictures."""

    def call(*words):
        code = main(["denoise", *map(str, words)])
        output = capsys.readouterr()
        return code, output.out.splitlines(), output.err.splitlines()

    return call


def stored(files, folder):
    """The content of each file below a folder of the storage, by its path there."""
    return {name.removeprefix(f"/{folder}/"): files.cat_file(name) for name in files.find(f"/{folder}")}


def written(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


# --- Names ------------------------------------------------------------------------------------------


def test_a_url_is_a_place_and_a_path_stays_a_path():
    assert place_of("scans/a.png") == Path("scans/a.png")
    assert place_of("C://a.png") == Path("C://a.png"), "a disk of Windows"
    assert place_of("file:///scans/a b.png") == Path("/scans/a b.png")
    found = place_of("S3://bucket/2019/a.b.png/")
    assert (str(found), found.name, found.suffix) == ("s3://bucket/2019/a.b.png", "a.b.png", ".png")
    assert found.bucket == StoredPath("s3://bucket")
    assert StoredPath("s3://b") / Path("x", "y.png") == StoredPath("s3://b/x/y.png", changed=5.0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ftp://host/a.png", "ftp:// is unknown; .* begins with s3://, gs://, az://, file://"),
        ("s3:///a.png", "names no bucket; give s3://BUCKET/FOLDER"),
        ("file://host/a.png", "names another machine"),
    ],
)
def test_other_urls_are_refused(run, text, sentence):
    with pytest.raises(UsageError, match=sentence):
        place_of(text)
    assert run(text, "-o", "out/")[0] == 2
    assert run("a.png", "-o", text)[0] == 2


def test_results_in_a_storage_have_names_as_in_a_folder(files):
    pairs = [
        (StoredPath("memory://in/a.jpg"), Path("a.jpg")),
        (StoredPath("memory://in/x/b.tif"), Path("x/b.tif")),
    ]
    targets = [str(target) for _, target in plan_targets(pairs, "memory://out/2019", suffix=".png")]
    assert targets == ["memory://out/2019/a.png", "memory://out/2019/x/b.png"]
    assert plan_targets(pairs[:1], "memory://out/b.png") == [(pairs[0][0], StoredPath("memory://out/b.png"))]
    with pytest.raises(UsageError, match="neither a file with a suffix nor a folder"):
        plan_targets(pairs[:1], "memory://out/b")
    with pytest.raises(UsageError, match=r"which is the input memory://in/a\.jpg"):
        plan_targets([(StoredPath("memory://in/x/a.jpg"), Path("a.jpg")), *pairs], "memory://in/")


class Bucket:
    """The file system of a bucket with these keys, as the drivers of fsspec show it."""

    def __init__(self, *keys):
        self._keys = keys

    def _strip_protocol(self, url):
        return url.removeprefix("memory://")

    def exists(self, url):
        return True

    def find(self, url, detail):
        root = self._strip_protocol(url)
        found = {key: {"name": key, "type": "file"} for key in self._keys if f"{key}/".startswith(f"{root}/")}
        return {root: found[root]} if root in found else found

    def ls(self, url, detail):
        root = self._strip_protocol(url)
        below = [key.removeprefix(f"{root}/") for key in self._keys if key.startswith(f"{root}/")]
        here = [(name, "file") for name in below if "/" not in name]
        here += [
            (name, "directory") for name in dict.fromkeys(key.split("/")[0] for key in below if "/" in key)
        ]
        if not here and root in self._keys:
            return [{"name": root, "type": "file"}]
        return [{"name": f"{root}/{name}", "type": kind} for name, kind in here]


@pytest.fixture
def bucket(monkeypatch):
    """Puts a `Bucket` in place of the storage."""
    return lambda *keys: monkeypatch.setattr(storage, "_filesystem", lambda path: Bucket(*keys))


@pytest.mark.parametrize("name", ["../a.png", "x/../a.png", "./a.png", "x//a.png", "/a.png", "a\0.png"])
def test_names_that_no_folder_can_have_are_refused(bucket, name):
    bucket(f"bucket/{name}")
    for find in (storage.list_files, storage.walk_folders):
        with pytest.raises(UsageError, match=r"memory://bucket/.*: no file of a folder can have this name"):
            list(find(StoredPath("memory://bucket")))


def test_both_listings_find_the_same_files(bucket):
    """Also where a file and a folder have one name, a marker of a folder, and what sorts before a slash."""
    names = ["b", "b/1.png", "b/c/2.png", "b-/3.png", "a.png", "z/4.png", "b?*[x]/5#.png"]
    bucket("bucket/", "bucket/z/", *(f"bucket/{name}" for name in names))
    root = StoredPath("memory://bucket")
    walked = [file for _, files in storage.walk_folders(root) for file in files]
    assert (
        sorted(walked, key=str)
        == list(storage.list_files(root))
        == sorted((root / Path(name) for name in names), key=str)
    )
    assert sorted(storage.files_in(root)) == ["a.png", "b"]
    assert storage.files_in(root / Path("a.png")) == {} == storage.files_in(root / Path("missing"))
    assert list(storage.list_files(root / Path("a.png"))) == [root / Path("a.png")]


# --- Folders ----------------------------------------------------------------------------------------


def test_a_bucket_is_restored_as_a_folder_is(scans, files, run, tmp_path):
    code, _, said = run(scans, "-r", "-l", 25, "-o", tmp_path / "out", "--report", tmp_path / "here.json")
    report = "memory://bucket/report.json"
    stored_code, put, stored_said = run(
        "memory://bucket/scans", "-r", "-l", 25, "-o", "memory://results/x", "--report", report
    )
    assert (stored_code, stored_said[-1]) == (code, said[-1]) == (1, said[-1])
    assert said[-1].endswith("3 restored, 0 copied, 0 skipped, 1 failed, 1 not read, 1 not pictures")
    assert stored(files, "results/x") == written(tmp_path / "out")
    assert sorted(put) == [f"memory://results/x/{name}" for name in ("2019/b.jpg", "2019/c.png", "a.png")]
    assert any("memory://bucket/scans/bad.png: " in line for line in stored_said)
    assert any("1 GIF (memory://bucket/scans/old.gif)" in line for line in stored_said)
    assert not any("hyperrestore-" in line for line in stored_said), "temporary names are nobody's business"
    here = json.loads((tmp_path / "here.json").read_bytes())
    there = json.loads(files.cat_file(report))
    assert there["totals"] == here["totals"]
    assert {entry["status"] for entry in there["pictures"]} == {"restored", "failed"}
    assert {entry["source"].rpartition("/scans/")[2] for entry in there["pictures"]} == {
        entry["source"].rpartition("/scans/")[2] for entry in here["pictures"]
    }


def test_pictures_are_restored_while_the_rest_is_listed(scans, files, run, monkeypatch):
    stored_one = threading.Event()
    put_file, ls = type(files).put_file, type(files).ls

    def put(self, *arguments, **options):
        put_file(self, *arguments, **options)
        stored_one.set()

    def slowly(self, path, **options):
        assert not path.endswith("/2019") or stored_one.wait(30)
        return ls(self, path, **options)

    monkeypatch.setattr(type(files), "put_file", put)
    monkeypatch.setattr(type(files), "ls", slowly)
    code, put_names, said = run("memory://bucket/scans", "-r", "-l", 5, "-o", "memory://out")
    assert code == 1 and len(put_names) == 3
    assert said[-1].endswith("3 restored, 0 copied, 0 skipped, 1 failed, 1 not read, 1 not pictures")


def test_results_are_told_while_the_rest_is_listed(scans, files, run, monkeypatch):
    told = threading.Event()
    ls = type(files).ls
    show = stream.show_result

    def slowly(self, path, **options):
        assert not path.endswith("/2019") or told.wait(30)
        return ls(self, path, **options)

    monkeypatch.setattr(
        stream, "show_result", lambda *words, **options: show(*words, **options) or told.set()
    )
    monkeypatch.setattr(type(files), "ls", slowly)
    assert len(run("memory://bucket/scans", "-r", "-l", 5, "-o", "memory://out")[1]) == 3


@pytest.mark.parametrize("out", ["memory://out", "memory://bucket/scans"])
@pytest.mark.parametrize("unread", ["b", "2019/c"])
def test_a_file_whose_kind_cannot_be_read_is_named(scans, files, run, monkeypatch, unread, out):
    """As one of this machine that cannot be opened is; the others are restored."""
    files.copy("/bucket/scans/2019/c", "/bucket/scans/b")
    cat_file = type(files).cat_file

    def broken(self, path, **options):
        if path.endswith(f"/scans/{unread}"):
            raise ConnectionError("reset")
        return cat_file(self, path, **options)

    monkeypatch.setattr(type(files), "cat_file", broken)
    code, put, said = run("memory://bucket/scans", "-r", "-l", 5, "--overwrite", "-o", out, "-f", "webp")
    names = {"2019/b.webp", "2019/c.webp", "a.webp", "b.webp"} - {f"{unread}.webp"}
    assert code == 1 and set(put) == {f"{out}/{name}" for name in names}
    assert any(f"1 file that cannot be opened (memory://bucket/scans/{unread})" in line for line in said)


def test_odd_names_among_the_results_stop_no_other_folder(scans, files, run):
    files.pipe_file("/out/x", b"")
    files.store["/out/2019/../x.png"] = files.store["/out/x"]
    code, put, said = run("memory://bucket/scans", "-r", "-l", 5, "-o", "memory://out")
    assert (code, put) == (1, ["memory://out/a.png"])
    assert "hyperrestore: error: memory://out/2019/..: no file of a folder can have this name" in " ".join(
        said
    )


def test_results_below_the_pictures_are_not_listed_as_pictures(scans, files, run, monkeypatch):
    files.copy("/bucket/scans/a.png", "/bucket/scans/restored/more/a.png")
    ls = type(files).ls
    asked = []
    monkeypatch.setattr(
        type(files), "ls", lambda *words, **options: asked.append(words[1]) or ls(*words, **options)
    )
    run("memory://bucket/scans", "-r", "-l", 5, "-o", "memory://bucket/scans/restored")
    results = "memory://bucket/scans/restored"
    assert asked == ["memory://bucket/scans", results, "memory://bucket/scans/2019", f"{results}/2019"]


def test_a_name_too_long_for_this_machine_fails_alone_every_time(scans, files, run, tmp_path):
    files.copy("/bucket/scans/a.png", f"/bucket/scans/2019/{'x' * 300}.png")
    words = ("memory://bucket/scans", "-r", "-l", 5, "-o", tmp_path / "out")
    assert run(*words)[0] == 1
    code, put, said = run(*words)
    assert (code, put) == (1, [])
    assert said[-1].endswith("0 restored, 0 copied, 3 skipped, 2 failed, 1 not read, 1 not pictures")


def test_a_name_need_not_be_text(scans, files, run):
    files.pipe_file("/odd/\udcff.png", (scans / "a.png").read_bytes())
    report = "memory://bucket/report.json"
    code, put, _ = run("memory://odd", "-r", "-l", 5, "-o", "memory://out", "--report", report, "--json")
    assert code == 0 and json.loads(put[0])["target"] == "memory://out/\udcff.png"
    assert json.loads(files.cat_file(report))["pictures"][0]["source"] == "memory://odd/\udcff.png"


def test_a_folder_without_pictures_replaces_no_report(files, run):
    files.pipe_file("/bucket/report.json", b"of yesterday")
    assert (
        run("memory://nothing", "-r", "-o", "memory://out", "--report", "memory://bucket/report.json")[0] == 2
    )
    assert files.cat_file("/bucket/report.json") == b"of yesterday"


def test_a_full_disk_is_noticed_behind_a_slow_picture():
    failed, begun = threading.Event(), []

    def restore(source, target, **options):
        begun.append(source.name)
        if source.name == "0.png":
            assert failed.wait(30)
            return "restored"
        threading.Timer(0.5, failed.set).start()
        raise DiskFullError("full")

    found = (Found("picture", Path(f"{n}.png"), n, Path(f"out-{n}.png")) for n in range(50))
    crew = OwnCrew(restore)
    outcomes = [outcome for _, outcome in restore_stream(Ahead(found), crew)]
    crew.end()
    assert outcomes[0] == "restored" and outcomes.count("left") == 50 - len(begun)
    assert len(begun) <= 4, "those that were begun before the first failed"


@pytest.mark.parametrize("bucket", ["bucket/scans", "out"])
def test_a_folder_that_cannot_be_listed_does_not_stop_the_others(scans, files, run, monkeypatch, bucket):
    """Neither one of pictures nor one of results."""
    ls = type(files).ls

    def broken(self, path, **options):
        if path.endswith(f"{bucket}/2019"):
            raise ConnectionError("reset")
        return ls(self, path, **options)

    monkeypatch.setattr(type(files), "ls", broken)
    report = "memory://bucket/report.json"
    code, put, said = run("memory://bucket/scans", "-r", "-l", 5, "-o", "memory://out", "--report", report)
    assert (code, put) == (1, ["memory://out/a.png"])
    assert any(line.startswith(f"hyperrestore: error: memory://{bucket}/2019: the storage") for line in said)
    document = json.loads(files.cat_file(report))
    assert document["unreadable_folders"] == [f"memory://{bucket}/2019"] and not document["complete"]


def test_two_pictures_for_one_result_fail_and_others_are_restored(scans, files, run):
    files.copy("/bucket/scans/2019/b.jpg", "/bucket/scans/2019/b.jpeg")
    code, put, said = run("memory://bucket/scans", "-r", "-l", 5, "-o", "memory://out", "-f", "png")
    assert code == 1 and put == ["memory://out/a.png", "memory://out/2019/c.png"]
    assert sum("would all be written to memory://out/2019/b.png; rename them" in line for line in said) == 2


def test_after_ctrl_c_it_lists_no_further(scans, files, run, monkeypatch):
    ls, put_file = type(files).ls, type(files).put_file
    interrupted = threading.Event()

    def forever(self, path, **options):
        if path.endswith("/2019"):
            interrupted.wait(30)
        return ls(self, path, **options)

    def put(self, *arguments, **options):
        put_file(self, *arguments, **options)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(type(files), "ls", forever)
    with monkeypatch.context() as patch:
        patch.setattr(type(files), "put_file", put)
        code, put_names, said = run("memory://bucket/scans", "-r", "-l", 5, "-o", "memory://out")
    interrupted.set()
    assert code == 130 and said[-1] == "hyperrestore: interrupted" and put_names == ["memory://out/a.png"]
    assert list(stored(files, "out")) == ["a.png"]
    code, put_names, said = run("memory://bucket/scans", "-r", "-l", 5, "-o", "memory://out")
    assert put_names == ["memory://out/2019/b.jpg", "memory://out/2019/c.png"]
    assert any("1 of 4 pictures already exist" in line for line in said)


def test_it_continues_where_it_stopped(scans, files, run):
    words = ("memory://bucket/scans", "-r", "-o", "memory://bucket/scans/restored")
    run(*words)
    first = stored(files, "bucket/scans/restored")
    files.rm("/bucket/scans/restored/a.png")
    files.pipe_file("/bucket/scans/restored/2019/b.jpg", b"kept")
    code, put, said = run(*words)
    assert code == 1
    assert put == ["memory://bucket/scans/restored/a.png"], "neither what exists nor the results themselves"
    assert any("2 of 4 pictures already exist" in line for line in said)
    assert stored(files, "bucket/scans/restored") == {**first, "2019/b.jpg": b"kept"}
    assert run("memory://bucket/scans/a.png", "-o", "memory://bucket/scans/restored/")[0] == 2


def test_a_picture_goes_from_a_storage_to_a_folder_and_back(scans, files, run, tmp_path):
    run(scans / "a.png", "-o", tmp_path / "a.png")
    assert run("memory://bucket/scans/a.png", "-o", tmp_path / "from" / "a.png")[0] == 1, (
        "as without a storage"
    )
    assert run("memory://bucket/scans/a.png", "-o", f"{tmp_path}/from/")[0] == 0
    assert run(f"file://{scans}/a.png", "-o", "memory://to/b.png")[1] == ["memory://to/b.png"]
    assert files.cat_file("/to/b.png") == (tmp_path / "a.png").read_bytes()
    assert (tmp_path / "from" / "a.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_shards_are_those_of_a_folder(scans, run):
    for number in (1, 2):
        shard = f"--shard={number}/2"
        here = {
            line.rpartition("/here/")[2] for line in run(scans, "-r", "-o", scans.parent / "here", shard)[1]
        }
        there = run("memory://bucket/scans", "-r", "-o", "memory://there", shard)[1]
        assert {line.removeprefix("memory://there/") for line in there} == here


def test_inspect_reads_from_a_storage_too(scans, capsys):
    assert main(["inspect", "memory://bucket/scans/a.png"]) == 0
    assert "memory://bucket/scans/a.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["memory://bucket/scans"], "is a folder; give -r"),
        (["memory://bucket/2020", "-r"], "there is no such file, folder or bucket"),
        (["memory://nothing", "-r"], "memory://nothing holds no pictures"),
        (["memory://bucket/scans", "-r", "--keep-times"], "--keep-times is for pictures and results on this"),
        (["memory://bucket/scans", "-r", "--report", "memory://x/a.png"], "ends with .json"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(scans, run, words, sentence):
    code, put, said = run(*words, "-o", "memory://out/")
    assert code in (1, 2)
    assert not put
    assert sentence in said[-1] or sentence in said[0]


@pytest.mark.parametrize("name", ["a#b.png", "a?b.png", "a[1]*.png", "a\\b.png"])
def test_a_name_means_nothing_but_itself(files, run, scans, name):
    files.pipe_file(f"/odd/{name}", (scans / "a.png").read_bytes())
    assert run("memory://odd", "-r", "-l", 5, "-o", "memory://out")[:2] == (0, [f"memory://out/{name}"])
    assert list(stored(files, "out")) == [name]


def test_a_name_is_no_chain_of_storages():
    """For which fsspec takes "::" in a URL."""
    one, other = (StoredPath(f"memory://odd/{name}.png") for name in ("a::file::b", "b"))
    assert storage._filesystem(one) is storage._filesystem(other)


def test_results_may_go_to_the_folder_of_the_pictures_or_above_it(files, run, scans):
    files.pipe_file("/x/out/in/a.png", (scans / "a.png").read_bytes())
    assert run("memory://x/out/in", "-r", "-l", 5, "-o", "memory://x/out")[1] == ["memory://x/out/a.png"]
    words = ("memory://x/out/in", "-r", "-l", 5, "-o", "memory://x/out/in")
    code, _, said = run(*words)
    assert code == 2 and "would be replaced by its own result; give --overwrite" in said[-1]
    assert run(*words, "--overwrite")[:2] == (0, ["memory://x/out/in/a.png"])


@pytest.mark.parametrize(
    "words",
    [
        ["report", "merge", "memory://bucket/a.json", "-o", "all.json"],
        ["report", "merge", "a.json", "-o", "memory://bucket/all.json"],
        ["denoise", "a.png", "-o", "b.png", "--level-map", "memory://bucket/mask.png"],
        ["export", "denoise", "--as", "baked", "-l", "25", "-o", "memory://bucket/"],
        ["train", "recipe.toml", "--data", "photos", "-o", "memory://bucket/run", "--steps", "1"],
    ],
)
def test_what_must_lie_on_this_machine_is_not_sought_in_a_storage(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert "lies in object storage; give a file or folder of this machine" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --- Errors -----------------------------------------------------------------------------------------

PATH = StoredPath("memory://bucket/a.png")


def failing(monkeypatch, files, *errors):
    """Let the storage raise these errors in turn before it works; gives the list of calls."""
    calls = []
    get_file = type(files).get_file

    def get(*words, **options):
        calls.append(words)
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return get_file(*words, **options)

    monkeypatch.setattr(type(files), "get_file", get)
    return calls


def test_transient_errors_are_met_with_another_attempt(files, monkeypatch, tmp_path):
    files.pipe_file(PATH.url, b"content")
    calls = failing(monkeypatch, files, OSError("slow down"), TimeoutError())
    storage.fetch(PATH, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"content"
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("error", "kind", "sentence", "attempts"),
    [
        (ConnectionError("reset"), PictureError, r"does not answer as it should \(reset, 3 attempts\)", 3),
        (OSError(errno.EINVAL, "bad"), PictureError, r"does not answer as it should", 1),
        (PermissionError("Access Denied"), PictureError, r"no permission \(Access Denied\); check", 1),
        (FileNotFoundError(), PictureError, "there is no such file", 1),
        (OSError(errno.ENOSPC, "full"), DiskFullError, "temporary files is full", 1),
        (ValueError("Invalid bucket name"), UsageError, "does not accept this name", 1),
    ],
)
def test_other_errors_are_sentences(files, monkeypatch, tmp_path, error, kind, sentence, attempts):
    calls = failing(monkeypatch, files, *[error] * 9)
    with pytest.raises(kind, match=f"{PATH}: .*{sentence}"):
        storage.fetch(PATH, tmp_path / "a")
    assert len(calls) == attempts


def test_a_failing_picture_does_not_stop_the_others(scans, files, run, monkeypatch):
    put_file = type(files).put_file

    def put(self, local, url, **options):
        if url.endswith("b.jpg"):
            raise ConnectionError("reset")
        put_file(self, local, url, **options)

    monkeypatch.setattr(type(files), "put_file", put)
    code, put_names, said = run("memory://bucket/scans", "-r", "-o", "memory://out")
    assert code == 1
    assert put_names == ["memory://out/a.png", "memory://out/2019/c.png"]
    assert any(
        "memory://out/2019/b.jpg: the storage does not answer as it should (reset" in line for line in said
    )


def test_what_appears_meanwhile_is_kept(files, tmp_path):
    file = photo(tmp_path / "a.png")
    files.pipe_file(PATH.url, b"others")
    with pytest.raises(PictureError, match="created in the meantime"):
        storage.put(file, PATH, overwrite=False)
    storage.put(file, PATH, overwrite=True)
    assert files.cat_file(PATH.url) == file.read_bytes()


def test_missing_packages_are_named(monkeypatch):
    def missing(*words, **options):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    for scheme, driver in DRIVERS.items():
        if driver:
            with pytest.raises(MissingExtraError, match=f"pip install '{driver}'"):
                storage.is_folder(StoredPath(f"{scheme}://bucket/a"))
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hyperrestore\[storage\]'"):
        storage.is_folder(PATH)


def test_drivers_do_not_print_what_is_tried_again():
    storage.is_folder(PATH)
    assert all(logging.getLogger(name).handlers for name in ("adlfs", "gcsfs", "s3fs"))


def test_local_paths_do_not_load_fsspec(tmp_path):
    Image.new("RGB", (36, 24)).save(tmp_path / "a.png")
    code = (
        "import sys; from hyperrestore.cli.main import main; "
        f"main(['denoise', 'file://{tmp_path}/a.png', '-o', "
        f"{str(tmp_path / 'b.png')!r}]); sys.exit('fsspec' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
    assert (tmp_path / "b.png").is_file()


def test_pictures_without_a_suffix_are_known_by_their_content(scans):
    found = find_inputs([place_of("memory://bucket/scans")], out=None, recursive=True)
    assert [str(place) for _, place in found.pictures] == ["2019/b.jpg", "2019/c", "a.png", "bad.png"]
    assert [(str(file), kind) for file, kind in found.foreign] == [("memory://bucket/scans/old.gif", "GIF")]
    assert found.pictures[0][0].changed is not None


def test_large_pictures_wait_for_each_other():
    room = _Room(100)
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with room.taken(500):  # alone, however large
            inside.set()
            leave.wait(20)

    def follow():
        with room.taken(60):
            assert leave.is_set()

    threads = [threading.Thread(target=hold), threading.Thread(target=follow)]
    threads[0].start()
    assert inside.wait(20)
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    with room.taken(60), room.taken(40):
        pass
