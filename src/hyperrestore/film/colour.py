"""Samples of a film's picture -> RGB in [0, 1], and back again, by the film's own matrix and range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hyperrestore.arrays import Float32, Pixels, StoredRows
from hyperrestore.errors import PictureError
from hyperrestore.film.chroma import SITINGS, Grid, Siting

Planes = Sequence[StoredRows]  # one (rows, columns) for each component

# Shares of red and blue in the brightness, by the number that ITU-T H.273 gives to a matrix.
SHARES = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, non-constant luminance
}
UNSPECIFIED = (2, 3)  # the latter is reserved
FULL = 2  # FFmpeg's number of the full range


@dataclass(frozen=True)
class Coding:
    """How the samples of a film's pictures stand for colours.

    Attributes:
        kind: "yuv"; "rgb", whose planes are green, blue and red; or "grey".
        bits: Of a sample.
        full: Whether samples use their full range, not that of television: 16 to 235, or 240, of 255.
        matrix: Shares of red and blue in the brightness; of use only for "yuv".
        grid: Where the colour samples lie.
    """

    kind: str
    bits: int
    full: bool
    matrix: tuple[float, float]
    grid: Grid

    def resized(self, height: int, width: int) -> Coding:
        """The same for pictures of another size."""
        return replace(self, grid=replace(self.grid, height=height, width=width))

    def to_pixels(self, planes: Planes) -> Pixels:
        """Samples -> RGB or grey (3 or 1, h, w) in [0, 1]; what lies beyond is clipped."""
        values = [self._decoded(plane, colour=index > 0) for index, plane in enumerate(planes)]
        if self.kind == "rgb":
            green, blue, red = values
            pixels = np.stack([red, green, blue])
        elif self.kind == "grey":
            pixels = values[0][None]
        else:
            luma, *colours = values
            blue, red = (self.grid.at_pixels(colour) for colour in colours)
            pixels = self._rgb(luma, blue, red)
        return pixels.clip(0, 1)

    def changed(self, planes: Planes, change: Pixels) -> list[StoredRows]:
        """Samples with a change added to their picture.

        Where nothing changes, samples stay exactly as they are, also those whose colour is beyond [0, 1].

        Args:
            planes: As for `to_pixels`.
            change: Restored picture minus that of `to_pixels`, (3 or 1, h, w).
        """
        added = [part * self._step(index > 0) for index, part in enumerate(self._parts(change))]
        return [self._rounded(plane + more) for plane, more in zip(planes, added, strict=True)]

    def to_planes(self, pixels: Pixels) -> list[StoredRows]:
        """RGB or grey in [0, 1] -> samples."""
        parts = enumerate(self._parts(pixels))
        return [self._rounded(part * self._step(index > 0) + self._zero(index > 0)) for index, part in parts]

    def _parts(self, pixels: Pixels) -> list[Float32]:
        """The components of a picture: green, blue and red; brightness and colours; or grey."""
        if self.kind == "grey":
            return [pixels[0]]
        red, green, blue = pixels
        if self.kind == "rgb":
            return [green, blue, red]
        of_red, of_blue = (np.float32(share) for share in self.matrix)
        luma = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
        colours = (blue - luma) / (2 * (1 - of_blue)), (red - luma) / (2 * (1 - of_red))
        return [luma, *(self.grid.samples(colour) for colour in colours)]

    def _rgb(self, luma: Float32, blue: Float32, red: Float32) -> Pixels:
        of_red, of_blue = (np.float32(share) for share in self.matrix)
        red_value = luma + 2 * (1 - of_red) * red
        blue_value = luma + 2 * (1 - of_blue) * blue
        green_value = (luma - of_red * red_value - of_blue * blue_value) / (1 - of_red - of_blue)
        return np.stack([red_value, green_value, blue_value])

    def _decoded(self, plane: StoredRows, *, colour: bool) -> Float32:
        return (plane.astype(np.float32) - self._zero(colour)) / self._step(colour)

    def _zero(self, colour: bool) -> np.float32:
        """The sample of black, or of no colour."""
        eighth = 2 ** (self.bits - 8)
        if colour and self.kind == "yuv":
            return np.float32(128 * eighth)
        return np.float32(0 if self.full else 16 * eighth)

    def _step(self, colour: bool) -> np.float32:
        """How many samples there are from 0 to 1."""
        if self.full:
            return np.float32(2**self.bits - 1)
        return np.float32((224 if colour and self.kind == "yuv" else 219) * 2 ** (self.bits - 8))

    def _rounded(self, values: Float32) -> StoredRows:
        samples = np.rint(values).clip(0, 2**self.bits - 1)
        return samples.astype(np.uint8) if self.bits == 8 else samples.astype(np.uint16)


def matrix_of(number: int, height: int) -> tuple[float, float]:
    """Shares of red and blue in the brightness.

    Args:
        number: Of the matrix, as ITU-T H.273 has it; where it says nothing, the height decides, as is usual.
        height: Of a picture, pixels.

    Raises:
        PictureError: The matrix is not one of these.
    """
    if number in UNSPECIFIED:
        number = 1 if height > 576 else 6
    if number not in SHARES:
        raise PictureError(
            f"its colours are of matrix {number} (ITU-T H.273), which is not supported; convert it to "
            "BT.709 or BT.2020"
        )
    return SHARES[number]


def siting_of(name: str | None, *, full: bool) -> Siting:
    """Where colour samples lie; where the film does not say, as in JPEG for full range, else as in MPEG."""
    return SITINGS[name or ("center" if full else "left")]
