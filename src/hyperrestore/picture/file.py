"""Image file <-> a whole picture in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hyperrestore.arrays import Pixels
from hyperrestore.errors import UsageError
from hyperrestore.floats import check_floats
from hyperrestore.picture.bands import resized
from hyperrestore.picture.containers.geotiff import POSITION, without_position
from hyperrestore.picture.forked import before_threads
from hyperrestore.picture.info import PictureInfo
from hyperrestore.picture.losses import resized_info, resizing_of
from hyperrestore.picture.reader import MAX_PIXELS, STRIP, AnyPath, open_picture
from hyperrestore.picture.vips import vips_library
from hyperrestore.picture.writer import create_picture, to_integers


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A whole picture in memory.

    Attributes:
        pixels: (c, h, w), float32, values in [0, 1], grey or RGB in the picture's own colour space.
        alpha: (1, h, w), float32, values in [0, 1], or None.
        info: What the file says besides.
        others: (n, h, w), float32, values in [0, 1], what a TIFF file has for each pixel besides colours and
            alpha, as infrared; or None.
    """

    pixels: Pixels
    alpha: Pixels | None
    info: PictureInfo
    others: Pixels | None = None


def read_picture(path: AnyPath, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a whole picture.

    Args:
        path: PNG, JPEG, WebP, TIFF or AVIF file, recognised by its content.
        max_pixels: The most pixels that are accepted.

    Returns:
        Pixels (c, h, w) and alpha (1, h, w) in float32, [0, 1], with the file's metadata.

    Raises:
        PictureError: As `open_picture`.
    """
    with open_picture(path, max_pixels=max_pixels) as reader:
        info = reader.info
        colours = info.channels + info.has_alpha
        bands = np.empty((colours + info.others, info.height, info.width), np.float32)
        for top in range(0, info.height, STRIP):
            bottom = min(top + STRIP, info.height)
            strip = reader.samples(top, bottom)
            np.divide(strip, 2**info.bits - 1, out=bands[:, top:bottom], casting="unsafe")
    alpha = bands[info.channels : colours] if info.has_alpha else None
    return Picture(bands[: info.channels], alpha, info, bands[colours:] if info.others else None)


def write_picture(
    path: AnyPath, picture: Picture, *, quality: int | None = None, overwrite: bool = False
) -> tuple[str, ...]:
    """Write a whole picture; values are clipped to [0, 1] and rounded to `picture.info.bits`.

    Size, channels and alpha are those of the arrays, whatever `picture.info` says.

    Args:
        path: The file to be; its suffix chooses the format.
        picture: Pixels, alpha and metadata.
        quality: 1 to 100, as for `create_picture`.
        overwrite: Whether an existing file may be replaced.

    Returns:
        One plain sentence for everything that the file's format cannot hold as it is.

    Raises:
        PictureError: As `create_picture`.
        UsageError: As `create_picture`, or what is no `Picture`, or pixels that are no (c, h, w) picture,
            or pixels or alpha that are no floats about [0, 1] (see `floats`).
    """
    if not isinstance(picture, Picture):
        raise UsageError(
            f"{path}: a `Picture` is written, got {type(picture).__name__}; an array (c, h, w) of floats in "
            "[0, 1] becomes one by Picture(array, None, PictureInfo(width, height, channels))"
        )
    pixels = picture.pixels
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3) or 0 in pixels.shape:
        raise UsageError(f"{path}: pixels of shape {pixels.shape} were given; a picture is (1 or 3, h, w)")
    if picture.alpha is not None:
        check_floats(picture.alpha, what=f"{path}: its alpha values")
    channels, height, width = pixels.shape
    info = replace(
        picture.info, width=width, height=height, channels=channels, has_alpha=picture.alpha is not None
    )
    tags = picture.info.tags
    lost: tuple[str, ...] = ()
    if (width, height) != (
        picture.info.width,
        picture.info.height,
    ):  # nobody says which part, or how enlarged
        tags, lost = without_position(tags, POSITION, "because the size has changed")
    with create_picture(
        path,
        replace(info, tags=tags),
        alpha=picture.alpha,
        others=picture.others,
        quality=quality,
        overwrite=overwrite,
    ) as writer:
        for top in range(0, height, STRIP):
            strip = pixels[:, top : top + STRIP]
            check_floats(strip, what=f"{path}: the pixels")
            writer.write(to_integers(strip, info))
    return lost + writer.notes


def enlarged_picture(picture: Picture, pixels: Pixels) -> Picture:
    """Give a picture enlarged pixels (c, h, w), with all else enlarged as `create_picture` does that."""
    _, height, width = pixels.shape
    info, notes = resized_info(picture.info, width, height)
    if picture.others is not None:
        notes += (resizing_of(info),)
    return Picture(
        pixels,
        None if picture.alpha is None else _enlarged(picture.alpha, info),
        replace(info, notes=info.notes + notes),
        None if picture.others is None else _enlarged(picture.others, info),
    )


def _enlarged(samples: Pixels, info: PictureInfo) -> Pixels:
    """Enlarge samples (n, h, w) to the size of a picture, in its depth: the result is what its file holds."""
    before_threads("transparency")
    image = vips_library().Image.new_from_array(to_integers(samples.transpose(1, 2, 0), info))
    enlarged = resized(image, info.width, info.height).rint().numpy().astype(np.float32)
    scaled: Pixels = enlarged.reshape(info.height, info.width, len(samples)) / np.float32(2**info.bits - 1)
    return scaled.transpose(2, 0, 1)
