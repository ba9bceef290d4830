"""A trained network as a model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from hyperrestore.learn.recipe import Recipe
from hyperrestore.network.architectures import build_plain, receptive_radius
from hyperrestore.network.checkpoint import Checkpoint, Description, save_checkpoint
from hyperrestore.network.hyper import Hypernetwork

MODEL = "model.safetensors"


def save_model(path: Path, recipe: Recipe, network: Hypernetwork, history: Mapping[str, object]) -> None:
    """Write a network as a model file."""
    plain = build_plain(recipe.network)
    description = Description(
        task=recipe.task,
        network=asdict(recipe.network),
        scale=recipe.scale,
        halo=receptive_radius(plain, multiple=plain.multiple),
        multiple=plain.multiple,
        history=history,
        axes=recipe.axes,
    )
    tensors = {name: tensor.half().cpu().numpy() for name, tensor in network.state_dict().items()}
    save_checkpoint(path, Checkpoint(description, tensors))
