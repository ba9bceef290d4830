"""The file formats that are read and written: what each holds, and which one a file has."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path

from hyperrestore.errors import PictureError, UsageError
from hyperrestore.picture.containers.boxes import png_head


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
_NAMES = "PNG, JPEG, WebP, TIFF or AVIF"


def format_of(head: bytes) -> Format | None:
    """The format that a file's first bytes are of; None for all else."""
    return next((known for known in FORMATS if re.match(known.signature, head, re.DOTALL)), None)


def file_format(path: Path) -> Format:
    """Tell the format of a file by how it begins."""
    return recognise(path, read_head(path))


def read_head(path: Path) -> bytes:
    """The first MiB of a file, in which all but pixels usually stands."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would wait for its other end
            raise PictureError(f"{path}: is a pipe or device; save the picture as a file first")
        with path.open("rb") as file:
            return file.read(2**20)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise PictureError(
            f"{path}: cannot be opened ({getattr(error, 'strerror', error)}); give an existing, readable file"
        ) from error


def recognise(path: Path, head: bytes) -> Format:
    """Tell the format of a file that begins so; refuse what is empty, animated or of another kind."""
    if not head:
        raise PictureError(f"{path}: is empty (0 bytes); give a {_NAMES} file")
    # libvips shows the first frame of an animated PNG and says nothing.
    brands = head[8 : int.from_bytes(head[:4], "big")] if head[4:8] == b"ftyp" else b""
    if b"avis" in brands or (head.startswith(b"\x89PNG") and b"acTL" in png_head(head)):
        raise PictureError(f"{path}: is an animation; save one of its frames as its own file")
    if known := format_of(head):
        return known
    raise PictureError(
        f"{path}: is not a {_NAMES} file (it begins with {head[:8]!r}); convert it to one first"
    )


def output_format(path: Path, quality: int | None, overwrite: bool) -> Format:
    """Choose the format by the suffix of an output that may be written; anything else is a UsageError."""
    known = next((known for known in FORMATS if path.suffix.lower() in known.suffixes), None)
    if known is None:
        raise UsageError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; use {', '.join(SUFFIXES)}"
        )
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"{path}: quality {quality} is not accepted; give 1 to 100")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file")
    if path.is_symlink() and _leads_nowhere(path):
        raise UsageError(f"{path}: is a circular link; name a file")
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: already exists; choose another name or pass overwrite=True")
    return known


def _leads_nowhere(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False
