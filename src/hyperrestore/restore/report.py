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
    unreadable: Sequence[Path] = (),
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
    pictures: list[dict[str, Any]] = []
    for result in results:
        if isinstance(result, Success):
            pictures.append({"status": "restored" if result.levels else "unchanged", **asdict(result)})
        else:
            error = {"kind": type(result.error).__name__, "message": str(result.error)}
            pictures.append(
                {"status": "failed", "source": result.source, "target": result.target, "error": error}
            )
    reached = {entry["target"] for entry in pictures}
    left = [pair for pair in pairs if str(pair[1]) not in reached]
    for status, rest in (("skipped", skipped), ("left", left)):
        pictures += [
            {"status": status, "source": str(source), "target": str(target)} for source, target in rest
        ]
    counts = Counter(entry["status"] for entry in pictures)
    packages = ("numpy", "openvino", "pyvips")
    document = {
        "complete": complete,
        "seconds": round(seconds, 3),
        "totals": {
            "pictures": len(pictures),
            **{status: counts[status] for status in STATUSES},
            "not_read": len(foreign),
            "not_pictures": others,
            "megapixels": sum(r.width * r.height for r in results if isinstance(r, Success)) / 1e6,
        },
        "not_read": [{"source": str(source), "kind": kind} for source, kind in foreign],
        "unreadable_folders": [str(folder) for folder in unreadable],
        "settings": dict(settings),
        "models": [
            {"task": task, "model": str(model), "sha256": _digest(model_path(model))}
            for task, model in models.items()
        ],
        "versions": {
            "hyperrestore": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "pictures": pictures,
    }
    _write(path, json.dumps(document, indent=1).encode() + b"\n")


def _write(path: Place, content: bytes) -> None:
    if isinstance(path, StoredPath):
        write(path, content)
    else:
        write_atomically(path, content)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
