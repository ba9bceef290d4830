"""Train and measure the estimator of the noise level.

    python benchmarks/noise_estimate.py PHOTOS --train    # writes src/hyperrestore/models/noise.safetensors
    python benchmarks/noise_estimate.py PHOTOS            # measures it on photos held out of training
    python benchmarks/noise_estimate.py PHOTOS --best     # the levels at which `denoise` works best

Photos are cropped, sometimes shrunk or enlarged, and get noise of a known level, of every kind in `KINDS`.
The table compares the trained estimator with the classical method, which takes the level from the smoothest
blocks.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors.numpy import save

from hyperrestore import Restorer, run_tiled
from hyperrestore.arrays import Float32 as Floats
from hyperrestore.atomic import write_atomically
from hyperrestore.colour import LUMA, full_range_luma
from hyperrestore.detect.findings import Compression, Findings
from hyperrestore.detect.noise import FLOOR, LEAST_SPREAD, WEIGHTS, Noise, describe_blocks, estimate
from hyperrestore.learn.drawings import draw_pictures
from hyperrestore.learn.photos import PhotoFile, find_photos, read_rgb, split_photos, validation_crops
from hyperrestore.measure.camera import draw_camera, photographed
from hyperrestore.measure.degrade import jpeg
from hyperrestore.measure.metrics import psnr
from hyperrestore.resample import resize_bicubic

MOST = 75.0  # sigma
NOISELESS = 0.2  # share of samples
GREY = 0.15  # share of grey samples
CONVERTED = 0.2  # share of those with noise of their own in each channel that become grey with it
DRAWN = 0.1  # share of drawn pictures instead of photos
WIDTH, DEEPER, HEADS, HIDDEN = 64, 32, 4, 64  # of the network's layers
SEEN = (256, 64)  # blocks of a piece, at full and half size
BATCH, RATE = 64, 2e-3
NOT_COMPRESSED = Compression(None, "")
OVER_COARSE = 1.25  # the best level for coarse noise over its standard deviation
RATIOS = (0.5, 0.7, 0.85, 1, 1.2, 1.5, 2)
WAYS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
LIMITS = (0, 1, 10, 25, 50, 75)  # of the classes of sigma in the table
Random = np.random.Generator
Halves = npt.NDArray[np.float16]


def stored(pixels: Floats) -> Floats:
    """Clip and round as in an 8-bit file, on the 8-bit scale."""
    return np.rint(pixels.clip(0, 255)).astype(np.float32)


def floating(clean: Floats, sigma: float, random: Random) -> Floats:
    """Gaussian noise, neither clipped nor rounded."""
    return clean + sigma * random.standard_normal(clean.shape, dtype=np.float32)


def clipped(clean: Floats, sigma: float, random: Random) -> Floats:
    """Gaussian noise in an 8-bit file."""
    return stored(floating(clean, sigma, random))


def compressed(clean: Floats, sigma: float, random: Random) -> Floats:
    """Gaussian noise, then JPEG; one in three is cropped afterwards, so that its grid can start anywhere."""
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


def signal_dependent(clean: Floats, sigma: float, random: Random) -> Floats:
    """Noise whose variance grows with brightness, as that of light does; sigma is the root of its mean."""
    constant = random.uniform(0, 0.7)
    variance = constant + (1 - constant) * clean / max(clean.mean(), 1)
    return stored(clean + sigma * np.sqrt(variance) * random.standard_normal(clean.shape, dtype=np.float32))


def brightness_only(clean: Floats, sigma: float, random: Random) -> Floats:
    """The same Gaussian noise in every channel."""
    return stored(clean + sigma * random.standard_normal(clean.shape[1:], dtype=np.float32))


def coarse(clean: Floats, sigma: float, random: Random) -> Floats:
    """Noise shared by neighbouring pixels, as in film or in an enlarged photo, whose detail is as coarse."""
    scale = 4 ** random.random()
    small = [max(2, round(side / scale)) for side in clean.shape[1:]]
    if random.random() < 0.5:
        white = random.standard_normal((len(clean), *small), dtype=np.float32)
        grain = resized(white, clean.shape[1:], random)
    else:
        grain = blurred(random.standard_normal(clean.shape, dtype=np.float32), 0.4 * scale)
    if random.random() < 0.5:
        clean = resized(resized(clean, small, random), clean.shape[1:], random)
    if random.random() < 0.3:  # of brightness only
        grain = grain[:1]
    over = np.interp(scale, (1, 1.5), (1, OVER_COARSE))
    return stored(clean + np.float32(sigma / over / grain.std()) * grain)


def blurred(planes: Floats, radius: float) -> Floats:
    """Planes (c, h, w) convolved with a Gaussian of that standard deviation; they go on at the other edge."""
    height, width = planes.shape[1:]
    squares = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width) ** 2
    kept = np.fft.rfft2(planes) * np.exp(-2 * (np.pi * radius) ** 2 * squares)
    return np.fft.irfft2(kept, s=(height, width)).astype(np.float32)


def resized(planes: Floats, size: Sequence[int], random: Random) -> Floats:
    """(c, h, w) resized by one of the usual methods."""
    way = Image.Resampling(int(random.choice(WAYS)))
    return np.stack([np.asarray(Image.fromarray(plane).resize(size[::-1], way)) for plane in planes])


def coarse_compressed(clean: Floats, sigma: float, random: Random) -> Floats:
    """Coarse noise, then JPEG."""
    return jpeg(coarse(clean, sigma, random) / 255, int(random.integers(40, 99))) * 255


KINDS: dict[str, Callable[[Floats, float, Random], Floats]] = {
    "not clipped": floating,
    "8 bit": clipped,
    "8 bit, then JPEG": compressed,
    "demosaiced": demosaiced,
    "demosaiced, then JPEG": from_camera,
    "signal-dependent": signal_dependent,
    "brightness only": brightness_only,
    "coarse": coarse,
    "coarse, then JPEG": coarse_compressed,
}
CAMERA = "camera"  # its level is the one that restores best
CAMERA_SIDE = 80  # of these pieces, pixels
TRIED = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)  # levels over the root mean square of what noise changed
LEAST_GAIN = 0.02  # least gain of restoring, dB; below it the best level is 0
INDEPENDENT = (floating, clipped, compressed, signal_dependent)  # noise of its own in each channel


def pieces(
    files: Sequence[PhotoFile], count: int, seed: int, *, cameras: float = 0.0
) -> Iterator[tuple[Floats, float, int]]:
    """Random pieces of photos and drawn pictures with noise, its level and the number of its kind.

    The level is sigma. A share `cameras` of the pieces has the noise of a camera, whose kind comes after
    `KINDS`; its level is the one that restores best, which takes about a second a piece to find.
    """
    random = np.random.default_rng(seed)
    drawn = draw_pictures(200, size=256, seed=seed + 1)
    photos = [read_rgb(file.path) for file in files]
    restorer = Restorer.load("denoise") if cameras else None
    for index in range(count):
        if restorer is not None and random.random() < cameras:
            clean = photos[random.integers(len(photos))].astype(np.float32)
            side = min(2 * CAMERA_SIDE, *clean.shape[1:])
            top, left = (random.integers(0, most - side + 1) for most in clean.shape[1:])
            noisy, noiseless = taken(clean[:, top : top + side, left : left + side], random)
            noisy, noiseless = (picture[:, :CAMERA_SIDE, :CAMERA_SIDE] for picture in (noisy, noiseless))
            if random.random() < GREY:
                noisy, noiseless = _grey(noisy), _grey(noiseless)
            yield noisy, best_level(restorer, noisy, noiseless), len(KINDS)
            continue
        source = drawn if random.random() < DRAWN else photos
        clean = source[random.integers(len(source))].astype(np.float32)
        chance = random.random()
        if chance < 0.45:  # detail of another size
            factor = 0.5 if chance < 0.3 else random.uniform(1.2, 2.5)
            clean = stored(resized(clean, [round(factor * side) for side in clean.shape[1:]], random))
        side = int(random.choice([64, 96, 128, 192, 256]))
        height, width = (min(side, length) for length in clean.shape[1:])
        top, left = (
            random.integers(0, most - length + 1)
            for most, length in zip(clean.shape[1:], (height, width), strict=True)
        )
        clean = clean[:, top : top + height, left : left + width]
        if random.random() < GREY:
            clean = _grey(clean)
        sigma = 0.0 if random.random() < NOISELESS else MOST * random.random() ** 1.3
        kind = index % len(KINDS)
        degrade = list(KINDS.values())[kind]
        pixels = degrade(clean, sigma, random)
        if len(pixels) == 3 and degrade in INDEPENDENT and random.random() < CONVERTED:
            pixels, sigma = _grey(pixels), sigma * float(np.linalg.norm(LUMA))
        yield pixels, sigma, kind


def taken(clean: Floats, random: Random) -> tuple[Floats, Floats]:
    """A photo (3, h, w) as a camera and its user would save it, with the noise of the sensor and without.

    Both are shrunk and saved as JPEG in the same way, so that they differ only by noise.
    """
    camera = draw_camera(random)
    noise = random.standard_normal(clean.shape, dtype=np.float32)
    pair = photographed(clean / 255, camera, noise)
    if random.random() < 0.4:
        factor = random.uniform(0.5, 1)
        size = [round(factor * side) for side in clean.shape[1:]]
        pair = tuple(resize_bicubic(picture, *size, antialias=True).clip(0, 1) for picture in pair)
    qualities = [int(random.integers(88, 100))] if random.random() < 0.8 else []
    if random.random() < 0.5:  # by a site or a second program
        qualities.append(int(random.integers(65, 97)))
    subsampling = "4:2:0" if random.random() < 0.5 else "4:4:4"
    for quality in qualities:
        pair = tuple(jpeg(picture, quality, subsampling=subsampling) for picture in pair)
    noisy, noiseless = (stored(picture * 255) for picture in pair)
    return noisy, noiseless


def best_level(restorer: Restorer, noisy: Floats, noiseless: Floats) -> float:
    """The level at which `denoise` brings a picture nearest to the one without noise; 0 for none."""
    root = float(np.sqrt(np.square(noisy - noiseless).mean()))
    levels, errors = [0.0], [root**2]
    for level in (ratio * root for ratio in TRIED):
        if not 0.5 <= level <= MOST:
            continue
        restored = run_tiled(restorer.at(level, bits=8, pixels=noisy[0].size), noisy / 255) * 255
        levels.append(level)
        errors.append(float(np.square(restored - noiseless).mean()))
        if errors[-1] > 1.3 * min(errors):  # it only gets worse from here
            break
    best = int(np.argmin(errors))
    if errors[best] > errors[0] * 10 ** (-LEAST_GAIN / 10):
        return 0.0
    if best == len(levels) - 1:
        return levels[best]
    x, y = np.log1p(levels[best - 1 : best + 2]), errors[best - 1 : best + 2]
    second, first, _ = np.polyfit(x, y, 2)
    lowest = float(np.expm1(np.clip(-first / (2 * second), x[0], x[-1]))) if second > 0 else levels[best]
    return lowest


def _grey(pixels: Floats) -> Floats:
    """The luminance (1, h, w) of an RGB picture on the 8-bit scale."""
    luma: Floats = full_range_luma(pixels / 255).astype(np.float32) * 255
    return luma


def collect(samples: Iterable[tuple[Floats, float, int]]) -> tuple[list[Halves], Floats]:
    """The training data of the network: by scale, some blocks of each piece (n, SEEN, 197); sigmas (n)."""
    random = np.random.default_rng(0)
    scales: list[list[Halves]] = [[] for _ in SEEN]
    sigmas = []
    for pixels, sigma, _ in samples:
        for kept, blocks, most in zip(scales, described(pixels), SEEN, strict=True):
            kept.append(blocks[np.resize(random.permutation(len(blocks)), most)].astype(np.float16))
        sigmas.append(sigma)
    return [np.stack(kept) for kept in scales], np.array(sigmas, np.float32)


def fit(collected: list[Halves], sigmas: Floats, *, epochs: int) -> dict[str, Floats]:
    """Train the network: sigma by its absolute error, and that error by the likelihood of Laplace."""
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    torch.manual_seed(0)
    scales = [torch.from_numpy(blocks) for blocks in collected]
    target = torch.from_numpy(sigmas)
    size = scales[0].shape[-1]
    network = nn.ModuleDict({"whole": nn.Linear(2 * HEADS * DEEPER, HIDDEN), "level": nn.Linear(HIDDEN, 2)})
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
            # Half of the blocks, different ones each time, so that no piece is learnt by heart.
            half = blocks.shape[1] // 2
            first = int(torch.randint(half, ()))
            x = (blocks[batch, first : first + half].float() - mean) / deviation
            x = x + 0.05 * torch.randn_like(x)
            x = network[f"block{number}"](x).relu()
            x = network[f"deeper{number}"](x).relu()
            shares = network[f"score{number}"](x).softmax(dim=1)  # (b, n, heads)
            pooled.append((shares.transpose(1, 2) @ x).flatten(1))
        prediction: Tensor = network["level"](network["whole"](torch.cat(pooled, dim=1)).relu())
        return prediction

    steps = epochs * (len(target) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=5e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for step in range(steps):
        batch = torch.randint(0, len(target), (BATCH,))
        logarithm, spread = predict(batch).T  # of 1 + sigma
        factor = logarithm.clamp(0, 6).exp()
        error = (factor - 1 - target[batch]).abs()
        scale = factor.detach() * F.softplus(spread) + LEAST_SPREAD
        # Weak noise needs a more precise estimate than strong noise. Below 0 the clamp has no gradient.
        loss = (error / (1.5 + 0.08 * target[batch]) + (-logarithm).relu()).mean()
        loss = loss + 0.2 * (error.detach() / scale + scale.log()).mean()
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
    """The estimator's input for a piece; all pieces are large enough."""
    scales = describe_blocks(pixels)
    assert scales is not None
    return scales


def best_levels(files: Sequence[PhotoFile]) -> str:
    """The ratio of the best level of `denoise` to sigma, and the loss at a ratio of 1, in Markdown."""
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
    """Sigma from the 2 % of blocks whose brightness has the least energy at high frequencies."""
    high = np.add.outer(np.arange(8), np.arange(8)).ravel() >= 8
    energies = np.exp(2 * blocks[:, :64][:, high]).mean(axis=1)
    return float(np.sqrt(max(np.quantile(energies, 0.02) - FLOOR, 0)))


def table(
    estimates: dict[str, npt.NDArray[Any]], sigmas: Floats, kinds: npt.NDArray[Any], names: Sequence[str]
) -> str:
    """Mean absolute error of each way for each kind and class of sigma, in Markdown."""
    classes = list(itertools.pairwise(LIMITS))
    head = ["method", "kind of noise", "all", *(f"{low} to {high}" for low, high in classes)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for way, found in estimates.items():
        for number, kind in enumerate(names):
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
        "--samples", type=int, default=36000, help="training samples; a tenth as many are measured"
    )
    parser.add_argument(
        "--cameras", type=float, default=0.0, help="share of crops with the noise of a camera (default: 0)"
    )
    parser.add_argument("--epochs", type=int, default=45)
    options = parser.parse_args()
    training, held_out = split_photos(find_photos(options.photos))
    if options.best:
        print(best_levels(held_out))
        return
    if options.train:
        blocks, sigmas = collect(pieces(training, options.samples, seed=0, cameras=options.cameras))
        write_atomically(WEIGHTS, save(fit(blocks, sigmas, epochs=options.epochs)))
    rows = []
    for pixels, sigma, kind in pieces(held_out, options.samples // 10, seed=1, cameras=options.cameras):
        scales = described(pixels)
        noise = estimate(scales)
        rows.append((noise.sigma, noise.spread, classical(scales[0]), sigma, kind))
    trained, _, calmest, sigmas, kinds = np.array(rows).T
    found = {"trained": trained, "classical": calmest}
    print(
        f"Mean absolute error on {len(sigmas)} crops of {len({file.photo for file in held_out})} photos "
        "held out of training, and of drawn pictures"
    )
    names = [*KINDS, CAMERA] if options.cameras else [*KINDS]
    print(table(found, sigmas, kinds, names))
    sure = np.array([bool(Findings(NOT_COMPRESSED, Noise(*row[:2])).levels) for row in rows])
    print("\nCrops without noise that `denoise` would change, because it is certain that they are noisy;")
    print("crops of sigma 4 to 10, and above 10, that it would leave alone:")
    for kind, name in enumerate(names):
        clean, weak, strong = (
            sure[(kinds == kind) & (sigmas >= low) & (sigmas < high)].mean()
            for low, high in ((0, 1e-9), (4, 10), (10, 76))
        )
        print(f"- {name}: {clean:.0%}; {1 - weak:.0%}, {1 - strong:.0%}")


if __name__ == "__main__":
    main()
