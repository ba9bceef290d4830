"""An image file -> an upright libvips image of grey or RGB, and what the file says besides."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hyperrestore.errors import PictureError
from hyperrestore.picture.bands import filled, straight, to_srgb_beside_others
from hyperrestore.picture.colour_description import (
    cmyk_source,
    holds_profile,
    is_whole_profile,
    lost_colours,
)
from hyperrestore.picture.containers.avif_items import is_premultiplied, read_items
from hyperrestore.picture.containers.boxes import png_head
from hyperrestore.picture.containers.geotiff import NO_DATA
from hyperrestore.picture.containers.jpeg import (
    jpeg_subsampling,
    jpeg_tables,
    least_size,
    quality_of_table,
)
from hyperrestore.picture.containers.png_text import TextEntry, read_png_text
from hyperrestore.picture.containers.tiff_pages import TiffPage, find_page
from hyperrestore.picture.containers.tiff_samples import Samples, alpha_of, in_order, samples_of
from hyperrestore.picture.float_tiff import check_floats_of, with_integers
from hyperrestore.picture.forked import before_threads
from hyperrestore.picture.formats import Format, read_head, recognise
from hyperrestore.picture.info import PictureInfo
from hyperrestore.picture.metadata.embedded import PNG, png_resolution
from hyperrestore.picture.metadata.further_parts import further_parts
from hyperrestore.picture.metadata.jpeg import JpegParts, read_jpeg_parts
from hyperrestore.picture.metadata.orientation import is_sideways
from hyperrestore.picture.metadata.tiff import read_tiff_metadata, resolution_of
from hyperrestore.picture.metadata.upright import Metadata, jpeg_resolution, of_jpeg, of_tiff, upright
from hyperrestore.picture.vips import UNSTATED, field, reading, vips_library

_COLOURS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "cmyk": 4}  # bands of libvips' colour spaces
_BITS = {"uchar": 8, "ushort": 16}


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file that libvips has opened, and of which no pixel is decoded yet.

    Attributes:
        path: The file.
        head: Its first bytes.
        known: Its format.
        image: As it is stored, to be read once from top to bottom; floats have become integers.
        again: Opens it anew, with options of libvips.
        as_stored: The same, but floats stay floats.
        fail_on: From which of libvips' warnings on reading its pixels fails.
        page: The page of a TIFF file; None for others.
        samples: What a pixel of it holds.
    """

    path: Path
    head: bytes
    known: Format
    image: Any
    again: Callable[..., Any]
    as_stored: Callable[..., Any]
    fail_on: str
    page: TiffPage | None
    samples: Samples


class _Layout(NamedTuple):
    """What a decoded pixel holds.

    Attributes:
        colours: 1 for grey, 3 for RGB, 4 for CMYK.
        bits: 8 or 16.
        stored_bits: In the file.
        has_alpha: Whether there is alpha.
        premultiplied: Whether its colours are still multiplied by alpha.
    """

    colours: int
    bits: int
    stored_bits: int
    has_alpha: bool
    premultiplied: bool


def load(path: Path, max_pixels: int, *, strictly: bool = True) -> tuple[Any, PictureInfo]:
    """Open a file as an upright grey or RGB libvips image, alpha last, of which no pixel is decoded yet.

    Strictly, reading the pixels of a JPEG fails at whatever libjpeg warns of, see `is_harmless`.
    """
    opened = _open(path, strictly=strictly)
    _check_size(opened, max_pixels)
    layout = _layout(opened)
    with reading(path):
        parts = read_jpeg_parts(path) if opened.known.name == "JPEG" else None
    profile, notes = _colours(opened, parts)
    notes += _conversions(opened, layout)
    if layout.colours == 4:
        notes.append(f"converted from CMYK to sRGB through {cmyk_source(profile)}")
    text, lost = _text(opened)
    notes += lost
    orientation = field(opened.image, "orientation", 1)
    metadata = _metadata(opened, parts, orientation)
    notes += metadata.notes
    if opened.page:
        resolution = resolution_of(metadata.tags)
    else:
        resolution = _resolution(opened.image, orientation, parts, opened.head)
    with reading(path):
        image = _upright_image(opened, layout, orientation)
        if layout.colours == 4:
            profile = image.get("icc-profile-data")
    extra = opened.samples.extra
    table = jpeg_tables(opened.head)
    return image, PictureInfo(
        width=image.width,
        height=image.height,
        channels=1 if layout.colours == 1 else 3,
        bits=layout.bits,
        has_alpha=layout.has_alpha,
        notes=tuple(notes),
        icc_profile=profile,
        exif=metadata.exif,
        xmp=metadata.xmp,
        iptc=metadata.iptc,
        photoshop=metadata.photoshop,
        text=text,
        comments=metadata.comments,
        resolution=resolution,
        quality=quality_of_table(table)[0] if table else None,
        subsampling=jpeg_subsampling(opened.head),
        extra_samples=extra if len(extra) > layout.has_alpha else (),
        tags=metadata.tags,
    )


def _open(path: Path, *, strictly: bool) -> _Opened:
    """Open a file of a known format to be read from top to bottom."""
    head = read_head(path)
    known = recognise(path, head)
    if known.name == "WebP":  # it is decoded by threads
        before_threads(str(path))
    page: TiffPage | None = None
    samples = Samples()
    with reading(path):
        as_stored = partial(getattr(vips_library().Image, known.load), os.fsencode(path))
        again: Callable[..., Any] = as_stored
        if known.name == "TIFF":
            page = find_page(path)
            samples = samples_of(path, page)
            as_stored = partial(as_stored, page=page.number)
            again = with_integers(as_stored)
        image, fail_on = _from_top(again, strictly=strictly and known.name == "JPEG")
    return _Opened(path, head, known, image, again, as_stored, fail_on, page, samples)


def _from_top(again: Callable[..., Any], *, strictly: bool) -> tuple[Any, str]:
    """Open a file to be read once from top to bottom; from what on that fails is the second result.

    "error" refuses truncated files too; "warning" would refuse good pictures with odd metadata.
    """
    image = again(access="sequential", fail_on="error")
    if strictly:  # libjpeg only warns of lost data, and makes them grey
        with suppress(vips_library().Error):
            return again(access="sequential", fail_on="warning"), "warning"
    if image.get_typeof("tile-width"):  # a lost or damaged tile is only a warning to libvips
        return again(access="sequential", fail_on="warning"), "warning"
    return image, "error"


def _check_size(opened: _Opened, max_pixels: int) -> None:
    """Refuse several pages, too many pixels, and more pixels than the file can hold."""
    path, image = opened.path, opened.image
    pages = field(image, "n-pages", 1)
    if opened.page is None and pages > 1:
        raise PictureError(f"{path}: holds {pages} pages or frames; save one of them as its own file")
    if image.width * image.height > max_pixels:
        raise PictureError(
            f"{path}: has {image.width} x {image.height} pixels; at most {max_pixels} are accepted, "
            "crop it or raise `max_pixels`"
        )
    least = least_size(opened.head)
    if least > path.stat().st_size:  # libjpeg would fill it up with grey
        raise PictureError(
            f"{path}: is damaged: a file of the size in its header would have at least {least} bytes"
        )


def _layout(opened: _Opened) -> _Layout:
    """Tell what a pixel holds; refuse what is not grey, RGB or CMYK in 8 or 16 bits."""
    image, extra = opened.image, opened.samples.extra
    colours = _COLOURS.get(image.interpretation, 0)
    bits = _BITS.get(image.format)
    if opened.page:
        colours = opened.samples.colours or (colours and image.bands - len(extra))
    if bits is None or not colours or (image.bands - colours not in (0, 1) and not extra):
        raise PictureError(
            f"{opened.path}: has {image.bands} bands of type {image.format}, colour space "
            f"{image.interpretation}; grey, RGB or CMYK in 8 or 16 bit integers, with or without alpha, "
            "can be read; convert it first"
        )
    has_alpha = alpha_of(extra) is not None if opened.page else image.bands > colours
    premultiplied = has_alpha and opened.known.name == "AVIF" and is_premultiplied(read_items(opened.head))
    return _Layout(colours, bits, field(image, "bits-per-sample", bits), has_alpha, premultiplied)


def _colours(opened: _Opened, parts: JpegParts | None) -> tuple[bytes | None, list[str]]:
    """The colour profile, if there is a whole one, and a sentence for what is lost besides."""
    profile = field(opened.image, "icc-profile-data")
    if profile is not None and not is_whole_profile(profile):
        profile = None
    notes = lost_colours(opened.path, opened.known, opened.head, has_profile=profile is not None)
    if profile is None and holds_profile(opened.known, opened.head, parts, opened.page):
        notes.append("left out its colour profile, which is damaged or for other colours")
    return profile, notes


def _conversions(opened: _Opened, layout: _Layout) -> list[str]:
    """A sentence for each conversion of samples, but that of CMYK."""
    notes = []
    page = opened.page
    if page:
        with reading(opened.path):
            stored = opened.as_stored(access="sequential", fail_on=opened.fail_on)
            notes += check_floats_of(opened.path, stored) if stored.format == "float" else []
    if field(opened.image, "palette"):
        notes.append("expanded from a palette to RGB")
    elif layout.stored_bits < 8:
        notes.append(f"expanded from {layout.stored_bits} to 8 bits")
    elif _is_scaled(opened, layout):
        notes.append(f"scaled from {layout.stored_bits} to 16 bits")
    if layout.premultiplied:
        notes.append("converted from premultiplied to straight alpha")
    if page and page.left_out:
        notes.append(page.left_out)
    if page and NO_DATA in page.directory:
        notes.append("pixels marked as having no data (GDAL_NODATA) are treated like all others")
    return notes + list(opened.samples.notes)


def _is_scaled(opened: _Opened, layout: _Layout) -> bool:
    """Whether samples of 10 or 12 bits become some of 16."""
    return opened.known.name == "AVIF" and layout.stored_bits < layout.bits


def _text(opened: _Opened) -> tuple[tuple[TextEntry, ...], tuple[str, ...]]:
    """PNG's text entries, and a sentence for what is left out of them."""
    try:
        opened.image.get_fields()
    except UnicodeDecodeError as error:
        raise PictureError(
            f"{opened.path}: holds text under a keyword that is not ASCII, which cannot be read; "
            "remove that text first"
        ) from error
    if opened.known.name != "PNG":
        return (), ()
    with reading(opened.path):
        return read_png_text(opened.path)


def _metadata(opened: _Opened, parts: JpegParts | None, orientation: int) -> Metadata:
    """What a file says besides its pixels, for the upright picture."""
    image = opened.image
    with reading(opened.path):
        if opened.page:
            recoded = opened.samples.unusual
            found = of_tiff(
                read_tiff_metadata(opened.page, orientation=orientation, recoded=recoded), orientation
            )
        elif parts:
            found = of_jpeg(parts, orientation)
        else:
            exif, xmp = field(image, "exif-data"), field(image, "xmp-data")
            notes = further_parts(opened.path, opened.known.name, without_exif=exif is None)
            found = Metadata(exif and exif.removeprefix(b"Exif\0\0"), xmp, notes=notes)
    return upright(found, orientation, (image.width, image.height))


def _upright_image(opened: _Opened, layout: _Layout, orientation: int) -> Any:
    """Turn the picture upright; make grey or RGB of its samples, alpha behind, then the others."""
    image = opened.image
    if orientation > 2:  # rows come from columns or from below: libvips unpacks to memory or its own file
        before_threads(str(opened.path))
        image = opened.again(fail_on=opened.fail_on)
    image = image.autorot()
    if opened.page:
        image = in_order(image, opened.samples, layout.colours)
    if _is_scaled(opened, layout):
        image = filled(image, layout.stored_bits)
    if layout.premultiplied:
        image = straight(image, layout.bits)
    if layout.colours == 4:
        image = to_srgb_beside_others(image, layout.bits)
    return image


def _resolution(
    image: Any, orientation: int, parts: JpegParts | None, head: bytes
) -> tuple[float, float] | None:
    """Pixels per millimetre of the upright picture, or None where the file does not say."""
    across, down = image.xres, image.yres
    # Two values stand for nothing: libvips answers so where the file does not say. It takes 1e6 at most.
    silent = np.allclose((across, down), 1) or np.allclose((across, down), UNSTATED, rtol=1e-3)
    stated = None if silent or not 0 < min(across, down) <= max(across, down) <= 1e6 else (across, down)
    if head.startswith(PNG):
        stated = png_resolution(png_head(head).get(b"pHYs", b""))
    if parts:
        stated = jpeg_resolution(parts, stated)
    return (stated[1], stated[0]) if stated and is_sideways(orientation) else stated


# As libjpeg says it: pixels are lost. Bytes to no purpose in front of a restart marker were pixels once.
_LOSSES = re.compile(
    "[Pp]remature end|bad Huffman code|bad arithmetic code|found marker"
    "|extraneous bytes before marker 0xd[0-7]"
)


def is_harmless(error: Exception) -> bool:
    """Whether reading failed only at a warning of libjpeg that no pixel is lost by, as of needless bytes."""
    detail = getattr(error, "detail", "")
    return "VipsJpeg" in detail and not _LOSSES.search(detail)


def header_size(path: Path) -> tuple[int, int]:
    """Read width and height from a file's header, not turned; 0 and 0 where that cannot be done."""
    vips = vips_library()
    try:
        if not path.is_file():  # a pipe would wait for its other end
            return 0, 0
        with path.open("rb") as file:
            known = recognise(path, file.read(64))
        page = {"page": find_page(path).number} if known.name == "TIFF" else {}
        image = getattr(vips.Image, known.load)(os.fsencode(path), access="sequential", **page)
    except (OSError, ValueError, PictureError, vips.Error):
        return 0, 0
    return image.width, image.height
