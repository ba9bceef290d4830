"""An EXIF block, byte for byte, with nothing changed but what a turned or enlarged picture makes untrue.

Values are changed where they stand, or put behind the block where they need more room. So nothing else moves,
and offsets inside maker notes, which count from the beginning of the block, stay valid.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from hyperrestore.picture.metadata.orientation import is_sideways, turned_box, turned_pixel

_WIDTH, _HEIGHT, _ORIENTATION = 0x0100, 0x0101, 0x0112
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_EXIF, _GPS, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_EXIF_WIDTH, _EXIF_HEIGHT, _RELATED_WIDTH, _RELATED_HEIGHT = 0xA002, 0xA003, 0x1001, 0x1002
_SUBJECT_AREA, _SUBJECT_LOCATION = 0x9214, 0xA214
_FOCAL_X_RESOLUTION, _FOCAL_Y_RESOLUTION = 0xA20E, 0xA20F
_THUMBNAIL_PLACES = {0x0111: 0x0117, 0x0201: 0x0202}  # where its bytes stand: how many they are
_FORMATS = {1: "B", 3: "H", 4: "I"}  # of whole numbers, by their type
_SHORT, _LONG, _RATIONAL = 3, 4, 5
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
_INCH, _CENTIMETRE = 2, 3
_MILLIMETRES = {_INCH: 25.4, _CENTIMETRE: 10.0}
_MOST_ENTRIES = 4096  # a damaged count would make of any bytes a directory

PixelSize = tuple[int, int]


class _Entry(NamedTuple):
    tag: int
    kind: int
    number: int
    place: int  # where the entry begins
    start: int  # where its value begins
    end: int


class _Block:
    """A block and its directories; those that cannot be read are empty."""

    def __init__(self, block: bytes) -> None:
        self.data = bytearray(block)
        self.order = {b"II*\0": "<", b"MM\0*": ">"}[block[:4]]
        (start,) = struct.unpack_from(self.order + "I", block, 4)
        self.start = start
        self.first = self._directory(start)
        self.details = self._inner(self.first, _EXIF)
        self.place = self._inner(self.first, _GPS)
        self.interoperability = self._inner(self.details, _INTEROPERABILITY)
        self.link = (
            start + 2 + 12 * self._count(start)
        )  # where the offset of the thumbnail's directory stands

    def unpack(self, form: str, position: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + form, self.data, position)

    def pack(self, form: str, position: int, *values: int) -> None:
        struct.pack_into(self.order + form, self.data, position, *values)

    def thumbnail(self) -> dict[int, _Entry]:
        """The directory of the thumbnail."""
        if self.link + 4 > len(self.data):
            return {}
        return self._directory(self.unpack("I", self.link)[0])

    def numbers(self, entry: _Entry) -> tuple[int, ...]:
        """The whole numbers of an entry; none if it holds others."""
        form = _FORMATS.get(entry.kind)
        return self.unpack(f"{entry.number}{form}", entry.start) if form else ()

    def store(self, entry: _Entry, values: Sequence[int]) -> None:
        """Change the whole numbers of an entry, where they stand if they fit there."""
        form = _FORMATS[entry.kind]
        if max(values) < 256 ** _SIZES[entry.kind]:
            self.pack(f"{len(values)}{form}", entry.start, *values)
            return
        self.pack("H", entry.place + 2, _LONG)
        if len(values) == 1:
            self.pack("I", entry.place + 8, *values)
            return
        self.pack("I", entry.place + 8, self.append(struct.pack(f"{self.order}{len(values)}I", *values)))

    def append(self, data: bytes) -> int:
        """Put bytes behind the block, and tell where."""
        self.data += bytes(len(self.data) % 2)
        place = len(self.data)
        self.data += data
        return place

    def swap(self, directory: dict[int, _Entry], one: int, other: int) -> None:
        """Exchange the values of two entries, with their types."""
        if one in directory and other in directory:
            a, b = (slice(directory[tag].place + 2, directory[tag].place + 12) for tag in (one, other))
            self.data[a], self.data[b] = self.data[b], self.data[a]

    def _count(self, start: int) -> int:
        if not 8 <= start <= len(self.data) - 2:
            return 0
        return self.unpack("H", start)[0]

    def _inner(self, directory: dict[int, _Entry], tag: int) -> dict[int, _Entry]:
        entry = directory.get(tag)
        if entry is None or entry.kind not in (_LONG, 13) or entry.number != 1:
            return {}
        return self._directory(self.unpack("I", entry.start)[0])

    def entries(self, start: int) -> Iterator[_Entry]:
        """The entries of a directory that can be read, in their order."""
        count = self._count(start)
        if count > _MOST_ENTRIES or start + 2 + 12 * count > len(self.data):
            return
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number, offset = self.unpack("HHII", place)
            size = _SIZES.get(kind, 0) * number
            value = offset if size > 4 else place + 8
            if size and value + size <= len(self.data):
                yield _Entry(tag, kind, number, place, value, value + size)

    def _directory(self, start: int) -> dict[int, _Entry]:
        directory: dict[int, _Entry] = {}
        for entry in self.entries(start):
            directory.setdefault(entry.tag, entry)
        return directory


def is_readable(exif: bytes) -> bool:
    """Whether an EXIF block has a first directory that can be read."""
    block = _block(exif)
    return block is not None and bool(block.first)


def turned_exif(exif: bytes, orientation: int, size: PixelSize) -> bytes:
    """Say in an EXIF block that the picture is upright, and turn what has a place in it.

    The thumbnail goes: it shows the original picture, and not upright.

    Args:
        exif: EXIF block, a small TIFF.
        orientation: How the picture was stored, 1 to 8.
        size: Width and height of the stored picture, pixels.

    Returns:
        The block; one that cannot be read as it is.
    """
    block = _block(exif)
    if block is None:
        return exif
    _drop_thumbnail(block)
    for entry in block.entries(block.start):
        if entry.tag == _ORIENTATION and block.numbers(entry):  # some files say it twice
            block.store(entry, [1] * entry.number)
    for entry in _subjects(block):
        values = block.numbers(entry)
        if entry.number == 2:
            point = turned_pixel(values[0], values[1], orientation, size)
            block.store(entry, [_clipped(value) for value in point])
        else:
            block.store(entry, _turned_area(values, orientation, size))
    if is_sideways(orientation):
        block.swap(block.first, _X_RESOLUTION, _Y_RESOLUTION)
        block.swap(block.details, _FOCAL_X_RESOLUTION, _FOCAL_Y_RESOLUTION)
        size = (size[1], size[0])
    _write_size(block, size)
    return bytes(block.data)


def scaled_exif(exif: bytes, before: PixelSize, after: PixelSize) -> bytes:
    """Scale what counts in pixels: the subject's place, the picture's size, pixels per length of the sensor.

    Args:
        exif: EXIF block, a small TIFF.
        before: Width and height of the picture that it is about, pixels.
        after: Width and height of the picture that it is for.

    Returns:
        The block; one that cannot be read as it is.
    """
    block = _block(exif)
    if block is None:
        return exif
    across, down = after[0] / before[0], after[1] / before[1]
    if (across, down) != (1, 1):
        for entry in _subjects(block):
            factors = (
                (across, down, across, down) if entry.number != 3 else (across, down, (across + down) / 2)
            )
            values = zip(block.numbers(entry), factors[: entry.number], strict=True)
            block.store(entry, [_clipped(value * factor) for value, factor in values])
        for tag, factor in (
            (_FOCAL_X_RESOLUTION, Fraction(after[0], before[0])),
            (_FOCAL_Y_RESOLUTION, Fraction(after[1], before[1])),
        ):
            if (value := _rational(block, block.details.get(tag))) is not None:
                _store_rational(block, block.details[tag], value * factor)
    _write_size(block, after)
    return bytes(block.data)


def exif_resolution(exif: bytes) -> tuple[float, float] | None:
    """Pixels per millimetre (horizontal, vertical); None where the block does not say, or says no unit."""
    block = _block(exif)
    if block is None:
        return None
    across, down = (_rational(block, block.first.get(tag)) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    unit = _MILLIMETRES.get(_unit(block))
    if not across or not down or unit is None:
        return None
    return float(across) / unit, float(down) / unit


def resolution_entries(exif: bytes) -> list[tuple[int, int, bytes]]:
    """The entries that state a resolution, or that there is none: tag, type, value in little-endian order."""
    block = _block(exif)
    if block is None:
        return []
    across, down = (_rational(block, block.first.get(tag)) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    if across is None or down is None:
        return []
    return [
        (_X_RESOLUTION, _RATIONAL, struct.pack("<II", *across.as_integer_ratio())),
        (_Y_RESOLUTION, _RATIONAL, struct.pack("<II", *down.as_integer_ratio())),
        (_RESOLUTION_UNIT, _SHORT, struct.pack("<H", _unit(block))),
    ]


def with_resolution(exif: bytes | None, resolution: tuple[float, float]) -> bytes:
    """State a resolution in an EXIF block, unless it says the same already.

    Args:
        exif: EXIF block, a small TIFF; None for a new one.
        resolution: Pixels per millimetre (horizontal, vertical).

    Returns:
        The block; one that cannot be read as it is.
    """
    if exif is None:
        exif = b"MM\0*" + struct.pack(">IHI", 8, 0, 0)
    block = _block(exif)
    said = exif_resolution(exif)
    if block is None or (said and all(abs(a / b - 1) < 0.005 for a, b in zip(said, resolution, strict=True))):
        return exif
    unit = _unit(block) if _unit(block) in _MILLIMETRES else _INCH
    values = [
        Fraction(number * _MILLIMETRES[unit]).limit_denominator(10_000 if number < 10_000 else 1)
        for number in resolution
    ]
    tags = (_X_RESOLUTION, _Y_RESOLUTION)
    if all(_rational(block, block.first.get(tag)) is not None for tag in tags):
        for tag, value in zip(tags, values, strict=True):
            _store_rational(block, block.first[tag], value)
        if _RESOLUTION_UNIT in block.first and block.numbers(block.first[_RESOLUTION_UNIT]):
            block.store(block.first[_RESOLUTION_UNIT], [unit])
        return bytes(block.data)
    offsets = [
        block.append(struct.pack(block.order + "II", value.numerator, value.denominator)) for value in values
    ]
    added = {
        tag: struct.pack(block.order + "HHII", tag, _RATIONAL, 1, offset)
        for tag, offset in zip(tags, offsets, strict=True)
    }
    added[_RESOLUTION_UNIT] = struct.pack(block.order + "HHIHH", _RESOLUTION_UNIT, _SHORT, 1, unit, 0)
    _add_entries(block, added)
    return bytes(block.data)


def _block(exif: bytes) -> _Block | None:
    try:
        return _Block(exif)
    except (KeyError, struct.error):
        return None


def _subjects(block: _Block) -> Iterator[_Entry]:
    """Places in pixels, by their middle: points, circles (x, y, diameter), boxes (x, y, width, height)."""
    for directory in (block.first, block.details):
        for tag in (_SUBJECT_AREA, _SUBJECT_LOCATION):
            entry = directory.get(tag)
            if entry is not None and entry.kind in _FORMATS and 2 <= entry.number <= 4:
                yield entry


def _turned_area(values: tuple[int, ...], orientation: int, size: PixelSize) -> list[int]:
    """Turn a circle or a box."""
    x, y, *extent = values
    width, height = (extent * 2)[:2]
    left, top, wide, high = turned_box(x - width / 2, y - height / 2, width, height, orientation, size)
    middle = [_clipped(left + wide / 2), _clipped(top + high / 2)]
    return middle + [round(wide), round(high)][: len(extent)]


def _clipped(value: float) -> int:
    return min(max(round(value), 0), 2**32 - 1)


def _write_size(block: _Block, size: PixelSize) -> None:
    """State the picture's size wherever the block does."""
    for directory, tags in (
        (block.first, (_WIDTH, _HEIGHT)),
        (block.details, (_EXIF_WIDTH, _EXIF_HEIGHT)),
        (block.interoperability, (_RELATED_WIDTH, _RELATED_HEIGHT)),
    ):
        for tag, length in zip(tags, size, strict=True):
            entry = directory.get(tag)
            if entry is not None and entry.kind in _FORMATS and entry.number == 1:
                block.store(entry, [length])


def _unit(block: _Block) -> int:
    entry = block.first.get(_RESOLUTION_UNIT)
    return (block.numbers(entry) or (_INCH,))[0] if entry else _INCH  # the default of EXIF 2.3, 4.6.4


def _rational(block: _Block, entry: _Entry | None) -> Fraction | None:
    if entry is None or entry.kind != _RATIONAL or entry.number != 1:
        return None
    numerator, denominator = block.unpack("II", entry.start)
    return Fraction(numerator, denominator) if denominator else None


def _store_rational(block: _Block, entry: _Entry, value: Fraction) -> None:
    if max(value.numerator, value.denominator) >= 2**32:
        value = Fraction(value).limit_denominator(10_000)
    block.pack("II", entry.start, min(value.numerator, 2**32 - 1), value.denominator)


def _add_entries(block: _Block, added: dict[int, bytes]) -> None:
    """Build the first directory anew behind the block, with some more entries."""
    entries = {tag: bytes(block.data[entry.place : entry.place + 12]) for tag, entry in block.first.items()}
    entries |= added
    table = struct.pack(block.order + "H", len(entries))
    table += b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    block.pack("I", 4, block.append(table))


def _drop_thumbnail(block: _Block) -> None:
    """Cut the directory of the thumbnail off, and remove its bytes where nothing else stands in them."""
    directory = block.thumbnail()
    if block.link + 4 > len(block.data):
        return
    (start,) = block.unpack("I", block.link)
    block.pack("I", block.link, 0)
    if not directory:
        return
    old = [(start, start + 2 + 12 * len(directory) + 4), *_extents(directory)]
    for where, size in _THUMBNAIL_PLACES.items():
        if where in directory and size in directory:
            places, sizes = block.numbers(directory[where]), block.numbers(directory[size])
            old += [(place, place + length) for place, length in zip(places, sizes, strict=False)]
    used = [(0, 8)]
    for kept in (block.first, block.details, block.place, block.interoperability):
        used += _extents(kept)
        if kept:
            first = min(entry.place for entry in kept.values()) - 2
            used.append((first, max(entry.place for entry in kept.values()) + 16))
    free = [
        (begin, min(end, len(block.data)))
        for begin, end in old
        if begin < end and not any(begin < stop and start < end for start, stop in used)
    ]
    for begin, end in sorted(free, reverse=True):
        if end == len(block.data):
            del block.data[begin:]
        elif begin < len(block.data):
            block.data[begin:end] = bytes(end - begin)


def _extents(directory: dict[int, _Entry]) -> list[tuple[int, int]]:
    """Where values stand outside of their entries."""
    return [(entry.start, entry.end) for entry in directory.values() if entry.start != entry.place + 8]
