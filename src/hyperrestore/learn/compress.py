"""JPEG compression of a batch of crops, each by tables of its own, computed on their device."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hyperrestore.colour import LUMA

SUBSAMPLED = ((1, 2), (2, 2))  # how many rows and columns of colours become one: "4:2:2", "4:2:0"


def compressed(pictures: Tensor, tables: Tensor, subsampling: Tensor | None = None) -> Tensor:
    """Compress by JPEG and decode, as libjpeg does: blocks of 8 x 8, cosine transform, steps of tables.

    The grid of blocks begins at the top left; sides that are no multiple of 16 are filled up.

    Args:
        pictures: (b, 3, h, w), values in [0, 1]; they are rounded to 8 bits first.
        tables: Steps of luminance and of colours, (b, 2, 8, 8) or (1, 2, 8, 8).
        subsampling: Of the colours of each picture, (b,): 0 for 4:4:4, 1 for 4:2:2, 2 for 4:2:0; None for 0.

    Returns:
        The same shape, in steps of 8 bits. Grey pictures stay grey.
    """
    height, width = pictures.shape[-2:]
    constants = _constants(pictures.device)
    samples = (pictures.clamp(0, 1) * 255).round() - 128
    padded = F.pad(samples, (0, -width % 16, 0, -height % 16), mode="replicate")
    planes = torch.einsum("ij,bjhw->bihw", constants.to_planes, padded).round()
    brightness = _stepped(planes[:, :1], tables[:, :1], constants.cosines)
    colours = _stepped(planes[:, 1:], tables[:, 1:], constants.cosines)
    for index, factor in enumerate(SUBSAMPLED if subsampling is not None else (), start=1):
        coarse = _stepped(F.avg_pool2d(planes[:, 1:], factor).round(), tables[:, 1:], constants.cosines)
        rows, columns = map(float, factor)
        fine = F.interpolate(coarse, scale_factor=(rows, columns), mode="bilinear").round()
        chosen = torch.as_tensor(subsampling).view(-1, 1, 1, 1) == index
        colours = torch.where(chosen, fine, colours)
    decoded = torch.einsum("ij,bjhw->bihw", constants.to_colours, torch.cat([brightness, colours], 1)) + 128
    return decoded[..., :height, :width].round().clamp(0, 255) / 255


def _stepped(planes: Tensor, tables: Tensor, cosines: Tensor) -> Tensor:
    """Planes (b, c, h, w), values from -128 to 127, with their coefficients rounded to steps (b, 1, 8, 8)."""
    count, channels, height, width = planes.shape
    blocks = planes.reshape(count, channels, height // 8, 8, width // 8, 8)
    steps = tables[:, :, None, :, None, :]
    coefficients = torch.einsum("ui,vj,bcyixj->bcyuxv", cosines, cosines, blocks)
    coefficients = (coefficients / steps).round() * steps
    blocks = torch.einsum("ui,vj,bcyuxv->bcyixj", cosines, cosines, coefficients)
    return blocks.flatten(4, 5).flatten(2, 3).round().clamp(-128, 127)


class _Constants(NamedTuple):
    to_planes: Tensor  # of JFIF, from RGB to luminance and colours, (3, 3)
    to_colours: Tensor
    cosines: Tensor  # orthogonal, (8, 8)


@cache
def _constants(device: torch.device) -> _Constants:
    to_planes = torch.tensor([LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)])
    frequency = torch.arange(8, dtype=torch.float32)
    cosines = 0.5 * torch.cos(math.pi / 16 * torch.outer(frequency, 2 * frequency + 1))
    cosines[0] *= 0.5**0.5
    constants = (to_planes, torch.linalg.inv(to_planes), cosines)
    return _Constants(*(constant.to(device) for constant in constants))
