"""The clean pictures of a folder, to be measured on."""

from __future__ import annotations

from pathlib import Path

from hyperrestore.errors import UsageError
from hyperrestore.picture.formats import SUFFIXES


def find_pictures(folder: str | Path) -> list[Path]:
    """The pictures in a folder, by name; not those in its own folders.

    Raises:
        UsageError: There is no such folder, it cannot be read, or it holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    try:
        paths = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()
        )
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({error.strerror})") from error
    if not paths:
        raise UsageError(f"{folder}: holds no pictures ({', '.join(SUFFIXES)})")
    return paths
