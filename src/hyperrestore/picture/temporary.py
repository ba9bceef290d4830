"""A file is written in a temporary folder beside its place, and gets its name when it is finished."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hyperrestore.atomic import flush_to_disk
from hyperrestore.errors import PictureError
from hyperrestore.picture.vips import reading, writing

_LEFT_OVER = re.compile(r"\..{0,50}-[a-z0-9_]{8}\.part", re.DOTALL)  # as `folder_beside` names them


@contextmanager
def folder_beside(path: Path, target: Path) -> Iterator[Path]:
    """A temporary folder on the disk of `target`, so that a finished file can be renamed into place."""
    with _locked(target.parent):
        with writing(path):
            folder = tempfile.TemporaryDirectory(
                dir=target.parent, prefix=f".{path.stem[:50]}-", suffix=".part"
            )
        with folder as name:
            yield Path(name)


def rename(finished: Path, path: Path, target: Path, overwrite: bool, times: tuple[int, int] | None) -> None:
    """Give a finished file its name, once it is safely on the disk."""
    flush_to_disk(finished)
    if times:
        os.utime(finished, ns=times)
    if target.exists():
        if not overwrite:
            raise PictureError(f"{path}: was created in the meantime, and is kept; choose another name")
        shutil.copymode(target, finished)
    finished.replace(target)


def file_times(path: Path) -> tuple[int, int]:
    """When a file was last read and changed, nanoseconds."""
    with reading(path):
        status = path.stat()
    return status.st_atime_ns, status.st_mtime_ns


def remove_leftovers(folder: str | os.PathLike[str]) -> int:
    """Remove the temporary folders that killed processes have left in a folder.

    Nothing is removed while any process writes a picture into the folder, or where that cannot be told.

    Args:
        folder: Where pictures are to be written; it may be missing.

    Returns:
        How many were removed.
    """
    removed = 0
    with _locked(Path(folder), alone=True) as alone, suppress(OSError):
        for left in Path(folder).iterdir() if alone else ():
            ours = _LEFT_OVER.fullmatch(left.name) and left.is_dir() and not left.is_symlink()
            if ours and all(file.is_file() for file in left.iterdir()):
                shutil.rmtree(left)
                removed += 1
    return removed


def remove_leftovers_of_dying(folder: Path, *, seconds: float) -> None:
    """Remove what processes leave in a folder that were killed just now: they may take a moment to end.

    Args:
        folder: Where they wrote pictures.
        seconds: How long to wait, at most.
    """
    end = time.monotonic() + seconds
    while True:
        remove_leftovers(folder)
        with suppress(OSError):
            if any(_LEFT_OVER.fullmatch(left.name) for left in folder.iterdir()) and time.monotonic() < end:
                time.sleep(0.1)
                continue
        return


@contextmanager
def _locked(folder: Path, *, alone: bool = False) -> Iterator[bool]:
    """Hold a folder against `remove_leftovers`, or, `alone`, against all who write into it.

    A lock ends with its process, however that ends.

    Yields:
        Whether it is held: not on a system without such locks, nor `alone` while others hold the folder.
    """
    try:
        descriptor = lock(folder, alone=alone)
    except BlockingIOError:
        descriptor = None
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def lock(folder: Path, *, alone: bool) -> int | None:
    """Lock a folder until the descriptor is closed; None where the system cannot do that.

    Args:
        folder: It exists.
        alone: Whether nobody else may hold it.

    Raises:
        BlockingIOError: It is to be held alone, and another process holds it.
    """
    try:
        import fcntl  # not on Windows

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
