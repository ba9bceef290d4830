"""What the server restores: a region of a photo to be shown, or a whole photo to a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hyperrestore.arrays import Rows
from hyperrestore.level import Task
from hyperrestore.restore.file import Success, repair_file
from hyperrestore.restore.repair import Repair
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import Region
from hyperrestore.web.photos import LevelMap, Photo

Load = Callable[[Task], Restorer]  # loads the model of a task


@dataclass(frozen=True)
class Viewed:
    """A region of a photo's result; see `Photo.restored`."""

    photo: Photo
    repair: Repair
    region: Region
    reduce: int
    level_map: LevelMap | None
    quick: bool


@dataclass(frozen=True)
class Saved:
    """A whole photo that is restored to a file."""

    source: Path
    target: Path
    repair: Repair
    quality: int | None


class Restoring(Protocol):
    """What restores: this process, or others that it has started."""

    def view(self, viewed: Viewed, between: Callable[[], None] | None) -> Rows:
        """Restore a region.

        Args:
            viewed: The region.
            between: Called before every window of work in the background; what it raises ends the work.
        """

    def save(self, saved: Saved, progress: Callable[[int, int], None]) -> Success:
        """Restore a whole photo; `progress` as for `repair_file`."""

    def processes(self) -> list[int]:
        """The process numbers of the others that run."""

    def close(self) -> None:
        """End the other processes."""


class LastUsed:
    """The model used last. The others are dropped, since each takes hundreds of megabytes.

    Args:
        load: Loads the model of a task.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._kept: tuple[tuple[Task, bool], Restorer] | None = None

    def get(self, task: Task, *, mapped: bool) -> Restorer:
        """The model of a task, for one level or a map of levels. Only one thread may call this."""
        if self._kept is None or self._kept[0] != (task, mapped):
            self._kept = None
            self._kept = (task, mapped), self._load(task)
        return self._kept[1]


class InThisProcess:
    """Restores here. One thread may ask for views, and another one for files.

    Args:
        load: Loads the model of a task.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._last_used = LastUsed(load)

    def view(self, viewed: Viewed, between: Callable[[], None] | None) -> Rows:
        """Restore a region."""
        return viewed.photo.restored(
            self._last_used.get(viewed.repair.task, mapped=viewed.level_map is not None),
            viewed.repair,
            viewed.region,
            viewed.reduce,
            level_map=viewed.level_map,
            quick=viewed.quick,
            between=between,
        )

    def save(self, saved: Saved, progress: Callable[[int, int], None]) -> Success:
        """Restore a whole photo."""
        return repair_file(
            [self._load(saved.repair.task)], [saved.repair], saved.source, saved.target,
            quality=saved.quality, progress=progress,
        )  # fmt: skip

    def processes(self) -> list[int]:
        """There are no others."""
        return []

    def close(self) -> None:
        """Nothing is to be ended."""
