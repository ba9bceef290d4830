"""A network for one level alone: what every method is measured by."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from adaptive.interface import Setting, Stage
from torch import Tensor, nn


class Dedicated(nn.Module):
    """The main network, trained at one level; in two stages, as a method that begins with it is.

    Args:
        setting: What all methods have in common.
        level: The level.
    """

    def __init__(self, setting: Setting, *, level: float) -> None:
        super().__init__()
        self.main = setting.main()
        self.stages: Sequence[Stage] = (
            Stage("main", levels=(level,)),
            Stage("main", levels=(level,), again=True),
        )

    def begin(self, stage: int) -> None:
        """Do nothing."""

    def forward(self, image: Tensor, level: Tensor | float) -> Tensor:
        """Restore (b, 3, h, w), at whatever level."""
        restored: Tensor = self.main(image)
        return restored

    def at(self, level: float) -> nn.Module:
        """The network, whatever the level."""
        return copy.deepcopy(self.main)
