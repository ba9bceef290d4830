"""The levels and crops of one training step, drawn and degraded."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hyperrestore.learn.custom import custom_pair
from hyperrestore.learn.pairs import margin, noisy_at, some_grey, training_pair
from hyperrestore.learn.photo import draw_photo, photo_crop_side
from hyperrestore.learn.photos import Photos
from hyperrestore.learn.recipe import Recipe
from hyperrestore.learn.upscaling import UpscalingBatch, canvas_side, draw_upscaling
from hyperrestore.learn.weaker import draw_true_levels, fade_half, store_half
from hyperrestore.level import Task


class Batch(NamedTuple):
    """The data of one step: b crops at each of k levels; the first m of a level may have weaker noise.

    Attributes:
        levels: (k,), in the task's unit; (k, axes) where there are several level axes.
        degraded: Crops as the network gets them, (k, b, 3, h, w).
        clean: The same without damage, (k, b, 3, h, w).
        weaker: Which crops have less noise than their level says, (k, b, 1, 1, 1).
        noisy: The first crops with the full noise of their level, (k, m, 3, h, w).
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

    But for fixed levels, the task dejpeg, and pictures that were enlarged before, nothing waits for a GPU.
    """
    training = recipe.training
    if _is_photo(recipe):
        return Batch(*draw_photo(recipe, photos, generator))
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
        if training.degradation:
            clean = some_grey(clean, training.grey_share, generator)
            degraded, clean = custom_pair(training.degradation, clean, level.view(-1), generator)
        else:
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

    A share of them is rounded to whole numbers; scales up, since at 1 there is nothing to repair. Where a
    degradation of one's own has further axes, their levels are drawn from their whole range, (k, axes).
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
    if not training.degradation or not recipe.axes:
        return levels
    low, high = torch.tensor([axis.trained for axis in recipe.axes], device=levels.device).T
    random = torch.rand(parts, len(recipe.axes), generator=generator, device=levels.device)
    return torch.cat([levels[:, None], low + (high - low) * random**training.level_power], dim=1)


def _is_photo(recipe: Recipe) -> bool:
    return recipe.task == Task.PHOTO and not recipe.training.degradation


def crop_side(recipe: Recipe) -> int:
    """Pixels along a side of the clean crops that a step draws."""
    if recipe.network.kind == "subpixel":
        return canvas_side(recipe)
    if _is_photo(recipe):
        return photo_crop_side(recipe.training)
    if recipe.training.degradation:
        return recipe.training.crop
    return recipe.training.crop + margin(recipe.task)
