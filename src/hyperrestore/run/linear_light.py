"""Pictures in linear light: encoded for a network as the eye sees, and decoded after it.

The networks were trained on samples with the spacing of sRGB. In linear light, which raw developers and
renderers save, all shadows take up a few hundredths of the range, and noise and detail of dark areas are
almost invisible to a network. So pictures are encoded by the curve of sRGB before the network and decoded
after it. The file stays in linear light, in its own depth. Levels refer to the encoded picture.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from hyperrestore.arrays import Float64, Pixels, Rows
from hyperrestore.picture.info import PictureInfo
from hyperrestore.run.engine import Backend, level_channels, to_floats

Curve = Float64

STRAIGHT = 0.1  # largest distance of a profile's curve from a straight line that still counts as linear
_PLACES = np.linspace(0, 1, 65)


def in_linear_light(info: PictureInfo) -> bool:
    """Tell whether a picture's colour profile says that its samples are proportional to light.

    Such a profile consists of curves, without tables for whole colours, and all curves are nearly straight.
    """
    return info.icc_profile is not None and _has_straight_curves(info.icc_profile)


def to_perceptual(linear: Pixels) -> Pixels:
    """Encode by the curve of sRGB (IEC 61966-2-1), which is continued below 0 and above 1."""
    one = linear.dtype.type
    curved = one(1.055) * np.maximum(linear, one(0.0031308)) ** one(1 / 2.4) - one(0.055)
    encoded: Pixels = np.where(linear <= one(0.0031308), one(12.92) * linear, curved)
    return encoded


def to_linear(encoded: Pixels) -> Pixels:
    """Decode by the curve of sRGB; the inverse of `to_perceptual`."""
    one = encoded.dtype.type
    curved = ((np.maximum(encoded, one(0.04045)) + one(0.055)) / one(1.055)) ** one(2.4)
    linear: Pixels = np.where(encoded <= one(0.04045), encoded / one(12.92), curved)
    return linear


def perceptual_rows(read: Callable[[int, int], Rows], info: PictureInfo) -> Callable[[int, int], Rows]:
    """Rows of a picture as networks see them.

    Args:
        read: Gives the picture's rows, (c, n, w), the colours first.
        info: Of the picture.

    Returns:
        `read` itself if the picture is not in linear light; otherwise a function that gives the same rows as
        floats, with encoded colours.
    """
    if not in_linear_light(info):
        return read

    def encoded(top: int, bottom: int) -> Rows:
        rows = to_floats(read(top, bottom))
        return np.concatenate([to_perceptual(rows[: info.channels]), rows[info.channels :]])

    return encoded


class LinearResult:
    """A backend that restores encoded windows, and returns the result in linear light.

    Args:
        backend: What restores them.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.halo, self.multiple = backend.halo, backend.multiple
        self.axes = level_channels(backend)

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a window."""
        return to_linear(self._backend(window))


@lru_cache(maxsize=16)
def _has_straight_curves(profile: bytes) -> bool:
    names = {b"RGB ": (b"rTRC", b"gTRC", b"bTRC"), b"GRAY": (b"kTRC",)}.get(profile[16:20])
    tags = _tags(profile)
    if names is None or any(name.startswith(b"A2B") for name in tags):
        return False
    curves = [_curve(tags.get(name, b"")) for name in names]
    return all(curve is not None and np.abs(curve - _PLACES).max() <= STRAIGHT for curve in curves)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """The tags of a profile by name (ICC.1, 7.3); a damaged table counts as empty."""
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        entries = [
            struct.unpack_from(">4sII", profile, 132 + 12 * index) for index in range(min(count, 1000))
        ]
    except struct.error:
        return {}
    return {name: profile[start : start + size] for name, start, size in entries}


def _curve(tag: bytes) -> Curve | None:
    """A curve at `_PLACES` (ICC.1, 10.6 and 10.18); None if it is damaged."""
    try:
        if tag[:4] == b"curv":
            (count,) = struct.unpack_from(">I", tag, 8)
            values = np.frombuffer(tag, ">u2", count, 12)
            if count == 0:
                return _PLACES
            if count == 1:
                return np.asarray(_PLACES ** (values[0] / 256))
            return np.interp(_PLACES, np.linspace(0, 1, count), values / 65535)
        if tag[:4] == b"para":
            return _parametric(int.from_bytes(tag[8:10], "big"), tag[12:])
    except (struct.error, ValueError):
        pass
    return None


def _parametric(kind: int, parameters: bytes) -> Curve | None:
    """A parametric curve at `_PLACES`: (a x + b)^g, with an offset and a straight beginning in some kinds."""
    count = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}.get(kind)
    if count is None:
        return None
    numbers = [number / 65536 for number in struct.unpack_from(f">{count}i", parameters)]
    g, a, b = numbers[:3] if kind else (numbers[0], 1.0, 0.0)
    curve = np.maximum(a * _PLACES + b, 0) ** g
    if kind == 2:
        curve += numbers[3]
    if kind > 2:
        c, d, e, f = (*numbers[3:], 0.0, 0.0)[:4]
        curve = np.where(d > _PLACES, c * _PLACES + f, curve + e)
    return np.asarray(curve)
