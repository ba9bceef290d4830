"""Dynamic-Net: blocks added to a trained network, each of which can be turned up.

Source: A. Shoshan, R. Mechrez, L. Zelnik-Manor, "Dynamic-Net: tuning the objective without re-training for
synthesis tasks", ICCV 2019, arXiv 1811.08760, section 3: the main network is trained for one objective; then
it is fixed, and tuning blocks t are trained for the other one, z -> z + t(z) for features z. In between it is
z + s t(z).

Here a tuning block, convolution, ReLU, convolution, follows each residual block, the objectives are the two
levels, and s is the share of the way for all blocks alike. A tuning block begins at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from adaptive.interface import Setting, Stage
from adaptive.plain import FollowsLevel, scaled, with_parts
from torch import Tensor, nn

from hyperrestore.network.architectures import ResidualBlock


class DynamicNet(FollowsLevel):
    """The main network with tuning blocks.

    Args:
        setting: What all methods have in common.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.tuning = nn.Sequential(*(ResidualBlock(setting.width) for _ in range(setting.blocks)))
        for block in self.tuning:
            nn.init.zeros_(block.second.weight)
            nn.init.zeros_(block.second.bias)
        self.stages: Sequence[Stage] = (
            Stage("main", levels=(setting.start,)),
            Stage("tuning", levels=(setting.end,)),
        )

    def network(self) -> nn.Module:
        """The main network with a tuning block behind each of its blocks."""
        pairs = zip(self.main.body, self.tuning, strict=True)
        return with_parts(self.main, body=nn.Sequential(*chain.from_iterable(pairs)))

    def weights(self, level: Tensor | float) -> dict[str, Tensor]:
        """The last convolution of every tuning block at one level."""
        share, weights = self.setting.share(level), {}
        for index, block in enumerate(self.tuning):
            weights |= scaled(f"body.{2 * index + 1}.second", block.second, share)
        return weights
