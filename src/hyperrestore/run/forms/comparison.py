"""How each form is compared with the engine: which library runs it, and at which levels and sizes."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from hyperrestore.errors import CheckpointError
from hyperrestore.level import Task
from hyperrestore.run.forms.card import ANY_SIZE, Compared, Request
from hyperrestore.run.forms.check import (
    EXACT,
    HALF,
    difference_at_levels,
    difference_of_enlarged,
    difference_of_maps,
    live_levels,
    sizes_of,
)
from hyperrestore.run.forms.darktable import ENLARGED, SIGMA_OF_ONE, darktable_config
from hyperrestore.run.forms.model import checked_levels
from hyperrestore.run.forms.runs import run_ncnn, run_onnx, run_pt2, run_stacked, run_tensors


def check_against_engine(request: Request, contents: Mapping[str, bytes], name: str) -> Compared:
    """Run files before they are written, and compare their results with the engine's.

    Args:
        request: What is exported.
        contents: The bytes of the files, by their suffixes.
        name: Of the main file; the others have the same, with their own suffixes.

    Raises:
        MissingExtraError: The library that reads the form is not installed.
        CheckpointError: They differ by more than the tolerance.
    """
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / name
        for suffix, content in contents.items():
            trial.with_suffix(suffix).write_bytes(content)
        compared = compared_with_engine(request, trial)
    if not compared.difference <= compared.tolerance:
        raise CheckpointError(
            f"{request.model.path}: exported as {request.form}, it differs from the engine by "
            f"{compared.difference:.2g}; at most {compared.tolerance:g} is accepted, so nothing was written"
        )
    return compared


def compared_with_engine(request: Request, file: Path) -> Compared:
    """Run a file as other programs do, and compare its results with the engine's.

    Raises:
        MissingExtraError: The library that reads the form is not installed.
    """
    model, form = request.model, request.form
    sizes = sizes_of(model, any_size=form in ANY_SIZE)
    if form == "darktable":
        difference = _difference_of_package(request, file)
    elif form == "onnx-map":
        difference = difference_of_maps(model, run_onnx(file, "level_map"), sizes)
    elif form == "vs-mlrt":
        difference = difference_of_maps(model, run_stacked(file), sizes)
    elif form == "baked" and model.config.subpixels > 1:
        difference = difference_of_enlarged(model, run_onnx(file), request.levels, sizes)
    else:
        levels = [request.levels] if request.levels else live_levels(model)
        run = {
            "onnx": lambda: run_onnx(file, "level"),
            "baked": lambda: run_onnx(file),
            "pt2": lambda: run_pt2(file),
            "safetensors": lambda: run_tensors(file, model),
            "ncnn": lambda: run_ncnn(file, file.with_suffix(".bin")),
        }[form]()
        difference = difference_at_levels(model, run, levels, sizes)
    return Compared(difference, HALF if request.half else EXACT, tuple(sizes))


def _difference_of_package(request: Request, file: Path) -> float:
    """The largest difference of a package's graphs."""
    model = request.model
    sizes = sizes_of(model, any_size=False)
    name = darktable_config(model, request.levels)["id"]
    with zipfile.ZipFile(file) as package:
        package.extractall(file.parent)
    folder = file.parent / name
    if model.description.task == Task.UPSCALE:
        return max(
            difference_of_enlarged(
                model,
                run_onnx(folder / f"model_x{scale}.onnx"),
                checked_levels(model, (float(scale),)),
                sizes,
            )
            for scale in ENLARGED
        )
    graph = folder / "model.onnx"
    if request.levels:
        return difference_at_levels(model, run_onnx(graph), [request.levels], sizes)
    return difference_of_maps(model, run_onnx(graph, "noise_map"), sizes, unit=SIGMA_OF_ONE)
