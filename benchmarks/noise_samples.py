"""Photos and drawn pictures -> pieces with noise, and what the estimator is to say of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from noise_kinds import INDEPENDENT, KINDS, WHITE, Random, blurred, resized, stored, taken

from hyperrestore import Restorer, run_tiled
from hyperrestore.arrays import Float32 as Floats
from hyperrestore.colour import LUMA, full_range_luma
from hyperrestore.detect.noise import LEVELS, best_levels
from hyperrestore.learn.device import is_fast_in_bf16
from hyperrestore.learn.drawings import draw_pictures
from hyperrestore.learn.photos import PhotoFile, read_rgb
from hyperrestore.run.engine import Backend

MOST = 75.0  # sigma
NOISELESS = 0.38  # share without noise, of samples whose noise is not a camera's
GREY = 0.15  # share of grey samples
CONVERTED = 0.2  # share of those with noise of their own in each channel that become grey with it
DRAWN = 0.1  # share of drawn pictures instead of photos
CAMERA = len(KINDS)  # number of the kind of noise that a camera makes
CAMERA_SIDE = 160  # of its pieces, pixels
JUDGED, MARGIN = 64, 8  # of a piece's middle, by which a level is judged, and around it, pixels
COARSER = 1.2, 4.0  # by which scenes are enlarged
OUT_OF_FOCUS = 2.5  # pixels, the largest standard deviation of a lens's blur
TOO_MUCH = 1.0  # dB below the best level tried, from where on levels only get worse


class Piece(NamedTuple):
    """What the estimator learns from.

    Attributes:
        pixels: (1 or 3, h, w) on the 8-bit scale.
        sigma: Standard deviation of its noise; of a camera's noise the level that restores best.
        kind: Number of the kind of noise, in `KINDS`, or CAMERA.
        gains: What `denoise` gains at LEVELS, dB.
    """

    pixels: Floats
    sigma: float
    kind: int
    gains: Floats

    @property
    def white(self) -> bool:
        """Whether sigma is the level that restores best."""
        return [*KINDS, "camera"][self.kind] in WHITE


def pieces(files: Sequence[PhotoFile], count: int, seed: int, *, cameras: float = 0.0) -> Iterator[Piece]:
    """Random pieces of photos and drawn pictures with noise; a share `cameras` has that of a camera."""
    random = np.random.default_rng(seed)
    drawn = draw_pictures(200, size=256, seed=seed + 1)
    photos = [read_rgb(file.path) for file in files]
    denoisers = load_denoisers()
    for index in range(count):
        if random.random() < cameras:
            yield _camera_piece(photos[random.integers(len(photos))], denoisers, random)
        else:
            source = drawn if random.random() < DRAWN else photos
            yield _known_piece(source, index % len(KINDS), denoisers, random)


def _camera_piece(photo: Floats, denoisers: Sequence[Backend], random: Random) -> Piece:
    factor = random.uniform(0.5, 1) if random.random() < 0.4 else 1.0
    # Pixels of a camera show less detail than those of photos that were made smaller.
    coarser = random.uniform(*COARSER) if random.random() < 0.75 else 1.0
    side = round(CAMERA_SIDE / factor)
    scene = _cropped(photo.astype(np.float32), math.ceil(side / coarser), random)
    if coarser > 1:
        scene = resized(scene, [side, side], random)
    if random.random() < 0.4:
        scene = blurred(scene, random.uniform(0, OUT_OF_FOCUS))
    scene = stored(scene)
    noisy, noiseless = taken(scene, factor, random)
    if random.random() < GREY:
        noisy, noiseless = _grey(noisy), _grey(noiseless)
    gains = gains_of(denoisers, noisy, noiseless)
    return Piece(noisy, float(best_levels(gains[None])[0]), CAMERA, gains)


def _known_piece(source: Sequence[Floats], kind: int, denoisers: Sequence[Backend], random: Random) -> Piece:
    clean = source[random.integers(len(source))].astype(np.float32)
    chance = random.random()
    if chance < 0.45:  # detail of another size
        factor = 0.5 if chance < 0.3 else random.uniform(1.2, 2.5)
        clean = stored(resized(clean, [round(factor * side) for side in clean.shape[1:]], random))
    clean = _cropped(clean, int(random.choice([64, 96, 128, 192, 256])), random)
    if random.random() < GREY:
        clean = _grey(clean)
    sigma = 0.0 if random.random() < NOISELESS else MOST * random.random() ** 1.3
    degrade = list(KINDS.values())[kind]
    again = copy.deepcopy(random)
    pixels = degrade(clean, sigma, random)
    # With the same JPEG, the same enlargement.
    noiseless = degrade(clean, 0.0, again) if sigma > 0 else pixels
    if len(pixels) == 3 and degrade in INDEPENDENT and random.random() < CONVERTED:
        pixels, noiseless, sigma = _grey(pixels), _grey(noiseless), sigma * float(np.linalg.norm(LUMA))
    return Piece(pixels, sigma, kind, gains_of(denoisers, pixels, noiseless))


def _cropped(picture: Floats, side: int, random: Random) -> Floats:
    """A random square of a picture, or as much of it as there is."""
    height, width = (min(side, length) for length in picture.shape[1:])
    top, left = (
        random.integers(0, most - length + 1)
        for most, length in zip(picture.shape[1:], (height, width), strict=True)
    )
    return picture[:, top : top + height, left : left + width]


def load_denoisers() -> list[Backend]:
    """The denoiser at each of LEVELS but 0, in bf16 where that is faster."""
    fast = is_fast_in_bf16(torch.device("cpu"))
    restorer = Restorer.load("denoise", precision="bf16" if fast else "fp32")
    return [restorer.at(level, bits=8) for level in LEVELS[1:]]


def gains_of(denoisers: Sequence[Backend], noisy: Floats, noiseless: Floats) -> Floats:
    """What restoring the middle of a picture at each of LEVELS gains, dB.

    Levels are tried upwards. Once they only get worse, each further one is said to lose another dB.
    """
    side = min(JUDGED + 2 * MARGIN, *noisy.shape[1:])
    noisy, noiseless = (_middle(picture, side) for picture in (noisy, noiseless))
    inner = (slice(None), slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))

    def error(picture: Floats) -> float:
        return float(np.square(picture - noiseless)[inner].mean())

    given, gains = error(noisy), [0.0]
    for denoiser in denoisers:
        if gains[-1] < max(gains) - TOO_MUCH:
            gains.append(gains[-1] - 1)
            continue
        restored = run_tiled(denoiser, noisy / 255) * 255
        gains.append(10 * float(np.log10((given + 1e-3) / (error(restored) + 1e-3))))
    return np.array(gains, np.float32)


def _middle(picture: Floats, side: int) -> Floats:
    top, left = ((length - side) // 2 for length in picture.shape[1:])
    return picture[:, top : top + side, left : left + side]


def _grey(pixels: Floats) -> Floats:
    """The luminance (1, h, w) of an RGB picture on the 8-bit scale."""
    luma: Floats = full_range_luma(pixels / 255).astype(np.float32) * 255
    return luma
