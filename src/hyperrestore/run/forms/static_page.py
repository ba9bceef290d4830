"""A page that restores photos in the browser: HTML, JavaScript, a graph with a live level, and a runtime."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hyperrestore.atomic import write_atomically
from hyperrestore.errors import UsageError
from hyperrestore.level import LevelScale, Task
from hyperrestore.run.forms.card import Compared, Request, card
from hyperrestore.run.forms.comparison import check_against_engine
from hyperrestore.run.forms.model import Model
from hyperrestore.run.forms.onnx_forms import live_onnx
from hyperrestore.run.forms.target import refuse_others
from hyperrestore.run.forms.web_runtime import WebRuntime, read_runtime

SOURCES = Path(__file__).with_name("page")
TILE = 768  # pixels kept of a tile
DESCRIPTION = "page.json"  # which the page reads; what needs it is loaded after it
GRAPH = "model.onnx"


def write_page(model: Model, out: str | Path | None, *, runtime: Path | None) -> Path:
    """Write the folder of a page, whose files any web server can serve; the same model gives the same bytes.

    Args:
        model: For noise or JPEG; it must not enlarge.
        out: The folder; by default the model's name and "-page", in the current folder.
        runtime: The npm package onnxruntime-web, a `.tgz` file.

    Returns:
        The folder.

    Raises:
        UsageError: The runtime is missing, or cannot be used; the folder is the model's own, or holds a
            file of the same name that no export has written.
        CheckpointError: The graph differs from the engine.
    """
    folder = Path(f"{model.name}-page" if out is None else out)
    if folder.resolve() == model.path.parent.resolve():
        raise UsageError(f"{folder}: holds the model itself; give another folder for the page by -o")
    parts = read_runtime(runtime)
    request = Request(model, "page", (), half=False)
    graph = live_onnx(model, half=False)
    compared = check_against_engine(replace(request, form="onnx"), {".onnx": graph}, GRAPH)
    sources = {source.name: source.read_bytes() for source in sorted(SOURCES.iterdir()) if source.is_file()}
    carried = {f"runtime/{name}": content for name, content in parts.files.items()}
    contents = {**carried, GRAPH: graph, **sources}
    description = page_description(request, compared, parts, contents)
    refuse_others({folder / name: new for name, new in contents.items()}, description=folder / DESCRIPTION)
    (folder / "runtime").mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / DESCRIPTION, text.encode())
    return folder


def page_description(
    request: Request, compared: Compared, runtime: WebRuntime, contents: Mapping[str, bytes]
) -> dict[str, Any]:
    """The description of the graph, with what the page needs besides, and the checksums of all files."""
    description = request.model.description
    about = card(request, compared)
    levels = [axis | _ends(scale) for axis, scale in zip(about["levels"], description.scales, strict=True)]
    return about | {
        "levels": levels,
        # The page leaves a picture as it is where every level is harmless. JPEG has no such level.
        "harmless": None if description.task == Task.DEJPEG else [axis["origin"] for axis in levels],
        "tile": TILE,
        "runtime": {"package": "onnxruntime-web", "version": runtime.version, "licence": "MIT"},
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }


def _ends(scale: LevelScale) -> dict[str, float]:
    """The ends of a slider, and where a level has no effect."""
    weakest, strongest = sorted(scale.trained, key=scale.strength)
    return {"origin": scale.origin, "weakest": weakest, "strongest": strongest}
