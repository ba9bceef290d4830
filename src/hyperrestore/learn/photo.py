"""Training of photo repair: clean crops -> crops with noise of brightness and colours, compressed, or both.

What is damaged, and how strongly, is drawn on the CPU without waiting for a GPU; the crops stay on their
device. All crops of one level have the noise that it says, since one set of kernels restores them all.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hyperrestore.learn.compress import compressed
from hyperrestore.learn.pairs import as_stored
from hyperrestore.learn.photos import Photos
from hyperrestore.learn.recipe import Recipe, Training
from hyperrestore.learn.weaker import draw_true_levels, fade_half, store_half
from hyperrestore.measure.camera import draw_camera, photographed
from hyperrestore.measure.degrade import Subsampling, jpeg, quantisation_tables
from hyperrestore.measure.photo import UNCOMPRESSED, effective_levels, luminance, mixed_noise

GRID = 16  # pixels by which crops are larger than what is trained on: the side of the largest JPEG block
SMALLEST = 0.5  # the least factor by which a camera's picture is resized

# Of the levels that are not a camera's: what they stand for.
KINDS = {"noise": 0.3, "coloured": 0.2, "jpeg": 0.22, "both": 0.25, "nothing": 0.03}
MORE_COLOUR = 0.75  # of unequal levels, those whose colours are the noisier
STRONGEST_UNDER_JPEG = 50.0  # noise that is compressed
WORST, BEST = 5, 98  # JPEG qualities; above, next to nothing is lost

# Of the crops that are compressed; the others are saved once, whole, by libjpeg's tables.
OTHER_TABLES, SAVED_AGAIN, CUT = 0.3, 0.2, 0.1
SUBSAMPLINGS: dict[Subsampling, float] = {"4:4:4": 0.25, "4:2:2": 0.15, "4:2:0": 0.6}

# Of the pictures of cameras.
RESIZED, SAVED, SAVED_BEFORE = 0.4, 0.75, 0.5  # made smaller; saved as JPEG; and of these once before
CAMERAS_WORST = 85  # quality of a camera's own JPEG
SITES_WORST = 50  # ... and of what a site makes of it
MOST_AMPLIFIED = 4.0  # how far the noise of a crop with less than others is brought to their level


class Crops(NamedTuple):
    """The b crops of one level, of which the first m may have weaker noise than it says; see `batch.Batch`.

    Attributes:
        levels: Noise, colour noise and quality, (3,).
        degraded: (b, 3, h, w).
        clean: (b, 3, h, w).
        weaker: Which have weaker noise, (b, 1, 1, 1).
        noisy: The first ones with all of it, (m, 3, h, w).
    """

    levels: Tensor
    degraded: Tensor
    clean: Tensor
    weaker: Tensor
    noisy: Tensor


@dataclass(frozen=True)
class Saving:
    """How the crops of one level are saved as JPEG.

    Attributes:
        tables: Of each crop, (b, 2, 8, 8).
        subsampling: Of each crop, (b,), see `compressed`.
        down: Where the grid of blocks begins in what is kept, pixels.
        right: ...
        again: Tables of a second, milder saving whose grid begins at the first pixel that is kept.
    """

    tables: Tensor
    subsampling: Tensor
    down: int = 0
    right: int = 0
    again: Tensor | None = None


def photo_crop_side(training: Training) -> int:
    """Pixels along a side of the clean crops: so many that cameras' pictures can be made smaller."""
    return round((training.crop + GRID) / SMALLEST)


def draw_photo(recipe: Recipe, photos: Photos, generator: torch.Generator) -> Crops:
    """Draw levels and crops, and damage them.

    Args:
        recipe: For the task photo.
        photos: Crops of side `photo_crop_side`.
        generator: On the photos' device.

    Returns:
        The crops of k levels, stacked: every tensor has a first dimension of k.
    """
    training = recipe.training
    groups, count = training.levels_per_step, training.crops_per_level
    crops = photos.crops(groups * count, generator).unflatten(0, (groups, count))  # type: ignore[no-untyped-call]
    random = host_random(generator)
    parts = []
    for own in crops:
        if random.random() < training.cameras_share:
            parts.append(from_camera(own, recipe, random, generator))
        else:
            parts.append(from_levels(own, recipe, random, generator))
    return Crops(*(torch.stack(part) for part in zip(*parts, strict=True)))


def host_random(generator: torch.Generator) -> np.random.Generator:
    """Random numbers on the CPU that follow from a generator's state; a GPU is not waited for."""
    state = hashlib.sha256(generator.get_state().numpy().tobytes()).digest()
    return np.random.default_rng(int.from_bytes(state[:16]))


def draw_damage(recipe: Recipe, random: np.random.Generator) -> tuple[float, float, float]:
    """Noise, colour noise and quality of one level, of one of the `KINDS`."""
    noise, (colours, quality) = recipe.scale, recipe.axes
    power = recipe.training.level_power
    kind = random.choice(list(KINDS), p=list(KINDS.values()))
    strong, equal, weaker = random.random() ** power, random.random() < 0.5, random.random()
    low = max(quality.trained[0], WORST)
    saved = float(round(low + (BEST - low) * random.random() ** power))
    if kind == "nothing":
        return noise.origin, colours.origin, UNCOMPRESSED
    if kind == "jpeg":
        return noise.origin, colours.origin, saved
    most = min(noise.trained[1], colours.trained[1])
    if kind == "both":
        most = min(most, STRONGEST_UNDER_JPEG)
    first = second = most * strong
    if kind == "coloured" or (kind == "both" and not equal):
        second = first * weaker
        if random.random() < MORE_COLOUR:
            first, second = second, first
    return first, second, saved if kind == "both" else UNCOMPRESSED


def from_levels(
    crops: Tensor, recipe: Recipe, random: np.random.Generator, generator: torch.Generator
) -> Crops:
    """Give crops (b, 3, h, w) Gaussian noise, compression or both."""
    training, count = recipe.training, len(crops)
    levels = draw_damage(recipe, random)
    clean = _cut(crops, training.crop + GRID, random)
    chances = torch.rand(2, count, 1, 1, 1, generator=generator, device=clean.device)
    grey = chances[0] < training.grey_share
    clean = torch.where(grey, luminance(clean), clean)
    share, weaker = draw_true_levels(clean.new_ones(()), count, training, generator)
    clean = fade_half(clean, weaker, generator)

    # Behind the crops their first ones again, with all the noise.
    most = math.ceil(count * training.weaker_share)
    clean, grey, stored = (torch.cat([one, one[:most]]) for one in (clean, grey, chances[1]))
    noise = torch.empty_like(clean).normal_(generator=generator)
    noise = mixed_noise(torch.where(grey, noise[:, :1], noise), levels[0] / 255, levels[1] / 255)
    noisy = clean + torch.cat([share * noise[:count], noise[count:]])
    if levels[2] == UNCOMPRESSED:
        inner = (..., slice(training.crop), slice(training.crop))
        noisy = torch.where(stored < training.clipped_share, as_stored(noisy), noisy)
        degraded, clean = noisy[inner], clean[inner]
    else:
        degraded, clean = saved(noisy, clean, draw_saving(levels[2], clean, random))
    own = store_half(degraded[:count], weaker, generator)
    return Crops(clean.new_tensor(levels), own, clean[:count], weaker, degraded[count:])


def from_camera(
    crops: Tensor, recipe: Recipe, random: np.random.Generator, generator: torch.Generator
) -> Crops:
    """Damage crops (b, 3, h, w) as one camera does.

    The levels are what `effective_levels` measures in the developed, resized picture before it is compressed,
    on average over the crops; the noise of each is scaled to it.
    """
    training = recipe.training
    camera, side = draw_camera(random), training.crop + GRID
    factor = random.uniform(SMALLEST, 1) if random.random() < RESIZED else 1.0
    clean = _cut(crops, round(side / factor), random)
    noise = torch.empty_like(clean).normal_(generator=generator)
    noisy, clean = photographed(clean, camera, noise)
    noise, small = noisy - clean, resized(clean, side)
    told, noise = levelled(noise, effective_levels(resized(noise, side)), recipe)
    noisy = clean + noise

    quality = UNCOMPRESSED
    if random.random() < SAVED:
        quality = float(random.integers(SITES_WORST, BEST, endpoint=True))
        if random.random() < SAVED_BEFORE:
            own = draw_saving(float(random.integers(CAMERAS_WORST, BEST, endpoint=True)), clean, random)
            noisy = compressed(noisy, own.tables, own.subsampling)
    noisy = as_stored(resized(noisy, side))
    if quality == UNCOMPRESSED:
        inner = (..., slice(training.crop), slice(training.crop))
        degraded, small = noisy[inner], small[inner]
    else:
        degraded, small = saved(noisy, small, draw_saving(quality, small, random))
    none = torch.zeros_like(small[:, :1, :1, :1], dtype=torch.bool)
    most = math.ceil(len(small) * training.weaker_share)
    return Crops(torch.cat([told, told.new_tensor([quality])]), degraded, small, none, degraded[:most])


def levelled(noise: Tensor, measured: tuple[Tensor, Tensor], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Bring the noise of several crops to the same levels.

    Args:
        noise: (b, 3, h, w).
        measured: The levels of its brightness and colours, each (b,).
        recipe: Says how strong it may become.

    Returns:
        The two levels, (2,), and the noise. What is far below the others is amplified only so much.
    """
    told, factors = [], []
    for own, scale in zip(measured, recipe.scales[:2], strict=True):
        level = own.mean().clamp(*scale.trained)
        told.append(level)
        factors.append((level / own.clamp(min=1e-3)).clamp(max=MOST_AMPLIFIED).view(-1, 1, 1, 1))
    return torch.stack(told), mixed_noise(noise, *factors)


def resized(pictures: Tensor, side: int) -> Tensor:
    """Make (b, 3, h, h) smaller, with antialiasing."""
    if pictures.shape[-1] == side:
        return pictures
    return F.interpolate(pictures, (side, side), mode="bicubic", antialias=True)


def draw_saving(quality: float, crops: Tensor, random: np.random.Generator) -> Saving:
    """How crops (b, 3, h, w) are saved at a quality: with various tables, again, and cut."""
    device, count = crops.device, len(crops)
    kinds = random.choice(len(SUBSAMPLINGS), size=count, p=list(SUBSAMPLINGS.values()))
    subsampling = torch.from_numpy(kinds).to(device)
    tables = torch.stack([_tables(quality, random) for _ in range(count)]).to(device)
    chance, milder = random.random(2)
    down, right = (int(place) for place in random.integers(GRID, size=2))
    if chance < SAVED_AGAIN:
        second = _tables(quality + (BEST - quality) * milder if quality < BEST else quality, random)
        return Saving(tables, subsampling, down, right, second[None].to(device))
    if chance < SAVED_AGAIN + CUT:
        return Saving(tables, subsampling, down, right)
    return Saving(tables, subsampling)


def saved(noisy: Tensor, clean: Tensor, saving: Saving) -> tuple[Tensor, Tensor]:
    """Noisy and clean pictures (b, 3, h, w), saved: degraded and clean ones, smaller by `GRID` pixels."""
    picture, side = compressed(noisy, saving.tables, saving.subsampling), clean.shape[-1] - GRID
    inner = (..., slice(saving.down, saving.down + side), slice(saving.right, saving.right + side))
    picture = picture[inner]
    if saving.again is not None:
        picture = compressed(picture, saving.again, saving.subsampling)
    return picture, clean[inner]


def camera_pair(
    clean: Tensor, random: np.random.Generator
) -> tuple[tuple[float, float, float], Tensor, Tensor]:
    """A clean picture (3, h, w) on the CPU, as a camera saves it: levels, degraded and clean picture."""
    camera = draw_camera(random)
    noise = random.standard_normal(clean.shape, dtype=np.float32)
    noisy, developed = photographed(clean.numpy(), camera, noise)
    quality = int(random.integers(CAMERAS_WORST, BEST, endpoint=True))
    brightness, colours = (float(level) for level in effective_levels(noisy - developed))
    degraded = torch.from_numpy(jpeg(noisy, quality))
    return (brightness, colours, float(quality)), degraded, torch.from_numpy(developed)


def _cut(crops: Tensor, side: int, random: np.random.Generator) -> Tensor:
    """The same part of all crops (b, 3, h, h), with sides of so many pixels."""
    top, left = random.integers(crops.shape[-1] - side + 1, size=2)
    return crops[..., top : top + side, left : left + side]


def _tables(quality: float, random: np.random.Generator) -> Tensor:
    """Tables of a quality, (2, 8, 8): those of libjpeg, or of a share other ones."""
    kind, tilt, colours = random.random(3)
    changes = {"tilt": 1.6 * tilt - 0.8, "colours": 2.0 ** (2 * colours - 1)} if kind < OTHER_TABLES else {}
    return torch.tensor(quantisation_tables(quality, **changes), dtype=torch.float32).view(2, 8, 8)
