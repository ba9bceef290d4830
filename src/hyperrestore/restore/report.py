"""What became of a batch -> a JSON document that a program can read later."""

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
from hyperrestore.restore.file import Report
from hyperrestore.restore.folder import make_folder
from hyperrestore.restore.restorer import model_path

SUFFIX = ".json"
STATUSES = ("restored", "unchanged", "failed", "skipped", "left")  # of pictures


def check_report(path: Path) -> None:
    """Refuse early what could not be written, or should not be; make its folder.

    Raises:
        UsageError: The name does not end with .json, so it may be a picture's; or it is that of a folder.
        PictureError: Its folder cannot be made or written to.
    """
    if path.suffix.lower() != SUFFIX or path.is_dir():
        raise UsageError(f"report {path}: name a file that ends with {SUFFIX}; an older report is replaced")
    make_folder(path.parent)
    if not os.access(path.parent, os.W_OK):
        raise PictureError(f"report {path}: its folder cannot be written to; give another")


def write_report(
    path: Path,
    pairs: Sequence[tuple[Path, Path]],
    results: Sequence[Report | Failure],
    *,
    skipped: Sequence[tuple[Path, Path]] = (),
    unreadable: Sequence[Path] = (),
    foreign: Sequence[tuple[Path, str]] = (),
    others: int = 0,
    models: Mapping[str, str | Path],
    settings: Mapping[str, Any],
    seconds: float,
    complete: bool,
) -> None:
    """Write what became of each picture, atomically; an older report is replaced.

    Every picture has a status: "restored"; "unchanged" where nothing was to be repaired; "failed", with the
    error; "skipped", as its result was there already; "left" where the batch ended before.

    Args:
        path: The file to be.
        pairs: Sources and targets of the batch.
        results: What became of them, as far as the batch came.
        skipped: Sources and targets that were left out, because the targets existed.
        unreadable: Folders that could not be searched for pictures.
        foreign: Pictures of folders that are of a kind that is not read, and the kind.
        others: How many files of folders are no pictures.
        models: By task, the model that repaired it, as `Restorer.load` takes it.
        settings: What was asked for; anything that JSON can hold.
        seconds: How long the batch took.
        complete: Whether it came to its end, not to Ctrl-C or a full disk.

    Raises:
        OSError: It cannot be written.
    """
    pictures: list[dict[str, Any]] = []
    for result in results:
        if isinstance(result, Report):
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
            "megapixels": sum(r.width * r.height for r in results if isinstance(r, Report)) / 1e6,
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
    write_atomically(path, json.dumps(document, indent=1).encode() + b"\n")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
