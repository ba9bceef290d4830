"""A network as ONNX operators: for one level, for a level that is an input, or for one at each pixel."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hyperrestore.level import LevelScale
from hyperrestore.run.forms.kernels import Kernel, Kernels
from hyperrestore.run.forms.onnx_graph import Graph


class Place(NamedTuple):
    """Where in a network a convolution is.

    Attributes:
        layer: Its name in the state dict of the network.
        stride: Of the convolution.
        padding: Of the convolution, zeros at each side.
        coarseness: Pixels of the image along a side of a pixel of the result.
    """

    layer: str
    stride: int
    padding: int
    coarseness: int


Convolve = Callable[[Place, str], str]


class OnnxOperations:
    """The operations of `networks` in a graph.

    Args:
        graph: Gets the operators.
        convolve: Adds a convolution of a value.
        precision: In which the network computes.
    """

    def __init__(self, graph: Graph, convolve: Convolve, precision: npt.DTypeLike) -> None:
        self._graph, self._convolve, self._precision = graph, convolve, precision
        self._coarseness: dict[str, int] = {}

    def convolve(self, layer: str, x: str, *, stride: int = 1, padding: int = 0) -> str:
        """Convolve with the kernels of a layer."""
        coarseness = self._coarseness.get(x, 1) * stride
        result = self._convolve(Place(layer, stride, padding, coarseness), x)
        return self._at(coarseness, result)

    def relu(self, x: str) -> str:
        """Set negative values to 0."""
        return self._at(self._coarseness.get(x, 1), self._graph.add("Relu", x))

    def add(self, x: str, y: str) -> str:
        """Add two values of one shape."""
        return self._at(self._coarseness.get(x, 1), self._graph.add("Add", x, y))

    def shuffle(self, x: str, factor: int) -> str:
        """Channels -> pixels."""
        result = self._graph.add("DepthToSpace", x, blocksize=factor, mode="CRD")
        return self._at(self._coarseness.get(x, 1) // factor, result)

    def unshuffle(self, x: str, factor: int) -> str:
        """Pixels of an image -> channels, by kernels with a single 1: ONNX's operator has another order."""
        kernels = np.tile(np.eye(factor**2).reshape(-1, 1, factor, factor), (3, 1, 1, 1))
        weight = self._graph.constant(kernels, self._precision, name="unshuffle.weight")
        result = self._graph.add("Conv", x, weight, group=3, strides=[factor, factor])
        return self._at(factor, result)

    def _at(self, coarseness: int, x: str) -> str:
        self._coarseness[x] = coarseness
        return x


def fixed_convolutions(graph: Graph, kernels: Kernels, precision: npt.DTypeLike) -> Convolve:
    """Convolutions for one level: kernels without slopes."""

    def convolve(place: Place, x: str) -> str:
        return _conv(graph, place, x, *_at_origin(graph, kernels[place.layer], place.layer, precision))

    return convolve


def live_convolutions(
    graph: Graph, kernels: Kernels, phi: Sequence[str], precision: npt.DTypeLike
) -> Convolve:
    """Convolutions whose kernels are computed in the graph: phi . slopes + weight.

    Args:
        graph: Gets the operators.
        kernels: With slopes; those without stay as they are.
        phi: One value (1,) for each condition, in the precision.
        precision: In which the network computes.
    """

    def convolve(place: Place, x: str) -> str:
        kernel = kernels[place.layer]
        weight, bias = _at_origin(graph, kernel, place.layer, precision)
        for index, bias_slope in enumerate(kernel.bias_slopes):
            w = _slope(graph, kernel, place.layer, index, precision)
            b = graph.constant(bias_slope, precision, name=f"{place.layer}.bias_slope.{index}")
            weight = graph.add("Add", weight, graph.add("Mul", w, phi[index]))
            bias = graph.add("Add", bias, graph.add("Mul", b, phi[index]))
        return _conv(graph, place, x, weight, bias)

    return convolve


def _at_origin(graph: Graph, kernel: Kernel, layer: str, precision: npt.DTypeLike) -> tuple[str, str]:
    """A kernel and its bias without what follows a level."""
    weight = graph.constant(kernel.weight, precision, name=f"{layer}.weight")
    return weight, graph.constant(kernel.bias, precision, name=f"{layer}.bias")


def _slope(graph: Graph, kernel: Kernel, layer: str, index: int, precision: npt.DTypeLike) -> str:
    """How a kernel follows one condition; two factors stay two, which is a smaller file."""
    if kernel.factors is None:
        return graph.constant(kernel.slopes[index], precision, name=f"{layer}.slope.{index}")
    left, right = (
        graph.constant(factor[index], precision, name=f"{layer}.{name}.{index}")
        for name, factor in zip(("slope_left", "slope_right"), kernel.factors, strict=True)
    )
    return graph.add("Reshape", graph.add("MatMul", left, right), graph.integers(*kernel.weight.shape))


def mapped_convolutions(
    graph: Graph, kernels: Kernels, phi: Sequence[str], precision: npt.DTypeLike
) -> Convolve:
    """Convolutions with a level at each pixel: conv(x, weight) + phi * conv(x, slopes).

    Args:
        graph: Gets the operators.
        kernels: With slopes; those without stay as they are.
        phi: One map (b, 1, h, w) for each condition, in the precision.
        precision: In which the network computes.
    """

    @functools.cache
    def pooled(index: int, side: int) -> str:
        if side == 1:
            return phi[index]
        return graph.add("AveragePool", phi[index], kernel_shape=[side, side], strides=[side, side])

    fixed = fixed_convolutions(graph, kernels, precision)

    def convolve(place: Place, x: str) -> str:
        result, kernel = fixed(place, x), kernels[place.layer]
        for index, (slope, bias_slope) in enumerate(zip(kernel.slopes, kernel.bias_slopes, strict=True)):
            w = graph.constant(slope, precision, name=f"{place.layer}.slope.{index}")
            b = graph.constant(bias_slope, precision, name=f"{place.layer}.bias_slope.{index}")
            more = graph.add("Mul", _conv(graph, place, x, w, b), pooled(index, place.coarseness))
            result = graph.add("Add", result, more)
        return result

    return convolve


def phi_of(
    graph: Graph, scales: Sequence[LevelScale], level: str, *, axis: int, precision: npt.DTypeLike
) -> list[str]:
    """Levels -> the numbers that kernels take, as `LevelScale.normalize` computes them.

    Args:
        graph: Gets the operators.
        scales: One for each level axis.
        level: The levels, in their units.
        axis: Of the dimension in which `level` has one entry for each scale.
        precision: Of the result.

    Returns:
        One value for each condition, shaped like `level`, but with 1 along `axis`.
    """
    phi = []
    for index, scale in enumerate(scales):
        strength = graph.add("Gather", level, graph.integers(index), axis=axis)
        if scale.spacing == "log":
            ratio = graph.add("Div", strength, graph.number(scale.origin))
            span = graph.number(np.log(scale.reference / scale.origin))
            strength = graph.add("Div", graph.add("Log", ratio), span)
        else:
            distance = graph.add("Sub", strength, graph.number(scale.origin))
            strength = graph.add("Div", distance, graph.number(scale.reference - scale.origin))
        for power in scale.powers:
            one = strength if power == 1 else graph.add("Pow", strength, graph.number(power))
            phi.append(one if precision == np.float32 else graph.cast(one, precision))
    return phi


def _conv(graph: Graph, place: Place, x: str, weight: str, bias: str) -> str:
    return graph.add("Conv", x, weight, bias, strides=[place.stride] * 2, pads=[place.padding] * 4)
