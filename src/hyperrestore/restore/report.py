"""Results of a batch -> a JSON document for programs."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hyperrestore import __version__
from hyperrestore.atomic import write_atomically
from hyperrestore.errors import PictureError, UsageError
from hyperrestore.restore.batch import Failure
from hyperrestore.restore.file import Success
from hyperrestore.restore.folder import make_folder
from hyperrestore.restore.place import Place, StoredPath
from hyperrestore.restore.restorer import model_path
from hyperrestore.restore.storage import write

SUFFIX = ".json"
PACKAGES = ("numpy", "openvino", "pyvips")  # whose version may change a result
STATUSES = ("restored", "unchanged", "failed", "skipped", "left")  # of pictures


def check_report(path: Place) -> None:
    """Refuse a report early that could not or should not be written, and make its folder.

    Raises:
        UsageError: The name does not end with .json, so it may be a picture's, or it is a folder.
        PictureError: Its folder cannot be made or written to.
    """
    if path.suffix.lower() != SUFFIX or (isinstance(path, Path) and path.is_dir()):
        raise UsageError(f"report {path}: name a file that ends with {SUFFIX}; an older report is replaced")
    if isinstance(path, StoredPath):
        return
    make_folder(path.parent)
    if not os.access(path.parent, os.W_OK):
        raise PictureError(f"report {path}: its folder cannot be written to; give another")


def write_report(
    path: Place,
    pairs: Sequence[tuple[Place, Place]],
    results: Sequence[Success | Failure],
    *,
    skipped: Sequence[tuple[Place, Place]] = (),
    unreadable: Sequence[Place] = (),
    foreign: Sequence[tuple[Place, str]] = (),
    others: int = 0,
    models: Mapping[str, str | Path],
    settings: Mapping[str, Any],
    seconds: float,
    complete: bool,
) -> None:
    """Write the result of each picture, atomically; an older report is replaced.

    Every picture has a status: "restored"; "unchanged" if it needed no repair; "failed", with the error;
    "skipped" if its result existed already; "left" if the batch ended before it was started.

    Args:
        path: The file to write, on this machine or in object storage.
        pairs: Sources and targets of the batch.
        results: Of the pictures that were started.
        skipped: Sources and targets that were left out because the targets existed.
        unreadable: Folders that could not be searched for pictures.
        foreign: Pictures in folders that are of an unsupported kind, with the kind.
        others: How many files in folders are not pictures.
        models: By task, the model that repaired it, as `Restorer.load` takes it.
        settings: The options of the command; anything that JSON can hold.
        seconds: How long the batch took.
        complete: Whether it finished, and was not ended by Ctrl-C or a full disk.

    Raises:
        OSError: It cannot be written.
        PictureError: It cannot be written to its storage.
    """
    pictures = [picture_entry(result) for result in results]
    reached = {entry["target"] for entry in pictures}
    left = [pair for pair in pairs if str(pair[1]) not in reached]
    for status, rest in (("skipped", skipped), ("left", left)):
        pictures += [rest_entry(status, source, target) for source, target in rest]
    document = report_document(
        Counter(entry["status"] for entry in pictures),
        not_read=[foreign_entry(source, kind) for source, kind in foreign],
        pictures=pictures,
        totals={
            "not_read": len(foreign),
            "not_pictures": others,
            "megapixels": sum(r.width * r.height for r in results if isinstance(r, Success)) / 1e6,
        },
        unreadable=unreadable,
        models=models,
        settings=settings,
        seconds=seconds,
        complete=complete,
    )
    _write(path, json.dumps(document, indent=1).encode() + b"\n")


def picture_entry(result: Success | Failure) -> dict[str, Any]:
    """What a report says of a picture that was started."""
    if isinstance(result, Success):
        return {"status": "restored" if result.levels else "unchanged", **asdict(result)}
    error = {"kind": type(result.error).__name__, "message": str(result.error)}
    return {"status": "failed", "source": result.source, "target": result.target, "error": error}


def rest_entry(status: str, source: Place, target: Place) -> dict[str, Any]:
    """What a report says of a picture that was not started: it was "skipped" or "left"."""
    return {"status": status, "source": str(source), "target": str(target)}


def foreign_entry(source: Place, kind: str) -> dict[str, Any]:
    """What a report says of a picture of an unsupported kind."""
    return {"source": str(source), "kind": kind}


def report_document(
    counts: Mapping[str, int],
    *,
    not_read: Any,
    pictures: Any,
    totals: Mapping[str, Any],
    unreadable: Sequence[Place],
    models: Mapping[str, str | Path],
    settings: Mapping[str, Any],
    seconds: float,
    complete: bool,
) -> dict[str, Any]:
    """A report.

    Args:
        counts: Of pictures, by status.
        not_read: The entries of pictures of an unsupported kind, or what stands for them.
        pictures: The entries of all others, or what stands for them.
        totals: Further totals.
        unreadable: As for `write_report`.
        models: As for `write_report`.
        settings: As for `write_report`.
        seconds: As for `write_report`.
        complete: As for `write_report`.
    """
    return {
        "complete": complete,
        "seconds": round(seconds, 3),
        "totals": {
            "pictures": sum(counts.values()),
            **{status: counts.get(status, 0) for status in STATUSES},
            **totals,
        },
        "not_read": not_read,
        "unreadable_folders": [str(folder) for folder in unreadable],
        "settings": dict(settings),
        "models": [
            {"task": task, "model": str(model), "sha256": _digest(model_path(model))}
            for task, model in models.items()
        ],
        "versions": {
            "hyperrestore": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "pictures": pictures,
    }


def _write(path: Place, content: bytes) -> None:
    if isinstance(path, StoredPath):
        write(path, content)
    else:
        write_atomically(path, content)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
