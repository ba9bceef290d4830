"""Text entries of PNG files, read and written: libvips cuts keywords at their first blank."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator
from pathlib import Path

from hyperrestore.picture.containers.boxes import png_chunks

TextEntry = tuple[str, str]  # keyword and text

XMP_KEYWORD = b"XML:com.adobe.xmp"
_MOST = 2**24  # characters of an entry that is unpacked; a bomb has more
_WORTH_PACKING = 200  # characters


def read_png_text(path: Path) -> tuple[tuple[TextEntry, ...], tuple[str, ...]]:
    """Read the text entries of a PNG file, in front of the pixels and behind them.

    Args:
        path: The file.

    Returns:
        The entries but for XMP, and a sentence for each thing that is left out.
    """
    entries, notes = [], []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for chunk in png_chunks(data):
            if chunk.name not in (b"tEXt", b"zTXt", b"iTXt"):
                continue
            keyword, _, rest = data[chunk.start : chunk.end].partition(b"\0")
            if keyword == XMP_KEYWORD:
                continue
            try:
                text = _text(chunk.name, rest)
            except (ValueError, zlib.error):  # ValueError: no UTF-8 either
                notes.append("left out text entries that are damaged, or longer than 16 MiB")
                continue
            entries.append((keyword.decode("latin-1"), text))
            if chunk.name == b"iTXt" and any(rest[2:].split(b"\0", 2)[:2]):
                notes.append("left out the languages and translated keywords of its texts")
    return tuple(entries), tuple(dict.fromkeys(notes))


def fits_png(entry: TextEntry) -> bool:
    """Whether PNG has room for an entry: a keyword has 1 to 79 characters of Latin-1 (PNG, 11.3.3.1)."""
    keyword, text = entry
    return 1 <= len(keyword) <= 79 and max(keyword) <= "\xff" and "\0" not in keyword + text


def text_chunks(entries: tuple[TextEntry, ...]) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of the chunks for entries that fit."""
    for keyword, text in entries:
        head = keyword.encode("latin-1") + b"\0"
        if max(text, default="") > "\xff":
            yield b"iTXt", head + b"\0\0\0\0" + text.encode()
        elif len(text) > _WORTH_PACKING:
            yield b"zTXt", head + b"\0" + zlib.compress(text.encode("latin-1"))
        else:
            yield b"tEXt", head + text.encode("latin-1")


def _text(name: bytes, rest: bytes) -> str:
    """The text of a chunk, from what stands behind its keyword."""
    if name == b"tEXt":
        return rest.decode("latin-1")
    if name == b"zTXt":
        return _unpacked(rest[1:]).decode("latin-1")
    packed, content = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
    return (_unpacked(content) if packed else content).decode()


def _unpacked(packed: bytes) -> bytes:
    stream = zlib.decompressobj()
    content = stream.decompress(packed, _MOST)
    if not stream.eof:
        raise ValueError(f"{len(packed)} bytes are cut off, or unpack to more than {_MOST}")
    return content
