"""Levels as they are given: one, several by their units, or for each pixel by a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hyperrestore.arrays import Pixels
from hyperrestore.errors import UsageError
from hyperrestore.level import LevelScale

Level = float | Mapping[str, float]  # one, or several by their units


class Mask(NamedTuple):
    """A picture of any size whose brightness sets the level of each pixel (see `level_map`).

    Attributes:
        path: Its file.
        black: Level where it is black; or several, by their units.
        white: Level where it is white; or the same ones.
    """

    path: Path
    black: Level
    white: Level


def check_levels(scales: Sequence[LevelScale], level: Level) -> tuple[float, ...]:
    """A level for each axis of a model.

    Args:
        scales: Of the model: its level, and those of further axes.
        level: In the unit of the first, or several by their units; the first must be given. Those of the
            others that are not given are at their origin.

    Raises:
        LevelError: The model does not accept a level.
        UsageError: It has no such level, or that of the task is missing.

    Warns:
        ExtrapolationWarning: A level lies outside the trained ones.
    """
    given = with_main(scales, level)
    return tuple(axis.check(given.get(axis.unit, axis.origin)) for axis in scales)


def with_main(scales: Sequence[LevelScale], level: Level) -> dict[str, float]:
    """Levels by their units, including the task's."""
    given = by_unit(scales, level) if isinstance(level, Mapping) else {scales[0].unit: level}
    if scales[0].unit not in given:
        raise UsageError(f"the level {scales[0].unit!r} is missing; give it by name")
    return given


def by_unit(scales: Sequence[LevelScale], level: Level | None) -> dict[str, float]:
    """Levels by their units; refuses those that the model does not have."""
    if level is None:
        return {}
    given = dict(level) if isinstance(level, Mapping) else {scales[0].unit: level}
    for unit in given:
        if unit not in (scale.unit for scale in scales):
            raise UsageError(no_such_level(scales, unit))
    return given


def no_such_level(scales: Sequence[LevelScale], unit: str) -> str:
    """The message about a level that a model does not have."""
    return f"this model has no level {unit!r}; it takes {', '.join(scale.unit for scale in scales)}"


def check_map(scales: Sequence[LevelScale], level_map: Mask | Pixels, given: Mapping[str, float]) -> None:
    """Check the lowest and the highest levels of a map, and that they are not given as well."""
    if not isinstance(level_map, Mask):
        kind = level_map.dtype.kind
        several = level_map.ndim == 3 and len(level_map) == len(scales) > 1
        if not (level_map.ndim == 2 or several) or kind not in "iuf" or not level_map.size:
            each = f", or ({len(scales)}, h, w)" if len(scales) > 1 else ""
            raise UsageError(
                f"levels of shape {level_map.shape} and type {level_map.dtype} do not fit: a picture takes "
                f"numbers (h, w){each}"
            )
    black, white = map_ends(scales, level_map)
    if black.keys() != white.keys():
        raise UsageError(
            f"a mask needs the same levels where it is black and where it is white; got "
            f"{', '.join(black) or 'none'} and {', '.join(white) or 'none'}"
        )
    if not black:
        units = ", ".join(axis.unit for axis in scales)
        raise UsageError(f"a mask needs levels where it is black and where it is white; give them in {units}")
    for axis in scales:
        if axis.unit not in black:
            continue
        if axis.unit in given:
            raise UsageError(f"a {axis.unit} of {given[axis.unit]!r} and a map are two levels; give one")
        for level in dict.fromkeys((black[axis.unit], white[axis.unit])):
            axis.check(level)


def map_ends(
    scales: Sequence[LevelScale], level_map: Mask | Pixels
) -> tuple[dict[str, float], dict[str, float]]:
    """By its unit, each level that a map sets, at both ends of the map."""
    if isinstance(level_map, Mask):
        return by_unit(scales, level_map.black), by_unit(scales, level_map.white)
    maps = zip(scales, level_map if level_map.ndim == 3 else level_map[None], strict=False)
    ends = [(axis.unit, float(own.min()), float(own.max())) for axis, own in maps]
    return {unit: low for unit, low, _ in ends}, {unit: high for unit, _, high in ends}
