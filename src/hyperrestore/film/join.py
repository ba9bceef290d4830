"""Finished segments, and what a film holds besides its pictures -> the restored film, packet by packet."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from hyperrestore.errors import PictureError
from hyperrestore.film.display_size import write_aspect
from hyperrestore.film.kinds import MATROSKA
from hyperrestore.film.library import pyav
from hyperrestore.film.source import Film, opened
from hyperrestore.film.work import Segment

OF_THE_FILE = ("encoder", "major_brand", "minor_version", "compatible_brands")  # as it was written
DROPPED = ("data", "unknown")  # types of streams that are not kept
STALE = ("BPS", "NUMBER_OF_BYTES", "ENCODER")  # what Matroska says of the pictures as they were
CONTAINERS = {".mkv": "matroska", ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}
PICTURE_TAGS = {"libx265": "hvc1"}  # in MP4 and MOV, as Apple's players want it


class _Timed(NamedTuple):
    """A packet for the result, and when it is decoded, in seconds."""

    seconds: Fraction
    packet: Any


def check_streams(film: Film, *, suffix: str) -> None:
    """Refuse a container that cannot hold what is copied, before the work begins.

    Raises:
        PictureError: It cannot.
    """
    container = CONTAINERS[suffix]
    with opened(film.path) as source, pyav().open(os.devnull, "w", format=container) as target:
        for stream in source.streams:
            if stream.type not in DROPPED and stream.index != film.stream:
                _copy(film, stream, target, suffix)


def join_film(
    path: Path, film: Film, segments: Sequence[Segment], size: tuple[int, int], *, suffix: str, codec: str
) -> tuple[str, ...]:
    """Write the restored film.

    Args:
        path: File to write, under any name.
        film: The film, from whose file all other streams are copied.
        segments: All of them, in order.
        size: Height and width of the result, pixels.
        suffix: Of the result, which chooses the container.
        codec: The encoder of the segments.

    Returns:
        A sentence for all that is not kept.

    Raises:
        PictureError: The container cannot hold a stream, or the file cannot be written.
    """
    av = pyav()
    notes: tuple[str, ...]
    options = {"movflags": "use_metadata_tags"} if suffix == ".mov" else {}
    try:
        with (
            opened(film.path) as source,
            opened(segments[0].path) as first,
            av.open(str(path), "w", format=CONTAINERS[suffix], container_options=options) as target,
        ):
            target.metadata.update(
                {name: value for name, value in source.metadata.items() if name.lower() not in OF_THE_FILE}
            )
            target.set_chapters(source.chapters())
            streams, notes = _streams(film, source, first.streams.video[0], target, suffix)
            pictures = streams[film.stream]
            place = pictures.index
            if suffix != ".mkv" and codec in PICTURE_TAGS:
                pictures.codec_context.codec_tag = PICTURE_TAGS[codec]
            target.start_encoding()
            others = _others(
                source, {number: each for number, each in streams.items() if each is not pictures}
            )
            for _, packet in heapq.merge(
                _pictures(film, segments, pictures), others, key=lambda timed: timed.seconds
            ):
                target.mux(packet)
    except av.FFmpegError as error:
        raise PictureError(f"{film.path}: the restored film cannot be written ({error.strerror})") from error
    return (*notes, *_note_aspect(path, film, size, suffix, place))


def _note_aspect(path: Path, film: Film, size: tuple[int, int], suffix: str, place: int) -> tuple[str, ...]:
    """Write the shape of pixels where FFmpeg was not told; a sentence if that fails."""
    if suffix != ".mkv" or film.aspect is None or film.aspect == 1:
        return ()
    height, width = size
    if write_aspect(path, place, film.aspect, width=width, height=height):
        return ()
    return (f"the shape of pixels, {film.aspect}, is not kept",)


def _streams(
    film: Film, source: Any, restored: Any, target: Any, suffix: str
) -> tuple[dict[int, Any], tuple[str, ...]]:
    """The streams of the result, by the number of those they are copied from."""
    streams, notes = {}, []
    for stream in source.streams:
        if stream.type in DROPPED:
            notes.append(f"stream {stream.index} ({stream.type}) is not kept")
            continue
        copy = _copy(film, restored if stream.index == film.stream else stream, target, suffix)
        copy.disposition = stream.disposition
        copy.metadata.update(stream.metadata)
        streams[stream.index] = copy
    pictures = streams[film.stream]
    for name in [name for name in pictures.metadata if name.upper().startswith(STALE)]:
        del pictures.metadata[name]
    pictures.time_base = film.time_base
    pictures.codec_context.framerate = film.rate
    pictures.set_display_matrix(film.display)
    return streams, tuple(notes)


def _copy(film: Film, stream: Any, target: Any, suffix: str) -> Any:
    """A stream of the result, as another is."""
    try:
        return target.add_stream_from_template(stream, opaque=True)
    except ValueError as error:
        own = film.path.suffix.lower()
        others = [other for other in (own, MATROSKA) if other in CONTAINERS and other != suffix]
        advice = f"give an output that ends with {others[0]}" if others else "remove it from the film first"
        raise PictureError(
            f"{film.path}: stream {stream.index} ({stream.type}) cannot be copied into {suffix[1:]} "
            f"({error}); {advice}"
        ) from error


def _pictures(film: Film, segments: Sequence[Segment], stream: Any) -> Iterator[_Timed]:
    """The packets of all segments, with the times of the film."""
    times = [time for segment in segments for time in segment.times]
    begins = [sum(len(segment.times) for segment in segments[:index]) for index in range(len(segments))]
    order = [
        begin + number for begin, segment in zip(begins, segments, strict=True) for number in segment.order
    ]
    # A frame is decoded before it is shown, and the times of decoding ascend.
    late = max(place - number for place, number in enumerate(order))
    step = times[1] - times[0] if len(times) > 1 else 1
    decoded = [times[0] - (late - index) * step for index in range(late)] + times
    ends = [*times[1:], times[-1] + (film.last_duration or step)]
    place = 0
    for segment in segments:
        with opened(segment.path) as container:
            for packet in container.demux(container.streams.video[0]):
                if not packet.size:
                    continue
                number = order[place]
                packet.time_base = film.time_base
                packet.pts, packet.dts = times[number], decoded[place]
                packet.duration = ends[number] - times[number]
                packet.stream = stream
                yield _Timed(decoded[place] * film.time_base, packet)
                place += 1
    if place != len(order):
        raise PictureError(f"{film.path}: {len(order) - place} restored frames are missing; begin again")


def _others(source: Any, streams: dict[int, Any]) -> Iterator[_Timed]:
    """The packets of all other streams, in the order of the file."""
    seconds = Fraction(0)
    for packet in source.demux([source.streams[number] for number in streams]) if streams else ():
        if not packet.size:
            continue
        time = packet.dts if packet.dts is not None else packet.pts
        if time is not None:
            seconds = max(seconds, time * packet.time_base)
        packet.stream = streams[packet.stream_index]
        yield _Timed(seconds, packet)
