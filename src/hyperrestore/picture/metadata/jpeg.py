"""What a JPEG file holds besides its pixels: found, and put into a finished one."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hyperrestore.picture.containers.jpeg import JPEG, placed_segments
from hyperrestore.picture.containers.splice import insert
from hyperrestore.picture.metadata.companions import IMAGES_LEFT_OUT, VIDEO_LEFT_OUT
from hyperrestore.picture.metadata.extended_xmp import EXTENSION_HEADER, XMP_HEADER, xmp_segments
from hyperrestore.picture.metadata.photoshop import HEADER as PHOTOSHOP_HEADER

_EXIF_HEADER = b"Exif\0\0"
_APPLICATION, _COMMENT, _SCAN, _END = 0xE0, 0xFE, 0xDA, 0xD9
_SEGMENT = 65_533  # the most bytes of a segment behind its length
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")  # none of these begins a segment, or ends the picture
# Of how the file stores its pixels, or read by libvips.
_STRUCTURE = (b"JFIF\0", b"JFXX\0", b"Adobe")
_PROFILE = b"ICC_PROFILE\0"
_IMAGES = (b"MPF\0", b"urn:iso:std:iso:ts:21496:-1\0")
_CREDENTIALS = b"jumb"  # of the boxes in APP11 those in which C2PA signs a picture; others are of JPEG XT
_DENSITY_UNITS = {1: 25.4, 2: 10.0}  # millimetres
CREDENTIALS_LEFT_OUT = "left out its content credentials, which apply only to the original picture"


@dataclass(slots=True)
class JpegParts:
    """What stands beside the pixels of a JPEG file.

    Attributes:
        exif: EXIF block without its header.
        xmp: XMP packet without its header.
        extended: Segments of a second packet.
        photoshop: Photoshop's resources without their header.
        comments: Comments, in no known encoding.
        resolution: Pixels per millimetre (horizontal, vertical) by JFIF; None where it names no unit.
        has_profile: Whether there is any piece of a colour profile.
        notes: A sentence for all else, which is left out.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    extended: list[bytes] = field(default_factory=list)
    photoshop: bytes | None = None
    comments: list[bytes] = field(default_factory=list)
    resolution: tuple[float, float] | None = None
    has_profile: bool = False
    notes: list[str] = field(default_factory=list)


def read_jpeg_parts(path: Path) -> JpegParts:
    """Read all that stands beside the pixels; a damaged file is read as far as possible.

    Args:
        path: JPEG file.
    """
    parts = JpegParts()
    unknown: list[str] = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        scan = len(data)
        try:
            for marker, start, end in placed_segments(data):
                if marker == _SCAN:
                    scan = end
                    break
                segment = data[start:end]
                if marker == _COMMENT and segment:
                    parts.comments.append(segment)
                elif _APPLICATION <= marker < _APPLICATION + 16:
                    _sort(marker - _APPLICATION, segment, parts, unknown)
        except (IndexError, struct.error):  # cut off, or damaged: the decoder will say so
            pass
        _note_what_is_behind(data, _end_of_picture(data, scan), parts)
    if unknown:
        parts.notes.append(f"left out its segments {', '.join(dict.fromkeys(unknown))}")
    parts.notes = list(dict.fromkeys(parts.notes))
    return parts


def add_jpeg_metadata(
    path: Path,
    *,
    exif: bytes | None,
    xmp: bytes | None,
    photoshop: bytes,
    comments: Sequence[bytes],
    resolution: tuple[float, float] | None,
) -> None:
    """Put metadata into a JPEG file that has none but its colour profile.

    Args:
        path: The file, changed in place.
        exif: EXIF block of at most 65,527 bytes.
        xmp: XMP packet; `xmp_segments` can split it.
        photoshop: Photoshop's resources, without their header.
        comments: Of at most 65,533 bytes each.
        resolution: Pixels per millimetre (horizontal, vertical).
    """
    applications = [(0, _jfif(resolution))]
    if exif:
        applications.append((1, _EXIF_HEADER + exif))
    if xmp:
        applications += [(1, segment) for segment in xmp_segments(xmp) or ()]
    room = _SEGMENT - len(PHOTOSHOP_HEADER)
    applications += [
        (13, PHOTOSHOP_HEADER + photoshop[start : start + room]) for start in range(0, len(photoshop), room)
    ]
    head = b"".join(_packed(_APPLICATION + number, segment) for number, segment in applications)
    comment_segments = b"".join(_packed(_COMMENT, comment) for comment in comments)
    with path.open("rb") as file:
        place = len(JPEG)
        for marker, _, end in placed_segments(
            file.read(2**24)
        ):  # a profile has at most 255 segments of 64 KiB
            if not _APPLICATION <= marker < _APPLICATION + 16:
                break
            place = end
    insert(path, place, comment_segments)
    insert(path, len(JPEG), head)


def fits_jpeg(exif: bytes) -> bool:
    """Whether an EXIF block fits into the one segment that a JPEG file has for it."""
    return len(_EXIF_HEADER) + len(exif) <= _SEGMENT


def whole_density(resolution: tuple[float, float]) -> bool:
    """Whether JFIF, which counts whole dots per inch or centimetre, can hold a resolution."""
    return _density(resolution) is not None


def _sort(number: int, segment: bytes, parts: JpegParts, unknown: list[str]) -> None:
    """Take one segment of an application to where it belongs."""
    if number == 0 and segment.startswith(b"JFIF\0") and len(segment) >= 12:
        unit, across, down = struct.unpack_from(">BHH", segment, 7)
        if unit in _DENSITY_UNITS and across and down:
            parts.resolution = across / _DENSITY_UNITS[unit], down / _DENSITY_UNITS[unit]
        elif across != down:
            parts.notes.append(f"left out its pixel aspect ratio ({across}:{down})")
    elif number == 1 and segment.startswith(_EXIF_HEADER):
        if parts.exif is None:
            parts.exif = segment[len(_EXIF_HEADER) :]
        else:
            parts.notes.append("left out a second EXIF block")
    elif number == 1 and segment.startswith(XMP_HEADER):
        if parts.xmp is None:
            parts.xmp = segment[len(XMP_HEADER) :]
        else:
            parts.notes.append("left out a second XMP packet")
    elif number == 1 and segment.startswith(EXTENSION_HEADER):
        parts.extended.append(segment)
    elif number == 13 and segment.startswith(PHOTOSHOP_HEADER):
        parts.photoshop = (parts.photoshop or b"") + segment[len(PHOTOSHOP_HEADER) :]
    elif number == 2 and segment.startswith(_IMAGES):
        parts.notes.append(IMAGES_LEFT_OUT)
    elif number == 2 and segment.startswith(_PROFILE):
        parts.has_profile = True
    elif number == 11 and segment.startswith(b"JP") and _CREDENTIALS in segment[8:16]:
        parts.notes.append(CREDENTIALS_LEFT_OUT)
    elif not segment.startswith(_STRUCTURE):
        name = re.match(rb"[\w .:/-]{2,40}", segment)
        unknown.append(f"APP{number}" + (f" ({name[0].decode()})" if name else ""))


def _end_of_picture(data: mmap.mmap, position: int) -> int:
    """Where the pixels end, from where the first scan begins."""
    while match := _MARKER.search(data, position):
        if data[match.start() + 1] == _END:
            return match.end()
        length = data[match.end() : match.end() + 2]
        position = match.end() + (int.from_bytes(length, "big") if len(length) == 2 else 0)
    return len(data)


def _note_what_is_behind(data: mmap.mmap, end: int, parts: JpegParts) -> None:
    """Say what stands behind the picture, beyond padding."""
    rest = len(data) - end
    if not re.compile(rb"[^\x00\xff\s]").search(data, end):
        return
    if data.find(b"ftyp", end) >= 0:
        parts.notes.append(VIDEO_LEFT_OUT)
    elif data.find(b"\xff\xd8\xff", end) >= 0:
        parts.notes.append(IMAGES_LEFT_OUT)
    else:
        parts.notes.append(f"left out {rest} stray bytes after the picture")


def _packed(marker: int, segment: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(segment) + 2) + segment


def _jfif(resolution: tuple[float, float] | None) -> bytes:
    """JFIF's segment; where no resolution is known it says that pixels are square."""
    density = (0, 1, 1)
    if resolution:
        across, down = (min(max(round(value * 25.4), 1), 65_535) for value in resolution)
        density = _density(resolution) or (1, across, down)
    return b"JFIF\0" + struct.pack(">HBHHBB", 0x0101, *density, 0, 0)


def _density(resolution: tuple[float, float]) -> tuple[int, int, int] | None:
    for unit, millimetres in _DENSITY_UNITS.items():
        across, down = (value * millimetres for value in resolution)
        x, y = round(across), round(down)
        if max(abs(across - x), abs(down - y)) < 0.001 and 0 < min(x, y) <= max(x, y) < 2**16:
            return unit, x, y
    return None
