"""What a TIFF file says besides its pixels, which libvips leaves out or cuts short.

Everything is carried that says something about the picture or its making, known or not: all tags but those
of the storage of pixels, which the new file has of its own.
"""

import mmap
import struct
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hyperrestore.picture.containers.geotiff import POSITION, resized_position, without_position
from hyperrestore.picture.containers.tiff_directory import (
    EXIF,
    GPS,
    INTEROPERABILITY,
    LARGE_KINDS,
    OFFSET_KINDS,
    SUBDIRECTORIES,
    UNREADABLE,
    Directory,
    Layout,
    TiffTag,
    Value,
    build,
    header,
    numbers,
    ordered,
    parse,
    whole_numbers,
)
from hyperrestore.picture.containers.tiff_pages import TiffPage

_WIDTH, _HEIGHT, _EXIF_WIDTH, _EXIF_HEIGHT = 0x0100, 0x0101, 0xA002, 0xA003
_ACROSS, _DOWN, _UNIT = RESOLUTION = 0x011A, 0x011B, 0x0128
_UNITS = {2: 25.4, 3: 10.0}  # millimetres of inches and centimetres
_XMP, _IPTC, PHOTOSHOP, PROFILE, _EXTRA_SAMPLES = 0x02BC, 0x83BB, 0x8649, 0x8773, 0x0152
_LAYERS, _BLACK_WHITE = 0x935C, 0x0214
# What other formats keep as EXIF, too.
_DESCRIPTIVE = {
    0x010E, 0x010F, 0x0110,  # description, make, model
    0x0131, 0x0132, 0x013B, 0x013C,  # software, date, artist, host computer
    0x013E, 0x013F,  # white point, primaries
    0x4746, 0x4749, 0x8298,  # rating, in stars and in percent; copyright
    *range(0x9C9B, 0x9CA0),  # the fields that Windows shows
}  # fmt: skip
# How a file stores its picture.
_LAYOUT = {
    *range(0x00FE, 0x010B),  # kind, size, bits, compression, photometric interpretation, cells, fill order
    0x0111, 0x0112, *range(0x0115, 0x011A),  # strips, orientation, samples, their least and greatest
    0x011C, 0x0120, 0x0121, 0x0124, 0x0125,  # planes, free space, options of fax
    0x013D, *range(0x0140, 0x0149), SUBDIRECTORIES,  # predictor, palette, halftones, tiles, lines of fax
    *range(0x014C, 0x014F), 0x0150, *range(0x0152, 0x0156),  # inks, extra samples, format of samples
    0x015A, 0x015B, *range(0x0200, 0x020A),  # indexed colours, JPEG
    *range(0x0211, 0x0214), 0x022F,  # YCbCr, strips of TIFF-FX
    *range(0x80E3, 0x80E7), *range(0x84E3, 0x84ED),  # SGI's alpha, type and depth; runs of TIFF/IT
    0x828D, 0x828E, 0x923F, 0xC5F2,  # filter of a sensor, LogLuv, LERC
}  # fmt: skip
# What the numbers of samples stand for: curve of grey, transfer function and range, black and white.
_MEANING = {0x0122, 0x0123, 0x012D, 0x0156, _BLACK_WHITE}
# Offsets under types of numbers: of TIFF-FX, EXIF, MetaMorph, Zeiss and DNG.
_POINTERS = {0x0190, INTEROPERABILITY, *range(0x835C, 0x8360), 0x866C, 0xC6F5}
_ELSEWHERE = {EXIF, GPS, _XMP, _IPTC, PROFILE}  # read and written by their own ways
_CLIP_PATH = {0x0157, 0x0158, 0x0159}  # and its units


class TiffMetadata(NamedTuple):
    """What a TIFF file says besides its pixels.

    Attributes:
        exif: Descriptive tags, EXIF and place as a TIFF of their own, or None.
        iptc: IPTC-IIM records, or None, without those inside Photoshop's resources.
        xmp: XMP packet, or None.
        tags: All others.
        notes: A sentence for everything that cannot be carried.
    """

    exif: bytes | None = None
    iptc: bytes | None = None
    xmp: bytes | None = None
    tags: tuple[TiffTag, ...] = ()
    notes: tuple[str, ...] = ()


def read_tiff_metadata(page: TiffPage, *, orientation: int, recoded: bool) -> TiffMetadata:
    """Read the metadata of the picture in a TIFF file, which may stand beside a preview in front of it.

    Args:
        page: The picture.
        orientation: Of the stored pixels, 1 to 8; the pixels that are given on are upright.
        recoded: Whether the numbers of the samples become others, as those of a palette do.
    """
    little = Layout("<", page.layout.big)
    directory = dict(page.directory)
    for tag in (_DESCRIPTIVE | {EXIF, GPS, _XMP, _IPTC, PHOTOSHOP}) & page.first.keys() - directory.keys():
        directory[tag] = page.first[tag]
    iptc, xmp = directory.get(_IPTC), directory.get(_XMP)
    carried = _DESCRIPTIVE | {EXIF, GPS}
    described: Directory = {tag: value for tag, value in directory.items() if tag in carried}
    exif = None
    if described:
        small = Layout("<", big=False)
        exif = b"II*\0" + struct.pack("<I", 8) + build(ordered(described, page.layout, small), 8, small)
    others: Directory = {
        tag: value for tag, value in directory.items() if tag not in carried | _LAYOUT | _ELSEWHERE
    }
    tags, notes = _carried_tags(ordered(others, page.layout, little), recoded)
    if orientation != 1:
        tags, lost = _upright(tags, orientation)
        notes += lost
    return TiffMetadata(
        exif,
        iptc.data if isinstance(iptc, Value) else None,
        xmp.data if isinstance(xmp, Value) else None,
        tags,
        notes,
    )


def resolution_of(tags: tuple[TiffTag, ...]) -> tuple[float, float] | None:
    """Pixels per millimetre (horizontal, vertical), or None where tags do not say so, or beyond reason."""
    layout = Layout("<", big=False)
    directory: Directory = {tag.number: Value(tag.kind, tag.data) for tag in tags if tag.number in RESOLUTION}
    across, down = (next(iter(numbers(directory, tag, layout)), 0.0) for tag in (_ACROSS, _DOWN))
    unit = _UNITS.get(next(iter(whole_numbers(directory, _UNIT, layout)), 2))
    if unit is None or not (0 < across / unit <= 1e6 and 0 < down / unit <= 1e6):
        return None
    return across / unit, down / unit


def is_square(tags: tuple[TiffTag, ...]) -> bool:
    """Tell whether tags say of pixels nothing else than that they are square, if that."""
    across, down = (next((tag.data for tag in tags if tag.number == one), b"") for one in (_ACROSS, _DOWN))
    return across == down


def needs_bigtiff(tags: tuple[TiffTag, ...]) -> bool:
    """Tell whether a tag is of a type that only BigTIFF has."""
    return any(tag.kind in LARGE_KINDS for tag in tags)


def add_tiff_metadata(
    path: Path,
    metadata: TiffMetadata,
    *,
    extra_samples: tuple[int, ...] = (),
    resolution: tuple[float, float] | None = None,
) -> None:
    """Add metadata to a TIFF file of one page.

    A new first directory is appended and the header pointed to it; the pixels stay where they are.

    Args:
        path: TIFF or BigTIFF file, changed in place.
        metadata: What to add, but for XMP; an EXIF block that cannot be read is left out.
        extra_samples: Meaning of the samples that are no colours, if the file says otherwise.
        resolution: Pixels per millimetre, as the file has it. Tags that say the same are taken as they are;
            without it and them the file says nothing of it.
    """
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            layout, start = header(data)
            directory = parse(data, start, layout)
        directory |= _added(metadata, layout, directory)
        _set_resolution(directory, metadata.tags, resolution, layout)
        if extra_samples:
            shorts = struct.pack(f"{layout.order}{len(extra_samples)}H", *extra_samples)
            directory[_EXTRA_SAMPLES] = Value(3, shorts)
        end = file.seek(0, 2)
        file.write(bytes(end % 2))  # directories begin at even offsets
        file.write(build(directory, end + end % 2, layout))
        file.seek(8 if layout.big else 4)
        file.write(struct.pack(layout.offset_format, end + end % 2))


def _added(metadata: TiffMetadata, layout: Layout, own: Directory) -> Directory:
    """The entries that metadata bring into a file."""
    reserved = _LAYOUT | _MEANING | _POINTERS | set(RESOLUTION) | {_XMP, _IPTC, PROFILE}
    added: Directory = {}
    if metadata.exif:
        try:
            source, start = header(metadata.exif)
            block = ordered(parse(metadata.exif, start, source), source, layout)
        except UNREADABLE:
            block = {}
        added |= {tag: value for tag, value in block.items() if tag not in reserved}
        details = added.get(EXIF)
        if isinstance(details, dict):  # the size may be another one than the photo was taken in
            details |= {_EXIF_WIDTH: own[_WIDTH], _EXIF_HEIGHT: own[_HEIGHT]}
    tags: Directory = {
        tag.number: Value(tag.kind, tag.data) for tag in metadata.tags if tag.number not in RESOLUTION
    }
    added |= ordered(tags, Layout("<", layout.big), layout)
    if metadata.iptc:
        added[_IPTC] = Value(7, metadata.iptc)
    return added


def _set_resolution(
    directory: Directory, tags: tuple[TiffTag, ...], resolution: tuple[float, float] | None, layout: Layout
) -> None:
    """Take the resolution as tags say it, or leave the file's own, which is `resolution`, or say nothing."""
    said = resolution_of(tags)
    is_said = said == resolution or (said and resolution and np.allclose(said, resolution, rtol=1e-6))
    if resolution is not None and not is_said:
        return
    for tag in RESOLUTION:
        directory.pop(tag, None)
    if is_said:
        values: Directory = {tag.number: Value(tag.kind, tag.data) for tag in tags}
        values = {tag: value for tag, value in values.items() if tag in RESOLUTION}
        directory |= ordered(values, Layout("<", layout.big), layout)


def _carried_tags(directory: Directory, recoded: bool) -> tuple[tuple[TiffTag, ...], tuple[str, ...]]:
    """Tags, little-endian, that mean the same in another file, and a sentence for each kind that does not."""
    tags, offsets, meanings = [], [], []
    notes: tuple[str, ...] = ()
    for number, value in directory.items():
        tag = (
            TiffTag(number, value.kind, value.data) if isinstance(value, Value) else TiffTag(number, 13, b"")
        )
        if number == _LAYERS:
            notes += ("left out its Photoshop layers, which show the original picture",)
        elif number in _POINTERS or tag.kind in OFFSET_KINDS:
            offsets.append(tag.name)
        elif recoded and number in _MEANING:
            meanings += [tag.name] if number != _BLACK_WHITE else []  # of YCbCr, which is decoded
        else:
            tags.append(tag)
    if offsets:
        notes += (f"left out tags that point elsewhere in the file: {', '.join(offsets)}",)
    if meanings:
        notes += (f"left out {', '.join(meanings)}, which belong to samples that were converted",)
    return tuple(tags), notes


def _upright(tags: tuple[TiffTag, ...], orientation: int) -> tuple[tuple[TiffTag, ...], tuple[str, ...]]:
    """Adapt tags to pixels that are turned: rows that were columns swap the resolution's directions."""
    tags, notes = without_position(tags, POSITION, "because the pixels were turned upright")
    if orientation > 4:
        other = {_ACROSS: _DOWN, _DOWN: _ACROSS}
        tags = tuple(tag._replace(number=other.get(tag.number, tag.number)) for tag in tags)
    if any(tag.number in _CLIP_PATH for tag in tags):
        tags = tuple(tag for tag in tags if tag.number not in _CLIP_PATH)
        notes += ("left out its clipping path, because the pixels were turned upright",)
    return tags, notes


def resized_tags(
    tags: tuple[TiffTag, ...], across: float, down: float
) -> tuple[tuple[TiffTag, ...], tuple[str, ...]]:
    """Adapt what tags say of the size of a pixel, on paper and on the map, to another size.

    Args:
        tags: Tags of a picture.
        across: Pixels per row after, divided by those before.
        down: Rows after, divided by those before.

    Returns:
        The tags, and a sentence on what cannot be adapted.
    """
    if (across, down) == (1, 1):
        return tags, ()
    tags, notes = resized_position(tags, across, down)
    if resolution_of(tags) is not None:  # without a unit it is only a ratio
        factors = {_ACROSS: across, _DOWN: down}
        tags = tuple(_multiplied(tag, factors.get(tag.number, 1)) for tag in tags)
    return tags, notes


def _multiplied(tag: TiffTag, factor: float) -> TiffTag:
    if factor == 1:
        return tag
    value: Directory = {tag.number: Value(tag.kind, tag.data)}
    (number,) = numbers(value, tag.number, Layout("<", big=False))[:1]
    parts = Fraction(number * factor).limit_denominator(2**32 // (int(number * factor) + 1))
    return tag._replace(kind=5, data=struct.pack("<2I", *parts.as_integer_ratio()))
