"""Boxes of AVIF files (as of all ISO base media files), and chunks of PNG and WebP (RIFF) files."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import NamedTuple

Data = bytes | mmap.mmap


class Box(NamedTuple):
    """A named part of a file, and where its content stands."""

    name: bytes
    start: int
    end: int


def iso_boxes(data: Data, start: int, end: int) -> Iterator[Box]:
    """The boxes between two places, as far as they can be read."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            header = 16
        stop = start + size if size else end
        if stop < start + header or stop > end:
            return
        yield Box(name, start + header, stop)
        start = stop


def png_chunks(data: Data) -> Iterator[Box]:
    """The chunks of a PNG file, as far as they can be read."""
    position = 8
    while position + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        if position + 12 + size > len(data):
            return
        yield Box(name, position + 8, position + 8 + size)
        position += 12 + size
        if name == b"IEND":
            return


def png_head(head: bytes) -> dict[bytes, bytes]:
    """The chunks before the pixels of a PNG file by their names, the last of a name."""
    chunks: dict[bytes, bytes] = {}
    position = 8
    while position + 8 <= len(head):
        size, name = struct.unpack_from(">I4s", head, position)
        if name == b"IDAT":
            break
        chunks[name] = head[position + 8 : position + 8 + size]
        position += 12 + size
    return chunks


def riff_chunks(data: Data) -> Iterator[Box]:
    """The chunks of a RIFF file, as far as they can be read."""
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        if position + 8 + size > len(data):
            return
        yield Box(name, position + 8, position + 8 + size)
        position += 8 + size + size % 2
