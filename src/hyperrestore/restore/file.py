"""A picture file and its repair -> the restored file, in memory for one row of tiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hyperrestore.arrays import Rows
from hyperrestore.detect.findings import inspect
from hyperrestore.errors import PictureError, UsageError
from hyperrestore.picture.info import PictureInfo
from hyperrestore.picture.reader import MAX_PIXELS, PictureReader, open_picture
from hyperrestore.picture.writer import PictureWriter, copy_picture, create_picture
from hyperrestore.restore.assembly import (
    Assembly,
    Seen,
    Step,
    assemble,
    check_tile,
    map_rows,
    stored,
    with_levels,
)
from hyperrestore.restore.levels import Level
from hyperrestore.restore.repair import Repair, Size, repairs_of
from hyperrestore.restore.restorer import Restorer
from hyperrestore.restore.steps import Reported, reported, steps_of
from hyperrestore.run.engine import TILE
from hyperrestore.run.linear_light import in_linear_light, perceptual_rows
from hyperrestore.run.transparency import Surroundings, VisibleRows, find_surroundings

Read = Callable[[int, int], Rows]  # the rows from top up to, not including, bottom

LARGE = 2**25  # pixels above which a network releases its memory before the picture is encoded
HELD = 2**27  # bytes of a picture that is decoded as a whole before the network runs
COPIED = "copied byte for byte"  # the note of such a copy


@dataclass(frozen=True)
class Success:
    """What was made of one picture.

    Attributes:
        source: The file that was read.
        target: The file that was written.
        levels: By task, in its unit, or of a photo by their units; empty if nothing was repaired. For a map,
            the levels where it is black and white; for a sheet, all that it shows.
        width: Of the result, pixels.
        height: Of the result, pixels.
        seconds: From opening the source to the finished file.
        notes: One plain sentence for everything that was converted or could not be kept.
    """

    source: str
    target: str
    levels: Mapping[str, Reported]
    width: int
    height: int
    seconds: float
    notes: tuple[str, ...]


def restore_file(
    restorers: Restorer | Sequence[Restorer],
    source: str | Path,
    target: str | Path,
    level: Level | tuple[Level, Level] | None,
    *,
    level_map: str | Path | None = None,
    softness: float | None = None,
    grain: float = 0.0,
    to_width: int | None = None,
    to_height: int | None = None,
    long_side: int | None = None,
    strength: float = 1.0,
    at_least: float | None = None,
    tile: int | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    keep_larger: bool = False,
    keep_times: bool = False,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] = lambda done, tiles: None,
    turn: AbstractContextManager[object] | None = None,
) -> Success:
    """Restore one picture file; see `repair_file` for details and for the parameters from `tile` on.

    Args:
        restorers: The model, or several that repair the picture one after the other; the last may upscale
            what the others have repaired.
        source: Picture to read.
        target: File to write, all or nothing; its suffix chooses the format.
        level: In the model's unit; of a model that upscales, the scale, or None where a size is given. For
            the others None means that levels are estimated from the picture (see `hyperrestore.inspect`), and
            what needs no repair is left as it is; the report says so. Of several models, those that are given
            by their units, as `{"sigma": 12}`; the others are estimated. With a map, a pair: the
            level, or levels by their units, where it is black and where it is white.
        level_map: A mask, a picture of any size, that says which level is for which pixel (see
            `level_map.level_rows`); for one model that does not upscale.
        softness: How soft the picture is (see `degrade.shrink`), for a model that has that level; None for 1.
        grain: Share of the luminance noise to put back, 0 to 1; for a model that removes noise.
        to_width: Width of the result, pixels. For a model that upscales, instead of a scale: one of this and
            the next two.
        to_height: Height of the result, pixels.
        long_side: Longer side of the result, pixels.
        strength: How many times as strong as it was estimated the damage is taken to be, 0.1 to 10: sigma, or
            the quantisation steps of JPEG, times this. Levels stay within those of training.
        at_least: The least sigma where it is estimated, also for a picture in which no noise is found.
        tile: Side of a tile, pixels of the result.
        quality: 1 to 100, for lossy formats.
        overwrite: Whether an existing file may be replaced.
        keep_larger: Whether a picture that has the requested size, or more, is left as it is.
        keep_times: Whether the file gets the times of access and change of the source.
        max_pixels: The most pixels that are accepted.
        progress: Called with the number of tiles done and of all tiles.
        turn: Entered while the network runs, where several threads share it.

    Returns:
        What was done.

    Raises:
        PictureError: As `repair_file`.
        UsageError: As `repair_file`, and as `repair.repairs_of`.
        LevelError: The model does not accept the level.
    """
    models = list(restorers) if isinstance(restorers, Sequence) else [restorers]
    size = Size(to_width, to_height, long_side)
    with _named(source):
        repairs = repairs_of(
            models, level, level_map=level_map, softness=softness, grain=grain, size=size, strength=strength,
            at_least=at_least,
        )  # fmt: skip
    return repair_file(
        models, repairs, source, target, tile=tile, quality=quality, overwrite=overwrite,
        keep_larger=keep_larger, keep_times=keep_times, max_pixels=max_pixels, progress=progress, turn=turn,
    )  # fmt: skip


def repair_file(
    restorers: Sequence[Restorer],
    repairs: Sequence[Repair],
    source: str | Path,
    target: str | Path,
    *,
    tile: int | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    keep_larger: bool = False,
    keep_times: bool = False,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] = lambda done, tiles: None,
    turn: AbstractContextManager[object] | None = None,
) -> Success:
    """Restore one picture file by checked repairs, in memory for one row of tiles.

    Files that can only be decoded or encoded as a whole also need memory for the whole picture: progressive
    JPEG, interlaced PNG and turned pictures as input, WebP and AVIF as input or output. A picture that needs
    no repair is copied byte for byte, unless another format or a quality is requested.

    Args:
        restorers: Models that repair the picture one after the other.
        repairs: The repair by each.
        source: Picture to read.
        target: File to write, all or nothing; its suffix chooses the format.
        tile: Side of a tile, pixels of the result; by default `engine.TILE`. For an upscaled picture, two
            thirds of that, since its rows are held as floats, or `subpixels.TILE` pixels of the input.
        quality: 1 to 100, for lossy formats; see `picture.create_picture`.
        overwrite: Whether an existing file may be replaced.
        keep_larger: Whether a picture that already has the requested width, height or long side, or more, is
            left as it is, like one that needs no repair. Otherwise a larger one is refused.
        keep_times: Whether the file gets the source's times of access and change. A byte-for-byte copy always
            has them.
        max_pixels: The most pixels that are accepted, of the picture, of the result and of a mask.
        progress: Called with the number of tiles done and of all tiles.
        turn: Entered while the network runs, if several threads share it, so that others can decode and
            encode meanwhile. A picture of up to `HELD` bytes is then decoded before that.

    Returns:
        What was done.

    Raises:
        PictureError: The picture cannot be read or written, is too large, or memory does not suffice.
        UsageError: The target's suffix is unknown, it exists and `overwrite` is not set, `tile` is below 1,
            or the picture has too many bits for the precision of a model.
        LevelError: The model does not accept the scale that leads to the requested size.
    """
    check_tile(tile)
    start = time.perf_counter()
    with open_picture(source, max_pixels=max_pixels) as reader:
        with _named(source):
            restoration = _restoration(
                restorers, repairs, reader, max_pixels, keep_larger=keep_larger, hold=bool(turn)
            )
        notes, levels = restoration.found, restoration.levels
        height, width = restoration.assembly.to
        if not levels and quality is None and copy_picture(reader, target, overwrite=overwrite):
            notes = (*notes, COPIED)
        else:
            with create_picture(
                target, reader, width=width, height=height, quality=quality, overwrite=overwrite,
                keep_times=keep_times,
            ) as writer:  # fmt: skip
                rows = restoration.assembly.rows(restoration.read, tile=tile, progress=progress)
                del restoration  # with all that is decoded, as soon as it is restored
                _write(rows, writer, reader, tile=tile, turn=turn)
                # Encoding follows, which takes memory, too; other pictures may be running.
                if width * height > LARGE:
                    for restorer in restorers:
                        restorer.release_memory()
            notes = (*notes, *reader.info.notes, *writer.notes)
    seconds = round(time.perf_counter() - start, 3)
    return Success(str(source), str(target), levels, width, height, seconds, notes)


@contextmanager
def _named(source: str | Path) -> Iterator[None]:
    """Prefix usage errors with the name of the picture."""
    try:
        yield
    except UsageError as error:
        raise type(error)(f"{source}: {error}") from error


class _Restoration(NamedTuple):
    """How an open picture is restored.

    Attributes:
        levels: By task; empty where nothing is to be repaired.
        found: What is said of the levels, and of what is left as it is; see `steps.steps_of`.
        assembly: What restores it.
        read: Gives the rows that the assembly asks for.
    """

    levels: dict[str, Reported]
    found: tuple[str, ...]
    assembly: Assembly
    read: Read


def _restoration(
    restorers: Sequence[Restorer],
    repairs: Sequence[Repair],
    reader: PictureReader,
    max_pixels: int,
    *,
    keep_larger: bool,
    hold: bool,
) -> _Restoration:
    """Put together what restores a picture, from the levels that are given or estimated."""
    info, last = reader.info, repairs[-1]  # the only one that may change the size
    width, height = last.result_size(info.width, info.height, keep_larger=keep_larger)
    if width * height > max_pixels:
        raise UsageError(f"{width} x {height} pixels are more than {max_pixels}")
    # Levels are estimated from the same rows that are then restored.
    automatic = any(repair.is_automatic for repair in repairs)
    held = _held(reader) if hold or automatic else None
    findings = inspect(reader.path, max_pixels=max_pixels, rows=held) if automatic else None
    steps, found = steps_of(
        restorers, repairs, info.width, info.height, findings=findings, keep_larger=keep_larger
    )
    used = [step for step in steps if step is not None]
    read, visible_only = _visible(reader, held, max_pixels, used)
    linear = in_linear_light(info)
    seen = Seen(info.width, info.height, info.bits, visible_only=visible_only, linear=linear)
    assembly = assemble(used, seen)
    if last.level_map is not None:
        levels_of = map_rows(last, height=info.height, width=info.width, max_pixels=max_pixels)
        read = with_levels(read, levels_of)
    levels = {
        str(repair.task): reported(repair, *(repair.ends if step.levels is None else [step.levels]))
        for step, repair in zip(steps, repairs, strict=True)
        if step is not None
    }
    return _Restoration(levels, found, assembly, read)


def _held(reader: PictureReader) -> Rows | None:
    """All rows as networks see them, or None if there are too many."""
    info = reader.info
    sample = 4 if in_linear_light(info) else info.dtype.itemsize
    if info.width * info.height * (info.channels + info.has_alpha) * sample > HELD:
        return None
    return perceptual_rows(reader.bands, info)(0, info.height)


def _visible(
    reader: PictureReader, held: Rows | None, max_pixels: int, steps: Sequence[Step]
) -> tuple[Read, bool]:
    """Rows without hidden colours and alpha, and whether they are those of `VisibleRows`."""
    info = reader.info
    read = perceptual_rows(reader.bands, info) if held is None else _slices(held)
    if not info.has_alpha:
        return read, False
    surroundings = _surroundings(reader.path, info, held, max_pixels) if steps else None
    if surroundings is None:
        return lambda top, bottom: read(top, bottom)[:-1], False
    return VisibleRows(read, surroundings, bits=info.bits).rows, True


def _surroundings(source: Path, info: PictureInfo, held: Rows | None, max_pixels: int) -> Surroundings | None:
    """The colours around what is hidden, from the rows in memory, or else from the file, read once more."""
    if held is not None:
        return find_surroundings(_slices(held), height=info.height)
    with open_picture(source, max_pixels=max_pixels) as reader:
        return find_surroundings(perceptual_rows(reader.bands, info), height=info.height)


def _slices(rows: Rows) -> Read:
    return lambda top, bottom: rows[:, top:bottom]


def _write(
    rows: Iterator[Rows],
    writer: PictureWriter,
    reader: PictureReader,
    *,
    tile: int | None,
    turn: AbstractContextManager[object] | None,
) -> None:
    """Run the network, and write its rows in the depth of the file."""
    try:
        with turn or nullcontext():
            for restored in rows:
                writer.write(stored(restored, reader.info.dtype))
    except MemoryError as error:
        raise PictureError(
            f"{reader.path}: not enough memory for tiles of {tile or TILE} pixels; give a smaller tile"
        ) from error
