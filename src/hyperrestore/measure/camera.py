"""A clean photo -> what a camera would have made of the scene: noise of a sensor, developed as cameras do.

The photo is taken back to approximately linear light on a sensor (T. Brooks et al., "Unprocessing images for
learned raw denoising", CVPR 2019), gets noise there whose variance grows with brightness, and is developed
again: mosaic, demosaicing, white balance, colour matrix, tone curve, noise reduction and sharpening. All of
it is arithmetic on NumPy arrays or torch tensors alike; randomness is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperrestore.measure.mosaic import OTHERS, demosaiced
from hyperrestore.measure.neighbours import filtered
from hyperrestore.measure.noise_reduction import quieted

Array = Any  # NumPy array or torch tensor (..., 3, h, w)
Weights = tuple[tuple[float, float, float], ...]

SHOT = 2e-6, 4e-3  # least and largest a of the noise's variance a * x + b, at full scale 1
READ = 7e-9, 2e-5  # ... and b
# Cameras' colours -> sRGB lie between these; every row sums to 1, so that grey stays grey.
COLOURS: tuple[Weights, Weights] = (
    ((1.35, -0.25, -0.10), (-0.15, 1.35, -0.20), (0.00, -0.35, 1.35)),
    ((1.85, -0.70, -0.15), (-0.30, 1.75, -0.45), (0.05, -0.75, 1.70)),
)
GREY = 0.18  # linear light of what meters take for grey


@dataclass(frozen=True)
class Camera:
    """What a camera does to one picture.

    Attributes:
        shot: a of the variance a * x + b that its noise has where the sensor holds x, at full scale 1.
        read: b of it.
        gamma: Of the tone curve, 1 or more.
        toe: Where the tone curve turns linear near black, above 0.
        contrast: How far the curve lifts the middle; 0 not at all, above -1.
        red: White balance: how much red is amplified, 1 or more.
        blue: ... and blue.
        colours: From 0 to 1, where the colour matrix lies between those of `COLOURS`.
        gradients: Demosaiced with gradient correction (H. Malvar et al., ICASSP 2004), not bilinearly.
        smoothing: White noise whose brightness noise reduction halves, over the picture's noise; 0 for none.
        colour_smoothing: The same for colours.
        sharpening: What of an unsharp mask is added; 0 for none.
    """

    shot: float
    read: float
    gamma: float = 2.2
    toe: float = 0.005
    contrast: float = 0.0
    red: float = 2.0
    blue: float = 1.7
    colours: float = 0.5
    gradients: bool = False
    smoothing: float = 0.0
    colour_smoothing: float = 0.0
    sharpening: float = 0.0


def draw_camera(random: np.random.Generator) -> Camera:
    """A camera, an exposure and a sensitivity, as they occur."""
    place = random.random()  # from base sensitivity to the highest
    shot = SHOT[0] * (SHOT[1] / SHOT[0]) ** place
    read = READ[0] * (READ[1] / READ[0]) ** float(np.clip(place + random.normal(0, 0.12), 0, 1))
    processed = random.random() < 0.8
    return Camera(
        shot=shot,
        read=read,
        gamma=random.uniform(1.8, 2.4),
        toe=10 ** random.uniform(-2.7, -1.7),
        contrast=random.uniform(-0.2, 1.5),
        red=random.uniform(1.2, 2.4),
        blue=random.uniform(1.2, 2.4),
        colours=random.random(),
        gradients=bool(random.random() < 0.6),
        smoothing=random.uniform(0, 5) if processed else 0.0,
        colour_smoothing=random.uniform(1, 8) if processed else 0.0,
        sharpening=random.uniform(0, 0.8) if processed else 0.0,
    )


def on_sensor(picture: Array, camera: Camera) -> Array:
    """A picture, sRGB (..., 3, h, w) in [0, 1] -> what the sensor holds; the inverse of `as_picture`."""
    linear = _from_tones(picture, camera)
    return _mixed(linear, np.linalg.inv(_matrix(camera)) / _gains(camera)[:, None])


def as_picture(sensor: Array, camera: Camera) -> Array:
    """What a sensor holds, (..., 3, h, w) -> sRGB, values in [0, 1]."""
    return _to_tones(_mixed(sensor, _matrix(camera) * _gains(camera)).clip(0, 1), camera)


def sensor_noise(sensor: Array, camera: Camera, noise: Array) -> Array:
    """Add shot and read noise.

    Args:
        sensor: (..., 3, h, w), full scale 1.
        camera: Says how much.
        noise: Independent values of a standard normal distribution, of the same shape.

    Returns:
        The same shape, clipped at full scale and, as sensors with an offset do, not at 0.
    """
    return (sensor + (camera.shot * sensor.clip(0, 1) + camera.read) ** 0.5 * noise).clip(-1, 1)


def developed(sensor: Array, camera: Camera) -> Array:
    """What a sensor holds -> the camera's picture.

    Args:
        sensor: (..., 3, h, w), full scale 1, sides of at least 2 pixels.
        camera: Says how.

    Returns:
        sRGB of the same shape, values in [0, 1].
    """
    picture = _demosaiced_picture(sensor, camera)
    return _finished(picture, picture, camera)


def _demosaiced_picture(sensor: Array, camera: Camera) -> Array:
    return as_picture(demosaiced(sensor, gradients=camera.gradients), camera)


def _finished(picture: Array, seen: Array, camera: Camera) -> Array:
    """Noise reduction, which judges by `seen`, and sharpening."""
    noise = visible_noise(camera)
    picture = quieted(
        picture, seen, brightness=camera.smoothing * noise, colour=camera.colour_smoothing * noise
    )
    if camera.sharpening:
        picture = picture + camera.sharpening * (picture - filtered(picture, OTHERS) / 16)
    return picture.clip(0, 1)


def visible_noise(camera: Camera) -> float:
    """Standard deviation of noise in grey areas of the picture before it is reduced, at full scale 1."""
    deviation = (camera.shot * GREY + camera.read) ** 0.5
    low, high = (
        float(_to_tones(np.float64(max(0.0, GREY + step)), camera)) for step in (-deviation, deviation)
    )
    return (high - low) / 2


def photographed(clean: Array, camera: Camera, noise: Array) -> tuple[Array, Array]:
    """What a camera makes of a scene, with its noise and without.

    Args:
        clean: Photo of the scene, sRGB (..., 3, h, w), values in [0, 1], sides of at least 2 pixels.
        camera: See `draw_camera`.
        noise: Independent values of a standard normal distribution, of the same shape.

    Returns:
        The noisy picture, and what it is on average over such noise, of the same shape, values in [0, 1]. In
        both are the mosaic, noise reduction as the noise demands it, and sharpening.

    Raises:
        UsageError: A side has fewer than 2 pixels.
    """
    sensor = on_sensor(clean, camera)
    noisy, noiseless = (
        _demosaiced_picture(held, camera) for held in (sensor_noise(sensor, camera, noise), sensor)
    )
    return _finished(noisy, noisy, camera), _finished(noiseless, noisy, camera)


def _matrix(camera: Camera) -> npt.NDArray[np.float64]:
    """Camera's colours -> sRGB."""
    first, second = map(np.array, COLOURS)
    matrix: npt.NDArray[np.float64] = first + camera.colours * (second - first)
    return matrix


def _gains(camera: Camera) -> npt.NDArray[np.float64]:
    return np.array((camera.red, 1.0, camera.blue))


def _mixed(picture: Array, matrix: npt.NDArray[np.float64]) -> Array:
    """Multiply the colours of (..., 3, h, w) by a matrix."""
    factors = matrix.astype(np.float32) if isinstance(picture, np.ndarray) else picture.new_tensor(matrix)
    flat = factors @ picture.reshape(*picture.shape[:-2], -1)
    return flat.reshape(picture.shape)


def _to_tones(linear: Array, camera: Camera) -> Array:
    """The tone curve: linear light in [0, 1] -> sRGB in [0, 1]."""
    lifted = (1 + camera.contrast) * linear / (1 + camera.contrast * linear)
    power, low = 1 / camera.gamma, camera.toe ** (1 / camera.gamma)
    return ((lifted + camera.toe) ** power - low) / ((1 + camera.toe) ** power - low)


def _from_tones(picture: Array, camera: Camera) -> Array:
    """The inverse of the tone curve."""
    power, low = 1 / camera.gamma, camera.toe ** (1 / camera.gamma)
    lifted = (picture * ((1 + camera.toe) ** power - low) + low) ** camera.gamma - camera.toe
    return lifted / (1 + camera.contrast - camera.contrast * lifted)
