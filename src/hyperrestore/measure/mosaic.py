"""The mosaic of a sensor, which sees one colour at each pixel, and how cameras fill in the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hyperrestore.errors import UsageError
from hyperrestore.measure.neighbours import filtered, shifted

Array = Any  # NumPy array or torch tensor (..., 3, h, w)

GREEN = (0.0, 1.0, 0.0), (1.0, 4.0, 1.0), (0.0, 1.0, 0.0)
OTHERS = (1.0, 2.0, 1.0), (2.0, 4.0, 2.0), (1.0, 2.0, 1.0)


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
        filtered(seen[..., index : index + 1, :, :], weights)
        / filtered(masks[index : index + 1] + 0 * seen[..., :1, :, :], weights)
        for index, weights in enumerate((OTHERS, GREEN, OTHERS))
    ]
    result = sensor * masks
    for index, plane in enumerate(whole):
        rest = 1 - masks[index]
        result[..., index, :, :] = result[..., index, :, :] + rest * plane[..., 0, :, :]
    return result


def _masks(size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Which colour a sensor sees where: (3, h, w) of 0 and 1."""
    masks = np.zeros((3, *size), np.float32)
    masks[0, ::2, ::2] = masks[2, 1::2, 1::2] = 1
    masks[1, ::2, 1::2] = masks[1, 1::2, ::2] = 1
    return masks


def _corrected(raw: Array, masks: Array) -> Array:
    """A mosaic (..., 1, h, w) -> colours (..., 3, h, w), with gradient correction."""

    def at(down: int, right: int) -> Array:
        return shifted(raw, down, right)

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
