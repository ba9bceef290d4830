"""What one step of training learns from: levels and crops, drawn and degraded."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hyperrestore.learn.pairs import as_stored, margin, noisy_at, training_pair
from hyperrestore.learn.photos import Photos
from hyperrestore.learn.recipe import Recipe, Training
from hyperrestore.learn.upscaling import UpscalingBatch, canvas_side, draw_upscaling


class Batch(NamedTuple):
    """What one step learns from: b crops at each of k levels; the first m of a level may have weaker noise.

    Attributes:
        levels: (k,), in the task's unit.
        degraded: Crops as the network gets them, (k, b, 3, h, w).
        clean: The same without damage, (k, b, 3, h, w).
        weaker: Which crops have less noise than their level says, (k, b, 1, 1, 1).
        noisy: The first crops with all the noise of their level, (k, m, 3, h, w).
    """

    levels: Tensor
    degraded: Tensor
    clean: Tensor
    weaker: Tensor
    noisy: Tensor

    @property
    def of_crops(self) -> tuple[str, ...]:
        """Those whose second axis is that of crops."""
        return ("degraded", "clean", "weaker", "noisy")


def draw_batch(recipe: Recipe, photos: Photos, generator: torch.Generator) -> Batch | UpscalingBatch:
    """Draw levels and crops, and degrade them.

    But for fixed levels, JPEG repair, and pictures that were enlarged before, nothing waits for a GPU.
    """
    training = recipe.training
    levels = draw_levels(recipe, generator)
    if recipe.network.kind == "subpixel":
        return draw_upscaling(recipe, photos, levels, generator)
    count = training.crops_per_level
    crops = photos.crops(count if training.shared_crops else count * len(levels), generator)
    parts = []
    for index, level in enumerate(levels):
        clean = crops if training.shared_crops else crops[index * count : (index + 1) * count]
        true_levels, weaker = draw_true_levels(level, count, training, generator)
        if training.weaker_share:
            clean = fade_half(clean, weaker, generator)
        degraded, clean = training_pair(recipe.task, clean, true_levels, training, generator)
        most = math.ceil(count * training.weaker_share)
        noisy = clean[:most]
        if training.weaker_share:
            degraded = store_half(degraded, weaker, generator)
            first = degraded[:most]
            grey = (first == first[:, :1]).all(dim=(1, 2, 3), keepdim=True)  # their noise, too
            noisy = noisy_at(noisy, grey, level, generator)
        parts.append((degraded, clean, weaker, noisy))
    return Batch(levels, *(torch.stack(part) for part in zip(*parts, strict=True)))


def draw_levels(recipe: Recipe, generator: torch.Generator) -> Tensor:
    """The levels of one step: the fixed ones, or one random level from each of k equal parts of the range.

    A share of them is rounded to whole numbers; scales up, since at 1 there is nothing to repair.
    """
    training, (least, most) = recipe.training, recipe.scale.trained
    if training.levels:
        return torch.tensor(training.levels, dtype=torch.float32, device=generator.device)
    parts = training.levels_per_step
    random = torch.rand(parts, generator=generator, device=generator.device)
    uniform = (torch.arange(parts, device=generator.device) + random) / parts
    levels = least + (most - least) * uniform**training.level_power
    if training.whole_share:
        whole = torch.rand(parts, generator=generator, device=generator.device) < training.whole_share
        rounded = levels.ceil() if recipe.network.kind == "subpixel" else levels.round()
        levels = torch.where(whole, rounded, levels)
    return levels


def draw_true_levels(
    level: Tensor, count: int, training: Training, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What one level's crops are really degraded to: the level, but for the share whose noise is weaker.

    The first ones are; if the share of `count` is no whole number, one more by chance.

    Returns:
        Levels, and which of them are below `level`, both (count, 1, 1, 1); without a share just `level`, and
        none.
    """
    index = torch.arange(count, device=level.device).view(-1, 1, 1, 1)
    if not training.weaker_share:
        return level, index < 0
    random = torch.rand(1 + count, generator=generator, device=level.device)
    weaker = index + random[0] < count * training.weaker_share
    return torch.where(weaker, level * random[1:].view(-1, 1, 1, 1), level), weaker


def fade_half(clean: Tensor, weaker: Tensor, generator: torch.Generator) -> Tensor:
    """Move half of the crops (b, 3, h, w) whose noise is `weaker` (b, 1, 1, 1) towards white or black.

    Each by a random share. Light and dark areas are rare in photos, and a level too high moves them most:
    light ones at weak noise, both where strong noise is clipped.
    """
    random = torch.rand(2, *weaker.shape, generator=generator, device=clean.device)
    share = (2 * random[0] - 1).clamp(min=0) * weaker
    return clean.lerp((random[1] < 0.5).to(clean), share)


def store_half(degraded: Tensor, weaker: Tensor, generator: torch.Generator) -> Tensor:
    """Clip and round half of the crops (b, 3, h, w) whose noise is `weaker` (b, 1, 1, 1).

    With `clipped_share` alone few crops are both weaker and clipped (7 % at shares of 0.2 and 0.35, with this
    13.5), and the network takes weaker noise for unclipped: it leaves white too dark and black too light.
    """
    half = torch.rand(weaker.shape, generator=generator, device=degraded.device) < 0.5
    return torch.where(weaker & half, as_stored(degraded), degraded)


def crop_side(recipe: Recipe) -> int:
    """Pixels along a side of the clean crops that a step draws."""
    if recipe.network.kind == "subpixel":
        return canvas_side(recipe)
    return recipe.training.crop + margin(recipe.task)
