"""A checkpoint -> ONNX graphs with a live level, whose weights stay in the checkpoint beside them."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperrestore.atomic import write_atomically
from hyperrestore.errors import CheckpointError, MissingExtraError
from hyperrestore.level import Task
from hyperrestore.network.architectures import load_network
from hyperrestore.network.checkpoint import (
    Description,
    graph_path,
    layout_digest,
    load_checkpoint,
    tensor_places,
)
from hyperrestore.run.openvino import LAYOUT

if TYPE_CHECKING:
    from torch import Tensor

    from hyperrestore.network.hyper import Hypernetwork

LARGEST_SIDE = 65536


def export_onnx(checkpoint_path: str | Path) -> Path:
    """Write the ONNX graphs of a checkpoint beside it, under the same name with the suffix `.onnx`.

    The graph takes `image` (n, 3, h, w), fp32, values in [0, 1], sides multiples of the model's stride, and
    `level` (1,) in the model's unit, or one level for each axis. It gives `restored` (n, 3, h, w), not
    clipped, and, if the network predicts a residual, `residual`. A network with sub-pixels gives only
    `residual`, (n, 3, s * h, s * w): the residual of the cubic enlargement, on a grid s times as fine (see
    `subpixels`). The kernels are computed from `level` in the graph. The graph holds no weights: it refers to
    the checkpoint, which must stay in the same folder.

    A second graph, with `-map.onnx` at the end of its name, takes `level_map` (n, axes, h, w) instead, levels
    for each pixel; not for upscaling, whose level is the size of the result.

    Args:
        checkpoint_path: The model.

    Returns:
        The path of the first graph.

    Raises:
        MissingExtraError: torch, onnx or onnxscript is not installed.
        CheckpointError: The checkpoint cannot be read.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401 (torch's exporter needs it)
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("export needs torch and onnx: pip install 'hyperrestore[torch]'") from error

    path = Path(checkpoint_path)
    checkpoint = load_checkpoint(path)
    wrapped = _wrap(load_network(checkpoint))
    if checkpoint.description.task != Task.UPSCALE:
        _write_graph(wrapped, path, checkpoint.description, mapped=True)
    return _write_graph(wrapped, path, checkpoint.description, mapped=False)


def _write_graph(wrapped: Any, path: Path, description: Description, *, mapped: bool) -> Path:
    """Write one graph: for one level, or `mapped` for a level of each pixel."""
    import onnx
    import torch

    multiple = description.multiple
    side = 8 * multiple
    largest = LARGEST_SIDE // multiple
    shape = {
        0: torch.export.Dim("n", min=1, max=LARGEST_SIDE),
        2: multiple * torch.export.Dim("h", min=1, max=largest),
        3: multiple * torch.export.Dim("w", min=1, max=largest),
    }
    axes = len(description.scales)
    level = torch.ones(2, axes, side, side + multiple) if mapped else torch.ones(axes)
    exporter_log = logging.getLogger("torch.onnx")
    log_level = exporter_log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own future
        exporter_log.setLevel(logging.ERROR)  # and of missing packages that no network here needs
        program = torch.onnx.export(
            wrapped,
            (torch.zeros(2, 3, side, side + multiple), level),
            dynamic_shapes=(shape, shape if mapped else None),
            input_names=["image", "level_map" if mapped else "level"],
            output_names=wrapped.outputs,
            dynamo=True,
            optimize=False,  # it would fold weights into new constants
            verbose=False,
        )
    exporter_log.setLevel(log_level)
    graph = program.model_proto  # type: ignore[union-attr]
    _refer_to_weights(graph.graph, wrapped.prefix, path)
    for node in (
        *graph.graph.node,
        *graph.graph.input,
        *graph.graph.output,
        *graph.graph.value_info,
        graph.graph,
    ):
        del node.metadata_props[:]  # where in the source each node came from
    del graph.graph.value_info[:]
    for key, value in (
        ("task", description.task.value),
        ("unit", description.scale.unit),
        ("trained", json.dumps(description.scale.trained)),
        *((f"axis.{axis.unit}", json.dumps(axis.trained)) for axis in description.axes),
        ("halo", str(description.halo)),
        ("multiple", str(multiple)),
    ):
        graph.metadata_props.add(key=f"hyperrestore.{key}", value=value)
    graph.metadata_props.add(key=LAYOUT, value=layout_digest(path))
    target = graph_path(path, mapped=mapped)
    write_atomically(target, graph.SerializeToString())
    onnx.checker.check_model(str(target))
    return target


def _wrap(network: Hypernetwork) -> Any:
    """The network as a graph, with the output `residual` if it predicts one."""
    from torch import nn

    from hyperrestore.network.hyper import Hypernetwork

    class Residual(nn.Module):
        """Only what the network adds to the image."""

        def __init__(self) -> None:
            super().__init__()
            self.plain = network.network

        def forward(self, image: Tensor) -> Tensor:
            return self.plain.residual(image)  # type: ignore[operator, no-any-return]

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.adds = hasattr(network.network, "residual")
            self.small = hasattr(network.network, "subpixels")
            self.core = Hypernetwork(Residual(), network.scales) if self.adds else network
            self.outputs = ("restored", "residual") if self.adds else ("restored",)
            if self.small:
                self.outputs = ("residual",)
            self.prefix = "core.network.plain." if self.adds else "core.network."

        def forward(self, image: Tensor, level: Tensor) -> Tensor | tuple[Tensor, Tensor]:
            result = self.core(image, level)
            if self.small:
                return result  # type: ignore[no-any-return]
            return (image + result, result) if self.adds else result

    return Graph()


def _refer_to_weights(graph: Any, prefix: str, path: Path) -> None:
    """Replace every weight in a graph by a reference to its place in the checkpoint, and a cast from fp16."""
    from onnx import TensorProto, helper

    weights = {initializer.name: initializer for initializer in graph.initializer}
    casts = []
    for name, (start, length) in tensor_places(path).items():
        weight = weights.get(prefix + name.removeprefix("network."))
        if weight is None:
            raise CheckpointError(f"{path}: its tensor {name} does not occur in the network's graph")
        casts.append(helper.make_node("Cast", [name], [weight.name], to=TensorProto.FLOAT))
        weight.name = name
        weight.data_type = TensorProto.FLOAT16
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", path.name), ("offset", str(start)), ("length", str(length))):
            weight.external_data.add(key=key, value=value)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
