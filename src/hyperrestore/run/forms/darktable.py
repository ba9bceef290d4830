"""A model as a package that darktable installs: a zip file with a description and ONNX graphs.

darktable cuts a picture into tiles of its own size, which overlap by 64 pixels for the task "denoise" and by
16 for "upscale", and mirrors it at its border. A graph gets them in sRGB, (1, 3, h, w), values in [0, 1]. A
second input of a denoiser is a map of sigma / 255, which darktable fills with 25 / 255.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hyperrestore import __version__
from hyperrestore.errors import UsageError
from hyperrestore.level import SHIPPED, Task
from hyperrestore.run.forms.model import Model, checked_levels
from hyperrestore.run.forms.onnx_forms import baked_onnx, mapped_onnx

ENLARGED = (2, 4)  # the scales that darktable asks for
SIGMA_OF_ONE = 255.0  # sigma where darktable's map of noise is 1
PAPER = "https://arxiv.org/abs/2206.05970"
OLDEST = (1980, 1, 1, 0, 0, 0)  # a zip file holds no earlier time


def darktable_graphs(model: Model, levels: tuple[float, ...]) -> dict[str, bytes]:
    """The graphs of a package by their names.

    Args:
        model: For noise, or one that enlarges.
        levels: A fixed level for a denoiser, checked; none for one with a map of noise.

    Raises:
        UsageError: darktable has no task for the model, or a level was given for a model that enlarges.
    """
    if model.description.task == Task.UPSCALE:
        if levels:
            raise UsageError("a package for darktable holds the scales 2 and 4; give no level")
        graphs = {}
        for scale in ENLARGED:
            content = baked_onnx(model, checked_levels(model, (float(scale),)), any_size=False)
            graphs[f"model_x{scale}.onnx"] = content
        return graphs
    if model.description.task != Task.DENOISE or model.description.axes:
        raise UsageError(
            f"darktable has no use for a model for {model.description.task}; give one for denoise or upscale"
        )
    if levels:
        return {"model.onnx": baked_onnx(model, levels, any_size=False)}
    noise = mapped_onnx(model, factor=SIGMA_OF_ONE, name="noise_map", any_size=False)
    return {"model.onnx": noise}


def darktable_package(model: Model, levels: tuple[float, ...], graphs: Mapping[str, bytes]) -> bytes:
    """The zip file; the same graphs give the same bytes."""
    config = darktable_config(model, levels)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as package:
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        for name, part in {"config.json": text.encode(), **graphs}.items():
            package.writestr(zipfile.ZipInfo(f"{config['id']}/{name}", OLDEST), part)
    return content.getvalue()


def darktable_config(model: Model, levels: tuple[float, ...]) -> dict[str, Any]:
    """What darktable reads of a package before it opens a graph."""
    description = model.description
    denoises = description.task == Task.DENOISE
    name = "hyperrestore" if model.name in SHIPPED else model.name
    at = f" at sigma {levels[0]:g}" if levels else ""
    words = f"{description.task} {name}{at}"
    return {
        "id": re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-"),
        "name": words,
        "description": f"Removes noise{at}" if denoises else "Enlarges 2 and 4 times",
        "task": description.task.value,
        "arch": model.config.kind,
        "backend": "onnx",
        "version": __version__,
        "tiling": True,
        "num_inputs": 2 if denoises and not levels else 1,
        "model_card": _card(model, levels),
    }


def _card(model: Model, levels: tuple[float, ...]) -> dict[str, str]:
    """Where the model comes from, and under which licences."""
    history = model.description.history
    denoises = model.description.task == Task.DENOISE
    card = {
        "long_description": _about(denoises=denoises, fixed=bool(levels)),
        "scope": "removing additive noise" if denoises else "enlarging 2 and 4 times",
        "author": "the hyperrestore authors",
        "paper": PAPER,
        "license": str(history.get("licence", "")),
        "training_data": str(history.get("data", "")),
        "training_data_license": licences_of_data(model.path.with_suffix(".md")),
        "notes": f"SHA-256 of the weights: {model.digest}",
    }
    return {key: text for key, text in card.items() if text}


def _about(*, denoises: bool, fixed: bool) -> str:
    if not denoises:
        return (
            "A residual network of plain convolutions that works on the small picture. It is trained for "
            "fidelity and does not invent texture."
        )
    network = "A U-shaped residual network of plain convolutions, trained on white Gaussian noise"
    return f"{network}." if fixed else f"{network}, with a map of the noise as its second input."


def licences_of_data(card: Path) -> str:
    """The licences of the data that a model was trained on, from the table of its model card; empty without.

    Args:
        card: Markdown, with a table whose columns are source, photos and licence.
    """
    if not card.is_file():
        return ""
    rows = [[cell.strip() for cell in line.split("|")] for line in card.read_text("utf-8").splitlines()]
    try:
        first = rows.index(["", "source", "photos", "licence", ""]) + 2
    except ValueError:
        return ""
    sources = []
    for row in rows[first:]:
        if len(row) != 5:
            break
        sources.append(f"{row[1]} ({row[2]} photos): {row[3]}")
    return "; ".join(sources)
