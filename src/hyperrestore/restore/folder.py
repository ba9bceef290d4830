"""Files and folders given by a person -> the pictures in them, and the file that each is written to."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hyperrestore.errors import FULL, DiskFullError, PictureError, UsageError
from hyperrestore.picture.formats import SUFFIXES
from hyperrestore.picture.kinds import READ_SUFFIXES, foreign_kind, is_picture, name_foreign, picture_format
from hyperrestore.restore.place import Place, StoredPath, local_text, place_of
from hyperrestore.restore.storage import is_folder, list_files, read_head

NO_PICTURES = f"holds no pictures ({', '.join(suffix[1:] for suffix in READ_SUFFIXES)})"
MOST_SHARDS = 100_000  # into which a batch is cut; reports list those that are missing
COARSE = 2.0  # seconds, the resolution of times on FAT: with kept times a result may seem that much older

logger = logging.getLogger(__name__)


class Inputs(NamedTuple):
    """What was found among files and folders.

    Attributes:
        pictures: Each with its place in the folder of results: its path below a folder, or else its name.
        unreadable: Folders that cannot be read.
        foreign: Files in folders that are pictures of an unsupported kind, each with a name for its kind.
        others: How many files in folders are not pictures.
        in_folder: Whether a folder was among the inputs.
    """

    pictures: list[tuple[Place, Path]]
    unreadable: list[Path]
    foreign: list[tuple[Place, str]]
    others: int
    in_folder: bool


def find_inputs(inputs: Sequence[Place], *, out: Place | None, recursive: bool) -> Inputs:
    """Find the pictures among files and folders, in a fixed order; links to folders are not followed.

    A file given by name always counts as a picture. In a folder, files are recognised by suffix, or without
    a suffix by content; hidden files are ignored.

    Args:
        inputs: Pictures, and folders if `recursive`.
        out: Folder of results, which is not searched: it may hold the results of an earlier run.
        recursive: Whether folders are searched, with all their subfolders.

    Raises:
        UsageError: A folder is given and `recursive` is not set, or no folder holds a picture.
        PictureError: A storage refuses or does not answer.
    """
    pictures: dict[tuple[Place, Path], None] = {}
    foreign: dict[Place, str] = {}
    others: set[Place] = set()
    unreadable: list[Path] = []
    folders = [path for path in inputs if is_place_folder(path)]
    if folders and not recursive:
        raise UsageError(f"{folders[0]} is a folder; give -r to process all pictures in it")
    for path in inputs:
        if path not in folders:
            pictures[path, Path(path.name)] = None
            continue
        for file, place in _files(path, out, unreadable):
            if is_picture(*seen(file)):
                pictures[file, place] = None
            elif kind := foreign_kind(*seen(file)):
                foreign[file] = kind
            else:
                others.add(file)
    if folders and not pictures and not unreadable:
        beside = f"; not read: {name_foreign(list(foreign.items()))}" if foreign else ""
        raise UsageError(f"{folders[0]} {NO_PICTURES}{beside}")
    return Inputs(list(pictures), unreadable, list(foreign.items()), len(others), bool(folders))


def is_place_folder(place: Place) -> bool:
    """Whether a place is a folder that exists, here or in a storage."""
    if isinstance(place, StoredPath):
        return is_folder(place)
    return os.path.isdir(place)  # noqa: PTH112 - no error without permission


def seen(file: Place) -> tuple[Path, Callable[[], bytes | None] | None]:
    """A file as the functions of `kinds` take it."""
    if isinstance(file, StoredPath):
        return Path(file.name), functools.partial(_head, file)
    return file, None


def _head(file: StoredPath) -> bytes | None:
    """The first bytes of a file; None where they cannot be read, which is no reason to stop all others."""
    try:
        return read_head(file)
    except (PictureError, UsageError) as error:
        logger.info("its kind is unknown: %s", error)
        return None


def _files(folder: Place, out: Place | None, unreadable: list[Path]) -> Iterator[tuple[Place, Path]]:
    """All files below a folder and their paths below it, except hidden ones and those among the results."""
    if isinstance(folder, StoredPath):
        below = ((file, file.url.removeprefix(f"{folder}/")) for file in list_files(folder))
        inside = str(out).startswith(f"{folder}/")  # not the folder itself, nor one above it
        yield from (
            (file, Path(place))
            for file, place in below
            if not file.name.startswith(".") and not (inside and file.url.startswith(f"{out}/"))
        )
    else:
        yield from ((file, file.relative_to(folder)) for file in _local_files(folder, out, unreadable))


def _local_files(folder: Path, out: Place | None, unreadable: list[Path]) -> Iterator[Path]:
    results = os.path.realpath(out) if isinstance(out, Path) else None
    for parent, below, names in os.walk(
        folder, onerror=lambda error: unreadable.append(Path(error.filename))
    ):
        below[:] = sorted(name for name in below if os.path.realpath(Path(parent, name)) != results)
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def plan_targets(
    sources: Sequence[tuple[Place, Path]], out: str, *, suffix: str | None = None, in_folder: bool = False
) -> list[tuple[Place, Place]]:
    """Decide which file every picture is written to.

    Args:
        sources: Pictures and their places in the folder of results, as `find_inputs` finds them.
        out: A file for one picture; a folder for several, or if it is a folder or ends with a slash. It may
            be a URL of `place.DRIVERS`.
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
    check_format(suffix)
    folder = place_of(out)
    ends_as_folder = local_text(out).endswith(tuple(filter(None, (os.sep, os.altsep))))
    in_folder = in_folder or len(sources) > 1
    if not in_folder and sources and not ends_as_folder and not is_place_folder(folder):
        if suffix is not None and folder.suffix.lower() != suffix:
            raise UsageError(f"output {out} does not end with the format {suffix}; give one of the two")
        if not folder.suffix:
            raise UsageError(
                f"output {out} is neither a file with a suffix nor a folder; end a new folder's name with /"
            )
        return [(sources[0][0], folder)]
    several = f"{len(sources)} pictures" if len(sources) > 1 else "a folder"
    check_results(folder, out, several=several if in_folder else None)
    pairs = [(source, folder / result_name(source, place, suffix)) for source, place in sources]
    _refuse_shared_targets(pairs)
    return pairs


def _refuse_shared_targets(pairs: Sequence[tuple[Place, Place]]) -> None:
    """Refuse a result that would replace another one, or another picture."""
    sources = reals([source for source, _ in pairs])
    inputs = {file: source for file, (source, _) in zip(sources, pairs, strict=True)}
    seen: dict[str, Place] = {}
    targets = reals([target for _, target in pairs])
    for own, file, (source, target) in zip(sources, targets, pairs, strict=True):
        if file in seen:
            raise UsageError(f"{seen[file]} and {source} would both be written to {target}")
        if file in inputs and file != own:
            raise UsageError(f"{source} would be written to {target}, which is the input {inputs[file]}")
        seen[file] = source


def real(place: Place) -> str:
    """The file itself: names may be links."""
    return place.url if isinstance(place, StoredPath) else os.path.realpath(place)


def reals(places: Sequence[Place]) -> list[str]:
    """`real` of each of many, which looks every folder up only once."""
    real_folder = functools.cache(os.path.realpath)

    def one(place: Place) -> str:
        if isinstance(place, StoredPath) or place.name in ("", ".."):
            return real(place)
        file = os.path.join(real_folder(os.path.dirname(place)), place.name)  # noqa: PTH118, PTH120 - fast
        return os.path.realpath(file) if os.path.islink(file) else file  # noqa: PTH114

    return [one(place) for place in places]


def result_name(source: Place, place: Path, suffix: str | None) -> Path:
    """The name of a result in a folder: that of its picture, with the suffix of its format."""
    if place.suffix.lower() in SUFFIXES:
        return place.with_suffix(suffix) if suffix else place
    if suffix is None:
        known = picture_format(*seen(source))
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


def find_existing(targets: Sequence[Place], out: str) -> dict[Place, float | None]:
    """Find the results that exist already; those in a storage with one listing.

    Args:
        targets: As `plan_targets` names them.
        out: What it named them by.

    Returns:
        By target, when it was last changed, seconds since 1970; None where that is not known.

    Raises:
        PictureError: There is no such bucket, or the storage refuses or does not answer.
    """
    place = place_of(out)
    if isinstance(place, StoredPath):
        listed = {file: file.changed for file in list_files(place)}
        return {target: listed[target] for target in targets if target in listed}
    return _existing_here(targets)


def _existing_here(targets: Sequence[Place]) -> dict[Place, float | None]:
    return {target: changed(target) for target in targets if isinstance(target, Path) and is_file(target)}


def is_file(path: Path) -> bool:
    """Whether there is such a file, as far as that can be told: it may have a name that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113 - no error without permission


def changed(place: Place) -> float | None:
    """When a file was last changed; None where that is not known, or it has vanished."""
    try:
        return place.changed if isinstance(place, StoredPath) else place.stat().st_mtime
    except OSError:
        return None


def find_finished(
    pairs: Sequence[tuple[Place, Place]], made: Mapping[Place, float | None] | None = None
) -> tuple[list[tuple[Place, Place]], list[Place]]:
    """Find the pictures of a batch whose results exist already.

    A file gets its name when it is complete, so an existing file is finished, if the same command made it.

    Args:
        pairs: Sources and targets, as `plan_targets` gives them.
        made: The targets that exist, as `find_existing` finds them; None to look for them on this machine.

    Returns:
        The pairs whose target exists, and the targets among them that are older than their source.

    Raises:
        UsageError: A target is its own source.
    """
    if made is None:
        made = _existing_here([target for _, target in pairs])
    finished, older = [], []
    for source, target in pairs:
        if target not in made:
            continue
        if real(source) == real(target):
            raise UsageError(
                f"{source} would be replaced by its own result; give --overwrite or another output"
            )
        finished.append((source, target))
        if is_older(made[target], source):
            older.append(target)
    return finished, older


def is_older(result_time: float | None, source: Place) -> bool:
    """Whether a result, last changed at that time, is older than its picture, as far as that is known."""
    source_time = changed(source)
    return result_time is not None and source_time is not None and result_time + COARSE < source_time


def make_folder(folder: Path) -> None:
    """Make a folder for results, with its parents.

    Raises:
        PictureError: It cannot be made.
        DiskFullError: There is no room for it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        kind = DiskFullError if error.errno in FULL else PictureError
        raise kind(f"{folder}: cannot create this folder ({error.strerror})") from error


def check_results(folder: Place, out: str, *, several: str | None) -> None:
    """Refuse a file where results need a folder.

    Args:
        folder: Where results are to lie.
        out: The same as it was typed.
        several: What is written there, in words, if a name like that of a picture cannot be a new folder's.

    Raises:
        UsageError: It is a file, or has the name of one.
    """
    if several and folder.suffix.lower() in SUFFIXES and not is_place_folder(folder):
        raise UsageError(f"{several} cannot be written to one file {out}; give a folder")
    if isinstance(folder, Path) and folder.exists() and not folder.is_dir():
        raise UsageError(f"output {out} is a file, where a folder is needed")


def check_format(suffix: str | None) -> None:
    """Refuse a suffix that no supported format has.

    Raises:
        UsageError: It is unknown.
    """
    if suffix is not None and suffix not in SUFFIXES:
        raise UsageError(f"format {suffix[1:]!r} is unknown; known are {_without_dots(SUFFIXES)}")


def _without_dots(suffixes: Sequence[str]) -> str:
    return ", ".join(suffix[1:] for suffix in suffixes)
