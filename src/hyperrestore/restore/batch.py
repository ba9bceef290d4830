"""Picture files -> restored picture files: one, and many of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hyperrestore.arrays import Pixels, Rows
from hyperrestore.detect.findings import inspect
from hyperrestore.errors import DiskFullError, HyperrestoreError, PictureError, UsageError
from hyperrestore.level import Task
from hyperrestore.picture.decode import header_size
from hyperrestore.picture.info import PictureInfo
from hyperrestore.picture.reader import MAX_PIXELS, open_picture
from hyperrestore.picture.writer import copy_picture, create_picture
from hyperrestore.restore.folder import make_folder
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import TILE, Backend, Chain, Grain, from_floats, restore_rows, to_floats
from hyperrestore.run.enlarge import STRIP, Enlargement, enlarged_size, is_as_large
from hyperrestore.run.level_map import level_rows
from hyperrestore.run.linear_light import LinearResult, in_linear_light, perceptual_rows, to_linear
from hyperrestore.run.subpixels import Upscaled, has_subpixels, tile_of
from hyperrestore.run.tiles import spans
from hyperrestore.run.transparency import Surroundings, VisibleOnly, VisibleRows, find_surroundings

Level = float | tuple[float, float]  # one, or those where a map is black and white

IN_FLIGHT = 3  # pictures: one in the network, one that is decoded, one that is encoded
PIXELS_IN_FLIGHT = 2**26  # of all of them together, unless a single one has more
LARGE = 2**25  # pixels from which on a network gives back its memory before the picture is encoded
HELD = 2**27  # bytes of a picture that is decoded as a whole before the network runs
COPIED = "copied byte for byte"  # the note of such a copy


@dataclass(frozen=True)
class Report:
    """What became of one picture.

    Attributes:
        source: The file that was read.
        target: The file that was written.
        levels: By task, in its unit; empty where nothing was to be repaired. Of a map of levels, those where
            it is black and white; of a sheet, all that it shows.
        width: Of the result, pixels.
        height: Of the result, pixels.
        seconds: From opening to finished file.
        notes: One plain sentence for everything that was converted or could not be kept.
    """

    source: str
    target: str
    levels: Mapping[str, float | tuple[float, ...]]
    width: int
    height: int
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """Why there is no result for a picture.

    Attributes:
        source: The file that was to be read.
        target: The file that was to be written.
        error: What went wrong, in words for people.
    """

    source: str
    target: str
    error: HyperrestoreError


@dataclass
class _Counted:
    """A backend that tells how many of its windows are done."""

    backend: Backend
    progress: Callable[[int, int], None]
    windows: int = 0
    halo: int = field(init=False)
    multiple: int = field(init=False)
    subpixels: int = field(init=False)
    done: int = 0

    def __post_init__(self) -> None:
        self.halo, self.multiple = self.backend.halo, self.backend.multiple
        self.subpixels = getattr(self.backend, "subpixels", 1)

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a window."""
        restored = self.backend(window)
        self.done += 1
        self.progress(self.done, self.windows)
        return restored


def restore_file(
    restorers: Restorer | Sequence[Restorer],
    source: str | Path,
    target: str | Path,
    level: float | tuple[float, float] | None,
    *,
    level_map: str | Path | None = None,
    softness: float | None = None,
    grain: float = 0.0,
    to_width: int | None = None,
    to_height: int | None = None,
    long_side: int | None = None,
    tile: int | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    keep_larger: bool = False,
    keep_times: bool = False,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] = lambda done, tiles: None,
    turn: AbstractContextManager[object] | None = None,
) -> Report:
    """Restore one picture file, in memory for one row of tiles.

    Files that can only be decoded or encoded as a whole need memory for the whole picture besides:
    progressive JPEG, interlaced PNG and turned pictures as input, WebP and AVIF as either. A picture in
    which nothing is to be repaired is copied byte for byte, unless another format or a quality is asked for.

    Args:
        restorers: The model, or several that repair the picture one after the other; only one may upscale.
        source: Picture to read.
        target: File to write, all or nothing; its suffix chooses the format.
        level: In the model's unit; of a model that upscales, the scale, or None where one of the next three
            says how large the result is to be. For the others None means that levels are found out from the
            picture (see `estimate.inspect`), and what needs no repair is left as it is; the report says so.
            Several models need None. With a map, the levels where it is black and where it is white.
        level_map: A mask, a picture of any size, that says which level is for which pixel (see
            `level_map.level_rows`); for one model that does not upscale.
        softness: How soft the picture is (see `degrade.shrink`), for a model that has that level; None for 1.
        grain: Share of the luminance noise taken out by a denoising model that is put back, 0 to 1.
        to_width: Width of the result, pixels.
        to_height: Height of the result, pixels.
        long_side: Longer side of the result, pixels.
        tile: Side of a tile, pixels of the result; by default `engine.TILE`. Of an upscaled picture two
            thirds of it, since its rows are held as floats, or `subpixels.TILE` pixels of the small picture.
        quality: 1 to 100, for lossy formats; see `picture.create_picture`.
        overwrite: Whether an existing file may be replaced.
        keep_larger: Whether a picture that has already the width, height or long side asked for, or more, is
            left as it is, like one in which nothing is to be repaired. Else a larger one is refused.
        keep_times: Whether the file gets the times of access and change of the source. A byte-for-byte copy
            has them always.
        max_pixels: The most pixels that are accepted, of the picture and of the result.
        progress: Called with the number of tiles done and of all tiles.
        turn: Entered while the network runs, where several threads share it: so others can decode and encode
            meanwhile. A picture of up to `HELD` bytes is then decoded before it is entered.

    Returns:
        What was done.

    Raises:
        PictureError: The picture cannot be read or written, is too large, or memory does not suffice.
        UsageError: The target's suffix is unknown, it exists and `overwrite` is not set, `tile` is not
            above 0, several models were given with a level or one of them upscales, a map without two levels
            or the reverse, a grain outside of 0 to 1, or the picture has too many bits for their precision.
        LevelError: The model does not accept the level.
    """
    restorers = list(restorers) if isinstance(restorers, Sequence) else [restorers]
    upscales = any(restorer.task == Task.UPSCALE for restorer in restorers)
    _check_request(restorers, level, level_map, tile)
    start = time.perf_counter()
    found: tuple[str, ...] = ()
    automatic = level is None and not upscales
    with open_picture(source, max_pixels=max_pixels) as reader:
        info = reader.info
        width, height = info.width, info.height
        linear = in_linear_light(info)
        read = perceptual_rows(reader.bands, info)
        size = width * height * (info.channels + info.has_alpha) * (4 if linear else info.dtype.itemsize)
        # Levels are found out from the same rows that are then restored.
        held = read(0, height) if (automatic or turn) and size <= HELD else None
        read = read if held is None else _slices(held)
        try:
            sides = {"to_width": to_width, "to_height": to_height, "long_side": long_side}
            if keep_larger and upscales and level is None and is_as_large(width, height, **sides):
                upscales, found = False, (_large_enough(width, height, sides),)
            elif upscales and not isinstance(level, tuple):
                width, height, level = enlarged_size(width, height, scale=level, **sides)
                if width * height > max_pixels:
                    raise UsageError(f"{width} x {height} pixels are more than {max_pixels}")
            levels: list[Level | None] = [level]
            if automatic:
                levels, found = _levels(restorers, source, max_pixels, held)
            used = [
                (restorer, one) for restorer, one in zip(restorers, levels, strict=True) if one is not None
            ]
            networks = [
                _network(restorer, one, info.bits, width * height, softness, grain) for restorer, one in used
            ]
            backend = networks[0] if len(networks) == 1 else Chain(networks)
        except UsageError as error:
            raise type(error)(f"{source}: {error}") from error
        visible_only = False
        if info.has_alpha:
            surroundings = _surroundings(source, info, held, max_pixels) if used else None
            visible_only = surroundings is not None
            read = (
                _without_alpha(read)
                if surroundings is None
                else VisibleRows(read, surroundings, bits=info.bits).rows
            )
        if level_map is not None and isinstance(level, tuple):
            black, white = level
            levels_of = level_rows(
                level_map, height=height, width=width, black=black, white=white, max_pixels=max_pixels
            )
            read = _with_levels(read, levels_of)
        notes: tuple[str, ...]
        if not used and quality is None and copy_picture(reader, target, overwrite=overwrite):
            notes = (*found, COPIED)
        else:
            with create_picture(
                target,
                reader,
                width=width,
                height=height,
                quality=quality,
                overwrite=overwrite,
                keep_times=keep_times,
            ) as writer:
                result = _result(
                    backend,
                    read,
                    size=(info.height, info.width),
                    to=(height, width),
                    tile=tile,
                    visible_only=visible_only,
                    linear=linear,
                    progress=progress,
                )
                try:
                    with turn or nullcontext():
                        for restored in result:
                            writer.write(_stored(restored, info))
                except MemoryError as error:
                    side = tile or TILE
                    raise PictureError(
                        f"{source}: memory does not suffice for tiles of {side} pixels; give a smaller tile"
                    ) from error
                # What follows is encoding, which takes memory, too; other pictures may be running.
                del backend, networks, result, read, held, restored
                if width * height > LARGE:
                    for restorer, _ in used:
                        restorer.release_memory()
            notes = (*found, *info.notes, *writer.notes)
    seconds = time.perf_counter() - start
    by_task = {str(restorer.task): one if isinstance(one, tuple) else float(one) for restorer, one in used}
    return Report(str(source), str(target), by_task, width, height, round(seconds, 3), notes)


def _result(
    backend: Backend,
    read: Callable[[int, int], Rows],
    *,
    size: tuple[int, int],
    to: tuple[int, int],
    tile: int | None,
    visible_only: bool,
    linear: bool,
    progress: Callable[[int, int], None],
) -> Iterator[Rows]:
    """The rows of a result, from what the network is to see of a picture."""
    if has_subpixels(backend):
        counted = _Counted(backend, progress)
        finish = to_linear if linear else None
        upscaled = Upscaled(counted, size=size, to=to, visible_only=visible_only, finish=finish)
        small = tile_of(tile, to[1] / size[1])
        counted.windows = upscaled.windows(small)
        return upscaled.rows(read, tile=small)
    enlarged = size != to
    side = tile or (TILE * 2 // 3 if enlarged else TILE)
    rows, columns = (
        len(spans(length, size=side, halo=backend.halo, multiple=backend.multiple)) for length in to
    )
    if visible_only:
        backend = VisibleOnly(backend)
    if linear:
        backend = LinearResult(backend)
    if enlarged:
        read = Enlargement(read, size=size, to=to).rows
    counted = _Counted(backend, progress, rows * columns)
    return restore_rows(counted, read, height=to[0], width=to[1], size=side)


def _check_request(
    restorers: Sequence[Restorer], level: Level | None, level_map: str | Path | None, tile: int | None
) -> None:
    """Refuse what cannot be done to any picture."""
    upscales = any(restorer.task == Task.UPSCALE for restorer in restorers)
    if len(restorers) != 1 and (upscales or level is not None):
        raise UsageError("several models repair a picture at levels that are found out, and none may upscale")
    if (level_map is not None) != isinstance(level, tuple):
        raise UsageError(
            f"level {level} and map {level_map} do not fit: two levels, for black and for white, need a map, "
            "and a map needs them"
        )
    if tile is not None and tile < 1:
        raise UsageError(f"a tile of {tile} pixels was asked for; give at least 1")


def _network(
    restorer: Restorer, level: Level, bits: int, pixels: int, softness: float | None, grain: float
) -> Backend:
    """The network for a level, or for a map of levels between two; with grain if it takes noise out."""
    if isinstance(level, tuple):
        for one in level:
            restorer.scale.check(one)
        backend: Backend = restorer.mapped(bits=bits)
    else:
        asked = level if softness is None else {restorer.scale.unit: level, "softness": softness}
        backend = restorer.at(asked, bits=bits, pixels=pixels)
    return Grain(backend, grain) if grain and restorer.task == Task.DENOISE else backend


def _large_enough(width: int, height: int, sides: Mapping[str, int | None]) -> str:
    """Why a picture is not enlarged, a plain clause."""
    words = {"to_width": "width", "to_height": "height", "long_side": "long side"}
    asked = ", ".join(f"{words[name]} of {side}" for name, side in sides.items() if side is not None)
    return f"not enlarged: with {width} x {height} pixels it has the {asked} that was asked for, or more"


def _surroundings(
    source: str | Path, info: PictureInfo, held: Rows | None, max_pixels: int
) -> Surroundings | None:
    """The colours around what is hidden, from the rows held or else from the file, read once more."""
    if held is not None:
        return find_surroundings(_slices(held), height=info.height)
    with open_picture(source, max_pixels=max_pixels) as reader:
        return find_surroundings(perceptual_rows(reader.bands, info), height=info.height)


def _without_alpha(read: Callable[[int, int], Rows]) -> Callable[[int, int], Rows]:
    return lambda top, bottom: read(top, bottom)[:-1]


def _with_levels(
    read: Callable[[int, int], Rows], levels: Callable[[int, int], Pixels]
) -> Callable[[int, int], Rows]:
    """Rows of a picture as floats, with their levels as the last channel."""
    return lambda top, bottom: np.concatenate([to_floats(read(top, bottom)), levels(top, bottom)])


def _levels(
    restorers: Sequence[Restorer], source: str | Path, max_pixels: int, rows: Rows | None
) -> tuple[list[Level | None], tuple[str, ...]]:
    """The level of each restorer for a picture, found from it; None if there is nothing to repair."""
    findings = inspect(source, max_pixels=max_pixels, rows=rows)
    levels: list[Level | None] = []
    notes = []
    for restorer in restorers:
        level = findings.levels.get(restorer.task)
        if level is not None:
            applied = restorer.scale.nearest_trained(level)
            limit = "" if applied == level else ", the nearest that the model was trained for"
            notes.append(
                f"{restorer.task} at {restorer.scale.unit} {applied:g}{limit}: "
                f"{findings.sentence(restorer.task)}"
            )
            level = applied
        levels.append(level)
    if not notes:
        found = "; ".join(findings.sentence(restorer.task) for restorer in restorers)
        with_level = "a level"
        if len(restorers) > 1:  # then no level can be given, but to one of them alone
            with_level = " or ".join(f"`{restorer.task}`" for restorer in restorers) + " with a level"
        notes.append(f"nothing was repaired: {found}; {with_level} repairs it all the same")
    return levels, tuple(notes)


def _slices(rows: Rows) -> Callable[[int, int], Rows]:
    return lambda top, bottom: rows[:, top:bottom]


def _stored(rows: Rows, info: PictureInfo) -> Rows:
    """Rows in the depth of the file."""
    if rows.dtype == info.dtype:
        return rows
    integers = np.empty(rows.shape, info.dtype)
    for top in range(0, rows.shape[1], STRIP):
        from_floats(rows[:, top : top + STRIP], integers[:, top : top + STRIP])
    return integers


def restore_files(
    restore: Callable[..., Report],
    pairs: Sequence[tuple[Path, Path]],
    *,
    size: Callable[[int, int], tuple[int, int]] = lambda width, height: (width, height),
    make_folders: bool = False,
    progress: Callable[[int, float], None] = lambda index, share: None,
) -> Generator[Report | Failure, None, None]:
    """Restore picture files: while the network runs for one, others are decoded and encoded.

    The files are those that `restore` makes one by one. After a full disk no further picture is begun. If
    this is interrupted or closed, the pictures in the making are given up, and nothing of them is left.

    Args:
        restore: `restore_file` with all that is the same for every picture; takes source, target, `progress`
            and `turn`, and is called in other threads.
        pairs: Sources and targets, as `plan_targets` gives them.
        size: Gives width and height of a picture's result from those of the picture.
        make_folders: Whether the folders of the targets are made where they are missing.
        progress: Called with the index of the picture at hand, and the share of all work that is done, 0 to
            1, by pixels.

    Yields:
        What became of each picture, in the order of `pairs`.
    """
    turns = _Turns()
    work = _Work([_pixels(source, size) for source, _ in pairs], progress)

    def attempt(index: int) -> Report | Failure:
        source, target = pairs[index]

        def step(done: int, tiles: int) -> None:
            turns.go_on()
            work.step(index, done / tiles)

        try:
            if make_folders:
                make_folder(target.parent)
            return restore(source, target, progress=step, turn=turns if len(pairs) > 1 else None)
        except HyperrestoreError as error:
            return Failure(str(source), str(target), error)
        except (MemoryError, OSError) as error:  # those of this picture, not of the batch
            why = error.strerror if isinstance(error, OSError) else "memory does not suffice"
            return Failure(str(source), str(target), PictureError(f"{source}: cannot be restored ({why})"))
        finally:
            work.step(index, 1)

    if len(pairs) == 1:
        yield attempt(0)
        return
    results: dict[int, Report | Failure] = {}  # finished, and not yet yielded
    running: dict[Future[Report | Failure], int] = {}
    begun = yielded = 0
    full = False  # the disk
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        try:
            while running or (begun < len(pairs) and not full):
                while begun < len(pairs) and not full and work.fits(begun, running.values()):
                    running[pool.submit(attempt, begun)] = begun
                    begun += 1
                # Windows hears Ctrl-C only between two waits.
                for future in wait(running, timeout=1, return_when=FIRST_COMPLETED).done:
                    result = results[running.pop(future)] = future.result()
                    full = full or (isinstance(result, Failure) and isinstance(result.error, DiskFullError))
                while yielded in results:
                    yield results.pop(yielded)
                    yielded += 1
        except KeyboardInterrupt:
            turns.stop()
            wait(running)
            for future, index in running.items():
                if future.exception() is None:  # its file was complete before it heard
                    results[index] = future.result()
            yield from (results[index] for index in sorted(results))
            raise
        finally:
            turns.stop()


class _Turns:
    """Lets one thread at a time run the network, until it is stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self.go_on()
        except CancelledError:
            self._lock.release()
            raise

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def go_on(self) -> None:
        """Raise CancelledError if there is nothing to go on for."""
        if self._stopped:
            raise CancelledError

    def stop(self) -> None:
        """Let all threads give up."""
        self._stopped = True


class _Work:
    """The pixels of a batch: how many are done, and how many may be in memory."""

    def __init__(self, pixels: Sequence[int], progress: Callable[[int, float], None]) -> None:
        self._pixels = pixels
        self._all = sum(pixels)
        self._progress = progress
        self._lock = threading.Lock()
        self._shares = [0.0] * len(pixels)
        self._done = 0.0  # pixels

    def step(self, index: int, share: float) -> None:
        """Note that a share of a picture is done."""
        with self._lock:
            more, self._shares[index] = share - self._shares[index], share
            if more:
                self._done += more * self._pixels[index]
                self._progress(index, self._done / self._all)

    def fits(self, index: int, running: Collection[int]) -> bool:
        """Tell whether one more picture fits beside those that are running."""
        together = self._pixels[index] + sum(self._pixels[other] for other in running)
        return not running or (len(running) < IN_FLIGHT and together <= PIXELS_IN_FLIGHT)


def _pixels(source: Path, size: Callable[[int, int], tuple[int, int]]) -> int:
    """The pixels of a picture's result; at least 1."""
    width, height = header_size(source)
    if not width * height:  # it cannot be read
        return 1
    try:
        width, height = size(width, height)
    except UsageError:  # there will be no result
        return 1
    return width * height
