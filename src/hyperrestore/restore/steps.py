"""Repairs and what was found in a picture -> what each model is to do with it, and what is said of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hyperrestore.detect.findings import Findings
from hyperrestore.errors import UsageError
from hyperrestore.level import LevelScale, Task
from hyperrestore.restore.assembly import Model, Step
from hyperrestore.restore.repair import Repair, Size
from hyperrestore.run.backend import level_text

# What is said of the levels of a task: one level, or several; or of a photo these by their units.
Reported = float | tuple[float, ...] | dict[str, float | tuple[float, ...]]

# What a person gives where one model repairs several kinds of damage; with the option of `restore`.
GIVEN = {Task.DENOISE: "a level of the noise (`--noise`)", Task.DEJPEG: "a JPEG quality (`--jpeg-quality`)"}


def steps_of(
    models: Sequence[Model],
    repairs: Sequence[Repair],
    width: int,
    height: int,
    *,
    findings: Findings | None,
    keep_larger: bool = False,
) -> tuple[list[Step | None], tuple[str, ...]]:
    """What each model is to do with a picture.

    Args:
        models: Which repair it one after the other.
        repairs: What is asked of each.
        width: Of the picture, pixels.
        height: Of the picture, pixels.
        findings: What is wrong with the picture; None if no level is to be estimated.
        keep_larger: Whether a picture that has the size already that is asked for is not enlarged.

    Returns:
        A step for each model, None where it has nothing to do. And notes, plain sentences: the level of each
        repair, where one of them was estimated, and why a picture is left as it is.

    Raises:
        LevelError: A model does not accept the scale that leads to the requested size.
        UsageError: A level is to be estimated, and there are no findings.
    """
    steps: list[Step | None] = []
    notes: list[str] = []
    for model, repair in zip(models, repairs, strict=True):
        if keep_larger and repair.is_reached(width, height):
            steps.append(None)
            notes.append(_large_enough(width, height, repair.size))
            continue
        if repair.is_automatic:
            step = _estimated(model, repair, findings)
        else:
            step = Step.of(model, repair, width, height)
        steps.append(step)
        if step is not None and step.levels is not None and findings is not None:
            notes += _said_of(repair, step.levels, findings)
    repaired = [step for step in steps if step is not None and step.model.task != Task.UPSCALE]
    if findings is not None and not repaired:
        notes.append(_nothing(repairs, findings))
    return steps, tuple(notes)


def reported(repair: Repair, *levels: tuple[float, ...]) -> Reported:
    """What a report says of a repair's levels.

    Args:
        repair: The repair.
        levels: Of all its axes; or several times, such as for both ends of a map.

    Returns:
        The level of the task, or as many; of a model that repairs several kinds of damage, by their units.
    """
    along = [each[0] if len(each) == 1 else each for each in zip(*levels, strict=True)]
    if sum(kind is not None for kind in repair.kinds) < 2:
        first: float | tuple[float, ...] = along[0]
        return first
    return {axis.unit: level for axis, level in zip(repair.scales, along, strict=True)}


def in_words(levels: Mapping[str, Reported]) -> str:
    """The levels of each task, on a line of a log.

    Example:
        >>> in_words({"photo": {"noise": 12, "quality": 80}, "upscale": 2.0})
        'photo at noise 12, quality 80, upscale at 2'
    """
    return ", ".join(
        f"{task} at {', '.join(f'{unit} {level_text(one)}' for unit, one in level.items())}"
        if isinstance(level, dict)
        else f"{task} at {level_text(level)}"
        for task, level in levels.items()
    )


def _estimated(model: Model, repair: Repair, findings: Findings | None) -> Step | None:
    """A step at levels that follow from what was found; none if there is nothing to repair."""
    if findings is None:
        raise UsageError(f"the level of {repair.task} is to be estimated; look what was found in the picture")
    levels = repair.automatic_levels(findings.levels_for(repair.task))
    return None if levels is None else Step(model, levels, repair.grain)


def _said_of(repair: Repair, levels: Sequence[float], findings: Findings) -> list[str]:
    """What is said of the levels of a step: how they were found, or that they are given."""
    notes = []
    for ((level,), kind, was_estimated), axes in alike(repair, tuple(levels)).items():
        how = ", as given"
        if was_estimated:
            found = findings.levels_for(repair.task).get(kind)
            how = f"{_how(repair, axes[0], kind, found, level)}: {findings.sentence(kind, repair.task)}"
        notes.append(f"{repair.task} at {' and '.join(axis.unit for axis in axes)} {level:g}{how}")
    return notes


def alike(
    repair: Repair, *levels: tuple[float, ...]
) -> dict[tuple[tuple[float, ...], Task, bool], list[LevelScale]]:
    """The axes of a repair that one note may tell of together.

    Args:
        repair: The repair.
        levels: Of all its axes; or several times, such as the lowest and the highest of a film.

    Returns:
        By their levels, the kind of damage, and whether it is estimated. Of several axes those at their
        origin are left out, since they repair nothing.
    """
    found: dict[tuple[tuple[float, ...], Task, bool], list[LevelScale]] = {}
    along = zip(*levels, strict=True)
    for axis, own, kind, estimated in zip(repair.scales, along, repair.kinds, repair.estimated, strict=True):
        repairs = len(repair.scales) == 1 or set(own) != {axis.origin}
        if kind is not None and repairs:
            found.setdefault((own, kind, estimated is not None), []).append(axis)
    return found


def _how(repair: Repair, axis: LevelScale, kind: Task, found: float | None, level: float) -> str:
    """How the applied level follows from the estimated one; nothing where it is the same."""
    least = [] if repair.at_least is None or kind != Task.DENOISE else [f"at least {repair.at_least:g}"]
    if found is None:
        return f" ({', '.join(least)})"
    wanted = repair.multiplied(kind, found)
    trained = axis.nearest_trained(wanted)
    limit = ", the nearest that the model was trained for" if level == trained != wanted else ""
    times = [] if repair.strength == 1 else [f"times {repair.strength:g}"]
    changes = times + (least if level != trained else [])
    return limit + (f" ({', '.join([f'found {found:g}', *changes])})" if changes else "")


def _nothing(repairs: Sequence[Repair], findings: Findings) -> str:
    """Why nothing was repaired, and what to do if something should be."""
    kinds = dict.fromkeys(kind for repair in repairs for kind in repair.estimated if kind is not None)
    found = "; ".join(findings.sentence(kind) for kind in kinds)
    given = " or ".join(GIVEN[kind] for kind in kinds) if len(kinds) > 1 else "a level"
    return f"nothing was repaired: {found}; {given} repairs it anyway"


def _large_enough(width: int, height: int, size: Size) -> str:
    """Why a picture is not enlarged, a plain clause."""
    words = ("width", "height", "long side")
    asked = ", ".join(f"{word} of {side}" for word, side in zip(words, size, strict=True) if side is not None)
    return f"not enlarged: at {width} x {height} pixels it already has the requested {asked}, or more"
