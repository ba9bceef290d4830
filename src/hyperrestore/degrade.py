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
import numpy.typing as npt

from hyperrestore.errors import LevelError, MissingExtraError, UsageError
from hyperrestore.jpeg import quantisation_tables as quantisation_tables

Protocol = Literal["standard", "hyperres"]
Subsampling = Literal["4:2:0", "4:2:2", "4:4:4"]
Pixels = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]
Weights = TypeVar("Weights", bound=npt.NDArray[np.floating[Any]])
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
            f"sigma {sigma!r} is no standard deviation: give a number from 0, on the 8-bit scale"
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
    clean: Pixels,
    quality: int,
    *,
    subsampling: Subsampling = "4:2:0",
    tables: Sequence[Sequence[int]] | None = None,
) -> Pixels:
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


def rescale(clean: Pixels, scale: float, *, softness: float = 1.0, protocol: Protocol = "standard") -> Pixels:
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


def shrink(clean: Pixels, scale: float, *, softness: float = 1.0, protocol: Protocol = "standard") -> Pixels:
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


def _shrunk(clean: Pixels, scale: float, *, softness: float, protocol: Protocol) -> npt.NDArray[np.uint8]:
    """The small picture of `shrink`, as integers."""
    _check_choice("protocol", protocol, Protocol)
    _check_picture(clean)
    if not 1 <= scale < math.inf:
        raise LevelError(f"scale {scale!r} is not accepted: give a number from 1")
    if not 0 <= softness < math.inf:
        raise LevelError(f"softness {softness!r} is not accepted: give a number from 0")
    height, width = clean.shape[1:]
    size = max(1, round(height / scale)), max(1, round(width / scale))
    standard = protocol == "standard"
    steps = (height / size[0], width / size[1]) if standard else (scale, scale)
    return _round_to_8bit(_resize(clean, size, steps, antialias=standard, softness=softness))


def resize_bicubic(image: Pixels, height: int, width: int, *, antialias: bool) -> Pixels:
    """Resize by cubic convolution, keeping the corners where they are.

    Source: R. Keys, "Cubic convolution interpolation for digital image processing", 1981.

    Args:
        image: Picture (c, h, w), any range.
        height: Rows of the result.
        width: Columns of the result.
        antialias: True for MATLAB's `imresize`: a = -0.5, the kernel widened when shrinking, the border
            mirrored. False for OpenCV's `INTER_CUBIC`: a = -0.75, four taps always, the border repeated.

    Returns:
        Picture (c, height, width) of the same dtype, not clipped: the kernel overshoots at edges.

    Raises:
        UsageError: The picture is not (c, h, w), or a size is below 1.

    Example:
        >>> resize_bicubic(np.ones((1, 8, 6)), 4, 9, antialias=True).shape
        (1, 4, 9)
    """
    _check_picture(image)
    if height < 1 or width < 1:
        raise UsageError(f"cannot resize to {height} x {width} pixels: both sides need at least 1")
    steps = image.shape[1] / height, image.shape[2] / width
    return _resize(image, (height, width), steps, antialias=antialias).astype(image.dtype)


def _resize(
    image: Pixels,
    size: tuple[int, int],
    steps: tuple[float, float],
    *,
    antialias: bool,
    softness: float = 1.0,
) -> Float64:
    """Resample (c, h, w) to `size`, pixels `steps` apart: first along the rows, then along the columns."""
    taps = [
        bicubic_taps(count, length, step, antialias=antialias, softness=softness)
        for count, length, step in zip(image.shape[1:], size, steps, strict=True)
    ]
    tall = _resize_rows(image, *taps[0])  # (c, height, w)
    wide = _resize_rows(tall.swapaxes(1, 2), *taps[1])  # (c, width, height)
    return wide.swapaxes(1, 2)


def resize_matrix(count: int, length: int, step: float, *, antialias: bool) -> Float64:
    """Bicubic resampling of one axis as a matrix: result = matrix @ samples.

    Args:
        count: Samples of the picture along the axis.
        length: Samples of the result.
        step: Distance of two samples of the result, in samples of the picture.
        antialias: See `resize_bicubic`.

    Returns:
        Matrix (length, count); its rows sum to 1.
    """
    return matrix_of(*bicubic_taps(count, length, step, antialias=antialias), count)


def matrix_of(places: npt.NDArray[np.int64], weights: Weights, count: int) -> Weights:
    """The matrix (length, count) of places and weights (length, taps), in the precision of the weights."""
    matrix = np.zeros((len(places), count), weights.dtype)
    np.add.at(matrix, (np.arange(len(places))[:, None], places), weights)
    return matrix  # type: ignore[return-value]


def _resize_rows(image: Pixels, places: npt.NDArray[np.int64], weights: Float64) -> Float64:
    """Resample (c, n, w) to (c, length, w), by places and weights (length, taps)."""
    result = np.zeros((image.shape[0], len(places), image.shape[2]))
    for place, weight in zip(places.T, weights.T, strict=True):
        result += weight[:, None] * image[:, place]
    return result


def bicubic_taps(
    count: int, length: int, step: float, *, antialias: bool, softness: float = 1.0
) -> tuple[npt.NDArray[np.int64], Float64]:
    """Which of `count` samples make each of `length` new ones, and by which weights.

    Args:
        count: Samples of the picture along one axis.
        length: Samples of the result.
        step: Distance of two samples of the result, in samples of the picture.
        antialias: See `resize_bicubic`.
        softness: Width of an antialiasing kernel (see `shrink`).

    Returns:
        Indices and weights, both (length, taps); the weights of a sample sum to 1.
    """
    centres = (np.arange(length) + 0.5) * step - 0.5
    stretch = max(1.0, softness * step) if antialias else 1.0
    first = np.floor(centres - 2 * stretch).astype(np.int64) + 1  # the kernel is zero from 2 * stretch on
    places = first[:, None] + np.arange(math.ceil(4 * stretch))
    weights = _cubic((places - centres[:, None]) / stretch, -0.5 if antialias else -0.75)
    weights /= weights.sum(axis=1, keepdims=True)  # a widened kernel does not sum to 1 by itself
    if antialias:
        places = np.minimum(
            places % (2 * count), -(places + 1) % (2 * count)
        )  # ... 1 0 | 0 1 ... n-1 | n-1 ...
    else:
        places = places.clip(0, count - 1)
    return places, weights


def _cubic(distance: Float64, a: float) -> Float64:
    """Kernel of Keys: piecewise cubic, 1 at 0, 0 at 1 and from 2 on; `a` is its slope at 1."""
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _round_to_8bit(image: Pixels) -> npt.NDArray[np.uint8]:
    """Clip to [0, 1] and round to 0..255, halves up."""
    samples: Pixels = np.clip(image, 0, 1) * 255.0
    return (samples + 0.5).astype(np.uint8)  # the conversion truncates


def _check_choice(name: str, choice: str, allowed: Any) -> None:
    """Refuse a name outside the given literal type."""
    if choice not in get_args(allowed):
        raise UsageError(f"unknown {name} {choice!r}: choose one of {', '.join(get_args(allowed))}")


def _check_picture(image: Pixels) -> None:
    """Refuse what is no picture."""
    if image.ndim != 3 or image.size == 0:
        raise UsageError(f"expected a picture of shape (c, h, w) with at least one pixel, got {image.shape}")
