"""The kernels of a network's convolutions as arrays, by the names of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hyperrestore.arrays import Float32
from hyperrestore.network.convolutions import HyperConvolution


@dataclass(frozen=True)
class Kernel:
    """A convolution's kernel, which may follow a level: phi . slopes + weight.

    Attributes:
        weight: (out, in, height, width).
        bias: (out,).
        slopes: (conditions, out, in, height, width); no conditions where it follows no level.
        bias_slopes: (conditions, out).
        factors: Where the slopes are stored as products: their factors, (conditions, out, rank) and
            (conditions, rank, in * height * width).
    """

    weight: Float32
    bias: Float32
    slopes: Float32
    bias_slopes: Float32
    factors: tuple[Float32, Float32] | None = None


Kernels = Mapping[str, Kernel]


def kernels_of(network: nn.Module) -> Kernels:
    """The kernels of an ordinary network, or of the one within a `Hypernetwork`."""
    return {
        name: _kernel(layer)
        for name, layer in network.named_modules()
        if isinstance(layer, HyperConvolution | nn.Conv2d)
    }


def _kernel(layer: HyperConvolution | nn.Conv2d) -> Kernel:
    weight = layer.weight
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias
    if isinstance(layer, nn.Conv2d):
        return Kernel(
            _array(weight),
            _array(bias),
            slopes=np.zeros((0, *weight.shape), np.float32),
            bias_slopes=np.zeros((0, len(weight)), np.float32),
        )
    slopes, factors = layer.slopes(), None
    bias_slopes = weight.new_zeros(len(slopes), len(weight)) if layer.bias_slope is None else layer.bias_slope
    if hasattr(layer, "slope_left"):
        factors = _array(layer.slope_left), _array(layer.slope_right)
    return Kernel(_array(weight), _array(bias), _array(slopes), _array(bias_slopes), factors)


def _array(tensor: Tensor) -> Float32:
    return np.ascontiguousarray(tensor.detach().to(torch.float32).numpy())
