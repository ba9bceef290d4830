"""Training of upscaling: clean crops -> small pictures, and sub-pixels -> pictures of the exact size.

Nothing here waits for a GPU: every step has tensors of the same shapes, whatever its scales. Crops are placed
in the top left corner of a canvas for the largest scale; the rest of it is zero, and does not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from hyperrestore.learn.compress import compressed
from hyperrestore.learn.pairs import some_grey
from hyperrestore.learn.photos import Photos
from hyperrestore.learn.recipe import Recipe
from hyperrestore.network.hyper import Hypernetwork
from hyperrestore.picture.containers.jpeg import CHROMINANCE, LUMINANCE

Kernel = Callable[[Tensor], Tensor]  # of the distance, in samples of the coarser of two grids

ROUGH_SIGMA, ROUGH_QUALITY = 3.0, 80.0  # the most noise, and the strongest compression, of rough crops
MISJUDGED = 0.5  # largest error of a softness that is given wrong


def cubic(distance: Tensor) -> Tensor:
    """Kernel of Keys with a = -0.5 (R. Keys, "Cubic convolution interpolation", 1981)."""
    x = distance.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))


def box(distance: Tensor) -> Tensor:
    """Mean over an area."""
    return (distance.abs() <= 0.5).to(distance)


def triangle(distance: Tensor) -> Tensor:
    """Linear interpolation, widened."""
    return (1 - distance.abs()).clamp(min=0)


def lanczos(distance: Tensor) -> Tensor:
    """Lanczos' kernel of three lobes."""
    x = distance.clamp(-3, 3)
    return torch.sinc(x) * torch.sinc(x / 3)


# Other kernels that programs shrink by, and the softness of the cubic kernel whose spectrum up to the
# small picture's sampling rate is nearest (least squares; `tests/test_upscaling.py` computes it).
OTHER_KERNELS: tuple[tuple[Kernel, float], ...] = ((box, 0.82), (triangle, 1.08), (lanczos, 1.02))


def resampling(
    count: Tensor, length: Tensor, *, most: tuple[int, int], stretch: Tensor, kernel: Kernel = cubic
) -> Tensor:
    """Matrices that resample one axis of several pictures, each of another size: result = matrix @ samples.

    Args:
        count: Samples of each picture along the axis, (k,).
        length: Samples of each result, (k,).
        most: The largest length and count: rows and columns of every matrix. Those beyond are zero.
        stretch: Width of the kernel, in samples of the picture, (k,); 1 interpolates.
        kernel: See `Kernel`. The border of a picture is mirrored.

    Returns:
        (k, most length, most count); rows up to `length` sum to 1.
    """
    rows, columns = (torch.arange(side, device=count.device, dtype=torch.float32) for side in most)
    count, length, stretch = (value.view(-1, 1, 1).float() for value in (count, length, stretch))
    centres = (rows.view(1, -1, 1) + 0.5) * (count / length) - 0.5
    places = columns.view(1, 1, -1)
    mirrored = (places, -1 - places, 2 * count - 1 - places)
    weights = sum(kernel((place - centres) / stretch) for place in mirrored)
    inside = (places < count) & (rows.view(1, -1, 1) < length)
    weights = torch.where(inside, weights, 0.0)
    total = weights.sum(2, keepdim=True)
    return weights / torch.where(total == 0, 1.0, total)


class UpscalingBatch(NamedTuple):
    """The data of one step: b crops at each of k scales.

    Attributes:
        levels: Scale and softness as given to the network, (k, 2).
        small: Small pictures, (k, b, 3, l, l).
        clean: The pictures that they were made from, on a canvas, (k, b, 3, m, m).
        enlarge: Cubic enlargement of one axis, (k, m, l).
        place: Sub-pixels of one axis to those of the result, (k, m, subpixels * l).
        share: Share of the canvas that the picture covers, (k,).
    """

    levels: Tensor
    small: Tensor
    clean: Tensor
    enlarge: Tensor
    place: Tensor
    share: Tensor

    @property
    def of_crops(self) -> tuple[str, ...]:
        """Those whose second axis is that of crops."""
        return ("small", "clean")


def canvas_side(recipe: Recipe) -> int:
    """Side of a small crop enlarged by the largest scale, pixels."""
    return math.ceil(recipe.training.crop * recipe.scale.trained[1])


def draw_upscaling(
    recipe: Recipe, photos: Photos, levels: Tensor, generator: torch.Generator
) -> UpscalingBatch:
    """Draw crops and softness for scales, and shrink.

    Args:
        recipe: Of a network with sub-pixels.
        photos: Crops of side `canvas_side(recipe)`.
        levels: Scales, (k,).
        generator: On the photos' device.
    """
    training, (softness_axis,) = recipe.training, recipe.axes
    side, most, device = training.crop, canvas_side(recipe), levels.device
    length = torch.full_like(levels, side)
    count = (levels * side).round()
    scales = count / length

    random = torch.rand(5, len(levels), generator=generator, device=device)
    least, highest = softness_axis.trained
    softness = torch.where(
        random[0] < training.softness_share, least + (highest - least) * random[1], softness_axis.origin
    )
    shrink = resampling(
        count, length, most=(side, most), stretch=(softness * scales).clamp(min=1), kernel=cubic
    )
    part = training.other_share / len(OTHER_KERNELS)
    for index, (kernel, nearest) in enumerate(OTHER_KERNELS):
        chosen = (random[2] >= index * part) & (random[2] < (index + 1) * part)
        other = resampling(count, length, most=(side, most), stretch=scales, kernel=kernel)
        shrink = torch.where(chosen.view(-1, 1, 1), other, shrink)
        softness = torch.where(chosen, nearest, softness)

    crops = photos.crops(len(levels) * training.crops_per_level, generator)
    grouped = (len(levels), -1, 3)
    clean = some_grey(crops, training.grey_share, generator).view(*grouped, most, most)
    covered = (torch.arange(most, device=device) < count.view(-1, 1)).float()  # (k, m)
    clean = clean * covered.view(-1, 1, 1, most, 1) * covered.view(-1, 1, 1, 1, most)
    small = _both_axes(shrink, clean).clamp(0, 1)
    small = small.flatten(0, 1)
    rough = torch.rand(len(small), 1, 1, 1, generator=generator, device=device) < training.rough_share
    small = torch.where(rough, roughened(small, generator), (small * 255).round() / 255)

    misjudged = random[3] < training.misjudged_share
    told = (softness + torch.where(misjudged, MISJUDGED * (2 * random[4] - 1), 0.0)).clamp(least, highest)

    fine = side * recipe.network.subpixels
    ones = torch.ones_like(levels)
    return UpscalingBatch(
        levels=torch.stack([scales, told], dim=1),
        small=small.view(*grouped, side, side),
        clean=clean,
        enlarge=resampling(length, count, most=(most, side), stretch=ones),
        place=resampling(torch.full_like(levels, fine), count, most=(most, fine), stretch=ones),
        share=(count / most).square(),
    )


def enlarged(network: Callable[[Tensor], Tensor], small: Tensor, height: int, width: int) -> Tensor:
    """Small pictures enlarged to a size by a network for one level.

    Args:
        network: (b, 3, h, w) -> sub-pixels (b, 3, n * h, n * w).
        small: (b, 3, h, w).
        height: Of the result, pixels.
        width: Of the result, pixels.

    Returns:
        (b, 3, height, width), not clipped.
    """
    added = network(small.contiguous(memory_format=torch.channels_last)).float()
    return _interpolated(small, height, width) + _interpolated(added, height, width)


def _interpolated(pictures: Tensor, height: int, width: int) -> Tensor:
    """(b, c, h, w) -> (b, c, height, width)."""
    rows = _interpolation(pictures.shape[-2], height, pictures.device)
    columns = _interpolation(pictures.shape[-1], width, pictures.device)
    result: Tensor = rows @ pictures @ columns.mT
    return result


def _interpolation(count: int, length: int, device: torch.device) -> Tensor:
    """The matrix (length, count) that interpolates one axis."""
    sizes = (torch.tensor([side], device=device) for side in (count, length))
    return resampling(*sizes, most=(length, count), stretch=torch.ones(1, device=device))[0]


def upscaled(network: Hypernetwork, small: Tensor, level: Tensor, enlarge: Tensor, place: Tensor) -> Tensor:
    """Enlarged pictures of one level, on their canvas.

    Args:
        network: Gives sub-pixels.
        small: (b, 3, l, l).
        level: Scale and softness, (2,).
        enlarge: (m, l).
        place: (m, subpixels * l).

    Returns:
        (b, 3, m, m), not clipped.
    """
    added = network(small.contiguous(memory_format=torch.channels_last), level)
    with torch.autocast(small.device.type, enabled=False):
        return _both_axes(enlarge, small) + _both_axes(place, added.float())


def _both_axes(matrix: Tensor, pictures: Tensor) -> Tensor:
    """Resample (..., h, w) by (m, n), or (k, b, c, h, w) by (k, m, n), along rows and columns."""
    if matrix.ndim == 3:
        matrix = matrix[:, None, None]
    result: Tensor = matrix @ pictures @ matrix.mT
    return result


def roughened(small: Tensor, generator: torch.Generator) -> Tensor:
    """Give small pictures light noise, then light JPEG compression; grey ones stay grey.

    The compression is that of libjpeg at quality 80 to 100 without subsampled colours, computed on the
    device: blocks of 8 x 8, cosine transform, steps of the quality's tables. Sides are padded to multiples
    of 8.

    Args:
        small: (b, 3, h, w), values in [0, 1].
        generator: On its device.

    Returns:
        The same shape, in steps of 8 bits.
    """
    device, count = small.device, len(small)
    random = torch.rand(2, count, 1, 1, 1, generator=generator, device=device)
    noise = torch.empty_like(small).normal_(generator=generator)
    grey = (small == small[:, :1]).all(dim=(1, 2, 3), keepdim=True)
    noise = torch.where(grey, noise[:, :1], noise)
    noisy = ((small + random[0] * (ROUGH_SIGMA / 255) * noise).clamp(0, 1) * 255).round()

    quality = (ROUGH_QUALITY + (100 - ROUGH_QUALITY) * random[1]).round()
    steps = ((_usual_tables(device) * (200 - 2 * quality) + 50) / 100).floor().clamp(1, 255)
    return compressed(noisy / 255, steps)


@cache
def _usual_tables(device: torch.device) -> Tensor:
    """Of quality 50, (1, 2, 8, 8)."""
    return torch.tensor([LUMINANCE, CHROMINANCE], dtype=torch.float32).view(1, 2, 8, 8).to(device)
