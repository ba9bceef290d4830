"""What a page holds: its photos, its jobs, and who listens; all of it ends with the page."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from hyperrestore.restore.repair import Repair
from hyperrestore.web.messages import JobRequest, JobStatus, State
from hyperrestore.web.photos import LevelMap, Photo

_HEARTBEAT = 15.0  # seconds between signs of life, which reveal a lost connection


@dataclass
class Job:
    """A whole photo that is being restored.

    Attributes:
        identity: The name that the page uses for it.
        photo: What is restored.
        request: The request as the page sent it.
        repair: The same, checked; a mask in it is the job's own file.
        target: The file that will hold the result.
        name: Name of the downloaded file.
        state: How far it is.
        done: Tiles restored so far.
        total: All tiles; 0 until they are counted.
        began: When it started to run, by the monotonic clock, seconds.
        notes: One plain sentence for everything that was converted or could not be kept.
        error: Why it failed.
        unwanted: Whether it should stop.
    """

    identity: str
    photo: Photo
    request: JobRequest
    repair: Repair
    target: Path
    name: str
    state: State = "queued"
    done: int = 0
    total: int = 0
    began: float = 0.0
    notes: tuple[str, ...] = ()
    error: str | None = None
    unwanted: bool = False

    @property
    def ended(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in ("done", "failed", "cancelled")

    def status(self) -> JobStatus:
        """How far it is, for the page."""
        left = None
        if self.state == "running" and self.done:
            left = round((time.monotonic() - self.began) / self.done * (self.total - self.done), 1)
        return JobStatus(
            id=self.identity,
            photo=self.photo.identity,
            request=self.request,
            state=self.state,
            done=self.done,
            total=self.total,
            seconds_left=left,
            notes=list(self.notes),
            error=self.error,
        )


@dataclass
class Page:
    """One open page.

    Attributes:
        identity: A secret that only this page knows.
        folder: For its files.
        photos: By identity.
        jobs: By identity, in the order in which they were requested.
        maps: Maps of levels, by photo and identity.
        listeners: One for each open stream of events.
        seen: When it last sent a request, by the monotonic clock, seconds.
        waiting: How many of its requests are being answered.
        closed: Whether it has ended.
    """

    identity: str
    folder: Path
    seen: float
    photos: dict[str, Photo] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    maps: dict[tuple[str, str], LevelMap] = field(default_factory=dict)
    listeners: list[_Listener] = field(default_factory=list)
    waiting: int = 0
    closed: bool = False

    def heard(self) -> None:
        """Note that it has sent a request."""
        self.seen = time.monotonic()

    def tell(self, job: Job) -> None:
        """Send the state of a job to all streams of events."""
        for listener in self.listeners:
            listener.jobs[job.identity] = job
            listener.woken.set()

    def end_streams(self) -> None:
        """End all streams of events."""
        for listener in self.listeners:
            listener.ended = True
            listener.woken.set()

    async def events(self) -> AsyncIterator[str]:
        """Server-sent events about the jobs; the existing ones come first."""
        listener = _Listener(dict(self.jobs))
        listener.woken.set()
        self.listeners.append(listener)
        try:
            while not listener.ended:
                try:
                    await asyncio.wait_for(listener.woken.wait(), _HEARTBEAT)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                listener.woken.clear()
                yield ": hello\n\n"
                while listener.jobs:
                    _, job = listener.jobs.popitem()
                    yield f"event: job\ndata: {job.status().model_dump_json()}\n\n"
        finally:
            self.listeners.remove(listener)
            self.heard()


@dataclass
class _Listener:
    """One stream of events: the jobs it has yet to report, each once, in its state at that time."""

    jobs: dict[str, Job]
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False


class Pages:
    """All open pages.

    Args:
        folder: For their files.
        most: How many may be open.
        patience: How long a page without an open stream may send no request before it is closed, seconds.
        drop: Called with the identity of a page that has ended.
    """

    def __init__(self, folder: Path, *, most: int, patience: float, drop: Callable[[str], None]) -> None:
        self._folder = folder
        self._most = most
        self._patience = patience
        self._drop = drop
        self._pages: dict[str, Page] = {}

    def open(self) -> Page | None:
        """Open a page; None if there are too many."""
        self.close_lost()
        if len(self._pages) >= self._most:
            return None
        identity = new_identity()
        folder = self._folder / f"page-{identity}"
        folder.mkdir(mode=0o700)
        page = self._pages[identity] = Page(identity, folder, time.monotonic())
        return page

    def all(self) -> list[Page]:
        """The open pages."""
        return list(self._pages.values())

    def find(self, identity: str) -> Page | None:
        """The page of that identity; looking it up counts as a sign of life."""
        page = self._pages.get(identity)
        if page is not None:
            page.heard()
        return page

    def close(self, page: Page) -> None:
        """Close a page: stop its jobs and remove its files."""
        self._pages.pop(page.identity, None)
        page.closed = True
        for job in page.jobs.values():
            job.unwanted = True
        self._drop(page.identity)
        page.end_streams()
        shutil.rmtree(page.folder, ignore_errors=True)

    def close_lost(self) -> None:
        """Close the pages that sent nothing for too long and have no request in progress."""
        now = time.monotonic()
        for page in list(self._pages.values()):
            if not page.listeners and not page.waiting and now - page.seen > self._patience:
                self.close(page)

    def end_streams(self) -> None:
        """End the streams of all pages."""
        for page in self._pages.values():
            page.end_streams()

    def close_all(self) -> None:
        """Close all pages."""
        for page in list(self._pages.values()):
            self.close(page)


def new_identity() -> str:
    """A random name that nobody can guess, usable in addresses and as a file name."""
    return secrets.token_hex(16)
