"""Plain networks of which some weights follow the level.

Most methods come down to that: a network of ordinary layers, and a function from a level to some of its
weights. What they say of features (a channel times a coefficient, a filter more) is then a matter of
kernels, because convolutions are linear.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from adaptive.interface import Setting
from torch import Tensor, nn
from torch.func import functional_call

Network = TypeVar("Network", bound=nn.Module)


def with_parts(module: Network, **parts: nn.Module) -> Network:
    """The same module with other submodules; all else is shared, weights included."""
    changed = copy.copy(module)
    changed._modules = module._modules | parts
    return changed


def restored(network: nn.Module, weights: Mapping[str, Tensor], image: Tensor) -> Tensor:
    """Restore (b, 3, h, w) by a network in which some weights, by name, are others."""
    result: Tensor = functional_call(network, dict(weights), (image,))
    return result


@torch.no_grad()
def filled(network: Network, weights: Mapping[str, Tensor]) -> Network:
    """A copy of a network in which some weights, by name, are others."""
    network = copy.deepcopy(network)
    for name, weight in weights.items():
        layer, _, leaf = name.rpartition(".")
        network.get_submodule(layer)._parameters[leaf] = nn.Parameter(weight.detach().clone())
    return network


def scaled(name: str, layer: nn.Conv2d, factor: Tensor | float) -> dict[str, Tensor]:
    """The weights, by name, of a convolution whose channels are multiplied, by one number or each by one."""
    assert layer.bias is not None
    across = factor.view(-1, 1, 1, 1) if isinstance(factor, Tensor) and factor.ndim else factor
    return {f"{name}.weight": across * layer.weight, f"{name}.bias": factor * layer.bias}


class FollowsLevel(nn.Module):
    """The main network, of which some weights follow the level; a method says which, and how.

    Args:
        setting: What all methods have in common.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.setting = setting
        self.main = setting.main()

    def begin(self, stage: int) -> None:
        """Do nothing: whatever is trained has its weights from the start."""

    def network(self) -> nn.Module:
        """The plain network; weights that follow the level have any value."""
        return self.main

    def weights(self, level: Tensor | float) -> dict[str, Tensor]:
        """Those that follow the level, by their names in the plain network."""
        raise NotImplementedError

    def forward(self, image: Tensor, level: Tensor | float) -> Tensor:
        """Restore (b, 3, h, w)."""
        return restored(self.network(), self.weights(level), image)

    def at(self, level: float) -> nn.Module:
        """The plain network with the weights of one level."""
        return filled(self.network(), self.weights(level))
