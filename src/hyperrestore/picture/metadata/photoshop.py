"""Photoshop image resources: IPTC, clipping paths, the copyright flag and more."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from hyperrestore.picture.metadata.orientation import is_sideways, turned_point

HEADER = b"Photoshop 3.0\0"
_IPTC, _THUMBNAILS, _GUIDES, _RESOLUTION = 0x0404, (0x0409, 0x040C), (0x0408, 0x041A), 0x03ED
_DIGEST = 0x0425  # of IPTC
_NAMES = {0x040A: "copyright flag", 0x0401: "path", 0x0BB7: "clipping path", 0x040B: "address"}
_PATHS = (*range(2000, 2998), 0x0401)
# Of a path's records of 26 bytes: those that hold three points, of a knot and its two handles.
_KNOTS = (1, 2, 4, 5)
_ONE = 2**24  # a whole side of the picture, in fixed point


class Resource(NamedTuple):
    """A numbered resource with its name."""

    kind: bytes  # "8BIM", or of another program
    number: int
    name: bytes  # length byte and padding included
    data: bytes

    def packed(self) -> bytes:
        """As it stands in a file."""
        size = struct.pack(">I", len(self.data))
        return (
            self.kind
            + struct.pack(">H", self.number)
            + self.name
            + size
            + self.data
            + bytes(len(self.data) % 2)
        )


def resources(data: bytes) -> Iterator[Resource]:
    """Take Photoshop's block apart, as far as it can be read; a last one that is cut short ends it."""
    position = 0
    while position + 12 <= len(data) and data[position : position + 4].isalnum():
        kind, number = data[position : position + 4], *struct.unpack_from(">H", data, position + 4)
        end = position + 6 + (data[position + 6] // 2 + 1) * 2  # a length byte and the name, padded to even
        if end + 4 > len(data):
            return
        (size,) = struct.unpack_from(">I", data, end)
        if end + 4 + size > len(data):
            return
        yield Resource(kind, number, data[position + 6 : end], data[end + 4 : end + 4 + size])
        position = end + 4 + size + size % 2


def split_resources(data: bytes, orientation: int) -> tuple[bytes | None, bytes | None, tuple[str, ...]]:
    """Part IPTC from the other resources, and turn paths upright.

    The thumbnail goes: it shows the original picture.

    Args:
        data: Resources one after another, without `HEADER`.
        orientation: How the picture was stored, 1 to 8.

    Returns:
        IPTC-IIM records, the other resources, and a sentence for what is left out.
    """
    iptc = None
    others, read, notes = b"", 0, []
    for resource in resources(data):
        read += len(resource.packed())
        if resource.number == _IPTC and resource.kind == b"8BIM":
            iptc = iptc or resource.data
        elif resource.kind == b"8BIM" and resource.number in _THUMBNAILS:
            continue
        elif orientation > 1 and resource.number in _GUIDES:
            notes.append("left out Photoshop's guides and slices, which do not fit the upright picture")
        elif is_sideways(orientation) and resource.number == _RESOLUTION:
            data = resource.data
            others += resource._replace(data=data[8:16] + data[:8] + data[16:]).packed()
        elif orientation > 1 and resource.number in _PATHS:
            others += resource._replace(data=_turned_path(resource.data, orientation)).packed()
        else:
            others += resource.packed()
    if data[read:].strip(b"\0"):
        notes.append("left out a part of Photoshop's resources, which cannot be read")
    return iptc, others or None, tuple(dict.fromkeys(notes))


def scaled_resources(data: bytes, across: float, down: float) -> tuple[bytes, tuple[str, ...]]:
    """Multiply the resolution that stands among the resources: pixels per inch, in fixed point.

    Returns:
        The resources, and a sentence for what counts in pixels and goes.
    """
    if (across, down) == (1, 1):
        return data, ()
    scaled = b""
    notes: tuple[str, ...] = ()
    for resource in resources(data):
        if resource.number in _GUIDES:
            notes = ("left out Photoshop's guides and slices, which do not fit the enlarged picture",)
            continue
        if resource.number == _RESOLUTION and len(resource.data) == 16:
            values = list(struct.unpack(">IHHIHH", resource.data))
            values[0], values[3] = (
                min(round(value * factor), 2**32 - 1)
                for value, factor in ((values[0], across), (values[3], down))
            )
            resource = resource._replace(data=struct.pack(">IHHIHH", *values))
        scaled += resource.packed()
    return scaled, notes


def named_resources(data: bytes | None) -> str:
    """Name the resources for people, without those that only repeat what stands elsewhere."""
    numbers = [resource.number for resource in resources(data or b"")]
    names = [
        "path" if number in _PATHS else _NAMES.get(number, f"number {number}")
        for number in numbers
        if number not in (_RESOLUTION, _DIGEST)
    ]
    return ", ".join(dict.fromkeys(names))


def joined_resources(iptc: bytes | None, others: bytes | None) -> bytes:
    """Photoshop's block with IPTC in it, without `HEADER`."""
    block = Resource(b"8BIM", _IPTC, b"\0\0", iptc).packed() if iptc else b""
    return block + (others or b"")


def _turned_path(data: bytes, orientation: int) -> bytes:
    """Turn the points of a path; they are fractions of the picture, the vertical one first."""
    turned = bytearray(data)
    for start in range(0, len(data) - 25, 26):
        if struct.unpack_from(">H", data, start)[0] in _KNOTS:
            for place in range(start + 2, start + 26, 8):
                y, x = struct.unpack_from(">ii", data, place)
                x, y = turned_point(x, y, orientation, (_ONE, _ONE))
                struct.pack_into(">ii", turned, place, _fixed(y), _fixed(x))
    return bytes(turned)


def _fixed(value: float) -> int:
    return min(max(int(value), -(2**31)), 2**31 - 1)
