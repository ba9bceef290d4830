"""Restored frames -> a segment: a file of encoded frames that begins with a whole picture."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from hyperrestore.arrays import StoredRows
from hyperrestore.errors import PictureError, UsageError
from hyperrestore.film.codec import LOSSLESS, Codec
from hyperrestore.film.frames import frame_of
from hyperrestore.film.kinds import MATROSKA
from hyperrestore.film.library import pyav
from hyperrestore.film.source import Film, Frame
from hyperrestore.film.work import Segment

# Matroska counts milliseconds, too coarse for some films: in a segment its times are the numbers of frames.
COUNTED = Fraction(1, 1000)
EARLY = 64  # frames by which they are decoded earlier than shown, more than any encoder needs


def check_size(film: Film, codec: Codec, *, width: int, height: int) -> None:
    """Encode a black frame, so that an encoder that does not take its size refuses before the work begins.

    Args:
        film: The film.
        codec: How its frames are encoded.
        width: Of the result, pixels.
        height: Of the result, pixels.

    Raises:
        UsageError: The encoder does not take it.
    """
    av = pyav()
    layout = film.layout
    few = tuple(-(-side // apart) for side, apart in zip((height, width), layout.apart, strict=True))
    shapes = [(height, width)] if layout.kind == "grey" else [(height, width), few, few]
    planes: list[StoredRows] = [
        np.zeros(shape, np.uint8) if layout.bits == 8 else np.zeros(shape, np.uint16) for shape in shapes
    ]
    black = Frame(film.times[0], planes)
    try:
        with av.open(os.devnull, "w", format="null") as container:
            stream = _stream(container, film, codec, width, height)
            for frame in (_prepared(black, film, codec), None):
                for packet in stream.encode(frame):
                    container.mux(packet)
    except (av.FFmpegError, OverflowError) as error:
        lossless = f"give --lossless and a name that ends with {MATROSKA}, or "
        raise UsageError(
            f"{film.path}: {codec.name} does not take a result of {width} x {height} pixels; "
            f"{'' if codec.name == LOSSLESS[0] else lossless}give another size"
        ) from error


def write_segment(
    path: Path, film: Film, codec: Codec, frames: Iterable[Frame], *, width: int, height: int
) -> Segment:
    """Encode frames.

    Args:
        path: File to write.
        film: The film, whose colours the file describes.
        codec: How they are encoded.
        frames: At least one.
        width: Of the frames, pixels.
        height: Of the frames, pixels.

    Raises:
        PictureError: They cannot be encoded, or the file not be written.
    """
    av = pyav()
    times: list[int] = []
    order: list[int] = []
    try:
        with av.open(str(path), "w", format="matroska") as container:
            stream = _stream(container, film, codec, width, height)
            for frame in frames:
                times.append(frame.time)
                _mux(container, stream, stream.encode(_prepared(frame, film, codec)), times, order)
            _mux(container, stream, stream.encode(None), times, order)
    except av.FFmpegError as error:
        raise PictureError(f"{path}: frames cannot be written by {codec.name} ({error.strerror})") from error
    return Segment(path, times, order)


def _stream(container: Any, film: Film, codec: Codec, width: int, height: int) -> Any:
    siting = {} if film.siting is None else {"chroma_sample_location": film.siting}
    stream = container.add_stream(codec.name, rate=film.rate, options={**codec.options, **siting})
    stream.width, stream.height, stream.pix_fmt = width, height, codec.format
    context = stream.codec_context
    context.time_base = film.time_base
    context.color_primaries, context.color_trc = film.primaries, film.transfer
    context.colorspace, context.color_range = film.matrix, film.range
    if film.aspect is not None:
        context.sample_aspect_ratio = film.aspect
    return stream


def _prepared(frame: Frame, film: Film, codec: Codec) -> Any:
    picture = frame_of(frame.planes, film.layout)
    if codec.format != film.layout.name:
        picture = picture.reformat(format=codec.format)
    picture.pts, picture.time_base = frame.time, film.time_base
    picture.color_primaries, picture.color_trc = film.primaries, film.transfer
    picture.colorspace, picture.color_range = film.matrix, film.range
    return picture


def _mux(container: Any, stream: Any, packets: Iterable[Any], times: list[int], order: list[int]) -> None:
    """Write packets, with the numbers of their frames as times."""
    numbers = {time: number for number, time in enumerate(times)}
    for packet in packets:
        number = numbers[packet.pts]
        packet.time_base = COUNTED
        packet.pts, packet.dts, packet.duration = number, len(order) - EARLY, 1
        order.append(number)
        packet.stream = stream
        container.mux(packet)
