"""The device that a person gives -> the runtime that computes a network, and the device it runs on."""

from __future__ import annotations

from typing import Literal, NamedTuple

Runtime = Literal["openvino", "torch"]  # the library that computes


class Placement(NamedTuple):
    """Where a network is computed, and by what.

    Attributes:
        runtime: The library.
        device: The device, in the terms of that library: "cpu", "cuda:1", "mps".
        given: What the person gave; messages name it.
    """

    runtime: Runtime
    device: str
    given: str


def placement(given: str) -> Placement:
    """Where a device that a person gave places a network.

    Args:
        given: "auto" and "cpu" mean OpenVINO on the CPU, and "torch" means torch on the CPU. Any other is a
            device of torch, which may not be there.

    Example:
        >>> placement("torch")
        Placement(runtime='torch', device='cpu', given='torch')
    """
    if given in ("auto", "cpu"):
        return Placement("openvino", "cpu", given)
    return Placement("torch", "cpu" if given == "torch" else given, given)
