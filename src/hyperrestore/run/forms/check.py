"""An exported file against the engine: how far their results are from each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch

from hyperrestore.arrays import Float32, Pixels
from hyperrestore.run.backend import Level
from hyperrestore.run.engine import Region
from hyperrestore.run.forms.model import Model
from hyperrestore.run.pytorch import TorchModel
from hyperrestore.run.subpixels import Upscaled, has_subpixels

# A form's results for images (b, 3, h, w), and levels (axes,) or a map (b, axes, h, w) if it takes any.
Run = Callable[[Float32, Float32], Float32]
Levels = tuple[float, ...]

ANY_SIZE = ((1, 1), (5, 3), (37, 61), (64, 48))  # height and width, pixels
MULTIPLES = ((2, 3), (5, 2), (8, 6))  # of the stride
EXACT = 1e-4  # a fortieth of a step of 8 bits; measured are 1e-6
HALF = 2e-3  # half a step of 8 bits; measured are 6e-4


def sizes_of(model: Model, *, any_size: bool) -> Sequence[tuple[int, int]]:
    """Heights and widths at which a form is compared."""
    multiple = model.description.multiple
    return ANY_SIZE if any_size else [(multiple * height, multiple * width) for height, width in MULTIPLES]


def live_levels(model: Model) -> list[Levels]:
    """Levels at which a form with a live level is compared: both ends of the trained ones, and between."""
    scales = model.description.scales
    return [
        tuple(float(low + share * (high - low)) for low, high in (scale.trained for scale in scales))
        for share in (0, 0.4, 1)
    ]


def difference_at_levels(
    model: Model, run: Run, levels: Iterable[Levels], sizes: Iterable[tuple[int, int]]
) -> float:
    """The largest difference between a form's output and the engine's for one level each, not clipped."""
    engine = TorchModel(model.path, "cpu")
    differences = []
    for level in levels:
        backend = engine.at(_as_level(level), precision="fp32", bits=16)
        for images in _batches(sizes):
            result = run(images, np.array(level, np.float32))
            differences.append(_difference(result, np.stack([backend(image) for image in images])))
    return max(differences)


def difference_of_enlarged(model: Model, run: Run, levels: Levels, sizes: Iterable[tuple[int, int]]) -> float:
    """The largest difference between a form's enlarged picture and the engine's, both clipped to [0, 1]."""
    backend = TorchModel(model.path, "cpu").at(_as_level(levels), precision="fp32", bits=16)
    if not has_subpixels(backend):
        raise TypeError(f"{model.path}: its network has no sub-pixels")
    scale, differences = round(levels[0]), []
    for images in _batches(sizes):
        height, width = images.shape[-2:]
        size = scale * height, scale * width
        enlarged = Upscaled(backend, size=(height, width), to=size)
        whole = Region(0, 0, size[1], size[0])
        wanted = [enlarged.region(_reader(image), whole) for image in images]
        result = run(images, np.array(levels, np.float32)).clip(0, 1)
        differences.append(_difference(result, np.stack(wanted)))
    return max(differences)


def difference_of_maps(model: Model, run: Run, sizes: Iterable[tuple[int, int]], *, unit: float = 1) -> float:
    """The largest difference between a form with a map of levels and the network.

    Args:
        model: What is exported.
        run: The form.
        sizes: Heights and widths.
        unit: The level where the form's map is 1.
    """
    differences = []
    for images in _batches(sizes):
        maps = _maps(model, images)
        with torch.inference_mode():
            wanted = model.network(torch.from_numpy(images), torch.from_numpy(maps)).numpy()
        differences.append(_difference(run(images, maps / np.float32(unit)), wanted))
    return max(differences)


def _difference(result: Float32, wanted: Float32) -> float:
    """The largest, as a share of the largest value wanted where that is above 1; infinite for NaN."""
    if result.shape != wanted.shape:
        return np.inf
    largest = float(np.abs(result.astype(np.float64) - wanted).max()) / max(1.0, float(np.abs(wanted).max()))
    return np.inf if np.isnan(largest) else largest


def _batches(sizes: Iterable[tuple[int, int]]) -> Iterator[Float32]:
    """One or two pictures (b, 3, h, w) of each size: noise around grey ramps, the same every time."""
    for index, (height, width) in enumerate(sizes):
        shape = (1 + index % 2, 3, height, width)
        noise = np.random.default_rng(index).normal(0, 0.1, shape)
        ramp = np.linspace(0.2, 0.8, width) * np.linspace(0.6, 1, height)[:, None]
        yield np.clip(ramp + noise, 0, 1).astype(np.float32)


def _maps(model: Model, images: Float32) -> Float32:
    """Maps (b, axes, h, w) over the trained levels, which rise from left to right and from top to bottom."""
    batch, _, height, width = images.shape
    share = (np.linspace(0, 1, width) + np.linspace(0, 1, height)[:, None]) / 2
    maps = [low + share * (high - low) for low, high in (scale.trained for scale in model.description.scales)]
    return np.stack([maps] * batch).astype(np.float32)


def _reader(image: Pixels) -> Callable[[Region], Pixels]:
    return lambda seen: image[:, seen.top : seen.bottom, seen.left : seen.right]


def _as_level(levels: Levels) -> Level:
    return levels if len(levels) > 1 else levels[0]
