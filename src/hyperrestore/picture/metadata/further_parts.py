"""What a PNG, WebP or AVIF file holds that no restored file has: it is said."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from hyperrestore.picture.containers.avif_items import further_pictures, pixel_shape, read_items
from hyperrestore.picture.containers.boxes import iso_boxes, png_chunks, riff_chunks
from hyperrestore.picture.containers.png_text import XMP_KEYWORD
from hyperrestore.picture.metadata.companions import IMAGES_LEFT_OUT, VIDEO_LEFT_OUT
from hyperrestore.picture.metadata.jpeg import CREDENTIALS_LEFT_OUT

# Of how a file stores its pixels, or read by libvips, or spoken of elsewhere (colour).
_PNG = {
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"sBIT", b"hIST", b"iCCP", b"sRGB", b"gAMA",
    b"cHRM", b"cICP", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"pHYs",
    b"iDOT", b"CgBI",
}  # fmt: skip
_WEBP = {b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ICCP", b"EXIF", b"XMP ", b"ANIM", b"ANMF"}
EXIF_LEFT_OUT = "left out its EXIF, which cannot be read"
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # the type of its box


def further_parts(path: Path, name: str, *, without_exif: bool = False) -> tuple[str, ...]:
    """Say what is left out of a file.

    Args:
        path: The file.
        name: Of its format; other than PNG, WebP and AVIF are not looked into.
        without_exif: Whether no EXIF was read, so that what there is cannot be read.

    Returns:
        A sentence for each thing.
    """
    look = {"PNG": _of_png, "WebP": _of_webp, "AVIF": _of_avif}.get(name)
    if look is None:
        return ()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return tuple(dict.fromkeys(look(data, without_exif)))


def _of_png(data: mmap.mmap, without_exif: bool) -> Iterator[str]:
    unknown: list[str] = []
    behind, end = False, len(data)
    packets = 0
    for chunk in png_chunks(data):
        behind = behind or chunk.name == b"IDAT"
        if chunk.name == b"caBX":
            yield CREDENTIALS_LEFT_OUT
        elif chunk.name not in _PNG and chunk.name.isalpha():
            unknown.append(chunk.name.decode())
        elif chunk.name == b"eXIf" and behind:
            unknown.append("eXIf behind the pixels")
        elif chunk.name == b"eXIf" and without_exif:
            yield EXIF_LEFT_OUT
        elif chunk.name in _TEXTS and data[chunk.start : chunk.end].startswith(XMP_KEYWORD + b"\0"):
            packets += not behind
            if behind:
                unknown.append(f"{chunk.name.decode()} (XMP) behind the pixels")
            elif packets > 1:
                yield "left out all but the last of its XMP packets"
        elif chunk.name == b"pHYs":
            yield from _shape_left_out(data[chunk.start : chunk.end])
        elif chunk.name == b"IEND":
            end = chunk.end + 4
    if unknown:
        yield f"left out its chunks {', '.join(dict.fromkeys(unknown))}"
    if data[end : end + 2**16].strip(b"\0"):
        yield f"left out {len(data) - end} stray bytes after the picture"


def _shape_left_out(physical: bytes) -> Iterator[str]:
    """Without a unit, a chunk pHYs says only how wide pixels are to their height."""
    if len(physical) == 9 and physical[8] == 0 and physical[:4] != physical[4:8]:
        across, down = struct.unpack_from(">II", physical)
        yield f"left out its pixel aspect ratio ({across}:{down})"


def _of_webp(data: mmap.mmap, without_exif: bool) -> Iterator[str]:
    unknown = []
    for chunk in riff_chunks(data):
        if chunk.name == b"C2PA":
            yield CREDENTIALS_LEFT_OUT
        elif chunk.name == b"EXIF" and without_exif:
            yield EXIF_LEFT_OUT
        elif chunk.name not in _WEBP:
            unknown.append(chunk.name.decode("latin-1"))
    if unknown:
        yield f"left out its chunks {', '.join(dict.fromkeys(unknown))}"


def _of_avif(data: mmap.mmap, without_exif: bool) -> Iterator[str]:
    for box in iso_boxes(data, 0, len(data)):
        if box.name in (b"mpvd", b"moov"):
            yield VIDEO_LEFT_OUT
        elif box.name == b"uuid" and data[box.start : box.start + 16] == _C2PA:
            yield CREDENTIALS_LEFT_OUT
    if (shape := pixel_shape(data)) and shape[0] != shape[1]:
        yield f"left out its pixel aspect ratio ({shape[0]}:{shape[1]})"
    items = read_items(data)
    if without_exif and b"Exif" in items.kinds.values():
        yield EXIF_LEFT_OUT
    if further_pictures(items):
        yield IMAGES_LEFT_OUT
