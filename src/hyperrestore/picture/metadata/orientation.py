"""Where a point or a box of a stored picture lies once the picture is turned upright.

Orientations are those of EXIF, 1 to 8. Sizes are those of the stored picture; a size of 1 x 1, the default,
is for coordinates that are fractions of it.
"""

from __future__ import annotations

Size = tuple[float, float]  # width, height
_WHOLE: Size = (1.0, 1.0)


def turned_point(x: float, y: float, orientation: int, size: Size = _WHOLE) -> tuple[float, float]:
    """Turn a point.

    Args:
        x: From the left edge, in the unit of `size`.
        y: From the upper edge.
        orientation: 1 to 8.
        size: Width and height of the stored picture.

    Returns:
        The point in the upright picture.

    Example:
        >>> turned_point(10, 0, 6, (40, 30))
        (30, 10)
    """
    width, height = size
    if orientation in (2, 3, 7, 8):
        x = width - x
    if orientation in (3, 4, 6, 7):
        y = height - y
    return (y, x) if is_sideways(orientation) else (x, y)


def turned_pixel(x: float, y: float, orientation: int, size: Size) -> tuple[float, float]:
    """Turn the column and row of a pixel, which count from 0; otherwise as `turned_point`."""
    return turned_point(x, y, orientation, (size[0] - 1, size[1] - 1))


def turned_box(
    left: float, top: float, width: float, height: float, orientation: int, size: Size = _WHOLE
) -> tuple[float, float, float, float]:
    """Turn a box: its left and upper edge, width and height, in the unit of `size`."""
    x0, y0 = turned_point(left, top, orientation, size)
    x1, y1 = turned_point(left + width, top + height, orientation, size)
    return min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)


def turned_size(size: Size, orientation: int) -> Size:
    """The size of the upright picture."""
    return (size[1], size[0]) if is_sideways(orientation) else size


def is_sideways(orientation: int) -> bool:
    """Whether rows become columns."""
    return 5 <= orientation <= 8
