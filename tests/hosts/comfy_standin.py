"""A stand-in for what ComfyUI documents of its V3 nodes, as strict as the real one: names, and unique ids.

See https://docs.comfy.org/custom-nodes/v3_migration. What nodes give and get here is what they would there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import torch


@dataclass
class Entry:
    """An input or an output."""

    id: str | None = None
    display_name: str | None = None
    optional: bool = False
    tooltip: str | None = None


@dataclass
class Number(Entry):
    default: float | None = None
    min: float | None = None
    max: float | None = None
    step: float | None = None


@dataclass
class Switch(Entry):
    default: bool | None = None
    label_on: str | None = None
    label_off: str | None = None


@dataclass
class Output:
    id: str | None = None
    display_name: str | None = None
    tooltip: str | None = None


@dataclass
class Schema:
    node_id: str
    display_name: str | None = None
    category: str = "sd"
    description: str = ""
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        ids = [entry.id for entry in [*self.inputs, *self.outputs] if entry.id is not None]
        if len(ids) != len(set(ids)):
            raise ValueError(f"ids must be unique among inputs and outputs together, got {ids}")


class ComfyNode(ABC):
    @classmethod
    @abstractmethod
    def define_schema(cls) -> Schema: ...

    @classmethod
    @abstractmethod
    def execute(cls, **inputs: Any) -> NodeOutput: ...


class NodeOutput:
    def __init__(self, *result: Any) -> None:
        self.result = result


class ComfyExtension(ABC):
    @abstractmethod
    async def get_node_list(self) -> list[type[ComfyNode]]: ...


def modules() -> dict[str, ModuleType]:
    """The modules of ComfyUI that nodes import, by name."""

    def kind(accepted: type) -> SimpleNamespace:
        return SimpleNamespace(Input=accepted, Output=Output)

    imported = ("comfy", "comfy.model_management", "comfy_api", "comfy_api.latest")
    names = {name: ModuleType(name) for name in imported}
    names["comfy.model_management"].get_torch_device = lambda: torch.device("cpu")
    names["comfy_api.latest"].ComfyExtension = ComfyExtension
    names["comfy_api.latest"].io = SimpleNamespace(
        ComfyNode=ComfyNode, Schema=Schema, NodeOutput=NodeOutput, Image=kind(Entry), Mask=kind(Entry),
        Float=kind(Number), Int=kind(Number), Boolean=kind(Switch),
    )  # fmt: skip
    return names
