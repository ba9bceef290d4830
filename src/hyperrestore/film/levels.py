"""The levels of a film's frames: found once for the whole film, or followed over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple
from statistics import median

import numpy as np

from hyperrestore.arrays import Float64
from hyperrestore.detect.findings import Compression, Findings, inspect
from hyperrestore.detect.noise import Noise
from hyperrestore.film.source import Film, frames_from
from hyperrestore.level import LevelScale, Task
from hyperrestore.restore.repair import Repair

LOOKED_AT = 9  # frames, spread over the film, that decide on its level
APART = 12  # frames from one that is looked at to the next, where the level follows the film
MOST_CHANGE = 0.005  # of the level, from one frame to the next
LEAST = {Task.DENOISE: 1.0, Task.DEJPEG: 100.0}  # the level of frames in which nothing is found


def findings_spread(film: Film) -> list[Findings]:
    """What is found in some frames, spread over the film."""
    count = len(film.times)
    numbers = sorted({(2 * index + 1) * count // (2 * LOOKED_AT) for index in range(LOOKED_AT)})
    found = []
    for number in numbers:
        frame = next(frames_from(film, number), None)
        if frame is not None:
            found.append(inspect(film.coding.to_pixels(frame.planes)))
    return found


def findings_along(film: Film) -> list[Findings]:
    """What is found in every `APART`th frame, from the first on."""
    return [
        inspect(film.coding.to_pixels(frame.planes))
        for number, frame in enumerate(frames_from(film))
        if number % APART == 0
    ]


def median_findings(found: Sequence[Findings]) -> Findings:
    """What is typical: the median of each estimate, where at least half of the frames have one."""
    qualities = [each.compression.quality for each in found if each.compression.quality is not None]
    noises = [each.noise for each in found if each.noise is not None]
    frames = f"the median of {len(found)} frames"
    quality = round(median(qualities)) if 2 * len(qualities) >= len(found) > 0 else None
    compression = Compression(
        quality,
        f"from traces in its frames, {frames}" if quality else "no traces of JPEG compression were found",
    )
    if not noises or 2 * len(noises) < len(found):
        return Findings(compression, None)
    typical = (median(values) for values in zip(*map(astuple, noises), strict=True))
    return Findings(compression, Noise(*typical))


def followed(repair: Repair, found: Sequence[Findings], count: int) -> Float64 | None:
    """The levels of each frame, which follow what is found without flicker.

    From one frame to the next a level changes by at most `MOST_CHANGE`. It rises before a change and after it
    by the same amount.

    Args:
        repair: Whose level is estimated.
        found: Every `APART`th frame's.
        count: How many frames there are.

    Returns:
        (count, axes); None where no frame needs the repair.
    """
    typical = [median_findings(found[max(index - 1, 0) : index + 2]) for index in range(len(found))]
    wanted = [repair.automatic_levels(each.levels_for(repair.task)) for each in typical]
    needed = next((levels for levels in wanted if levels is not None), None)
    if needed is None:
        return None
    axes = []
    for number, (axis, kind) in enumerate(zip(repair.scales, repair.estimated, strict=True)):
        each = [None if levels is None else levels[number] for levels in wanted]
        if kind is None or all(level in (None, axis.origin) for level in each):
            axes.append(np.full(count, needed[number]))  # as given, or nowhere found
            continue
        frames = zip(each, typical, strict=True)
        axes.append(_smooth([_of_frame(repair.task, axis, kind, level, own) for level, own in frames], count))
    return np.stack(axes, axis=1)


def _of_frame(task: Task, axis: LevelScale, kind: Task, level: float | None, found: Findings) -> float:
    """The level of a frame; where it needs no repair, amid others that do, the least."""
    if level is not None and level != axis.origin:
        return level
    least = LEAST[kind]
    if kind == Task.DENOISE and found.noise is not None:
        least = max(least, found.noise.level_for(task))
    return axis.nearest_trained(least)


def _smooth(levels: Sequence[float], count: int) -> Float64:
    """A level for each of `count` frames, from those of every `APART`th."""
    places = np.arange(len(levels)) * APART
    aim = np.interp(np.arange(count), places, np.log(levels))
    # Rounding must not lead beyond the trained levels.
    smooth: Float64 = np.exp((_majorant(aim) - _majorant(-aim)) / 2).clip(min(levels), max(levels))
    return smooth


def _majorant(values: Float64) -> Float64:
    """The least values that are no less than these, and change by at most the logarithm of `MOST_CHANGE`."""
    most = math.log1p(MOST_CHANGE)
    result = values.copy()
    for one, other in ((range(1, len(result)), -1), (range(len(result) - 2, -1, -1), 1)):
        for index in one:
            result[index] = max(result[index], result[index + other] - most)
    return result
