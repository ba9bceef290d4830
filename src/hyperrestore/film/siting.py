"""Where a film's colour samples lie among its pixels.

PyAV does not tell, but Matroska has it in its header: so a header is made of the stream, in memory, and read.
"""

from __future__ import annotations

import io
from typing import Any

from hyperrestore.film.library import pyav

# Elements of Matroska: identifier and a length of one byte.
ACROSS, DOWN = b"\x55\xb7\x81", b"\x55\xb8\x81"
NAMES = {(1, 2): "left", (2, 2): "center", (1, 1): "topleft", (2, 1): "top"}


def siting_name(stream: Any) -> str | None:
    """FFmpeg's name of the place, or None where the film does not say.

    Args:
        stream: Of the pictures, in an open film.
    """
    av = pyav()
    header = io.BytesIO()
    try:
        with av.open(header, "w", format="matroska") as container:
            container.add_stream_from_template(stream, opaque=True)
            container.start_encoding()
    except (av.FFmpegError, ValueError):  # what Matroska cannot hold has no such entry either
        return None
    return NAMES.get((_entry(header.getvalue(), ACROSS), _entry(header.getvalue(), DOWN)))


def _entry(header: bytes, element: bytes) -> int:
    _, found, behind = header.partition(element)
    return behind[0] if found and behind else 0
