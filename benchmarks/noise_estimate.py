"""Train and measure the estimator of the noise level.

    python benchmarks/noise_estimate.py PHOTOS --train    # writes src/hyperrestore/models/noise.safetensors
    python benchmarks/noise_estimate.py PHOTOS            # measures it on photos held out of training
    python benchmarks/noise_estimate.py PHOTOS --best     # the levels at which `denoise` works best

Photos are cropped, sometimes shrunk or enlarged, and get noise of a known level, of every kind in `KINDS`, or
that of a camera. What level that has is found by restoring: the estimator learns what each one gains. The
table compares it with the classical method, which takes the level from the smoothest blocks.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from noise_kinds import KINDS, WHITE
from noise_samples import Piece, pieces
from safetensors.numpy import save

from hyperrestore import Restorer, run_tiled
from hyperrestore.arrays import Float32 as Floats
from hyperrestore.atomic import write_atomically
from hyperrestore.detect.findings import Compression, Findings
from hyperrestore.detect.noise import (
    FLOOR,
    LEAST_SPREAD,
    LEAST_VARIANCE,
    LEVELS,
    WEIGHTS,
    Noise,
    best_levels,
    describe_blocks,
    estimate,
)
from hyperrestore.learn.photos import PhotoFile, find_photos, split_photos, validation_crops
from hyperrestore.measure.metrics import psnr

WIDTH, DEEPER, HEADS, HIDDEN = 64, 32, 4, 64  # of the network's layers
SEEN = (256, 64)  # blocks of a piece, at full and half size
BATCH, RATE = 64, 2e-3
LEAST_GAIN = -4.0  # dB, below which it does not matter how bad a level is
HELPS = 0.1  # dB from which on a level is worth applying
GOOD = 0.05  # dB that a level may lose and be as right as the best one
SHARP = 0.2  # dB by which a level is to seem better than another, to be chosen e times as often in training
MOST_LOST = 4.0  # dB, above which it does not matter how much a level loses
NOT_COMPRESSED = Compression(None, "")
RATIOS = (0.5, 0.7, 0.85, 1, 1.2, 1.5, 2)
LIMITS = (0, 1, 10, 25, 50, 75)  # of the classes of sigma in the table
Halves = npt.NDArray[np.float16]


class Lessons(NamedTuple):
    """What the network learns from.

    Attributes:
        scales: Some blocks of each of n pieces at full and half size, (n, SEEN, 197).
        sigmas: Their levels, (n,).
        gains: What each of LEVELS gains, dB, (n, levels).
        white: Whether sigma is the level that restores best, (n,).
    """

    scales: list[Halves]
    sigmas: Floats
    gains: Floats
    white: npt.NDArray[np.bool_]


def collect(samples: Iterable[Piece]) -> Lessons:
    """Look at pieces as the estimator does."""
    random = np.random.default_rng(0)
    scales: list[list[Halves]] = [[] for _ in SEEN]
    sigmas, gains, white = [], [], []
    for piece in samples:
        for kept, blocks, most in zip(scales, described(piece.pixels), SEEN, strict=True):
            kept.append(blocks[np.resize(random.permutation(len(blocks)), most)].astype(np.float16))
        sigmas.append(piece.sigma)
        gains.append(piece.gains)
        white.append(piece.white)
    stacked = [np.stack(kept) for kept in scales]
    return Lessons(stacked, np.array(sigmas, np.float32), np.stack(gains), np.array(white))


def fit(lessons: Lessons, *, epochs: int) -> dict[str, Floats]:
    """Train the network.

    It learns what each of LEVELS gains, the sigma of white noise, both by their absolute error; whether noise
    is white, and whether its level is worth applying, by cross-entropy; and how far off the level is, by the
    likelihood of Laplace.
    """
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    torch.manual_seed(0)
    scales = [torch.from_numpy(blocks) for blocks in lessons.scales]
    sigmas, white = torch.from_numpy(lessons.sigmas), torch.from_numpy(lessons.white)
    gains = torch.from_numpy(lessons.gains)
    most_gained = gains.amax(dim=1, keepdim=True)
    losses = most_gained - gains  # (n, levels)
    tried = torch.tensor(LEVELS)
    # Between them every level is as right as the best one.
    right = losses <= GOOD
    least = torch.where(white, sigmas, tried[right.int().argmax(dim=1)])
    most = torch.where(white, sigmas, tried[len(tried) - 1 - right.flip(1).int().argmax(dim=1)])

    size = scales[0].shape[-1]
    network = nn.ModuleDict(
        {"whole": nn.Linear(2 * 2 * HEADS * DEEPER, HIDDEN), "level": nn.Linear(HIDDEN, 3 + len(LEVELS))}
    )
    centres = []
    for number, blocks in enumerate(scales):
        some = blocks[:2000].float()
        centres.append((some.mean(dim=(0, 1)), some.std(dim=(0, 1)) + 0.05))
        network[f"block{number}"] = nn.Linear(size, WIDTH)
        network[f"deeper{number}"] = nn.Linear(WIDTH, DEEPER)
        network[f"score{number}"] = nn.Linear(DEEPER, HEADS)

    def predict(batch: Tensor) -> Tensor:
        pooled = []
        for number, (blocks, (mean, deviation)) in enumerate(zip(scales, centres, strict=True)):
            # Half of the blocks, others each time, so that no piece is learnt by heart.
            half = blocks.shape[1] // 2
            first = int(torch.randint(half, ()))
            x = (blocks[batch, first : first + half].float() - mean) / deviation
            x = x + 0.05 * torch.randn_like(x)
            x = network[f"block{number}"](x).relu()
            x = network[f"deeper{number}"](x).relu()
            shares = network[f"score{number}"](x).softmax(dim=1)  # (b, n, heads)
            average = shares.transpose(1, 2) @ x
            variance = (shares.transpose(1, 2) @ x.square() - average.square()).clamp(min=0)
            pooled += [average.flatten(1), (variance + LEAST_VARIANCE).sqrt().flatten(1)]
        prediction: Tensor = network["level"](network["whole"](torch.cat(pooled, dim=1)).relu())
        return prediction

    steps = epochs * (len(sigmas) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=5e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for step in range(steps):
        batch = torch.randint(0, len(sigmas), (BATCH,))
        logarithm, spread, worth, is_white, *estimated = predict(batch).T
        factor = logarithm.clamp(0, 6).exp()  # 1 + sigma
        # Weak noise is to be known more closely than strong noise. Below 0 the clamp has no slope of its own.
        error = (factor - 1 - sigmas[batch]).abs() / (1.5 + 0.08 * sigmas[batch])
        loss = (error * white[batch] + (-logarithm).relu()).mean()
        # How bad a level is matters the less, the worse it is.
        missed = (torch.stack(estimated, dim=1) - gains[batch, 1:].clamp(min=LEAST_GAIN)).abs()
        lost = losses[batch].clamp(max=MOST_LOST)
        loss = loss + (missed / (0.5 + lost[:, 1:])).mean()
        # Gains are there to choose by: what a choice by them loses.
        by_level = torch.stack([torch.zeros_like(logarithm), *estimated], dim=1)
        loss = loss + ((by_level / SHARP).softmax(dim=1) * lost).sum(dim=1).mean()
        loss = loss + 0.2 * F.binary_cross_entropy_with_logits(is_white, white[batch].float())

        by_gains = torch.from_numpy(best_levels(by_level.detach().double().numpy())).float()
        level = torch.where(is_white > 0, factor.detach() - 1, by_gains)
        off = (least[batch] - level).relu() + (level - most[batch]).relu()
        scale = (1 + level) * F.softplus(spread) + LEAST_SPREAD
        loss = loss + 0.2 * (off / scale + scale.log()).mean()
        gained = [gain_at(one, row) for one, row in zip(level.tolist(), lessons.gains[batch], strict=True)]
        helps = torch.tensor(gained) >= HELPS
        loss = loss + 0.5 * F.binary_cross_entropy_with_logits(worth, helps.float())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            print(f"step {step} of {steps}: {loss.item():.3f}", flush=True)
    weights = {}
    for name, module in network.items():
        kernel, bias = module.weight.detach().T, module.bias.detach()
        if name.startswith("block"):  # takes over what brings its input to mean 0 and deviation 1
            mean, deviation = centres[int(name[-1])]
            kernel = kernel / deviation[:, None]
            bias = bias - mean @ kernel
        weights |= {f"{name}.kernel": kernel.numpy(), f"{name}.bias": bias.numpy()}
    return {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in weights.items()}


def described(pixels: Floats) -> list[Floats]:
    """What the estimator sees of a piece, all of which are large enough."""
    scales = describe_blocks(pixels)
    assert scales is not None
    return scales


def best_ratios(files: Sequence[PhotoFile]) -> str:
    """The level at which `denoise` restores best over sigma, and what a ratio of 1 loses, in Markdown."""
    restorer = Restorer.load("denoise")
    crops = validation_crops(files, count=8, size=192)
    lines = ["| kind of noise | sigma | best level / sigma | lost at sigma, dB |", "|---|---|---|---|"]
    for kind, degrade in KINDS.items():
        for sigma in (6, 15, 35):
            noisy = [
                degrade(clean * 255, sigma, np.random.default_rng(seed)) / 255
                for seed, clean in enumerate(crops)
            ]
            means = []
            for ratio in RATIOS:
                network = restorer.at(ratio * sigma, bits=8)
                scores = [
                    psnr(run_tiled(network, picture), clean[:, -picture.shape[1] :, -picture.shape[2] :])
                    for picture, clean in zip(noisy, crops, strict=True)
                ]
                means.append(np.mean(scores))
            lost = max(means) - means[RATIOS.index(1)]
            lines.append(f"| {kind} | {sigma} | {RATIOS[int(np.argmax(means))]:g} | {lost:.2f} |")
    return "\n".join(lines)


def classical(blocks: Floats) -> float:
    """Sigma as the 2 % of blocks show it whose brightness has the least energy at high frequencies."""
    high = np.add.outer(np.arange(8), np.arange(8)).ravel() >= 8
    energies = np.exp(2 * blocks[:, :64][:, high]).mean(axis=1)
    return float(np.sqrt(max(np.quantile(energies, 0.02) - FLOOR, 0)))


def table(
    estimates: dict[str, npt.NDArray[Any]], sigmas: Floats, kinds: npt.NDArray[Any], names: Sequence[str]
) -> str:
    """Mean absolute error of each way for each white kind and class of sigma, in Markdown."""
    classes = list(itertools.pairwise(LIMITS))
    head = ["method", "kind of noise", "all", *(f"{low} to {high}" for low, high in classes)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for way, found in estimates.items():
        for number, kind in enumerate(names):
            if kind not in WHITE:
                continue
            of_kind = kinds == number
            cells = [np.abs(found - sigmas)[of_kind].mean()]
            for low, high in classes:
                inside = of_kind & (sigmas >= low) & (sigmas < high)
                cells.append(np.abs(found - sigmas)[inside].mean() if inside.any() else np.nan)
            lines.append(f"| {way} | {kind} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train if asked, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--best", action="store_true", help="measure only which levels restore best")
    parser.add_argument(
        "--samples", type=int, default=52000, help="training samples; a tenth as many are measured"
    )
    parser.add_argument(
        "--cameras", type=float, default=0.3, help="share of crops with the noise of a camera (default: 0.3)"
    )
    parser.add_argument("--epochs", type=int, default=14)
    options = parser.parse_args()
    training, held_out = split_photos(find_photos(options.photos))
    if options.best:
        print(best_ratios(held_out))
        return
    if options.train:
        lessons = collect(pieces(training, options.samples, seed=0, cameras=options.cameras))
        write_atomically(WEIGHTS, save(fit(lessons, epochs=options.epochs)))
    rows, gained = [], []
    for piece in pieces(held_out, options.samples // 10, seed=1, cameras=options.cameras):
        scales = described(piece.pixels)
        noise = estimate(scales)
        rows.append((noise.sigma, found_level(noise) > 0, classical(scales[0]), piece.sigma, piece.kind))
        gained.append(gained_by(noise, piece.gains))
    trained, sure, calmest, sigmas, kinds = np.array(rows).T
    names = [*KINDS, "camera"] if options.cameras else [*KINDS]
    photos = len({file.photo for file in held_out})
    print(
        f"{len(sigmas)} crops of {photos} photos held out of training, and of drawn pictures. Mean "
        "absolute error of sigma, where sigma is the level that restores best:\n"
    )
    print(table({"trained": trained, "classical": calmest}, sigmas, kinds, names))
    print("\nWhat `denoise` gains at the estimated level, where it is certain:\n")
    print(gain_table(np.array(gained), sure, sigmas, kinds, names))


def gain_table(
    gained: Floats, sure: npt.NDArray[Any], sigmas: Floats, kinds: npt.NDArray[Any], names: Sequence[str]
) -> str:
    """For each kind what is gained, and what is changed or left alone wrongly, in Markdown."""
    lines = [
        "| kind of noise | best level, dB | estimated level, dB | worse by over 0.1 dB | "
        "changed without noise | left alone, sigma 4 to 10 | left alone, above 10 |",
        "|---" * 7 + "|",
    ]
    for kind, name in enumerate(names):
        best, kept = gained[kinds == kind].T
        clean, weak, strong = (
            sure[(kinds == kind) & (sigmas >= low) & (sigmas < high)].mean()
            for low, high in ((0, 1e-9), (4, 10), (10, 76))
        )
        shares = (np.mean(kept < -0.1), clean, 1 - weak, 1 - strong)
        cells = [f"{best.mean():.2f}", f"{kept.mean():.2f}", *(f"{share:.0%}" for share in shares)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def gained_by(noise: Noise, gains: Floats) -> tuple[float, float]:
    """What the best level gains, and what the estimated one does if noise is found with certainty, dB."""
    return float(gains.max()), gain_at(found_level(noise), gains)


def gain_at(level: float, gains: Floats) -> float:
    """What a level gains, dB, linearly between those of LEVELS."""
    return float(np.interp(np.log1p(level), np.log1p(LEVELS), gains))


def found_level(noise: Noise) -> float:
    """The level at which `restore` would remove this noise; 0 if it is not certain enough."""
    return next(iter(Findings(NOT_COMPRESSED, noise).levels.values()), 0.0)


if __name__ == "__main__":
    main()
