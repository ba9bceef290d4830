"""Clean photos -> the ranges of a model's activations, which 8-bit integers need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hyperrestore.arrays import Float32
from hyperrestore.errors import UsageError
from hyperrestore.level import LevelScale, Task
from hyperrestore.measure.degrade import shrink
from hyperrestore.measure.photo import damaged_photo
from hyperrestore.measure.protocols import degrade
from hyperrestore.network.checkpoint import Description, weights_digest
from hyperrestore.picture.file import read_picture
from hyperrestore.run.int8 import Range, Ranges, inner_convolutions
from hyperrestore.run.openvino import OpenVINOModel

CROP = 128  # side of the crops that are measured, pixels: a multiple of every network's stride
CROPS = 64
TAIL = 1e-5  # the share of activations cut off at each end: the steps for all others become finer
QUALITIES = 100.0, 60.0, 20.0  # of photos, at every level of noise
SAMPLE = 7  # one activation in so many is looked at; this divides no width, so every column has its turn


class Damaged(NamedTuple):
    """A picture (3, h, w) to be restored, and its levels."""

    levels: tuple[float, ...]
    pixels: Float32


def calibrate(
    model: OpenVINOModel, photos: Sequence[Path], *, levels: Sequence[float] = (), seed: int = 0
) -> Ranges:
    """Measure the input ranges of a model's inner convolutions, which int8 needs.

    Convolutions at the finest resolution are left out, since rounding costs most there, unless the network
    has no other resolution.

    Args:
        model: A model with its graph.
        photos: Clean photos. One crop is taken of each, until there are enough.
        levels: Where to measure, ascending, in the unit of the first axis, whole numbers for JPEG; by default
            up to six over the whole scale, closer together near its low end, where ranges change fastest.
        seed: Of crops and noise.

    Returns:
        The ranges, the same for the same arguments.

    Raises:
        UsageError: No photo is as large as a crop, or the network is too small to have inner convolutions.
    """
    levels = levels or _spread(model.description.scale)
    clean = _crops(photos, np.random.default_rng(seed))
    limits: dict[str, list[Range]] = {}
    sides: dict[str, int] = {}
    for level in levels:
        generator = np.random.default_rng(seed)
        damaged = [as_restored(model.description, crop, level, generator) for crop in clean]
        seen: dict[str, list[Float32]] = {}
        for pictures in zip(*damaged, strict=True):
            axes = pictures[0].levels
            for name, activations in _read_by_convolutions(model, axes, [one.pixels for one in pictures]):
                sides[name] = activations.shape[-1]
                seen.setdefault(name, []).append(activations.ravel()[::SAMPLE].copy())
        for name, values in seen.items():
            limits.setdefault(name, []).append(_range_of(np.concatenate(values)))
    if not sides:
        raise UsageError("the network has no convolution between its first and its last: int8 gains nothing")
    finest = max(sides.values())
    chosen = [name for name, side in sides.items() if side < finest]
    return Ranges(
        weights=weights_digest(model.checkpoint),
        levels=tuple(levels),
        limits={name: tuple(limits[name]) for name in chosen or sides},
        apart=() if chosen else tuple(sides),
    )


def _spread(scale: LevelScale) -> list[float]:
    """Levels to measure at: whole numbers, as JPEG needs, without repetitions on a short scale."""
    return sorted({round(scale.low + (scale.high - scale.low) * (step / 5) ** 2) for step in range(6)})


def as_restored(
    description: Description, crop: Float32, level: float, generator: np.random.Generator
) -> list[Damaged]:
    """A clean crop as the network sees it at a level; for upscaling, one for each softness.

    For photos the level is that of both kinds of noise, and there is one for each of some JPEG qualities.

    The highest softness sharpens most, and people take it for pictures that are not so soft: there it meets
    one as usual, too, which activates more than any that it was trained with.
    """
    if not description.axes:
        return [Damaged((level,), degrade(crop, level, description.task, "standard", generator))]
    if description.task == Task.PHOTO:
        given = [(level, level, quality) for quality in QUALITIES]
        return [Damaged(levels, damaged_photo(crop, levels, generator)) for levels in given]
    (softness,) = description.axes
    highest, usual = softness.trained[1], softness.origin
    shrunk = [(one, one) for one in sorted({softness.trained[0], usual, highest})] + [(highest, usual)]
    small = [Damaged((level, given), shrink(crop, level, softness=own)) for given, own in shrunk]
    multiple = description.multiple
    side = min(picture.pixels.shape[-1] for picture in small) // multiple * multiple
    return [picture._replace(pixels=picture.pixels[:, :side, :side]) for picture in small]


def _read_by_convolutions(
    model: OpenVINOModel, level: tuple[float, ...], pictures: Sequence[Float32]
) -> Iterator[tuple[str, Float32]]:
    """The input of every inner convolution for each picture, by its name."""
    import openvino

    graph = model.graph(level)
    inner = inner_convolutions(graph)
    probe = openvino.Model([node.input_value(0) for node in inner.values()], graph.get_parameters(), "")
    compiled = model.core.compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for picture in pictures:
        results = compiled([picture[None]])
        for index, name in enumerate(inner):
            yield name, results[index]


def _range_of(activations: Float32) -> Range:
    """The range of activations without their extremes; it always contains 0."""
    low, high = np.quantile(activations, (TAIL, 1 - TAIL))
    return float(f"{min(low, 0):.4g}"), float(f"{max(high, 1e-6):.4g}")


def _crops(photos: Sequence[Path], random: np.random.Generator) -> Float32:
    """At most CROPS crops of different photos in random order: (b, 3, CROP, CROP), values in [0, 1]."""
    crops: list[Float32] = []
    for index in random.permutation(len(photos)):
        pixels = read_picture(photos[index]).pixels
        spare = [side - CROP for side in pixels.shape[1:]]
        if min(spare) < 0:
            continue
        top, left = (random.integers(length + 1) for length in spare)
        crop = pixels[:, top : top + CROP, left : left + CROP]
        crops.append(np.broadcast_to(crop, (3, CROP, CROP)))
        if len(crops) == CROPS:
            break
    if not crops:
        raise UsageError(f"none of {len(photos)} photos has {CROP}x{CROP} pixels; give larger photos")
    return np.stack(crops)
