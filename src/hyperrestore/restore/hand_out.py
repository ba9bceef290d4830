"""What is found in a folder -> its results, made by a crew while the rest is still searched."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol

from hyperrestore.errors import UsageError
from hyperrestore.restore.batch import Failure
from hyperrestore.restore.file import Success
from hyperrestore.restore.ledger import Outcome
from hyperrestore.restore.stream import Ahead, Found

_WAIT = 1.0  # seconds, after which a crew is asked again whether it can grow
_SOON = 0.1  # seconds, after which a slow listing is left for what is finished meanwhile


class AnyCrew(Protocol):
    """Who restores pictures: the workers of a cluster, or the threads of this process.

    Attributes:
        waiting: Pictures that need a worker.
    """

    waiting: deque[Found]

    @property
    def has_idle(self) -> bool:
        """Whether a worker has nothing to do."""

    @property
    def is_busy(self) -> bool:
        """Whether a worker restores a picture."""

    def hire(self, pictures: int) -> None:
        """Find more workers, if that can be; so many pictures are known to need one."""

    def give(self) -> None:
        """Let an idle worker restore the picture that waits longest."""

    def dismiss_idle(self) -> None:
        """Let the workers go that have nothing to do."""

    def finished(self, seconds: float) -> list[tuple[Found, Outcome]]:
        """Wait for something to happen, so long at most: what is finished."""

    def end(self) -> list[tuple[Found, Success | Failure | None]]:
        """End all workers: the pictures that they had, each with its result if that was complete."""


def restore_stream(found: Ahead, crew: AnyCrew) -> Iterator[tuple[Found, Outcome | None]]:
    """Restore pictures while they are found; each goes to the next worker that is free.

    A picture whose worker dies is restored by another. When a disk is full, no further picture is started.

    Args:
        found: What is found in a folder.
        crew: The workers; the caller ends them.

    Yields:
        Everything that was found, in the order in which it is finished, and what became of it if it is a
        picture; after a full disk "left" for those that were not started.

    Raises:
        HyperrestoreError: The listing fails, or a worker refuses to start.
    """
    full = False
    while True:
        if not crew.waiting and not found.at_end:
            one = found.within(_SOON if crew.is_busy else _WAIT)
            if one is not None and one.kind == "picture":
                crew.waiting.append(one)
            elif one is not None:
                yield one, _without_work(one)
                continue
        if not crew.is_busy and (full or (found.at_end and not crew.waiting)):
            break
        patience = _WAIT
        if crew.waiting and not full:
            if crew.has_idle:
                crew.give()
                continue
            crew.hire(len(crew.waiting) + len(found))
        elif found.at_end or full:
            crew.dismiss_idle()
        else:
            patience = 0.0  # the next picture may be found at any time
        for picture, result in crew.finished(patience):
            full = full or (isinstance(result, Failure) and result.is_of_full_disk)
            yield picture, result
    yield from abandon(found, crew)


def abandon(found: Ahead, crew: AnyCrew) -> Iterator[tuple[Found, Outcome | None]]:
    """Stop at once: unfinished pictures are abandoned.

    Args:
        found: What is found in a folder: to the end, or, if it is closed, what is read already.
        crew: The workers, who are ended.

    Yields:
        Those that are finished, and everything else as `restore_stream` yields it; the pictures are "left".
    """
    for picture, result in crew.end():
        yield picture, result or "left"
    for picture in crew.waiting:
        yield picture, "left"
    for one in found:
        yield one, "left" if one.kind == "picture" else _without_work(one)


def _without_work(found: Found) -> Outcome | None:
    """What becomes of all that is not restored."""
    if found.kind == "skipped":
        return "skipped"
    if found.kind == "refused":
        return Failure(str(found.source), str(found.target), UsageError(found.words))
    return None
