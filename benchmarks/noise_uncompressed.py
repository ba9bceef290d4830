"""The noise of a picture before it was compressed: lessons, a fit, and its errors.

    python benchmarks/noise_uncompressed.py PHOTOS           # measures the shipped estimate
    python benchmarks/noise_uncompressed.py PHOTOS --fit     # fits it anew, into the weights of the estimate

The sigma of `hyperrestore.detect.noise` is the level at which `denoise` restores best, which is not told
the JPEG quality. `photo` is told, and takes the noise itself. Lessons are damaged as in its training, half
of them by given levels and half by cameras; those without noise are left out, since sigma decides whether
there is any. From what the estimate knows of the blocks, two layers find the logarithm of the noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from markdown import grid
from safetensors.numpy import load_file, save_file
from torch import nn

from hyperrestore.arrays import Float32
from hyperrestore.detect.findings import SURE
from hyperrestore.detect.noise import WEIGHTS, describe_blocks, estimate, pooled
from hyperrestore.learn.photo import (
    CAMERAS_WORST,
    RESIZED,
    SAVED,
    SAVED_BEFORE,
    SITES_WORST,
    draw_damage,
    resized,
)
from hyperrestore.learn.photos import PhotoFile, find_photos, read_rgb, split_photos
from hyperrestore.learn.recipe import Recipe, read_recipe
from hyperrestore.measure.camera import draw_camera, photographed
from hyperrestore.measure.degrade import jpeg
from hyperrestore.measure.metrics import to_8bit
from hyperrestore.measure.photo import UNCOMPRESSED, damaged_photo, effective_levels

RECIPE = Path(__file__).parents[1] / "recipes" / "photo.toml"
GREY, CAMERAS, STORED = (
    0.15,
    0.5,
    0.6,
)  # shares: grey photos; of cameras; of the others, those stored in 8 bits
LEAST, MOST = 1.5, 75.0  # noise
BEST = 98  # JPEG quality
HIDDEN, EPOCHS, BATCH, RATE = 64, 60, 64, 4e-3


class Lesson(NamedTuple):
    """What is known of a damaged photo.

    Attributes:
        kind: "levels" or "camera", and "JPEG" behind it if it was saved.
        noise: Its level, before it was saved.
        scales: Its blocks, see `describe_blocks`.
    """

    kind: str
    noise: float
    scales: list[Float32]


def lessons(files: Sequence[PhotoFile], recipe: Recipe, count: int, seed: int) -> list[Lesson]:
    """Damaged photos."""
    random = np.random.default_rng(seed)
    found: list[Lesson] = []
    while len(found) < count:
        clean = read_rgb(files[random.integers(len(files))].path).astype(np.float32) / 255
        if random.random() < GREY:
            clean = np.broadcast_to(clean.mean(axis=0, keepdims=True), clean.shape).copy()
        damage = by_camera if random.random() < CAMERAS else by_levels
        noise, quality, damaged = damage(clean, recipe, random)
        scales = describe_blocks(damaged * np.float32(255))
        if scales is not None and LEAST <= noise <= MOST:
            kind = damage.__name__.removeprefix("by_") + (", JPEG" if quality != UNCOMPRESSED else "")
            found.append(Lesson(kind, noise, scales))
    return found


def by_levels(clean: Float32, recipe: Recipe, random: np.random.Generator) -> tuple[float, float, Float32]:
    """Its noise, its quality and a photo (3, h, w) with white noise, saved or not."""
    levels = draw_damage(recipe, random)
    damaged = damaged_photo(clean, levels, random)
    stored = levels[2] == UNCOMPRESSED and random.random() < STORED
    return levels[0], levels[2], to_8bit(damaged).astype(np.float32) if stored else damaged


def by_camera(clean: Float32, recipe: Recipe, random: np.random.Generator) -> tuple[float, float, Float32]:
    """The same as a camera takes it, made smaller or not, and saved or not, once or twice."""
    white = random.standard_normal(clean.shape, dtype=np.float32)
    pair = [torch.from_numpy(one)[None] for one in photographed(clean, draw_camera(random), white)]
    if random.random() < RESIZED:
        side = round(clean.shape[1] * random.uniform(0.5, 1))
        pair = [resized(one, side) for one in pair]
    noisy, developed = (one[0].numpy() for one in pair)
    level = float(effective_levels(noisy - developed)[0])
    damaged, quality = to_8bit(noisy).astype(np.float32), UNCOMPRESSED
    if random.random() < SAVED:
        if random.random() < SAVED_BEFORE:
            damaged = jpeg(damaged, int(random.integers(CAMERAS_WORST, BEST, endpoint=True)))
        quality = float(random.integers(SITES_WORST, BEST, endpoint=True))
        damaged = jpeg(damaged, int(quality))
    return level, quality, damaged


def fit(found: Sequence[Lesson]) -> dict[str, Float32]:
    """The tensors of the two layers, for what `pooled` gives."""
    torch.manual_seed(0)
    known = torch.from_numpy(np.array([pooled(lesson.scales) for lesson in found], np.float32))
    aims = torch.from_numpy(np.log1p(np.array([[lesson.noise] for lesson in found], np.float32)))
    mean, deviation = known.mean(0), known.std(0) + 1e-3
    known = (known - mean) / deviation
    network = nn.Sequential(nn.Linear(known.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.05)
    steps = EPOCHS * -(-len(known) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(known)).split(BATCH):
            near = known[batch] + 0.05 * torch.randn_like(known[batch])  # or it learns lessons by heart
            loss = (network(near) - aims[batch]).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    first, _, second = (layer for layer in network)
    kernel = first.weight.detach().T / deviation[:, None]  # takes what is not standardised
    return {
        "noise.kernel": kernel.contiguous().numpy(),
        "noise.bias": (first.bias.detach() - mean @ kernel).numpy(),
        "uncompressed.kernel": second.weight.detach().T.contiguous().numpy(),
        "uncompressed.bias": second.bias.detach().numpy(),
    }


def table(found: Sequence[Lesson]) -> str:
    """Errors of both estimates, where noise is found."""
    head, rows = ["lessons", "found", "sigma / noise", "error", "uncompressed / noise", "error"], []
    for kind in sorted({lesson.kind for lesson in found}):
        own = [(lesson.noise, estimate(lesson.scales)) for lesson in found if lesson.kind == kind]
        sure = [(noise, one) for noise, one in own if one.worth >= SURE]
        cells = [kind, f"{len(sure)} of {len(own)}"]
        for values in ([one.sigma for _, one in sure], [one.uncompressed for _, one in sure]):
            ratios = np.log(np.array(values) / [noise for noise, _ in sure])
            cells += [f"{np.exp(np.median(ratios)):.2f}", f"{np.median(np.abs(ratios)):.2f}"]
        rows.append(cells)
    return grid(head, rows)


def main() -> None:
    """Parse the arguments; fit, or print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--lessons", type=int, default=2400, help="for the fit")
    parser.add_argument("--held-out", type=int, default=400, help="lessons that the table is about")
    options = parser.parse_args()
    recipe = read_recipe(RECIPE)
    training, held_out = split_photos(find_photos(options.photos))
    if options.fit:
        tensors = fit(lessons(training, recipe, options.lessons, 1))
        save_file({**load_file(WEIGHTS), **tensors}, WEIGHTS)
        return
    found = lessons(held_out, recipe, options.held_out, 7)
    print(f"{len(found)} lessons from photos held out: medians of the ratio to the noise, and of the error")
    print(f"of its logarithm\n\n{table(found)}")


if __name__ == "__main__":
    main()
