"""How a clean picture is degraded, reproducibly: noise, JPEG and rescaling.

Every function takes the clean picture, then its level in the user's unit, and depends on nothing else. Only
the noise is random, and its generator is an argument.

A protocol names a convention of the field. A score means nothing without it: at the same level the inputs of
the two protocols can differ by more than 1 dB.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from hyperrestore.arrays import AnyPixels, UInt8
from hyperrestore.errors import LevelError, MissingExtraError, UsageError
from hyperrestore.picture.containers.jpeg import quantisation_tables as quantisation_tables
from hyperrestore.resample import check_picture, resize_bicubic, resized

Protocol = Literal["standard", "hyperres"]
Subsampling = Literal["4:2:0", "4:2:2", "4:4:4"]
Array = TypeVar("Array", bound=Any)  # NumPy array or torch tensor


def gaussian_noise(clean: Array, sigma: Any, generator: Any, *, protocol: Protocol = "standard") -> Array:
    """Add white Gaussian noise.

    Args:
        clean: NumPy float array or torch tensor of any shape, values in [0, 1].
        sigma: Standard deviation on the 8-bit scale, so 25 means 25/255: a number, or an array or tensor of
            the same kind as `clean` that broadcasts to it.
        generator: `numpy.random.Generator` for an array; `torch.Generator` on its device for a tensor.
        protocol: "standard" adds the noise in floating point and neither clips nor rounds; "hyperres" clips
            to [0, 1] and truncates to 8 bits (arXiv 2206.05970).

    Returns:
        The noisy picture, of the same kind, shape and dtype as `clean`.

    Raises:
        LevelError: A number sigma is negative or not finite.
        UsageError: The protocol is unknown, or the generator is of the other kind.

    Example:
        >>> noisy = gaussian_noise(np.full((3, 64, 64), 0.5), 25, np.random.default_rng(0))
        >>> round(float(noisy.std()) * 255)
        25
    """
    _check_choice("protocol", protocol, Protocol)
    if isinstance(sigma, int | float) and not 0 <= sigma < math.inf:
        raise LevelError(
            f"sigma {sigma!r} is not a standard deviation: give a number of at least 0, on the 8-bit scale"
        )
    if isinstance(clean, np.ndarray) != isinstance(generator, np.random.Generator):
        raise UsageError(
            f"{type(generator).__name__} cannot make noise for {type(clean).__name__}: "
            "give numpy.random.Generator with a NumPy array, torch.Generator with a tensor"
        )
    noisy: Array
    if isinstance(clean, np.ndarray):
        noise = generator.standard_normal(clean.shape, dtype=np.float32)
        noisy = (clean + noise * (sigma / 255)).astype(clean.dtype)
    else:
        noise = clean.new_empty(clean.shape).normal_(generator=generator)
        noisy = (clean + noise * (sigma / 255)).to(clean.dtype)
    if protocol == "hyperres":
        noisy = noisy.clip(0, 1) * 255 // 1 / 255  # `// 1` is floor for arrays and tensors alike
    return noisy


def jpeg(
    clean: AnyPixels,
    quality: int,
    *,
    subsampling: Subsampling = "4:2:0",
    tables: Sequence[Sequence[int]] | None = None,
) -> AnyPixels:
    """Round to 8 bits, encode as baseline JPEG and decode again.

    Args:
        clean: RGB (3, h, w) or grey (1, h, w) picture, values in [0, 1].
        quality: Quality of libjpeg, a whole number from 1 to 100.
        subsampling: "4:2:0" halves the resolution of the colours, "4:2:2" across only, "4:4:4" keeps it; grey
            has none.
        tables: Quantisation tables of luminance and colours instead of those of the quality, each 64 whole
            numbers from 1 to 255, row by row.

    Returns:
        The decoded picture, of the same shape and dtype as `clean`; its values are 8-bit.

    Raises:
        LevelError: The quality is no whole number from 1 to 100.
        MissingExtraError: Pillow is not installed.
        UsageError: The picture is neither RGB nor grey, or the subsampling is unknown.

    Example:
        >>> jpeg(np.zeros((1, 20, 30)), 10).shape
        (1, 20, 30)
    """
    if not (1 <= quality <= 100 and quality == int(quality)):
        raise LevelError(f"JPEG quality {quality!r} is not accepted: give a whole number from 1 to 100")
    _check_choice("subsampling", subsampling, Subsampling)
    if clean.ndim != 3 or clean.shape[0] not in (1, 3):
        raise UsageError(f"JPEG needs a picture of shape (1, h, w) or (3, h, w), got {clean.shape}")
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("JPEG needs Pillow: pip install 'hyperrestore[torch]'") from error
    samples = _round_to_8bit(clean).transpose(1, 2, 0)  # (h, w, c)
    file = io.BytesIO()
    picture = Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)
    chosen = {"quality": int(quality)} if tables is None else {"qtables": [list(table) for table in tables]}
    picture.save(file, "JPEG", subsampling=subsampling, **chosen)
    with Image.open(file) as decoded:
        samples = np.asarray(decoded).reshape(samples.shape)
    return (samples.transpose(2, 0, 1) / 255.0).astype(clean.dtype)


def rescale(
    clean: AnyPixels, scale: float, *, softness: float = 1.0, protocol: Protocol = "standard"
) -> AnyPixels:
    """Shrink by `scale`, then enlarge to the original size again.

    The small picture has round(side / scale) pixels a side.

    Args:
        clean: Picture (c, h, w), values in [0, 1].
        scale: Factor of enlargement, 1 or more; need not be a whole number.
        softness: Of the small picture, see `shrink`.
        protocol: "standard" shrinks and enlarges as MATLAB does, with antialiasing, and rounds the small
            picture to 8 bits. "hyperres" shrinks and enlarges as OpenCV does, without antialiasing, and
            rounds both pictures; where `scale` does not divide a side, the result is shifted by up to half a
            small pixel, because OpenCV shrinks by the exact factor and enlarges by the ratio of the sizes.

    Returns:
        The blurred picture, of the same shape and dtype as `clean`.

    Raises:
        LevelError: The scale is below 1 or not finite.
        UsageError: The picture is not (c, h, w) or empty, or the protocol is unknown.

    Example:
        >>> rescale(np.ones((3, 50, 70)), 2.5).shape
        (3, 50, 70)
    """
    small = _shrunk(clean, scale, softness=softness, protocol=protocol) / 255.0
    height, width = clean.shape[1:]
    large = resize_bicubic(small, height, width, antialias=protocol == "standard")
    if protocol == "hyperres":
        large = _round_to_8bit(large) / 255.0
    return large.astype(clean.dtype)


def shrink(
    clean: AnyPixels, scale: float, *, softness: float = 1.0, protocol: Protocol = "standard"
) -> AnyPixels:
    """Shrink by `scale`, to round(side / scale) pixels a side, and round to 8 bits.

    Args:
        clean: Picture (c, h, w), values in [0, 1].
        scale: Factor by which the picture becomes smaller, 1 or more; need not be a whole number.
        softness: Width of the cubic kernel, as a share of that of MATLAB's antialiased bicubic: 1 is that, 0
            interpolates without antialiasing, 2 blurs. At scale 1 only what is above 1 changes anything.
        protocol: See `rescale`. "hyperres" shrinks without antialiasing, whatever the softness.

    Returns:
        The small picture, of the same dtype as `clean`; its values are 8-bit.

    Raises:
        LevelError: The scale is below 1 or not finite, or the softness below 0 or not finite.
        UsageError: The picture is not (c, h, w) or empty, or the protocol is unknown.

    Example:
        >>> shrink(np.ones((3, 50, 70)), 2.5).shape
        (3, 20, 28)
    """
    small = _shrunk(clean, scale, softness=softness, protocol=protocol)
    return (small / 255.0).astype(clean.dtype)


def _shrunk(clean: AnyPixels, scale: float, *, softness: float, protocol: Protocol) -> UInt8:
    """The small picture of `shrink`, as integers."""
    _check_choice("protocol", protocol, Protocol)
    check_picture(clean)
    if not 1 <= scale < math.inf:
        raise LevelError(f"scale {scale!r} is not accepted: give a number of at least 1")
    if not 0 <= softness < math.inf:
        raise LevelError(f"softness {softness!r} is not accepted: give a number of at least 0")
    height, width = clean.shape[1:]
    size = max(1, round(height / scale)), max(1, round(width / scale))
    standard = protocol == "standard"
    steps = (height / size[0], width / size[1]) if standard else (scale, scale)
    return _round_to_8bit(resized(clean, size, steps, antialias=standard, softness=softness))


def _round_to_8bit(image: AnyPixels) -> UInt8:
    """Clip to [0, 1] and round to 0..255, halves up."""
    samples: AnyPixels = np.clip(image, 0, 1) * 255.0
    return (samples + 0.5).astype(np.uint8)  # the conversion truncates


def _check_choice(name: str, choice: str, allowed: Any) -> None:
    """Refuse a name outside the given literal type."""
    if choice not in get_args(allowed):
        raise UsageError(f"unknown {name} {choice!r}: choose one of {', '.join(get_args(allowed))}")
