"""What a file says of its colours, by a colour profile or otherwise."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from hyperrestore.errors import PictureError
from hyperrestore.picture.containers.boxes import png_head, riff_chunks
from hyperrestore.picture.containers.tiff_pages import TiffPage
from hyperrestore.picture.formats import Format
from hyperrestore.picture.metadata.jpeg import JpegParts
from hyperrestore.picture.metadata.tiff import PROFILE

_HEADER = 132  # bytes: the header, and the number of its tags (ICC.1, 7.2 and 7.3)

# ITU-T H.273, table 3. Those of BT.709, BT.601, xvYCC and BT.2020 are shown as sRGB's, 13, by usual viewers.
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_USUAL_TRANSFERS = (1, 2, 6, 11, 12, 13, 14, 15)
_SRGB_CHUNKS = {
    b"gAMA": (45_455,),
    b"cHRM": (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000),
}


def is_whole_profile(profile: bytes) -> bool:
    """Tell whether a profile says of itself that it is one, and has all the bytes that it says it has.

    Args:
        profile: Colour profile (ICC.1).

    Example:
        >>> is_whole_profile(b"cut off")
        False
    """
    return profile[36:40] == b"acsp" and _HEADER <= int.from_bytes(profile[:4], "big") <= len(profile)


def profile_space(profile: bytes | None) -> bytes | None:
    """For which colours a profile is, as b"RGB " or b"GRAY"; None where there is none."""
    return profile[16:20] if profile else None  # ICC.1, 7.2: bytes 16 to 19 of the header


def holds_profile(known: Format, head: bytes, parts: JpegParts | None, tiff: TiffPage | None) -> bool:
    """Whether a colour profile stands in a file, readable or not: libvips is silent on one that is not."""
    if parts:
        return parts.has_profile
    if tiff:
        return PROFILE in tiff.directory
    if known.name == "PNG":
        return b"iCCP" in png_head(head)
    if known.name == "WebP":
        return any(chunk.name == b"ICCP" for chunk in riff_chunks(head))
    return re.search(rb"colr(prof|rICC)", head) is not None


def cmyk_source(profile: bytes | None) -> str:
    """Through what libvips converts CMYK: it passes over a profile for other colours."""
    if profile is None:
        return "a general CMYK profile, because it has none"
    if profile[16:20] != b"CMYK":
        return "a general CMYK profile, because its own is for other colours"
    return "its colour profile"


def lost_colours(path: Path, known: Format, head: bytes, *, has_profile: bool) -> list[str]:
    """Note colours that a file describes otherwise than by a profile, as libvips drops that; refuse HDR."""
    chunks = png_head(head) if known.name == "PNG" else {}
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
