"""A model for one level as the two files that ncnn reads: a list of layers as text, and their weights."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from hyperrestore.arrays import Float32
from hyperrestore.errors import UsageError
from hyperrestore.network.hyper import materialize
from hyperrestore.run.forms.kernels import Kernels, kernels_of
from hyperrestore.run.forms.model import Model
from hyperrestore.run.forms.networks import network_output

MAGIC = 7767517  # the first line of every list of layers
IN, OUT = "data", "output"  # the names that programs for enlarging with ncnn look for


class Layer(NamedTuple):
    """A layer: its kind in ncnn, the values that it reads, the one that it gives, and its parameters."""

    kind: str
    inputs: tuple[str, ...]
    result: str
    parameters: str = ""


def ncnn_files(model: Model, levels: tuple[float, ...]) -> tuple[bytes, bytes]:
    """The list of layers and the weights; sides must be multiples of the stride.

    Raises:
        UsageError: The model enlarges: ncnn has no layer that mirrors a border as the enlargement needs.
    """
    if model.config.subpixels > 1:
        raise UsageError(
            "ncnn cannot be given a model that enlarges: ncnn's cubic enlargement is another one; use baked"
        )
    operations = NcnnOperations(kernels_of(materialize(model.network, levels)))
    result = network_output(model.config, operations, IN)
    if model.adds:
        result = operations.add(IN, result)
    layers = [Layer("Input", (), IN), *operations.layers]
    return _listed(layers, result).encode(), b"".join(operations.weights)


class NcnnOperations:
    """The operations of `networks` as layers of ncnn.

    Attributes:
        layers: In their order.
        weights: Of these layers, in their order.
    """

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self.layers: list[Layer] = []
        self.weights: list[bytes] = []

    def convolve(self, layer: str, x: str, *, stride: int = 1, padding: int = 0) -> str:
        """Convolve with the kernels of a layer."""
        kernel = self._kernels[layer]
        out, _, height, width = kernel.weight.shape
        self.weights += [bytes(4), _bytes(kernel.weight), _bytes(kernel.bias)]  # 0: in fp32
        return self._layer(
            "Convolution", (x,),
            f"0={out} 1={width} 11={height} 3={stride} 4={padding} 5=1 6={kernel.weight.size}",
        )  # fmt: skip

    def relu(self, x: str) -> str:
        """Set negative values to 0."""
        return self._layer("ReLU", (x,))

    def add(self, x: str, y: str) -> str:
        """Add two values of one shape."""
        return self._layer("BinaryOp", (x, y), "0=0")

    def shuffle(self, x: str, factor: int) -> str:
        """Channels -> pixels."""
        return self._layer("PixelShuffle", (x,), f"0={factor}")

    def unshuffle(self, x: str, factor: int) -> str:
        """Pixels -> channels."""
        return self._layer("Reorg", (x,), f"0={factor}")

    def _layer(self, kind: str, inputs: tuple[str, ...], parameters: str = "") -> str:
        result = f"value_{len(self.layers)}"
        self.layers.append(Layer(kind, inputs, result, parameters))
        return result


def _listed(layers: list[Layer], last: str) -> str:
    """The text of the list. ncnn wants a value that several layers read to be split into as many."""
    readers = Counter(value for layer in layers for value in layer.inputs)
    taken: Counter[str] = Counter()
    lines, values = [], 0
    for layer in layers:
        inputs = []
        for value in layer.inputs:
            inputs.append(f"{value}_{taken[value]}" if readers[value] > 1 else value)
            taken[value] += 1
        result = OUT if layer.result == last else layer.result
        lines.append(_line(layer.kind, inputs, [result], layer.parameters))
        values += 1
        if (copies := readers[layer.result]) > 1:
            split = [f"{layer.result}_{index}" for index in range(copies)]
            lines.append(_line("Split", [layer.result], split, ""))
            values += copies
    return "\n".join([str(MAGIC), f"{len(lines)} {values}", *lines, ""])


def _line(kind: str, inputs: list[str], results: list[str], parameters: str) -> str:
    name = f"{kind.lower()}_{results[0]}"
    return " ".join([kind, name, str(len(inputs)), str(len(results)), *inputs, *results, parameters]).strip()


def _bytes(values: Float32) -> bytes:
    return values.astype(np.dtype("<f4")).tobytes()
