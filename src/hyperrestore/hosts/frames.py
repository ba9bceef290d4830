"""Frames (b, h, w, c), as ComfyUI has them, restored or enlarged with one level for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hyperrestore.arrays import Float32
from hyperrestore.detect.findings import inspect
from hyperrestore.errors import UsageError
from hyperrestore.level import Task
from hyperrestore.picture.file import Picture
from hyperrestore.restore.assembly import Seen, Step, assemble
from hyperrestore.restore.in_memory import restore_part
from hyperrestore.restore.repair import Repair, Size, repair_at
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import Region

LOOKED_AT = 9  # frames that the level of a long film is estimated from, spread over it
BITS = 16  # of floats: more than 8, so that networks compute in fp32


class Restored(NamedTuple):
    """Frames, and the level of each repair.

    Attributes:
        frames: (b, h, w, c), clipped to [0, 1].
        levels: In the order of the repairs. That of a task is left out if nothing of its kind was found.
    """

    frames: Float32
    levels: dict[Task, float]


def restore_frames(
    frames: Any,
    tasks: Sequence[Task] = (Task.DENOISE, Task.DEJPEG),
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
        tasks: What is repaired, in this order.
        level: For one task: sigma on the 8-bit scale, or JPEG quality. None estimates it from the frames. It
            is the same for all of them, the median, so that a video does not flicker.
        mask: (1 or b, h, w) in [0, 1]: where it is 0 nothing is repaired, where it is 1 at the level.
        strength: Factor for estimated levels (see `level.times_as_strong`).
        grain: Share of the luminance noise to put back, 0 to 1.
        device: As for `Restorer.load`.

    Raises:
        UsageError: The frames or the mask have another shape, or an option does not fit the tasks.
        LevelError: The model does not accept the level.

    Example:
        >>> noisy = np.random.default_rng(0).normal(0.5, 0.1, (2, 40, 60, 3))
        >>> restored = restore_frames(noisy, [Task.DENOISE], level=25)
        >>> restored.frames.shape, restored.levels
        ((2, 40, 60, 3), {<Task.DENOISE: 'denoise'>: 25})
    """
    pictures = _pictures(frames)
    masks = None if mask is None else _masks(mask, pictures)
    if level is not None and len(tasks) != 1:
        raise UsageError(
            f"level {level!r} is for one task, got {len(tasks)}; leave it out to have it estimated"
        )
    models, levels = models_and_levels(tasks, level, pictures, strength=strength, grain=grain, device=device)
    used = [model for model in models if model.task in levels]
    restored = [
        _restore(picture, used, levels, None if masks is None else masks[number % len(masks)], grain)
        for number, picture in enumerate(pictures)
    ]
    return Restored(_frames(restored), levels)


def estimate_levels(
    frames: Any,
    tasks: Sequence[Task] = (Task.DENOISE, Task.DEJPEG),
    *,
    strength: float = 1.0,
    device: str = "auto",
) -> dict[Task, float]:
    """The levels that `restore_frames` would estimate: the median of all frames.

    Args:
        frames: As for `restore_frames`.
        tasks: What is looked for.
        strength: As for `restore_frames`.
        device: As for `Restorer.load`.

    Returns:
        What most frames need; that of a task is left out if nothing of its kind was found.

    Raises:
        UsageError: The frames have another shape, or the strength is not accepted.
    """
    return _median_levels([shipped(task, device) for task in tasks], list(_pictures(frames)), strength)


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
    picture: Float32,
    models: Sequence[Restorer],
    levels: Mapping[Task, float],
    mask: Float32 | None,
    grain: float,
) -> Float32:
    """A frame, repaired by one model after the other."""
    if not models:
        return np.clip(picture, 0, 1)
    if mask is not None:
        for model in models:
            there = levels_within(model, levels[model.task], mask)
            repair = repair_at(model, there, grain=grain_share(grain, model.task))
            picture = np.where(mask == 0, picture, restore_part(model, repair, picture, _whole(picture)))
        return picture
    height, width = picture.shape[1:]
    steps = [Step(model, (levels[model.task],), grain_share(grain, model.task)) for model in models]
    assembly = assemble(steps, Seen(width, height, BITS, visible_only=False, linear=False))
    return assembly.region(
        lambda part: picture[:, part.top : part.bottom, part.left : part.right], _whole(picture)
    )


def models_and_levels(
    tasks: Sequence[Task],
    level: float | None,
    pictures: Iterable[Picture | Float32],
    *,
    strength: float,
    grain: float,
    device: str,
) -> tuple[list[Restorer], dict[Task, float]]:
    """The model of each task, and the levels: the one that is given, else those found in the pictures.

    Pictures are read only for that. What does not fit is refused, also where nothing was found.

    Raises:
        UsageError: An option does not fit.
        LevelError: The model does not accept the level.
    """
    if level is not None and strength != 1:
        raise UsageError(
            f"strength {strength!r} is for an estimated level, and one is given; give one of the two"
        )
    models = [shipped(task, device) for task in tasks]
    levels = _median_levels(models, list(pictures), strength) if level is None else {tasks[0]: level}
    for model in models:
        repair_at(model, levels.get(model.task, model.scale.origin), grain=grain_share(grain, model.task))
    return models, levels


def _median_levels(
    models: Sequence[Restorer], pictures: Sequence[Picture | Float32], strength: float
) -> dict[Task, float]:
    """One level for all pictures: the median of theirs; none where most of them need no repair."""
    found = [inspect(picture).levels for picture in pictures]
    levels = {}
    for model in models:
        repair = Repair(model.task, model.scales, strength=strength)
        each = sorted((one.get(model.task, model.scale.origin) for one in found), key=model.scale.strength)
        middle = each[len(each) // 2]
        found_at = repair.automatic_levels({} if middle == model.scale.origin else {model.task: middle})
        if found_at is not None:
            levels[model.task] = found_at[0]
    return levels


def levels_within(model: Restorer, level: float, mask: Float32) -> Float32:
    """(h, w), a level for each pixel: none of the damage where the mask is 0."""
    origin = model.scale.origin
    return np.asarray(origin + mask * (level - origin), np.float32)


def grain_share(grain: float, task: Task) -> float:
    """Grain is put back where noise was removed."""
    return grain if task == Task.DENOISE else 0.0


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
