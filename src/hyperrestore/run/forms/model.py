"""The model that is exported, and at which level."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hyperrestore.errors import UsageError
from hyperrestore.level import Task
from hyperrestore.network.architectures import NetworkConfig, load_network
from hyperrestore.network.checkpoint import Description, load_checkpoint, weights_digest
from hyperrestore.tables import from_table

if TYPE_CHECKING:
    from hyperrestore.network.hyper import Hypernetwork


@dataclass(frozen=True)
class Model:
    """A model that is exported.

    Attributes:
        path: Its checkpoint.
        description: What it says about itself.
        config: Its network.
        network: With its weights, adjustable.
        digest: SHA-256 of its weights.
    """

    path: Path
    description: Description
    config: NetworkConfig
    network: Hypernetwork
    digest: str

    @property
    def name(self) -> str:
        """The name of the checkpoint's file, without `.safetensors`."""
        return self.path.name.removesuffix(".safetensors")

    @property
    def adds(self) -> bool:
        """Whether the network predicts what is to be added."""
        return self.config.kind != "paper"


def open_model(path: Path) -> Model:
    """Read a checkpoint.

    Raises:
        CheckpointError: It cannot be read.
        UsageError: It restores pictures that were enlarged before, which no other program does.
    """
    checkpoint = load_checkpoint(path)
    description = checkpoint.description
    config = from_table(NetworkConfig, description.network)
    if description.task == Task.UPSCALE and config.kind != "subpixel":
        raise UsageError(
            f"{path}: a model that works on the enlarged picture cannot be exported for other programs; give "
            "one that works on the small picture (network kind 'subpixel')"
        )
    network = load_network(checkpoint).eval().requires_grad_(False)
    return Model(path, description, config, network, weights_digest(path))


def checked_levels(model: Model, levels: tuple[float, ...]) -> tuple[float, ...]:
    """A level for each axis of a model: those given, and the others at their origin.

    Raises:
        LevelError: The model does not accept a level.
        UsageError: There are more levels than axes; or the scale of an enlargement is not a whole number
            from 2 to the largest trained one.

    Warns:
        ExtrapolationWarning: A level lies outside the trained ones.
    """
    scales = model.description.scales
    if not 1 <= len(levels) <= len(scales):
        units = ", ".join(scale.unit for scale in scales)
        raise UsageError(f"{len(levels)} levels were given; {model.name} takes up to {len(scales)}: {units}")
    origins = (scale.origin for scale in scales[len(levels) :])
    checked = tuple(scale.check(level) for scale, level in zip(scales, (*levels, *origins), strict=True))
    largest = model.description.scale.trained[1]
    if model.description.task == Task.UPSCALE and not (checked[0] % 1 == 0 and 2 <= checked[0] <= largest):
        raise UsageError(
            f"scale {checked[0]:g} cannot be exported: a graph of plain convolutions enlarges by a whole "
            f"number from 2 to {largest:g}; `hyperrestore upscale` enlarges by any"
        )
    return checked
