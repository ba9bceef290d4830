"""What a film says of its brightness, HDR: the display it was graded on, and its brightest pixels."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

# FFmpeg's AVMasteringDisplayMetadata: ten fractions, and whether the colours and the luminances are known.
DISPLAY = struct.Struct("=20i2i")
CONTENT = struct.Struct("=2I")  # AVContentLightMetadata
COLOUR, LUMINANCE = 50000, 10000  # units for each of a chromaticity, and for each cd/m2, in the stream

DYNAMIC = {
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
    "DOVI_METADATA": "Dolby Vision",
    "DOVI_RPU_BUFFER": "Dolby Vision",
}
# An encoder -> its option for parameters, and the names of the display and of the light level in them.
PARAMETERS = {
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libx264": ("x264-params", "mastering-display", "cll"),
}


class Hdr(NamedTuple):
    """What a film says of its brightness.

    Attributes:
        display: The mastering display, as x265 and x264 take it; None where it is not said completely.
        light: The content light level, in the same way: that of the brightest pixel, and the average of
            the brightest frame, in cd/m2.
        others: Names of what cannot be written: dynamic metadata, and an incomplete mastering display.
    """

    display: str | None
    light: str | None
    others: tuple[str, ...]


def hdr_of(frame: Any) -> Hdr:
    """What the first frame of a film says."""
    kinds = {data.type.name: bytes(data) for data in frame.side_data}
    display = _display(kinds.get("MASTERING_DISPLAY_METADATA"))
    light = kinds.get("CONTENT_LIGHT_LEVEL")
    others = [name for kind, name in DYNAMIC.items() if kind in kinds]
    if "MASTERING_DISPLAY_METADATA" in kinds and display is None:
        others.append("an incomplete mastering display")
    words = None if light is None else ",".join(map(str, CONTENT.unpack_from(light)))
    return Hdr(display, words, tuple(dict.fromkeys(others)))


def with_hdr(hdr: Hdr, encoder: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options of an encoder, with what the film says of its brightness."""
    if encoder not in PARAMETERS:
        return dict(options)
    option, *names = PARAMETERS[encoder]
    given = [f"{name}={value}" for name, value in zip(names, (hdr.display, hdr.light), strict=True) if value]
    if not given:
        return dict(options)
    return {**options, option: ":".join([*([options[option]] if option in options else []), *given])}


def lost_hdr(hdr: Hdr, encoder: str) -> tuple[str, ...]:
    """A sentence for what is not kept, if anything is not."""
    static = {"the mastering display": hdr.display, "the content light level": hdr.light}
    kept = encoder in PARAMETERS
    lost = [*hdr.others, *(name for name, value in static.items() if value and not kept)]
    return (f"of the HDR metadata, {' and '.join(lost)} cannot be kept in {encoder}",) if lost else ()


def _display(data: bytes | None) -> str | None:
    if data is None:
        return None
    *parts, colours_known, luminances_known = DISPLAY.unpack_from(data)
    numbers, denominators = parts[::2], parts[1::2]
    if not colours_known or not luminances_known or not all(denominators):
        return None
    units = [COLOUR] * 8 + [LUMINANCE] * 2
    values = [
        round(number * unit / denominator)
        for number, denominator, unit in zip(numbers, denominators, units, strict=True)
    ]
    red, green, blue, white = (f"({x},{y})" for x, y in zip(values[:8:2], values[1:8:2], strict=True))
    darkest, brightest = values[8:]
    return f"G{green}B{blue}R{red}WP{white}L({brightest},{darkest})"
