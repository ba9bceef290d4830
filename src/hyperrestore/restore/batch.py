"""Many picture files -> a result for each; while the network runs for one, others are read and written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from hyperrestore.errors import FULL, DiskFullError, HyperrestoreError, PictureError, UsageError
from hyperrestore.picture.decode import header_size
from hyperrestore.restore.file import Success
from hyperrestore.restore.folder import make_folder
from hyperrestore.restore.place import Place

IN_FLIGHT = 3  # pictures: one in the network, one that is decoded, one that is encoded
MEASURED_FIRST = 1000  # pictures whose sizes are read before the first is restored; takes a third of a second
PIXELS_IN_FLIGHT = 2**26  # of all of them together, unless a single one has more


@dataclass(frozen=True)
class Failure:
    """Why there is no result for a picture.

    Attributes:
        source: The file that was to be read.
        target: The file that was to be written.
        error: What went wrong; its text is a plain sentence.
    """

    source: str
    target: str
    error: HyperrestoreError

    @property
    def is_of_full_disk(self) -> bool:
        """Whether every further picture would fail as well."""
        return isinstance(self.error, DiskFullError)


def restore_files(
    restore: Callable[..., Success],
    pairs: Sequence[tuple[Place, Place]],
    *,
    size: Callable[[int, int], tuple[int, int]] = lambda width, height: (width, height),
    make_folders: bool = False,
    progress: Callable[[int, float], None] = lambda index, share: None,
) -> Generator[Success | Failure, None, None]:
    """Restore picture files: while the network runs for one, others are decoded and encoded.

    The files are the same as those that `restore` makes one by one. When the disk is full, no further picture
    is started. If this is interrupted or closed, unfinished pictures are abandoned, and nothing of them is
    left.

    Args:
        restore: `restore_file` with everything that is the same for all pictures; takes source, target,
            `progress` and `turn`, and is called in other threads.
        pairs: Sources and targets, as `plan_targets` gives them.
        size: Gives width and height of a picture's result from those of the picture.
        make_folders: Whether missing folders of the targets are made.
        progress: Called with the index of the current picture and the share of all work that is done, 0 to 1,
            by pixels.

    Yields:
        The result for each picture, in the order of `pairs`.
    """
    lock = StoppableLock()
    work = _Work(len(pairs), lambda index: pixel_count(pairs[index][0], size), progress)

    def make(index: int) -> Success | Failure:
        def step(done: int, tiles: int) -> None:
            lock.raise_if_stopped()
            work.step(index, done / tiles)

        turn = lock if len(pairs) > 1 else None
        try:
            return attempt(restore, *pairs[index], make_folders=make_folders, progress=step, turn=turn)
        finally:
            work.step(index, 1)

    if len(pairs) == 1:
        yield make(0)
        return
    results: dict[int, Success | Failure] = {}  # finished, and not yet yielded
    running: dict[Future[Success | Failure], int] = {}
    begun = yielded = 0
    full = False  # the disk
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        try:
            while running or (begun < len(pairs) and not full):
                while begun < len(pairs) and not full and work.fits(begun, running.values()):
                    running[pool.submit(make, begun)] = begun
                    begun += 1
                # Windows hears Ctrl-C only between two waits.
                for future in wait(running, timeout=1, return_when=FIRST_COMPLETED).done:
                    result = results[running.pop(future)] = future.result()
                    full = full or (isinstance(result, Failure) and result.is_of_full_disk)
                while yielded in results:
                    yield results.pop(yielded)
                    yielded += 1
        except KeyboardInterrupt:
            lock.stop()
            wait(running)
            for future, index in running.items():
                if future.exception() is None:  # its file was complete before it was stopped
                    results[index] = future.result()
            yield from (results[index] for index in sorted(results))
            raise
        finally:
            lock.stop()
            work.stop_measuring()


def attempt(
    restore: Callable[..., Success],
    source: Place,
    target: Place,
    *,
    make_folders: bool,
    progress: Callable[[int, int], None],
    turn: StoppableLock | None,
) -> Success | Failure:
    """Restore a picture of several, of which each may fail.

    Args:
        restore: As for `restore_files`.
        source: The picture.
        target: Its result.
        make_folders: Whether a missing folder of the target is made.
        progress: For `restore`.
        turn: For `restore`.
    """
    try:
        if make_folders and isinstance(target, Path):
            make_folder(target.parent)
        return restore(source, target, progress=progress, turn=turn)
    except HyperrestoreError as error:
        return Failure(str(source), str(target), error)
    except (MemoryError, OSError) as error:  # those of this picture, not of the batch
        why = error.strerror if isinstance(error, OSError) else "not enough memory"
        kind = DiskFullError if getattr(error, "errno", None) in FULL else PictureError
        return Failure(str(source), str(target), kind(f"{source}: cannot be restored ({why})"))


class StoppableLock:
    """A lock for the network, which one thread at a time runs; once it is stopped, all threads give up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self.raise_if_stopped()
        except CancelledError:
            self._lock.release()
            raise

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def raise_if_stopped(self) -> None:
        """Raise CancelledError if it is stopped."""
        if self._stopped:
            raise CancelledError

    def stop(self) -> None:
        """Let each thread give up at its next tile, or when it takes the lock."""
        self._stopped = True


class _Work:
    """The pixels of a batch: how many are done, and whether more fit into memory.

    A thread opens the files of a large batch while the first of them are restored. Until it is done, all
    pixels are estimated from those of the files it has opened.
    """

    def __init__(
        self, pictures: int, pixels: Callable[[int], int], progress: Callable[[int, float], None]
    ) -> None:
        self._pixels = pixels
        self._pictures = pictures
        self._progress = progress
        self._measuring = threading.Lock()
        self._stopped = threading.Event()
        self._counts: list[int] = []  # of the first pictures
        self._sum = 0
        self._lock = threading.Lock()
        self._shares = [0.0] * pictures
        self._done = 0.0  # pixels
        if pictures > 0:
            self._measure_to(min(MEASURED_FIRST, pictures) - 1)
        if pictures > MEASURED_FIRST:
            threading.Thread(target=self._measure_all, name="measuring", daemon=True).start()

    def _measure_to(self, index: int) -> None:
        with self._measuring:
            while len(self._counts) <= index:
                self._counts.append(self._pixels(len(self._counts)))
                self._sum += self._counts[-1]

    def _measure_all(self) -> None:
        for index in range(MEASURED_FIRST, self._pictures):
            if self._stopped.is_set():
                return
            self._measure_to(index)

    def stop_measuring(self) -> None:
        """Open no more files."""
        self._stopped.set()

    def step(self, index: int, share: float) -> None:
        """Note that a share of a picture is done."""
        with self._lock:
            more, self._shares[index] = share - self._shares[index], share
            if more:
                self._done += more * self._counts[index]
                self._progress(index, self._done / (self._sum * self._pictures / len(self._counts)))

    def fits(self, index: int, running: Collection[int]) -> bool:
        """Tell whether one more picture fits beside those that are running."""
        if index >= len(self._counts):
            self._measure_to(index)
        together = self._counts[index] + sum(self._counts[other] for other in running)
        return not running or (len(running) < IN_FLIGHT and together <= PIXELS_IN_FLIGHT)


def pixel_count(source: Place, size: Callable[[int, int], tuple[int, int]]) -> int:
    """The pixels of a picture's result; at least 1, and not more where the picture is not on this machine."""
    if not isinstance(source, Path):
        return 1
    width, height = header_size(source)
    if not width * height:  # it cannot be read
        return 1
    try:
        width, height = size(width, height)
    except UsageError:  # there will be no result
        return 1
    return width * height
