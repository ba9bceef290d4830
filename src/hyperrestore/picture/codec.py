"""One picture file for libvips: what each format holds, and how it is decoded and encoded."""

import atexit
import errno
import logging
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from hyperrestore.errors import DiskFullError, PictureError, UsageError
from hyperrestore.picture.colour_profile import is_whole_profile
from hyperrestore.picture.containers.avif_items import is_premultiplied, read_items
from hyperrestore.picture.containers.boxes import riff_chunks
from hyperrestore.picture.containers.geotiff import NO_DATA
from hyperrestore.picture.containers.jpeg import (
    jpeg_subsampling,
    jpeg_tables,
    least_size,
    quality_of_table,
)
from hyperrestore.picture.containers.png_text import TextEntry, fits_png, read_png_text
from hyperrestore.picture.containers.tiff_directory import TiffTag
from hyperrestore.picture.containers.tiff_pages import TiffPage, find_page
from hyperrestore.picture.containers.tiff_samples import Samples, alpha_of, in_order, samples_of
from hyperrestore.picture.float_tiff import check_floats_of, with_integers
from hyperrestore.picture.forked import before_threads
from hyperrestore.picture.metadata.embedded import (
    PNG,
    add_png_metadata,
    add_webp_metadata,
    png_resolution,
    replace_avif_exif,
)
from hyperrestore.picture.metadata.exif import resolution_entries, scaled_exif, with_resolution
from hyperrestore.picture.metadata.extended_xmp import xmp_segments
from hyperrestore.picture.metadata.further_parts import further_parts
from hyperrestore.picture.metadata.jpeg import (
    JpegParts,
    add_jpeg_metadata,
    fits_jpeg,
    read_jpeg_parts,
    whole_density,
)
from hyperrestore.picture.metadata.orientation import is_sideways
from hyperrestore.picture.metadata.photoshop import joined_resources, named_resources, scaled_resources
from hyperrestore.picture.metadata.regions import fitted_xmp
from hyperrestore.picture.metadata.tiff import (
    PHOTOSHOP,
    PROFILE,
    RESOLUTION,
    TiffMetadata,
    add_tiff_metadata,
    is_square,
    needs_bigtiff,
    read_tiff_metadata,
    resized_tags,
    resolution_of,
)
from hyperrestore.picture.metadata.upright import Metadata, jpeg_resolution, of_jpeg, of_tiff, upright

_72_DPI = 72 / 25.4, 72 / 25.4  # pixels per millimetre
# libvips builds EXIF anew. For AVIF it is given this, whose place then takes the block itself.
_PLACEHOLDER = b"Exif\0\0MM\0*" + struct.pack(">IHI", 8, 0, 0)


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """What a picture file says besides its pixels.

    Attributes:
        width: Pixels per row, orientation applied.
        height: Rows, orientation applied.
        channels: 1 for grey, 3 for RGB; alpha is not counted.
        bits: 8 or 16, the depth of the rows; 10 and 12 bit AVIF are scaled to 16.
        has_alpha: Whether the file has an alpha channel.
        notes: One plain sentence per conversion that was made.
        icc_profile: Colour profile, byte for byte.
        exif: EXIF block, a small TIFF without the prefix that JPEG puts before it, and without the thumbnail,
            which would show the picture as it was. Besides, the file's own bytes.
        xmp: XMP packet, with what JPEG may keep apart from it (extended XMP).
        iptc: IPTC-IIM records, without the Photoshop envelope that JPEG puts around them.
        photoshop: Photoshop's other resources, as clipping paths, one after another.
        text: PNG text entries, (keyword, text).
        comments: Comments of a JPEG file, in no known encoding.
        resolution: Pixels per millimetre (horizontal, vertical), or None where the file does not say.
        quality: At which a JPEG file was saved, 1 to 100, or the nearest to it that libjpeg has; None for
            other files.
        subsampling: How many pixels share a colour in a JPEG file, (in a row, in a column); None for other
            and grey files.
        extra_samples: What a TIFF file has for each pixel besides colours, in its order, if any of it is
            other than alpha: 0 for unspecified (as infrared), 1 and 2 for alpha; empty if there is nothing.
        tags: Tags of a TIFF file that stand for none of the above and not for the storage of pixels.
    """

    width: int
    height: int
    channels: int
    bits: int = 8
    has_alpha: bool = False
    notes: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    photoshop: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    comments: tuple[bytes, ...] = ()
    resolution: tuple[float, float] | None = None
    quality: int | None = None
    subsampling: tuple[int, int] | None = None
    extra_samples: tuple[int, ...] = ()
    tags: tuple[TiffTag, ...] = ()

    @property
    def others(self) -> int:
        """How many samples a pixel has besides colours and alpha."""
        return len(self.extra_samples) - (alpha_of(self.extra_samples) is not None)

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """The type of the rows that are read and written."""
        return np.dtype(np.uint8) if self.bits == 8 else np.dtype(np.uint16)


@dataclass(frozen=True, slots=True)
class Format:
    """What a file format can hold and which libvips operations read and write it."""

    name: str
    suffixes: tuple[str, ...]
    signature: bytes  # pattern of the first 12 bytes
    load: str  # names of libvips operations
    save: str
    bits: int = 8  # the most that it holds
    largest_side: int = 2**31 - 1
    grey: bool = True
    alpha: bool = True
    metadata: tuple[str, ...] = ("EXIF", "XMP")
    resolution: bool = True  # in the file's own header; elsewhere it travels in EXIF


# JPEG's 65500 is libjpeg's limit, AVIF's 16384 libheif's.
FORMATS = (
    Format(
        "PNG", (".png",), rb"\x89PNG\r\n\x1a\n", "pngload", "pngsave", 16,
        metadata=("EXIF", "XMP", "text"),
    ),
    Format(
        "JPEG", (".jpg", ".jpeg", ".jfif", ".jpe"), rb"\xff\xd8\xff", "jpegload", "jpegsave", 8, 65_500,
        alpha=False, metadata=("EXIF", "XMP", "IPTC", "Photoshop", "comments"), resolution=False,
    ),
    Format(
        "WebP", (".webp",), rb"RIFF....WEBP", "webpload", "webpsave", 8, 16_383,
        grey=False, resolution=False,
    ),
    Format(
        "TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]", "tiffload", "tiffsave", 16,
        metadata=("EXIF", "XMP", "IPTC", "Photoshop"),
    ),
    Format(
        "AVIF", (".avif",), rb"....ftyp(avif|mif1|miaf)", "heifload", "heifsave", 12, 16_384,
        grey=False, resolution=False,
    ),
)  # fmt: skip
SUFFIXES = tuple(suffix for known in FORMATS for suffix in known.suffixes)
_UNHEARD = logging.NullHandler()
_NAMES = "PNG, JPEG, WebP, TIFF or AVIF"

# ITU-T H.273, table 3. Those of BT.709, BT.601, xvYCC and BT.2020 are shown as sRGB's, 13, by usual viewers.
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_USUAL_TRANSFERS = (1, 2, 6, 11, 12, 13, 14, 15)
_SRGB_CHUNKS = {
    b"gAMA": (45_455,),
    b"cHRM": (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000),
}

# Lossy, because these formats are chosen for small files; high, because restored detail must survive and what
# was repaired must not come back. 100 is lossless in WebP and AVIF.
_DEFAULT_QUALITY = {"JPEG": 95, "WebP": 95, "AVIF": 90}


def load(path: Path, max_pixels: int, *, strictly: bool = True) -> tuple[Any, PictureInfo]:
    """Open a file as an upright grey or RGB libvips image, alpha last, of which no pixel is decoded yet.

    Strictly, reading the pixels of a JPEG fails at whatever libjpeg warns of, see `is_harmless`.
    """
    head = _head(path)
    known = _recognise(path, head)
    vips = vips_library()
    if known.name == "WebP":  # it is decoded by threads
        before_threads(str(path))
    tiff: TiffPage | None = None
    samples = Samples()
    with reading(path):
        opened = partial(getattr(vips.Image, known.load), os.fsencode(path))
        decode: Callable[..., Any] = opened
        if known.name == "TIFF":
            tiff = find_page(path)
            samples = samples_of(path, tiff)
            opened = partial(opened, page=tiff.number)
            decode = with_integers(opened)
        # "error" refuses truncated files too; "warning" would refuse good pictures with odd metadata.
        fail_on = "error"
        image = decode(access="sequential", fail_on=fail_on)
        if known.name == "JPEG" and strictly:  # libjpeg only warns of lost data, and makes them grey
            with suppress(vips.Error):
                image = decode(access="sequential", fail_on="warning")
                fail_on = "warning"
        if image.get_typeof("tile-width"):  # a lost or damaged tile is only a warning to libvips
            fail_on = "warning"
            image = decode(access="sequential", fail_on=fail_on)

    def field(name: str, default: Any = None) -> Any:
        return image.get(name) if image.get_typeof(name) else default

    colours = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "cmyk": 4}.get(image.interpretation, 0)
    bits = {"uchar": 8, "ushort": 16}.get(image.format)
    if tiff is None and field("n-pages", 1) > 1:
        raise PictureError(
            f"{path}: holds {field('n-pages')} pages or frames; save one of them as its own file"
        )
    if image.width * image.height > max_pixels:
        raise PictureError(
            f"{path}: has {image.width} x {image.height} pixels; at most {max_pixels} are accepted, "
            "cut it or raise `max_pixels`"
        )
    least = least_size(head)
    if least > path.stat().st_size:  # libjpeg would fill it up with grey
        raise PictureError(
            f"{path}: is damaged: with so many pixels as it says it has, it would have at least {least} bytes"
        )
    if tiff:
        colours = samples.colours or (colours and image.bands - len(samples.extra))
    if bits is None or not colours or (image.bands - colours not in (0, 1) and not samples.extra):
        raise PictureError(
            f"{path}: has {image.bands} bands of type {image.format}, colour space {image.interpretation}; "
            "grey, RGB or CMYK in 8 or 16 bit integers, with or without alpha, can be read; convert it first"
        )

    has_alpha = alpha_of(samples.extra) is not None if tiff else image.bands > colours
    extra_samples = samples.extra if len(samples.extra) > has_alpha else ()
    stored_bits = field("bits-per-sample", bits)
    with reading(path):
        parts = read_jpeg_parts(path) if known.name == "JPEG" else None
    profile = field("icc-profile-data")
    if profile is not None and not is_whole_profile(profile):
        profile = None
    notes = _lost_colours(path, known, head, has_profile=profile is not None)
    if profile is None and _holds_profile(known, head, parts, tiff):
        notes.append("left out its colour profile, which is damaged or not for such colours")
    if tiff:
        with reading(path):
            stored = opened(access="sequential", fail_on=fail_on)
            notes += check_floats_of(path, stored) if stored.format == "float" else []
    if field("palette"):
        notes.append("expanded from a palette to RGB")
    elif stored_bits < 8:
        notes.append(f"expanded from {stored_bits} to 8 bits")
    elif known.name == "AVIF" and stored_bits < bits:
        notes.append(f"scaled from {stored_bits} to 16 bits")
    premultiplied = has_alpha and known.name == "AVIF" and is_premultiplied(read_items(head))
    if premultiplied:
        notes.append("divided its colours by their alpha, as they were stored multiplied by it")
    if tiff and tiff.left_out:
        notes.append(tiff.left_out)
    if tiff and NO_DATA in tiff.directory:
        notes.append("pixels marked as having no data (GDAL_NODATA) are treated as all others")
    notes += samples.notes
    if colours == 4:
        notes.append(f"converted from CMYK to sRGB through {_cmyk_source(profile)}")
        profile = None
    try:
        image.get_fields()
    except UnicodeDecodeError as error:
        raise PictureError(
            f"{path}: holds text under a keyword beyond ASCII, which cannot be read; remove that text first"
        ) from error
    text: tuple[TextEntry, ...] = ()
    if known.name == "PNG":
        with reading(path):
            text, lost = read_png_text(path)
        notes += lost
    orientation = field("orientation", 1)
    with reading(path):
        if tiff:
            found = of_tiff(
                read_tiff_metadata(tiff, orientation=orientation, recoded=samples.unusual), orientation
            )
        else:
            found = of_jpeg(parts, orientation) if parts else _metadata(path, known, image)
    metadata = upright(found, orientation, (image.width, image.height))
    notes += metadata.notes
    resolution = resolution_of(metadata.tags) if tiff else _resolution(image, orientation, parts, head)

    with reading(path):
        if orientation > 2:  # rows come from columns or from below: libvips unpacks to memory or its own file
            before_threads(str(path))
            image = decode(fail_on=fail_on)
        image = image.autorot()
        image = in_order(image, samples, colours) if tiff else image
        if known.name == "AVIF" and stored_bits < bits:
            image = image | (
                image >> stored_bits
            )  # libvips leaves the low bits 0, which makes white less than 1
        if premultiplied:
            straight = image.unpremultiply(max_alpha=2**bits - 1).rint().cast(image.format)
            image = straight.copy(interpretation=image.interpretation)
        if colours == 4:
            image = _to_srgb_beside_others(image, bits)
            profile = image.get("icc-profile-data")
    return image, PictureInfo(
        width=image.width,
        height=image.height,
        channels=1 if colours == 1 else 3,
        bits=bits,
        has_alpha=has_alpha,
        notes=tuple(notes),
        icc_profile=profile,
        exif=metadata.exif,
        xmp=metadata.xmp,
        iptc=metadata.iptc,
        photoshop=metadata.photoshop,
        text=text,
        comments=metadata.comments,
        resolution=resolution,
        quality=quality_of_table(table)[0] if (table := jpeg_tables(head)) else None,
        subsampling=jpeg_subsampling(head),
        extra_samples=extra_samples,
        tags=metadata.tags,
    )


def _metadata(path: Path, known: Format, image: Any) -> Metadata:
    """What a PNG, WebP or AVIF file says, as it is stored."""
    exif, xmp = (image.get(name) if image.get_typeof(name) else None for name in ("exif-data", "xmp-data"))
    notes = further_parts(path, known.name, without_exif=exif is None)
    return Metadata(exif and exif.removeprefix(b"Exif\0\0"), xmp, notes=notes)


def _holds_profile(known: Format, head: bytes, parts: JpegParts | None, tiff: TiffPage | None) -> bool:
    """Whether a colour profile stands in a file, readable or not: libvips is silent on one that is not."""
    if parts:
        return parts.has_profile
    if tiff:
        return PROFILE in tiff.directory
    if known.name == "PNG":
        return b"iCCP" in _png_chunks(head)
    if known.name == "WebP":
        return any(chunk.name == b"ICCP" for chunk in riff_chunks(head))
    return re.search(rb"colr(prof|rICC)", head) is not None


def _cmyk_source(profile: bytes | None) -> str:
    """Through what libvips converts CMYK: it passes over a profile for other colours."""
    if profile is None:
        return "a general CMYK profile, as it has none"
    if profile[16:20] != b"CMYK":
        return "a general CMYK profile, as its own is for other colours"
    return "its colour profile"


def _resolution(
    image: Any, orientation: int, parts: JpegParts | None, head: bytes
) -> tuple[float, float] | None:
    """Pixels per millimetre of the upright picture, or None where the file does not say."""
    across, down = image.xres, image.yres
    # Two values stand for nothing: libvips answers so where the file does not say. It takes 1e6 at most.
    silent = np.allclose((across, down), 1) or np.allclose((across, down), _72_DPI, rtol=1e-3)
    stated = None if silent or not 0 < min(across, down) <= max(across, down) <= 1e6 else (across, down)
    if head.startswith(PNG):
        stated = png_resolution(_png_chunks(head).get(b"pHYs", b""))
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


def file_format(path: Path) -> Format:
    """Tell the format of a file by how it begins."""
    return _recognise(path, _head(path))


def header_size(path: Path) -> tuple[int, int]:
    """Read width and height from a file's header, not turned; 0 and 0 where that cannot be done."""
    vips = vips_library()
    try:
        if not path.is_file():  # a pipe would wait for its other end
            return 0, 0
        with path.open("rb") as file:
            known = _recognise(path, file.read(64))
        page = {"page": find_page(path).number} if known.name == "TIFF" else {}
        image = getattr(vips.Image, known.load)(os.fsencode(path), access="sequential", **page)
    except (OSError, ValueError, PictureError, vips.Error):
        return 0, 0
    return image.width, image.height


def spool_header(info: PictureInfo) -> bytes:
    """Give the header of an uncompressed BigTIFF, to be followed by the rows, (h, w, c) and little-endian.

    libvips streams a TIFF, while it would map a file of bare numbers into memory from end to end.
    """
    strip = 16  # rows; a strip is what libvips reads at a time
    row_bytes = info.width * info.channels * info.bits // 8
    strips = -(-info.height // strip)
    entries = 10
    arrays = 16 + 8 + 20 * entries + 8  # where the strips' offsets and sizes stand, behind the directory
    first = arrays + 16 * strips
    offsets = first + strip * row_bytes * np.arange(strips, dtype="<u8")
    sizes = np.minimum(strip, info.height - strip * np.arange(strips)).astype("<u8") * np.uint64(row_bytes)
    # A single offset or size stands in the directory itself.
    where = (arrays, arrays + 8 * strips) if strips > 1 else (first, int(sizes[0]))
    short, long8 = 3, 16
    directory = [
        (256, long8, 1, info.width),
        (257, long8, 1, info.height),
        (258, short, info.channels, sum(info.bits << 16 * band for band in range(info.channels))),
        (259, short, 1, 1),  # not compressed
        (262, short, 1, 1 if info.channels == 1 else 2),  # grey, black is 0; or RGB
        (273, long8, strips, where[0]),
        (277, short, 1, info.channels),
        (278, long8, 1, strip),
        (279, long8, strips, where[1]),
        (284, short, 1, 1),  # the bands of a pixel stand together
    ]
    header = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, entries)
    header += b"".join(struct.pack("<HHQQ", *entry) for entry in directory) + struct.pack("<Q", 0)
    return header + offsets.tobytes() + sizes.tobytes()


def encode(
    rows: Path, target: Path, info: PictureInfo, known: Format, alpha: Any, others: Any, quality: int | None
) -> None:
    """Encode spooled rows; `info` holds only metadata that the format can carry.

    `alpha` has one band, `others` the samples besides colours and alpha; each None where there are none.
    """
    vips = vips_library()
    kind = {"format": "uchar" if info.bits == 8 else "ushort", "interpretation": _interpretation(info)}
    white = 2**info.bits - 1
    image = _bare(vips.Image.tiffload(os.fsencode(rows), access="sequential", fail_on="error"))
    if alpha is not None:
        alpha = _bare(resized(alpha, info.width, info.height)).rint().cast(kind["format"])
        image = image.bandjoin(alpha).copy(interpretation=kind["interpretation"])
        if not known.alpha:
            image = image.flatten(background=[white] * info.channels, max_alpha=white)
    if others is not None:
        others = _bare(resized(others, info.width, info.height)).rint().cast(kind["format"])
        image = _in_file_order(image, others, info).copy(interpretation=kind["interpretation"])

    image = image.copy(**dict(zip(("xres", "yres"), info.resolution or _72_DPI, strict=True)))
    exif = _exif_to_write(info, known)
    blobs = {
        "icc-profile-data": info.icc_profile,
        "exif-data": exif and known.name == "AVIF" and _PLACEHOLDER,
        "xmp-data": known.name in ("TIFF", "AVIF") and info.xmp,
    }
    for name, blob in blobs.items():
        if blob:
            image.set_type(vips.GValue.blob_type, name, blob)
    image.set_type(vips.GValue.gint_type, "orientation", 1)

    if not known.grey and _profile_space(info) == b"GRAY":
        image = _to_srgb(image, info.bits)
    if info.bits > known.bits:
        steps = 2**known.bits - 1
        image = (image * (steps / white)).rint()
        if known.bits == 8:
            image = image.cast("uchar").copy(interpretation=_interpretation(replace(info, bits=8)))
        else:  # libvips wants 10 and 12 bits at the upper end of 16
            image = (image * 2 ** (16 - known.bits)).cast("ushort").copy(interpretation=_interpretation(info))
    keep = {"AVIF": "icc|xmp|exif" if exif else "icc|xmp", "TIFF": "icc|xmp"}
    options = _save_options(known, info, quality)
    getattr(image, known.save)(os.fsencode(target), keep=keep.get(known.name, "icc"), **options)
    _add_metadata(target, info, known, exif)


def _exif_to_write(info: PictureInfo, known: Format) -> bytes | None:
    """The EXIF block: of the picture's size, and with its resolution if that has no other place."""
    exif, size = info.exif, (info.width, info.height)
    elsewhere = known.resolution or (
        known.name == "JPEG" and info.resolution and whole_density(info.resolution)
    )
    if info.resolution and (exif or not elsewhere):
        exif = with_resolution(exif, info.resolution)
    return exif and scaled_exif(exif, size, size)


def _add_metadata(target: Path, info: PictureInfo, known: Format, exif: bytes | None) -> None:
    """Put metadata into an encoded file, byte for byte."""
    match known.name:
        case "JPEG":
            add_jpeg_metadata(
                target,
                exif=exif,
                xmp=info.xmp,
                photoshop=joined_resources(info.iptc, info.photoshop),
                comments=info.comments,
                resolution=info.resolution,
            )
        case "PNG":
            add_png_metadata(target, exif, info.xmp, info.resolution, info.text)
        case "WebP":
            add_webp_metadata(
                target, exif, info.xmp, size=(info.width, info.height), has_alpha=info.has_alpha
            )
        case "AVIF" if exif:
            replace_avif_exif(target, exif)
        case "TIFF":
            tags, resolution = info.tags, info.resolution
            if info.photoshop:
                tags += (TiffTag(PHOTOSHOP, 1, joined_resources(info.iptc, info.photoshop)),)
            if exif and resolution is None and resolution_of(tags) is None:  # or one that stands for nothing
                tags += tuple(TiffTag(*entry) for entry in resolution_entries(exif))
                resolution = resolution_of(tags)
            # Colours are not multiplied by alpha.
            extra = tuple(2 if kind == 1 else kind for kind in info.extra_samples)
            metadata = TiffMetadata(exif, info.iptc, info.xmp, tags)
            add_tiff_metadata(target, metadata, extra_samples=extra, resolution=resolution)


def _in_file_order(image: Any, others: Any, info: PictureInfo) -> Any:
    """Join other samples to colours and alpha, in the order in which the original has them."""
    bands = [image[place] for place in range(image.bands)] + [others[place] for place in range(others.bands)]
    alpha = alpha_of(info.extra_samples)
    if alpha is not None:
        bands.insert(info.channels + alpha, bands.pop(info.channels))
    return bands[0].bandjoin(bands[1:])


def resized(alpha: Any, width: int, height: int) -> Any:
    """Resize alpha by linear interpolation, which cannot ring at an edge; the result holds floats."""
    if (alpha.width, alpha.height) == (width, height):
        return alpha
    return alpha.cast("float").resize(width / alpha.width, vscale=height / alpha.height, kernel="linear")


def _save_options(known: Format, info: PictureInfo, quality: int | None) -> dict[str, Any]:
    level = quality or _DEFAULT_QUALITY.get(known.name, 100)
    match known.name:
        case "PNG":  # adaptive filters: a quarter smaller than none on photos; 6 takes twice the time for 2 %
            return {"compression": 4, "filter": "all"}
        case "TIFF":
            samples = info.channels + info.has_alpha + info.others
            size = info.width * info.height * samples * info.bits // 8
            size += sum(len(tag.data) for tag in info.tags)
            # Classic TIFF ends at 4 GiB; noise can grow a little when it is packed.
            big = size > 2**32 * 0.9 or needs_bigtiff(info.tags)
            return {"compression": "deflate", "predictor": "horizontal", "bigtiff": big}
        case "WebP":
            # The careful way to halve colour takes 10 bytes a pixel: too much for the largest pictures.
            careful = info.width * info.height <= 2**26
            # The usual effort of 4 takes half as long again and saves nothing.
            return {
                "Q": level, "lossless": level == 100, "exact": True, "smart_subsample": careful, "effort": 2
            }  # fmt: skip
        case "AVIF":
            bits = min(info.bits, known.bits)
            colour = {"lossless": True} if level == 100 else {"Q": level, "subsample_mode": "off"}
            # Efforts of 2 and more take up to ten times as long, for a hundredth to a twentieth of the file.
            return {"compression": "av1", "bitdepth": bits, "effort": 1, **colour}
        case _:
            # Repaired colours are finer than those of a 4:2:0 original: saved at full resolution they are up
            # to 1 dB better (`benchmarks/fidelity.py --saving`). So libvips saves them from quality 90 on,
            # and below where the original did.
            shared = "auto" if info.subsampling in (None, (2, 2)) else "off"
            return {"Q": quality or max(level, info.quality or 0), "subsample_mode": shared}


def carried(
    info: PictureInfo, known: Format, has_alpha: bool, others: Any, quality: int | None
) -> tuple[PictureInfo, tuple[str, ...]]:
    """Keep what the format can hold, with a sentence for each thing that changes or is lost.

    `others` are the samples besides colours and alpha; None where there are none, or they were not given.
    """
    notes = []
    name = known.name
    if has_alpha and not known.alpha:
        notes.append(f"flattened transparency onto white, because {name} has none")
    if has_alpha and name == "AVIF" and quality != 100:
        notes.append("stored alpha with loss, as AVIF does below quality 100")
    if info.bits > known.bits:
        notes.append(f"rounded from 16 to {known.bits} bits, the most that {name} holds")
    space = _profile_space(info)
    if not known.grey and space == b"GRAY" and info.channels == 1:
        notes.append(f"converted from grey to sRGB through its colour profile, because {name} has no grey")
    elif space and space != (b"GRAY" if info.channels == 1 and known.grey else b"RGB "):
        notes.append(
            f"left out its colour profile, which is not for {'grey' if info.channels == 1 else 'RGB'}"
        )
        info = replace(info, icc_profile=None)
    plain = tuple(entry for entry in info.text if fits_png(entry))
    if "text" in known.metadata and plain != info.text:
        number = len(info.text) - len(plain)
        notes.append(f"left out {number} of its text entries, whose keywords PNG cannot hold")
        info = replace(info, text=plain)
    if info.others and (others is None or name != "TIFF"):
        why = "which were not given" if others is None else f"which {name} cannot hold"
        notes.append(f"left out {_counted(info.others)} for each pixel, neither colour nor alpha, {why}")
    elif info.others and (others.width, others.height) != (info.width, info.height):
        notes.append(resizing_of(info))
    if name != "TIFF":
        notes += _left_out_tags(info, name)
        info = replace(info, tags=())
    info = replace(info, extra_samples=_extra_samples(info, has_alpha) if name == "TIFF" and others else ())
    dropped: dict[str, Any] = {}
    for kind in ("EXIF", "XMP", "IPTC", "Photoshop", "text", "comments"):
        value = getattr(info, kind.lower())
        if value and kind not in known.metadata:
            if kind != "Photoshop":
                notes.append(f"left out its {kind}, which {name} cannot hold")
            elif names := named_resources(value):
                notes.append(f"left out its Photoshop resources, which {name} cannot hold: {names}")
        elif value and name == "JPEG" and not _fits_jpeg(kind, value):
            notes.append(f"left out its {kind}, which is larger than the 64 KiB that JPEG can hold")
        else:
            continue
        dropped[kind.lower()] = () if kind in ("text", "comments") else None
    return replace(info, **dropped), tuple(notes)


def _left_out_tags(info: PictureInfo, name: str) -> list[str]:
    """Name the tags that only TIFF has: of the resolution only one that is a ratio, without a unit."""
    says_no_more = info.resolution is not None or is_square(info.tags)
    names = [tag.name for tag in info.tags if not (says_no_more and tag.number in RESOLUTION)]
    return [f"left out its TIFF tags, which {name} cannot hold: {', '.join(names)}"] if names else []


def _extra_samples(info: PictureInfo, has_alpha: bool) -> tuple[int, ...]:
    """What stands besides colours, with alpha if the picture still has it, or has it now."""
    extra, place = info.extra_samples, alpha_of(info.extra_samples)
    if has_alpha and place is None:
        return 2, *extra
    return extra if has_alpha or place is None else extra[:place] + extra[place + 1 :]


def resizing_of(info: PictureInfo) -> str:
    """A sentence on samples besides colours and alpha that were enlarged."""
    return (
        f"enlarged {_counted(info.others)} for each pixel, neither colour nor alpha, by linear interpolation"
    )


def _counted(others: int) -> str:
    return "an extra sample" if others == 1 else f"{others} extra samples"


def resized_info(info: PictureInfo, width: int, height: int) -> tuple[PictureInfo, tuple[str, ...]]:
    """Adapt what a file says to a picture that is enlarged, with a sentence on what cannot be or is resized.

    A pixel is smaller then, on paper and on the map; places in pixels are farther from the corner.
    """
    before, after = (info.width, info.height), (width, height)
    across, down = width / info.width, height / info.height
    tags, notes = resized_tags(info.tags, across, down)
    photoshop, lost = scaled_resources(info.photoshop or b"", across, down)
    resolution = info.resolution and (info.resolution[0] * across, info.resolution[1] * down)
    resized = replace(
        info,
        width=width,
        height=height,
        tags=tags,
        resolution=resolution,
        exif=info.exif and scaled_exif(info.exif, before, after),
        photoshop=photoshop or None,
        xmp=info.xmp and (fitted_xmp(info.xmp, 1, before, after) or info.xmp),
    )
    return resized, notes + lost


def _fits_jpeg(kind: str, value: bytes) -> bool:
    """Whether JPEG, whose segments are small, has room for metadata of some kind."""
    return (kind != "EXIF" or fits_jpeg(value)) and (kind != "XMP" or xmp_segments(value) is not None)


def output_format(path: Path, quality: int | None, overwrite: bool) -> Format:
    """Choose the format by the suffix of an output that may be written; anything else is a UsageError."""
    for known in FORMATS:
        if path.suffix.lower() in known.suffixes:
            break
    else:
        raise UsageError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; use {', '.join(SUFFIXES)}"
        )
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"{path}: quality {quality} was asked for; it goes from 1 to 100")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file")
    if path.is_symlink() and _leads_nowhere(path):
        raise UsageError(f"{path}: is a link that leads in a circle; name a file")
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: exists already; choose another name or allow overwriting")
    return known


def _leads_nowhere(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _head(path: Path) -> bytes:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would wait for its other end
            raise PictureError(f"{path}: is a pipe or device; save the picture as a file first")
        with path.open("rb") as file:
            return file.read(2**20)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise PictureError(
            f"{path}: cannot be opened ({getattr(error, 'strerror', error)}); give an existing, readable file"
        ) from error


def _recognise(path: Path, head: bytes) -> Format:
    if not head:
        raise PictureError(f"{path}: is empty (0 bytes); give a {_NAMES} file")
    # libvips shows the first frame of an animated PNG and says nothing.
    brands = head[8 : int.from_bytes(head[:4], "big")] if head[4:8] == b"ftyp" else b""
    if b"avis" in brands or (head.startswith(b"\x89PNG") and b"acTL" in _png_chunks(head)):
        raise PictureError(f"{path}: is an animation; save one of its frames as its own file")
    for known in FORMATS:
        if re.match(known.signature, head, re.DOTALL):
            return known
    raise PictureError(
        f"{path}: is not a {_NAMES} file (it begins with {head[:8]!r}); convert it to one first"
    )


def _lost_colours(path: Path, known: Format, head: bytes, *, has_profile: bool) -> list[str]:
    """Note colours that a file describes otherwise than by a profile, as libvips drops that; refuse HDR."""
    chunks = _png_chunks(head) if known.name == "PNG" else {}
    primaries = transfer = 2  # unknown
    full = 1
    if known.name == "AVIF" and (box := re.search(rb"colrnclx(....)", head, re.DOTALL)):
        primaries, transfer = struct.unpack(">HH", box[1])
    elif len(chunks.get(b"cICP", b"")) == 4:
        primaries, transfer, _, full = chunks[b"cICP"]
    if transfer in _HDR_TRANSFERS:
        raise PictureError(
            f"{path}: is an HDR picture ({_HDR_TRANSFERS[transfer]}), for whose brightness no level is "
            "defined; convert it to SDR first"
        )
    if has_profile and known.name == "AVIF":  # where both stand, that is for the transform of colours alone
        return []
    if primaries not in (1, 2) or transfer not in _USUAL_TRANSFERS or full != 1:
        limited = "" if full == 1 else ", limited range"
        codes = f"primaries {primaries}, transfer {transfer}{limited} in H.273"
        kept = ", and kept its colour profile" if has_profile else ""
        return [f"left out its colour description ({codes}){kept}"]
    if has_profile:
        return []
    if chunks.keys() & {b"cICP", b"sRGB"}:
        return []
    # A hundredth away from sRGB; both count in 1/100000.
    lost = [
        name.decode()
        for name, usual in _SRGB_CHUNKS.items()
        if len(chunks.get(name, b"")) == 4 * len(usual)
        and not np.allclose(np.frombuffer(chunks[name], ">u4"), usual, rtol=0, atol=1000)
    ]
    return [f"left out its colour description ({' and '.join(lost)})"] if lost else []


def _png_chunks(head: bytes) -> dict[bytes, bytes]:
    """Collect the chunks before the pixels."""
    chunks: dict[bytes, bytes] = {}
    position = 8
    while position + 8 <= len(head):
        size, name = struct.unpack_from(">I4s", head, position)
        if name == b"IDAT":
            break
        chunks[name] = head[position + 8 : position + 8 + size]
        position += 12 + size
    return chunks


@cache
def vips_library() -> Any:
    """Import libvips on first use.

    What it has to say beyond errors goes to the logger "pyvips", and not to stderr.
    """
    os.environ.setdefault("VIPS_WARNING", "0")
    logging.getLogger("pyvips").addHandler(_UNHEARD)
    import pyvips  # here, because it costs more than the rest of the command line's start

    # What GLib says of absurd values in a damaged header goes the same way: the file is refused in any case.
    if handler := getattr(pyvips, "_log_handler_cb", None):
        every_level, domain = 0xFF, b"GLib-GObject"
        number = pyvips.glib_lib.g_log_set_handler(domain, every_level, handler, pyvips.ffi.NULL)
        atexit.register(pyvips.glib_lib.g_log_remove_handler, domain, number)

    # libvips remembers finished operations by file name: it would answer with an old picture after a file has
    # changed, and hold deleted files, and with them the disk, open.
    pyvips.cache_set_max(0)
    return pyvips


def _interpretation(info: PictureInfo) -> str:
    return {(1, 8): "b-w", (1, 16): "grey16", (3, 8): "srgb", (3, 16): "rgb16"}[info.channels, info.bits]


def _to_srgb(image: Any, bits: int) -> Any:
    """Convert through the embedded profile; paper white becomes white, ink black becomes black."""
    return image.icc_transform(
        "srgb",
        embedded=True,
        input_profile="cmyk",
        intent="relative",
        black_point_compensation=True,
        depth=bits,
    )


def _to_srgb_beside_others(image: Any, bits: int) -> Any:
    """Convert CMYK, the first four bands, and leave the others as they are."""
    if image.bands == 4:
        return _to_srgb(image, bits)
    others = image.extract_band(4, n=image.bands - 4)
    converted = _to_srgb(image.extract_band(0, n=4), bits)
    return converted.bandjoin(others).copy(interpretation=converted.interpretation)


def _bare(image: Any) -> Any:
    """Drop all metadata, which would otherwise flow into whatever the image is joined to."""
    image = image.copy()
    for name in image.get_fields():
        image.remove(name)
    return image


def _profile_space(info: PictureInfo) -> bytes | None:
    return info.icc_profile[16:20] if info.icc_profile else None  # ICC.1, 7.2: bytes 16 to 19 of the header


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn failures of libvips and of the disk while reading into a PictureError."""
    with _failures(path, "cannot be read", "the file is damaged, truncated or of an unusual kind"):
        yield


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn failures of libvips and of the disk while writing into a PictureError; a full disk is its own."""
    advice = "nothing was left behind; check the folder, its rights and free space"
    try:
        with _failures(path, "cannot be written", advice):
            yield
    except PictureError as error:
        cause = error.__cause__  # libvips tells the number of the error only in words, and not in the first
        for number in (errno.ENOSPC, errno.EDQUOT):
            if getattr(cause, "errno", None) == number or os.strerror(number) in getattr(cause, "detail", ""):
                raise DiskFullError(f"{path}: cannot be written ({os.strerror(number)}); {advice}") from cause
        raise


@contextmanager
def _failures(path: Path, what: str, advice: str) -> Iterator[None]:
    vips = vips_library()
    try:
        yield
    except (OSError, UnicodeEncodeError, vips.Error) as error:
        lines = [str(getattr(error, "strerror", error))]
        if isinstance(error, vips.Error):
            # The cause comes first, after seeks that libheif and libtiff try in vain.
            lines = [line.strip() for line in error.detail.splitlines() if "bad seek" not in line]
        cause = next((line for line in lines if line), "no reason given")
        cause = cause.rpartition(f"{path.name}: ")[2]  # some begin with the name of the temporary file
        raise PictureError(f"{path}: {what} ({cause[:200]}); {advice}") from error
