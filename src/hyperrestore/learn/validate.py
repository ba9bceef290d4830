"""Validation: how well a network restores held-out photos."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from hyperrestore.learn.custom import custom_pair
from hyperrestore.learn.pairs import measured_pair
from hyperrestore.learn.photo import camera_pair
from hyperrestore.learn.recipe import Recipe
from hyperrestore.learn.upscaling import enlarged
from hyperrestore.level import Task
from hyperrestore.measure.degrade import shrink
from hyperrestore.measure.photo import damaged_photo
from hyperrestore.measure.protocols import prepare
from hyperrestore.network.hyper import Hypernetwork, materialize


@torch.no_grad()
def validate(network: Hypernetwork, clean: Tensor, recipe: Recipe, *, bf16: bool) -> list[float]:
    """Mean PSNR over clean crops (n, 3, h, w), dB, of each of `Recipe.validation_names`.

    The degraded crops are the same in every run.
    """
    scores = []
    for entry in recipe.training.validate_at:
        levels = recipe.axis_levels(entry)
        plain = _at(network, levels)
        several = isinstance(entry, tuple)
        seed = [round(1000 * level) for level in levels] if several else round(1000 * levels[0])
        generator = np.random.default_rng(seed)
        decibels = [_psnr(*_restored(plain, crop, levels, recipe, generator, bf16=bf16)) for crop in clean]
        scores.append(float(np.mean(decibels)))
    if recipe.training.cameras_share:
        scores.append(_camera_score(network, clean, bf16=bf16))
    return scores


def _at(network: Hypernetwork, levels: tuple[float, ...]) -> nn.Module:
    """The network for one level of each axis."""
    plain = materialize(network, levels)
    return plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _psnr(restored: Tensor, target: Tensor) -> float:
    error = (restored.float().clamp(0, 1) - target).cpu().double().square().mean()
    # At level 0 nothing is lost if the network does nothing; 120 dB stand for infinity then.
    return -10 * math.log10(max(float(error), 1e-12))


def _camera_score(network: Hypernetwork, clean: Tensor, *, bf16: bool) -> float:
    """Mean PSNR over pictures of cameras, each restored at its own levels, dB."""
    decibels = []
    for index, crop in enumerate(clean):
        levels, degraded, target = camera_pair(crop.cpu(), np.random.default_rng(index))
        levels = tuple(  # type: ignore[assignment]
            scale.nearest_trained(level) for scale, level in zip(network.scales, levels, strict=True)
        )
        given = degraded[None].to(crop.device)
        decibels.append(_psnr(_run(_at(network, levels), given, bf16=bf16), target[None].to(crop.device)))
    return float(np.mean(decibels))


def _run(plain: nn.Module, image: Tensor, *, bf16: bool) -> Tensor:
    with torch.autocast(image.device.type, torch.bfloat16, enabled=bf16):
        restored: Tensor = plain(image.to(memory_format=torch.channels_last))
    return restored.float()


def _restored(
    plain: nn.Module,
    crop: Tensor,
    levels: tuple[float, ...],
    recipe: Recipe,
    generator: np.random.Generator,
    *,
    bf16: bool,
) -> tuple[Tensor, Tensor]:
    """What a network for one level makes of a damaged crop (3, h, w), and what it should be."""
    protocol, device, level = recipe.training.protocol, crop.device, levels[0]
    if recipe.network.kind == "subpixel":
        clean = prepare(crop.cpu().numpy(), level, recipe.task, protocol, grey=False)
        small, target = (
            torch.from_numpy(picture)[None].to(device)
            for picture in (shrink(clean, level, protocol=protocol), clean)
        )
        return enlarged(partial(_run, plain, bf16=bf16), small, *target.shape[-2:]), target
    degraded, target = (picture.to(device) for picture in _damaged(crop, levels, recipe, generator))
    return _run(plain, degraded, bf16=bf16), target


def _damaged(
    crop: Tensor, levels: tuple[float, ...], recipe: Recipe, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A crop (3, h, w), degraded as what is measured, and what it is to become, both (1, 3, h, w)."""
    if recipe.training.degradation:
        random = torch.Generator(crop.device).manual_seed(int(generator.integers(2**62)))
        return custom_pair(recipe.training.degradation, crop[None], crop.new_tensor(levels), random)
    if recipe.task == Task.PHOTO:
        return torch.from_numpy(damaged_photo(crop.cpu().numpy(), levels, generator))[None], crop[None]
    pair = measured_pair(recipe.task, crop.cpu(), levels[0], recipe.training.protocol, generator)
    return pair[0][None], pair[1][None]
