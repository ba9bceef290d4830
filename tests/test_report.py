"""The report of a batch: what became of each picture, for programs."""

import hashlib
import json
from pathlib import Path

import pytest

from hyperrestore import __version__
from hyperrestore.errors import DiskFullError, PictureError, UsageError
from hyperrestore.restore.batch import Failure
from hyperrestore.restore.file import Success
from hyperrestore.restore.report import check_report, write_report
from hyperrestore.restore.restorer import MODELS


def pair(name):
    return Path(f"in/{name}"), Path(f"out/{name}")


def test_every_picture_has_its_status(tmp_path):
    results = [
        Success("in/a.png", "out/a.png", {"denoise": 12.5}, 3000, 2000, 4.5, ("a note",)),
        Success("in/b.png", "out/b.png", {}, 1000, 500, 0.5, ()),
        Failure("in/c.png", "out/c.png", DiskFullError("no space")),
    ]
    path = tmp_path / "report.json"
    path.write_text("an older one")
    write_report(
        path,
        [pair(f"{name}.png") for name in "abcde"],
        results,
        skipped=[pair("\udcff.png")],
        unreadable=[Path("in/closed")],
        foreign=[(Path("in/f.gif"), "GIF")],
        others=3,
        models={"denoise": "denoise"},
        settings={"level": None, "tile": 512},
        seconds=12.3456,
        complete=False,
    )
    document = json.loads(path.read_text())
    assert [entry["status"] for entry in document["pictures"]] == [
        "restored", "unchanged", "failed", "skipped", "left", "left",
    ]  # fmt: skip
    assert document["totals"] == {
        "pictures": 6, "restored": 1, "unchanged": 1, "failed": 1, "skipped": 1, "left": 2,
        "not_read": 1, "not_pictures": 3, "megapixels": 6.5,
    }  # fmt: skip
    first, _, third, fourth, fifth, _ = document["pictures"]
    assert first == {
        "status": "restored", "source": "in/a.png", "target": "out/a.png", "levels": {"denoise": 12.5},
        "width": 3000, "height": 2000, "seconds": 4.5, "notes": ["a note"],
    }  # fmt: skip
    assert third["error"] == {"kind": "DiskFullError", "message": "no space"}
    assert fourth["source"] == "in/\udcff.png", "a name that is no text comes back as it was"
    assert fifth == {"status": "left", "source": "in/d.png", "target": "out/d.png"}
    assert document["complete"] is False and document["seconds"] == 12.346
    assert document["unreadable_folders"] == ["in/closed"]
    assert document["not_read"] == [{"source": "in/f.gif", "kind": "GIF"}]
    assert document["settings"] == {"level": None, "tile": 512}
    digest = hashlib.sha256((MODELS / "denoise.safetensors").read_bytes()).hexdigest()
    assert document["models"] == [{"task": "denoise", "model": "denoise", "sha256": digest}]
    assert document["versions"]["hyperrestore"] == __version__
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"], "nothing else is left"


def test_a_report_replaces_no_picture_and_its_folder_is_made(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.json").mkdir()
    for name, error in (("a.png", UsageError), ("folder.json", UsageError), ("file/a.json", PictureError)):
        with pytest.raises(error):
            check_report(tmp_path / name)
    check_report(tmp_path / "new" / "a.JSON")
    assert (tmp_path / "new").is_dir()
