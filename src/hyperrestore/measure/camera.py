"""A clean photo -> what a camera would have made of the scene: noise of a sensor, developed as cameras do.

The photo is taken back to approximately linear light on a sensor (T. Brooks et al., "Unprocessing images for
learned raw denoising", CVPR 2019), gets noise there whose variance grows with brightness, and is developed
again: mosaic, demosaicing, white balance, colour matrix, tone curve, the mild smoothing and sharpening of a
camera. All of it is arithmetic on NumPy arrays or torch tensors alike; randomness is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperrestore.errors import UsageError

Array = Any  # NumPy array or torch tensor (..., 3, h, w)
Weights = tuple[tuple[float, float, float], ...]

SHOT = 2e-6, 4e-3  # least and largest a of the noise's variance a * x + b, at full scale 1
READ = 7e-9, 2e-5  # ... and b
# Cameras' colours -> sRGB lie between these; every row sums to 1, so that grey stays grey.
COLOURS: tuple[Weights, Weights] = (
    ((1.35, -0.25, -0.10), (-0.15, 1.35, -0.20), (0.00, -0.35, 1.35)),
    ((1.85, -0.70, -0.15), (-0.30, 1.75, -0.45), (0.05, -0.75, 1.70)),
)
GREEN = (0.0, 1.0, 0.0), (1.0, 4.0, 1.0), (0.0, 1.0, 0.0)
OTHERS = (1.0, 2.0, 1.0), (2.0, 4.0, 2.0), (1.0, 2.0, 1.0)


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
        smoothing: From 0 to 1, how much the camera smooths brightness; colours twice as much, at most fully.
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
    sharpening: float = 0.0


def draw_camera(random: np.random.Generator) -> Camera:
    """A camera, an exposure and a sensitivity, as they occur."""
    place = random.random()  # from base sensitivity to the highest
    shot = SHOT[0] * (SHOT[1] / SHOT[0]) ** place
    read = READ[0] * (READ[1] / READ[0]) ** float(np.clip(place + random.normal(0, 0.12), 0, 1))
    processed = random.random() < 0.6
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
        smoothing=random.uniform(0, 0.8) if processed else 0.0,
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


def demosaiced(sensor: Array, *, gradients: bool) -> Array:
    """Keep of each pixel (..., 3, h, w) the one colour that a sensor sees there, and find the others again.

    Args:
        sensor: Sides of at least 2 pixels. Red is seen at (0, 0), blue at (1, 1).
        gradients: Correct each colour by the gradients of the one seen there.

    Raises:
        UsageError: A side has fewer pixels.
    """
    if min(sensor.shape[-2:]) < 2:
        raise UsageError(
            f"a sensor sees three colours in 2 x 2 pixels or more, got a picture (..., 3, h, w) of shape "
            f"{tuple(sensor.shape)}"
        )
    masks = _masks(sensor.shape[-2:])
    if not isinstance(sensor, np.ndarray):
        masks = sensor.new_tensor(masks)
    raw = (sensor * masks).sum(-3)[..., None, :, :]  # (..., 1, h, w)
    if gradients:
        return _corrected(raw, masks)
    seen = sensor * masks
    whole = [
        _filtered(seen[..., index : index + 1, :, :], weights)
        / _filtered(masks[index : index + 1] + 0 * seen[..., :1, :, :], weights)
        for index, weights in enumerate((OTHERS, GREEN, OTHERS))
    ]
    result = sensor * masks
    for index, plane in enumerate(whole):
        rest = 1 - masks[index]
        result[..., index, :, :] = result[..., index, :, :] + rest * plane[..., 0, :, :]
    return result


def developed(sensor: Array, camera: Camera) -> Array:
    """What a sensor holds -> the camera's picture, sRGB in [0, 1]: mosaic, colours, smoothing, sharpening."""
    picture = as_picture(demosaiced(sensor, gradients=camera.gradients), camera)
    if camera.smoothing:
        blurred = _filtered(picture, OTHERS) / 16
        grey, blurred_grey = picture.mean(-3)[..., None, :, :], blurred.mean(-3)[..., None, :, :]
        kept = grey + camera.smoothing * (blurred_grey - grey)
        colour, blurred_colour = picture - grey, _filtered(blurred, OTHERS) / 16 - blurred_grey
        picture = kept + colour + min(1.0, 2 * camera.smoothing) * (blurred_colour - colour)
    if camera.sharpening:
        picture = picture + camera.sharpening * (picture - _filtered(picture, OTHERS) / 16)
    return picture.clip(0, 1)


def photographed(clean: Array, camera: Camera, noise: Array) -> tuple[Array, Array]:
    """What a camera makes of a scene, with its noise and without.

    Args:
        clean: Photo of the scene, sRGB (..., 3, h, w), values in [0, 1], sides of at least 2 pixels.
        camera: See `draw_camera`.
        noise: Independent values of a standard normal distribution, of the same shape.

    Returns:
        The noisy and the noiseless picture, both of the same shape, values in [0, 1]. Mosaic, smoothing and
        sharpening are in both.

    Raises:
        UsageError: A side has fewer than 2 pixels.
    """
    sensor = on_sensor(clean, camera)
    return developed(sensor_noise(sensor, camera, noise), camera), developed(sensor, camera)


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


def _masks(size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Which colour a sensor sees where: (3, h, w) of 0 and 1."""
    masks = np.zeros((3, *size), np.float32)
    masks[0, ::2, ::2] = masks[2, 1::2, 1::2] = 1
    masks[1, ::2, 1::2] = masks[1, 1::2, ::2] = 1
    return masks


def _corrected(raw: Array, masks: Array) -> Array:
    """A mosaic (..., 1, h, w) -> colours (..., 3, h, w), with gradient correction."""

    def at(down: int, right: int) -> Array:
        return _shifted(raw, down, right)

    beside, above = at(0, 1) + at(0, -1), at(1, 0) + at(-1, 0)
    far_beside, far_above = at(0, 2) + at(0, -2), at(2, 0) + at(-2, 0)
    corners = at(1, 1) + at(1, -1) + at(-1, 1) + at(-1, -1)
    green = (4 * raw + 2 * (beside + above) - far_beside - far_above) / 8
    across = (5 * raw + 4 * beside - corners - far_beside + 0.5 * far_above) / 8
    down = (5 * raw + 4 * above - corners - far_above + 0.5 * far_beside) / 8
    opposite = (6 * raw + 2 * corners - 1.5 * (far_beside + far_above)) / 8
    red, seen_green, blue = (masks[index : index + 1] for index in range(3))
    in_red_row = seen_green * 0
    in_red_row[..., ::2, :] = 1
    beside_red, beside_blue = seen_green * in_red_row, seen_green * (1 - in_red_row)
    result = raw * masks
    result[..., 0, :, :] += (across * beside_red + down * beside_blue + opposite * blue)[..., 0, :, :]
    result[..., 1, :, :] += (green * (red + blue))[..., 0, :, :]
    result[..., 2, :, :] += (across * beside_blue + down * beside_red + opposite * red)[..., 0, :, :]
    return result


def _filtered(planes: Array, weights: Weights) -> Array:
    """Correlate (..., h, w) with 3 x 3 weights; the border is mirrored, as `_shifted` does."""
    total: Array = 0 * planes
    for down, row in enumerate(weights):
        for right, weight in enumerate(row):
            if weight:
                total = total + weight * _shifted(planes, down - 1, right - 1)
    return total


def _shifted(planes: Array, down: int, right: int) -> Array:
    """The values so many pixels below and to the right; beyond the border those mirrored at its pixels."""
    rows, columns = (
        _mirrored(np.arange(side) + step, side)
        for side, step in zip(planes.shape[-2:], (down, right), strict=True)
    )
    return planes[..., rows, :][..., columns]


def _mirrored(places: npt.NDArray[np.int64], side: int) -> npt.NDArray[np.int64]:
    """Mirrored so that a mosaic goes on beyond the border: ... 2 1 0 1 2 ..."""
    places = np.abs(places)
    return np.where(places > side - 1, 2 * (side - 1) - places, places)
