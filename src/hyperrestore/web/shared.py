"""What all pages share, and the work of its threads: accepting photos and running jobs."""

from __future__ import annotations

import asyncio
import errno
import logging
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperrestore.errors import HyperrestoreError, PictureError
from hyperrestore.level import Task
from hyperrestore.restore.levels import Mask
from hyperrestore.restore.restorer import Restorer
from hyperrestore.web.executor import FairExecutor
from hyperrestore.web.messages import Limits
from hyperrestore.web.metrics import Stages
from hyperrestore.web.pages import Job, Page, Pages
from hyperrestore.web.photos import LevelMap, Photo, keep_photo, read_info
from hyperrestore.web.restoring import Restoring, Saved

SPARE_DISK = 2**29  # bytes of free space left for other programs
MOST_QUIET = 2.0  # seconds that a render waits for views, at most, after each of its tiles


class TooLargeError(Exception):
    """A photo has more pixels than this server accepts."""


@dataclass
class Shared:
    """What all pages share.

    Attributes:
        folder: For temporary files.
        limits: What is refused.
        restorers: By task, used to check levels and sizes; they hold no network.
        restoring: Restores regions and whole photos.
        pages: The open pages.
        views: Restores regions.
        renders: Restores whole photos; it gives way to `views`.
        files: A thread that decodes photos.
        encoder: A thread that encodes what is shown.
        stages: How long the work took.
    """

    folder: Path
    limits: Limits
    restorers: Mapping[Task, Restorer]
    restoring: Restoring
    pages: Pages
    views: FairExecutor
    renders: FairExecutor
    files: ThreadPoolExecutor
    encoder: ThreadPoolExecutor
    stages: Stages


def take_in(shared: Shared, path: Path, identity: str, name: str) -> Photo:
    """Accept a photo that a page has sent.

    Raises:
        TooLargeError: It has too many pixels.
        PictureError: As `photos.keep_photo`.
        OSError: The disk is full.
    """
    _, info = read_info(path, max_pixels=2**62)
    if info.width * info.height > shared.limits.pixels:
        raise TooLargeError(
            f"{name}: has {info.width} x {info.height} pixels, and at most {shared.limits.pixels} are "
            "allowed here; use the command line"
        )
    # With alpha, the network's input is kept as well.
    planes = info.channels + (2 * info.channels + 2 if info.has_alpha else 0)
    needed = info.width * info.height * planes * info.dtype.itemsize * 4 // 3  # with the reduced copies
    check_disk(shared, needed)
    return shared.stages.timed("decode", keep_photo)(
        path, identity=identity, name=name, max_pixels=shared.limits.pixels
    )


def check_disk(shared: Shared, needed: int) -> None:
    """Refuse to write so many bytes if that would leave less than `SPARE_DISK`.

    Raises:
        OSError: Too little space would be left.
    """
    if shutil.disk_usage(shared.folder).free < needed + SPARE_DISK:
        raise OSError(errno.ENOSPC, "no space left")


def add_reduced(photo: Photo, level_map: LevelMap | None, reduce: int) -> None:
    """Reduce a photo, and its map if there is one."""
    photo.add_reduced(reduce)
    if level_map is not None:
        level_map.add_reduced(reduce, *photo.size(reduce))


def check_map(shared: Shared, photo: Photo, level_map: LevelMap) -> None:
    """Accept a map of levels that a page has sent.

    Raises:
        TooLargeError: It has too many pixels.
        PictureError: It is not a PNG of 8 bits, or has transparency.
        OSError: The disk is full.
    """
    known, info = read_info(level_map.mask, max_pixels=2**62)
    if info.width * info.height > shared.limits.pixels:
        raise TooLargeError(
            f"the map has {info.width} x {info.height} pixels, and at most {shared.limits.pixels} are allowed"
        )
    if info.has_alpha:
        raise PictureError(f"{level_map.mask}: has transparency, and must have no transparency; flatten it")
    if known.name != "PNG" or info.bits != 8:
        raise PictureError(f"{level_map.mask}: is {known.name} with {info.bits} bits; give a grey PNG with 8")
    check_disk(shared, photo.info.width * photo.info.height * 6)  # floats, with the reduced copies
    level_map.add_reduced(1, *photo.size(1))


class _Unwanted(Exception):  # noqa: N818 - no error
    """A job should stop."""


def render(shared: Shared, page: Page, job: Job, loop: asyncio.AbstractEventLoop) -> None:
    """Run a job, on a thread of renders."""

    def change(**values: Any) -> None:
        loop.call_soon_threadsafe(_change, page, job, values)

    def progress(done: int, total: int) -> None:
        if job.unwanted:
            raise _Unwanted
        change(done=done, total=total)
        shared.views.wait_until_quiet(MOST_QUIET)
        if job.unwanted:
            raise _Unwanted

    if job.unwanted:
        return
    change(state="running", began=time.monotonic())
    source, repair = job.photo.path, job.repair
    try:
        save = shared.stages.timed("save", shared.restoring.save)
        success = save(Saved(source, job.target, repair, job.request.quality), progress)
    except _Unwanted:
        change(state="cancelled")
    except HyperrestoreError as error:
        sentence = str(error).replace(str(source), job.photo.name).replace(str(job.target), job.name)
        change(state="failed", error=sentence)
    except Exception:
        # Nobody waits for the result of this call, so the error would go unnoticed.
        logging.getLogger(__name__).exception("a job failed that should not")
        change(state="failed", error="an unexpected error; see the server's terminal")
    else:
        change(state="done", notes=success.notes)
    finally:
        if isinstance(repair.level_map, Mask):
            repair.level_map.path.unlink(missing_ok=True)
        if page.closed or job.unwanted:
            job.target.unlink(missing_ok=True)


def _change(page: Page, job: Job, values: dict[str, Any]) -> None:
    """Change a job, unless it has ended; called on the application's thread."""
    if not job.ended:
        for name, value in values.items():
            setattr(job, name, value)
        page.tell(job)


def end(page: Page, job: Job) -> None:
    """Cancel a job."""
    job.unwanted = True
    _change(page, job, {"state": "cancelled"})


def forget(page: Page, job: Job) -> None:
    """Remove a finished job and its file."""
    del page.jobs[job.identity]
    job.target.unlink(missing_ok=True)
