"""Where a TIFF picture lies on the map, for a picture of another size."""

import struct

import numpy as np

from hyperrestore.picture.containers.tiff_directory import TiffTag

PIXEL_SCALE, TIEPOINTS, TRANSFORMATION = 0x830E, 0x8482, 0x85D8
_KEYS, _RASTER_TYPE, _POINT = 0x87AF, 1025, 2
# Intergraph's matrix and rational polynomials count in pixels, too, each in its own way.
_OTHERS = {0x8480, 0xC69C}
NO_DATA = 0xA481  # GDAL's value of pixels without data, a text
POSITION = {PIXEL_SCALE, TIEPOINTS, TRANSFORMATION, *_OTHERS}


def resized_position(
    tags: tuple[TiffTag, ...], across: float, down: float
) -> tuple[tuple[TiffTag, ...], tuple[str, ...]]:
    """Adapt a position on the map to another size (OGC 19-008r4, GeoTIFF 1.1, annex C).

    Args:
        tags: Tags of a picture; those that are no position pass through.
        across: Pixels per row after, divided by those before.
        down: Rows after, divided by those before.

    Returns:
        The tags, and a sentence on what cannot be adapted.
    """
    if (across, down) == (1, 1):
        return tags, ()
    # Raster coordinate 0 is the outer edge of the first pixel, or its centre.
    edge = 0.5 if _counts_from_centres(tags) else 0.0
    kept = tuple(_adapted(tag, across, down, edge) for tag in tags if tag.number not in _OTHERS)
    return kept, without_position(tags, _OTHERS, "because the size has changed")[1]


def without_position(
    tags: tuple[TiffTag, ...], which: set[int], reason: str
) -> tuple[tuple[TiffTag, ...], tuple[str, ...]]:
    """Leave a position on the map out, with a sentence that says so."""
    kept = tuple(tag for tag in tags if tag.number not in which)
    names = ", ".join(tag.name for tag in tags if tag.number in which)
    return kept, (f"left out its position on the map ({names}), {reason}",) if names else ()


def _counts_from_centres(tags: tuple[TiffTag, ...]) -> bool:
    """Whether the raster type says that pixels are points; keys are (key, place, count, value)."""
    data = next((tag.data for tag in tags if tag.number == _KEYS), b"")
    keys = struct.iter_unpack("<4H", data[8 : len(data) // 8 * 8])
    return any(key == _RASTER_TYPE and value == _POINT for key, _, _, value in keys)


def _adapted(tag: TiffTag, across: float, down: float, edge: float) -> TiffTag:
    if tag.number not in (PIXEL_SCALE, TIEPOINTS, TRANSFORMATION) or tag.kind != 12:
        return tag
    values = np.frombuffer(tag.data, "<f8").copy()
    factors = np.array([across, down])
    if tag.number == PIXEL_SCALE:
        values[:2] /= factors[: len(values[:2])]
    elif tag.number == TIEPOINTS:
        points = values[: len(values) // 6 * 6].reshape(-1, 6)
        points[:, :2] = (points[:, :2] + edge) * factors - edge
    elif len(values) == 16:
        matrix = values.reshape(4, 4)
        matrix[:, 3] += matrix[:, :2] @ (edge / factors - edge)
        matrix[:, :2] /= factors
    return tag._replace(data=values.tobytes())
