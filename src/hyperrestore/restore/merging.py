"""The reports of the shards of one batch -> one report."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hyperrestore.atomic import write_atomically
from hyperrestore.errors import UsageError
from hyperrestore.restore.folder import MOST_SHARDS
from hyperrestore.restore.report import STATUSES

Document = dict[str, Any]

_SAME = ("settings", "models", "versions")  # what all shards have to agree on, but for the shard itself


def merge_reports(reports: Sequence[Path], out: Path) -> Document:
    """Write the reports of several shards as one, atomically; an older one is replaced.

    It says `complete` only if every shard of the batch is there and is complete; `missing_shards` are the
    numbers of the others. `seconds` is the sum over all machines.

    Args:
        reports: As `write_report` writes them, each of another shard.
        out: The file to be.

    Returns:
        What was written.

    Raises:
        UsageError: A file is no report of a shard, two are of the same one, or of different batches; or `out`
            is one of them.
        OSError: The file cannot be written.
    """
    if os.path.realpath(out) in map(os.path.realpath, reports):
        raise UsageError(f"{out}: is one of the reports, and would be replaced; name another file")
    documents = {path: _read(path) for path in reports}
    first = reports[0]
    shards: dict[int, Path] = {}
    for path, document in documents.items():
        for name in _SAME:
            if _common(document, name) != _common(documents[first], name):
                raise UsageError(
                    f"{first} and {path}: not of one batch, their {name} differ"
                    f"{_differing(_common(document, name), _common(documents[first], name))}"
                )
        number, count = document["settings"]["shard"]
        if count != documents[first]["settings"]["shard"][1]:
            raise UsageError(f"{first} and {path}: not of one batch, which is cut into equally many shards")
        if number in shards:
            raise UsageError(f"{shards[number]} and {path}: both are of shard {number}/{count}; give one")
        shards[number] = path
    merged = _merged([documents[shards[number]] for number in sorted(shards)])
    missing = sorted(set(range(1, count + 1)) - set(shards))
    merged["missing_shards"] = missing
    merged["complete"] = not missing and all(document["complete"] for document in documents.values())
    write_atomically(out, json.dumps(merged, indent=1).encode() + b"\n")
    return merged


def _read(path: Path) -> Document:
    try:
        document = json.loads(path.read_bytes())
        if not _is_of_shard(document):
            raise ValueError("parts of it are missing")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(
            f"{path}: not the report of a shard; --shard K/N with --report writes one"
        ) from error
    return dict(document)


def _is_of_shard(document: Any) -> bool:
    """Whether a document has what is merged; a TypeError or KeyError says that it has not, too."""
    number, count = document["settings"]["shard"]
    totals, pictures = document["totals"], document["pictures"]
    numbers = (document["seconds"], totals["not_pictures"], totals["megapixels"])
    lists = (document["not_read"], document["unreadable_folders"], pictures)
    return (
        isinstance(number, int)
        and isinstance(count, int)
        and 1 <= number <= count <= MOST_SHARDS
        and isinstance(document["complete"], bool)
        and all(isinstance(value, int | float) for value in numbers)
        and all(isinstance(value, list) for value in lists)
        and all(entry["status"] in STATUSES and isinstance(entry["source"], str) for entry in pictures)
        and all(name in document for name in _SAME)
    )


def _common(document: Document, name: str) -> Any:
    """What shards of one batch have in common."""
    entry = document[name]
    if name != "settings":
        return entry
    # One folder may have another path on each machine.
    names = {key: _last_parts(entry[key]) for key in ("inputs", "out") if key in entry}
    return {key: value for key, value in (entry | names).items() if key != "shard"}


def _last_parts(paths: str | Sequence[str] | None) -> list[str]:
    """The last part of each path, also of those of another system."""
    some = [paths] if isinstance(paths, str) else paths or []
    return [path.replace("\\", "/").rstrip("/").rpartition("/")[2] for path in some]


def _differing(one: Any, other: Any) -> str:
    """The names of the entries that differ, as the end of a sentence; nothing for what has no names."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return ""
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return f" in {', '.join(name for name in names if name != 'shard')}"


def _merged(documents: Sequence[Document]) -> Document:
    pictures = [entry for document in documents for entry in document["pictures"]]
    not_read = _union(documents, "not_read")
    counts = Counter(entry["status"] for entry in pictures)
    return {
        "complete": False,
        "seconds": round(sum(document["seconds"] for document in documents), 3),
        "totals": {
            "pictures": len(pictures),
            **{status: counts[status] for status in STATUSES},
            "not_read": len(not_read),
            # Every shard has looked through the same folders.
            "not_pictures": max(document["totals"]["not_pictures"] for document in documents),
            "megapixels": sum(document["totals"]["megapixels"] for document in documents),
        },
        "not_read": not_read,
        "unreadable_folders": _union(documents, "unreadable_folders"),
        "settings": {key: value for key, value in documents[0]["settings"].items() if key != "shard"},
        "models": documents[0]["models"],
        "versions": documents[0]["versions"],
        "pictures": sorted(pictures, key=lambda entry: entry["source"]),
    }


def _union(documents: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """What any of the documents lists, each once."""
    entries = {json.dumps(entry, sort_keys=True): entry for document in documents for entry in document[name]}
    return list(entries.values())
