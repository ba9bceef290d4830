"""The items of an AVIF file: pictures, EXIF and XMP (ISO 14496-12, 8.11)."""

from __future__ import annotations

from typing import NamedTuple

from hyperrestore.picture.containers.boxes import Box, Data, iso_boxes


class Extent(NamedTuple):
    """Where the fields stand that say where an item's only piece stands; each with its width in bytes."""

    base: int
    base_width: int
    offset: int
    offset_width: int
    length: int
    length_width: int


class Items(NamedTuple):
    """What a file says of its items.

    Attributes:
        kinds: Four bytes by number, as b"av01".
        extents: By number, for those in one piece.
        references: (kind, from, to), as (b"dimg", 1, 2): 1 is made of 2.
        primary: The number of the picture.
    """

    kinds: dict[int, bytes]
    extents: dict[int, Extent]
    references: list[tuple[bytes, int, int]]
    primary: int


def read_items(data: Data) -> Items:
    """Read what a file says of its items, as far as it can be read."""
    top = {box.name: box for box in iso_boxes(data, 0, len(data))}
    meta = top.get(b"meta", Box(b"meta", 0, 0))
    inner = {box.name: box for box in iso_boxes(data, meta.start + 4, meta.end)}
    kinds = _kinds(data, inner[b"iinf"]) if b"iinf" in inner else {}
    extents = _extents(data, inner[b"iloc"]) if b"iloc" in inner else {}
    references = _references(data, inner[b"iref"]) if b"iref" in inner else []
    primary = inner.get(b"pitm")
    number = _number(data, primary.start + 4, 4 if data[primary.start] else 2) if primary else 0
    return Items(kinds, extents, references, number)


def is_premultiplied(items: Items) -> bool:
    """Whether the colours of the picture are multiplied by its alpha (ISO/IEC 23008-12, 6.10.1.1)."""
    return any(kind == b"prem" and source == items.primary for kind, source, _ in items.references)


def further_pictures(items: Items) -> bool:
    """Whether there are pictures besides the primary one, its parts and its transparency."""
    parts = {items.primary}
    pictures = {
        number for number, kind in items.kinds.items() if kind in (b"av01", b"grid", b"iovl", b"tmap")
    }
    for kind, source, target in items.references:  # what a grid is made of comes behind it
        if kind == b"dimg" and source in parts and items.kinds.get(source) != b"tmap":
            parts.add(target)
    alphas = {source for kind, source, target in items.references if kind == b"auxl" and target in parts}
    # Which auxiliary picture is transparency stands in properties; more than one cannot all be that.
    masters = [target for kind, _, target in items.references if kind == b"auxl" and target == items.primary]
    alphas |= {target for kind, source, target in items.references if kind == b"dimg" and source in alphas}
    return bool(pictures - parts - alphas) or len(masters) > 1


def pixel_shape(data: Data) -> tuple[int, int] | None:
    """The width and height of a pixel to each other, as far as a file says so (ISO 14496-12, 12.1.4)."""
    start, end = 0, len(data)
    for name in (b"meta", b"iprp", b"ipco", b"pasp"):
        box = next((box for box in iso_boxes(data, start, end) if box.name == name), None)
        if box is None:
            return None
        start, end = box.start + (4 if name == b"meta" else 0), box.end
    return (_number(data, start, 4), _number(data, start + 4, 4)) if end - start >= 8 else None


def _number(data: Data, start: int, width: int) -> int:
    return int.from_bytes(data[start : start + width], "big")


def _kinds(data: Data, iinf: Box) -> dict[int, bytes]:
    count_width = 4 if data[iinf.start : iinf.start + 1] > b"\0" else 2
    kinds = {}
    for entry in iso_boxes(data, iinf.start + 4 + count_width, iinf.end):
        width = {2: 2, 3: 4}.get(_number(data, entry.start, 1))
        if width:
            start = entry.start + 4
            kinds[_number(data, start, width)] = bytes(data[start + width + 2 : start + width + 6])
    return kinds


def _extents(data: Data, iloc: Box) -> dict[int, Extent]:
    version = _number(data, iloc.start, 1)
    sizes = _number(data, iloc.start + 4, 2)
    offset_width, length_width, base_width, index_width = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    index_width = index_width if version else 0
    number_width = 4 if version == 2 else 2
    position = iloc.start + 6 + number_width
    found: dict[int, Extent] = {}
    while position + number_width + base_width + 4 <= iloc.end:
        item = _number(data, position, number_width)
        base = position + number_width + (2 if version else 0) + 2
        pieces = base + base_width
        count = _number(data, pieces, 2)
        offset = pieces + 2 + index_width
        if count == 1:
            found[item] = Extent(base, base_width, offset, offset_width, offset + offset_width, length_width)
        position = pieces + 2 + count * (index_width + offset_width + length_width)
    return found


def _references(data: Data, iref: Box) -> list[tuple[bytes, int, int]]:
    width = 4 if _number(data, iref.start, 1) else 2
    found = []
    for kind in iso_boxes(data, iref.start + 4, iref.end):
        source = _number(data, kind.start, width)
        for place in range(kind.start + width + 2, kind.end - width + 1, width):
            found.append((kind.name, source, _number(data, place, width)))
    return found
