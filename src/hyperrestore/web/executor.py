"""Threads that compute for all pages, which take turns."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Waiting:
    """A waiting call, and where its result goes."""

    future: Future[Any]
    call: Callable[[], Any]


class FairExecutor:
    """Threads that run the calls of many pages; usually a single one, which runs one call at a time.

    Pages take turns. The newest call of a page runs first, because that is what the person is looking at.
    Background calls run when nothing else waits, those of one page in the order in which they were made.

    Args:
        name: Of the threads.
        most: The most calls of one page that may wait.
        threads: How many calls run at a time.
    """

    def __init__(self, name: str, *, most: int, threads: int = 1) -> None:
        self._most = most
        self._changed = threading.Condition()
        # By page; the first page is next.
        self._foreground: OrderedDict[str, list[_Waiting]] = OrderedDict()
        self._background: OrderedDict[str, list[_Waiting]] = OrderedDict()
        self._running = 0  # calls in the foreground
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, page: str, call: Callable[[], Result], *, background: bool = False) -> Future[Result]:
        """Queue a call.

        Args:
            page: Whose call it is.
            call: Runs on a thread of this object.
            background: Whether it waits until no call in the foreground does.

        Returns:
            Its future result; cancelling it withdraws a call that has not started.

        Raises:
            queue.Full: Too many calls of this page wait.
        """
        future: Future[Result] = Future()
        lanes = self._background if background else self._foreground
        with self._changed:
            if self._closed:
                raise queue.Full("the server is being stopped")
            for known in (self._foreground, self._background):
                if page in known:
                    known[page] = [waiting for waiting in known[page] if not waiting.future.cancelled()]
            if sum(len(known.get(page, ())) for known in (self._foreground, self._background)) >= self._most:
                raise queue.Full(f"{self._most} requests of this page are already waiting")
            lanes.setdefault(page, []).append(_Waiting(future, call))
            self._changed.notify_all()
        return future

    def give_way(self) -> None:
        """Run what waits in the foreground. A long background call calls this now and then."""
        while (waiting := self._take(background=False)) is not None:
            self._run(waiting, background=False)

    def wait_until_quiet(self, seconds: float) -> None:
        """Wait until no call in the foreground waits or runs, but no longer than so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running and not self._foreground, seconds)

    def waiting(self) -> int:
        """How many calls wait."""
        with self._changed:
            lanes = (*self._foreground.values(), *self._background.values())
            return sum(not waiting.future.cancelled() for lane in lanes for waiting in lane)

    def drop(self, page: str) -> None:
        """Withdraw all calls of a page that have not started."""
        with self._changed:
            dropped = [*self._foreground.pop(page, []), *self._background.pop(page, [])]
            self._changed.notify_all()
        for waiting in dropped:
            waiting.future.cancel()

    def close(self, seconds: float = 30.0) -> None:
        """Withdraw all calls that have not started, and wait for those that run."""
        with self._changed:
            self._closed = True
            pages = [*self._foreground, *self._background]
        for page in pages:
            self.drop(page)
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(seconds)

    def _take(self, *, background: bool) -> _Waiting | None:
        """The next call; None if none waits."""
        with self._changed:
            lanes = self._background if background else self._foreground
            while lanes:
                page, lane = next(iter(lanes.items()))
                waiting = lane.pop(0 if background else -1) if lane else None
                if lane:
                    lanes.move_to_end(page)
                else:
                    del lanes[page]
                if waiting is not None and waiting.future.set_running_or_notify_cancel():
                    self._running += not background
                    return waiting
            self._changed.notify_all()
            return None

    def _run(self, waiting: _Waiting, *, background: bool) -> None:
        try:
            waiting.future.set_result(waiting.call())
        except Exception as error:  # it belongs to whoever waits for the result
            waiting.future.set_exception(error)
        finally:
            with self._changed:
                self._running -= not background
                self._changed.notify_all()

    def _work(self) -> None:
        while True:
            self.give_way()
            if (waiting := self._take(background=True)) is not None:
                self._run(waiting, background=True)
                del waiting  # with its result, which may be large
                continue
            with self._changed:
                if self._closed:
                    return
                self._changed.wait_for(lambda: self._closed or self._foreground or self._background)
