"""A repair, checked once: a level or a map of levels, grain and size, for a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from hyperrestore.arrays import Pixels
from hyperrestore.errors import UsageError
from hyperrestore.level import LevelScale, Task, as_number, kinds_of, times_as_strong
from hyperrestore.restore.levels import Level, Mask, by_unit, check_map, map_ends, with_main
from hyperrestore.run.enlarge import enlarged_size, is_as_large

STRENGTHS = (0.1, 10.0)  # the least and the most that an estimated level is multiplied by


class Size(NamedTuple):
    """Requested size of a result, pixels, instead of a scale; one of the three."""

    to_width: int | None = None
    to_height: int | None = None
    long_side: int | None = None


ANY_SIZE = Size()


class TaskAndScales(Protocol):
    """The part of a model that a repair has to fit."""

    @property
    def task(self) -> Task:
        """What it repairs."""

    @property
    def scales(self) -> tuple[LevelScale, ...]:
        """Its levels: the task's, and those of further axes."""


@dataclass(frozen=True, eq=False)
class Repair:
    """What a model does to a picture, or to many of them.

    Attributes:
        task: Of the model.
        scales: Of the model: its level, and those of further axes.
        level: One, or several by their units, such as `{"scale": 2, "softness": 1.5}`. Those of a kind of
            damage that are not given come from a map or a size, or are estimated from each picture (see
            `level.kinds_of`); other ones are at their origin.
        level_map: A level for each pixel: a mask, or an array (h, w), or (axes, h, w) with a map for each
            axis. Levels that neither it nor `level` gives are at their origin. Not for upscaling.
        grain: Share of the luminance noise that is put back, 0 to 1; only where noise is taken out.
        size: How large the result is to be, instead of a scale; only for upscaling.
        strength: How many times as strong as it was estimated the damage is taken to be, 0.1 to 10 (see
            `level.times_as_strong`); only for estimated levels.
        at_least: The least sigma, also where no noise is found; only where the noise is estimated.
        estimated: For each axis, the kind of damage whose estimate decides on its level; None where none
            does.

    Raises:
        LevelError: The model does not accept a level.
        UsageError: The model has no such level, or it has no use for a map, for grain, for a size, for a
            strength or for a least sigma; more than one of level, map and size is given, or none of scale
            and size for upscaling.

    Warns:
        ExtrapolationWarning: A level lies outside the trained ones. Only this and `levels_for` warn.
    """

    task: Task
    scales: tuple[LevelScale, ...]
    level: Level | None = None
    level_map: Mask | Pixels | None = None
    grain: float = 0.0
    size: Size = ANY_SIZE
    strength: float = 1.0
    at_least: float | None = None
    estimated: tuple[Task | None, ...] = field(init=False, repr=False)
    _given: tuple[float | None, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what the model can do to no picture."""
        self._check_extras()
        given = by_unit(self.scales, self.level)
        main = self.scales[0].unit
        kinds = self.kinds
        if self.level_map is not None:
            check_map(self.scales, self.level_map, given)
            kinds = (None,) * len(kinds)
        if self.task == Task.UPSCALE:
            _check_extent(main in given, self.size)
        # The first level may follow from a map or a size; the others are at their origin where nothing else
        # decides.
        levels = [
            axis.check(given[axis.unit]) if axis.unit in given
            else None if kind is not None or axis.unit == main
            else axis.origin
            for axis, kind in zip(self.scales, kinds, strict=True)
        ]  # fmt: skip
        object.__setattr__(self, "_given", tuple(levels))
        estimated = (kind if level is None else None for kind, level in zip(kinds, levels, strict=True))
        object.__setattr__(self, "estimated", tuple(estimated))
        self._check_automatic()

    def _check_extras(self) -> None:
        if not 0 <= as_number(self.grain) <= 1:
            raise UsageError(f"grain {self.grain!r} is not accepted: give a number from 0 to 1")
        if self.grain and not takes_noise_out(self.task):
            raise UsageError(f"grain puts noise back, and {self.task} removes none; leave it out, or denoise")
        if self.task == Task.UPSCALE:
            if self.level_map is not None:
                raise UsageError("a map of levels is not for upscaling: its level is the size of the result")
        elif any(side is not None for side in self.size):
            raise UsageError(f"{self.task} keeps the size of a picture; use task upscale to change it")

    def _check_automatic(self) -> None:
        """Refuse what changes an estimated level where none is estimated, or not so."""
        least, most = STRENGTHS
        if not least <= as_number(self.strength) <= most:
            raise UsageError(
                f"strength {self.strength!r} is not accepted: give a number from {least:g} to {most:g}"
            )
        noise = self.scales[0]
        if self.strength != 1 and not self.is_automatic:
            raise UsageError(
                f"a strength multiplies the {noise.unit} that is estimated from a picture, and none is "
                "estimated here; leave out one of the two"
            )
        if self.at_least is None:
            return
        if not takes_noise_out(self.task):
            raise UsageError(f"a least sigma is for noise, not for {self.task}; leave it out, or denoise")
        if self.estimated[0] is None:
            raise UsageError(
                f"a least {noise.unit} is for one that is estimated from a picture, and none is estimated "
                "here; leave out one of the two"
            )
        object.__setattr__(self, "at_least", noise.check(self.at_least))

    @property
    def kinds(self) -> tuple[Task | None, ...]:
        """For each axis, the kind of damage that it repairs; see `level.kinds_of`."""
        return kinds_of(self.task, len(self.scales))

    @property
    def is_automatic(self) -> bool:
        """Whether levels are to be estimated from the picture."""
        return any(self.estimated)

    @property
    def ends(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Of each axis, the levels where a mask is black and where it is white; or the lowest and highest.

        Raises:
            UsageError: There is no map.
        """
        if self.level_map is None:
            raise UsageError("this repair has no map of levels")
        ends = map_ends(self.scales, self.level_map)
        levels = zip(self.scales, self._given, strict=True)
        given = [(axis.unit, axis.origin if level is None else level) for axis, level in levels]
        black, white = (tuple(end.get(unit, level) for unit, level in given) for end in ends)
        return black, white

    def multiplied(self, kind: Task, found: float) -> float:
        """An estimated level of a kind of damage times `strength`, to a tenth."""
        return found if self.strength == 1 else round(times_as_strong(kind, found, self.strength), 1)

    def automatic_levels(self, found: Mapping[Task, float]) -> tuple[float, ...] | None:
        """The level of each axis to repair at, by what was estimated.

        Args:
            found: A level for each kind of damage that needs a repair.

        Returns:
            Those that are given; and those that are estimated times `strength`, or the nearest that the model
            was trained for, or `at_least` if that is more, or the origin where nothing was found. None if
            there is nothing to repair.
        """
        levels = tuple(
            (axis.origin if level is None else level) if kind is None else self._automatic(axis, kind, found)
            for axis, level, kind in zip(self.scales, self._given, self.estimated, strict=True)
        )
        repairs = any(
            kind is not None and level != axis.origin
            for axis, level, kind in zip(self.scales, levels, self.kinds, strict=True)
        )
        return levels if repairs else None

    def _automatic(self, axis: LevelScale, kind: Task, found: Mapping[Task, float]) -> float:
        """The level of an axis to repair at, by what was estimated; its origin where nothing was found."""
        least = self.at_least if kind == Task.DENOISE else None
        if kind not in found:
            return axis.origin if least is None else least
        level = axis.nearest_trained(self.multiplied(kind, found[kind]))
        return level if least is None else max(level, least)

    def levels_for(self, width: int, height: int) -> tuple[float, ...] | None:
        """The level of each axis for a picture of that size, pixels; None if there is a map.

        Raises:
            LevelError: The model does not accept the scale that leads to the requested size.
            UsageError: A level is to be estimated; see `automatic_levels`.

        Warns:
            ExtrapolationWarning: That scale lies outside the trained ones.
        """
        if self.level_map is not None:
            return None
        main, *further = self._given
        if main is None and self.task == Task.UPSCALE:
            *_, scale = enlarged_size(width, height, **self.size._asdict())
            main = self.scales[0].check(scale)
        levels = [level for level in (main, *further) if level is not None]
        if len(levels) < len(self.scales):
            raise UsageError(f"a level of {self.task} is to be estimated, and none was")
        return tuple(levels)

    def result_size(self, width: int, height: int, *, keep_larger: bool = False) -> tuple[int, int]:
        """Width and height of the result for a picture of that size; only upscaling changes them.

        Args:
            width: Of the picture, pixels.
            height: Of the picture, pixels.
            keep_larger: Whether a picture that has the requested size, or more, is left as it is.

        Raises:
            LevelError: The result would be smaller than the picture, or too large.
        """
        if self.task != Task.UPSCALE or (keep_larger and self.is_reached(width, height)):
            return width, height
        return enlarged_size(width, height, scale=self._given[0], **self.size._asdict())[:2]

    def is_reached(self, width: int, height: int) -> bool:
        """Tell whether a picture already has the requested size, or more."""
        return is_as_large(width, height, **self.size._asdict())


def repairs_of(
    models: Sequence[TaskAndScales],
    level: Level | tuple[Level, Level] | None,
    *,
    level_map: str | Path | None = None,
    softness: float | None = None,
    grain: float = 0.0,
    size: Size = ANY_SIZE,
    strength: float = 1.0,
    at_least: float | None = None,
) -> list[Repair]:
    """A repair for each of several models that repair a picture one after the other.

    Args:
        models: One, or several, of which the last may upscale.
        level: By the unit, as `{"sigma": 12, "quality": 40}`; of one model also a number in its unit, or with
            a map a pair of either, where this is black and where it is white. What is not given is estimated.
        level_map: A mask.
        softness: How soft the picture is, for a model that has that level; None for 1.
        grain: As of `Repair`, for those of the models that take noise out.
        size: As of `Repair`, for a model that upscales.
        strength: As of `Repair`, for those of the models whose level is estimated.
        at_least: As of `Repair`, for those of the models that take noise out.

    Raises:
        LevelError: As `Repair`.
        UsageError: As `Repair`; no models, or one before the last upscales; several are given with a level
            without a unit, or with one that none of them has, or with a map; a map without two levels, or the
            reverse; or two values of softness.
    """
    if not models:
        raise UsageError("no model was given; give one, or several that repair a picture in turn")
    if any(model.task == Task.UPSCALE for model in models[:-1]):
        raise UsageError("of several models only the last may upscale, what the others have repaired")
    if (level_map is not None) != isinstance(level, tuple):
        raise UsageError(
            f"level {level} and map {level_map} do not fit: two levels, for black and for white, need a map, "
            "and a map needs them"
        )
    if isinstance(level, tuple) and (len(level) != 2 or len(models) != 1):
        raise UsageError(
            f"a map takes two levels, for black and for white, and is for one model; got levels {level} and "
            f"{len(models)} models"
        )
    mask = None if level_map is None or not isinstance(level, tuple) else Mask(Path(level_map), *level)
    given = _given(models, None if isinstance(level, tuple) else level, softness)
    estimated = [
        mask is None
        and any(
            kind is not None and scale.unit not in given
            for scale, kind in zip(model.scales, kinds_of(model.task, len(model.scales)), strict=True)
        )
        for model in models
    ]
    denoises = any(takes_noise_out(model.task) for model in models)
    upscales = models[-1].task == Task.UPSCALE
    return [
        Repair(
            model.task,
            model.scales,
            level={scale.unit: given[scale.unit] for scale in model.scales if scale.unit in given},
            level_map=mask,
            grain=grain if takes_noise_out(model.task) or not denoises else 0.0,
            size=size if model.task == Task.UPSCALE or not upscales else ANY_SIZE,
            # Refused by the repair where it is of no use to any of them.
            strength=strength if automatic or not any(estimated) else 1.0,
            at_least=at_least if takes_noise_out(model.task) or not denoises else None,
        )
        for model, automatic in zip(models, estimated, strict=True)
    ]


def _given(models: Sequence[TaskAndScales], level: Level | None, softness: float | None) -> dict[str, float]:
    """Levels by their units, each of which one of the models has."""
    scales = [scale for model in models for scale in model.scales]
    if len(models) != 1 and level is not None and not isinstance(level, Mapping):
        units = ", ".join(f"{model.scales[0].unit!r}: ..." for model in models)
        raise UsageError(
            f"level {level!r} may be of any of {len(models)} models; give it by its unit: {{{units}}}"
        )
    softnesses = {} if softness is None else {"softness": softness}
    if softnesses and isinstance(level, Mapping) and "softness" in level:
        raise UsageError(f"a softness of {level['softness']!r} and of {softness!r} is given; give one")
    return by_unit(scales, level) | by_unit(scales, softnesses)


def takes_noise_out(task: Task) -> bool:
    """Tell whether noise is what a task repairs, or a part of it."""
    return task in (Task.DENOISE, Task.PHOTO)


def repair_at(model: TaskAndScales, level: Level | Pixels, *, grain: float = 0.0) -> Repair:
    """A repair at a level that is given, not estimated; or by an array (h, w), a level for each pixel.

    Raises:
        LevelError: As `Repair`.
        UsageError: As `Repair`, or the level of the task is missing.
    """
    if isinstance(level, np.ndarray):
        if level.ndim:
            return Repair(model.task, model.scales, level_map=level, grain=grain)
        level = level.item()
    others = {axis.unit: axis.origin for axis in model.scales[1:]}
    return Repair(model.task, model.scales, others | with_main(model.scales, level), grain=grain)


def _check_extent(has_scale: bool, size: Size) -> None:
    """Refuse anything but exactly one of a scale, a width, a height and a long side."""
    given = has_scale + sum(side is not None for side in size)
    if given != 1:
        raise UsageError(f"give one of scale, width, height and long side; got {given} of them")
