"""EXIF and XMP into a finished PNG, WebP or AVIF file, byte for byte as they are.

libvips would build EXIF anew through libexif, which drops what it does not know.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from pathlib import Path

from hyperrestore.errors import PictureError
from hyperrestore.picture.containers.avif_items import read_items
from hyperrestore.picture.containers.boxes import png_chunks
from hyperrestore.picture.containers.png_text import XMP_KEYWORD, TextEntry, text_chunks
from hyperrestore.picture.containers.splice import insert, remove

PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = 8 + 25  # signature and IHDR
_PNG_XMP = XMP_KEYWORD + b"\0\0\0\0\0"  # keyword; not compressed, without language and translation
_METRE = 1  # the only unit of the chunk pHYs
_XMP_FLAG, _EXIF_FLAG, _ALPHA_FLAG = 0x04, 0x08, 0x10


def png_resolution(physical: bytes) -> tuple[float, float] | None:
    """Pixels per millimetre (horizontal, vertical) by the chunk pHYs of a PNG file.

    Args:
        physical: The chunk's content.

    Returns:
        None where that names no unit, or makes no sense.
    """
    if len(physical) != 9:
        return None
    across, down, unit = struct.unpack(">IIB", physical)
    return (across / 1000, down / 1000) if unit == _METRE and min(across, down) > 0 else None


def add_png_metadata(
    path: Path,
    exif: bytes | None,
    xmp: bytes | None,
    resolution: tuple[float, float] | None,
    text: tuple[TextEntry, ...],
) -> None:
    """Add chunks to a PNG file.

    Args:
        path: The file, changed in place.
        exif: EXIF block.
        xmp: XMP packet.
        resolution: As the file has it; without it the chunk goes by which libvips says 72 dots per inch.
        text: Text entries, each of which `fits_png`.
    """
    if resolution is None:
        with path.open("rb") as file:
            head = file.read(2**16)
        for chunk in png_chunks(head):
            if chunk.name == b"pHYs":
                remove(path, chunk.start - 8, chunk.end + 4)
    chunks = b""
    if exif:
        chunks += _png_chunk(b"eXIf", exif)
    if xmp:
        chunks += _png_chunk(b"iTXt", _PNG_XMP + xmp)
    chunks += b"".join(_png_chunk(name, content) for name, content in text_chunks(text))
    insert(path, _PNG_HEADER, chunks)


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def add_webp_metadata(
    path: Path, exif: bytes | None, xmp: bytes | None, *, size: tuple[int, int], has_alpha: bool
) -> None:
    """Add chunks to a WebP file.

    Args:
        path: The file, changed in place.
        exif: EXIF block.
        xmp: XMP packet.
        size: Width and height of the picture.
        has_alpha: Whether the picture has alpha.
    """
    if not exif and not xmp:
        return
    with path.open("rb") as file:
        first = file.read(16)[12:]
    if first != b"VP8X":
        header = struct.pack("<II", _ALPHA_FLAG * has_alpha, size[0] - 1) + struct.pack("<I", size[1] - 1)[:3]
        insert(path, 12, _riff_chunk(b"VP8X", header[:7] + header[8:]))
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(_riff_chunk(b"EXIF", exif) if exif else b"")
        file.write(_riff_chunk(b"XMP ", xmp) if xmp else b"")
        end = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", end - 8))
        file.seek(20)
        flags = file.read(1)[0] | (_EXIF_FLAG if exif else 0) | (_XMP_FLAG if xmp else 0)
        file.seek(20)
        file.write(bytes([flags]))


def _riff_chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def replace_avif_exif(path: Path, exif: bytes) -> None:
    """Replace the EXIF block of an AVIF file: the new one is put behind the rest.

    Args:
        path: The file, changed in place; as libheif writes it, with an EXIF block.
        exif: EXIF block.

    Raises:
        PictureError: The file is not as libheif writes it.
    """
    with path.open("rb") as whole, mmap.mmap(whole.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = len(data)
        items = read_items(data)
    extent = next((items.extents.get(item) for item, kind in items.kinds.items() if kind == b"Exif"), None)
    item = struct.pack(">I", 0) + exif  # where the block begins behind this number
    content = struct.pack(">I4s", 8 + len(item), b"mdat") + item
    if extent is None or end + len(content) >= 256 ** min(extent.offset_width, extent.length_width):
        raise PictureError(f"{path}: EXIF cannot be put into this AVIF file; write another format")
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(content)
        for place, width, value in (
            (extent.base, extent.base_width, 0),
            (extent.offset, extent.offset_width, end + 8),
            (extent.length, extent.length_width, len(item)),
        ):
            file.seek(place)
            file.write(value.to_bytes(width, "big"))
