"""Which of the images in a TIFF file is the picture: not its previews, smaller versions and masks."""

import mmap
import re
from pathlib import Path
from typing import NamedTuple

from hyperrestore.errors import PictureError
from hyperrestore.picture.containers.tiff_directory import (
    SUBDIRECTORIES,
    UNREADABLE,
    Directory,
    Layout,
    Value,
    chain,
    parse,
    whole_numbers,
)

_SUBFILE_TYPE, _OLD_SUBFILE_TYPE, _PHOTOMETRIC, _DNG_VERSION = 0x00FE, 0x00FF, 0x0106, 0xC612
_DEPTH, _DESCRIPTION = 0x80E5, 0x010E
_IMAGEJ = re.compile(rb"ImageJ=[^\0]*?\nimages=(\d{1,9})\n")
_REDUCED, _MASK = 1, 4  # bits of the subfile type
_OLD_REDUCED = 2  # a value of its predecessor
_MASK_PHOTOMETRIC, _RAW_PHOTOMETRICS = 4, {32803, 34892}  # colour filter array, linear raw
_NAMES = {"reduced": "smaller versions or previews", "mask": "masks", "full": "other pictures"}


class TiffPage(NamedTuple):
    """The picture of a TIFF file.

    Attributes:
        number: Of the page, from 0, as libvips counts.
        directory: Its own.
        first: The file's first directory: the same, or that of a preview.
        layout: Byte order and widths of both.
        left_out: A sentence on the other images in the file; empty where there are none.
    """

    number: int
    directory: Directory
    first: Directory
    layout: Layout
    left_out: str


def find_page(path: Path) -> TiffPage:
    """Find the one full picture of a TIFF file.

    Args:
        path: TIFF or BigTIFF file.

    Raises:
        PictureError: The file holds several full pictures or none, is a camera raw file, or its directory
            cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, pages = chain(data)
        except UNREADABLE as error:
            raise _unreadable(path) from error
        inner = [_subdirectories(page, layout, data) for page in pages]
    if not pages:
        raise _unreadable(path)
    kinds = [_kind(page, layout) for page in pages]
    full = [number for number, kind in enumerate(kinds) if kind == "full"]
    everything = [*pages, *(directory for group in inner for directory in group)]
    is_raw = any(_is_raw(directory, layout) for directory in everything)
    if is_raw or not full:
        raise PictureError(
            f"{path}: is a camera raw file, or holds only a small preview or a mask; develop it to TIFF first"
        )
    if len(full) > 1:
        raise PictureError(f"{path}: holds {len(full)} pages or frames; save one of them as its own file")
    number = full[0]
    layers = _layers(pages[number], layout) if len(pages) == 1 else 1
    if layers > 1:
        raise PictureError(f"{path}: holds a stack of {layers} pictures; save one of them as its own file")
    others = {*kinds[:number], *kinds[number + 1 :]}
    others |= {_kind(directory, layout) for group in inner for directory in group}
    return TiffPage(number, pages[number], pages[0], layout, _sentence(others))


def _unreadable(path: Path) -> PictureError:
    return PictureError(
        f"{path}: cannot be read (its first directory lies outside the file); "
        "the file is damaged, truncated or of an unusual kind"
    )


def _subdirectories(page: Directory, layout: Layout, data: mmap.mmap) -> list[Directory]:
    found = []
    for start in whole_numbers(page, SUBDIRECTORIES, layout):
        try:
            found.append(parse(data, start, layout))
        except UNREADABLE:  # damaged, and left out in any case
            found.append({})
    return found


def _kind(directory: Directory, layout: Layout) -> str:
    bits = next(iter(whole_numbers(directory, _SUBFILE_TYPE, layout)), 0)
    if _SUBFILE_TYPE not in directory:
        old = next(iter(whole_numbers(directory, _OLD_SUBFILE_TYPE, layout)), 0)
        bits = _REDUCED if old == _OLD_REDUCED else 0
    if bits & _MASK or _photometric(directory, layout) == _MASK_PHOTOMETRIC:
        return "mask"
    return "reduced" if bits & _REDUCED else "full"


def _layers(directory: Directory, layout: Layout) -> int:
    """How many pictures lie behind each other in one directory: of a volume, or of ImageJ's large stacks."""
    depth = next(iter(whole_numbers(directory, _DEPTH, layout)), 1)
    description = directory.get(_DESCRIPTION)
    text = description.data if isinstance(description, Value) else b""
    images = _IMAGEJ.match(text)
    return max(depth, int(images[1]) if images else 1)


def _is_raw(directory: Directory, layout: Layout) -> bool:
    return _DNG_VERSION in directory or _photometric(directory, layout) in _RAW_PHOTOMETRICS


def _photometric(directory: Directory, layout: Layout) -> int | None:
    return next(iter(whole_numbers(directory, _PHOTOMETRIC, layout)), None)


def _sentence(others: set[str]) -> str:
    if not others:
        return ""
    names = " and ".join(name for kind, name in _NAMES.items() if kind in others)
    return f"left out the further images in the file ({names})"
