"""Validation: how well a network restores held-out photos."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from hyperrestore.learn.pairs import measured_pair
from hyperrestore.learn.recipe import Recipe
from hyperrestore.learn.upscaling import enlarged
from hyperrestore.measure.degrade import shrink
from hyperrestore.measure.protocols import prepare
from hyperrestore.network.hyper import Hypernetwork, materialize


@torch.no_grad()
def validate(network: Hypernetwork, clean: Tensor, recipe: Recipe, *, bf16: bool) -> list[float]:
    """Mean PSNR over clean crops (n, 3, h, w) at each level, dB; the same degraded crops in every run."""
    scores = []
    for level in recipe.training.validate_at:
        plain = materialize(network, network.levels(level))
        plain = plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        generator = np.random.default_rng(round(1000 * level))
        decibels = []
        for crop in clean:
            restored, target = _restored(plain, crop, level, recipe, generator, bf16=bf16)
            error = (restored.float().clamp(0, 1) - target).cpu().double().square().mean()
            # At level 0 a network that does nothing makes no error; 120 dB stand for infinity then.
            decibels.append(-10 * math.log10(max(float(error), 1e-12)))
        scores.append(float(np.mean(decibels)))
    return scores


def _restored(
    plain: nn.Module,
    crop: Tensor,
    level: float,
    recipe: Recipe,
    generator: np.random.Generator,
    *,
    bf16: bool,
) -> tuple[Tensor, Tensor]:
    """The result of a network for one level on a damaged crop (3, h, w), and its target."""
    protocol, device = recipe.training.protocol, crop.device

    def run(image: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            restored: Tensor = plain(image.to(memory_format=torch.channels_last))
        return restored.float()

    if recipe.network.kind == "subpixel":
        clean = prepare(crop.cpu().numpy(), level, recipe.task, protocol, grey=False)
        small, target = (
            torch.from_numpy(picture)[None].to(device)
            for picture in (shrink(clean, level, protocol=protocol), clean)
        )
        return enlarged(run, small, *target.shape[-2:]), target
    degraded, target = (
        picture[None].to(device)
        for picture in measured_pair(recipe.task, crop.cpu(), level, protocol, generator)
    )
    return run(degraded), target
