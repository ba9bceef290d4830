"""One picture file for libvips: what each format holds, and how it is decoded and encoded."""

import atexit
import errno
import logging
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hyperrestore.avif import is_premultiplied
from hyperrestore.errors import DiskFullError, PictureError, UsageError
from hyperrestore.float_tiff import check_floats_of, with_integers
from hyperrestore.forked import before_threads
from hyperrestore.jpeg import (
    jpeg_comments,
    jpeg_subsampling,
    jpeg_tables,
    least_size,
    quality_of_table,
    with_comments,
)
from hyperrestore.tiff_metadata import add_tiff_metadata, is_raw, read_tiff_metadata, without_thumbnail

_72_DPI = 72 / 25.4, 72 / 25.4  # pixels per millimetre
_JPEG_SEGMENT = 65_000  # a JPEG holds EXIF and XMP in one segment each, of at most 64 KiB with its header


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
            which would show the picture as it was.
        xmp: XMP packet.
        iptc: IPTC-IIM records, without the Photoshop envelope that JPEG puts around them.
        text: PNG text entries, (keyword, text); only those in ASCII are written.
        comments: Comments of a JPEG file, in no known encoding.
        resolution: Pixels per millimetre (horizontal, vertical), or None where the file does not say.
        quality: At which a JPEG file was saved, 1 to 100, or the nearest to it that libjpeg has; None for
            other files.
        subsampling: How many pixels share a colour in a JPEG file, (in a row, in a column); None for other
            and grey files.
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
    text: tuple[tuple[str, str], ...] = ()
    comments: tuple[bytes, ...] = ()
    resolution: tuple[float, float] | None = None
    quality: int | None = None
    subsampling: tuple[int, int] | None = None

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
        "JPEG", (".jpg", ".jpeg"), rb"\xff\xd8\xff", "jpegload", "jpegsave", 8, 65_500,
        alpha=False, metadata=("EXIF", "XMP", "IPTC", "comments"), resolution=False,
    ),
    Format(
        "WebP", (".webp",), rb"RIFF....WEBP", "webpload", "webpsave", 8, 16_383,
        grey=False, resolution=False,
    ),
    Format(
        "TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]", "tiffload", "tiffsave", 16,
        metadata=("EXIF", "XMP", "IPTC"),
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
    decode = getattr(vips.Image, known.load)
    with reading(path):
        if known.name == "TIFF" and is_raw(path):
            raise PictureError(
                f"{path}: is a camera raw file, or begins with a small preview; develop it to TIFF first"
            )
        opened = decode
        if known.name == "TIFF":
            decode = with_integers(opened)
        # "error" refuses truncated files too; "warning" would refuse good pictures with odd metadata.
        fail_on = "error"
        image = decode(os.fsencode(path), access="sequential", fail_on=fail_on)
        if known.name == "JPEG" and strictly:  # libjpeg only warns of lost data, and makes them grey
            with suppress(vips.Error):
                image = decode(os.fsencode(path), access="sequential", fail_on="warning")
                fail_on = "warning"
        if image.get_typeof("tile-width"):  # a lost or damaged tile is only a warning to libvips
            fail_on = "warning"
            image = decode(os.fsencode(path), access="sequential", fail_on=fail_on)

    def field(name: str, default: Any = None) -> Any:
        return image.get(name) if image.get_typeof(name) else default

    colours = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "cmyk": 4}.get(image.interpretation, 0)
    bits = {"uchar": 8, "ushort": 16}.get(image.format)
    if field("n-pages", 1) > 1:
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
    if bits is None or not colours or image.bands - colours not in (0, 1):
        raise PictureError(
            f"{path}: has {image.bands} bands of type {image.format}, colour space {image.interpretation}; "
            "grey, RGB or CMYK in 8 or 16 bit integers, with or without alpha, can be read; convert it first"
        )

    has_alpha = image.bands > colours
    stored_bits = field("bits-per-sample", bits)
    notes = _lost_colours(path, known, head, has_profile=field("icc-profile-data") is not None)
    if known.name == "TIFF" and stored_bits > bits:
        with reading(path):
            notes += check_floats_of(path, opened(os.fsencode(path), access="sequential", fail_on=fail_on))
    if field("palette"):
        notes.append("expanded from a palette to RGB")
    elif stored_bits < 8:
        notes.append(f"expanded from {stored_bits} to 8 bits")
    elif known.name == "AVIF" and stored_bits < bits:
        notes.append(f"scaled from {stored_bits} to 16 bits")
    premultiplied = has_alpha and known.name == "AVIF" and is_premultiplied(head)
    if premultiplied:
        notes.append("divided its colours by their alpha, as they were stored multiplied by it")
    if known.name == "JPEG" and b"MPF\0" in head:
        notes.append("left out the further images in the file (preview, gain map or depth map)")
    if field("n-subifds", 0):
        notes.append("left out the further images in the file (smaller versions or previews)")
    if colours == 4:
        source = (
            "its colour profile" if field("icc-profile-data") else "a general CMYK profile, as it has none"
        )
        notes.append(f"converted from CMYK to sRGB through {source}")
    try:
        fields = image.get_fields()
    except UnicodeDecodeError as error:
        raise PictureError(
            f"{path}: holds text under a keyword beyond ASCII, which cannot be read; remove that text first"
        ) from error
    text = tuple(
        (name.split("-", 3)[3], image.get(name)) for name in fields if name.startswith("png-comment-")
    )
    exif, xmp, iptc = field("exif-data"), field("xmp-data"), _bare_iptc(field("iptc-data"))
    if known.name == "TIFF":
        with reading(path):
            exif, iptc = read_tiff_metadata(path)
    orientation = field("orientation", 1)
    resolution = (image.xres, image.yres) if orientation < 5 else (image.yres, image.xres)
    # Two values stand for nothing: libvips answers so where the file does not say. It takes 1e6 at most.
    silent = np.allclose(resolution, 1) or np.allclose(resolution, _72_DPI, rtol=1e-3)
    silent = silent or not all(0 < number <= 1e6 for number in resolution)

    with reading(path):
        if orientation > 2:  # rows come from columns or from below: libvips unpacks to memory or its own file
            before_threads(str(path))
            image = decode(os.fsencode(path), fail_on=fail_on)
        image = image.autorot()
        if known.name == "AVIF" and stored_bits < bits:
            image = image | (
                image >> stored_bits
            )  # libvips leaves the low bits 0, which makes white less than 1
        if premultiplied:
            straight = image.unpremultiply(max_alpha=2**bits - 1).rint().cast(image.format)
            image = straight.copy(interpretation=image.interpretation)
        if colours == 4:
            image = _to_srgb(image, bits)
    return image, PictureInfo(
        width=image.width,
        height=image.height,
        channels=image.bands - has_alpha,
        bits=bits,
        has_alpha=has_alpha,
        notes=tuple(notes),
        icc_profile=image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None,
        exif=exif and without_thumbnail(exif.removeprefix(b"Exif\0\0")),
        # The pixels are upright now, and XMP must not say otherwise.
        xmp=xmp and re.sub(rb"""(tiff:Orientation(?:>|=["'])\s*)[2-8]""", rb"\g<1>1", xmp),
        iptc=iptc,
        text=text,
        comments=jpeg_comments(head),
        resolution=None if silent else resolution,
        quality=quality_of_table(table)[0] if (table := jpeg_tables(head)) else None,
        subsampling=jpeg_subsampling(head),
    )


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
        image = getattr(vips.Image, known.load)(os.fsencode(path), access="sequential")
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
    rows: Path, target: Path, info: PictureInfo, known: Format, alpha: Any, quality: int | None
) -> None:
    """Encode spooled rows; `info` holds only metadata that the format can carry."""
    vips = vips_library()
    kind = {"format": "uchar" if info.bits == 8 else "ushort", "interpretation": _interpretation(info)}
    white = 2**info.bits - 1
    image = _bare(vips.Image.tiffload(os.fsencode(rows), access="sequential", fail_on="error"))
    if alpha is not None:
        alpha = _bare(resized(alpha, info.width, info.height)).rint().cast(kind["format"])
        image = image.bandjoin(alpha).copy(interpretation=kind["interpretation"])
        if not known.alpha:
            image = image.flatten(background=[white] * info.channels, max_alpha=white)

    image = image.copy(**dict(zip(("xres", "yres"), info.resolution or _72_DPI, strict=True)))
    blobs = {
        "icc-profile-data": info.icc_profile,
        "exif-data": info.exif and b"Exif\0\0" + info.exif,
        "xmp-data": info.xmp,
        "iptc-data": info.iptc and known.name == "JPEG" and _photoshop_envelope(info.iptc),
    }
    for name, blob in blobs.items():
        if blob:
            image.set_type(vips.GValue.blob_type, name, blob)
    for number, (keyword, text) in enumerate(info.text):
        image.set_type(vips.GValue.gstr_type, f"png-comment-{number}-{keyword}", text)
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
    # Without EXIF of its own a picture gets an EXIF block only where the resolution has no other place.
    keeps_exif = info.exif or (info.resolution and not known.resolution)
    keep = "all" if keeps_exif else "icc|xmp|iptc|other"
    getattr(image, known.save)(os.fsencode(target), keep=keep, **_save_options(known, info, quality))
    if known.name == "TIFF" and (info.exif or info.iptc):
        add_tiff_metadata(target, info.exif, info.iptc)
    if known.name == "JPEG" and info.comments:
        target.write_bytes(with_comments(target.read_bytes(), info.comments))


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
            size = info.width * info.height * (info.channels + info.has_alpha) * info.bits // 8
            # Classic TIFF ends at 4 GiB; noise can grow a little when it is packed.
            return {"compression": "deflate", "predictor": "horizontal", "bigtiff": size > 2**32 * 0.9}
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
    info: PictureInfo, known: Format, has_alpha: bool, quality: int | None
) -> tuple[PictureInfo, tuple[str, ...]]:
    """Keep the metadata that the format can hold, with a sentence for each thing that changes or is lost."""
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
    plain = tuple(entry for entry in info.text if all(part.isascii() for part in entry))
    if "text" in known.metadata and plain != info.text:  # libvips writes UTF-8 as Latin-1
        notes.append(f"left out {len(info.text) - len(plain)} of its text entries, which are not in ASCII")
        info = replace(info, text=plain)
    dropped: dict[str, Any] = {}
    for kind in ("EXIF", "XMP", "IPTC", "text", "comments"):
        value = getattr(info, kind.lower())
        if value and kind not in known.metadata:
            notes.append(f"left out its {kind}, which {name} cannot hold")
        elif value and name == "JPEG" and kind != "comments" and len(value) > _JPEG_SEGMENT:
            notes.append(f"left out its {kind}, which is larger than the 64 KiB that JPEG can hold")
        else:
            continue
        dropped[kind.lower()] = () if kind in ("text", "comments") else None
    return replace(info, **dropped), tuple(notes)


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
    if known.name == "AVIF" and (box := re.search(rb"colrnclx(....)", head, re.DOTALL)):
        primaries, transfer = struct.unpack(">HH", box[1])
    elif len(chunks.get(b"cICP", b"")) == 4:
        primaries, transfer = chunks[b"cICP"][:2]
    if transfer in _HDR_TRANSFERS:
        raise PictureError(
            f"{path}: is an HDR picture ({_HDR_TRANSFERS[transfer]}), for whose brightness no level is "
            "defined; convert it to SDR first"
        )
    if has_profile:
        return []
    if primaries not in (1, 2) or transfer not in _USUAL_TRANSFERS:
        return [f"left out its colour description (primaries {primaries}, transfer {transfer} in H.273)"]
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


def _bare(image: Any) -> Any:
    """Drop all metadata, which would otherwise flow into whatever the image is joined to."""
    image = image.copy()
    for name in image.get_fields():
        image.remove(name)
    return image


def _profile_space(info: PictureInfo) -> bytes | None:
    return info.icc_profile[16:20] if info.icc_profile else None  # ICC.1, 7.2: bytes 16 to 19 of the header


def _bare_iptc(blob: bytes | None) -> bytes | None:
    """Take IPTC records out of the Photoshop image resources in which JPEG carries them."""
    if blob is None or not blob.startswith(b"Photoshop 3.0\0"):
        return blob
    position = 14
    while blob[position : position + 4] == b"8BIM" and position + 12 <= len(blob):
        resource, name_length = struct.unpack_from(">HB", blob, position + 4)
        position += 6 + (name_length // 2 + 1) * 2  # a length byte and the name, padded to even
        (size,) = struct.unpack_from(">I", blob.ljust(position + 4, b"\0"), position)
        if resource == 0x0404:
            return blob[position + 4 : position + 4 + size]
        position += 4 + size + size % 2
    return None


def _photoshop_envelope(iptc: bytes) -> bytes:
    header = b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(iptc))
    return header + iptc + b"\0" * (len(iptc) % 2)


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
