"""Borders and enlargement as ONNX operators: a picture of any size -> multiples of the stride, and back."""

from __future__ import annotations

import numpy as np

from hyperrestore.arrays import Float64
from hyperrestore.resample import bicubic_taps, matrix_of
from hyperrestore.run.forms.onnx_graph import Graph

HEIGHT, WIDTH = 2, 3  # axes of (b, c, h, w)


def mirrored_to_multiple(graph: Graph, x: str, multiple: int) -> str:
    """Mirror (b, c, h, w) at the right and bottom edge as `hyper.pad_to_multiple` does, from 1 pixel up."""
    if multiple == 1:
        return x
    for axis in (HEIGHT, WIDTH):
        length = _length(graph, x, axis)
        one, side = graph.integers(1), graph.integers(multiple)
        parts = graph.add("Div", graph.add("Add", length, graph.integers(multiple - 1)), side)
        places = _range(graph, graph.integers(0), graph.add("Mul", parts, side))
        # 0 1 ... n-1 | n-2 ... 1 0 1 ...
        there_and_back = graph.add("Mul", graph.add("Sub", length, one), graph.integers(2))
        period = graph.add("Max", there_and_back, one)
        places = graph.add("Mod", places, period)
        places = graph.add("Min", places, graph.add("Sub", period, places))
        x = graph.add("Gather", x, places, axis=axis)
    return x


def cut_to_size_of(graph: Graph, x: str, picture: str, *, factor: int = 1) -> str:
    """Cut (b, c, h, w) at the right and bottom to the size of a picture, or to a multiple of that size."""
    size = graph.add("Shape", picture, start=HEIGHT)
    if factor > 1:
        size = graph.add("Mul", size, graph.integers(factor))
    return graph.add("Slice", x, graph.integers(0, 0), size, graph.integers(HEIGHT, WIDTH))


def resampled(graph: Graph, x: str, samples: int, scale: int) -> str:
    """Interpolate (b, 3, h, w) cubically, as `run.subpixels` does for a whole scale.

    Args:
        graph: Gets the operators.
        x: `samples` along a side of each pixel of the picture.
        samples: 1 for the picture itself.
        scale: Samples of the result along a side of each pixel of the picture.

    Returns:
        (b, 3, h / samples * scale, w / samples * scale).
    """
    if samples == scale:
        return x
    weights, before, after = interpolation(samples, scale)
    for axis in (HEIGHT, WIDTH):
        x = _with_border(graph, x, axis, before, after)
    # Every phase of the result has its own kernel; then the phases are put side by side.
    kernels = np.einsum("yi,xj->yxij", weights, weights).reshape(scale**2, 1, *[weights.shape[1]] * 2)
    weight = graph.constant(np.tile(kernels, (3, 1, 1, 1)), np.float32, name=f"cubic_{samples}_to_{scale}")
    phases = graph.add("Conv", x, weight, group=3, strides=[samples, samples])
    return graph.add("DepthToSpace", phases, blocksize=scale, mode="CRD") if scale > 1 else phases


def interpolation(samples: int, scale: int) -> tuple[Float64, int, int]:
    """How the samples of a pixel's side become others, the same for every pixel.

    Returns:
        Weights (scale, taps), and how many taps lie before the pixel's samples and how many behind them.

    Example:
        >>> interpolation(4, 2)[0].shape
        (2, 6)
    """
    pixels = 16  # any of them far from both ends
    places, weights = bicubic_taps(
        samples * pixels, scale * pixels, samples / scale, antialias=True, softness=0
    )
    middle = slice(pixels // 2 * scale, (pixels // 2 + 1) * scale)
    kept = np.abs(weights[middle]) > 0
    offsets = places[middle] - pixels // 2 * samples
    first, last = int(offsets[kept].min()), int(offsets[kept].max())
    before, after = max(0, -first), max(0, last - samples + 1)
    spots = (offsets + before).clip(0, before + samples + after - 1)
    return matrix_of(spots, weights[middle], before + samples + after), before, after


def _with_border(graph: Graph, x: str, axis: int, before: int, after: int) -> str:
    """Mirror both ends of an axis, edge pixels too: ... 1 0 | 0 1 ... n-1 | n-1 ..."""
    length = _length(graph, x, axis)
    places = _range(graph, graph.integers(-before), graph.add("Add", length, graph.integers(after)))
    period = graph.add("Mul", length, graph.integers(2))
    places = graph.add("Mod", places, period)
    from_behind = graph.add("Sub", graph.add("Sub", period, graph.integers(1)), places)
    return graph.add("Gather", x, graph.add("Min", places, from_behind), axis=axis)


def _length(graph: Graph, x: str, axis: int) -> str:
    """The length of an axis, (1,)."""
    return graph.add("Shape", x, start=axis, end=axis + 1)


def _range(graph: Graph, start: str, stop: str) -> str:
    """The integers start..stop, from (1,) each."""
    zero = graph.integers(0)
    ends = (graph.add("Squeeze", end, zero) for end in (start, stop))
    return graph.add("Range", *ends, graph.constant(1, np.int64))
