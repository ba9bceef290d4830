"""HyperRes, the paper's hypernetwork, and ours: every kernel of a residual block is phi(level) . W + B.

Source: S. Aharon, G. Ben-Artzi, "Hypernetwork-based adaptive image restoration", ICASSP 2023, arXiv
2206.05970: k fixed levels, whose losses are summed in every step. Ours draws levels at random, continuously,
one from each of four equal parts of the range; and W may have a low rank.
"""

from __future__ import annotations

from collections.abc import Sequence

from adaptive.interface import Setting, Stage
from torch import Tensor, nn

from hyperrestore.network.architectures import NetworkConfig, build
from hyperrestore.network.hyper import materialize


class HyperRes(nn.Module):
    """The main network with adjustable residual blocks.

    Args:
        setting: What all methods have in common.
        levels: Fixed levels; none to draw them at random.
        span: Smallest and largest random level.
        rank: Of W; 0 for full rank, as in the paper.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        levels: Sequence[float] = (),
        span: tuple[float, float] = (0.0, 0.0),
        rank: int = 0,
    ) -> None:
        super().__init__()
        config = NetworkConfig("paper", (setting.width,), (setting.blocks,), rank=rank)
        self.network = build(config, setting.scale)
        self.stages: Sequence[Stage] = (Stage("network", levels=tuple(levels), span=span, steps=2),)

    def begin(self, stage: int) -> None:
        """Do nothing."""

    def forward(self, image: Tensor, level: Tensor | float) -> Tensor:
        """Restore (b, 3, h, w)."""
        restored: Tensor = self.network(image, level)
        return restored

    def at(self, level: float) -> nn.Module:
        """The main network with the kernels of one level."""
        return materialize(self.network, level)
