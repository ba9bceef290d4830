"""A film -> what is known of it, and its frames one by one."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from hyperrestore.arrays import StoredRows
from hyperrestore.errors import PictureError
from hyperrestore.film.beside import lost_beside
from hyperrestore.film.chroma import Grid
from hyperrestore.film.colour import FULL, Coding, matrix_of, siting_of
from hyperrestore.film.frames import Layout, layout_of, planes_of
from hyperrestore.film.hdr import Hdr, hdr_of
from hyperrestore.film.library import pyav
from hyperrestore.film.siting import siting_name

TELLING = ("matroska", "mov", "avi")  # containers whose header tells how long the film is
MICROSECONDS = 10**6  # in a second
USUAL_RATE = Fraction(25)  # frames a second where a film does not say; only encoders look at it


@dataclass(frozen=True)
class Film:
    """What is known of a film.

    Attributes:
        path: Its file.
        stream: Number of the stream that is restored.
        width: Pixels.
        height: Pixels.
        layout: How the samples of its frames are read.
        coding: How they stand for colours.
        times: When each frame is shown, in units of `time_base`, ascending.
        last_duration: How long the last is shown.
        time_base: Seconds.
        rate: Frames a second, on average.
        aspect: Width of a pixel divided by its height; None where the film does not say.
        primaries: Of the colours, as ITU-T H.273 numbers them; 2 where the film does not say.
        transfer: The same of the transfer characteristics.
        matrix: The same of the matrix.
        range: 1 for that of television, 2 for full, 0 where the film does not say.
        siting: FFmpeg's name of the place of colour samples; None where the film does not say.
        display: Nine numbers that turn or mirror the pictures when they are shown; None for none.
        hdr: What the film says of its brightness.
        beside: Names of what its frames hold beside their samples, and is not kept.
        ends_early: When the last packet of the file ends, and when it should by its header, seconds; None
            where these agree.
    """

    path: Path
    stream: int
    width: int
    height: int
    layout: Layout
    coding: Coding
    times: tuple[int, ...]
    last_duration: int
    time_base: Fraction
    rate: Fraction
    aspect: Fraction | None
    primaries: int
    transfer: int
    matrix: int
    range: int
    siting: str | None
    display: tuple[int, ...] | None
    hdr: Hdr
    beside: tuple[str, ...]
    ends_early: tuple[float, float] | None


class Frame(NamedTuple):
    """One frame: when it is shown, in units of the film's `time_base`, and its samples."""

    time: int
    planes: list[StoredRows]


def read_film(path: Path) -> Film:
    """Find out what is to be known of a film; the whole file is read, and one frame decoded.

    Raises:
        PictureError: It cannot be read, holds no pictures, or such as are not supported.
    """
    with opened(path) as container:
        stream = _pictures(container, path)
        times, last_duration, end = _times(container, stream)
        ends_early = _ends_early(container, end)
    if not times:
        raise PictureError(f"{path}: holds no frames; nothing to restore")
    with opened(path) as container:
        stream = _pictures(container, path)
        first = next(container.decode(stream), None)
        if first is None:
            raise PictureError(
                f"{path}: none of its {len(times)} frames can be decoded; is the file complete?"
            )
        # VP8 and VP9 keep it beside the pictures, where the decoder does not look.
        if {name.lower(): value for name, value in stream.metadata.items()}.get("alpha_mode") == "1":
            raise PictureError(f"{path}: has transparency, which would be lost; flatten it first")
        if first.interlaced_frame:
            raise PictureError(
                f"{path}: is interlaced, and the models know whole pictures; deinterlace it first"
            )
        return _film(path, stream, first, times, last_duration, ends_early)


def _film(
    path: Path,
    stream: Any,
    first: Any,
    times: tuple[int, ...],
    last_duration: int,
    ends_early: tuple[float, float] | None,
) -> Film:
    try:
        layout = layout_of(first.format.name)
        said = first.color_range or stream.codec_context.color_range
        full = said == FULL or (said == 0 and (layout.kind != "yuv" or first.format.name.startswith("yuvj")))
        siting = siting_name(stream) if layout.apart != (1, 1) else None
        matrix = matrix_of(first.colorspace, first.height) if layout.kind == "yuv" else (0.0, 0.0)
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    grid = Grid(first.height, first.width, layout.apart, siting_of(siting, full=full))
    return Film(
        path=path,
        stream=stream.index,
        width=first.width,
        height=first.height,
        layout=layout,
        coding=Coding(layout.kind, layout.bits, full, matrix, grid),
        times=times,
        last_duration=last_duration,
        time_base=stream.time_base,
        rate=stream.average_rate or stream.guessed_rate or USUAL_RATE,
        aspect=stream.sample_aspect_ratio or None,
        primaries=int(first.color_primaries),
        transfer=int(first.color_trc),
        matrix=int(first.colorspace),
        range=FULL if full and layout.kind == "yuv" else int(said),
        siting=siting,
        display=_display(first),
        hdr=hdr_of(first),
        beside=lost_beside(first),
        ends_early=ends_early,
    )


def frames_from(film: Film, start: int = 0) -> Iterator[Frame]:
    """The frames of a film from the one with this number on.

    Raises:
        PictureError: One cannot be decoded, or has another size or format than the first.
    """
    begin = film.times[start]
    with opened(film.path) as container:
        stream = container.streams[film.stream]
        stream.thread_type = "AUTO"
        if start:
            container.seek(begin, stream=stream)
        decoded = _decoded(film, container, stream)
        first = next(decoded, None)
        if start and (first is None or first[0] > begin):  # the index of the file points behind it
            container.seek(film.times[0], stream=stream)
            decoded = _decoded(film, container, stream)
            first = next(decoded, None)
        if first is None:
            return
        if first[0] >= begin:
            yield Frame(first[0], planes_of(first[1], film.layout))
        for time, frame in decoded:
            if time >= begin:
                yield Frame(time, planes_of(frame, film.layout))


def _decoded(film: Film, container: Any, stream: Any) -> Iterator[tuple[int, Any]]:
    """Frames with their times, which ascend."""
    last = None
    try:
        for frame in container.decode(stream):
            time = frame.pts if frame.pts is not None else frame.dts
            if last is not None and (time is None or time <= last):
                time = last + 1
            last = film.times[0] if time is None else time
            _check_same(film, frame, last)
            yield last, frame
    except pyav().FFmpegError as error:
        where = "" if last is None else f" after {_seconds(film, last)}"
        raise PictureError(
            f"{film.path}: cannot be decoded{where} ({error.strerror}); is it damaged?"
        ) from error


def _check_same(film: Film, frame: Any, time: int) -> None:
    if (frame.width, frame.height) != (film.width, film.height) or layout_of(
        frame.format.name
    ) != film.layout:
        raise PictureError(
            f"{film.path}: changes to {frame.width} x {frame.height} pixels in {frame.format.name} at "
            f"{_seconds(film, time)}; cut it there, and restore the parts"
        )


def _seconds(film: Film, time: int) -> str:
    return f"{float((time - film.times[0]) * film.time_base):.2f} s"


def number_at(film: Film, time: int) -> int:
    """The number of the frame that is shown at a time."""
    return max(bisect_right(film.times, time) - 1, 0)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An open film, for reading.

    Raises:
        PictureError: It cannot be opened, or not be read.
    """
    av = pyav()
    try:
        with av.open(str(path)) as container:
            yield container
    except av.EOFError as error:
        raise PictureError(f"{path}: ends before its first frame; nothing to restore") from error
    except av.FFmpegError as error:
        raise PictureError(f"{path}: cannot be read as a film ({error.strerror})") from error


def is_cover(stream: Any) -> bool:
    """Whether a stream is a still picture beside the film, such as its cover."""
    return bool(stream.disposition & pyav().stream.Disposition.attached_pic)


def _pictures(container: Any, path: Path) -> Any:
    """The stream that is restored: of those with pictures, the largest."""
    streams = [stream for stream in container.streams.video if not is_cover(stream)]
    if not streams:
        kinds = ", ".join(dict.fromkeys(stream.type for stream in container.streams)) or "nothing"
        raise PictureError(f"{path}: has no moving pictures, only {kinds}; nothing to restore")
    best = max(streams, key=lambda stream: stream.codec_context is not None and stream.width * stream.height)
    if best.codec_context is None:
        raise PictureError(f"{path}: there is no decoder for its pictures; convert it")
    return best


def _times(container: Any, stream: Any) -> tuple[tuple[int, ...], int, float]:
    """What the packets say: the times of all frames, ascending, the duration of the last, and the end of all.

    The end is that of the last packet of any stream, in seconds.
    """
    durations, end = {}, 0.0
    for packet in container.demux():
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or not packet.size:
            continue
        end = max(end, float((time + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index == stream.index and not packet.is_discard:
            durations[time] = packet.duration or 0
    times = tuple(sorted(durations))
    return times, durations[times[-1]] if times else 0, end


def _ends_early(container: Any, end: float) -> tuple[float, float] | None:
    """The end of a file and the one that its header tells, seconds, if it ends clearly earlier."""
    if not container.format.name.startswith(TELLING) or not container.duration:
        return None
    told = ((container.start_time or 0) + container.duration) / MICROSECONDS
    return (end, told) if told - end > max(1.0, 0.02 * told) else None


def _display(frame: Any) -> tuple[int, ...] | None:
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else struct.unpack("=9i", bytes(data))
