"""What a format can hold of a picture, with a sentence for each thing that changes or is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hyperrestore.picture.colour_description import profile_space
from hyperrestore.picture.containers.png_text import fits_png
from hyperrestore.picture.containers.tiff_samples import alpha_of
from hyperrestore.picture.formats import Format
from hyperrestore.picture.info import PictureInfo
from hyperrestore.picture.metadata.exif import scaled_exif
from hyperrestore.picture.metadata.extended_xmp import xmp_segments
from hyperrestore.picture.metadata.jpeg import fits_jpeg
from hyperrestore.picture.metadata.photoshop import named_resources, scaled_resources
from hyperrestore.picture.metadata.regions import fitted_xmp
from hyperrestore.picture.metadata.tiff import RESOLUTION, is_square, resized_tags


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


def resizing_of(info: PictureInfo) -> str:
    """A sentence on samples besides colours and alpha that were enlarged."""
    return (
        f"enlarged {_counted(info.others)} for each pixel, neither colour nor alpha, by linear interpolation"
    )


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
    space = profile_space(info.icc_profile)
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
        why = "because they were not given" if others is None else f"which {name} cannot hold"
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


def _counted(others: int) -> str:
    return "an extra sample" if others == 1 else f"{others} extra samples"


def _fits_jpeg(kind: str, value: bytes) -> bool:
    """Whether JPEG, whose segments are small, has room for metadata of some kind."""
    return (kind != "EXIF" or fits_jpeg(value)) and (kind != "XMP" or xmp_segments(value) is not None)
