"""An ONNX graph that is being made: its operators, its constants, its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperrestore import __version__

OPSET = 17
IR_VERSION = 8  # that of opset 17: runtimes of its time refuse later ones

Shape = Sequence[int | str]  # a side that may be anything has a name


class Graph:
    """Operators and constants, in the order in which they are added. A value is known by its name."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator, and return the name of its result."""
        from onnx import helper

        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def cast(self, x: str, dtype: npt.DTypeLike) -> str:
        """Convert a value to another type."""
        from onnx import helper

        return self.add("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike, *, name: str | None = None) -> str:
        """Add a constant, and return its name; one with the name of another is taken to be that."""
        from onnx import numpy_helper

        array = np.asarray(values, dtype)
        name = name or "_".join(map(str, (array.dtype, *array.shape, "of", *array.ravel())))
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, *values: int) -> str:
        """Add a list of integers, as sizes and axes are."""
        return self.constant(values, np.int64)

    def number(self, value: float) -> str:
        """Add a float32."""
        return self.constant([value], np.float32)

    def input(self, name: str, shape: Shape) -> str:
        """Add an input, float32."""
        self._inputs.append(_described(name, shape))
        return name

    def output(self, name: str, shape: Shape, value: str) -> None:
        """Make a value an output, float32."""
        from onnx import helper

        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(_described(name, shape))

    def file(self, metadata: Mapping[str, str]) -> bytes:
        """The ONNX file, checked for being one; the same graph gives the same bytes."""
        import onnx
        from onnx import helper

        graph = helper.make_graph(
            self._nodes, "hyperrestore", self._inputs, self._outputs, list(self._constants.values())
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        model.producer_name, model.producer_version = "hyperrestore", __version__
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def _described(name: str, shape: Shape) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
