"""Files and folders given by a person -> the pictures in them, and the file that each is written to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from hyperrestore.errors import PictureError, UsageError
from hyperrestore.picture.formats import SUFFIXES
from hyperrestore.picture.kinds import READ_SUFFIXES, foreign_kind, is_picture, name_foreign, picture_format

MOST_SHARDS = 100_000  # into which a batch is cut; reports list those that are missing
COARSE = 2.0  # seconds, the resolution of times on FAT: with kept times a result may seem that much older


class Inputs(NamedTuple):
    """What was found among files and folders.

    Attributes:
        pictures: Each with its place in the folder of results: its path below a folder, or else its name.
        unreadable: Folders that cannot be read.
        foreign: Files in folders that are pictures of an unsupported kind, each with a name for its kind.
        others: How many files in folders are not pictures.
        in_folder: Whether a folder was among the inputs.
    """

    pictures: list[tuple[Path, Path]]
    unreadable: list[Path]
    foreign: list[tuple[Path, str]]
    others: int
    in_folder: bool


def find_inputs(inputs: Sequence[Path], *, out: Path | None, recursive: bool) -> Inputs:
    """Find the pictures among files and folders, in a fixed order; links to folders are not followed.

    A file given by name always counts as a picture. In a folder, files are recognised by suffix, or without
    a suffix by content; hidden files are ignored.

    Args:
        inputs: Pictures, and folders if `recursive`.
        out: Folder of results, which is not searched: it may hold the results of an earlier run.
        recursive: Whether folders are searched, with all their subfolders.

    Raises:
        UsageError: A folder is given and `recursive` is not set, or no folder holds a picture.
    """
    pictures: dict[tuple[Path, Path], None] = {}
    foreign: dict[Path, str] = {}
    others: set[Path] = set()
    unreadable: list[Path] = []
    folders = [path for path in inputs if os.path.isdir(path)]  # noqa: PTH112 - no error without permission
    if folders and not recursive:
        raise UsageError(f"{folders[0]} is a folder; give -r to process all pictures in it")
    for path in inputs:
        if path not in folders:
            pictures[path, Path(path.name)] = None
            continue
        for file in _files(path, out, unreadable):
            if is_picture(file):
                pictures[file, file.relative_to(path)] = None
            elif kind := foreign_kind(file):
                foreign[file] = kind
            else:
                others.add(file)
    if folders and not pictures and not unreadable:
        beside = f"; not read: {name_foreign(list(foreign.items()))}" if foreign else ""
        raise UsageError(f"{folders[0]} holds no pictures ({_without_dots(READ_SUFFIXES)}){beside}")
    return Inputs(list(pictures), unreadable, list(foreign.items()), len(others), bool(folders))


def _files(folder: Path, out: Path | None, unreadable: list[Path]) -> Iterator[Path]:
    """All files below a folder, except hidden ones and those in the folder of results."""
    results = out and os.path.realpath(out)
    for parent, below, names in os.walk(
        folder, onerror=lambda error: unreadable.append(Path(error.filename))
    ):
        below[:] = sorted(name for name in below if os.path.realpath(Path(parent, name)) != results)
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def plan_targets(
    sources: Sequence[tuple[Path, Path]], out: str, *, suffix: str | None = None, in_folder: bool = False
) -> list[tuple[Path, Path]]:
    """Decide which file every picture is written to.

    Args:
        sources: Pictures and their places in the folder of results, as `find_inputs` finds them.
        out: A file for one picture; a folder for several, or if it is a folder or ends with a slash.
        suffix: Suffix of the files in a folder (".png"); None keeps each picture's own. A name without the
            suffix of a supported format gets this one, or that of its content.
        in_folder: Whether `out` is a folder even for one picture.

    Returns:
        Pairs of source and target.

    Raises:
        UsageError: One file would hold several pictures, a result would replace another picture, or the
            suffix is unknown.

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
                f"output {out} is neither a file with a suffix nor a folder; end a new folder's name with /"
            )
        return [(sources[0][0], folder)]
    if in_folder and folder.suffix.lower() in SUFFIXES and not folder.is_dir():
        several = f"{len(sources)} pictures" if len(sources) > 1 else "a folder"
        raise UsageError(f"{several} cannot be written to one file {out}; give a folder")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"output {out} is a file, where a folder is needed")
    pairs = [(source, folder / _result_name(source, place, suffix)) for source, place in sources]
    # Names may be links, so compare the files behind them.
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


def _result_name(source: Path, place: Path, suffix: str | None) -> Path:
    """The name of a result in a folder: that of its picture, with the suffix of its format."""
    if place.suffix.lower() in SUFFIXES:
        return place.with_suffix(suffix) if suffix else place
    if suffix is None:
        known = picture_format(source)
        suffix = known.suffixes[0] if known else ""
    # A camera may have written a.mpo beside a.jpg, so an unsupported suffix is kept as a part of the name.
    return place.with_name(place.name + suffix)


def in_shard(place: Path, shard: tuple[int, int]) -> bool:
    """Whether a picture belongs to part K of N; each belongs to one, on every machine to the same.

    Args:
        place: Its place in the folder of results, as `find_inputs` finds it.
        shard: K and N, K from 1 to N, N at most `MOST_SHARDS`.
    """
    number, count = shard
    digest = hashlib.blake2b(os.fsencode(place.as_posix()), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count == number - 1


def find_finished(pairs: Sequence[tuple[Path, Path]]) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Find the pictures of a batch whose results exist already.

    A file gets its name when it is complete, so an existing file is finished, if the same command made it.

    Args:
        pairs: Sources and targets, as `plan_targets` gives them.

    Returns:
        The pairs whose target exists, and the targets among them that are older than their source.

    Raises:
        UsageError: A target is its own source.
    """
    finished, older = [], []
    for source, target in pairs:
        if not target.is_file():
            continue
        if os.path.realpath(source) == os.path.realpath(target):
            raise UsageError(
                f"{source} would be replaced by its own result; give --overwrite or another output"
            )
        finished.append((source, target))
        try:
            if target.stat().st_mtime + COARSE < source.stat().st_mtime:
                older.append(target)
        except OSError:  # one of them has vanished; if that is the source, there is nothing to restore
            continue
    return finished, older


def make_folder(folder: Path) -> None:
    """Make a folder for results, with its parents.

    Raises:
        PictureError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(f"{folder}: cannot create this folder ({error.strerror})") from error


def _without_dots(suffixes: Sequence[str]) -> str:
    return ", ".join(suffix[1:] for suffix in suffixes)
