"""Rows and what a file says besides -> an encoded picture file."""

from __future__ import annotations

import os
import struct
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from hyperrestore.picture.bands import bare, in_file_order, interpretation_of, resized, to_srgb
from hyperrestore.picture.colour_description import profile_space
from hyperrestore.picture.containers.tiff_directory import TiffTag
from hyperrestore.picture.encoder_threads import avif_threads
from hyperrestore.picture.formats import Format
from hyperrestore.picture.info import PictureInfo
from hyperrestore.picture.metadata.embedded import add_png_metadata, add_webp_metadata, replace_avif_exif
from hyperrestore.picture.metadata.exif import resolution_entries, scaled_exif, with_resolution
from hyperrestore.picture.metadata.jpeg import add_jpeg_metadata, whole_density
from hyperrestore.picture.metadata.photoshop import joined_resources
from hyperrestore.picture.metadata.tiff import (
    PHOTOSHOP,
    TiffMetadata,
    add_tiff_metadata,
    needs_bigtiff,
    resolution_of,
)
from hyperrestore.picture.vips import UNSTATED, vips_library

# libvips builds EXIF anew. For AVIF it is given this, whose place then takes the block itself.
_PLACEHOLDER = b"Exif\0\0MM\0*" + struct.pack(">IHI", 8, 0, 0)

# Lossy, because these formats are chosen for small files; high, because restored detail must survive and what
# was repaired must not come back. 100 is lossless in WebP and AVIF.
_DEFAULT_QUALITY = {"JPEG": 95, "WebP": 95, "AVIF": 90}


def encode(
    rows: Path, target: Path, info: PictureInfo, known: Format, alpha: Any, others: Any, quality: int | None
) -> None:
    """Encode spooled rows; `info` holds only metadata that the format can carry.

    `alpha` has one band, `others` the samples besides colours and alpha; each None where there are none.
    """
    image = vips_library().Image.tiffload(os.fsencode(rows), access="sequential", fail_on="error")
    image = _with_others(bare(image), info, known, alpha, others)
    exif = _exif_to_write(info, known)
    image = _with_metadata(image, info, known, exif)
    if not known.grey and profile_space(info.icc_profile) == b"GRAY":
        image = to_srgb(image, info.bits)
    if info.bits > known.bits:
        image = _rounded(image, info, known.bits)
    keep = {"AVIF": "icc|xmp|exif" if exif else "icc|xmp", "TIFF": "icc|xmp"}
    options = _save_options(known, info, quality)
    with avif_threads() if known.name == "AVIF" else nullcontext():
        getattr(image, known.save)(os.fsencode(target), keep=keep.get(known.name, "icc"), **options)
    _add_metadata(target, info, known, exif)


def _with_others(image: Any, info: PictureInfo, known: Format, alpha: Any, others: Any) -> Any:
    """Join alpha, or lay the picture onto white if the format has none, and then the other samples."""
    kind, interpretation = "uchar" if info.bits == 8 else "ushort", interpretation_of(info)
    if alpha is not None:
        alpha = bare(resized(alpha, info.width, info.height)).rint().cast(kind)
        image = image.bandjoin(alpha).copy(interpretation=interpretation)
        if not known.alpha:
            white = 2**info.bits - 1
            image = image.flatten(background=[white] * info.channels, max_alpha=white)
    if others is not None:
        others = bare(resized(others, info.width, info.height)).rint().cast(kind)
        image = in_file_order(image, others, info).copy(interpretation=interpretation)
    return image


def _with_metadata(image: Any, info: PictureInfo, known: Format, exif: bytes | None) -> Any:
    """Give an image the metadata that libvips writes."""
    vips = vips_library()
    image = image.copy(**dict(zip(("xres", "yres"), info.resolution or UNSTATED, strict=True)))
    blobs = {
        "icc-profile-data": info.icc_profile,
        "exif-data": exif and known.name == "AVIF" and _PLACEHOLDER,
        "xmp-data": known.name in ("TIFF", "AVIF") and info.xmp,
    }
    for name, blob in blobs.items():
        if blob:
            image.set_type(vips.GValue.blob_type, name, blob)
    image.set_type(vips.GValue.gint_type, "orientation", 1)
    return image


def _rounded(image: Any, info: PictureInfo, bits: int) -> Any:
    """Round samples to fewer bits: 8, or 10 or 12, which libvips wants at the upper end of 16."""
    steps = 2**bits - 1
    image = (image * (steps / (2**info.bits - 1))).rint()
    if bits == 8:
        return image.cast("uchar").copy(interpretation=interpretation_of(replace(info, bits=8)))
    return (image * 2 ** (16 - bits)).cast("ushort").copy(interpretation=interpretation_of(info))


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
