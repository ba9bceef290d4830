"""A folder -> what is found in it, one file after the other: only the names of one folder are in memory."""

from __future__ import annotations

import itertools
import os
import queue
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hyperrestore.errors import PictureError, UsageError
from hyperrestore.picture.formats import SUFFIXES
from hyperrestore.picture.kinds import foreign_kind, is_picture
from hyperrestore.picture.temporary import remove_leftovers
from hyperrestore.restore.folder import (
    changed,
    check_format,
    check_results,
    in_shard,
    is_file,
    is_older,
    is_place_folder,
    real,
    result_name,
    seen,
)
from hyperrestore.restore.place import Place, StoredPath
from hyperrestore.restore.storage import files_in, walk_folders

AHEAD = 1000  # files that are found before they are needed
_WAIT = 1.0  # seconds, after which Ctrl-C is heard on Windows

Kind = Literal["picture", "skipped", "refused", "elsewhere", "foreign", "other", "unreadable", "leftovers"]


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a folder, or a folder of which something is to be said.

    Attributes:
        kind: "picture" is to be restored; "skipped" has a result already; "refused" cannot have one;
            "elsewhere" belongs to another shard; "foreign" is a picture of a kind that is not read; "other"
            is none. "unreadable" is a folder, "leftovers" one of results, from which unfinished pictures
            were removed.
        source: The file, or the folder.
        order: Where it stands in a report: what is found in a folder is sorted by this.
        target: The result of a picture; else the source.
        words: Why it is refused or unreadable, or the foreign kind.
        older: Whether the existing result is older than the picture.
    """

    kind: Kind
    source: Place
    order: int | str
    target: Place
    words: str = ""
    older: bool = False


def check_stream(folder: Place, out: Place, suffix: str | None) -> None:
    """Refuse what `stream_folder` cannot do.

    Raises:
        UsageError: There is no such folder, the results would lie among the pictures, or the suffix is
            unknown.
        PictureError: A storage refuses or does not answer.
    """
    check_format(suffix)
    if not is_place_folder(folder):
        raise UsageError(f"{folder}: is no folder; a cluster restores one folder with -r")
    check_results(out, str(out), several="a folder")
    if lies_in(folder, out):
        raise UsageError(f"{out}: holds the pictures themselves; give another folder for the results")


def lies_in(place: Place, folder: Place) -> bool:
    """Whether a place is a folder, or lies in it or below it."""
    return type(place) is type(folder) and Path(real(place)).is_relative_to(real(folder))


def stream_folder(
    folder: Place,
    out: Place,
    *,
    suffix: str | None = None,
    overwrite: bool = False,
    shard: tuple[int, int] | None = None,
) -> Iterator[Found]:
    """Find the pictures of a folder and name their results, while the first of them are restored already.

    Results are named as `folder.plan_targets` names them. What it refuses for the whole batch is refused here
    for the pictures concerned, since others may be finished by then.

    Args:
        folder: Searched with all folders below it; links to folders are not followed.
        out: Folder of results, which is not searched.
        suffix: Suffix of the results (".png"); None keeps each picture's own.
        overwrite: Whether existing results are replaced, and not skipped.
        shard: K and N: of the pictures, only those of part K of N.

    Raises:
        UsageError: A name in a storage is none that a folder could have.
        PictureError: A storage refuses or does not answer.
    """
    numbers = itertools.count(1)
    unreadable: list[Found] = []
    for below, files in _folders(folder, out, unreadable):
        results = out / below if below.parts else out
        if isinstance(results, Path) and remove_leftovers(results):
            yield Found("leftovers", results, 0, results)
        try:
            made = files_in(results) if isinstance(results, StoredPath) and not overwrite else {}
            yield from _found_in(
                below, files, out, made, numbers, suffix=suffix, overwrite=overwrite, shard=shard
            )
        except (PictureError, UsageError) as error:
            if not below.parts:
                raise
            unreadable.append(Found("unreadable", results, 0, results, str(error)))
        yield from unreadable
        unreadable.clear()
    yield from unreadable


def _found_in(
    below: Path,
    files: Iterable[Place],
    out: Place,
    made: dict[str, StoredPath],
    numbers: Iterator[int],
    *,
    suffix: str | None,
    overwrite: bool,
    shard: tuple[int, int] | None,
) -> Iterator[Found]:
    """What is found in one folder; `made` are the files in that of its results, if it is in a storage."""
    shared = _shared_names(files, suffix)
    for source in files:
        order = source.url if isinstance(source, StoredPath) else next(numbers)
        if not is_picture(*seen(source)):
            kind = foreign_kind(*seen(source))
            yield Found("foreign" if kind else "other", source, order, source, kind or "")
            continue
        place = below / source.name
        if shard is not None and not in_shard(place, shard):
            yield Found("elsewhere", source, order, source)
            continue
        target = out / result_name(source, place, suffix)
        if others := shared.get(target.name):
            words = f"{' and '.join(others)} would all be written to {target}; rename them"
            yield Found("refused", source, order, target, words)
        else:
            yield _picture(source, target, order, made, overwrite)


def _picture(
    source: Place, target: Place, order: int | str, made: dict[str, StoredPath], overwrite: bool
) -> Found:
    """A picture, which may have its result already."""
    if not overwrite:
        exists = target.name in made if isinstance(target, StoredPath) else is_file(target)
        if exists:
            made_at = changed(made[target.name] if isinstance(target, StoredPath) else target)
            return Found("skipped", source, order, target, older=is_older(made_at, source))
    elif target.name == source.name and real(target) == real(source):
        return Found("refused", source, order, target, f"{source} would be replaced by its own result")
    return Found("picture", source, order, target)


@dataclass(frozen=True)
class _LocalFiles:
    """The files of a folder; a path takes ten times the memory of a name, so it is made when it is needed."""

    folder: Path
    names: list[str]

    def __iter__(self) -> Iterator[Place]:
        return (self.folder / name for name in self.names)


def _folders(folder: Place, out: Place, unreadable: list[Found]) -> Iterator[tuple[Path, Iterable[Place]]]:
    """Each folder, as a path below the first, with its files by name; hidden ones and results left out."""

    def note(place: Place, words: str) -> None:
        unreadable.append(Found("unreadable", place, 0, place, words))

    if isinstance(folder, StoredPath):
        results = out if isinstance(out, StoredPath) else None
        walk = walk_folders(folder, lambda place, error: note(place, str(error)), without=results)
        for here, stored in walk:
            below = Path(here.url.removeprefix(folder.url).removeprefix("/"))
            yield below, [file for file in stored if not file.name.startswith(".")]
        return
    hidden = os.path.realpath(out) if isinstance(out, Path) else None
    for parent, below_names, names in os.walk(
        folder,
        onerror=lambda error: note(Path(error.filename), f"{error.filename}: cannot read this folder"),
    ):
        below_names[:] = sorted(
            name for name in below_names if os.path.realpath(Path(parent, name)) != hidden
        )
        own = sorted(name for name in names if not name.startswith("."))
        yield Path(parent).relative_to(folder), _LocalFiles(Path(parent), own)


def _shared_names(files: Iterable[Place], suffix: str | None) -> dict[str, list[str]]:
    """The names of results that several pictures of a folder would have, with those pictures."""
    if suffix is None and all(file.suffix.lower() in SUFFIXES for file in files):
        return {}  # each keeps its own name
    named = [
        (result_name(file, Path(file.name), suffix).name, str(file))
        for file in files
        if is_picture(*seen(file))
    ]
    counts = Counter(name for name, _ in named)
    several: dict[str, list[str]] = {}
    for name, file in named:
        if counts[name] > 1:
            several.setdefault(name, []).append(file)
    return several


def count_pictures(
    folder: Place, out: Place, *, shard: tuple[int, int] | None, stop: threading.Event
) -> int | None:
    """How many pictures a folder holds, with those that have results; None if it was stopped."""
    count = 0
    for below, files in _folders(folder, out, []):
        for file in files:
            if stop.is_set():
                return None
            if is_picture(*seen(file)) and (shard is None or in_shard(below / file.name, shard)):
                count += 1
    return count


class Ahead(Iterator[Found]):
    """An iterator that another thread reads ahead, so that a slow listing delays nobody.

    Args:
        found: What is read.

    Attributes:
        at_end: Whether the last one was given.
    """

    def __init__(self, found: Iterator[Found]) -> None:
        self.at_end = False
        self._queue: queue.Queue[Found | Exception | None] = queue.Queue(AHEAD)
        self._found = found
        self._closed = threading.Event()
        threading.Thread(target=self._read, name="listing", daemon=True).start()

    def __len__(self) -> int:
        """How many are read already, at least."""
        return self._queue.qsize()

    def __next__(self) -> Found:
        """The next one; an error of the listing is raised here."""
        while not self.at_end:
            if self._closed.is_set():
                return self._next_of_those_read()
            if (one := self.within(_WAIT)) is not None:
                return one
        raise StopIteration

    def within(self, seconds: float) -> Found | None:
        """The next one; None at the end, or if none is found so soon.

        Raises:
            Exception: What the listing raised.
        """
        try:
            one = self._queue.get(timeout=seconds)
        except queue.Empty:
            return None
        if one is not None and not isinstance(one, Found):
            raise one
        self.at_end = one is None
        return one

    def _next_of_those_read(self) -> Found:
        try:
            one = self._queue.get_nowait()
        except queue.Empty:
            one = None
        if not isinstance(one, Found):
            raise StopIteration
        return one

    def close(self) -> None:
        """Read no further; what is read already is still given."""
        self._closed.set()

    def _read(self) -> None:
        try:
            for one in self._found:
                if not self._put(one):
                    return
        except Exception as error:  # whatever it is: who waits for the next one must hear of it
            self._put(error)
        self._put(None)

    def _put(self, one: Found | Exception | None) -> bool:
        """Wait until there is room; False if it was closed."""
        while not self._closed.is_set():
            try:
                self._queue.put(one, timeout=0.5)
            except queue.Full:
                continue
            return True
        return False
