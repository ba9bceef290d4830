"""Photoshop image resources, one after another in a block: 8BIM, number, name, size, data, each even."""

import struct
from collections.abc import Collection, Iterator


def resource(block: bytes, number: int) -> bytes | None:
    """The data of a resource; None where the block has none of that number."""
    return next((data for found, _, data in _each(block) if found == number), None)


def without_resources(block: bytes, numbers: Collection[int]) -> bytes:
    """Leave resources out; a block that cannot be read to its end stays as it is."""
    found = list(_each(block))
    if sum(len(whole) for _, whole, _ in found) != len(block):
        return block
    return b"".join(whole for number, whole, _ in found if number not in numbers)


def _each(block: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, whole bytes and data of each resource up to the first that is damaged."""
    start = 0
    while len(block) >= start + 12 and block[start : start + 1] == b"8":
        number, name_length = struct.unpack_from(">HB", block, start + 4)
        begin = start + 6 + (name_length // 2 + 1) * 2 + 4  # a length byte and the name, padded to even
        if begin > len(block):
            return
        (size,) = struct.unpack_from(">I", block, begin - 4)
        end = begin + size
        if end > len(block):
            return
        yield number, block[start : end + size % 2], block[begin:end]
        start = min(end + size % 2, len(block))
