"""CFSNet: a second branch, coupled to the main one by a coefficient for each block and channel.

Source: W. Wang et al., "CFSNet: toward a controllable feature space for image restoration", ICCV 2019,
arXiv 1904.00634, section 3: a coupling module returns (1 - a) R(x) + a T(x), where R is a block of the main
branch, T one of the tuning branch, and a, one coefficient for each channel, comes from the control scalar by
fully connected layers. The main branch is trained at the start level with the scalar 0; then the tuning
branch and these layers, at the end level with the scalar 1.

Here every residual block is such a module, and so is the convolution behind them. One fully connected layer
is shared by all modules, and one of each module's own follows. They have no bias and nothing in between, so
that a is proportional to the scalar. Tuning blocks begin as copies of the main ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from adaptive.interface import Setting, Stage
from adaptive.plain import FollowsLevel, scaled, with_parts
from torch import Tensor, nn

from hyperrestore.network.architectures import ResidualBlock


class Coupled(nn.Module):
    """Two residual blocks side by side; x is part of both, and (1 - a) x + a x is x."""

    def __init__(self, main: ResidualBlock, tuning: ResidualBlock) -> None:
        super().__init__()
        self.main, self.tuning = main, tuning

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) -> the same shape."""
        both: Tensor = self.main.second(F.relu(self.main.first(x))) + self.tuning.second(
            F.relu(self.tuning.first(x))
        )
        return x + both


class CoupledLast(nn.Module):
    """Two convolutions side by side."""

    def __init__(self, main: nn.Module, tuning: nn.Module) -> None:
        super().__init__()
        self.main, self.tuning = main, tuning

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) -> the same shape."""
        both: Tensor = self.main(x) + self.tuning(x)
        return both


class TuningBranch(nn.Module):
    """The tuning blocks, and the layers that give their coefficients."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        width = setting.width
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(setting.blocks)))
        self.after = nn.Conv2d(width, width, 3, padding=1)
        self.shared = nn.Linear(1, width, bias=False)
        self.own = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(setting.blocks + 1))


class CFSNet(FollowsLevel):
    """The main network and its tuning branch.

    Args:
        setting: What all methods have in common.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.tuning = TuningBranch(setting)
        self.stages: Sequence[Stage] = (
            Stage("main", levels=(setting.start,)),
            Stage("tuning", levels=(setting.end,)),
        )

    def begin(self, stage: int) -> None:
        """Tuning blocks begin as those of the main branch."""
        if stage == 1:
            self.tuning.body.load_state_dict(self.main.body.state_dict())
            self.tuning.after.load_state_dict(self.main.after.state_dict())

    def network(self) -> nn.Module:
        """Both branches, whose last convolutions are to be multiplied by their coefficients."""
        pairs = zip(self.main.body, self.tuning.body, strict=True)
        body = nn.Sequential(*(Coupled(main, tuning) for main, tuning in pairs))
        return with_parts(self.main, body=body, after=CoupledLast(self.main.after, self.tuning.after))

    def weights(self, level: Tensor | float) -> dict[str, Tensor]:
        """The last convolutions of every module at one level."""
        scalar = self.tuning.shared.weight.new_ones(1) * self.setting.share(level)
        hidden = scalar * self.tuning.shared.weight[:, 0]
        weights: dict[str, Tensor] = {}
        blocks = [*zip(self.main.body, self.tuning.body, strict=True)]
        layers = [
            (f"body.{i}.{{}}.second", main.second, tuned.second) for i, (main, tuned) in enumerate(blocks)
        ]
        layers += [("after.{}", self.main.after, self.tuning.after)]
        for (name, main, tuned), own in zip(layers, self.tuning.own, strict=True):
            coefficients = own.weight @ hidden
            weights |= scaled(name.format("main"), main, 1 - coefficients)
            weights |= scaled(name.format("tuning"), tuned, coefficients)
        return weights
