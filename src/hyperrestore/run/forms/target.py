"""Which files an export may replace: those of an earlier one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hyperrestore.errors import UsageError


def refuse_others(files: Mapping[Path, bytes], *, description: Path) -> None:
    """Refuse to replace what no export has written, even one that was stopped.

    Args:
        files: Which are to be written, and their content.
        description: Which an export writes beside them.

    Raises:
        UsageError: One of the files exists with another content, and its description does not.
    """
    if description.is_file():
        return
    existing = [file for file, new in files.items() if file.exists() and file.read_bytes() != new]
    if existing:
        raise UsageError(f"{existing[0]}: already exists, and was not exported; give another output by -o")
