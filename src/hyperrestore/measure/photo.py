"""What a photo has suffered: noise of its brightness, noise of its colours, and JPEG compression.

Noise of three channels is split into its luminance, the same in all of them, and the rest, its colours. The
levels of both are in units of white noise: where every channel has independent noise of standard deviation s
on the 8-bit scale, luminance and colours are both at level s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hyperrestore.arrays import AnyPixels
from hyperrestore.colour import LUMA
from hyperrestore.errors import LevelError
from hyperrestore.measure.degrade import jpeg

Array = Any  # NumPy array or torch tensor
UNITS = ("noise", "colour noise", "quality")  # of the level axes, in the order in which networks take them
UNCOMPRESSED = 100.0  # the quality of a picture that was never a JPEG

SCALES = 1, 2, 4, 8  # sides of the squares in which effective noise is measured, pixels

# Standard deviation of the luminance of white noise of standard deviation 1, and of its colours.
WHITE_LUMINANCE = sum(share**2 for share in LUMA) ** 0.5
WHITE_COLOURS = (1 / 3 + WHITE_LUMINANCE**2) ** 0.5


def luminance(pictures: Array) -> Array:
    """(..., 3, h, w) -> (..., 1, h, w)."""
    red, green, blue = (share * pictures[..., index, :, :] for index, share in enumerate(LUMA))
    return (red + green + blue)[..., None, :, :]


def mixed_noise(noise: Array, brightness: Any, colours: Any) -> Array:
    """Scale the luminance and the colours of noise apart.

    Args:
        noise: (..., 3, h, w).
        brightness: Factor of its luminance: a number, or what broadcasts to the noise.
        colours: Factor of its colours, likewise.

    Returns:
        The same shape. White noise of standard deviation 1 gets the levels `brightness` and `colours`; noise
        that is the same in all channels has no colours, and is multiplied by `brightness`.
    """
    grey = luminance(noise)
    return brightness * grey + colours * (noise - grey)


def noise_levels(noise: Array) -> tuple[Array, Array]:
    """How strong noise is: the levels of its luminance and of its colours.

    Args:
        noise: Noisy less clean picture, (..., 3, h, w), full scale 1.

    Returns:
        Two arrays (...), on the 8-bit scale.
    """
    grey = luminance(noise)
    colours = noise - grey
    return (
        255 / WHITE_LUMINANCE * (grey * grey).mean((-3, -2, -1)) ** 0.5,
        255 / WHITE_COLOURS * (colours * colours).mean((-3, -2, -1)) ** 0.5,
    )


def effective_levels(noise: Array) -> tuple[Array, Array]:
    """The levels of white noise that would have to be removed as thoroughly, of luminance and of colours.

    A camera's noise is smooth: for its power in areas, which has to be removed, it has little in single
    pixels. So these are the largest of its levels in pixels and in means over 2 x 2, 4 x 4 and 8 x 8 pixels,
    where white noise falls to a half, a quarter and an eighth.

    Args:
        noise: Noisy less clean picture, (..., 3, h, w), full scale 1, sides of at least 8 pixels. Its mean in
            each channel does not count.

    Returns:
        Two arrays (...), on the 8-bit scale: for white noise those of `noise_levels`, a few percent higher.
    """
    noise = noise - noise.mean((-2, -1))[..., None, None]
    luminances, colours = zip(*(noise_levels(_means(noise, side)) for side in SCALES), strict=True)
    return _largest(luminances), _largest(colours)


def _means(noise: Array, side: int) -> Array:
    """Means over squares, times their side, which leaves white noise as strong as it is."""
    *rest, height, width = noise.shape
    rows, columns = height // side, width // side
    squares = noise[..., : rows * side, : columns * side].reshape(*rest, rows, side, columns, side)
    return side * squares.mean((-3, -1))


def _largest(arrays: Sequence[Array]) -> Array:
    largest, *others = arrays
    for other in others:
        largest = largest + (other - largest).clip(0)
    return largest


def damaged_photo(clean: AnyPixels, levels: Sequence[float], generator: np.random.Generator) -> AnyPixels:
    """Give a picture noise, then compress it.

    Args:
        clean: (3, h, w), values in [0, 1].
        levels: Noise, colour noise, both from 0 on, and JPEG quality, from 1 to 100; see `UNITS`. Quality 100
            leaves it uncompressed: neither clipped nor rounded.
        generator: Of the noise; at equal levels of both it is that of `degrade.gaussian_noise`.

    Returns:
        The same shape and dtype.

    Raises:
        LevelError: A noise is negative or not finite, or the quality no whole number from 1 to 100.

    Example:
        >>> clean = np.full((3, 64, 64), 0.5)
        >>> noisy = damaged_photo(clean, (10, 30, 100), np.random.default_rng(0))
        >>> [round(float(level)) for level in noise_levels(noisy - clean)]
        [10, 30]
    """
    brightness, colours, quality = levels
    if not (0 <= brightness < math.inf and 0 <= colours < math.inf):
        raise LevelError(
            f"noise {brightness!r} and colour noise {colours!r} are not both standard deviations: give "
            "numbers of at least 0, on the 8-bit scale"
        )
    noise = generator.standard_normal(clean.shape, dtype=np.float32)
    noisy = (clean + mixed_noise(noise, brightness / 255, colours / 255)).astype(clean.dtype)
    return noisy if quality == UNCOMPRESSED else jpeg(noisy, quality)  # type: ignore[arg-type]
