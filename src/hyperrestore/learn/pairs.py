"""Clean crops and a level -> what a network is trained and validated on, for each task."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hyperrestore.arrays import Float64, Pixels
from hyperrestore.colour import LUMA
from hyperrestore.learn.recipe import Training
from hyperrestore.level import Task
from hyperrestore.measure.degrade import Protocol, Subsampling, gaussian_noise, jpeg
from hyperrestore.measure.protocols import degrade, prepare
from hyperrestore.picture.containers.jpeg import quantisation_tables
from hyperrestore.resample import resize_matrix

MARGIN = 16  # pixels by which crops are drawn too large: the side of the largest JPEG block

# Shares of the JPEG crops of a training. The others are saved once, whole, with libjpeg's tables.
OTHER_TABLES = 0.3  # by tables that rise otherwise, as those of other encoders and of cameras do
SAVED_AGAIN = 0.2  # a second time, less strongly, on a grid that lies elsewhere
CUT = 0.1  # and then cut, so that the grid of blocks begins anywhere
WITH_ANTIALIASING = 0.5  # of the crops for upscaling that were shrunk otherwise
SUBSAMPLINGS: dict[Subsampling, float] = {"4:2:0": 0.6, "4:2:2": 0.15, "4:4:4": 0.25}


def margin(task: Task) -> int:
    """How many pixels larger than the training pair a crop must be."""
    return 0 if task == Task.DENOISE else MARGIN


def training_pair(
    task: Task, clean: Tensor, level: Tensor, training: Training, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Turn clean crops into a training pair.

    Args:
        task: What is repaired.
        clean: (b, 3, h, w), values in [0, 1], larger by `margin(task)` than the pair.
        level: In the task's unit, a tensor of one value; for JPEG a whole number; for noise also one for each
            crop, (b, 1, 1, 1).
        training: Shares of crops that are degraded in other ways, and the protocol.
        generator: Source of randomness, on the crops' device.

    Returns:
        Degraded and clean crops, both (b, 3, h - margin, w - margin); grey ones have three equal channels.
    """
    random = torch.rand(len(clean), generator=generator, device=clean.device).view(-1, 1, 1, 1)
    grey = random < training.grey_share
    if task not in _PAIRS:
        return _by_protocol(task, clean, grey, float(level), training.protocol, generator)
    if training.protocol == "hyperres" and task != Task.DENOISE:
        # Neither of the two tasks has noise that the seed could change.
        return _as_measured(task, list(clean), float(level), training.protocol, seed=0)
    clean = torch.where(grey, _luma(clean), clean)
    return _PAIRS[task](clean, grey, level, training, generator)


def _luma(clean: Tensor) -> Tensor:
    """(b, 3, h, w) -> (b, 1, h, w)."""
    red, green, blue = (weight * clean[:, index : index + 1] for index, weight in enumerate(LUMA))
    return red + green + blue


def some_grey(clean: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Make a share of crops (b, 3, h, w) grey."""
    random = torch.rand(len(clean), 1, 1, 1, generator=generator, device=clean.device)
    return torch.where(random < share, _luma(clean), clean)


def noisy_at(clean: Tensor, grey: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """Add noise to crops (b, 3, h, w), equal in the channels of `grey` ones (b, 1, 1, 1)."""
    noise = gaussian_noise(torch.zeros_like(clean), level, generator)
    return clean + torch.where(grey, noise[:, :1], noise)


def as_stored(noisy: Tensor) -> Tensor:
    """Clip and round, as in a file of 8 bits."""
    return (noisy.clamp(0, 1) * 255).round() / 255


def _noisy(
    clean: Tensor, grey: Tensor, level: Tensor, training: Training, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    random = torch.rand(len(clean), generator=generator, device=clean.device).view(-1, 1, 1, 1)
    noisy = noisy_at(clean, grey, level, generator)
    if training.protocol == "hyperres":  # truncated, which darkens by half a step
        return (noisy.clamp(0, 1) * 255).floor() / 255, clean
    return torch.where(random < training.clipped_share, as_stored(noisy), noisy), clean


def _compressed(
    clean: Tensor, grey: Tensor, level: Tensor, training: Training, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """JPEG is made on the CPU, a crop at a time."""
    random = torch.rand(len(clean), 9, generator=generator, device=clean.device).cpu().numpy()
    quality, side = round(float(level)), clean.shape[-1] - MARGIN
    kinds, limits = list(SUBSAMPLINGS), np.cumsum(list(SUBSAMPLINGS.values())[:-1])
    crops = clean.cpu().numpy()
    degraded, targets = np.empty_like(crops[..., :side, :side]), np.empty_like(crops[..., :side, :side])
    for index, (crop, is_grey) in enumerate(zip(crops, grey.flatten().tolist(), strict=True)):
        kind, tilt, colours, chroma, again, milder, cut, down, right = random[index]
        tables = None
        if kind < OTHER_TABLES:
            tables = quantisation_tables(quality, tilt=1.6 * tilt - 0.8, colours=2.0 ** (2 * colours - 1))
        subsampling = kinds[int(np.searchsorted(limits, chroma, side="right"))]
        picture = crop[:1] if is_grey else crop
        top, left = int(down * MARGIN), int(right * MARGIN)
        saved = jpeg(picture, quality, subsampling=subsampling, tables=tables)
        if again < SAVED_AGAIN:
            # Of the two the stronger compression is the level; the grid of the second is the picture's.
            saved, picture = saved[:, top:, left:], picture[:, top:, left:]
            saved = jpeg(saved, round(quality + (98 - quality) * milder) if quality < 98 else quality)
            top, left = 0, 0
        elif cut >= CUT:
            top, left = 0, 0
        degraded[index] = saved[:, top : top + side, left : left + side]
        targets[index] = picture[:, top : top + side, left : left + side]
    return torch.from_numpy(degraded).to(clean.device), torch.from_numpy(targets).to(clean.device)


def _enlarged(
    clean: Tensor, grey: Tensor, level: Tensor, training: Training, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Shrink and enlarge as `degrade.rescale`, or as other programs do, by two products of matrices."""
    count = clean.shape[-1]
    length = max(1, round(count / float(level)))
    other, kind = torch.rand(2, generator=generator, device=clean.device).tolist()
    matrices = _standard_matrices(count, length)
    if other < training.other_share:
        matrices = _other_matrices(count, length, kind)
    shrink, enlarge = map(clean.new_tensor, matrices)
    small = (shrink @ clean @ shrink.T).clamp(0, 1)
    large = enlarge @ ((small * 255).round() / 255) @ enlarge.T
    inner = slice(MARGIN // 2, count - MARGIN // 2)  # beyond it the crop's own border is seen
    return large[..., inner, inner], clean[..., inner, inner]


def _standard_matrices(count: int, length: int) -> tuple[Float64, Float64]:
    """Matrices that shrink `count` samples to `length`, and enlarge them again."""
    shrink = resize_matrix(count, length, count / length, antialias=True)
    return shrink, resize_matrix(length, count, length / count, antialias=True)


def _other_matrices(count: int, length: int, kind: float) -> tuple[Float64, Float64]:
    """Matrices of other programs; `kind`, from 0 to 1, selects how they shrink, and whether they enlarge."""
    _, enlarge = _standard_matrices(count, length)
    filters = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)
    if kind < WITH_ANTIALIASING:
        chosen = filters[int(kind / WITH_ANTIALIASING * len(filters))]
        # What a filter makes of each unit vector are the columns of its matrix.
        units = Image.fromarray(np.eye(count, dtype=np.float32))
        return np.asarray(units.resize((count, length), chosen), np.float64), enlarge
    shrink = resize_matrix(count, length, count / length, antialias=False)
    if kind < (1 + WITH_ANTIALIASING) / 2:
        return shrink, enlarge
    return shrink, resize_matrix(length, count, length / count, antialias=False)


def _by_protocol(
    task: Task, clean: Tensor, grey: Tensor, level: float, protocol: Protocol, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The pair for a task that has no entry in `_PAIRS`; grey crops are degraded as grey pictures."""
    seed = int(torch.randint(2**62, (), generator=generator, device=clean.device))
    crops = [
        brightness if is_grey else crop
        for crop, brightness, is_grey in zip(clean, _luma(clean), grey.flatten().tolist(), strict=True)
    ]
    return _as_measured(task, crops, level, protocol, seed)


def _as_measured(
    task: Task, clean: list[Tensor], level: float, protocol: Protocol, seed: int
) -> tuple[Tensor, Tensor]:
    """The pair by the protocol alone, on the CPU, a crop at a time, without the border of the crop."""
    border = margin(task) // 2
    inner = slice(border, clean[0].shape[-1] - border)
    random = np.random.default_rng(seed)
    pairs = [measured_pair(task, crop.cpu(), level, protocol, random) for crop in clean]
    degraded, target = (torch.stack(pictures)[..., inner, inner] for pictures in zip(*pairs, strict=True))
    return degraded.to(clean[0].device), target.to(clean[0].device)


_PAIRS: dict[Task, Callable[[Tensor, Tensor, Tensor, Training, torch.Generator], tuple[Tensor, Tensor]]] = {
    Task.DENOISE: _noisy,
    Task.DEJPEG: _compressed,
    Task.UPSCALE: _enlarged,
}


def measured_pair(
    task: Task, clean: Tensor, level: float, protocol: Protocol, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Degrade a clean picture as `evaluate` does.

    Args:
        task: What is repaired.
        clean: (3, h, w) on the CPU, values in [0, 1].
        level: In the task's unit.
        protocol: See `protocols`; JPEG of "hyperres" is grey.
        generator: Of noise.

    Returns:
        Degraded and clean picture, both (3, h, w) or a little smaller (see `protocols.prepare`); grey ones
        have three equal channels.
    """
    grey = task == Task.DEJPEG and protocol == "hyperres"
    prepared = prepare(clean.numpy(), level, task, protocol, grey=grey)
    degraded = degrade(prepared, level, task, protocol, generator)
    return _three_channels(degraded), _three_channels(prepared)


def _three_channels(picture: Pixels) -> Tensor:
    """(1 or 3, h, w) -> (3, h, w)."""
    return torch.from_numpy(np.ascontiguousarray(picture)).expand(3, -1, -1)
