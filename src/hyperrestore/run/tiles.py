"""Which pixels to read and which to keep, so that tiles put together equal the whole; integers only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels of the picture padded to a multiple of the network's stride.

        read_start   keep_start        keep_stop    read_stop
            |- - halo - -|=================|- - halo - -|

    Attributes:
        read_start: First pixel the network reads; a multiple of the stride.
        read_stop: End of what it reads; a multiple of the stride, perhaps beyond the picture's end.
        keep_start: First pixel kept of the result.
        keep_stop: End of what is kept; never beyond the picture's end.
    """

    read_start: int
    read_stop: int
    keep_start: int
    keep_stop: int


def spans(length: int, *, size: int, halo: int, multiple: int) -> list[Span]:
    """Cut one axis of a picture into tiles of nearly equal size.

    Every pixel is kept exactly once. A window reaches `halo` pixels beyond what is kept of it, but not
    beyond the picture's border, so that the network meets a border exactly where the picture has one.

    Args:
        length: Pixels along this axis, at least 1.
        size: Largest number of pixels kept of a tile, rounded up to a multiple of `multiple`.
        halo: Receptive radius of the network, pixels.
        multiple: Product of the network's strides, pixels.

    Returns:
        The tiles from first to last.

    Example:
        >>> spans(20, size=10, halo=3, multiple=2)[1]
        Span(read_start=6, read_stop=20, keep_start=10, keep_stop=20)
    """
    if min(length, size, multiple) < 1 or halo < 0:
        raise ValueError(f"impossible tiles: {length=}, {size=}, {halo=}, {multiple=}")
    padded = round_up(length, multiple)
    count = -(-length // round_up(size, multiple))
    step = round_up(-(-length // count), multiple)
    return [
        Span(
            read_start=max(0, (start - halo) // multiple * multiple),
            read_stop=min(padded, round_up(min(start + step, length) + halo, multiple)),
            keep_start=start,
            keep_stop=min(start + step, length),
        )
        for start in range(0, length, step)
    ]


def round_up(number: int, multiple: int) -> int:
    """The smallest multiple that is not below a number."""
    return -(-number // multiple) * multiple
