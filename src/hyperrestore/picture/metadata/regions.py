"""What XMP says about places in a picture, turned and scaled with it.

Faces and other regions of the Metadata Working Group, ACDSee, Microsoft and IPTC; the subject's place, the
picture's size and its resolution as copied from EXIF and TIFF; panoramas of Google.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hyperrestore.picture.metadata.orientation import (
    Size,
    is_sideways,
    turned_box,
    turned_pixel,
    turned_point,
    turned_size,
)
from hyperrestore.picture.metadata.xmp import RDF, Edit, Element, Value, edited, parse_xmp

_AREAS = ("{http://ns.adobe.com/xmp/sType/Area#}", "{http://ns.acdsee.com/sType/Area#}")
_DIMENSIONS = ("{http://ns.adobe.com/xap/1.0/sType/Dimensions#}", "{http://ns.acdsee.com/sType/Dimensions#}")
_APPLIED = (
    "{http://www.metadataworkinggroup.com/schemas/regions/}AppliedToDimensions",
    "{http://ns.acdsee.com/regions/}AppliedToDimensions",
)
_MICROSOFT = "{http://ns.microsoft.com/photo/1.2/t/Region#}Rectangle"
_IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_EXIF, _TIFF = "{http://ns.adobe.com/exif/1.0/}", "{http://ns.adobe.com/tiff/1.0/}"
_SUBJECTS = (_EXIF + "SubjectArea", _EXIF + "SubjectLocation")
_SIZES = (
    (_TIFF + "ImageWidth", _TIFF + "ImageLength"),
    (_EXIF + "PixelXDimension", _EXIF + "PixelYDimension"),
)
_SWAPPED = (
    (_TIFF + "XResolution", _TIFF + "YResolution"),
    (_EXIF + "FocalPlaneXResolution", _EXIF + "FocalPlaneYResolution"),
)
_PANORAMA = "{http://ns.google.com/photos/1.0/panorama/}"
_PANORAMA_LENGTHS = {
    "CroppedAreaImageWidthPixels": 0, "FullPanoWidthPixels": 0, "CroppedAreaLeftPixels": 0,
    "CroppedAreaImageHeightPixels": 1, "FullPanoHeightPixels": 1, "CroppedAreaTopPixels": 1,
}  # fmt: skip


class _Change(NamedTuple):
    """A picture is turned, then scaled."""

    orientation: int
    before: Size  # as stored
    after: Size

    @property
    def factors(self) -> tuple[float, float]:
        """By which widths and heights of the upright picture grow."""
        width, height = turned_size(self.before, self.orientation)
        return self.after[0] / width, self.after[1] / height


def fitted_xmp(xmp: bytes, orientation: int, before: tuple[int, int], after: tuple[int, int]) -> bytes | None:
    """Turn and scale what an XMP packet says about places, and let it say that the picture is upright.

    Args:
        xmp: The packet.
        orientation: How the picture was stored, 1 to 8; 1 where it is only scaled.
        before: Width and height of the stored picture, pixels.
        after: Width and height of the picture to be.

    Returns:
        The packet, in which nothing else is changed; None if it cannot be read.
    """
    root = parse_xmp(xmp)
    if root is None:
        return None
    change = _Change(orientation, before, after)
    applied = next(_applied(xmp, root), before)
    edits: list[Edit] = []
    fields_of = {id(element): element.fields(xmp) for element in root.walk()}
    for element in root.walk():
        fields = fields_of[id(element)]
        edits += _of_the_file(fields, change)
        if element.name in _SUBJECTS:
            edits += _subject(element, xmp, change)
        if (orientation, change.factors) == (1, (1, 1)):
            continue
        if element.name in _APPLIED or (element.parent and element.parent.name in _APPLIED):
            edits += _dimensions(fields, change)
        for prefix in _AREAS:
            edits += _area(fields, prefix, change, applied)
        edits += _microsoft(fields, change)
        edits += _iptc(fields, change, in_pixels=_iptc_unit(element, fields_of) == "pixel")
        edits += _panorama(fields, change)
    return edited(xmp, edits)


def _of_the_file(fields: dict[str, Value], change: _Change) -> Iterator[Edit]:
    """Orientation, size and resolution, which may stand in XMP as copies."""
    if (value := fields.get(_TIFF + "Orientation")) and value.text.strip() != "1":
        yield value.replaced("1")
    for names in _SIZES:
        for name, length in zip(names, change.after, strict=True):
            if (value := fields.get(name)) and value.text.strip() != str(round(length)):
                yield value.replaced(str(round(length)))
    for one, other in _SWAPPED if is_sideways(change.orientation) else ():
        if one in fields and other in fields and fields[one].text != fields[other].text:
            yield fields[one].replaced(_plain(fields[other].text))
            yield fields[other].replaced(_plain(fields[one].text))


def _applied(data: bytes, root: Element) -> Iterator[Size]:
    """The size in pixels that regions say they are for."""
    for element in root.walk():
        if element.name in _APPLIED or (element.parent and element.parent.name in _APPLIED):
            fields = element.fields(data)
            for prefix in _DIMENSIONS:
                numbers = _numbers([fields.get(prefix + "w"), fields.get(prefix + "h")])
                if numbers and min(numbers) > 0 and _unit(fields, prefix) in ("", "pixel"):
                    yield numbers[0], numbers[1]


def _dimensions(fields: dict[str, Value], change: _Change) -> Iterator[Edit]:
    for prefix in _DIMENSIONS:
        values = [fields.get(prefix + "w"), fields.get(prefix + "h")]
        if numbers := _numbers(values):
            factors = change.factors if _unit(fields, prefix) in ("", "pixel") else (1.0, 1.0)
            turned = turned_size((numbers[0], numbers[1]), change.orientation)
            yield from _replaced(values, [a * b for a, b in zip(turned, factors, strict=True)])


def _area(fields: dict[str, Value], prefix: str, change: _Change, applied: Size) -> Iterator[Edit]:
    """A point, circle or box by its middle, in fractions of the picture or in pixels."""
    place = [fields.get(prefix + name) for name in "xy"]
    extent = [fields.get(prefix + name) for name in "wh"]
    numbers = _numbers(place)
    if not numbers:
        return
    in_pixels = _unit(fields, prefix) in ("pixel", "pixels")
    factors = change.factors if in_pixels else (1.0, 1.0)
    size = applied if in_pixels else (1.0, 1.0)
    middle = turned_point(numbers[0], numbers[1], change.orientation, size)
    yield from _replaced(place, [a * b for a, b in zip(middle, factors, strict=True)])
    if lengths := _numbers(extent):
        turned = turned_size((lengths[0], lengths[1]), change.orientation)
        yield from _replaced(extent, [a * b for a, b in zip(turned, factors, strict=True)])
    diameter = [fields.get(prefix + "d")]
    if in_pixels and (number := _numbers(diameter)):
        yield from _replaced(diameter, [number[0] * sum(factors) / 2])


def _microsoft(fields: dict[str, Value], change: _Change) -> Iterator[Edit]:
    """A box in fractions of the picture, as one text: left, top, width, height."""
    if value := fields.get(_MICROSOFT):
        numbers = _floats(value.text.split(","))
        if len(numbers) == 4 and change.orientation > 1:
            left, top, wide, high = numbers
            turned = turned_box(left, top, wide, high, change.orientation)
            texts = [part.strip() for part in value.text.split(",")]
            written = [_written(number, text) for number, text in zip(turned, texts, strict=True)]
            yield value.replaced(", ".join(written))


def _iptc(fields: dict[str, Value], change: _Change, *, in_pixels: bool) -> Iterator[Edit]:
    """A box by its corner, a circle by its middle, or a corner of a polygon."""
    place = [fields.get(_IPTC + "rbX"), fields.get(_IPTC + "rbY")]
    numbers = _numbers(place)
    if not numbers:
        return
    size = change.before if in_pixels else (1.0, 1.0)
    across, down = change.factors if in_pixels else (1.0, 1.0)
    extent = [fields.get(_IPTC + "rbW"), fields.get(_IPTC + "rbH")]
    if lengths := _numbers(extent):
        left, top, wide, high = turned_box(
            numbers[0], numbers[1], lengths[0], lengths[1], change.orientation, size
        )
        yield from _replaced(place, [left * across, top * down])
        yield from _replaced(extent, [wide * across, high * down])
        return
    x, y = turned_point(numbers[0], numbers[1], change.orientation, size)
    yield from _replaced(place, [x * across, y * down])
    radius = [fields.get(_IPTC + "rbRx")]
    if number := _numbers(radius):  # in fractions it counts in widths of the picture
        factor = (across + down) / 2
        if not in_pixels and is_sideways(change.orientation):
            factor = change.before[0] / change.before[1]
        yield from _replaced(radius, [number[0] * factor])


def _iptc_unit(element: Element | None, fields_of: dict[int, dict[str, Value]]) -> str:
    """The unit of a boundary, which its corners share."""
    while element is not None:
        if value := fields_of[id(element)].get(_IPTC + "rbUnit"):
            return value.text.strip()
        if element.name == _IPTC + "RegionBoundary":
            break
        element = element.parent
    return "relative"


def _subject(element: Element, data: bytes, change: _Change) -> Iterator[Edit]:
    """A point, circle or box by its middle, in pixels, as a list."""
    values = [item.value(data) for item in element.walk() if item.name == RDF + "li" and not item.children]
    numbers = _numbers(values)
    if not numbers or not 2 <= len(numbers) <= 4:
        return
    across, down = change.factors
    if len(numbers) == 2:
        x, y = turned_pixel(numbers[0], numbers[1], change.orientation, change.before)
    else:
        x, y = turned_point(numbers[0], numbers[1], change.orientation, change.before)
    extent = numbers[2:]
    if len(extent) == 2:
        wide, high = turned_size((extent[0], extent[1]), change.orientation)
        extent = [wide * across, high * down]
    else:
        extent = [length * (across + down) / 2 for length in extent]
    yield from _replaced(values, [x * across, y * down, *extent])


def _panorama(fields: dict[str, Value], change: _Change) -> Iterator[Edit]:
    for name, axis in _PANORAMA_LENGTHS.items():
        values = [fields.get(_PANORAMA + name)]
        if number := _numbers(values):
            yield from _replaced(values, [number[0] * change.factors[axis]])


def _unit(fields: dict[str, Value], prefix: str) -> str:
    value = fields.get(prefix + "unit")
    return value.text.strip() if value else ""


def _numbers(values: Sequence[Value | None]) -> list[float]:
    """The numbers of some texts; none if one is missing or no number."""
    found = [value.text for value in values if value is not None]
    return _floats(found) if len(found) == len(values) else []


def _floats(texts: Sequence[str]) -> list[float]:
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return []
    return numbers if all(math.isfinite(number) for number in numbers) else []


def _replaced(values: Sequence[Value | None], numbers: Sequence[float]) -> Iterator[Edit]:
    for value, number in zip(values, numbers, strict=True):
        if value is not None and float(value.text) != number:
            yield value.replaced(_written(number, value.text))


def _written(number: float, like: str) -> str:
    """A number with the decimals of another one, at least six; whole where that one is whole."""
    decimals = len(like.strip().partition(".")[2])
    if not decimals and abs(float(like)) > 1:
        return str(round(number))
    return f"{number:.{min(max(6, decimals), 17)}f}".rstrip("0").rstrip(".") or "0"


def _plain(text: str) -> str:
    """A text without what means something to XML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;").replace("'", "&apos;")
