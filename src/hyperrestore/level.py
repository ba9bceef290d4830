"""What a level means: its unit, its range, and the pure numbers phi(level) that the generated kernels take.

This is the only place where units change. Everywhere else a level is in its user's unit: the standard
deviation of the noise on the 8-bit scale, JPEG quality 1..100, or the factor of enlargement.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from hyperrestore.errors import ExtrapolationWarning, LevelError

Spacing = Literal["linear", "log"]
Levels = TypeVar("Levels", bound=Any)  # float, NumPy array or torch tensor: anything with arithmetic


class Task(StrEnum):
    """What is being repaired; its value is the name on the command line."""

    DENOISE = "denoise"
    DEJPEG = "dejpeg"
    UPSCALE = "upscale"
    PHOTO = "photo"  # noise of brightness, noise of colours and JPEG compression, each with its own level


SHIPPED = (Task.PHOTO, Task.DENOISE, Task.DEJPEG, Task.UPSCALE)  # whose models are a part of the package

# The kind of damage that each axis of a model for photos repairs, by the task that is for it alone.
_OF_PHOTO = (Task.DENOISE, Task.DENOISE, Task.DEJPEG)


def kinds_of(task: Task, axes: int) -> tuple[Task | None, ...]:
    """For each axis of a model, the kind of damage that can be found in a picture and decides on its level.

    Args:
        task: Of the model.
        axes: How many it has.

    Returns:
        Denoising or the repair of JPEG; None for an axis whose level is never estimated.
    """
    if task == Task.PHOTO:
        return _OF_PHOTO
    own = None if task == Task.UPSCALE else task
    return (own, *[None] * (axes - 1))


def as_number(level: object) -> float:
    """What was given as a level, as a float; not a number (NaN) if it is none."""
    try:
        return math.nan if isinstance(level, str | bytes | bool) else float(level)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def times_as_strong(task: Task, level: float, factor: float) -> float:
    """The level of damage that is some times as strong.

    Args:
        task: Denoising, whose sigma is multiplied; or the repair of JPEG, of which libjpeg's quantisation
            steps are, as far as these are in proportion to each other.
        level: In the unit of the task.
        factor: Above 0.

    Returns:
        The level, not rounded. A quality may lie below 1.

    Example:
        >>> times_as_strong(Task.DENOISE, 8, 1.5), times_as_strong(Task.DEJPEG, 75, 2)
        (12.0, 50.0)
    """
    if task != Task.DEJPEG:
        return float(level * factor)
    # As `containers.jpeg.quantisation_tables` has it, and back again.
    percent = factor * (5000 / level if level < 50 else 200 - 2 * level)
    return 5000 / percent if percent > 100 else (200 - percent) / 2


@dataclass(frozen=True)
class LevelScale:
    """The levels a model accepts, and how they become the numbers that its kernels take.

    With t = (level - origin) / (reference - origin), the kernels take phi = (t ** p for p in powers); on a
    logarithmic scale the logarithms of level, origin and reference stand for them. A linear scale with one
    power of 1 makes every kernel affine in the level, as in HyperRes (arXiv 2206.05970).

    Attributes:
        unit: Name of the unit, for messages: "sigma", "quality", "scale".
        low: Smallest level that is accepted.
        high: Largest level that is accepted.
        trained: Smallest and largest level seen in training; outside it the model extrapolates.
        origin: The level without degradation, where phi = 0.
        reference: The level where phi = 1. Strength grows from origin to reference.
        powers: One exponent for each basis function.
        spacing: "linear", or "log" where equal ratios of the level are equal steps.

    Example:
        >>> scale = LevelScale("sigma", low=0, high=100, trained=(0, 75), origin=0, reference=50)
        >>> scale.normalize(25.0)
        (0.5,)
    """

    unit: str
    low: float
    high: float
    trained: tuple[float, float]
    origin: float
    reference: float
    powers: tuple[float, ...] = (1.0,)
    spacing: Spacing = "linear"

    def __post_init__(self) -> None:
        """Refuse a scale that contradicts itself."""
        numbers = (self.low, *self.trained, self.high, self.origin, self.reference, *self.powers)
        if not all(math.isfinite(number) for number in numbers):
            raise LevelError(f"a level scale needs finite numbers, got {numbers}")
        if len(self.trained) != 2 or not self.low <= self.trained[0] <= self.trained[1] <= self.high:
            raise LevelError(
                "a level scale needs low <= trained[0] <= trained[1] <= high, "
                f"got {self.low}, {self.trained}, {self.high}"
            )
        if self.spacing not in get_args(Spacing):
            raise LevelError(f"spacing {self.spacing!r} is unknown; known are {', '.join(get_args(Spacing))}")
        if self.spacing == "log" and min(self.low, self.origin, self.reference) <= 0:
            raise LevelError("a logarithmic level scale needs low, origin and reference above 0")
        if self.origin == self.reference:
            raise LevelError(f"a level scale needs origin != reference, got {self.origin} for both")
        if not self.powers or min(self.powers) <= 0:
            raise LevelError(f"a level scale needs powers above 0, got {self.powers}")
        weakest = min(self.strength(self.low), self.strength(self.high))
        if weakest < 0 and any(power % 1 for power in self.powers):
            raise LevelError(f"powers {self.powers} of a negative strength: the origin must be low or high")

    def strength(self, level: Levels) -> Levels:
        """How strong a degradation is: 0 at the origin, 1 at the reference, in any unit."""
        if self.spacing == "log":
            ratio = level / self.origin
            # NumPy is a log for numbers and arrays; a tensor, on whatever device, has its own.
            logarithm = ratio.log() if hasattr(ratio, "log") else np.log(ratio)
            strength: Levels = logarithm / math.log(self.reference / self.origin)
            return strength
        strength = (level - self.origin) / (self.reference - self.origin)
        return strength

    def normalize(self, level: Levels) -> tuple[Levels, ...]:
        """Turn a level into phi, one pure number for each basis function.

        Args:
            level: A float, an array or a tensor of levels, in the scale's unit.

        Returns:
            One value of the same kind and shape for each entry of `powers`.
        """
        strength = self.strength(level)
        return tuple(strength if power == 1 else strength**power for power in self.powers)

    def nearest_trained(self, level: float) -> float:
        """The level itself where the model was trained at it, else the nearest such level."""
        least, most = self.trained
        return float(min(max(level, least), most))

    @property
    def range(self) -> str:
        """Which levels are accepted, as in "a number from 0 to 100, outside of 0 to 75 with a warning"."""
        least, most = self.trained
        beyond = f", outside of {least:g} to {most:g} with a warning"
        accepted = f"a number from {self.low:g} to {self.high:g}"
        return accepted if (least, most) == (self.low, self.high) else accepted + beyond

    def check(self, level: float) -> float:
        """Return the level as a float if the model accepts it.

        Raises:
            LevelError: It is not a number between `low` and `high`.

        Warns:
            ExtrapolationWarning: It lies outside `trained`.
        """
        number = as_number(level)
        if not self.low <= number <= self.high:
            raise LevelError(f"{self.unit} {level!r} is not accepted: this model takes {self.range}")
        least, most = self.trained
        if not least <= number <= most:
            warnings.warn(
                f"{self.unit} {number:g} lies outside the trained range {least:g} to {most:g}: "
                "the model extrapolates",
                ExtrapolationWarning,
                stacklevel=2,
            )
        return number
