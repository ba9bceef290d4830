"""Which floats a picture may hold: values in [0, 1], and what noise and resampling make of them."""

from __future__ import annotations

import numpy as np

from hyperrestore.arrays import AnyFloat
from hyperrestore.errors import UsageError

# Noise of sigma 100 on a picture in [0, 1] stays within these, at 7 sigma, and so does the ringing of every
# resampling. A picture in the range 0 to 255 does not, unless it is black.
LEAST, MOST = -3.0, 4.0


def check_picture(pixels: object) -> None:
    """Refuse what is no picture, (1 or 3, h, w) of floats about [0, 1].

    Raises:
        UsageError: It has another shape or type, no pixel, or values that no picture has.
    """
    array = np.asarray(pixels)
    if array.ndim != 3 or len(array) not in (1, 3) or array.size == 0 or array.dtype.kind != "f":
        raise UsageError(
            "a picture is floats in [0, 1] of shape (1 or 3, h, w), with at least one pixel; got "
            f"{array.dtype} of shape {array.shape}"
        )
    check_floats(array)


def check_floats(values: AnyFloat, *, what: str = "the pixels") -> None:
    """Refuse values that no picture has.

    Args:
        values: Pixels, alpha, or some of them; any shape with at least one value.
        what: What they are, for the message.

    Raises:
        UsageError: One of them is infinite or not a number, or lies beyond `LEAST` or `MOST`.

    Example:
        >>> check_floats(np.array([-0.2, 0.5, 1.1]))
        >>> check_floats(np.array([0.0, 255.0]))
        Traceback (most recent call last):
        hyperrestore.errors.UsageError: the pixels range from 0 to 255; ...
    """
    low, high = float(values.min()), float(values.max())
    if low >= LEAST and high <= MOST:
        return
    if not np.isfinite([low, high]).all():
        raise UsageError(f"{what} contain infinities or NaN; a picture has values in [0, 1]")
    raise UsageError(
        f"{what} range from {low:g} to {high:g}; a picture has values in [0, 1], which noise or resampling "
        f"may exceed, down to {LEAST:g} and up to {MOST:g}: divide them by the value of white, such as 255"
    )
