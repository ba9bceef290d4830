"""Frames (b, h, w, c), as ComfyUI has them, restored or enlarged with one level for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hyperrestore.arrays import Float32
from hyperrestore.detect.findings import inspect
from hyperrestore.errors import UsageError
from hyperrestore.level import Task, kinds_of
from hyperrestore.picture.file import Picture
from hyperrestore.restore.assembly import Seen, Step, assemble
from hyperrestore.restore.in_memory import restore_part
from hyperrestore.restore.levels import check_levels
from hyperrestore.restore.repair import Repair, Size, repair_at
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import Region
from hyperrestore.run.level_map import between

LOOKED_AT = 9  # frames that the level of a long film is estimated from, spread over it
BITS = 16  # of floats: more than 8, so that networks compute in fp32


class Restored(NamedTuple):
    """Frames, and the level of each kind of damage.

    Attributes:
        frames: (b, h, w, c), clipped to [0, 1].
        levels: By the task that is for it alone; that of a kind is left out if nothing of it was found.
    """

    frames: Float32
    levels: dict[Task, float]


def restore_frames(
    frames: Any,
    task: Task = Task.PHOTO,
    *,
    level: float | None = None,
    mask: Any = None,
    strength: float = 1.0,
    grain: float = 0.0,
    device: str = "auto",
) -> Restored:
    """Remove noise, JPEG artefacts, or both.

    Args:
        frames: (b, h, w, 1 or 3), grey or RGB, floats with white at 1. Frames of a video, or a batch.
        task: What is repaired; both by default.
        level: For one kind of damage: sigma on the 8-bit scale, or JPEG quality. None estimates what is
            repaired from the frames. It is the same for all of them, the median, so that a video does not
            flicker.
        mask: (1 or b, h, w) in [0, 1]: where it is 0 nothing is repaired, where it is 1 at the level.
        strength: Factor for estimated levels (see `level.times_as_strong`).
        grain: Share of the luminance noise to put back, 0 to 1.
        device: As for `Restorer.load`.

    Raises:
        UsageError: The frames or the mask have another shape, or an option does not fit the task.
        LevelError: The model does not accept the level.

    Example:
        >>> noisy = np.random.default_rng(0).normal(0.5, 0.1, (2, 40, 60, 3))
        >>> restored = restore_frames(noisy, Task.DENOISE, level=25)
        >>> restored.frames.shape, restored.levels
        ((2, 40, 60, 3), {<Task.DENOISE: 'denoise'>: 25.0})
    """
    pictures = _pictures(frames)
    masks = None if mask is None else _masks(mask, pictures)
    model, levels = model_and_levels(task, level, pictures, strength=strength, grain=grain, device=device)
    if levels is None:
        return Restored(_frames([np.clip(picture, 0, 1) for picture in pictures]), {})
    restored = [
        _restore(picture, model, levels, None if masks is None else masks[number % len(masks)], grain)
        for number, picture in enumerate(pictures)
    ]
    return Restored(_frames(restored), by_kind(model, levels))


def estimate_levels(
    frames: Any, task: Task = Task.PHOTO, *, strength: float = 1.0, device: str = "auto"
) -> dict[Task, float]:
    """The levels that `restore_frames` would estimate: the median of all frames.

    Args:
        frames: As for `restore_frames`.
        task: What is looked for.
        strength: As for `restore_frames`.
        device: As for `Restorer.load`.

    Returns:
        What most frames need; that of a kind of damage is left out if nothing of it was found.

    Raises:
        UsageError: The frames have another shape, or the strength is not accepted.
    """
    model = shipped(task, device)
    levels = _median_levels(model, list(_pictures(frames)), strength)
    return {} if levels is None else by_kind(model, levels)


def enlarge_frames(
    frames: Any,
    *,
    scale: float | None = None,
    size: Size | None = None,
    softness: float = 1.0,
    device: str = "auto",
) -> Float32:
    """Enlarge frames by a scale, or to a size.

    Args:
        frames: As for `restore_frames`.
        scale: 1 to 6.
        size: Requested size instead, one side of it; the other follows.
        softness: How soft the frames are, 0 to 3; 1 for pictures that were shrunk as usual.
        device: As for `Restorer.load`.

    Returns:
        (b, height, width, c), clipped to [0, 1].

    Raises:
        UsageError: The frames have another shape, or scale and size are both given, or none of them.
        LevelError: The model does not accept the scale or the softness, or it would be smaller.
    """
    pictures = _pictures(frames)
    model = shipped(Task.UPSCALE, device)
    level = {"softness": softness} | ({} if scale is None else {"scale": scale})
    repair = Repair(model.task, model.scales, level, size=size or Size())
    height, width = pictures[0].shape[1:]
    to = Region(0, 0, *repair.result_size(width, height))
    return _frames([restore_part(model, repair, picture, to) for picture in pictures])


def _restore(
    picture: Float32, model: Restorer, levels: tuple[float, ...], mask: Float32 | None, grain: float
) -> Float32:
    """A frame, repaired."""
    if mask is not None:
        repair = repair_at(model, levels_within(model, levels, mask), grain=grain)
        restored: Float32 = np.where(
            mask == 0, picture, restore_part(model, repair, picture, _whole(picture))
        )
        return restored
    height, width = picture.shape[1:]
    assembly = assemble(
        [Step(model, levels, grain)], Seen(width, height, BITS, visible_only=False, linear=False)
    )
    return assembly.region(
        lambda part: picture[:, part.top : part.bottom, part.left : part.right], _whole(picture)
    )


def model_and_levels(
    task: Task,
    level: float | None,
    pictures: Iterable[Picture | Float32],
    *,
    strength: float,
    grain: float,
    device: str,
) -> tuple[Restorer, tuple[float, ...] | None]:
    """The model of a task, and a level for each of its axes: the one that is given, else those found.

    Pictures are read only for that. What does not fit is refused, also where nothing was found.

    Returns:
        No levels where there is nothing to repair.

    Raises:
        UsageError: An option does not fit.
        LevelError: The model does not accept the level.
    """
    model = shipped(task, device)
    if level is not None and task == Task.PHOTO:
        raise UsageError(
            f"level {level!r} is for one kind of damage, and {task} repairs several; leave it out to have "
            "them estimated"
        )
    if level is not None and strength != 1:
        raise UsageError(
            f"strength {strength!r} is for an estimated level, and one is given; give one of the two"
        )
    Repair(model.task, model.scales, grain=grain)
    if level is None:
        return model, _median_levels(model, list(pictures), strength)
    return model, check_levels(model.scales, level)


def _median_levels(
    model: Restorer, pictures: Sequence[Picture | Float32], strength: float
) -> tuple[float, ...] | None:
    """One level of each axis for all pictures: the median of theirs; None where most need no repair."""
    repair = Repair(model.task, model.scales, strength=strength)
    found = [inspect(picture).levels for picture in pictures]
    typical = {}
    for axis, kind in zip(model.scales, repair.estimated, strict=True):
        if kind is not None:
            each = sorted((one.get(kind, axis.origin) for one in found), key=axis.strength)
            middle = each[len(each) // 2]
            if middle != axis.origin:
                typical[kind] = middle
    return repair.automatic_levels(typical)


def by_kind(model: Restorer, levels: tuple[float, ...]) -> dict[Task, float]:
    """The level of each kind of damage that is repaired."""
    found: dict[Task, float] = {}
    axes = zip(model.scales, levels, kinds_of(model.task, len(levels)), strict=True)
    for axis, level, kind in axes:
        if kind is not None and (level != axis.origin or len(levels) == 1):
            found.setdefault(kind, level)
    return found


def levels_within(model: Restorer, levels: tuple[float, ...], mask: Float32) -> Float32:
    """(h, w), or (axes, h, w) of several, levels for each pixel: no damage where the mask is 0."""
    maps = between(mask[None], [axis.origin for axis in model.scales], levels)
    return maps if len(maps) > 1 else np.asarray(maps[0])


def _whole(picture: Float32) -> Region:
    return Region(0, 0, picture.shape[2], picture.shape[1])


def _pictures(frames: Any) -> Float32:
    """(b, c, h, w)."""
    array = np.asarray(frames, np.float32)
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or not array.size:
        raise UsageError(
            f"frames are (b, h, w, 1 or 3), got {array.shape}; take the alpha channel off, if there is one"
        )
    return np.ascontiguousarray(np.moveaxis(array, -1, 1))


def _frames(pictures: Sequence[Float32]) -> Float32:
    return np.ascontiguousarray(np.moveaxis(np.stack(pictures), 1, -1), np.float32)


def _masks(mask: Any, pictures: Float32) -> Float32:
    """(1 or b, h, w) in [0, 1]."""
    array = np.asarray(mask, np.float32)
    count, _, height, width = pictures.shape
    if array.shape not in {(1, height, width), (count, height, width)}:
        raise UsageError(
            f"a mask of shape {array.shape} does not fit: give ({count}, {height}, {width}), or one for all "
            "frames"
        )
    return array.clip(0, 1)


@cache
def shipped(task: Task, device: str) -> Restorer:
    """The model of the package, loaded once."""
    return Restorer.load(task, device=device)
