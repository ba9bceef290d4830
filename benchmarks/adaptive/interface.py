"""What every compared method is: a module with stages of training, and a plain network for each level.

A method is a `torch.nn.Module` that is called with an image and a level, as a `Hypernetwork` is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from hyperrestore.level import LevelScale, Task
from hyperrestore.network.architectures import PaperNetwork


@dataclass(frozen=True)
class Setting:
    """What all methods of a comparison have in common.

    Attributes:
        task: What is repaired.
        scale: What a level means.
        start: The level at which methods of two levels are trained first.
        end: The level at which they are trained then. Random levels lie between the two.
        wide: Smallest and largest level of the method that is trained in a wider range.
        fixed: The levels of the hypernetwork with k levels, by k.
        width: Channels of the main network.
        blocks: Residual blocks of the main network.
    """

    task: Task
    scale: LevelScale
    start: float
    end: float
    wide: tuple[float, float]
    fixed: dict[int, tuple[float, ...]]
    width: int
    blocks: int

    @property
    def ends(self) -> tuple[float, float]:
        """Start and end, the smaller one first: the range of random levels."""
        return min(self.start, self.end), max(self.start, self.end)

    def main(self) -> PaperNetwork:
        """The main network with fresh weights."""
        return PaperNetwork(self.width, self.blocks)

    def share(self, level: float | Tensor) -> float | Tensor:
        """Where a level lies between the start, 0, and the end, 1; outside of them below 0 or above 1."""
        start, end = (self.scale.normalize(one)[0] for one in (self.start, self.end))
        share: float | Tensor = (self.scale.normalize(level)[0] - start) / (end - start)
        return share


@dataclass(frozen=True)
class Stage:
    """One training of a method.

    Attributes:
        part: Attribute of the method that is trained while all else is fixed; "" for the whole method. A part
            "main" is the main network alone, from fresh weights: a stage that all methods share.
        levels: Fixed levels of every step; empty if levels are drawn at random.
        span: Smallest and largest random level.
        steps: Length, in units of `--steps`; those of a method add up to 2.
        again: It goes on with a part that an earlier stage trained, and so is not shared.
    """

    part: str
    levels: tuple[float, ...] = ()
    span: tuple[float, float] = (0.0, 0.0)
    steps: int = 1
    again: bool = False

    @property
    def shared(self) -> bool:
        """Whether it is the same for all methods that have it."""
        return self.part == "main" and not self.again


class Method(Protocol):
    """A compared method.

    Attributes:
        stages: Its trainings, in order.
    """

    stages: Sequence[Stage]

    def begin(self, stage: int) -> None:
        """Prepare a stage, after the stages before it."""

    def __call__(self, image: Tensor, level: Tensor | float) -> Tensor:
        """Restore (b, 3, h, w) at one level, for training."""

    def at(self, level: float) -> nn.Module:
        """The network for one level: called with (b, 3, h, w) alone, made of plain layers.

        Its parameters are what is generated or loaded for that level, and its `Conv2d` layers are what is
        computed for each picture. It shares no memory with the method.
        """
