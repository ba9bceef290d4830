"""How a file is named and begins -> which kind of picture it is, also a kind that is not read here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from hyperrestore.picture.formats import SUFFIXES, Format, format_of

READ_SUFFIXES = (*SUFFIXES, ".mpo")  # MPO is JPEG with further images behind it; it is not written
NAMED, KINDS_NAMED = 3, 8  # files of a kind, and kinds, that a line for people names
FILM_SUFFIXES = (
    *(".mkv", ".mp4", ".m4v", ".mov", ".webm", ".avi", ".mpg", ".mpeg", ".vob"),
    *(".ts", ".mts", ".m2ts", ".wmv", ".flv", ".ogv", ".3gp", ".mxf", ".y4m"),
)
_FILM = "film"
_RENAMED = " under another suffix"  # ends the kind of a file that would be read under its right name
_HEAD = 64  # bytes; the longest signature ends before
_NEVER = rb"(?!)"
_NO_SUFFIX = ("", ".")  # the second from Python 3.14 on


class Foreign(NamedTuple):
    """A kind of picture that is not read here, or films, which are not read in folders."""

    name: str
    suffixes: tuple[str, ...]
    signature: bytes = _NEVER  # pattern of the first bytes, where those tell


FOREIGN = (
    Foreign("GIF", (".gif",), rb"GIF8[79]a"),
    # Two letters begin too many texts: the size of the second header follows the first, of 14 bytes.
    Foreign("BMP", (".bmp", ".dib"), rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
    Foreign(
        "JPEG 2000",
        (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".jpm"),
        rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    ),
    Foreign(
        "HEIC", (".heic", ".heif", ".heics", ".hif"),
        rb"....ftyp(hei[cmsx]|hev[cmsx]|(mif1|msf1).{4,20}hei[cx])",
    ),
    Foreign("JPEG XL", (".jxl",), rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a"),
    Foreign("JPEG XR", (".jxr", ".wdp", ".hdp"), rb"II\xbc[\0\1]"),
    Foreign("JPEG-LS", (".jls",), rb"\xff\xd8\xff\xf7"),
    Foreign(
        "camera raw",
        (
            ".3fr", ".ari", ".arw", ".cap", ".cr2", ".cr3", ".crw", ".dcr", ".dcs", ".dng", ".eip", ".erf",
            ".fff", ".gpr", ".iiq", ".k25", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef",
            ".ptx", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
        ),
        rb"FUJIFILMCCD-RAW|FOVb|\0MRM|II(RO|RS|U\0)|MMOR|II\x1a\0\0\0HEAPCCDR|....ftypcrx |II\*\0.{4}CR",
    ),
    Foreign("Photoshop", (".psd", ".psb"), rb"8BPS\0[\1\2]"),
    Foreign("OpenEXR", (".exr",), rb"\x76\x2f\x31\x01"),
    Foreign("Radiance HDR", (".rgbe",), rb"#\?(RADIANCE|RGBE)"),
    Foreign("PNM", (".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".pfm"), rb"P[456]\n(#|\d+ \d+\s)"),
    Foreign("APNG or MNG", (".apng", ".mng", ".jng"), rb"\x8a[MJ]NG\r\n\x1a\n"),
    Foreign("Targa", (".tga",)),
    Foreign("icon", (".ico", ".cur", ".icns"), rb"\0\0[\1\2]\0[\1-\x40]\0|icns"),
    Foreign("PCX", (".pcx",)),
    Foreign("FITS", (".fits", ".fts"), rb"SIMPLE  ="),
    Foreign("DICOM", (".dcm",)),
    Foreign("QOI", (".qoi",), rb"qoif"),
    Foreign("DDS", (".dds",), rb"DDS \x7c"),
    Foreign("GIMP", (".xcf",), rb"gimp xcf "),
    Foreign("Krita", (".kra",)),
    Foreign("SGI", (".sgi", ".rgb"), rb"\x01\xda[\0\1][\1\2]"),
    Foreign("DPX or Cineon", (".dpx", ".cin"), rb"SDPX|XPDS|\x80\x2a\x5f\xd7"),
    Foreign(_FILM, FILM_SUFFIXES),
)  # fmt: skip


def picture_format(path: Path, read_head: Callable[[], bytes | None] | None = None) -> Format | None:
    """The format that a file's first bytes are of, among those that are read; None for all else.

    Args:
        path: The file.
        read_head: Gives its first bytes, where it lies elsewhere; None where they cannot be read.
    """
    head = _head(path, read_head)
    return format_of(head) if head else None


def is_picture(path: Path, read_head: Callable[[], bytes | None] | None = None) -> bool:
    """Tell whether a file of a folder is taken for a picture: by its suffix; without one, by its content.

    Args:
        path: The file.
        read_head: Gives its first bytes, where it lies elsewhere; None where they cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix not in _NO_SUFFIX:
        return suffix in READ_SUFFIXES
    head = _head(path, read_head)
    return head is not None and format_of(head) is not None and _foreign_of(head) is None


def foreign_kind(path: Path, read_head: Callable[[], bytes | None] | None = None) -> str | None:
    """Name the kind of a file that is a picture all the same, but not one that is read.

    Args:
        path: File for which `is_picture` says no.
        read_head: Gives its first bytes, where it lies elsewhere; None where they cannot be read.

    Returns:
        Words for people: "GIF", or "JPEG under another suffix". None if it is no picture, as far as can be
        told.
    """
    suffix = path.suffix.lower()
    named = next((kind.name for kind in FOREIGN if suffix in kind.suffixes), None)
    if named:
        return named
    head = _head(path, read_head)
    if head is None:
        return "file that cannot be opened" if suffix in _NO_SUFFIX else None
    known = format_of(head)
    return _foreign_of(head) or (f"{known.name}{_RENAMED}" if known else None)


def name_foreign(found: Sequence[tuple[object, str]]) -> str:
    """Count files by their kinds, name the first few, and say what to do.

    Example:
        >>> name_foreign([(Path("a.gif"), "GIF"), (Path("b.gif"), "GIF"), (Path("c.bmp"), "BMP")])
        '2 GIF (a.gif, b.gif), 1 BMP (c.bmp); convert them first'
        >>> name_foreign([(Path("a.mkv"), "film")])
        '1 film (a.mkv); give each film by itself'
    """
    kinds: dict[str, list[object]] = {}
    for path, kind in found:
        kinds.setdefault(kind, []).append(path)
    most_first = sorted(kinds.items(), key=lambda entry: -len(entry[1]))
    parts = []
    for kind, paths in most_first[:KINDS_NAMED]:
        names = ", ".join(map(str, paths[:NAMED]))
        more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        parts.append(f"{len(paths)} {kind} ({names}{more})")
    others = sum(len(paths) for _, paths in most_first[KINDS_NAMED:])
    return ", ".join(parts) + (f", {others} of other kinds" if others else "") + f"; {_advice(set(kinds))}"


def _advice(kinds: set[str]) -> str:
    """What to do about files of these kinds."""
    renamed = {kind for kind in kinds if kind.endswith(_RENAMED)}
    verbs = [verb for verb, some in (("convert", kinds - renamed - {_FILM}), ("rename", renamed)) if some]
    advice = [f"{' or '.join(verbs)} them first"] if verbs else []
    return ", and ".join(advice + ["give each film by itself"] * (_FILM in kinds))


def _head(path: Path, read_head: Callable[[], bytes | None] | None) -> bytes | None:
    """The first bytes of a file, none of what is no file; None where they cannot be read."""
    if read_head is not None:
        return read_head()
    try:
        if not path.is_file():  # a pipe would wait for its other end
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None


def _foreign_of(head: bytes) -> str | None:
    return next((kind.name for kind in FOREIGN if re.match(kind.signature, head, re.DOTALL)), None)
