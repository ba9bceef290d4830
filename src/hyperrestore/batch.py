"""Picture files -> restored picture files: which file becomes which, and one file after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hyperrestore.engine import TILE, Backend, Chain, Pixels, Rows, from_floats, restore_rows
from hyperrestore.enlarge import STRIP, Enlargement, enlarged_size
from hyperrestore.errors import PictureError, UsageError
from hyperrestore.estimate import inspect
from hyperrestore.level import Task
from hyperrestore.picture import MAX_PIXELS, SUFFIXES, PictureInfo, create_picture, open_picture
from hyperrestore.restorer import Restorer
from hyperrestore.tiles import spans
from hyperrestore.transparency import VisibleOnly, VisibleRows, find_surroundings


@dataclass(frozen=True)
class Report:
    """What became of one picture.

    Attributes:
        source: The file that was read.
        target: The file that was written.
        levels: By task, in its unit; empty where nothing was to be repaired.
        width: Of the result, pixels.
        height: Of the result, pixels.
        seconds: From opening to finished file.
        notes: One plain sentence for everything that was converted or could not be kept.
    """

    source: str
    target: str
    levels: dict[str, float]
    width: int
    height: int
    seconds: float
    notes: tuple[str, ...]


@dataclass
class _Counted:
    """A backend that tells how many of its windows are done."""

    backend: Backend
    windows: int
    progress: Callable[[int, int], None]
    halo: int = field(init=False)
    multiple: int = field(init=False)
    done: int = 0

    def __post_init__(self) -> None:
        self.halo, self.multiple = self.backend.halo, self.backend.multiple

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a window."""
        restored = self.backend(window)
        self.done += 1
        self.progress(self.done, self.windows)
        return restored


def find_inputs(
    inputs: Sequence[Path], *, out: Path, recursive: bool
) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Find the pictures among files and folders, in a fixed order; links to folders are not followed.

    Args:
        inputs: Pictures, and folders if `recursive`.
        out: What lies in this folder is no input: a second run finds what the first has written.
        recursive: Whether folders are searched, with all that they hold.

    Returns:
        The pictures, each with its place in the folder of results: below a folder its path from there, else
        its name. And the folders that could not be read.

    Raises:
        UsageError: A folder where `recursive` is not set, or no picture in all folders together.
    """
    found: list[tuple[Path, Path]] = []
    unreadable: list[Path] = []
    results = os.path.realpath(out)
    folders = [path for path in inputs if os.path.isdir(path)]  # noqa: PTH112 - no error without permission
    if folders and not recursive:
        raise UsageError(f"{folders[0]} is a folder; give -r to restore all that it holds")
    for path in inputs:
        if path not in folders:
            found.append((path, Path(path.name)))
            continue
        for parent, below, names in os.walk(
            path, onerror=lambda error: unreadable.append(Path(error.filename))
        ):
            below[:] = sorted(name for name in below if os.path.realpath(Path(parent, name)) != results)
            for name in sorted(names):
                file = Path(parent, name)
                if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
                    found.append((file, file.relative_to(path)))
    if folders and not found and not unreadable:
        raise UsageError(f"{folders[0]} holds no pictures ({_without_dots(SUFFIXES)})")
    return list(dict.fromkeys(found)), unreadable


def plan_targets(
    sources: Sequence[tuple[Path, Path]], out: str, *, suffix: str | None = None, in_folder: bool = False
) -> list[tuple[Path, Path]]:
    """Decide which file every picture is written to.

    Args:
        sources: Pictures and their places in the folder of results, as `find_inputs` finds them.
        out: A file for one picture; a folder for several, or if it exists as one or ends with a slash.
        suffix: In a folder, the suffix of the files (".png"); None keeps each picture's own.
        in_folder: Whether `out` is a folder also for one picture.

    Returns:
        Pairs of source and target.

    Raises:
        UsageError: A file for several pictures, two pictures for one file, one picture for the file of
            another, or an unknown suffix.

    Example:
        >>> [(_, target)] = plan_targets([(Path("holiday/a.jpg"), Path("a.jpg"))], "restored/", suffix=".png")
        >>> target.as_posix()
        'restored/a.png'
    """
    if not out:
        raise UsageError("the output has no name; give a file or a folder")
    if suffix is not None and suffix not in SUFFIXES:
        raise UsageError(f"format {suffix[1:]!r} is unknown; known are {_without_dots(SUFFIXES)}")
    folder = Path(out)
    ends_as_folder = out.endswith(tuple(filter(None, (os.sep, os.altsep))))
    in_folder = in_folder or len(sources) > 1
    if not in_folder and sources and not folder.is_dir() and not ends_as_folder:
        if suffix is not None and folder.suffix.lower() != suffix:
            raise UsageError(f"output {out} does not end with the format {suffix}; give one of the two")
        if not folder.suffix:
            raise UsageError(
                f"output {out} is neither a file with a suffix nor a folder; end a new folder with /"
            )
        return [(sources[0][0], folder)]
    if in_folder and folder.suffix.lower() in SUFFIXES and not folder.is_dir():
        several = f"{len(sources)} pictures" if len(sources) > 1 else "a folder"
        raise UsageError(f"{several} cannot be written to one file {out}; give a folder")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"output {out} is a file, where a folder is needed")
    pairs = [(source, folder / (place.with_suffix(suffix) if suffix else place)) for source, place in sources]
    # Names may be links: what counts is the file behind them.
    inputs = {os.path.realpath(source): source for source, _ in sources}
    seen: dict[str, Path] = {}
    for source, target in pairs:
        file = os.path.realpath(target)
        if file in seen:
            raise UsageError(f"{seen[file]} and {source} would both be written to {target}")
        if file in inputs and file != os.path.realpath(source):
            raise UsageError(f"{source} would be written to {target}, which is the input {inputs[file]}")
        seen[file] = source
    return pairs


def restore_file(
    restorers: Restorer | Sequence[Restorer],
    source: str | Path,
    target: str | Path,
    level: float | None,
    *,
    to_width: int | None = None,
    to_height: int | None = None,
    long_side: int | None = None,
    tile: int | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] = lambda done, tiles: None,
) -> Report:
    """Restore one picture file, in memory for one row of tiles.

    Files that can only be decoded or encoded as a whole need memory for the whole picture besides:
    progressive JPEG, interlaced PNG and turned pictures as input, WebP and AVIF as either.

    Args:
        restorers: The model, or several that repair the picture one after the other; only one may upscale.
        source: Picture to read.
        target: File to write, all or nothing; its suffix chooses the format.
        level: In the model's unit; of a model that upscales, the scale, or None where one of the next three
            says how large the result is to be. For the others None means that levels are found out from the
            picture (see `estimate.inspect`), and what needs no repair is left as it is; the report says so.
            Several models need None.
        to_width: Width of the result, pixels.
        to_height: Height of the result, pixels.
        long_side: Longer side of the result, pixels.
        tile: Side of a tile, pixels; by default `engine.TILE`, and two thirds of it for an upscaled picture,
            whose rows are held as floats.
        quality: 1 to 100, for lossy formats; see `picture.create_picture`.
        overwrite: Whether an existing file may be replaced.
        max_pixels: The most pixels that are accepted, of the picture and of the result.
        progress: Called with the number of tiles done and of all tiles.

    Returns:
        What was done.

    Raises:
        PictureError: The picture cannot be read or written, is too large, or memory does not suffice.
        UsageError: The target's suffix is unknown, it exists and `overwrite` is not set, `tile` is not
            above 0, several models were given with a level or one of them upscales, or the picture has too
            many bits for their precision.
        LevelError: The model does not accept the level.
    """
    restorers = list(restorers) if isinstance(restorers, Sequence) else [restorers]
    upscales = any(restorer.task == Task.UPSCALE for restorer in restorers)
    if len(restorers) != 1 and (upscales or level is not None):
        raise UsageError("several models repair a picture at levels that are found out, and none may upscale")
    if tile is None:
        tile = TILE * 2 // 3 if upscales else TILE
    if tile < 1:
        raise UsageError(f"a tile of {tile} pixels was asked for; give at least 1")
    start = time.perf_counter()
    found: tuple[str, ...] = ()
    with open_picture(source, max_pixels=max_pixels) as reader:
        info = reader.info
        width, height = info.width, info.height
        read: Callable[[int, int], Rows] = reader.rows
        try:
            if upscales:
                width, height, level = enlarged_size(
                    width, height, scale=level, to_width=to_width, to_height=to_height, long_side=long_side
                )
                if width * height > max_pixels:
                    raise UsageError(f"{width} x {height} pixels are more than {max_pixels}")
            levels: list[float | None] = [level]
            if level is None:
                levels, found = _levels(restorers, source, max_pixels)
            used = [
                (restorer, one) for restorer, one in zip(restorers, levels, strict=True) if one is not None
            ]
            backend: Backend = Chain([restorer.at(one, bits=info.bits) for restorer, one in used])
        except UsageError as error:
            raise type(error)(f"{source}: {error}") from error
        if used and info.has_alpha:
            with open_picture(source, max_pixels=max_pixels) as first:
                surroundings = find_surroundings(first.bands, height=info.height)
            if surroundings is not None:
                read = VisibleRows(reader.bands, surroundings, bits=info.bits).rows
                backend = VisibleOnly(backend)
        if upscales:
            read = Enlargement(read, size=(info.height, info.width), to=(height, width)).rows
        with create_picture(
            target, reader, width=width, height=height, quality=quality, overwrite=overwrite
        ) as writer:
            rows, columns = (
                len(spans(length, size=tile, halo=backend.halo, multiple=backend.multiple))
                for length in (height, width)
            )
            counted = _Counted(backend, rows * columns, progress)
            try:
                for restored in restore_rows(counted, read, height=height, width=width, size=tile):
                    writer.write(_stored(restored[: info.channels], info))
            except MemoryError as error:
                raise PictureError(
                    f"{source}: memory does not suffice for tiles of {tile} pixels; give a smaller tile"
                ) from error
    seconds = time.perf_counter() - start
    notes = (*found, *info.notes, *writer.notes)
    by_task = {str(restorer.task): float(one) for restorer, one in used}
    return Report(str(source), str(target), by_task, width, height, round(seconds, 3), notes)


def _levels(
    restorers: Sequence[Restorer], source: str | Path, max_pixels: int
) -> tuple[list[float | None], tuple[str, ...]]:
    """The level of each restorer for a picture, found from it; None if there is nothing to repair."""
    findings = inspect(source, max_pixels=max_pixels)
    levels: list[float | None] = []
    notes = []
    for restorer in restorers:
        level = findings.levels.get(restorer.task)
        if level is not None:
            least, most = restorer.scale.trained
            level = float(min(max(level, least), most))
            notes.append(
                f"{restorer.task} at {restorer.scale.unit} {level:g}: {findings.sentence(restorer.task)}"
            )
        levels.append(level)
    if not notes:
        found = "; ".join(findings.sentence(restorer.task) for restorer in restorers)
        notes.append(f"nothing was repaired: {found}; a level repairs it all the same")
    return levels, tuple(notes)


def _stored(rows: Rows, info: PictureInfo) -> Rows:
    """Rows in the depth of the file."""
    if rows.dtype == info.dtype:
        return rows
    integers = np.empty(rows.shape, info.dtype)
    for top in range(0, rows.shape[1], STRIP):
        from_floats(rows[:, top : top + STRIP], integers[:, top : top + STRIP])
    return integers


def make_folder(folder: Path) -> None:
    """Make a folder for results, with its parents.

    Raises:
        PictureError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(f"{folder}: cannot make this folder ({error.strerror})") from error


def _without_dots(suffixes: Sequence[str]) -> str:
    return ", ".join(suffix[1:] for suffix in suffixes)
