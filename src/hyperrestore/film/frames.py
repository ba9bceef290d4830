"""A decoded frame of FFmpeg <-> planes of samples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hyperrestore.arrays import StoredRows
from hyperrestore.errors import PictureError
from hyperrestore.film.library import pyav

# Formats whose samples are the same in another, of one plane for each component.
SAME_SAMPLES = {
    **dict.fromkeys(("nv12", "nv21"), "yuv420p"),
    **dict.fromkeys(("nv16", "yuyv422", "uyvy422", "yvyu422"), "yuv422p"),
    **dict.fromkeys(("nv24", "nv42"), "yuv444p"),
    "uyyvyy411": "yuv411p",
    "p010le": "yuv420p10le",
    "p210le": "yuv422p10le",
    "p410le": "yuv444p10le",
    **dict.fromkeys(("rgb24", "bgr24", "rgb0", "bgr0", "0rgb", "0bgr"), "gbrp"),
    **dict.fromkeys(("rgb48le", "rgb48be"), "gbrp16le"),
}


class Layout(NamedTuple):
    """How the samples of a format with one plane for each component are stored.

    Attributes:
        name: FFmpeg's, of the format.
        kind: "yuv", "rgb" or "grey".
        bits: Of a sample.
        apart: Pixels from one colour sample to the next, (in a column, in a row).
    """

    name: str
    kind: str
    bits: int
    apart: tuple[int, int]


def layout_of(name: str) -> Layout:
    """The layout in which frames of a format are read.

    Raises:
        PictureError: The format is not supported.
    """
    same = SAME_SAMPLES.get(name, name).replace("yuvj", "yuv")
    same = f"{same[:-2]}le" if same.endswith("be") else same
    known = pyav().VideoFormat(same, 256, 256)
    parts = known.components
    planar = len({part.plane for part in parts}) == len(parts)
    kind = {1: "grey", 3: "rgb" if known.is_rgb else "yuv"}.get(len(parts))
    bits = parts[0].bits
    if (
        not planar
        or kind is None
        or known.has_palette
        or known.is_bit_stream
        or not 8 <= bits <= 16
        or re.search("f|msb", same)
    ):
        raise PictureError(
            f"its pixel format {name} is not supported: films of 8 to 16 bits are, in YUV, RGB or grey "
            "without transparency; convert it"
        )
    apart = (256 // known.chroma_height(256), 256 // known.chroma_width(256)) if kind == "yuv" else (1, 1)
    return Layout(same, kind, bits, apart)


def planes_of(frame: Any, layout: Layout) -> list[StoredRows]:
    """The samples of a frame, one array (rows, columns) for each component."""
    if frame.format.name.replace("yuvj", "yuv") != layout.name:
        frame = frame.reformat(format=layout.name)
    return [_rows(plane, layout).copy() for plane in frame.planes]


def frame_of(planes: Sequence[StoredRows], layout: Layout) -> Any:
    """A frame with these samples."""
    height, width = planes[0].shape
    frame = pyav().VideoFrame(width, height, layout.name)
    for plane, samples in zip(frame.planes, planes, strict=True):
        _rows(plane, layout)[:] = samples
    return frame


def _rows(plane: Any, layout: Layout) -> StoredRows:
    """A view of the samples of a plane."""
    dtype = np.dtype(np.uint8 if layout.bits == 8 else "<u2")
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, abs(plane.line_size)).view(dtype)
    # FFmpeg stores some pictures upside down.
    return rows[:: -1 if plane.line_size < 0 else 1, : plane.width]
