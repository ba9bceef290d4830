"""Images as tensors are treated as pictures in files are."""

from __future__ import annotations

import torch
from torch import Tensor


def without_tint(image: Tensor, restored: Tensor) -> Tensor:
    """Average a restored image over its channels where the image itself is neutral, R = G = B.

    A network trained on colours leaves a tint of a step or two in a black-and-white image (see `run.neutral`,
    which does so for parts of a picture, too).

    Args:
        image: (b, 3, h, w).
        restored: (b, 3, h, w).
    """
    neutral = (image == image[:, :1]).flatten(1).all(1)[:, None, None, None]
    return torch.where(neutral, restored.mean(1, keepdim=True), restored)
