"""A model with a live level as a program of `torch.export`."""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn

from hyperrestore.run.forms.model import Model

LARGEST_SIDE = 65536  # pixels


class _Network(nn.Module):
    """An image and a level -> what the network gives; its inputs have the names of the ONNX graphs."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = model.network

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        """(b, 3, h, w) and (axes,) -> the restored picture, or sub-pixels."""
        return self.network(image, level)  # type: ignore[no-any-return]


def pt2_file(model: Model) -> bytes:
    """Inputs `image`, sides multiples of the stride and at least twice it, and `level` (axes,).

    Loading it needs torch alone. The same model gives the same bytes with the same version of torch.
    """
    multiple = model.description.multiple
    side, largest = 8 * multiple, LARGEST_SIDE // multiple
    dim = torch.export.Dim
    shape = {
        0: dim("batch", min=1, max=LARGEST_SIDE),
        2: multiple * dim("height", min=2, max=largest),
        3: multiple * dim("width", min=2, max=largest),
    }
    level = torch.tensor([scale.reference for scale in model.description.scales], dtype=torch.float32)
    program = torch.export.export(
        _Network(model), (torch.zeros(2, 3, side, side + multiple), level), dynamic_shapes=(shape, None)
    )
    for node in program.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node"):
            node.meta.pop(key, None)  # where in the source on this machine each node came from
    ranges = sorted(program.range_constraints.items(), key=lambda entry: str(entry[0]))
    program.range_constraints.clear()  # from a set, whose order differs from process to process
    program.range_constraints.update(ranges)
    content = io.BytesIO()
    torch.export.save(program, content)
    return content.getvalue()
