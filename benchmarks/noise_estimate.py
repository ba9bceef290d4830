"""How well the level of noise is read off a picture: trains the estimator and measures it.

    python benchmarks/noise_estimate.py PHOTOS --train    # writes src/hyperrestore/models/noise.safetensors
    python benchmarks/noise_estimate.py PHOTOS            # measures it on photos held out of training

Photos are cut, sometimes shrunk, and get noise of a known level, of every kind that `KINDS` names. The table
compares the trained estimator with the classical way, which takes the level from the blocks of least energy.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors.numpy import save

from hyperrestore.blocks import Floats
from hyperrestore.checkpoint import write_atomically
from hyperrestore.degrade import jpeg
from hyperrestore.drawings import draw_pictures
from hyperrestore.estimate import CLEAN, SURE
from hyperrestore.metrics import full_range_luma
from hyperrestore.noise import FLOOR, LEAST_SPREAD, WEIGHTS, estimate, noise_features
from hyperrestore.photos import PhotoFile, find_photos, read_rgb, split_photos

MOST = 75.0  # sigma
NOISELESS = 0.15  # share of samples
GREY = 0.15  # share of grey samples
DRAWN = 0.1  # share of drawn pictures instead of photos
HIDDEN = 64
LIMITS = (0, 1, 10, 25, 50, 75)  # of the classes of sigma in the table
Random = np.random.Generator


def stored(pixels: Floats) -> Floats:
    """As an 8-bit file keeps it, on the 8-bit scale."""
    return np.rint(pixels.clip(0, 255)).astype(np.float32)


def floating(clean: Floats, sigma: float, random: Random) -> Floats:
    """Gaussian noise, neither clipped nor rounded."""
    return clean + sigma * random.standard_normal(clean.shape, dtype=np.float32)


def clipped(clean: Floats, sigma: float, random: Random) -> Floats:
    """Gaussian noise in an 8-bit file."""
    return stored(floating(clean, sigma, random))


def compressed(clean: Floats, sigma: float, random: Random) -> Floats:
    """Gaussian noise, then JPEG; one in three is cut afterwards, so that its grid lies anywhere."""
    saved = jpeg(
        clipped(clean, sigma, random) / 255,
        int(random.integers(25, 99)),
        subsampling="4:2:0" if random.random() < 0.7 else "4:4:4",
    )
    top, left = random.integers(0, 8, 2) if random.random() < 1 / 3 else (0, 0)
    return saved[:, top:, left:] * 255


def demosaiced(clean: Floats, sigma: float, random: Random) -> Floats:
    """Gaussian noise on the mosaic of a sensor, colours interpolated linearly: neighbours share noise."""
    noisy = clipped(clean, sigma, random)
    if len(noisy) == 1:
        return noisy
    result = np.empty_like(noisy)
    for channel, places in enumerate((((0, 0),), ((0, 1), (1, 0)), ((1, 1),))):
        mask = np.zeros(noisy.shape[1:], np.float32)
        for top, left in places:
            mask[top::2, left::2] = 1
        result[channel] = _spread(noisy[channel] * mask) / _spread(mask)
    return stored(result)


def _spread(plane: Floats) -> Floats:
    """Convolve with the tent [1 2 1]^T [1 2 1] / 4."""
    padded = np.pad(plane, 1)
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    spread: Floats = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
    return spread


def from_camera(clean: Floats, sigma: float, random: Random) -> Floats:
    """Demosaiced, then JPEG, as a camera does."""
    return jpeg(demosaiced(clean, sigma, random) / 255, int(random.integers(75, 99))) * 255


KINDS: dict[str, Callable[[Floats, float, Random], Floats]] = {
    "not clipped": floating,
    "8 bit": clipped,
    "8 bit, then JPEG": compressed,
    "demosaiced": demosaiced,
    "demosaiced, then JPEG": from_camera,
}


def samples(
    files: Sequence[PhotoFile], count: int, seed: int
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Features (n, f), sigmas (n) and numbers of kinds (n) of random pieces of photos and drawn pictures."""
    random = np.random.default_rng(seed)
    drawn = draw_pictures(200, size=256, seed=seed + 1)
    rows, sigmas, kinds = [], [], []
    for index in range(count):
        file = files[random.integers(len(files))]
        is_drawn = random.random() < DRAWN
        photo = drawn[random.integers(len(drawn))] if is_drawn else read_rgb(file.path)
        if random.random() < 0.3:  # detail of another size
            half = (photo.shape[2] // 2, photo.shape[1] // 2)
            photo = np.asarray(
                Image.fromarray(photo.transpose(1, 2, 0)).resize(half, Image.Resampling.LANCZOS)
            ).transpose(2, 0, 1)
        side = int(random.choice([64, 96, 128, 192, 256]))
        height, width = (min(side, length) for length in photo.shape[1:])
        top, left = (
            random.integers(0, most - length + 1)
            for most, length in zip(photo.shape[1:], (height, width), strict=True)
        )
        clean = photo[:, top : top + height, left : left + width].astype(np.float32)
        if random.random() < GREY:
            clean = full_range_luma(clean / 255).astype(np.float32) * 255
        sigma = 0.0 if random.random() < NOISELESS else MOST * random.random() ** 1.3
        kind = index % len(KINDS)
        features = noise_features(list(KINDS.values())[kind](clean, sigma, random))
        assert features is not None
        rows.append(features)
        sigmas.append(sigma)
        kinds.append(kind)
    return np.stack(rows), np.array(sigmas, np.float32), np.array(kinds)


def fit(features: Floats, sigmas: Floats, *, epochs: int) -> dict[str, Floats]:
    """Train the network: sigma, and how far off it is to be expected, by the likelihood of Laplace."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    torch.manual_seed(0)
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-3
    x = torch.from_numpy(((features - mean) / deviation).clip(-4, 4))
    y = torch.from_numpy(sigmas)
    network = nn.Sequential(
        nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2)
    )
    steps = epochs * (len(x) // 64)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(0, len(x), (64,))
        noisy = x[chosen] + 0.03 * torch.randn(64, x.shape[1])
        sigma, spread = network(noisy).T
        scale = F.softplus(spread) + LEAST_SPREAD
        loss = ((sigma - y[chosen]).abs() / scale + scale.log()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    layers = [module for module in network if isinstance(module, nn.Linear)]
    weights = {"mean": mean, "deviation": deviation}
    for number, layer in enumerate(layers):
        weights[f"kernel{number}"] = layer.weight.detach().numpy()
        weights[f"bias{number}"] = layer.bias.detach().numpy()
    return {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in weights.items()}


def table(estimates: dict[str, npt.NDArray[Any]], sigmas: Floats, kinds: npt.NDArray[np.int64]) -> str:
    """Mean absolute error of each way for each kind and class of sigma, in Markdown."""
    classes = list(itertools.pairwise(LIMITS))
    head = ["way", "kind of noise", "all", *(f"{low} to {high}" for low, high in classes)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for way, found in estimates.items():
        for number, kind in enumerate(KINDS):
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
    parser.add_argument("--samples", type=int, default=20000, help="to train on; a tenth to measure")
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    training, held_out = split_photos(find_photos(options.photos))
    if options.train:
        features, sigmas, _ = samples(training, options.samples, seed=0)
        write_atomically(WEIGHTS, save(fit(features, sigmas, epochs=options.epochs)))
    features, sigmas, kinds = samples(held_out, options.samples // 10, seed=1)
    # Of the luminance's 2 % of blocks with the least energy at the highest frequencies.
    classical = np.sqrt(np.maximum(np.exp(2 * features[:, 2]) - FLOOR, 0))
    noises = [estimate(row) for row in features]
    found = {
        "trained": np.array([noise.sigma for noise in noises]),
        "classical": classical,
    }
    print(
        f"Mean absolute error on {len(sigmas)} pieces of {len({file.photo for file in held_out})} photos "
        "held out of training, and of drawn pictures"
    )
    print(table(found, sigmas, kinds))
    sure = found["trained"] - SURE * np.array([noise.spread for noise in noises]) >= CLEAN
    print("\nPieces without noise that `denoise` would change, since it is sure of noise in them;")
    print("pieces of sigma 4 to 10, and from 10 on, that it would leave alone:")
    for kind, name in enumerate(KINDS):
        weak, strong = (
            (sigmas >= low) & (sigmas < high) & (kinds == kind) for low, high in ((4, 10), (10, 76))
        )
        clean = (sigmas == 0) & (kinds == kind)
        print(
            f"- {name}: {sure[clean].mean():.0%}; {1 - sure[weak].mean():.0%}, {1 - sure[strong].mean():.0%}"
        )


if __name__ == "__main__":
    main()
