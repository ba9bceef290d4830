"""The shape of pixels, written into the header of a Matroska file, since PyAV has no way to set it.

Matroska keeps it as the size at which pictures are shown. For that entry the description of the tracks
grows into the empty space in front of it, which FFmpeg leaves, so that nothing behind it moves.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

HEAD = 2**20  # bytes of a file in which the tracks are described
SEGMENT, SEEK_HEAD, VOID, TRACKS = 0x18538067, 0x114D9B74, 0xEC, 0x1654AE6B
SEEK, SEEK_POSITION, CHECKSUM = 0x4DBB, 0x53AC, 0xBF
TRACK, NUMBER, VIDEO = 0xAE, 0xD7, 0xE0
SHOWN_WIDTH, SHOWN_HEIGHT, SHOWN_UNIT = 0x54B0, 0x54BA, 0x54B2


class Element(NamedTuple):
    """An element of Matroska: its identifier, and its content."""

    kind: int
    content: bytes

    @property
    def written(self) -> bytes:
        """Its bytes; the length always takes eight."""
        return _identifier(self.kind) + (len(self.content) | 1 << 56).to_bytes(8, "big") + self.content


class Placed(NamedTuple):
    """An element in a file: where it begins and ends, bytes, and where its content begins."""

    kind: int
    begin: int
    inside: int
    end: int


class Shown(NamedTuple):
    """The size at which pictures are shown: in pixels if the unit is 0; if it is 3, only the ratio counts."""

    width: int
    height: int
    unit: int


def write_aspect(path: Path, track: int, aspect: Fraction, *, width: int, height: int) -> bool:
    """Note the shape of pixels.

    Args:
        path: A Matroska file as FFmpeg writes it.
        track: Number of the stream, from 0.
        aspect: Width of a pixel divided by its height.
        width: Of the pictures, pixels.
        height: Of the pictures, pixels.

    Returns:
        Whether the file has an entry for it and room.
    """
    with path.open("r+b") as file:
        head = file.read(HEAD)
        parts = {part.kind: part for part in _top(head)}
        if any(kind not in parts for kind in (SEEK_HEAD, VOID, TRACKS)):
            return False
        seek, void, tracks = parts[SEEK_HEAD], parts[VOID], parts[TRACKS]
        shown = _shown(aspect, width, height)
        written = Element(TRACKS, _tracks(head[tracks.inside : tracks.end], track + 1, shown)).written
        more = len(written) - (tracks.end - tracks.begin)
        room = void.end - void.begin - more - 9  # identifier and length of what stays empty
        if void.begin != seek.end or room < 0 or tracks.end > len(head):
            return False
        start = next(part.inside for part in _elements(head, 0, len(head)) if part.kind == SEGMENT)
        moved = range(void.end - start, tracks.end - start)
        changed = (
            head[seek.begin : seek.inside]
            + _moved(head[seek.inside : seek.end], moved, more)
            + Element(VOID, bytes(room)).written
            + head[void.end : tracks.begin]
            + written
        )
        file.seek(seek.begin)
        file.write(changed)
    return True


def _shown(aspect: Fraction, width: int, height: int) -> Shown:
    across = width * aspect
    if across.denominator == 1:
        return Shown(across.numerator, height, 0)
    ratio = across / height
    return Shown(ratio.numerator, ratio.denominator, 3)


def _top(head: bytes) -> list[Placed]:
    """The elements of the segment up to the description of the tracks."""
    segments = [part for part in _elements(head, 0, len(head)) if part.kind == SEGMENT]
    found = []
    for part in _elements(head, segments[0].inside, len(head)) if segments else ():
        found.append(part)
        if part.kind == TRACKS:
            break
    return found


def _tracks(content: bytes, number: int, shown: Shown) -> bytes:
    """The description of the tracks, with the entry in that of one track."""

    def changed(part: Placed) -> bytes:
        inside = content[part.inside : part.end]
        if part.kind != TRACK or _number(inside, NUMBER) != number:
            return content[part.begin : part.end]
        return Element(TRACK, _track(inside, shown)).written

    kept = (part for part in _elements(content, 0, len(content)) if part.kind not in (CHECKSUM, VOID))
    return _checked(b"".join(changed(part) for part in kept))


def _track(content: bytes, shown: Shown) -> bytes:
    parts = []
    for part in _elements(content, 0, len(content)):
        inside = content[part.inside : part.end]
        parts.append(
            Element(VIDEO, _video(inside, shown)).written
            if part.kind == VIDEO
            else content[part.begin : part.end]
        )
    return b"".join(parts)


def _video(content: bytes, shown: Shown) -> bytes:
    others = [
        content[part.begin : part.end]
        for part in _elements(content, 0, len(content))
        if part.kind not in (SHOWN_WIDTH, SHOWN_HEIGHT, SHOWN_UNIT)
    ]
    size = zip((SHOWN_WIDTH, SHOWN_HEIGHT, SHOWN_UNIT), shown, strict=True)
    return b"".join(
        [*others, *(_identifier(kind) + b"\x84" + side.to_bytes(4, "big") for kind, side in size)]
    )


def _moved(content: bytes, places: range, more: int) -> bytes:
    """The index of elements, with those in a range of places moved to the front."""
    result = bytearray(content)
    for entry in _elements(content, 0, len(content)):
        if entry.kind != SEEK:
            continue
        for part in _elements(content, entry.inside, entry.end):
            place = int.from_bytes(content[part.inside : part.end], "big")
            if part.kind == SEEK_POSITION and place in places:
                result[part.inside : part.end] = (place - more).to_bytes(part.end - part.inside, "big")
    checked = next(_elements(content, 0, len(content)), None)
    if checked is not None and checked.kind == CHECKSUM:
        return _checked(bytes(result[checked.end :]))
    return bytes(result)


def _checked(content: bytes) -> bytes:
    """A content with its checksum in front."""
    return b"\xbf\x84" + zlib.crc32(content).to_bytes(4, "little") + content


def _number(content: bytes, kind: int) -> int:
    for part in _elements(content, 0, len(content)):
        if part.kind == kind:
            return int.from_bytes(content[part.inside : part.end], "big")
    return -1


def _identifier(kind: int) -> bytes:
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big")


def _elements(data: bytes, begin: int, end: int) -> Iterator[Placed]:
    """The elements in a part of a file, the last of which may reach beyond it."""
    while begin < end and data[begin]:
        kind, place = _variable(data, begin, marked=True)
        if place >= len(data) or not data[place]:
            return
        length, inside = _variable(data, place, marked=False)
        yield Placed(kind, begin, inside, inside + length)
        begin = inside + length


def _variable(data: bytes, place: int, *, marked: bool) -> tuple[int, int]:
    """A number of variable length, with or without the bit that marks the length; and where it ends."""
    count = 9 - data[place].bit_length()
    value = int.from_bytes(data[place : place + count], "big")
    return value if marked else value & ((1 << 7 * count) - 1), place + count
