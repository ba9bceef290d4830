"""Crops with weaker noise than their level says.

A level that is too high for a picture may remove detail, but must not change contrast and colours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hyperrestore.learn.pairs import as_stored
from hyperrestore.learn.recipe import Training


def draw_true_levels(
    level: Tensor, count: int, training: Training, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The true levels of one level's crops: the level itself, except for a share with weaker noise.

    That share comes first; if it is not a whole number of crops, one more is added by chance.

    Returns:
        Levels, and which of them are below `level`, both (count, 1, 1, 1); without such a share just `level`,
        and none.
    """
    index = torch.arange(count, device=level.device).view(-1, 1, 1, 1)
    if not training.weaker_share:
        return level, index < 0
    random = torch.rand(1 + count, generator=generator, device=level.device)
    weaker = index + random[0] < count * training.weaker_share
    return torch.where(weaker, level * random[1:].view(-1, 1, 1, 1), level), weaker


def fade_half(clean: Tensor, weaker: Tensor, generator: torch.Generator) -> Tensor:
    """Move half of the crops (b, 3, h, w) whose noise is `weaker` (b, 1, 1, 1) towards white or black.

    Each moves by a random share. Light and dark areas are rare in photos, and a level too high changes them
    most: light ones at weak noise, both where strong noise is clipped.
    """
    random = torch.rand(2, *weaker.shape, generator=generator, device=clean.device)
    share = (2 * random[0] - 1).clamp(min=0) * weaker
    return clean.lerp((random[1] < 0.5).to(clean), share)


def store_half(degraded: Tensor, weaker: Tensor, generator: torch.Generator) -> Tensor:
    """Clip and round half of the crops (b, 3, h, w) whose noise is `weaker` (b, 1, 1, 1).

    With `clipped_share` alone, few crops are both weaker and clipped (7 % at shares of 0.2 and 0.35; with
    this 13.5 %). The network then takes weaker noise for unclipped: it leaves white too dark and black too
    light.
    """
    half = torch.rand(weaker.shape, generator=generator, device=degraded.device) < 0.5
    return torch.where(weaker & half, as_stored(degraded), degraded)
