"""The crew of one process: while the network runs for one picture, others are read and written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from hyperrestore.restore.batch import IN_FLIGHT, Failure, StoppableLock, attempt
from hyperrestore.restore.file import Success
from hyperrestore.restore.ledger import Outcome
from hyperrestore.restore.stream import Found


class OwnCrew:
    """Threads of this process that share the network; see `hand_out.AnyCrew`.

    Args:
        restore: Restores a picture, as for `restore_files`; it must not hold too many pixels at a time, as
            that of `through_spool` does not.

    Attributes:
        waiting: Pictures that need a thread.
    """

    def __init__(self, restore: Callable[..., Success]) -> None:
        self.waiting: deque[Found] = deque()
        self._restore = restore
        self._lock = StoppableLock()
        self._pool = ThreadPoolExecutor(IN_FLIGHT)
        self._running: dict[Future[Success | Failure], Found] = {}
        self._full = False  # the disk

    @property
    def has_idle(self) -> bool:
        """Whether a thread has nothing to do, and there is room on the disk for what it would do."""
        return not self._full and len(self._unfinished()) < IN_FLIGHT

    @property
    def is_busy(self) -> bool:
        """Whether a thread restores a picture, or has one whose result `finished` has not given yet."""
        return bool(self._running)

    def hire(self, pictures: int) -> None:
        """There are no more threads."""

    def give(self) -> None:
        """Let an idle thread restore the picture that waits longest."""
        picture = self.waiting.popleft()
        self._running[self._pool.submit(self._attempt, picture)] = picture

    def _attempt(self, picture: Found) -> Success | Failure:
        result = attempt(
            self._restore,
            picture.source,
            picture.target,
            make_folders=True,
            progress=lambda done, tiles: self._lock.raise_if_stopped(),
            turn=self._lock,
        )
        # Its turn to be given may come later.
        self._full = self._full or (isinstance(result, Failure) and result.is_of_full_disk)
        return result

    def dismiss_idle(self) -> None:
        """A thread that has nothing to do costs nothing."""

    def finished(self, seconds: float) -> list[tuple[Found, Outcome]]:
        """Wait for a picture to be finished, so long at most: one at a time, in their order."""
        if not self._running:
            return []
        first = next(iter(self._running))
        if not first.done():
            wait(self._unfinished(), timeout=seconds, return_when=FIRST_COMPLETED)
        return [(self._running.pop(first), first.result())] if first.done() else []

    def _unfinished(self) -> list[Future[Success | Failure]]:
        return [future for future in self._running if not future.done()]

    def end(self) -> list[tuple[Found, Success | Failure | None]]:
        """Let each thread give up at its next tile, and wait for that; nothing unfinished is left.

        Returns:
            The pictures that they had, each with its result if that was complete; else None.
        """
        self._lock.stop()
        self._pool.shutdown(wait=True)
        ended = [
            (picture, None if future.exception() else future.result())
            for future, picture in self._running.items()
        ]
        self._running.clear()
        return ended
