"""What the samples of a TIFF pixel stand for: colours, alpha, or something else; YCbCr becomes RGB."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hyperrestore.errors import PictureError
from hyperrestore.picture.containers.tiff_directory import numbers, whole_numbers
from hyperrestore.picture.containers.tiff_pages import TiffPage

_BITS, _COMPRESSION, _PHOTOMETRIC, _COLOUR_MAP = 0x0102, 0x0103, 0x0106, 0x0140
_PLANES, _TILES = 0x011C, 0x0142
_COUNT, _INKS, _EXTRA = 0x0115, 0x014C, 0x0152
_SAMPLE_FORMAT, _FLOATS, _WHITE_IS_ZERO = 0x0153, 3, 0
_COEFFICIENTS, _SUBSAMPLING, _BLACK_WHITE = 0x0211, 0x0212, 0x0214
_GREYS, _RGB, _PALETTE, _CMYK, _YCBCR = (0, 1), 2, 3, 5, 6
_COLOURS = {0: 1, 1: 1, _RGB: 3, _CMYK: 4, _YCBCR: 3}
_NAMES = {4: "a mask", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32844: "LogL", 32845: "LogLuv"}
_ALPHAS = _ASSOCIATED, _ALONE = 1, 2  # multiplied into the colours, or not
_JPEG = 7
# Not compressed, LZW, deflate by two names, PackBits, LZMA, Zstandard: the samples come as they are stored.
_PLAIN = {1, 5, 8, 32946, 32773, 34925, 50000}


class Samples(NamedTuple):
    """The samples of a pixel.

    Attributes:
        colours: How many samples are colours; None where libvips tells, as of a palette.
        extra: Meaning of each further sample as in the tag ExtraSamples: 0 unspecified, 1 alpha that the
            colours are multiplied by, 2 alpha.
        ycbcr: The matrix (3, 3) and offset (3,) that make RGB of the colours, on the scale of the samples;
            None where they need none.
        unusual: Whether numbers of the file are turned into others, as of a palette or of fewer bits.
        notes: A sentence for each conversion.
    """

    colours: int | None = None
    extra: tuple[int, ...] = ()
    ycbcr: tuple[Any, Any] | None = None
    unusual: bool = False
    notes: tuple[str, ...] = ()


def samples_of(path: Path, page: TiffPage) -> Samples:
    """Tell what the samples of a TIFF picture stand for.

    Args:
        path: The file, to be named in messages.
        page: The picture in it.

    Raises:
        PictureError: Their meaning is one that no colours can be made from here.
    """

    def values(tag: int) -> list[int]:
        return whole_numbers(page.directory, tag, page.layout)

    def first(tag: int, default: int) -> int:
        return next(iter(values(tag)), default)

    photometric = first(_PHOTOMETRIC, -1)
    if photometric not in {-1, _PALETTE, *_COLOURS}:
        name = _NAMES.get(photometric, f"photometric interpretation {photometric}")
        raise _unreadable(path, f"holds {name}")
    if photometric == _WHITE_IS_ZERO and _FLOATS in values(_SAMPLE_FORMAT):
        raise _unreadable(path, "holds floats where 0 is white")
    if photometric == _CMYK and first(_INKS, 1) != 1:
        raise _unreadable(path, "holds inks other than those of CMYK")
    if photometric == _PALETTE and 0 < max(values(_COLOUR_MAP), default=0) < 256:
        raise _unreadable(path, "holds a palette of 8-bit colours, where TIFF has 16")
    in_planes = first(_PLANES, 1) != 1 and first(_COUNT, 1) > 1
    if in_planes and (photometric not in (_RGB, _CMYK) or _TILES in page.directory):
        what = "holds samples in planes that are not strips of RGB or CMYK"  # libvips mixes them up
        raise PictureError(f"{path}: {what}, which cannot be read; interleave them first")
    colours = _COLOURS.get(photometric)
    extra = tuple(values(_EXTRA))
    if colours is not None:  # the tag may be missing
        count = max(first(_COUNT, 1) - colours, 0)
        extra = (extra + (0,) * count)[:count]
    if _ASSOCIATED in extra and len(extra) > 1:  # libvips divides all samples by alpha, not only colours
        raise _unreadable(path, "holds premultiplied alpha together with further samples")
    ycbcr = _to_rgb(path, page) if photometric == _YCBCR else None
    notes = []
    if photometric == _YCBCR and first(_COMPRESSION, 1) != _JPEG:
        notes.append("converted from YCbCr to RGB")
    if photometric == _PALETTE:
        notes.append("expanded from a palette to RGB")
    if _ASSOCIATED in extra:
        notes.append("converted from premultiplied to straight alpha")
    unusual = photometric not in (1, _RGB) or not set(values(_BITS)) <= {8, 16}
    return Samples(colours, extra, ycbcr, unusual, tuple(notes))


def alpha_of(extra: tuple[int, ...]) -> int | None:
    """Tell which of the further samples is the alpha: the first that says so."""
    return next((place for place, kind in enumerate(extra) if kind in _ALPHAS), None)


def in_order(image: Any, samples: Samples, colours: int) -> Any:
    """Decode the samples of a pixel: RGB of YCbCr, then alpha, if there is one, then the others.

    Of YCbCr with shared colours libvips makes an alpha, which is left out.
    """
    if image.bands == colours and samples.ycbcr is None:
        return image
    decoded = image.extract_band(0, n=colours)
    if samples.ycbcr is not None:
        matrix, offset = samples.ycbcr
        exact = decoded.cast("double").recomb(matrix.tolist()).linear([1, 1, 1], offset.tolist()).rint()
        decoded = exact.cast(image.format).copy(interpretation=image.interpretation)
    places = list(range(len(samples.extra)))
    alpha = alpha_of(samples.extra)
    if alpha is not None:
        places.insert(0, places.pop(alpha))
    if not places:
        return decoded.copy(interpretation=image.interpretation)
    joined = decoded.bandjoin([image[colours + place] for place in places])
    return joined.copy(interpretation=image.interpretation)


def _to_rgb(path: Path, page: TiffPage) -> tuple[Any, Any] | None:
    """The way from YCbCr to RGB (TIFF 6.0, section 21); None where libtiff goes it."""
    shared, bits, (compression, *_) = (
        whole_numbers(page.directory, tag, page.layout) or default
        for tag, default in ((_SUBSAMPLING, [2, 2]), (_BITS, [8]), (_COMPRESSION, [1]))
    )
    if compression == _JPEG or max(shared) > 1:
        return None
    if compression not in _PLAIN:
        raise _unreadable(path, f"holds YCbCr in compression {compression}")
    if bits[0] not in (8, 16):
        raise _unreadable(path, f"holds YCbCr of {bits[0]} bits")
    white, middle = 2 ** bits[0] - 1, 2 ** (bits[0] - 1)
    share = numbers(page.directory, _COEFFICIENTS, page.layout) or [0.299, 0.587, 0.114]
    ends = numbers(page.directory, _BLACK_WHITE, page.layout) or [0, white, middle, white, middle, white]
    black, span = np.array(ends[::2]), np.diff(np.array(ends))[::2]
    if (
        len(share) != 3
        or len(ends) != 6
        or not np.isfinite(share + ends).all()
        or not (share[1] and span.all())
    ):
        raise _unreadable(path, "holds YCbCr with invalid coefficients or reference values")
    red, green, blue = share
    full = np.array([white, middle - 1, middle - 1]) / span
    to_red, to_blue = 2 - 2 * red, 2 - 2 * blue
    of_green = [(1 - red - blue) / green, -blue * to_blue / green, -red * to_red / green]
    matrix = np.array([[1, 0, to_red], of_green, [1, to_blue, 0]]) * full
    return matrix, -matrix @ black


def _unreadable(path: Path, what: str) -> PictureError:
    return PictureError(f"{path}: {what}, which cannot be read; convert it to RGB first")
