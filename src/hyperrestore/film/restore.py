"""A film file and its repairs -> the restored film, segment by segment."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import hyperrestore
from hyperrestore.arrays import StoredRows
from hyperrestore.errors import PictureError, UsageError
from hyperrestore.film.codec import Codec, choose_codec
from hyperrestore.film.encode import check_size, write_segment
from hyperrestore.film.hdr import lost_hdr
from hyperrestore.film.join import check_streams, join_film
from hyperrestore.film.kinds import check_container
from hyperrestore.film.library import pyav
from hyperrestore.film.plan import Plan, make_plan
from hyperrestore.film.source import Film, Frame, frames_from, number_at, read_film
from hyperrestore.film.work import Segment, Work
from hyperrestore.picture.temporary import rename
from hyperrestore.restore.assembly import Assembly, Seen, assemble
from hyperrestore.restore.file import COPIED, Success
from hyperrestore.restore.repair import Repair
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import Region

SEGMENT = 96  # frames: the most that are lost when the work is stopped


def restore_film(
    restorers: Sequence[Restorer],
    repairs: Sequence[Repair],
    source: Path,
    target: Path,
    *,
    follow: bool = False,
    lossless: bool = False,
    tile: int | None = None,
    overwrite: bool = False,
    segment: int = SEGMENT,
    settings: Mapping[str, object] | None = None,
    progress: Callable[[int, int], None] = lambda done, frames: None,
) -> Success:
    """Restore a film; see `docs/guide/films.md` for what is kept, and how it is encoded.

    What is finished is kept in a folder beside the output until the film is complete: the same call, made
    again after it was stopped, goes on there.

    Args:
        restorers: Models that repair each frame one after the other.
        repairs: The repair by each, without a map of levels.
        source: Film to read.
        target: Film to write, all or nothing; its suffix chooses the container.
        follow: Whether estimated levels follow the film over time; by default, one is found for all frames.
        lossless: Whether frames are encoded without a loss, as FFV1 in Matroska.
        tile: Side of a tile, pixels of the result.
        overwrite: Whether an existing file may be replaced.
        segment: Frames that are encoded as one file.
        settings: What the result depends on besides, such as the precision: if that changes, the work begins
            again.
        progress: Called with the number of frames done and of all that are left to this call.

    Returns:
        What was done.

    Raises:
        MissingExtraError: PyAV is not installed.
        PictureError: The film cannot be read or written, or is of a kind that is not supported.
        UsageError: The target has another container, or exists and `overwrite` is not set; or its codec does
            not take pictures of that size.
    """
    start = time.perf_counter()
    pyav()
    _check_target(source, target, lossless=lossless, overwrite=overwrite)
    film = read_film(source)
    width, height = repairs[-1].result_size(film.width, film.height)
    codec = choose_codec(film, target, width, height, lossless=lossless)
    check_size(film, codec, width=width, height=height)
    check_streams(film, suffix=target.suffix.lower())
    asked = {
        **(settings or {}), "source": _identity(source), "repairs": repr(repairs), "follow": follow,
        "codec": codec, "segment": segment, "models": [repr(each.description) for each in restorers],
        "versions": [hyperrestore.__version__, pyav().__version__],
    }  # fmt: skip
    work = Work.beside(target)
    with work.held():
        begun_again = work.begin(asked)
        begun = ("what another command had begun of it was removed",) if begun_again else ()
        notes = (*begun, *_incomplete(film))
        plan = _plan(work, restorers, repairs, film, follow=follow)
        result = work.folder / "result"
        if not plan.treatments and not lossless and source.suffix.lower() == target.suffix.lower():
            shutil.copyfile(source, result)
            notes = (*notes, *plan.notes, COPIED)
        else:
            job = _Job(restorers, repairs, film, plan, codec, (height, width), tile)
            segments = _segments(work, job, segment, progress)
            lost = join_film(result, film, segments, job.size, suffix=target.suffix.lower(), codec=codec.name)
            lost += lost_hdr(film.hdr, codec.name)
            lost += tuple(f"of its frames, {name} cannot be kept" for name in film.beside)
            notes = (*notes, *plan.notes, *_missing(film, segments), *lost)
        rename(result, target, target, overwrite, None)
        work.remove()
    levels = {str(repairs[each.number].task): each.reported(repairs[each.number]) for each in plan.treatments}
    seconds = round(time.perf_counter() - start, 3)
    return Success(str(source), str(target), levels, width, height, seconds, notes)


def _incomplete(film: Film) -> tuple[str, ...]:
    """A sentence on a film that is shorter than it says."""
    if film.ends_early is None:
        return ()
    end, told = film.ends_early
    return (f"ends after {end:.2f} s, and its header says {told:.2f} s; is the file complete?",)


def _missing(film: Film, segments: Sequence[Segment]) -> tuple[str, ...]:
    """A sentence on frames that the decoder has passed over."""
    count = len(film.times) - sum(len(segment.times) for segment in segments)
    return (f"{count} of {len(film.times)} frames cannot be decoded, and are missing",) if count > 0 else ()


def _check_target(source: Path, target: Path, *, lossless: bool, overwrite: bool) -> None:
    check_container(source, target, lossless=lossless)
    if target.is_dir():
        raise UsageError(f"output {target} is a folder; give a file")
    if not target.parent.is_dir():
        raise PictureError(f"{target.parent}: no such folder; create it, or give another output")
    if target.exists() and os.path.realpath(source) == os.path.realpath(target):
        raise UsageError(f"{source}: would be replaced by its own result; give another output")
    if target.exists() and not overwrite:
        raise UsageError(f"{target}: already exists; give --overwrite or another output")


def _identity(source: Path) -> list[object]:
    """What changes if the film does."""
    try:
        state = source.stat()
    except OSError as error:
        raise PictureError(f"{source}: cannot be read ({error.strerror})") from error
    return [os.path.realpath(source), state.st_size, state.st_mtime_ns]


def _plan(
    work: Work, restorers: Sequence[Restorer], repairs: Sequence[Repair], film: Film, *, follow: bool
) -> Plan:
    """The plan that was made before the work was stopped, or a new one."""
    kept = work.levels()
    if kept is not None:
        return Plan.from_json(kept)
    plan = make_plan(restorers, repairs, film, follow=follow)
    work.keep_levels(plan.to_json())
    return plan


class _Job:
    """Restores the frames of one film, with networks that are made once where levels do not change.

    Args:
        restorers: The models.
        repairs: The repair by each.
        film: The film.
        plan: What is done to each frame.
        codec: How frames are encoded.
        size: Height and width of the result, pixels.
        tile: Side of a tile, pixels; None for the usual.
    """

    def __init__(
        self,
        restorers: Sequence[Restorer],
        repairs: Sequence[Repair],
        film: Film,
        plan: Plan,
        codec: Codec,
        size: tuple[int, int],
        tile: int | None,
    ) -> None:
        self.film, self.codec, self.size = film, codec, size
        self._restorers, self._repairs, self._plan, self._tile = restorers, repairs, plan, tile
        self._coding = film.coding.resized(*size)
        self._changes = any(each.levels is None for each in plan.treatments)
        self._constant = None if self._changes else self._assembly(0)

    def restored(self, frame: Frame) -> Frame:
        """A frame, restored."""
        if not self._plan.treatments:
            return frame
        assembly = self._constant or self._assembly(number_at(self.film, frame.time))
        return Frame(frame.time, self._planes(assembly, frame.planes))

    def _planes(self, assembly: Assembly, planes: list[StoredRows]) -> list[StoredRows]:
        pixels = self.film.coding.to_pixels(planes)

        def read(part: Region) -> Any:
            return pixels[:, part.top : part.bottom, part.left : part.right]

        height, width = self.size
        try:
            result = assembly.region(read, Region(0, 0, width, height), tile=self._tile)
        except MemoryError as error:
            raise PictureError(f"{self.film.path}: not enough memory; give a smaller tile") from error
        if result.shape == pixels.shape:
            return self._coding.changed(planes, result - pixels)
        return self._coding.to_planes(result)

    def _assembly(self, number: int) -> Assembly:
        """What restores the frame with that number."""
        film = self.film
        steps = [each.step(self._restorers, self._repairs, number) for each in self._plan.treatments]
        bits = 8 if film.layout.bits == 8 else 16
        seen = Seen(film.width, film.height, bits, visible_only=False, linear=False)
        # A new level for each frame: only the graph for small pictures takes it without being made again.
        return assemble(steps, seen, quick=self._changes)


def _segments(work: Work, job: _Job, length: int, progress: Callable[[int, int], None]) -> list[Segment]:
    """All segments: those that are finished already, and the others, which are made."""
    film = job.film
    segments = list(work.finished())
    start = number_at(film, segments[-1].times[-1]) + 1 if segments else 0
    left = len(film.times) - start
    progress(0, max(left, 1))

    def restored(frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            yield job.restored(frame)
            progress(min(number_at(film, frame.time) + 1 - start, left), left)

    height, width = job.size
    frames = frames_from(film, start) if left else iter(())
    for _, part in groupby(frames, key=lambda frame: number_at(film, frame.time) // length):
        path = work.path(len(segments))
        segment = write_segment(path, film, job.codec, restored(part), width=width, height=height)
        work.finish(len(segments), segment)
        segments.append(segment)
    if not segments:
        raise PictureError(f"{film.path}: none of its frames can be decoded; is the file complete?")
    return segments
