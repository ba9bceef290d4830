"""The bands of a libvips image: joined, resized, and converted."""

from __future__ import annotations

from typing import Any

from hyperrestore.picture.containers.tiff_samples import alpha_of
from hyperrestore.picture.info import PictureInfo


def resized(alpha: Any, width: int, height: int) -> Any:
    """Resize alpha by linear interpolation, which cannot ring at an edge; the result holds floats."""
    if (alpha.width, alpha.height) == (width, height):
        return alpha
    return alpha.cast("float").resize(width / alpha.width, vscale=height / alpha.height, kernel="linear")


def bare(image: Any) -> Any:
    """Drop all metadata, which would otherwise flow into whatever the image is joined to."""
    image = image.copy()
    for name in image.get_fields():
        image.remove(name)
    return image


def in_file_order(image: Any, others: Any, info: PictureInfo) -> Any:
    """Join other samples to colours and alpha, in the order in which the original has them."""
    bands = [image[place] for place in range(image.bands)] + [others[place] for place in range(others.bands)]
    alpha = alpha_of(info.extra_samples)
    if alpha is not None:
        bands.insert(info.channels + alpha, bands.pop(info.channels))
    return bands[0].bandjoin(bands[1:])


def filled(image: Any, bits: int) -> Any:
    """Fill the low bits, which libvips leaves 0, so that white is less than 1; `bits` are the upper ones."""
    return image | (image >> bits)


def straight(image: Any, bits: int) -> Any:
    """Divide colours by the alpha that they are multiplied by."""
    divided = image.unpremultiply(max_alpha=2**bits - 1).rint().cast(image.format)
    return divided.copy(interpretation=image.interpretation)


def interpretation_of(info: PictureInfo) -> str:
    """What libvips calls the colour space of a picture without a profile."""
    return {(1, 8): "b-w", (1, 16): "grey16", (3, 8): "srgb", (3, 16): "rgb16"}[info.channels, info.bits]


def to_srgb(image: Any, bits: int) -> Any:
    """Convert through the embedded profile; paper white becomes white, ink black becomes black."""
    return image.icc_transform(
        "srgb",
        embedded=True,
        input_profile="cmyk",
        intent="relative",
        black_point_compensation=True,
        depth=bits,
    )


def to_srgb_beside_others(image: Any, bits: int) -> Any:
    """Convert CMYK, the first four bands, and leave the others as they are."""
    if image.bands == 4:
        return to_srgb(image, bits)
    others = image.extract_band(4, n=image.bands - 4)
    converted = to_srgb(image.extract_band(0, n=4), bits)
    return converted.bandjoin(others).copy(interpretation=converted.interpretation)
