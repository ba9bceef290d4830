"""A graph for one level -> the same graph in 8-bit integers, by the ranges its activations were seen to take.

What every convolution reads is measured once, on photos at a few levels, and lies in a small JSON file beside
the model; between those levels it is interpolated. Kernels need no measurement: a level fixes them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperrestore.checkpoint import graph_path, write_atomically
from hyperrestore.errors import CheckpointError, UsageError
from hyperrestore.picture import read_picture

FORMAT_VERSION = 1
CROP = 128  # side of the crops that are measured, pixels: a multiple of every network's stride
CROPS = 64
TAIL = 1e-5  # the share of activations cut off at each end: the steps for all others become finer
SAMPLE = 7  # one activation in so many is looked at; this divides no width, so every column has its turn

Range = tuple[float, float]  # least and largest activation
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ranges:
    """What the inner convolutions of one model read.

    Attributes:
        weights: `weights_digest` of the model.
        levels: Where it was measured, ascending, in the model's unit.
        limits: For each convolution that is to compute in integers, by name, its range at each of the levels.
        apart: Convolutions that alone read rounded activations. Where the others read, so does everything
            else: additions of integers are faster, but at the finest resolution they cost quality.
    """

    weights: str
    levels: tuple[float, ...]
    limits: Mapping[str, tuple[Range, ...]]
    apart: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no range, or cannot be interpolated."""
        if not self.levels or not all(map(math.isfinite, self.levels)):
            raise ValueError(f"levels {self.levels} are no finite numbers")
        if any(a >= b for a, b in pairwise(self.levels)):
            raise ValueError(f"levels {self.levels} do not ascend")
        for name, limits in self.limits.items():
            if len(limits) != len(self.levels):
                raise ValueError(f"{name} has {len(limits)} ranges for {len(self.levels)} levels")
            if not all(-math.inf < low <= 0 < high < math.inf for low, high in limits):
                raise ValueError(f"{name} has ranges {limits} that do not hold 0")

    def at(self, level: float) -> dict[str, Range]:
        """Ranges by name for one level: interpolated, and outside the measured levels the nearest one's."""

        def between(ends: Sequence[float]) -> float:
            return float(np.interp(level, self.levels, ends))

        return {
            name: (between([low for low, _ in limits]), between([high for _, high in limits]))
            for name, limits in self.limits.items()
        }


def ranges_path(checkpoint: str | Path) -> Path:
    """Where a checkpoint's ranges lie: beside it, `.ranges.json` in place of `.safetensors`."""
    return graph_path(checkpoint).with_suffix(".ranges.json")


def weights_digest(checkpoint: str | Path) -> str:
    """A fingerprint of a checkpoint's weights alone, whatever else it says."""
    with Path(checkpoint).open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))  # past the header
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_ranges(checkpoint: str | Path, ranges: Ranges) -> Path:
    """Write ranges beside their checkpoint, atomically; return where they lie."""
    path = ranges_path(checkpoint)
    text = json.dumps({"format_version": FORMAT_VERSION, **asdict(ranges)})
    write_atomically(path, text.replace(', "', ',\n"').encode() + b"\n")  # a line for each convolution
    return path


def load_ranges(checkpoint: str | Path) -> Ranges:
    """Read the ranges that lie beside a checkpoint.

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
        raise CheckpointError(f"{path}: not a readable file of ranges ({error!r}); {remedy} anew") from error
    if ranges.weights != weights_digest(checkpoint):
        raise CheckpointError(f"{path}: measured with other weights than {checkpoint} has; {remedy} anew")
    return ranges


def calibrate(
    graph_at: Callable[[tuple[float, ...]], Any],
    core: Any,
    *,
    weights: str,
    damage: Callable[[Floats, float, np.random.Generator], Mapping[tuple[float, ...], Floats]],
    photos: Sequence[Path],
    levels: Sequence[float],
    seed: int = 0,
) -> Ranges:
    """Measure what the inner convolutions of a graph read.

    Those at the finest resolution are left out: rounding costs most there. A network that has no other
    resolution keeps them.

    Args:
        graph_at: Gives the graph for levels, one for each axis: an `openvino.Model` with the input `image`.
        core: OpenVINO.
        weights: `weights_digest` of the model.
        damage: Makes of a clean crop (3, h, w) and a level what the network is to see, by the levels of all
            axes that it is seen at.
        photos: Clean photos. One crop is taken of each, until there are enough.
        levels: Ascending, of the first axis; of JPEG whole numbers.
        seed: Of crops and noise.

    Returns:
        The ranges, the same for the same arguments.

    Raises:
        UsageError: No photo is as large as a crop, or the network is too small to have inner convolutions.
    """
    import openvino

    clean = _crops(photos, np.random.default_rng(seed))
    limits: dict[str, list[Range]] = {}
    sides: dict[str, int] = {}
    for level in levels:
        seen: dict[str, list[Floats]] = {}
        generator = np.random.default_rng(seed)
        damaged = [damage(crop, level, generator) for crop in clean]
        for axes in damaged[0]:
            graph = graph_at(axes)
            inner = _inner_convolutions(graph)
            probe = openvino.Model(
                [node.input_value(0) for node in inner.values()], graph.get_parameters(), ""
            )
            compiled = core.compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            for pictures in damaged:
                results = compiled([pictures[axes][None]])
                for index, name in enumerate(inner):
                    sides[name] = results[index].shape[-1]
                    seen.setdefault(name, []).append(results[index].ravel()[::SAMPLE].copy())
        for name, values in seen.items():
            low, high = np.quantile(np.concatenate(values), (TAIL, 1 - TAIL))
            limit = float(f"{min(low, 0):.4g}"), float(f"{max(high, 1e-6):.4g}")
            limits.setdefault(name, []).append(limit)
    if not sides:
        raise UsageError("the network has no convolution between its first and its last: int8 gains nothing")
    finest = max(sides.values())
    chosen = [name for name, side in sides.items() if side < finest]
    apart = () if chosen else tuple(sides)
    return Ranges(weights, tuple(levels), {name: tuple(limits[name]) for name in chosen or sides}, apart)


def quantize(graph: Any, core: Any, ranges: Ranges, level: float) -> None:
    """Let the convolutions that were measured compute in 8-bit integers, in a graph for one level, in place.

    The first and the last convolution, from and to the picture itself, stay as they are in any case.

    Raises:
        CheckpointError: The ranges are of a graph with other convolutions.
    """
    import openvino
    from openvino import opset13

    inner = _inner_convolutions(graph)
    if not ranges.limits.keys() <= inner.keys():
        raise CheckpointError(
            "the file of ranges names other convolutions than the graph has: calibrate anew"
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
        kernel: Floats = np.array(values[index])
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


def weight_limits(kernel: Floats) -> Floats:
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


def _inner_convolutions(graph: Any) -> dict[str, Any]:
    """All convolutions but the first and the last, by the names that the ONNX file gives them."""
    nodes = [node for node in graph.get_ordered_ops() if node.get_type_name() == "Convolution"]
    return {node.get_friendly_name().partition("/")[0]: node for node in nodes[1:-1]}


def _crops(photos: Sequence[Path], random: np.random.Generator) -> Floats:
    """At most CROPS crops of different photos in random order: (b, 3, CROP, CROP), values in [0, 1]."""
    crops: list[Floats] = []
    for index in random.permutation(len(photos)):
        pixels = read_picture(photos[index]).pixels
        spare = [side - CROP for side in pixels.shape[1:]]
        if min(spare) < 0:
            continue
        top, left = (random.integers(length + 1) for length in spare)
        crop = pixels[:, top : top + CROP, left : left + CROP]
        crops.append(np.broadcast_to(crop, (3, CROP, CROP)))
        if len(crops) == CROPS:
            break
    if not crops:
        raise UsageError(f"none of {len(photos)} photos has {CROP}x{CROP} pixels; give larger photos")
    return np.stack(crops)
