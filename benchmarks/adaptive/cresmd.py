"""CResMD: every residual is multiplied by coefficients that follow from the level.

Source: J. He, C. Dong, Y. Qiao, "Interactive multi-dimension modulation with dynamic controllable residual
learning for image restoration", ECCV 2020, arXiv 1912.05293, section 3: a controllable residual connection is
x + a f(x), with one coefficient a for each channel, locally in each residual block and globally around all
of them. A condition network, here one fully connected layer for each connection, gives a from the level.
Everything is trained at once, at random levels. The paper draws levels from a beta distribution.

Here the level is the scale's phi, 0 where there is no damage, and the layers have no bias, so that all
residuals vanish there. They begin with a weight of 1. The main network adds nothing to the picture itself, so
the global connection is that around the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from adaptive.interface import Setting, Stage
from adaptive.plain import FollowsLevel, scaled
from torch import Tensor, nn


class CResMD(FollowsLevel):
    """The main network with controllable residuals.

    Args:
        setting: What all methods have in common.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.condition = nn.Parameter(torch.ones(setting.blocks + 1, setting.width))
        self.stages: Sequence[Stage] = (Stage("", span=setting.ends, steps=2),)

    def weights(self, level: Tensor | float) -> dict[str, Tensor]:
        """The last convolution of every residual at one level."""
        (phi,) = self.setting.scale.normalize(level)
        weights: dict[str, Tensor] = {}
        for index, block in enumerate(self.main.body):
            weights |= scaled(f"body.{index}.second", block.second, phi * self.condition[index])
        return weights | scaled("after", self.main.after, phi * self.condition[-1])
