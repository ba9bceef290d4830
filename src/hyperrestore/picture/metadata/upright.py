"""What files say of their pictures, for the picture as it becomes: upright, and of another size."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hyperrestore.picture.containers.tiff_directory import TiffTag
from hyperrestore.picture.metadata.companions import without_companions
from hyperrestore.picture.metadata.exif import exif_resolution, is_readable, turned_exif
from hyperrestore.picture.metadata.extended_xmp import merged_xmp
from hyperrestore.picture.metadata.jpeg import JpegParts
from hyperrestore.picture.metadata.orientation import is_sideways
from hyperrestore.picture.metadata.photoshop import split_resources
from hyperrestore.picture.metadata.regions import fitted_xmp
from hyperrestore.picture.metadata.tiff import PHOTOSHOP, TiffMetadata


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file says besides its pixels; `notes` say what is left out of it."""

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    photoshop: bytes | None = None
    comments: tuple[bytes, ...] = ()
    notes: tuple[str, ...] = ()
    tags: tuple[TiffTag, ...] = ()


def of_tiff(found: TiffMetadata, orientation: int) -> Metadata:
    """Take Photoshop's resources out of the tags of a TIFF file.

    Args:
        found: What the file says.
        orientation: Of the stored picture, 1 to 8.
    """
    tags = tuple(tag for tag in found.tags if tag.number != PHOTOSHOP)
    block = next((tag.data for tag in found.tags if tag.number == PHOTOSHOP), b"")
    iptc, others, lost = split_resources(block, orientation)
    return Metadata(found.exif, found.xmp, found.iptc or iptc, others, (), (*found.notes, *lost), tags)


def of_jpeg(parts: JpegParts, orientation: int) -> Metadata:
    """Put together what a JPEG file holds in pieces.

    Args:
        parts: What was found.
        orientation: Of the stored picture, 1 to 8.
    """
    notes = list(parts.notes)
    xmp = parts.xmp
    if xmp is not None:
        xmp, complete = merged_xmp(xmp, parts.extended)
        if not complete:
            notes.append("left out its extended XMP, which is incomplete or cannot be read")
    elif parts.extended:
        notes.append("left out its extended XMP, because there is no XMP that it extends")
    iptc = others = None
    if parts.photoshop is not None:
        iptc, others, lost = split_resources(parts.photoshop, orientation)
        notes += lost
    return Metadata(parts.exif, xmp, iptc, others, tuple(parts.comments), tuple(notes))


def upright(found: Metadata, orientation: int, size: tuple[int, int]) -> Metadata:
    """Turn metadata with the picture; what cannot be read is left out.

    Args:
        found: As the file has it.
        orientation: Of the stored picture, 1 to 8.
        size: Width and height of the stored picture, pixels.
    """
    notes = list(found.notes)
    exif, xmp = found.exif, found.xmp
    if exif is not None:
        exif = turned_exif(exif, orientation, size) if is_readable(exif) else None
        if exif is None:
            notes.append("left out its EXIF, which cannot be read")
    if xmp is not None:
        after = (size[1], size[0]) if is_sideways(orientation) else size
        xmp = fitted_xmp(xmp, orientation, size, after)
        if xmp is None:
            notes.append("left out its XMP, which cannot be read")
        else:
            xmp, lost = without_companions(xmp)
            notes += lost
    return replace(found, exif=exif, xmp=xmp, notes=tuple(dict.fromkeys(notes)))


def jpeg_resolution(parts: JpegParts, said: tuple[float, float] | None) -> tuple[float, float] | None:
    """The resolution of a stored JPEG picture, pixels per millimetre.

    Args:
        parts: What stands in the file.
        said: By EXIF, as libvips reads it; None where that stands for nothing.

    Returns:
        That of EXIF, or else of JFIF; None where neither names a unit.
    """
    in_exif = exif_resolution(parts.exif) if parts.exif else None
    return said if in_exif and said else parts.resolution
