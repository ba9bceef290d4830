"""What each model does to each frame of a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hyperrestore.film.levels import findings_along, findings_spread, followed, median_findings
from hyperrestore.film.source import Film
from hyperrestore.level import Task
from hyperrestore.restore.assembly import Model, Step
from hyperrestore.restore.repair import Repair
from hyperrestore.restore.steps import Reported, alike, reported, steps_of


@dataclass(frozen=True)
class Treatment:
    """What one model does to a film.

    Attributes:
        number: Of the model, counted from 0.
        levels: One for each of its axes, for all frames; None where they change.
        along: The same for each frame; empty where they do not change.
    """

    number: int
    levels: tuple[float, ...] | None
    along: tuple[tuple[float, ...], ...] = ()

    def reported(self, repair: Repair) -> Reported:
        """The level of the task, or the lowest and the highest; see `steps.reported`."""
        return reported(repair, *(self.ends if self.levels is None else [self.levels]))

    @property
    def ends(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Of each axis, the lowest and the highest level of all frames."""
        axes = list(zip(*self.along, strict=True))
        return tuple(map(min, axes)), tuple(map(max, axes))

    def step(self, models: Sequence[Model], repairs: Sequence[Repair], frame: int) -> Step:
        """What the model does to a frame."""
        repair = repairs[self.number]
        levels = self.along[frame] if self.levels is None else self.levels
        return Step(models[self.number], levels, repair.grain)


@dataclass(frozen=True)
class Plan:
    """What is done to a film.

    Attributes:
        treatments: In the order in which they are done; empty where nothing is to be repaired.
        notes: Plain sentences on what was found.
    """

    treatments: tuple[Treatment, ...]
    notes: tuple[str, ...]

    def to_json(self) -> Any:
        """As numbers, lists and texts."""
        return {
            "treatments": [[each.number, each.levels, each.along] for each in self.treatments],
            "notes": self.notes,
        }

    @classmethod
    def from_json(cls, content: Any) -> Plan:
        """From what `to_json` gave, and JSON kept."""
        treatments = (
            Treatment(number, None if levels is None else tuple(levels), tuple(map(tuple, along)))
            for number, levels, along in content["treatments"]
        )
        return cls(tuple(treatments), tuple(content["notes"]))


def make_plan(models: Sequence[Model], repairs: Sequence[Repair], film: Film, *, follow: bool) -> Plan:
    """Find out which levels a film needs, where they are not given.

    Args:
        models: Which repair the frames one after the other.
        repairs: What is asked of each.
        film: The film.
        follow: Whether estimated levels follow the film over time; otherwise all frames have the same.

    Raises:
        LevelError: A model does not accept the scale that leads to the requested size.
        PictureError: The film cannot be decoded.
    """
    automatic = any(repair.is_automatic for repair in repairs)
    if automatic and follow:
        return _followed(models, repairs, film)
    findings = median_findings(findings_spread(film)) if automatic else None
    steps, notes = steps_of(models, repairs, film.width, film.height, findings=findings)
    treatments = (
        Treatment(number, step.levels)
        for number, step in enumerate(steps)
        if step is not None and step.levels
    )
    return Plan(tuple(treatments), notes)


def _followed(models: Sequence[Model], repairs: Sequence[Repair], film: Film) -> Plan:
    found = findings_along(film)
    treatments, notes = [], []
    for number, (model, repair) in enumerate(zip(models, repairs, strict=True)):
        if not repair.is_automatic:
            treatments.append(Treatment(number, Step.of(model, repair, film.width, film.height).levels))
            continue
        along = followed(repair, found, len(film.times))
        if along is None:
            need = "restore" if repair.task == Task.PHOTO else repair.task
            notes.append(f"no need to {need} was found in {len(found)} frames")
            continue
        treatment = Treatment(number, None, tuple(map(tuple, along.tolist())))
        notes += _said_of(repair, treatment, len(found))
        treatments.append(treatment)
    return Plan(tuple(treatments), tuple(notes))


def _said_of(repair: Repair, treatment: Treatment, frames: int) -> list[str]:
    """What is said of the levels that follow a film: those that were found, and those that are given."""
    notes = []
    for ((low, high), _, was_estimated), axes in alike(repair, *treatment.ends).items():
        levels = f"{low:g}" if low == high else f"{low:.1f} to {high:.1f}"
        how = f"found in {frames} frames" if was_estimated else "as given"
        notes.append(f"{repair.task} at {' and '.join(axis.unit for axis in axes)} {levels}, {how}")
    return notes
