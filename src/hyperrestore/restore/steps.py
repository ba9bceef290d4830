"""Repairs and what was found in a picture -> what each model is to do with it, and what is said of that."""

from __future__ import annotations

from collections.abc import Sequence

from hyperrestore.detect.findings import Findings
from hyperrestore.errors import UsageError
from hyperrestore.level import Task
from hyperrestore.restore.assembly import Model, Step
from hyperrestore.restore.repair import Repair, Size

# What a person gives where one command repairs several kinds of damage; with the option of `restore`.
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
    notes = []
    for model, repair in zip(models, repairs, strict=True):
        step: Step | None
        note: str | None
        if keep_larger and repair.is_reached(width, height):
            step, note = None, _large_enough(width, height, repair.size)
        elif repair.is_automatic:
            step, note = _estimated(model, repair, findings)
        else:
            step, note = Step.of(model, repair, width, height), None
            if findings is not None:
                note = _as_given(step, repair)
        steps.append(step)
        notes += [note] if note else []
    repaired = [step for step in steps if step is not None and step.model.task != Task.UPSCALE]
    if findings is not None and not repaired:
        notes.append(_nothing(repairs, findings))
    return steps, tuple(notes)


def _estimated(model: Model, repair: Repair, findings: Findings | None) -> tuple[Step | None, str | None]:
    """A step at a level that follows from what was found; none if there is nothing to repair."""
    if findings is None:
        raise UsageError(f"the level of {repair.task} is to be estimated; look what was found in the picture")
    found = findings.levels.get(repair.task)
    level = repair.automatic_level(found)
    if level is None:
        return None, None
    unit = repair.scales[0].unit
    note = f"{repair.task} at {unit} {level:g}{_how(repair, found, level)}: {findings.sentence(repair.task)}"
    return Step(model, repair.levels_at(level), repair.grain), note


def _how(repair: Repair, found: float | None, level: float) -> str:
    """How the applied level follows from the estimated one; nothing where it is the same."""
    least = [] if repair.at_least is None else [f"at least {repair.at_least:g}"]
    if found is None:
        return f" ({', '.join(least)})"
    wanted = repair.multiplied(found)
    trained = repair.scales[0].nearest_trained(wanted)
    limit = ", the nearest that the model was trained for" if level == trained != wanted else ""
    times = [] if repair.strength == 1 else [f"times {repair.strength:g}"]
    changes = times + (least if level != trained else [])
    return limit + (f" ({', '.join([f'found {found:g}', *changes])})" if changes else "")


def _as_given(step: Step, repair: Repair) -> str | None:
    """What is said of a given level beside estimated ones."""
    if repair.task == Task.UPSCALE or step.levels is None:
        return None
    return f"{repair.task} at {repair.scales[0].unit} {step.levels[0]:g}, as given"


def _nothing(repairs: Sequence[Repair], findings: Findings) -> str:
    """Why nothing was repaired, and what to do if something should be."""
    estimated = [repair for repair in repairs if repair.is_automatic]
    found = "; ".join(findings.sentence(repair.task) for repair in estimated)
    given = " or ".join(GIVEN[repair.task] for repair in estimated) if len(estimated) > 1 else "a level"
    return f"nothing was repaired: {found}; {given} repairs it anyway"


def _large_enough(width: int, height: int, size: Size) -> str:
    """Why a picture is not enlarged, a plain clause."""
    words = ("width", "height", "long side")
    asked = ", ".join(f"{word} of {side}" for word, side in zip(words, size, strict=True) if side is not None)
    return f"not enlarged: at {width} x {height} pixels it already has the requested {asked}, or more"
