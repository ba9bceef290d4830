"""Can the softness of a small picture be estimated well enough to upscale by it?

    python benchmarks/softness_estimate.py PHOTOS

Photos are shrunk by known kernels to 1 / 1.5 to 1 / 4, a quarter get light noise and JPEG compression, and
some are only cut to that size. A small network learns the softness from the DCT coefficients of their blocks
(see `hyperrestore.detect.noise`). On photos held out of training, the table shows what `upscale` gains by it
over softness 1, which it assumes otherwise. Nothing is written.

A kernel narrower than a pixel of the large picture interpolates: in effect softness is at least 1 / scale,
and that is learned. A photo that was only cut counts as 1, since nothing better is known of it. The careful
estimate is 1 if the estimate is within a margin about it: the least one with which pictures of softness 1
lose at most 0.01 dB on average, on training photos that are put aside for this. "Only less" is the estimate,
but at most 1.

Some pictures are measured but not learned from: shrunk by Lanczos' kernel and sharpened; made by a camera of
few pixels, which are demosaiced; and shrunk at softness 1 from photos that were blurred before, which are the
target.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from markdown import grid
from noise_kinds import blurred
from PIL import Image, ImageFilter
from torch import nn

from hyperrestore import Restorer
from hyperrestore.arrays import Float32, Float64, Pixels, UInt8
from hyperrestore.detect.noise import describe_blocks
from hyperrestore.learn.device import is_fast_in_bf16
from hyperrestore.learn.drawings import draw_pictures
from hyperrestore.learn.photos import PhotoFile, find_photos, read_rgb, split_photos
from hyperrestore.learn.upscaling import OTHER_KERNELS, ROUGH_QUALITY, ROUGH_SIGMA
from hyperrestore.measure.camera import READ, SHOT, Camera, photographed
from hyperrestore.measure.degrade import gaussian_noise, jpeg, shrink
from hyperrestore.measure.metrics import psnr, to_8bit

FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)  # as OTHER_KERNELS
OTHERS = dict(zip(("area", "linear", "Lanczos"), FILTERS, strict=True))
NEAREST = dict(zip(OTHERS, (softness for _, softness in OTHER_KERNELS), strict=True))  # of cubic kernels
CUT, SHARPENED, CAMERA = "cut", "Lanczos, sharpened", "camera"
BLURRED, DRAWN, DRAWN_SHARP = "1, blurred photo", "1, drawn picture", "0.5, drawn picture"
SHARPENING = ImageFilter.UnsharpMask(radius=0.8, percent=60, threshold=0)
SENSOR = Camera(SHOT[0], READ[0], gradients=True)  # at its lowest sensitivity
PHOTO_BLUR = 0.7  # standard deviation, pixels of the large picture
MIXTURE = {0.0: 0.125, 0.5: 0.125, 1.0: 0.5, 1.5: 0.125, 2.0: 0.125}  # share of each softness
KINDS = (*MIXTURE, "area", "Lanczos", SHARPENED, CAMERA, BLURRED, DRAWN, DRAWN_SHARP)
SETTINGS = ((2, False), (3, False), (2, True))  # scale, and whether small pictures are rough
SHARES = (0.1, 0.15, 0.35, 0.4)  # of what is learned: cut, by other kernels, softness 1, any softness
MOST_SOFT, SCALES, ROUGH_SHARE, DRAWN_SHARE = 2.0, (1.5, 4.0), 0.25, 0.1  # of what is learned
SIDE = 252  # of measured photos, pixels: a multiple of their scales
MAY_LOSE = 0.01  # dB, at softness 1 on photos put aside
MARGINS = np.arange(0.0, 1.0, 0.02)
STEP = 0.05  # of the softness that `upscale` is given
QUANTILES = (0.1, 0.5, 0.9)
HIDDEN, EPOCHS, BATCH, RATE = 64, 40, 64, 1e-3  # of the network
Kind = float | str  # a softness, or another way
Estimator = Callable[[Float32], Float32]  # features (n, f) -> softness (n,)
Random = np.random.Generator


def filtered(picture: Pixels, change: Callable[[Image.Image], Image.Image]) -> Pixels:
    """An 8-bit picture (3, h, w) changed by Pillow."""
    image = Image.fromarray(np.rint(picture.transpose(1, 2, 0) * 255).astype(np.uint8))
    return (np.asarray(change(image)).transpose(2, 0, 1) / 255).astype(np.float32)


def made_small(photo: Pixels, kind: Kind, scale: float, random: Random) -> tuple[Pixels, float]:
    """A small picture (3, h, w) of a photo, and its softness, as far as one is known."""
    width, height = (round(side / scale) for side in photo.shape[:0:-1])
    if kind == CUT:
        return photo[:, :height, :width], 1.0
    if kind == CAMERA:
        small = shrink(photo, scale)
        noise = random.standard_normal(small.shape, dtype=np.float32)
        return to_8bit(photographed(small, SENSOR, noise)[0]).astype(np.float32), 1.0
    if kind == SHARPENED:
        small, _ = made_small(photo, "Lanczos", scale, random)
        return filtered(small, lambda image: image.filter(SHARPENING)), 1.0
    if isinstance(kind, str):
        return filtered(photo, lambda image: image.resize((width, height), OTHERS[kind])), NEAREST[kind]
    return shrink(photo, scale, softness=kind), max(kind, 1 / scale)


def roughened(small: Pixels, random: Random) -> Pixels:
    """With light noise, and saved as JPEG of high quality."""
    noisy = gaussian_noise(small, random.uniform(0, ROUGH_SIGMA), random)
    subsampling = "4:2:0" if random.random() < 0.5 else "4:4:4"
    return jpeg(noisy, int(random.integers(int(ROUGH_QUALITY), 101)), subsampling=subsampling)


def features(small: Pixels) -> Float32:
    """For each frequency of brightness, at full and half size, statistics of logarithms over blocks.

    They are the mean, quantiles, and the mean of the quarter of the blocks with most detail.
    """
    statistics = []
    for blocks in describe_blocks(small * 255) or []:
        coefficients = blocks[:, 1:64]
        detail = coefficients[:, [0, 1, 7, 8, 9, 15]].mean(axis=1)  # up to one wave in a block
        most_detailed = coefficients[np.argsort(detail)[-max(1, len(detail) // 4) :]]
        statistics += [coefficients.mean(axis=0), most_detailed.mean(axis=0)]
        statistics.extend(np.quantile(coefficients, QUANTILES, axis=0))
    return np.concatenate(statistics).astype(np.float32)


def collect(files: Sequence[PhotoFile], count: int) -> tuple[Float32, Float32]:
    """Features and softness of random photos and drawings made small at random, (n, f) and (n,)."""
    random, rows, truths = np.random.default_rng(0), [], []
    photos, drawn = [read_rgb(file.path) for file in files], draw_pictures(200, size=256, seed=1)
    for _ in range(count):
        source = drawn if random.random() < DRAWN_SHARE else photos
        turned = np.rot90(source[random.integers(len(source))], random.integers(4), (1, 2))
        other, any_softness = str(random.choice(list(OTHERS))), random.uniform(0, MOST_SOFT)
        kind = (CUT, other, 1.0, any_softness)[random.choice(4, p=SHARES)]
        small, softness = made_small(as_floats(turned), kind, random.uniform(*SCALES), random)
        rows.append(features(roughened(small, random) if random.random() < ROUGH_SHARE else small))
        truths.append(softness)
    return np.stack(rows), np.array(truths, np.float32)


def as_floats(photo: UInt8) -> Pixels:
    """8 bits -> [0, 1]."""
    return np.divide(photo, 255, dtype=np.float32)


def fit(given: Float32, softness: Float32) -> Estimator:
    """Train a network with one hidden layer by the absolute error: in doubt it says what is most common."""
    torch.manual_seed(0)
    x, truth = torch.from_numpy(given), torch.from_numpy(softness)
    mean, deviation = x.mean(0), x.std(0) + 1e-3
    network = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Dropout(0.2), nn.Linear(HIDDEN, 1))
    steps = EPOCHS * (len(x) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(steps):
        batch = torch.randint(len(x), (BATCH,))
        near = (x[batch] - mean) / deviation + 0.05 * torch.randn(BATCH, x.shape[1])
        optimizer.zero_grad()
        (1 + network(near)[:, 0] - truth[batch]).abs().mean().backward()
        optimizer.step()
        schedule.step()
    network.eval()
    return lambda x: 1 + network((torch.from_numpy(x) - mean) / deviation)[:, 0].detach().numpy()


def measured(
    upscale: Restorer, estimator: Estimator, pictures: Sequence[Pixels], kind: Kind, scale: int, rough: bool
) -> Float64:
    """For each picture PSNR at softness 1, at the true one and the estimate; and both of these, (5, n)."""
    random, rows = np.random.default_rng(0), []
    for picture in pictures:
        small, true = made_small(picture, kind, scale, random)
        small = roughened(small, random) if rough else small
        found = float(estimator(features(small)[None])[0])
        told = [float(np.clip(round(one / STEP) * STEP, 0, MOST_SOFT)) for one in (1, true, found)]
        scores = {one: psnr(upscale(small, {"scale": scale, "softness": one}), picture) for one in set(told)}
        rows.append([*(scores[one] for one in told), true, found])
    return np.array(rows).T


def main() -> None:
    """Learn, choose the margin, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--samples", type=int, default=16000, help="small pictures to learn from")
    options = parser.parse_args()
    training, held_out = split_photos(find_photos(options.photos))
    training, aside = split_photos(training, every=5)
    fast = is_fast_in_bf16(torch.device("cpu"))
    upscale = Restorer.load("upscale", precision="bf16" if fast else "fp32")
    measure = partial(measured, upscale, fit(*collect(training, options.samples)))
    drawn = [as_floats(picture) for picture in draw_pictures(len(held_out), size=SIDE, seed=2)]
    tuning, photos = (
        [as_floats(read_rgb(file.path)[:, :SIDE, :SIDE]) for file in files] for files in (aside, held_out)
    )
    soft = [to_8bit(blurred(photo, PHOTO_BLUR)).astype(np.float32) for photo in photos]
    others = {BLURRED: (soft, 1.0), DRAWN: (drawn, 1.0), DRAWN_SHARP: (drawn, 0.5)}

    at_1, _, estimated, _, found = np.concatenate([measure(tuning, 1.0, scale, False) for scale in (2, 3)], 1)
    lost = [np.mean((at_1 - estimated) * (np.abs(found - 1) > margin)) for margin in MARGINS]
    margin = next(margin for margin, loss in zip(MARGINS, lost, strict=True) if loss <= MAY_LOSE)
    less = np.mean((at_1 - estimated) * (found < 1))
    numbers = [len({file.photo for file in files}) for files in (aside, held_out)]
    print(f"{len(tuning)} crops of {SIDE}x{SIDE} of {numbers[0]} photos put aside, shrunk at softness 1,")
    print(
        f"lose {lost[0]:.3f} dB at scale 2 and 3 by the estimate, and {less:.3f} if only less than 1 counts."
    )
    print(f"Careful: 1 within {margin:.2f}.\n")
    print(f"{len(photos)} crops of {numbers[1]} photos held out, {upscale.at(2).name}: PSNR in dB on RGB at")
    print("softness 1, and gains over it. In brackets: share that loses over 0.1 dB.\n")
    lines = []
    for scale, rough in SETTINGS:
        name, mixed = f"{scale}, rough" if rough else str(scale), np.zeros(5)
        for kind in KINDS:
            at_1, at_true, estimated, true, found = measure(*others.get(kind, (photos, kind)), scale, rough)
            careful = np.where(np.abs(found - 1) > margin, estimated, at_1)
            gains = np.array([at_true, estimated, careful, np.where(found < 1, estimated, at_1)]) - at_1
            means = at_1.mean(), *gains.mean(axis=1)
            mixed += MIXTURE.get(kind, 0) * np.array(means)
            cells = [f"{gain.mean():+.2f} ({np.mean(gain < -0.1):.0%})" for gain in gains[1:]]
            cells += [f"{found.mean():.2f}", f"{np.abs(found - true).mean():.2f}"]
            lines.append((name, str(kind), f"{means[0]:.2f}", f"{means[1]:+.2f}", *cells))
        lines.append((name, "mixture", f"{mixed[0]:.2f}", *map("{:+.2f}".format, mixed[1:]), "", ""))
    head = "scale", "shrunk at", "at 1", "true", "estimated", "careful", "only less", "found", "mean error"
    print(grid(head, lines))


if __name__ == "__main__":
    main()
