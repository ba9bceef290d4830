"""What is written beside an exported file, as JSON: what it takes, what it gives, and how exact it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from hyperrestore import __version__
from hyperrestore.level import LevelScale, Task
from hyperrestore.run.forms.model import Model
from hyperrestore.run.forms.onnx_geometry import interpolation

Form = Literal["onnx", "onnx-map", "vs-mlrt", "baked", "pt2", "safetensors", "ncnn", "darktable", "page"]
FIXED: tuple[Form, ...] = ("baked", "safetensors", "ncnn")  # for one level
MAPPED: tuple[Form, ...] = ("onnx-map", "vs-mlrt")  # a level for each pixel
HALVED: tuple[Form, ...] = ("onnx", *MAPPED, "baked")  # which can compute in fp16
ANY_SIZE: tuple[Form, ...] = ("onnx", *MAPPED, "baked", "page")  # which pad a picture by themselves


@dataclass(frozen=True)
class Request:
    """What is exported.

    Attributes:
        model: The model.
        form: For which programs.
        levels: One for each axis, checked; none for forms in which the level stays free.
        half: Whether the network computes in fp16.
    """

    model: Model
    form: Form
    levels: tuple[float, ...]
    half: bool


@dataclass(frozen=True)
class Compared:
    """How far an exported file was from the engine.

    Attributes:
        difference: The largest, of values in [0, 1].
        tolerance: The largest that is accepted.
        sizes: Heights and widths of the pictures.
    """

    difference: float
    tolerance: float
    sizes: tuple[tuple[int, int], ...]


def card(request: Request, compared: Compared) -> dict[str, Any]:
    """Everything that a program needs to run an exported file."""
    description = request.model.description
    multiple = 1 if request.form in ANY_SIZE else description.multiple
    return {
        "form": request.form,
        "task": description.task.value,
        "model": request.model.name,
        "levels": [_axis(request, index, scale) for index, scale in enumerate(description.scales)],
        "inputs": _inputs(request, multiple),
        "outputs": [_output(request)],
        "computes_in": "fp16" if request.half else "fp32",
        "multiple": multiple,
        "stride": description.multiple,
        "halo": _halo(request),
        "licence": description.history.get("licence"),
        "data": description.history.get("data"),
        "weights_sha256": request.model.digest,
        "version": __version__,
        "compared_with_the_engine": {
            "largest_difference": float(f"{compared.difference:.1e}"),
            "tolerance": compared.tolerance,
            "sizes": [list(size) for size in compared.sizes],
        },
    }


def _axis(request: Request, index: int, scale: LevelScale) -> dict[str, Any]:
    about = {"unit": scale.unit, "trained": list(scale.trained), "accepted": [scale.low, scale.high]}
    return about | ({"fixed_at": request.levels[index]} if request.levels else {})


def _inputs(request: Request, multiple: int) -> list[dict[str, Any]]:
    batch = 1 if request.form == "ncnn" else "batch"
    axes = len(request.model.description.scales)
    image = {
        "name": "data" if request.form == "ncnn" else "image",
        "shape": [batch, 3, "height", "width"],
        "dtype": "float32",
        "range": [0, 1],
        "meaning": "sRGB; sides are multiples of `multiple`" if multiple > 1 else "sRGB",
    }
    levels = [list(scale.trained) for scale in request.model.description.scales]
    per_pixel = [batch, axes, "height", "width"]
    if request.form in ("onnx", "pt2", "page"):
        meaning = "in the units of `levels`"
        return [image, _level("level", [axes], levels, meaning)]
    if request.form == "onnx-map":
        return [image, _level("level_map", per_pixel, levels, "for each pixel, in the units of `levels`")]
    if request.form == "vs-mlrt":
        stacked = {**image, "name": "image_and_level", "shape": [batch, 3 + axes, "height", "width"]}
        meaning = "sRGB; then levels for each pixel, in the units of `levels`"
        return [{**stacked, "range": [[0, 1], *levels], "meaning": meaning}]
    if request.form == "darktable" and not request.levels and _denoises(request):
        return [image, _level("noise_map", per_pixel, [[0, 1]], "sigma / 255 for each pixel")]
    return [image]


def _level(name: str, shape: list[Any], ranges: list[Any], meaning: str) -> dict[str, Any]:
    return {"name": name, "shape": shape, "dtype": "float32", "range": ranges, "meaning": meaning}


def _output(request: Request) -> dict[str, Any]:
    batch = 1 if request.form == "ncnn" else "batch"
    sides: list[Any] = ["height", "width"]
    subpixels = request.model.config.subpixels
    name, meaning = "restored", "the restored picture, not clipped"
    if subpixels > 1 and request.form in ("baked", "darktable"):
        factor = f"{request.levels[0]:g}" if request.levels else "2 or 4"
        sides = [f"{factor} * height", f"{factor} * width"]
        meaning = "the enlarged picture, not clipped"
    elif subpixels > 1:
        sides = [f"{subpixels} * height", f"{subpixels} * width"]
        name, meaning = "residual", "what to add to the cubic enlargement, as sub-pixels"
    return {
        "name": "output" if request.form == "ncnn" else name,
        "shape": [batch, 3, *sides],
        "dtype": "float32",
        "range": "about [0, 1]" if name == "restored" else "about 0",
        "meaning": meaning,
    }


def _halo(request: Request) -> int:
    """How far a pixel of the result can depend on the image, pixels of the image."""
    halo = request.model.description.halo
    subpixels = request.model.config.subpixels
    if subpixels == 1 or request.form not in ("baked", "darktable"):
        return halo
    scales = [round(request.levels[0])] if request.levels else [2, 4]
    borders = [max(interpolation(subpixels, scale)[1:]) for scale in scales if scale != subpixels]
    return halo + math.ceil(max(borders, default=0) / subpixels)


def _denoises(request: Request) -> bool:
    return request.model.description.task == Task.DENOISE
