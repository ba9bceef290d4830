"""The end of a training, and its learning rate until then."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hyperrestore.errors import UsageError
from hyperrestore.learn.recipe import Training
from hyperrestore.learn.state import Run


@dataclass(frozen=True)
class Schedule:
    """A training's end.

    Attributes:
        minutes: Total training time, over all resumed runs; None for no limit.
        steps: Total steps; whichever of the two ends first.

    Raises:
        UsageError: Neither is given, or one is not above 0.
    """

    minutes: float | None
    steps: int | None

    def __post_init__(self) -> None:
        ends = {unit: end for unit, end in vars(self).items() if end is not None}
        if not ends or min(ends.values()) <= 0:
            got = " and ".join(f"{end:g} {unit}" for unit, end in ends.items()) or "neither"
            raise UsageError(f"training needs an end: give --minutes, --steps or both, above 0; got {got}")

    def progress(self, run: Run) -> float:
        """The share of the training that is done; 1 or more at its end."""
        return max(run.step / (self.steps or math.inf), run.seconds / (60 * (self.minutes or math.inf)))

    def learning_rate(self, training: Training, step: int, progress: float) -> float:
        """The rate of the step after `step`: linear warm-up, then a half cosine down to 0 at the end."""
        rate = training.learning_rate * min(1.0, (step + 1) / training.warmup)
        return rate * (1 + math.cos(math.pi * progress)) / 2

    def expected(self, run: Run, seconds: float) -> str:
        """A sentence on the expected length of the training, after a first step of so many seconds."""
        text = f"{run.given['precision']}, the first step took {seconds:.2f} s"
        text += f": about {60 / seconds:.3g} steps a minute"
        if self.minutes is not None:
            left = max(0.0, 60 * self.minutes - run.seconds) / seconds
            text += f", {left:,.0f} more in the {self.minutes:g} minutes"
        if self.steps is not None:
            text += f", {max(0, self.steps - run.step) * seconds / 60:,.1f} minutes to step {self.steps}"
        return f"{text}; later steps are often faster"
