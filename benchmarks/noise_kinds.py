"""Clean pictures -> noise of every kind that pictures have, at a known level, or as a camera makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from hyperrestore.arrays import Float32 as Floats
from hyperrestore.measure.camera import draw_camera, photographed
from hyperrestore.measure.degrade import jpeg
from hyperrestore.resample import resize_bicubic

OVER_COARSE = 1.25  # the best level for coarse noise over its standard deviation
WAYS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
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


def signal_dependent(clean: Floats, sigma: float, random: Random) -> Floats:
    """Noise whose variance grows with brightness, as that of light does; sigma is the root of its mean."""
    constant = random.uniform(0, 0.7)
    variance = constant + (1 - constant) * clean / max(clean.mean(), 1)
    return stored(clean + sigma * np.sqrt(variance) * random.standard_normal(clean.shape, dtype=np.float32))


def brightness_only(clean: Floats, sigma: float, random: Random) -> Floats:
    """The same Gaussian noise in every channel."""
    return stored(clean + sigma * random.standard_normal(clean.shape[1:], dtype=np.float32))


def coarse(clean: Floats, sigma: float, random: Random) -> Floats:
    """Noise that neighbours share, as of film or of an enlarged photo, whose detail is as coarse then."""
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
    """(c, h, w) to another size, by one of the usual ways."""
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
WHITE = ("not clipped", "8 bit", "signal-dependent")  # best restored at their sigma
INDEPENDENT = (floating, clipped, compressed, signal_dependent)  # noise of its own in each channel


def taken(clean: Floats, factor: float, random: Random) -> tuple[Floats, Floats]:
    """What a camera and its user make of a photo (3, h, w), with the noise of the sensor and without.

    Both are shrunk by a factor and saved as JPEG alike: what is left between them is noise.
    """
    # Of two cameras the noisier one: there is more to learn from it.
    camera = max((draw_camera(random) for _ in range(2)), key=lambda camera: camera.shot)
    noise = random.standard_normal(clean.shape, dtype=np.float32)
    pair = photographed(clean / 255, camera, noise)
    if factor < 1:
        size = [round(factor * side) for side in clean.shape[1:]]
        pair = tuple(resize_bicubic(picture, *size, antialias=True).clip(0, 1) for picture in pair)
    qualities = [int(random.integers(88, 100))] if random.random() < 0.8 else []
    if random.random() < 0.65:  # by a site or a second program
        qualities.append(int(random.integers(55, 97)))
    subsampling = "4:2:0" if random.random() < 0.5 else "4:4:4"
    for quality in qualities:
        pair = tuple(jpeg(picture, quality, subsampling=subsampling) for picture in pair)
    noisy, noiseless = (stored(picture * 255) for picture in pair)
    return noisy, noiseless
