"""The header of the file in which rows wait until a picture is complete."""

from __future__ import annotations

import struct

import numpy as np

from hyperrestore.picture.info import PictureInfo


def spool_header(info: PictureInfo) -> bytes:
    """Give the header of an uncompressed BigTIFF, to be followed by the rows, (h, w, c) and little-endian.

    libvips streams a TIFF, while it would map a file of bare numbers into memory from end to end.
    """
    strip = 16  # rows; a strip is what libvips reads at a time
    row_bytes = info.width * info.channels * info.bits // 8
    strips = -(-info.height // strip)
    entries = 10
    arrays = 16 + 8 + 20 * entries + 8  # where the strips' offsets and sizes stand, behind the directory
    first = arrays + 16 * strips
    offsets = first + strip * row_bytes * np.arange(strips, dtype="<u8")
    sizes = np.minimum(strip, info.height - strip * np.arange(strips)).astype("<u8") * np.uint64(row_bytes)
    # A single offset or size stands in the directory itself.
    where = (arrays, arrays + 8 * strips) if strips > 1 else (first, int(sizes[0]))
    short, long8 = 3, 16
    directory = [
        (256, long8, 1, info.width),
        (257, long8, 1, info.height),
        (258, short, info.channels, sum(info.bits << 16 * band for band in range(info.channels))),
        (259, short, 1, 1),  # not compressed
        (262, short, 1, 1 if info.channels == 1 else 2),  # grey, black is 0; or RGB
        (273, long8, strips, where[0]),
        (277, short, 1, info.channels),
        (278, long8, 1, strip),
        (279, long8, strips, where[1]),
        (284, short, 1, 1),  # the bands of a pixel stand together
    ]
    header = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, entries)
    header += b"".join(struct.pack("<HHQQ", *entry) for entry in directory) + struct.pack("<Q", 0)
    return header + offsets.tobytes() + sizes.tobytes()
