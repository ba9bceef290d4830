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
