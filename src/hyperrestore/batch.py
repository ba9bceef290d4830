"""Picture files -> restored picture files: which file becomes which, and one file after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperrestore.engine import TILE, restore_rows
from hyperrestore.errors import PictureError, UsageError
from hyperrestore.picture import SUFFIXES, create_picture, open_picture
from hyperrestore.restorer import Restorer


@dataclass(frozen=True)
class Report:
    """What became of one picture.

    Attributes:
        source: The file that was read.
        target: The file that was written.
        level: In the model's unit.
        width: Pixels.
        height: Pixels.
        seconds: From opening to finished file.
        notes: One plain sentence for everything that was converted or could not be kept.
    """

    source: str
    target: str
    level: float
    width: int
    height: int
    seconds: float
    notes: tuple[str, ...]


def plan_targets(sources: Sequence[Path], out: str, *, suffix: str | None = None) -> list[tuple[Path, Path]]:
    """Decide which file every picture is written to.

    Args:
        sources: Pictures.
        out: A file for one picture; a folder for several, or if it exists as one or ends with a slash.
        suffix: In a folder, the suffix of the files (".png"); None keeps each picture's own.

    Returns:
        Pairs of source and target.

    Raises:
        UsageError: A file for several pictures, two pictures for one file, or an unknown suffix.
    """
    folder = Path(out)
    if len(sources) == 1 and not folder.is_dir() and not out.endswith(("/", "\\")):
        if suffix is not None and folder.suffix.lower() != suffix:
            raise UsageError(f"output {out} does not end with the format {suffix}; give one of the two")
        return [(sources[0], folder)]
    if folder.suffix.lower() in SUFFIXES and not folder.is_dir():
        raise UsageError(f"{len(sources)} pictures cannot be written to one file {out}; give a folder")
    pairs = [(path, folder / (path.stem + (suffix or path.suffix))) for path in sources]
    seen: dict[Path, Path] = {}
    for source, target in pairs:
        if target in seen:
            raise UsageError(f"{seen[target]} and {source} would both be written to {target}")
        seen[target] = source
    return pairs


def restore_file(
    restorer: Restorer,
    source: str | Path,
    target: str | Path,
    level: float,
    *,
    tile: int = TILE,
    quality: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, height: None,
) -> Report:
    """Restore one picture file, in memory for one row of tiles whatever its size.

    Args:
        restorer: The model.
        source: Picture to read.
        target: File to write, all or nothing; its suffix chooses the format.
        level: In the model's unit.
        tile: Side of a tile, pixels.
        quality: 1 to 100, for lossy formats; see `picture.create_picture`.
        overwrite: Whether an existing file may be replaced.
        progress: Called with the rows done and the height.

    Raises:
        PictureError: The picture cannot be read or written.
        UsageError: The target's suffix is unknown, or it exists and `overwrite` is not set.
        LevelError: The model does not accept the level.
    """
    start = time.perf_counter()
    with open_picture(source) as reader:
        info = reader.info
        backend = restorer.at(level, bits=info.bits)
        with create_picture(target, reader, quality=quality, overwrite=overwrite) as writer:
            done = 0
            for rows in restore_rows(backend, reader.rows, height=info.height, width=info.width, size=tile):
                writer.write(rows)
                done += rows.shape[1]
                progress(done, info.height)
    seconds = time.perf_counter() - start
    notes = (*info.notes, *writer.notes)
    return Report(str(source), str(target), level, info.width, info.height, round(seconds, 3), notes)


def make_folder(folder: Path) -> None:
    """Make a folder for results, with its parents.

    Raises:
        PictureError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(f"{folder}: cannot make this folder ({error.strerror})") from error
