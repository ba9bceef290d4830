"""AdaFM: a filter for each channel after each convolution.

Source: J. He, C. Dong, Y. Qiao, "Modulating image restoration with continual levels via adaptive feature
modification layers", CVPR 2019, arXiv 1904.08118, section 3: a layer is x -> g * x + b with a
filter g and a bias b for each channel. The main network is trained at the start level; then g and b alone
at the end level, from the identity I. A share s of the way has the filter I + s (g - I) and the bias s b.

Here a layer follows each convolution at half resolution: two in each residual block, one behind the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from adaptive.interface import Setting, Stage
from adaptive.plain import FollowsLevel, with_parts
from torch import Tensor, nn


class AdaFM(FollowsLevel):
    """The main network with AdaFM layers.

    Args:
        setting: What all methods have in common.
        side: Of a filter, an odd number of pixels; from 1 to 7 in the paper.
    """

    def __init__(self, setting: Setting, *, side: int = 5) -> None:
        super().__init__(setting)
        identity = torch.zeros(side, side)
        identity[side // 2, side // 2] = 1
        self.register_buffer("identity", identity, persistent=False)
        self.filters = nn.ParameterDict()  # of the end level
        self._layers = tuple(
            [f"body.{block}.{name}.1" for block in range(setting.blocks) for name in ("first", "second")]
            + ["after.1"]
        )
        for index in range(len(self._layers)):
            self.filters[f"weight{index}"] = identity.repeat(setting.width, 1, 1)
            self.filters[f"bias{index}"] = torch.zeros(setting.width)
        self.stages: Sequence[Stage] = (
            Stage("main", levels=(setting.start,)),
            Stage("filters", levels=(setting.end,)),
        )

    def network(self) -> nn.Module:
        """The main network with room for the filters."""
        width, side = self.setting.width, len(self.identity)

        def followed(convolution: nn.Module) -> nn.Sequential:
            layer = nn.Conv2d(width, width, side, padding=side // 2, groups=width, device="meta")
            return nn.Sequential(convolution, layer)

        blocks = [
            with_parts(block, first=followed(block.first), second=followed(block.second))
            for block in self.main.body
        ]
        return with_parts(self.main, body=nn.Sequential(*blocks), after=followed(self.main.after))

    def weights(self, level: Tensor | float) -> dict[str, Tensor]:
        """Filters and biases at one level."""
        share = self.setting.share(level)
        weights = {}
        for index, layer in enumerate(self._layers):
            change = self.filters[f"weight{index}"] - self.identity
            weights[f"{layer}.weight"] = (self.identity + share * change)[:, None]
            weights[f"{layer}.bias"] = share * self.filters[f"bias{index}"]
        return weights
