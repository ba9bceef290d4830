"""A picture in object storage is fetched, restored in a temporary folder, and its result is put back."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hyperrestore.errors import HyperrestoreError
from hyperrestore.restore.batch import PIXELS_IN_FLIGHT, pixel_count
from hyperrestore.restore.file import Success
from hyperrestore.restore.place import Place, StoredPath
from hyperrestore.restore.storage import fetch, put


def through_spool(
    make: Callable[..., Success], *, size: Callable[[int, int], tuple[int, int]], overwrite: bool
) -> Callable[..., Success]:
    """Let a function for picture files of this machine work on those of a storage, too.

    The temporary files of a picture are removed when its result is stored, or has failed.

    Args:
        make: Makes a result from a picture, as `restore_files` calls it.
        size: Width and height of a picture -> those of its result.
        overwrite: Whether an existing file may be replaced.

    Returns:
        A function for `restore_files`, whose pairs may be of both kinds of places.
    """
    room = _Room(PIXELS_IN_FLIGHT)

    def made(source: Place, target: Place, **options: Any) -> Success:
        with (
            fetched(source) as read,
            _put_afterwards(target, overwrite=overwrite) as written,
            room.taken(pixel_count(read, size)),
        ):
            success = make(read, written, **options)
        return replace(success, source=str(source), target=str(target))

    return made


@contextmanager
def fetched(source: Place) -> Iterator[Path]:
    """A picture on this machine: the file itself, or a temporary copy of one in a storage.

    Raises:
        PictureError: There is no such file, or the storage refuses or does not answer.
        DiskFullError: The disk of this machine is full.
    """
    if isinstance(source, Path):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="hyperrestore-") as folder:
        file = Path(folder, f"picture{source.suffix}")
        fetch(source, file)
        if source.changed is not None:
            os.utime(file, (source.changed, source.changed))
        with _named(file, source):
            yield file


@contextmanager
def _put_afterwards(target: Place, *, overwrite: bool) -> Iterator[Path]:
    """A file to write, which is put into the storage at the end, if its place is there."""
    if isinstance(target, Path):
        yield target
        return
    with tempfile.TemporaryDirectory(prefix="hyperrestore-") as folder:
        file = Path(folder, f"result{target.suffix}")
        with _named(file, target):
            yield file
        put(file, target, overwrite=overwrite)


@contextmanager
def _named(file: Path, place: StoredPath) -> Iterator[None]:
    """Let errors name a place, not the file that stands for it."""
    try:
        yield
    except HyperrestoreError as error:
        raise type(error)(str(error).replace(str(file), str(place))) from error


class _Room:
    """The pixels that are restored at a time, as far as sizes are known only when a file is here.

    Args:
        pixels: Of all pictures together, unless a single one has more.
    """

    def __init__(self, pixels: int) -> None:
        self._most = pixels
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Wait until so many pixels fit, and hold their room."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + pixels <= self._most)
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()
