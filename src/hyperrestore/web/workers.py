"""Processes that restore for the server, each with its own network and a share of the CPUs' threads.

    server: view thread i  <-- pipe -->  process i: main thread
    server: file thread i  <-- pipe -->  process i: second thread

A call goes to the process, and its result or error comes back. Meanwhile the process may ask whether to go
on, before each tile; instead of an answer it may get another call, which it serves first.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from hyperrestore.arrays import Rows
from hyperrestore.errors import ExtrapolationWarning, PictureError
from hyperrestore.restore.file import Success
from hyperrestore.run.openvino import limit_threads
from hyperrestore.web.restoring import InThisProcess, Load, Saved, Viewed

_GO_ON, _STOP = "go on", "stop"
_ENDING = 5.0  # seconds that a process has to end by itself


class _Stopped(Exception):  # noqa: N818 - no error
    """The server does not want the result any more."""


class Workers:
    """Restores in other processes. Each calling thread has a process of its own: use as many threads.

    Args:
        count: How many processes, and how many threads may ask for views, and how many for files.
        load: Loads the model of a task; it is pickled.
        threads: Of the CPUs, for each process.
    """

    def __init__(self, count: int, load: Load, *, threads: int) -> None:
        self._workers = [_Worker(load, threads) for _ in range(count)]
        self._next = {"view": itertools.count(), "save": itertools.count()}
        self._own = threading.local()

    def view(self, viewed: Viewed, between: Callable[[], None] | None) -> Rows:
        """Restore a region."""
        # What is pickled must not change meanwhile, and another thread may add reduced copies.
        photo, level_map = viewed.photo, viewed.level_map
        photo = replace(
            photo, colours=dict(photo.colours), alpha=dict(photo.alpha), inputs=dict(photo.inputs)
        )
        if level_map is not None:
            level_map = replace(level_map, shares=dict(level_map.shares))
        rows: Rows = self._worker("view").call(
            "view", (replace(viewed, photo=photo, level_map=level_map), between is not None), between
        )
        return rows

    def save(self, saved: Saved, progress: Callable[[int, int], None]) -> Success:
        """Restore a whole photo."""
        success: Success = self._worker("save").call("save", (saved,), progress)
        return success

    def processes(self) -> list[int]:
        """The process numbers of those that run."""
        numbers = [worker.number for worker in self._workers]
        return [number for number in numbers if number is not None]

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.end()

    def _worker(self, kind: str) -> _Worker:
        """That of the calling thread."""
        if not hasattr(self._own, "worker"):
            self._own.worker = self._workers[next(self._next[kind]) % len(self._workers)]
        worker: _Worker = self._own.worker
        return worker


class _Worker:
    """One process, started when it is first needed, and again after it has crashed."""

    def __init__(self, load: Load, threads: int) -> None:
        self._load = load
        self._threads = threads
        self._lock = threading.Lock()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipes: dict[str, Connection] = {}
        self._closed = False

    @property
    def number(self) -> int | None:
        """Its process number, while it runs."""
        process = self._process
        return process.pid if process is not None and process.is_alive() else None

    def call(self, kind: str, values: tuple[Any, ...], asked: Callable[..., None] | None) -> Any:
        """Let the process serve a call, and answer when it asks whether to go on.

        Args:
            kind: "view" or "save".
            values: What it is about.
            asked: Called when the process asks; what it raises ends the work, and is raised here.

        Raises:
            PictureError: The process has crashed.
        """
        pipe = self._pipe(kind)
        ended: Exception | None = None
        try:
            pipe.send(values)
            while True:
                what, value = pipe.recv()
                if what == "done":
                    return value
                if what == "failed":
                    raise ended or value
                try:
                    if asked is not None:
                        asked(*value)
                except Exception as error:  # it is raised when the process has stopped
                    ended = error
                pipe.send(_GO_ON if ended is None else _STOP)
        except (EOFError, ConnectionError) as error:
            raise PictureError(
                "the process that restored this picture has crashed; memory may have been short"
            ) from error

    def _pipe(self, kind: str) -> Connection:
        """The pipe for one kind of calls, to a process that runs."""
        with self._lock:
            if self._closed:
                raise PictureError("the server is being stopped")
            if self._process is None or not self._process.is_alive():
                self._start()
            return self._pipes[kind]

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # libvips does not survive a fork
        ends = {kind: context.Pipe() for kind in ("view", "save")}
        self._pipes = {kind: ours for kind, (ours, _) in ends.items()}
        theirs = [end for _, end in ends.values()]
        self._process = context.Process(
            target=_work, args=(self._load, self._threads, *theirs), name="restoring", daemon=True
        )
        self._process.start()
        for end in theirs:
            end.close()

    def end(self) -> None:
        """End the process, and let no other start."""
        with self._lock:
            self._closed = True
            for pipe in self._pipes.values():
                pipe.close()
            if self._process is not None:
                self._process.join(_ENDING)
                self._process.kill()
                self._process.join()


def _work(load: Load, threads: int, views: Connection, files: Connection) -> None:
    """What a process does until its pipes are closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which then closes the pipes
    warnings.simplefilter("ignore", ExtrapolationWarning)
    os.environ.setdefault("VIPS_CONCURRENCY", str(threads))
    limit_threads(threads)
    here = InThisProcess(load)
    threading.Thread(target=_serve, args=(files, partial(_save, here)), daemon=True).start()
    _serve(views, partial(_view, here))


def _view(here: InThisProcess, ask: Callable[..., None], viewed: Viewed, in_background: bool) -> Rows:
    return here.view(viewed, ask if in_background else None)


def _save(here: InThisProcess, ask: Callable[..., None], saved: Saved) -> Success:
    return here.save(saved, ask)


def _serve(pipe: Connection, run: Callable[..., Any]) -> None:
    """Serve calls until the pipe is closed."""
    try:
        while True:
            _answer(pipe, run, pipe.recv())
    except (EOFError, OSError):
        return


def _answer(pipe: Connection, run: Callable[..., Any], values: tuple[Any, ...]) -> None:
    """Serve a call."""

    def ask(*about: Any) -> None:
        pipe.send(("asked", about))
        while (answer := pipe.recv()) not in (_GO_ON, _STOP):
            _answer(pipe, run, answer)
        if answer == _STOP:
            raise _Stopped

    try:
        result = "done", run(ask, *values)
    except (EOFError, ConnectionError):  # the server has gone
        raise
    except Exception as error:  # it belongs to the caller
        result = "failed", _portable(error)
    pipe.send(result)


# What pickling raises: by itself, and for classes that cannot be found, or take other arguments.
_NOT_PORTABLE = (
    *(pickle.PickleError, AttributeError, EOFError, ImportError),
    *(LookupError, RuntimeError, TypeError, ValueError),
)


def _portable(error: Exception) -> Exception:
    """An error, or its words where it cannot be sent: an answer that does not come is waited for for ever."""
    try:
        pickle.loads(pickle.dumps(error))
    except _NOT_PORTABLE:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
