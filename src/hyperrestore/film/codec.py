"""How the pictures of a restored film are encoded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from hyperrestore.errors import PictureError, UsageError
from hyperrestore.film.hdr import with_hdr
from hyperrestore.film.kinds import MATROSKA
from hyperrestore.film.library import pyav
from hyperrestore.film.source import Film

CRF = "16"  # hardly to be told from the lossless result


class Codec(NamedTuple):
    """An encoder.

    Attributes:
        name: FFmpeg's.
        format: Pixel format that is encoded; its samples are those of the film.
        options: Of the encoder.
    """

    name: str
    format: str
    options: dict[str, str]


LOSSY = (
    # Without this x264 differs at random, and a stopped film would not be the same as without a stop.
    ("libx264", {"crf": CRF, "x264-params": "cpu-independent=1"}),
    ("libx265", {"crf": CRF, "x265-params": "log-level=error"}),
)
LOSSLESS = ("ffv1", {"level": "3", "slicecrc": "1", "g": "1"})
LEAST_SLICED = 16  # pixels: of a picture with a shorter side, FFV1 may not manage to make several slices


def choose_codec(film: Film, target: Path, width: int, height: int, *, lossless: bool) -> Codec:
    """The encoder for a film.

    H.264 for 8 bits, which plays everywhere; H.265 for more bits and for RGB; FFV1 if nothing is to be lost.

    Args:
        film: The film.
        target: The file to be written.
        width: Of the result, pixels.
        height: Of the result, pixels.
        lossless: Whether nothing is to be lost.

    Raises:
        PictureError: None of them takes the film's pixel format.
        UsageError: The codec does not take pictures of that size.
    """
    layout = film.layout
    if lossless:
        name = "bgr0" if layout.name == "gbrp" else layout.name  # FFV1 knows RGB of 8 bits only so
        whole = {"slices": "1"} if min(width, height) < LEAST_SLICED else {}
        return Codec(LOSSLESS[0], _supported(film, LOSSLESS[0], name), {**LOSSLESS[1], **whole})
    encoder, options = LOSSY[layout.bits > 8 or layout.kind == "rgb"]
    known = _supported(film, encoder, layout.name)
    codec = Codec(encoder, known, with_hdr(film.hdr, encoder, options))
    if any(side % apart for side, apart in zip((height, width), layout.apart, strict=True)):
        raise UsageError(
            f"{film.path}: a result of {width} x {height} pixels cannot be encoded, since {layout.name} "
            f"needs even sides; give --lossless and a name that ends with {MATROSKA}, or another size"
        )
    return codec


def _supported(film: Film, encoder: str, name: str) -> str:
    av = pyav()
    try:
        known = {known.name for known in av.codec.Codec(encoder, "w").video_formats or ()}
    except av.codec.codec.UnknownCodecError as error:
        raise PictureError(f"this av (PyAV) has no encoder {encoder}; install av from PyPI") from error
    if name not in known:
        beside = "" if encoder == LOSSLESS[0] else f", with --lossless and a name that ends with {MATROSKA}"
        raise PictureError(
            f"{film.path}: its pixel format {name} is not supported by {encoder}; convert it, or write it"
            f"{beside or ' without --lossless'}"
        )
    return name
