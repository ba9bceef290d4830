"""A graph for one level -> the same graph in 8-bit integers, by measured ranges of its activations.

The input range of every convolution is measured once, on photos at a few levels, and stored in a small JSON
file beside the model. Between those levels it is interpolated. Kernels need no measurement: the level
determines them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hyperrestore.arrays import Float32
from hyperrestore.atomic import write_atomically
from hyperrestore.errors import CheckpointError
from hyperrestore.network.checkpoint import graph_path, weights_digest

FORMAT_VERSION = 1

Range = tuple[float, float]  # least and largest activation


@dataclass(frozen=True)
class Ranges:
    """The input ranges of one model's inner convolutions.

    Attributes:
        weights: `weights_digest` of the model.
        levels: The measured levels, ascending, in the model's unit.
        limits: For each convolution that computes in integers, by name, its range at each of the levels.
        apart: Convolutions that do not share their rounded input. The input of the others is rounded for all
            its readers: additions of integers are faster, but at the finest resolution they cost quality.
    """

    weights: str
    levels: tuple[float, ...]
    limits: Mapping[str, tuple[Range, ...]]
    apart: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse invalid ranges, and levels that cannot be interpolated."""
        if not self.levels or not all(map(math.isfinite, self.levels)):
            raise ValueError(f"levels {self.levels} are not finite numbers")
        if any(a >= b for a, b in pairwise(self.levels)):
            raise ValueError(f"levels {self.levels} do not ascend")
        for name, limits in self.limits.items():
            if len(limits) != len(self.levels):
                raise ValueError(f"{name} has {len(limits)} ranges for {len(self.levels)} levels")
            if not all(-math.inf < low <= 0 < high < math.inf for low, high in limits):
                raise ValueError(f"{name} has ranges {limits} that do not contain 0")

    def at(self, level: float) -> dict[str, Range]:
        """Ranges by name for one level: interpolated, or those of the nearest measured level outside them."""

        def between(ends: Sequence[float]) -> float:
            return float(np.interp(level, self.levels, ends))

        return {
            name: (between([low for low, _ in limits]), between([high for _, high in limits]))
            for name, limits in self.limits.items()
        }


def ranges_path(checkpoint: str | Path) -> Path:
    """The path of a checkpoint's ranges: beside it, with `.ranges.json` in place of `.safetensors`."""
    return graph_path(checkpoint).with_suffix(".ranges.json")


def save_ranges(checkpoint: str | Path, ranges: Ranges) -> Path:
    """Write ranges beside their checkpoint, atomically; return their path."""
    path = ranges_path(checkpoint)
    text = json.dumps({"format_version": FORMAT_VERSION, **asdict(ranges)})
    write_atomically(path, text.replace(', "', ',\n"').encode() + b"\n")  # a line for each convolution
    return path


def load_ranges(checkpoint: str | Path) -> Ranges:
    """Read the ranges beside a checkpoint.

    Raises:
        CheckpointError: There are none, they are damaged, or they were measured with other weights.
    """
    path = ranges_path(checkpoint)
    remedy = f"`hyperrestore calibrate {checkpoint} --data PHOTOS` writes it"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file, and precision int8 needs it; {remedy}")
    try:
        table = json.loads(path.read_bytes())
        if (version := table["format_version"]) != FORMAT_VERSION:
            raise ValueError(f"format version {version}; this hyperrestore reads version {FORMAT_VERSION}")
        limits = {
            str(name): tuple((float(low), float(high)) for low, high in entry)
            for name, entry in table["limits"].items()
        }
        levels, apart = tuple(map(float, table["levels"])), tuple(map(str, table["apart"]))
        ranges = Ranges(str(table["weights"]), levels, limits, apart)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a readable file of ranges ({error!r}); {remedy} again") from error
    if ranges.weights != weights_digest(checkpoint):
        raise CheckpointError(
            f"{path}: measured with weights other than those of {checkpoint}; {remedy} again"
        )
    return ranges


def quantize(graph: Any, core: Any, ranges: Ranges, level: float) -> None:
    """Make the measured convolutions of a graph for one level compute in 8-bit integers, in place.

    The first and the last convolution, from and to the picture itself, always stay as they are.

    Raises:
        CheckpointError: The ranges are of a graph with other convolutions.
    """
    import openvino
    from openvino import opset13

    inner = inner_convolutions(graph)
    if not ranges.limits.keys() <= inner.keys():
        raise CheckpointError(
            "the convolutions in the file of ranges do not match the graph: calibrate again"
        )
    inner = {name: node for name, node in inner.items() if name in ranges.limits}
    # In the graph the kernels are still sums and products of constants.
    kernels = openvino.Model([node.input_value(1) for node in inner.values()], [], "")
    values = core.compile_model(kernels, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({})

    def rounded(source: Any, low: Any, high: Any, levels: int) -> Any:
        ends = [opset13.constant(np.asarray(end, np.float32)) for end in (low, high, low, high)]
        return opset13.fake_quantize(source, *ends, levels).output(0)

    limits = ranges.at(level)
    for index, (name, node) in enumerate(inner.items()):
        kernel: Float32 = np.array(values[index])
        most = weight_limits(kernel)
        node.input(1).replace_source_output(rounded(opset13.constant(kernel), -most, most, 255))
        source = node.input_value(0)
        if source.get_node().get_type_name() == "FakeQuantize":
            continue  # another convolution reads the same
        low, high = limits[name]
        step = (high - low) / 255
        zero = round(-low / step)  # one of the 256 values is 0 exactly, as borders are
        readers = [node.input(0)] if name in ranges.apart else list(source.get_target_inputs())
        activations = rounded(source, -zero * step, (255 - zero) * step, 256)
        for reader in readers:
            reader.replace_source_output(activations)


def weight_limits(kernel: Float32) -> Float32:
    """What the integer 127 stands for in each output channel of a kernel, so that no product saturates.

    A CPU without VNNI multiplies activations, 0 to 255, by weights and adds two such products, those of
    input channels 0 and 1, 2 and 3, ..., in signed 16 bits. Where the weights of two such neighbours add up
    to 127, or 128 when rounded, these suffice: 255 * 128 < 2**15. All CPUs get the same integers. That costs
    at most half a decibel of the distance to floats up to sigma 25 and a decibel above, and no time.

    Args:
        kernel: (out, in, h, w).

    Returns:
        Limits above 0, (out, 1, 1, 1).

    Example:
        >>> weight_limits(np.array([0.5, 0.75, -1, 0.5], np.float32).reshape(1, 4, 1, 1)).item()
        1.25
    """
    even = np.pad(kernel, ((0, 0), (0, kernel.shape[1] % 2), (0, 0), (0, 0)))
    most = np.full((len(kernel), 1, 1, 1), 1e-8, np.float32)
    for side in (np.maximum(even, 0), np.maximum(-even, 0)):
        most = np.maximum(most, (side[:, ::2] + side[:, 1::2]).max(axis=(1, 2, 3), keepdims=True))
    return most


def inner_convolutions(graph: Any) -> dict[str, Any]:
    """All convolutions but the first and the last, by the names that the ONNX file gives them."""
    nodes = [node for node in graph.get_ordered_ops() if node.get_type_name() == "Convolution"]
    return {node.get_friendly_name().partition("/")[0]: node for node in nodes[1:-1]}
