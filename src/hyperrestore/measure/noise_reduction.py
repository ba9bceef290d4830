"""What cameras do against noise before they save a picture: weak detail goes.

Brightness and colours are taken apart into bands, each twice as coarse as the one before, and a band is
damped where little is in it. Noise that is left is coarse: in brightness over two or three pixels, in colours
over eight and more. All of it is arithmetic on NumPy arrays or torch tensors alike.
"""

from __future__ import annotations

from typing import Any

from hyperrestore.measure.mosaic import OTHERS
from hyperrestore.measure.neighbours import filtered

Array = Any  # NumPy array or torch tensor (..., 3, h, w)

# Standard deviation of white noise in each band, over that in the picture.
WHITE = 0.80, 0.27, 0.13, 0.065
TINY = 1e-20  # where nothing is in a band, and nothing damps it


def quieted(picture: Array, seen: Array, *, brightness: float, colour: float) -> Array:
    """Damp detail of a picture where little of it is seen.

    Args:
        picture: (..., 3, h, w), values in any unit.
        seen: What is looked at for that, of the same shape: the picture itself, or the same with noise. Then
            noise reduction is linear in the picture, and two pictures differ by what is left of noise.
        brightness: White noise of this standard deviation is halved in brightness; in the same unit.
        colour: The same for the differences between colours and brightness, also where they are coarser.

    Returns:
        The same shape.
    """
    grey, seen_grey = (each.mean(-3)[..., None, :, :] for each in (picture, seen))
    brightnesses = _damped(grey, seen_grey, brightness, bands=2)
    return brightnesses + _damped(picture - grey, seen - seen_grey, colour, bands=4)


def _damped(planes: Array, seen: Array, sigma: float, *, bands: int) -> Array:
    """Multiply bands by e / (e + t): e is the mean square that is seen nearby, t that of white noise."""
    if sigma == 0:
        return planes
    kept = 0 * planes
    for index, share in enumerate(WHITE[:bands]):
        apart = 2**index
        blurred, blurred_seen = (filtered(each, OTHERS, apart=apart) / 16 for each in (planes, seen))
        energy = filtered((seen - blurred_seen) ** 2, OTHERS, apart=apart) / 16
        kept = kept + (planes - blurred) * (energy / (energy + (sigma * share) ** 2 + TINY))
        planes, seen = blurred, blurred_seen
    return kept + planes
