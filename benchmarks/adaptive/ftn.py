"""FTN: a small network turns the kernels of one level into those of another.

Source: H. Lee et al., "Regularized adaptation for stable and efficient continuous-level learning on image
processing networks", arXiv 2003.05145, section 3: a filter transition network sees the kernel of a
convolution as a batch of pictures, and is a grouped 1x1 convolution, PReLU, another such convolution. The
main network is trained at the start level; then the transition networks alone at the end level, from the
identity: their convolutions begin as that, and PReLU with a slope of 1. A share s of the way has (1 - s) k
+ s FTN(k).

Here every convolution at half resolution has a transition network, in 16 groups; biases stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from adaptive.interface import Setting, Stage
from adaptive.plain import FollowsLevel
from torch import Tensor, nn

GROUPS = 16


class Transition(nn.Module):
    """From a kernel (out, in, h, w) to another of the same shape; begins as the identity."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 1, groups=groups)
        self.activation = nn.PReLU(channels, init=1.0)
        self.second = nn.Conv2d(channels, channels, 1, groups=groups)
        inside = channels // groups
        for layer in (self.first, self.second):
            identity = torch.eye(inside).repeat(groups, 1)[:, :, None, None]
            layer.weight.data.copy_(identity)
            nn.init.zeros_(layer.bias)

    def forward(self, kernel: Tensor) -> Tensor:
        """(out, in, h, w) -> the same shape."""
        result: Tensor = self.second(self.activation(self.first(kernel)))
        return result


class FTN(FollowsLevel):
    """The main network with a transition network for each kernel.

    Args:
        setting: What all methods have in common; of a width that `GROUPS` does not divide, groups are larger.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        groups = GROUPS
        while setting.width % groups:
            groups //= 2
        count = 2 * setting.blocks + 1
        self.transitions = nn.ModuleList(Transition(setting.width, groups) for _ in range(count))
        self.stages: Sequence[Stage] = (
            Stage("main", levels=(setting.start,)),
            Stage("transitions", levels=(setting.end,)),
        )

    def weights(self, level: Tensor | float) -> dict[str, Tensor]:
        """The kernels at one level."""
        share = self.setting.share(level)
        kernels = [
            (name, weight)
            for name, weight in self.main.named_parameters()
            if name.startswith(("body.", "after.")) and name.endswith(".weight")
        ]
        # Kernels are made in full precision, whatever the network computes in.
        with torch.autocast(self.main.head.weight.device.type, enabled=False):
            return {
                name: (1 - share) * kernel + share * transition(kernel)
                for (name, kernel), transition in zip(kernels, self.transitions, strict=True)
            }
