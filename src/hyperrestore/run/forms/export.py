"""A model -> a file for other programs, compared with the engine, and a description beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from hyperrestore.atomic import write_atomically
from hyperrestore.errors import UsageError
from hyperrestore.level import Task
from hyperrestore.network.checkpoint import graph_path
from hyperrestore.run.forms.card import FIXED, HALVED, MAPPED, Form, Request, card
from hyperrestore.run.forms.comparison import check_against_engine
from hyperrestore.run.forms.darktable import darktable_config, darktable_graphs, darktable_package
from hyperrestore.run.forms.model import Model, checked_levels, open_model
from hyperrestore.run.forms.ncnn_form import ncnn_files
from hyperrestore.run.forms.onnx_forms import baked_onnx, live_onnx, mapped_onnx, stacked_onnx
from hyperrestore.run.forms.pt2 import pt2_file
from hyperrestore.run.forms.static_page import write_page
from hyperrestore.run.forms.target import refuse_others
from hyperrestore.run.forms.tensors import tensors_file

SUFFIXES: Mapping[Form, str] = {
    "onnx": ".onnx",
    "onnx-map": ".onnx",
    "vs-mlrt": ".onnx",
    "baked": ".onnx",
    "pt2": ".pt2",
    "safetensors": ".safetensors",
    "ncnn": ".param",
    "darktable": ".dtmodel",
}


def export_form(
    path: Path,
    form: Form,
    out: str | Path | None = None,
    *,
    levels: tuple[float, ...] = (),
    half: bool = False,
    runtime: Path | None = None,
) -> Path:
    """Write a model in a form that other programs read, and a description beside it: its name, and `.json`.

    Before it is written, the file is run and compared with the engine at several sizes and levels. The same
    model gives the same bytes.

    Args:
        path: The checkpoint.
        form: Which form; the guide on exporting lists them.
        out: A file, or a folder: an existing one, or one that ends with "/". By default the current folder.
            For the form page, the page's own folder; by default the model's name and "-page".
        levels: For forms of one level: one number, or one for each axis of the model.
        half: Compute in fp16; for the ONNX forms.
        runtime: The npm package onnxruntime-web, a `.tgz` file; for the form page, which needs it.

    Returns:
        The path of the file. For ncnn the weights lie beside it, with the suffix `.bin`. For the form page,
        the path of the folder.

    Raises:
        UsageError: The form does not exist, or not for this model, level or precision; the file would replace
            the model, its graphs or a file that no export has written; or the runtime is
            missing or cannot be used.
        LevelError: The model does not accept a level.
        MissingExtraError: ncnn is not installed.
        CheckpointError: The checkpoint cannot be read, or its export differs from the engine.
    """
    if form not in get_args(Form):
        raise UsageError(f"form {form!r} is unknown; known are {', '.join(get_args(Form))}")
    if out is not None and not str(out):
        raise UsageError("the output has no name; give a file or a folder")
    if runtime is not None and form != "page":
        raise UsageError(f"a runtime is for the form page; form {form} takes none")
    request = _request(open_model(path), form, levels, half=half)
    if form == "page":
        return write_page(request.model, out, runtime=runtime)
    target = _target(request, out, given=levels)
    contents = _contents(request)
    files = {target.with_suffix(suffix): content for suffix, content in contents.items()}
    refuse_others(files, description=_described(target))
    compared = check_against_engine(request, contents, target.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        write_atomically(path, content)
    description = json.dumps(card(request, compared), indent=2, ensure_ascii=False) + "\n"
    write_atomically(_described(target), description.encode())
    return target


def _request(model: Model, form: Form, levels: tuple[float, ...], *, half: bool) -> Request:
    """What was asked for, if it can be done."""
    task = model.description.task
    if half and form not in HALVED:
        raise UsageError(f"form {form} has no half precision; {', '.join(HALVED)} have")
    if form in FIXED and not levels:
        raise UsageError(f"form {form} is for one level; give it, in the unit {model.description.scale.unit}")
    if levels and form not in (*FIXED, "darktable"):
        raise UsageError(f"form {form} takes its level when it runs; give no level, or form baked")
    if form == "page" and task == Task.UPSCALE:
        raise UsageError("form page is not for enlarging; give a model for denoise or dejpeg")
    if form in MAPPED and task == Task.UPSCALE:
        raise UsageError(f"form {form} is not for enlarging: its level is the size of the result; use baked")
    return Request(model, form, checked_levels(model, levels) if levels else (), half)


def _target(request: Request, out: str | Path | None, *, given: tuple[float, ...]) -> Path:
    """The file to write."""
    folder = out is None or str(out).endswith("/") or Path(out).is_dir()
    target = Path(out or ".") / _usual_name(request, given) if folder else Path(out or ".")
    suffix = SUFFIXES[request.form]
    if target.suffix != suffix:
        raise UsageError(f"{target}: the name of a file of form {request.form} ends with {suffix}")
    path = request.model.path
    own = (path, graph_path(path), graph_path(path, mapped=True))
    if target.resolve() in [file.resolve() for file in own]:
        raise UsageError(f"{target}: would replace the model itself or its graph; give another name by -o")
    return target


def _described(target: Path) -> Path:
    """The description beside a file."""
    return target.with_name(f"{target.name}.json")


def _usual_name(request: Request, given: tuple[float, ...]) -> str:
    """The name of a file that was given none."""
    if request.form == "darktable":
        return f"{darktable_config(request.model, request.levels)['id']}.dtmodel"
    kind = {"onnx": ["live"], "onnx-map": ["level-map"], "vs-mlrt": ["vs-mlrt"]}.get(request.form, [])
    parts = [
        request.model.name,
        *kind,
        *(f"{level:g}" for level in given),
        *(["fp16"] if request.half else []),
    ]
    return "-".join(parts) + SUFFIXES[request.form]


def _contents(request: Request) -> dict[str, bytes]:
    """The bytes of the files, by their suffixes."""
    model, levels, half = request.model, request.levels, request.half
    suffix = SUFFIXES[request.form]
    if request.form == "ncnn":
        return dict(zip((suffix, ".bin"), ncnn_files(model, levels), strict=True))
    if request.form == "onnx":
        content = live_onnx(model, half=half)
    elif request.form == "onnx-map":
        content = mapped_onnx(model, half=half)
    elif request.form == "vs-mlrt":
        content = stacked_onnx(model, half=half)
    elif request.form == "baked":
        content = baked_onnx(model, levels, half=half)
    elif request.form == "pt2":
        content = pt2_file(model)
    elif request.form == "safetensors":
        content = tensors_file(model, levels)
    else:
        content = darktable_package(model, levels, darktable_graphs(model, levels))
    return {suffix: content}
