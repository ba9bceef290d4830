"""Which files an export may replace: those of an earlier one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hyperrestore.errors import UsageError


def refuse_others(files: Mapping[Path, bytes], *, description: Path) -> None:
    """Refuse to replace what no export has written, even one that was stopped.

    Args:
        files: Which are to be written, and their content.
        description: Which an export writes beside them.

    Raises:
        UsageError: One of the files exists with another content, and its description does not; or the
            description itself is a file of another kind.
    """
    if _is_description(description):
        return
    existing = [file for file, new in files.items() if file.exists() and not _holds(file, new)]
    existing += [description] if description.exists() else []
    if existing:
        raise UsageError(f"{existing[0]}: already exists, and was not exported; give another output by -o")


def _holds(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content


def _is_description(path: Path) -> bool:
    """Whether a file describes an export."""
    if not path.is_file():
        return False
    try:
        described = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(described, dict) and {"form", "weights_sha256"} <= described.keys()
