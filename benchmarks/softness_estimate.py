"""Can the softness of a small picture be estimated well enough to upscale by it?

    python benchmarks/softness_estimate.py PHOTOS

Photos are shrunk by known kernels to 1 / 1.5 to 1 / 4, a quarter get light noise and JPEG compression, and some
are only cut to that size. A small network learns the softness from the DCT coefficients of their blocks (see
`hyperrestore.detect.noise`). On photos held out of training, the table shows what `upscale` gains by it over
softness 1, which it assumes otherwise. Nothing is written.

A kernel narrower than a pixel of the large picture interpolates: in effect softness is at least 1 / scale, and
that is learned. A photo that was only cut counts as 1, since nothing better is known of it. The careful
estimate is 1 if the estimate is within a margin about it: the least one with which pictures of softness 1 lose
at most 0.01 dB on average, on training photos that are put aside for this.

Some pictures are measured but not learned from: shrunk by Lanczos' kernel and sharpened; made by a camera of
few pixels, which are demosaiced; and shrunk at softness 1 from photos that were blurred before. Of the last,
the target is the blurred photo, or the sharp one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from markdown import grid
from noise_kinds import blurred
from PIL import Image, ImageFilter
from torch import nn

from hyperrestore import Restorer
from hyperrestore.arrays import Float32, Float64, Pixels
from hyperrestore.detect.noise import describe_blocks
from hyperrestore.learn.device import is_fast_in_bf16
from hyperrestore.learn.photos import PhotoFile, find_photos, read_rgb, split_photos
from hyperrestore.learn.upscaling import OTHER_KERNELS, ROUGH_QUALITY, ROUGH_SIGMA
from hyperrestore.measure.camera import READ, SHOT, Camera, photographed
from hyperrestore.measure.degrade import gaussian_noise, jpeg, shrink
from hyperrestore.measure.metrics import psnr, to_8bit

FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)
NEAREST = [softness for _, softness in OTHER_KERNELS]  # of cubic kernels to those of FILTERS
OTHERS = dict(zip(("area", "linear", "Lanczos"), zip(FILTERS, NEAREST, strict=True), strict=True))
CUT, SHARPENED, CAMERA = "cut", "Lanczos, sharpened", "camera"
BLURRED, BLURRED_TO_SHARP = "1, blurred photo", "1, blurred photo; target sharp"
SHARPENING = ImageFilter.UnsharpMask(radius=0.8, percent=60, threshold=0)
SENSOR = Camera(SHOT[0], READ[0], gradients=True)  # at its lowest sensitivity
PHOTO_BLUR = 0.7  # standard deviation, pixels of the large picture
MIXTURE = {0.0: 0.125, 0.5: 0.125, 1.0: 0.5, 1.5: 0.125, 2.0: 0.125}  # share of each softness
KINDS = (*MIXTURE, "area", "Lanczos", SHARPENED, CAMERA, BLURRED, BLURRED_TO_SHARP)
SETTINGS = ((2, False), (3, False), (2, True))  # scale, and whether small pictures are rough
SHARES = (0.1, 0.15, 0.35, 0.4)  # of what is learned: cut, by other kernels, softness 1, any softness
MOST_SOFT, SCALES, ROUGH_SHARE = 2.0, (1.5, 4.0), 0.25  # of what is learned
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
        way, nearest = OTHERS[kind]
        return filtered(photo, lambda image: image.resize((width, height), way)), nearest
    return shrink(photo, scale, softness=kind), max(kind, 1 / scale)


def roughened(small: Pixels, random: Random) -> Pixels:
    """With light noise, and saved as JPEG of high quality."""
    noisy = gaussian_noise(small, random.uniform(0, ROUGH_SIGMA), random)
    subsampling = "4:2:0" if random.random() < 0.5 else "4:4:4"
    return jpeg(noisy, int(random.integers(ROUGH_QUALITY, 101)), subsampling=subsampling)


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
    """Features and softness of random photos made small at random, (n, f) and (n,)."""
    random, rows, truths = np.random.default_rng(0), [], []
    photos = [read_rgb(file.path) for file in files]
    for _ in range(count):
        turned = np.rot90(photos[random.integers(len(photos))], random.integers(4), (1, 2))
        other, any_softness = str(random.choice(list(OTHERS))), random.uniform(0, MOST_SOFT)
        kind = (CUT, other, 1.0, any_softness)[random.choice(4, p=SHARES)]
        small, softness = made_small(as_floats(turned), kind, random.uniform(*SCALES), random)
        rows.append(features(roughened(small, random) if random.random() < ROUGH_SHARE else small))
        truths.append(softness)
    return np.stack(rows), np.array(truths, np.float32)


def as_floats(photo: np.ndarray) -> Pixels:
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


def careful(found: Float64, margin: float) -> Float64:
    """The estimate, or 1 if that is near."""
    return np.where(np.abs(found - 1) <= margin, 1, found)


class Scorer:
    """Measures what `upscale` makes of small pictures by softness 1, the true and the estimated one."""

    def __init__(self, estimator: Estimator) -> None:
        fast = is_fast_in_bf16(torch.device("cpu"))
        self.upscale = Restorer.load("upscale", precision="bf16" if fast else "fp32")
        self.estimator = estimator

    def __call__(self, photos: Sequence[Pixels], kind: Kind, scale: int, *, rough: bool = False) -> Float64:
        """For each photo: PSNR at 1, at the true softness and the estimate; both of these, (n, 5)."""
        random, rows = np.random.default_rng(0), []
        for sharp in photos:
            soft = to_8bit(blurred(sharp, PHOTO_BLUR)).astype(np.float32)
            large, way = (soft, 1.0) if kind in (BLURRED, BLURRED_TO_SHARP) else (sharp, kind)
            small, true = made_small(large, way, scale, random)
            small = roughened(small, random) if rough else small
            found = float(self.estimator(features(small)[None])[0])
            told = [float(np.clip(round(one / STEP) * STEP, 0, MOST_SOFT)) for one in (1, true, found)]
            target = sharp if kind == BLURRED_TO_SHARP else large
            scores = {
                one: psnr(self.upscale(small, {"scale": scale, "softness": one}), target) for one in set(told)
            }
            rows.append([*(scores[one] for one in told), true, found])
        return np.array(rows)


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
    score = Scorer(fit(*collect(training, options.samples)))
    aside_photos, photos = (
        [as_floats(read_rgb(file.path)[:, :SIDE, :SIDE]) for file in files] for files in (aside, held_out)
    )
    at_1, _, estimated, _, found = np.concatenate([score(aside_photos, 1.0, scale) for scale in (2, 3)]).T
    lost = [np.mean((at_1 - estimated) * (careful(found, margin) != 1)) for margin in MARGINS]
    margin = next(margin for margin, loss in zip(MARGINS, lost, strict=True) if loss <= MAY_LOSE)
    print(
        f"{len(photos)} crops of {SIDE}x{SIDE} of {len({file.photo for file in held_out})} photos held out; "
        f"{score.upscale.at(2).name}. PSNR in dB on RGB at softness 1, and gains over it. Careful: 1 within "
        f"{margin:.2f}. Worse: by over 0.1 dB, at the careful estimate.\n"
    )
    lines = []
    for scale, rough in SETTINGS:
        mixed = np.zeros(4)
        name = f"{scale}, rough" if rough else str(scale)
        for kind in KINDS:
            at_1, at_true, estimated, true, found = score(photos, kind, scale, rough=rough).T
            chosen = np.where(careful(found, margin) == 1, at_1, estimated)
            means = np.mean([at_1, at_true - at_1, estimated - at_1, chosen - at_1], axis=1)
            mixed += MIXTURE.get(kind, 0) * means
            cells = (
                f"{np.mean(chosen < at_1 - 0.1):.0%}",
                f"{found.mean():.2f}",
                f"{np.abs(found - true).mean():.2f}",
            )
            lines.append((name, str(kind), f"{means[0]:.2f}", *map("{:+.2f}".format, means[1:]), *cells))
        lines.append((name, "mixture", f"{mixed[0]:.2f}", *map("{:+.2f}".format, mixed[1:]), "", "", ""))
    head = "scale", "shrunk at", "at 1", "true", "estimated", "careful", "worse", "found", "mean error"
    print(grid(head, lines))


if __name__ == "__main__":
    main()
