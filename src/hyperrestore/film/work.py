"""A folder beside the output that holds what is finished of a film, so that a killed command can go on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hyperrestore.atomic import flush_to_disk, write_atomically
from hyperrestore.errors import HyperrestoreError, UsageError
from hyperrestore.picture.temporary import lock

SETTINGS, LEVELS = "settings.json", "levels.json"


class Segment(NamedTuple):
    """A finished part of a film.

    Attributes:
        path: Its file, which holds encoded frames alone.
        times: When each frame is shown, in units of the film's time base, ascending.
        order: The numbers of its frames, counted from 0 and in the order of `times`, as they are stored.
    """

    path: Path
    times: list[int]
    order: list[int]


@dataclass(frozen=True)
class Work:
    """The folder.

    Attributes:
        folder: Beside the output.
    """

    folder: Path

    @classmethod
    def beside(cls, target: Path) -> Work:
        """That of an output."""
        return cls(target.with_name(f".{target.name}.film"))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and hold it against other commands, where the system has such locks.

        A lock ends with its process, however that ends. What is refused before a segment is finished leaves
        no folder behind.

        Raises:
            UsageError: Another command holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = lock(self.folder, alone=True)
        except BlockingIOError as error:
            raise UsageError(
                f"{self.folder}: another command is working on this film; wait for it, or give another output"
            ) from error
        try:
            yield
        except HyperrestoreError:
            if next(self.finished(), None) is None:
                self.remove()
            raise
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def begin(self, settings: dict[str, Any]) -> bool:
        """Make the folder, or keep it if it is of the same settings; tell whether others were thrown away."""
        wanted = json.loads(json.dumps(settings))
        self.folder.mkdir(parents=True, exist_ok=True)
        left = list(self.folder.iterdir())
        other = bool(left) and self._read(SETTINGS) != wanted
        for path in left if other else ():
            path.unlink()
        self._write(SETTINGS, wanted)
        return other

    def remove(self) -> None:
        """Remove the folder, and all that is in it."""
        shutil.rmtree(self.folder)

    def levels(self) -> Any:
        """What `keep_levels` kept; None for nothing."""
        return self._read(LEVELS)

    def keep_levels(self, levels: Any) -> None:
        """Keep what was decided on levels, so that all frames are restored by the same."""
        self._write(LEVELS, levels)

    def path(self, number: int) -> Path:
        """Where the segment with that number is written; what is there is not finished yet."""
        return self.folder / f"{number:05}.mkv"

    def finish(self, number: int, segment: Segment) -> None:
        """Note that a segment is complete."""
        flush_to_disk(segment.path)
        self._write(f"{number:05}.json", {"times": segment.times, "order": segment.order})

    def finished(self) -> Iterator[Segment]:
        """The complete segments from the first on, up to one that is missing."""
        number = 0
        while (record := self._read(f"{number:05}.json")) is not None and self.path(number).exists():
            yield Segment(self.path(number), record["times"], record["order"])
            number += 1

    def _read(self, name: str) -> Any:
        with suppress(FileNotFoundError, NotADirectoryError, ValueError):  # the last: damaged by a crash
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        return None

    def _write(self, name: str, content: Any) -> None:
        write_atomically(self.folder / name, json.dumps(content).encode())
