"""The head of a JPEG file -> how it was compressed: tables, quality, and how many pixels share a colour."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from functools import cache

import numpy as np

from hyperrestore.arrays import AnyFloat, Float64, Int64
from hyperrestore.errors import LevelError

JPEG = b"\xff\xd8"  # how such a file begins
_FRAMES = (0xC0, 0xC1, 0xC2)

# ITU-T T.81 (1992), annex K.1: the tables that a quality scales, of luminance and of colours, row by row.
LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *(99,) * 32,
)  # fmt: skip


def quantisation_tables(
    quality: float, *, tilt: float = 0.0, colours: float = 1.0
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """JPEG quantisation tables of luminance and colours, as libjpeg makes them or a variation of them.

    Args:
        quality: 1 to 100.
        tilt: The tables of other encoders and cameras rise more (above 0) or less (below 0) towards high
            frequencies: entry (u, v) is multiplied by a power of 1 + u + v, and the table scaled to the
            same geometric mean.
        colours: Factor of the table of colours.

    Returns:
        Two tables of 64 whole numbers from 1 to 255, row by row.

    Raises:
        LevelError: The quality is not from 1 to 100.

    Example:
        >>> quantisation_tables(50)[0][:4]
        (16, 11, 10, 16)
    """
    if not 1 <= quality <= 100:
        raise LevelError(f"JPEG quality {quality!r} is not accepted: give a number from 1 to 100")
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    steep = tilt * np.log1p(np.add.outer(np.arange(8), np.arange(8)).ravel())
    factor = np.exp(steep - steep.mean())

    def scaled(table: tuple[int, ...], factor: Float64) -> tuple[int, ...]:
        # libjpeg computes in whole numbers, halves up
        entries = np.floor((np.array(table) * percent + 50) / 100).clip(1, 255)
        return tuple(int(entry) for entry in np.floor(entries * factor + 0.5).clip(1, 255))

    return scaled(LUMINANCE, factor), scaled(CHROMINANCE, colours * factor)


def jpeg_tables(head: bytes) -> tuple[int, ...] | None:
    """The quantisation table of luminance of a JPEG file.

    Args:
        head: Its first bytes.

    Returns:
        64 steps, row by row; None for other files, or where the table does not stand there.
    """
    tables: dict[int, tuple[int, ...]] = {}
    try:
        for marker, segment in segments(head):
            if marker == 0xDB:
                tables |= _tables_of(segment)
            elif marker in _FRAMES:  # its first component is luminance
                return tables.get(segment[8])
    except (IndexError, struct.error):  # cut off, or damaged
        pass
    return None


def jpeg_subsampling(head: bytes) -> tuple[int, int] | None:
    """How many pixels share a colour in a JPEG file.

    Args:
        head: Its first bytes.

    Returns:
        In a row and in a column: (1, 1) for 4:4:4, (2, 1) for 4:2:2, (2, 2) for 4:2:0. None for other files,
        for grey ones, or where it does not stand there.
    """
    try:
        for marker, segment in segments(head):
            if marker in _FRAMES and segment[5] == 3:
                luminance, colours = segment[7], max(segment[10], segment[13])
                across, down = (luminance >> 4) / (colours >> 4), (luminance & 15) / (colours & 15)
                return max(1, round(across)), max(1, round(down))
    except (IndexError, struct.error, ZeroDivisionError):
        pass
    return None


def least_size(head: bytes) -> int:
    """The bytes that the pixels of a JPEG file take at least, whatever they show.

    Huffman codes have at least one bit for each 8x8 block of each component.

    Args:
        head: Its first bytes.

    Returns:
        0 for other files, other codes, or where the size of the picture does not stand there.
    """
    try:
        for marker, segment in segments(head):
            if marker in _FRAMES:
                height, width = struct.unpack_from(">HH", segment, 1)
                factors = [segment[place] for place in range(7, 6 + 3 * segment[5], 3)]
                most = max(factor >> 4 for factor in factors) * max(factor & 15 for factor in factors)
                whole = width * height * sum((factor >> 4) * (factor & 15) for factor in factors)
                return int(whole / most) // 64 // 8
    except (IndexError, struct.error, ValueError, ZeroDivisionError):
        pass
    return 0


def segments(head: bytes | mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Markers and what follows them, up to where the pixels begin or the file ends."""
    for marker, start, end in placed_segments(head):
        yield marker, head[start:end]


def placed_segments(head: bytes | mmap.mmap) -> Iterator[tuple[int, int, int]]:
    """Markers, and where what follows their length begins and ends; as `segments`."""
    if head[: len(JPEG)] != JPEG:
        return
    position = len(JPEG)
    while head[position] == 0xFF:
        marker = head[position + 1]
        if marker == 0xFF:  # fill
            position += 1
            continue
        (length,) = struct.unpack_from(">H", head, position + 2)
        yield marker, position + 4, position + 2 + length
        position += 2 + length


def _tables_of(segment: bytes) -> dict[int, tuple[int, ...]]:
    """The tables of a segment by their numbers, row by row."""
    tables = {}
    while segment:
        wide = segment[0] >> 4
        steps = struct.unpack_from(">64H" if wide else "64B", segment, 1)
        tables[segment[0] & 15] = tuple(steps[place] for place in _zigzag_places())
        segment = segment[129 if wide else 65 :]
    return tables


def quality_of_table(table: tuple[int, ...]) -> tuple[int, bool]:
    """The quality of libjpeg whose table of luminance is nearest, and whether it is the same.

    Args:
        table: 64 steps, row by row.
    """
    distance = np.abs(np.log(np.maximum(table, 1) / standard_tables())).mean(axis=1)
    quality = middle_of_least(distance)
    return quality, bool(distance[quality - 1] == 0)


def middle_of_least(distance: AnyFloat) -> int:
    """The quality at the smallest distance; of several with the same steps the middle one."""
    (nearest,) = np.nonzero(distance <= distance.min() + 1e-9)
    return int(nearest[len(nearest) // 2]) + 1


@cache
def standard_tables() -> Int64:
    """(100, 64): luminance, for each quality."""
    return np.array([quantisation_tables(quality)[0] for quality in range(1, 101)])


@cache
def _zigzag_places() -> tuple[int, ...]:
    """For each of 64 entries row by row, its place in a file."""
    order = sorted(np.ndindex(8, 8), key=lambda uv: (sum(uv), uv[0] if sum(uv) % 2 else uv[1]))
    return tuple(order.index((u, v)) for u, v in np.ndindex(8, 8))
