"""Bytes into the middle of a file, in place: no second copy of a large file is made."""

from __future__ import annotations

import os
from pathlib import Path

_BLOCK = 2**22


def insert(path: Path, place: int, data: bytes) -> None:
    """Insert bytes into a file.

    Args:
        path: The file, changed in place.
        place: How many of its bytes stand before them.
        data: The bytes.
    """
    if not data:
        return
    with path.open("r+b") as file:
        position = file.seek(0, os.SEEK_END)
        while position > place:  # from the end, so that nothing is overwritten before it has moved
            start = max(place, position - _BLOCK)
            file.seek(start)
            block = file.read(position - start)
            file.seek(start + len(data))
            file.write(block)
            position = start
        file.seek(place)
        file.write(data)


def remove(path: Path, start: int, end: int) -> None:
    """Remove the bytes between two places from a file.

    Args:
        path: The file, changed in place.
        start: The place of the first of them.
        end: The place behind the last.
    """
    with path.open("r+b") as file:
        file.seek(end)
        while block := file.read(_BLOCK):
            file.seek(start)
            file.write(block)
            start += len(block)
            end += len(block)
            file.seek(end)
        file.truncate(start)
