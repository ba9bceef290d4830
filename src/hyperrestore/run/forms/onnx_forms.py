"""A model as one ONNX file: with a level as an input, with a level for each pixel, or for one level."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt

from hyperrestore.network.hyper import materialize
from hyperrestore.run.forms.kernels import kernels_of
from hyperrestore.run.forms.model import Model
from hyperrestore.run.forms.networks import network_output
from hyperrestore.run.forms.onnx_geometry import cut_to_size_of, mirrored_to_multiple, resampled
from hyperrestore.run.forms.onnx_graph import Graph
from hyperrestore.run.forms.onnx_network import (
    Convolve,
    OnnxOperations,
    fixed_convolutions,
    live_convolutions,
    mapped_convolutions,
    phi_of,
)

IMAGE = ("batch", 3, "height", "width")
LARGER = ("batch", 3, "enlarged_height", "enlarged_width")


def live_onnx(model: Model, *, half: bool) -> bytes:
    """Inputs `image` and `level` (axes,). Output `restored`, or `residual` for a network with sub-pixels."""
    graph, precision = Graph(), _precision(half)
    image = graph.input("image", IMAGE)
    scales = model.description.scales
    level = graph.input("level", [len(scales)])
    phi = phi_of(graph, scales, level, axis=0, precision=precision)
    convolve = live_convolutions(graph, kernels_of(model.network.network), phi, precision)
    result = _computed(graph, model, convolve, image, precision)
    if model.config.subpixels > 1:
        graph.output("residual", LARGER, result)
    else:
        graph.output("restored", IMAGE, _added(graph, model, image, result))
    return graph.file(_metadata(model))


def mapped_onnx(
    model: Model, *, half: bool = False, factor: float = 1, name: str = "level_map", any_size: bool = True
) -> bytes:
    """Inputs `image` and a map of levels (b, axes, h, w). Output `restored`.

    Args:
        model: What is exported.
        half: Whether the network computes in fp16.
        factor: By which the map is multiplied to get levels in their unit.
        name: Of the input with the map.
        any_size: Whether the graph pads the image to a multiple of its stride.
    """
    graph = Graph()
    image = graph.input("image", IMAGE)
    level = graph.input(name, ("batch", len(model.description.scales), "height", "width"))
    return _mapped(graph, model, image, level, half=half, factor=factor, any_size=any_size)


def stacked_onnx(model: Model, *, half: bool = False) -> bytes:
    """Input `image_and_level` (b, 3 + axes, h, w): the image, then a map of each level. Output `restored`."""
    graph = Graph()
    channels = 3 + len(model.description.scales)
    stacked = graph.input("image_and_level", ("batch", channels, "height", "width"))
    axis = graph.integers(1)
    image = graph.add("Slice", stacked, graph.integers(0), graph.integers(3), axis)
    level = graph.add("Slice", stacked, graph.integers(3), graph.integers(channels), axis)
    return _mapped(graph, model, image, level, half=half)


def _mapped(
    graph: Graph,
    model: Model,
    image: str,
    level: str,
    *,
    half: bool,
    factor: float = 1,
    any_size: bool = True,
) -> bytes:
    scales, precision = model.description.scales, _precision(half)
    if any_size:
        level = mirrored_to_multiple(graph, level, model.description.multiple)
    if factor != 1:
        level = graph.add("Mul", level, graph.number(factor))
    phi = phi_of(graph, scales, level, axis=1, precision=precision)
    convolve = mapped_convolutions(graph, kernels_of(model.network.network), phi, precision)
    result = _computed(graph, model, convolve, image, precision, any_size=any_size)
    graph.output("restored", IMAGE, _added(graph, model, image, result))
    return graph.file(_metadata(model))


def baked_onnx(
    model: Model, levels: tuple[float, ...], *, half: bool = False, any_size: bool = True
) -> bytes:
    """Input `image`. Output `restored`, enlarged if the model enlarges; not clipped."""
    graph, precision = Graph(), _precision(half)
    image = graph.input("image", IMAGE)
    convolve = fixed_convolutions(graph, kernels_of(materialize(model.network, levels)), precision)
    result = _computed(graph, model, convolve, image, precision, any_size=any_size)
    if model.config.subpixels > 1:
        scale = round(levels[0])
        near = resampled(graph, image, 1, scale)
        restored = graph.add("Add", near, resampled(graph, result, model.config.subpixels, scale))
        graph.output("restored", LARGER, restored)
    else:
        graph.output("restored", IMAGE, _added(graph, model, image, result))
    return graph.file(_metadata(model, levels))


def _precision(half: bool) -> npt.DTypeLike:
    return np.float16 if half else np.float32


def _computed(
    graph: Graph,
    model: Model,
    convolve: Convolve,
    image: str,
    precision: npt.DTypeLike,
    *,
    any_size: bool = True,
) -> str:
    """What the network computes from an image, float32."""
    multiple = model.description.multiple if any_size else 1
    x = mirrored_to_multiple(graph, image, multiple)
    if precision != np.float32:
        x = graph.cast(x, precision)
    result = network_output(model.config, OnnxOperations(graph, convolve, precision), x)
    if precision != np.float32:
        result = graph.cast(result, np.float32)
    if multiple > 1:
        result = cut_to_size_of(graph, result, image, factor=model.config.subpixels)
    return result


def _added(graph: Graph, model: Model, image: str, result: str) -> str:
    """The restored picture, from what the network computes."""
    return graph.add("Add", image, result) if model.adds else result


def _metadata(model: Model, levels: tuple[float, ...] | None = None) -> dict[str, str]:
    description = model.description
    about = {
        "task": description.task.value,
        "units": json.dumps([scale.unit for scale in description.scales]),
        "halo": str(description.halo),
        "multiple": str(description.multiple),
        "weights": model.digest,
    }
    if levels is not None:
        about["level"] = json.dumps(levels)
    return {f"hyperrestore.{key}": value for key, value in about.items()}
