"""What the head of an AVIF file says, and libvips does not: that its colours are multiplied by alpha."""

from __future__ import annotations

from collections.abc import Iterator


def is_premultiplied(head: bytes) -> bool:
    """Tell whether a file's picture refers to its alpha as one that its colours are multiplied by.

    That is a reference "prem" of the primary item (ISO/IEC 23008-12, 6.10.1.1).

    Args:
        head: The file's first bytes, with its box "meta".
    """
    meta = next((content for kind, content in _boxes(head) if kind == b"meta"), b"")
    parts = dict(_boxes(meta[4:]))  # behind version and flags
    primary, references = parts.get(b"pitm", b""), parts.get(b"iref", b"")
    width = 4 if references[:1] == b"\1" else 2  # bytes of an item's number
    item = int.from_bytes(primary[4:], "big")
    return any(
        kind == b"prem" and int.from_bytes(content[:width], "big") == item
        for kind, content in _boxes(references[4:])
    )


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Boxes one after the other, as kind and content, until the data end (ISO/IEC 14496-12, 4.2)."""
    position = 0
    while position + 8 <= len(data):
        size, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        header = 8
        if size == 1:
            size, header = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        elif size == 0:  # to the end
            size = len(data) - position
        if size < header:
            return
        yield kind, data[position + header : position + size]
        position += size
