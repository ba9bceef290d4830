"""A private temporary folder for the pages' files; removed at the end, or after a crash by the next start."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PREFIX = "hyperrestore-web-"
_LOCK = "lock"  # a file that is locked for as long as its process lives, however that ends


@contextmanager
def private_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a folder that only its owner can enter, and remove it at the end with its contents.

    Folders left by crashed runs of the same user are removed first.

    Args:
        parent: Where; by default the system's folder for temporary files.

    Yields:
        The folder.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    _remove_stale(parent)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # mode 0700
        lock = _locked(folder / _LOCK, create=True)
        if lock is None:
            continue
        if (folder / _LOCK).exists():
            break
        lock.close()  # another start took it for stale before it was locked
    try:
        with lock:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale(parent: Path) -> None:
    """Remove the folders whose process is dead; only our own, and none through a link."""
    if sys.platform == "win32":  # without such locks, nobody can tell
        return
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            entry = folder.lstat()
        except OSError:  # its owner has removed it meanwhile
            continue
        if not stat.S_ISDIR(entry.st_mode) or entry.st_uid != os.getuid():
            continue
        lock = _locked(folder / _LOCK, create=False)
        if lock is not None:
            with lock:
                shutil.rmtree(folder, ignore_errors=True)


def _locked(path: Path, *, create: bool) -> BinaryIO | None:
    """Open and lock a file; None if it is missing, or locked by another process."""
    try:
        file = path.open("xb" if create else "rb")
    except OSError:
        return None
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
    return file
