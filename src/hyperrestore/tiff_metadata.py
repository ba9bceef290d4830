"""The directories of TIFF files: EXIF and IPTC, which libvips leaves out or cuts short, and previews.

A TIFF file is a directory of tagged values that may hold further directories, and an EXIF block is a small
TIFF file, so EXIF moves between the two by moving directory entries.
"""

import mmap
import struct
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

_EXIF, _GPS, _INTEROPERABILITY, _IPTC = 0x8769, 0x8825, 0xA005, 0x83BB
_WIDTH, _HEIGHT, _EXIF_WIDTH, _EXIF_HEIGHT = 0x0100, 0x0101, 0xA002, 0xA003
# What a first directory says about the photo, not about how the file stores it: description, make, model,
# software, date, artist, copyright, rating, and the fields that Windows shows.
_DESCRIPTIVE = {
    0x010E,
    0x010F,
    0x0110,
    0x0131,
    0x0132,
    0x013B,
    0x4746,
    0x4749,
    0x8298,
    *range(0x9C9B, 0x9CA0),
}
_SUBFILE_TYPE, _DNG_VERSION = 0x00FE, 0xC612
_CARRIED = _DESCRIPTIVE | {_EXIF, _GPS}
# Bytes of a number, and numbers of a value, by TIFF 6.0 type: rationals are two numbers.
_SIZES = {
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
_PARTS = {5: 2, 10: 2}


_UNREADABLE = (struct.error, OverflowError)


class _Layout(NamedTuple):
    """Byte order and field widths; BigTIFF has 8-byte offsets where TIFF has 4."""

    order: str
    big: bool

    @property
    def count_format(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def offset_format(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def entry_format(self) -> str:
        return self.order + ("HHQ8s" if self.big else "HHI4s")


class _Value(NamedTuple):
    kind: int
    data: bytes  # numbers in the byte order of the file


_Directory = dict[int, "_Value | _Directory"]


def read_tiff_metadata(path: Path) -> tuple[bytes | None, bytes | None]:
    """Read the EXIF block and the IPTC records of a TIFF file.

    Args:
        path: TIFF or BigTIFF file.

    Returns:
        EXIF as a TIFF of its own, and IPTC-IIM records; each None where the file has none that can be read.
    """
    found = _first_directory(path)
    if found is None:
        return None, None
    layout, directory = found
    iptc = directory.get(_IPTC)
    carried: _Directory = {tag: value for tag, value in directory.items() if tag in _CARRIED}
    exif = None
    if carried:
        small = _Layout("<", big=False)
        exif = b"II*\0" + struct.pack("<I", 8) + _build(_ordered(carried, layout, small), 8, small)
    return exif, iptc.data if isinstance(iptc, _Value) else None


def without_thumbnail(exif: bytes) -> bytes:
    """Cut the thumbnail off an EXIF block: it shows the picture as it was, and not upright.

    Args:
        exif: EXIF block, a small TIFF.

    Returns:
        The block with nothing behind its first directory; one that cannot be read as it is.
    """
    try:
        layout, start = _header(exif)
        (count,) = struct.unpack_from(layout.count_format, exif, start)
        end = start + struct.calcsize(layout.count_format) + count * struct.calcsize(layout.entry_format)
        struct.unpack_from(layout.offset_format, exif, end)
    except _UNREADABLE:
        return exif
    width = struct.calcsize(layout.offset_format)
    return exif[:end] + bytes(width) + exif[end + width :]


def is_raw(path: Path) -> bool:
    """Tell whether a TIFF file is a camera raw file, in which a small preview stands before the photo.

    Args:
        path: TIFF or BigTIFF file.

    Returns:
        True for DNG, and where the first image says of itself that it is a smaller version of another.
    """
    found = _first_directory(path)
    if found is None:
        return False
    layout, directory = found
    kind = directory.get(_SUBFILE_TYPE)
    order: Literal["little", "big"] = "little" if layout.order == "<" else "big"
    is_preview = isinstance(kind, _Value) and int.from_bytes(kind.data, order) & 1 == 1
    return is_preview or _DNG_VERSION in directory


def add_tiff_metadata(path: Path, exif: bytes | None, iptc: bytes | None) -> None:
    """Add an EXIF block and IPTC records to a TIFF file of one page.

    A new first directory is appended and the header pointed to it; the pixels stay where they are.

    Args:
        path: TIFF or BigTIFF file, changed in place.
        exif: EXIF block, a small TIFF; one that cannot be read is left out.
        iptc: IPTC-IIM records.
    """
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            layout, start = _header(data)
            directory = _parse(data, start, layout)
        if iptc:
            directory[_IPTC] = _Value(7, iptc)
        if exif:
            try:
                source, start = _header(exif)
                added = _ordered(_parse(exif, start, source), source, layout)
            except _UNREADABLE:
                added = {}
            directory |= {tag: value for tag, value in added.items() if tag in _CARRIED}
            details = directory.get(_EXIF)
            if isinstance(details, dict):  # the size may be another one than the photo was taken in
                details |= {_EXIF_WIDTH: directory[_WIDTH], _EXIF_HEIGHT: directory[_HEIGHT]}
        end = file.seek(0, 2)
        file.write(bytes(end % 2))  # directories begin at even offsets
        file.write(_build(directory, end + end % 2, layout))
        file.seek(8 if layout.big else 4)
        file.write(struct.pack(layout.offset_format, end + end % 2))


def _first_directory(path: Path) -> tuple[_Layout, _Directory] | None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, start = _header(data)
            return layout, _parse(data, start, layout)
        except _UNREADABLE:  # cut short or pointing nowhere; the pixels may be fine all the same
            return None


def _header(data: bytes | mmap.mmap) -> tuple[_Layout, int]:
    order = "<" if data[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
    layout = _Layout(order, big=version == 43)
    (start,) = struct.unpack_from(layout.offset_format, data, 8 if layout.big else 4)
    return layout, start


def _parse(data: bytes | mmap.mmap, start: int, layout: _Layout, depth: int = 0) -> _Directory:
    """Read a directory and those inside it; entries that point outside the file are left out."""
    (count,) = struct.unpack_from(layout.count_format, data, start)
    position = start + struct.calcsize(layout.count_format)
    directory: _Directory = {}
    for _ in range(count):
        tag, kind, number, field = struct.unpack_from(layout.entry_format, data, position)
        position += struct.calcsize(layout.entry_format)
        if kind not in _SIZES:
            continue
        size = _SIZES[kind] * _PARTS.get(kind, 1) * number
        (offset,) = struct.unpack(layout.offset_format, field)
        if tag in (_EXIF, _GPS, _INTEROPERABILITY):
            if depth < 2 and 0 < offset < len(data):  # EXIF holds interoperability, and nothing goes deeper
                directory[tag] = _parse(data, offset, layout, depth + 1)
        elif size <= len(field):
            directory[tag] = _Value(kind, field[:size])
        elif offset + size <= len(data):
            directory[tag] = _Value(kind, data[offset : offset + size])
    return directory


def _ordered(directory: _Directory, source: _Layout, target: _Layout) -> _Directory:
    """Turn the numbers of a directory into another byte order."""
    if source.order == target.order:
        return directory
    turned: _Directory = {}
    for tag, value in directory.items():
        if isinstance(value, dict):
            turned[tag] = _ordered(value, source, target)
        else:
            numbers = np.frombuffer(value.data, f"u{_SIZES[value.kind]}")
            turned[tag] = _Value(value.kind, numbers.byteswap().tobytes())
    return turned


def _build(directory: _Directory, start: int, layout: _Layout) -> bytes:
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
            body += _build(value, body_start + len(body), layout)
        else:
            kind, number = value.kind, len(value.data) // (_SIZES[value.kind] * _PARTS.get(value.kind, 1))
            field = value.data.ljust(width, b"\0") if len(value.data) <= width else here
            body += value.data if len(value.data) > width else b""
        body += bytes(len(body) % 2)
        table += struct.pack(layout.entry_format, tag, kind, number, field)
    return table + bytes(width) + body
