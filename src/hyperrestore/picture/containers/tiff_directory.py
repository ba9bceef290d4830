"""The directories of a TIFF file: tagged values that may hold further directories, read and laid out.

An EXIF block is a small TIFF file, so EXIF moves between the two by moving directory entries.
"""

import mmap
import struct
from typing import NamedTuple

import numpy as np

EXIF, GPS, INTEROPERABILITY, SUBDIRECTORIES = 0x8769, 0x8825, 0xA005, 0x014A
# Bytes of a number, and numbers of a value, by TIFF 6.0 type: rationals are two numbers.
SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 4,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 4,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
PARTS = {5: 2, 10: 2}
_WHOLE_KINDS = (1, 3, 4, 13, 16, 18)
LARGE_KINDS = (16, 17, 18)  # only BigTIFF has them
OFFSET_KINDS = (13, 18)  # where other directories stand
_NUMBERS = {6: "i1", 8: "i2", 9: "i4", 10: "i4", 11: "f4", 12: "f8", 17: "i8"}
UNREADABLE = (struct.error, OverflowError)
_MOST_DIRECTORIES = 2**16


class Layout(NamedTuple):
    """Byte order and field widths; BigTIFF has 8-byte offsets where TIFF has 4."""

    order: str
    big: bool

    @property
    def count_format(self) -> str:
        """Of the number of entries."""
        return self.order + ("Q" if self.big else "H")

    @property
    def offset_format(self) -> str:
        """Of a place in the file."""
        return self.order + ("Q" if self.big else "I")

    @property
    def entry_format(self) -> str:
        """Of an entry: tag, type, number of values, and the values themselves or their place."""
        return self.order + ("HHQ8s" if self.big else "HHI4s")


class Value(NamedTuple):
    """What stands under a tag: its TIFF type, and numbers in the byte order of the file."""

    kind: int
    data: bytes


Directory = dict[int, "Value | Directory"]


class TiffTag(NamedTuple):
    """A tag on its own, as it travels from one file to another.

    Attributes:
        number: Of the tag.
        kind: TIFF type of its values.
        data: The values, little-endian.
    """

    number: int
    kind: int
    data: bytes

    @property
    def name(self) -> str:
        """As the specification that defines it has it, or its number."""
        from PIL import TiffTags  # here, because few files need it

        name = TiffTags.lookup(self.number).name
        return f"tag {self.number}" if name == "unknown" else name


def numbers(directory: Directory, tag: int, layout: Layout) -> list[float]:
    """The numbers under a tag, rationals divided; none where the tag is missing or holds a directory."""
    value = directory.get(tag)
    if not isinstance(value, Value):
        return []
    kind = _NUMBERS.get(value.kind, f"u{SIZES[value.kind]}")
    parts = np.frombuffer(value.data, layout.order + kind)
    if value.kind in PARTS:
        pairs = parts.reshape(-1, 2).tolist()
        return [above / below if below else float("nan") for above, below in pairs]
    found: list[float] = parts.tolist()
    return found


def whole_numbers(directory: Directory, tag: int, layout: Layout) -> list[int]:
    """As `numbers`, of a tag that holds whole numbers; none where it holds others."""
    value = directory.get(tag)
    if not isinstance(value, Value) or value.kind not in _WHOLE_KINDS:
        return []
    return [int(number) for number in numbers(directory, tag, layout)]


def header(data: bytes | mmap.mmap) -> tuple[Layout, int]:
    """Byte order and widths of a TIFF, and where its first directory begins."""
    order = "<" if data[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
    layout = Layout(order, big=version == 43)
    (start,) = struct.unpack_from(layout.offset_format, data, 8 if layout.big else 4)
    return layout, start


def chain(data: bytes | mmap.mmap) -> tuple[Layout, list[Directory]]:
    """All directories that follow each other; one that cannot be read ends them, unless it is the first."""
    layout, start = header(data)
    found: list[Directory] = []
    seen: set[int] = set()
    while start and start not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(start)
        try:
            found.append(parse(data, start, layout))
            (count,) = struct.unpack_from(layout.count_format, data, start)
            end = start + struct.calcsize(layout.count_format) + count * struct.calcsize(layout.entry_format)
            (start,) = struct.unpack_from(layout.offset_format, data, end)
        except UNREADABLE:
            if not found:
                raise
            break
    return layout, found


def parse(data: bytes | mmap.mmap, start: int, layout: Layout, depth: int = 0) -> Directory:
    """Read a directory and those inside it; entries that point outside the file are left out."""
    (count,) = struct.unpack_from(layout.count_format, data, start)
    position = start + struct.calcsize(layout.count_format)
    directory: Directory = {}
    for _ in range(count):
        tag, kind, number, field = struct.unpack_from(layout.entry_format, data, position)
        position += struct.calcsize(layout.entry_format)
        if kind not in SIZES:
            continue
        size = SIZES[kind] * PARTS.get(kind, 1) * number
        (offset,) = struct.unpack_from(layout.offset_format, field)
        if tag in (EXIF, GPS, INTEROPERABILITY):
            if depth < 2 and 0 < offset < len(data):  # EXIF holds interoperability, and nothing goes deeper
                directory[tag] = parse(data, offset, layout, depth + 1)
        elif size <= len(field):
            directory[tag] = Value(kind, field[:size])
        elif offset + size <= len(data):
            directory[tag] = Value(kind, data[offset : offset + size])
    return directory


def ordered(directory: Directory, source: Layout, target: Layout) -> Directory:
    """Turn the numbers of a directory into another byte order."""
    if source.order == target.order:
        return directory
    turned: Directory = {}
    for tag, value in directory.items():
        if isinstance(value, dict):
            turned[tag] = ordered(value, source, target)
        else:
            turned[tag] = Value(
                value.kind, np.frombuffer(value.data, f"u{SIZES[value.kind]}").byteswap().tobytes()
            )
    return turned


def build(directory: Directory, start: int, layout: Layout) -> bytes:
    """Lay out a directory that begins at `start`; larger values and inner directories follow it."""
    width = struct.calcsize(layout.offset_format)
    table = struct.pack(layout.count_format, len(directory))
    body = b""
    body_start = start + len(table) + struct.calcsize(layout.entry_format) * len(directory) + width
    for tag in sorted(directory):
        value = directory[tag]
        here = struct.pack(layout.offset_format, body_start + len(body))
        if isinstance(value, dict):
            kind, number, field = (18 if layout.big else 4), 1, here
            body += build(value, body_start + len(body), layout)
        else:
            kind, number = value.kind, len(value.data) // (SIZES[value.kind] * PARTS.get(value.kind, 1))
            field = value.data.ljust(width, b"\0") if len(value.data) <= width else here
            body += value.data if len(value.data) > width else b""
        body += bytes(len(body) % 2)
        table += struct.pack(layout.entry_format, tag, kind, number, field)
    return table + bytes(width) + body
