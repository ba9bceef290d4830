"""The nodes for ComfyUI: in the real one, if COMFYUI names its folder, else in a stand-in for its interface.

COMFYUI_PYTHON is the Python that ComfyUI's server is run with, if it is another.
"""

import asyncio
import contextlib
import importlib
import importlib.util
import inspect
import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SOURCE

from hosts import comfy_standin
from hyperrestore import LevelError, Picture, PictureInfo, UsageError, read_picture, write_picture
from hyperrestore.measure.degrade import jpeg

PACK = Path(__file__).parents[2] / "comfyui"
COMFYUI = os.environ.get("COMFYUI")
STEP = 1 / 255


@pytest.fixture(scope="module")
def nodes(request):
    """The nodes by their ids, loaded as ComfyUI loads a folder."""
    if COMFYUI:
        request.getfixturevalue("torchvision")
    with pytest.MonkeyPatch.context() as patch:
        if COMFYUI:
            patch.syspath_prepend(COMFYUI)
            importlib.import_module("comfy.cli_args").args.cpu = True
        else:
            for name, module in comfy_standin.modules().items():
                patch.setitem(sys.modules, name, module)
        spec = importlib.util.spec_from_file_location(
            "hyperrestore_nodes", PACK / "__init__.py", submodule_search_locations=[str(PACK)]
        )
        pack = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, spec.name, pack)
        spec.loader.exec_module(pack)
        listed = asyncio.run(asyncio.run(pack.comfy_entrypoint()).get_node_list())
        yield {node.define_schema().node_id: node for node in listed}


@pytest.fixture
def run(nodes):
    """Run a node with its defaults, but for the inputs that are given."""

    def run(name, pixels, **inputs):
        node = nodes[f"Hyperrestore{name}"]
        entries = node.define_schema().inputs
        defaults = {entry.id: entry.default for entry in entries if hasattr(entry, "default")}
        image, *others = node.execute(image=as_images(pixels), **{**defaults, **inputs}).result
        assert image.dtype == torch.float32
        return image.movedim(-1, 1).numpy(), *others

    return run


def as_images(pixels):
    """(c, h, w) or (b, c, h, w) -> (b, h, w, c)."""
    return torch.from_numpy(pixels.reshape(-1, *pixels.shape[-3:])).movedim(1, -1)


def near(result, expected):
    return np.abs(result - expected).max() < STEP


def test_the_schema_fits_what_is_executed(nodes):
    assert list(nodes) == [f"Hyperrestore{name}" for name in ("Restore", "Denoise", "RepairJpeg", "Upscale")]
    for node in nodes.values():
        schema = node.define_schema()
        parameters = inspect.signature(node.execute).parameters
        assert [entry.id for entry in schema.inputs] == list(parameters)
        assert schema.category == "image/hyperrestore"
        for entry in schema.inputs:
            required = parameters[entry.id].default is inspect.Parameter.empty
            assert required != bool(entry.optional)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_given_level_is_the_command(run, noisy, by_command, channels):
    pixels = noisy[:channels]
    (image,), sigma = run("Denoise", pixels, estimate=False, sigma=25.0)
    assert near(image, by_command(pixels, "denoise", "--level", 25))
    assert sigma == 25
    (image,), quality = run("RepairJpeg", pixels, estimate=False, quality=30.0)
    assert near(image, by_command(pixels, "dejpeg", "--level", 30))
    assert quality == 30


def test_grain_is_that_of_the_command(run, noisy, by_command):
    (image,), _ = run("Denoise", noisy, estimate=False, sigma=25.0, grain=0.5)
    assert near(image, by_command(noisy, "denoise", "--level", 25, "--grain", 0.5))


@pytest.mark.parametrize("strength", [1.0, 1.5])
def test_an_estimated_level_is_the_command(run, noisy, by_command, strength):
    blocky = jpeg(noisy, 20).astype(np.float32)
    options = () if strength == 1 else ("--strength", strength)
    (image,), sigma = run("Denoise", noisy, strength=strength)
    assert near(image, by_command(noisy, "denoise", *options))
    assert abs(sigma - 25 * strength) < 4 * strength
    (image,), quality = run("RepairJpeg", blocky, strength=strength)
    assert near(image, by_command(blocky, "dejpeg", *options))
    assert quality < 30
    (image,), sigma, quality = run("Restore", blocky, strength=strength)
    assert near(image, by_command(blocky, "restore", *options))
    assert quality < 30


def test_nothing_is_done_where_nothing_is_found(run):
    flat = np.full((3, 64, 64), 0.5, np.float32)
    images, sigma, quality = run("Restore", flat)
    assert np.array_equal(images[0], flat)
    assert (sigma, quality) == (0, 100)


def test_a_batch_has_one_level(run, noisy):
    """The median, so that one frame among others does not flicker."""
    clean = np.full_like(noisy, 0.5)
    images, sigma = run("Denoise", np.stack([noisy, noisy, clean]))
    (alone,), expected = run("Denoise", noisy)
    assert sigma == expected
    assert images.shape == (3, 3, 61, 83)
    assert np.array_equal(images[0], alone)
    _, none = run("Denoise", np.stack([noisy, clean, clean]))
    assert none == 0


def test_a_mask_is_a_map_of_levels(run, noisy, by_command):
    mask = np.zeros((1, 61, 83), np.float32)
    mask[:, :, 40:] = 0.5
    (image,), _ = run("Denoise", noisy, estimate=False, sigma=50.0, mask=torch.from_numpy(mask))
    assert np.array_equal(image[:, :, :40], noisy[:, :, :40])
    (everywhere,), _ = run("Denoise", noisy, estimate=False, sigma=50.0, mask=torch.full((1, 61, 83), 0.5))
    assert near(everywhere, by_command(noisy, "denoise", "--level", 25))
    (jpeg_everywhere,), _ = run("RepairJpeg", noisy, estimate=False, quality=40.0, mask=torch.ones(1, 61, 83))
    assert near(jpeg_everywhere, by_command(noisy, "dejpeg", "--level", 40))
    (jpeg_part,), _ = run("RepairJpeg", noisy, estimate=False, quality=40.0, mask=torch.from_numpy(mask))
    assert np.array_equal(jpeg_part[:, :, :40], noisy[:, :, :40])
    both = torch.stack([torch.zeros(61, 83), torch.full((61, 83), 0.5)])
    images, _ = run("Denoise", np.stack([noisy, noisy]), estimate=False, sigma=50.0, mask=both)
    assert np.array_equal(images[0], noisy)
    assert np.array_equal(images[1], everywhere)


@pytest.mark.parametrize(
    ("inputs", "options", "size"),
    [
        ({"scale": 1.7, "softness": 1.5}, ("--scale", 1.7, "--softness", 1.5), (104, 141)),
        ({"width": 127}, ("--width", 127), (93, 127)),
        ({"height": 100, "scale": 3.0}, ("--height", 100), (100, 136)),
    ],
)
def test_upscaling_is_the_command(run, noisy, by_command, inputs, options, size):
    images = run("Upscale", np.stack([noisy, noisy]), **inputs)[0]
    assert images.shape == (2, 3, *size)
    assert near(images[1], by_command(noisy, "upscale", *options))


def test_what_is_refused(run, noisy):
    with pytest.raises(UsageError, match="take the alpha channel off"):
        run("Restore", np.zeros((4, 8, 8), np.float32))
    with pytest.raises(UsageError, match=r"give \(1, 61, 83\), or one for all"):
        run("Denoise", noisy, mask=torch.zeros(1, 64, 64))
    with pytest.raises(UsageError, match="give one of"):
        run("Upscale", noisy, width=200, height=200)
    with pytest.raises(LevelError, match="does not shrink"):
        run("Upscale", noisy, width=20)
    with pytest.raises(UsageError, match="range from 0 to 255"):
        run("Denoise", np.linspace(0, 255, 192, dtype=np.float32).reshape(3, 8, 8))


def test_the_pack_is_one_that_the_registry_takes():
    project = tomllib.loads((PACK / "pyproject.toml").read_text())
    assert project["project"]["dependencies"] == (PACK / "requirements.txt").read_text().split("\n")[:-1]
    assert not {"torch", "torchvision", "numpy"} & set(project["project"]["dependencies"])
    assert {"PublisherId", "DisplayName"} <= set(project["tool"]["comfy"])
    named = project["project"]
    assert re.fullmatch(r"[A-Za-z](?:[A-Za-z0-9]|[-_.](?=[A-Za-z0-9])){0,98}", named["name"])
    assert "comfyui" not in named["name"].lower()
    assert re.fullmatch(r"\d+\.\d+\.\d+", named["version"])
    assert set(named["license"]) in ({"text"}, {"file"}) and named["description"]
    assert named["urls"]["Repository"].startswith("https://")


def test_what_a_publisher_must_replace_is_named():
    """The nodes are published by nobody yet: nothing looks like an address or a publisher that exists."""
    project = tomllib.loads((PACK / "pyproject.toml").read_text())
    assert ".invalid/" in project["project"]["urls"]["Repository"]
    assert project["tool"]["comfy"]["PublisherId"] == "your-publisher-id"
    for page in (PACK / "README.md", PACK.parent / "docs" / "guide" / "hosts.md"):
        text = page.read_text()
        assert "placeholders" in text and "`Repository`" in text and "`PublisherId`" in text


@pytest.mark.skipif(not COMFYUI, reason="needs a ComfyUI: COMFYUI=/its/folder make test-hosts")
def test_a_workflow_in_the_server_of_comfyui(noisy, by_command, tmp_path):
    """A picture is loaded, denoised and saved as ComfyUI does it, in 8 bits."""
    pixels = (np.rint(noisy * 255) / 255).astype(np.float32)
    (tmp_path / "input").mkdir()
    write_picture(tmp_path / "input" / "in.png", Picture(pixels, None, PictureInfo(83, 61, 3)))
    (tmp_path / "custom_nodes").mkdir()
    (tmp_path / "custom_nodes" / "hyperrestore").symlink_to(PACK)
    denoise = {"image": ["1", 0], "estimate": False, "sigma": 25.0, "strength": 1.0, "grain": 0.0}
    workflow = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "in.png"}},
        "2": {"class_type": "HyperrestoreDenoise", "inputs": denoise},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "out"}},
    }
    with server(tmp_path) as address:
        ask(f"{address}/prompt", {"prompt": workflow})
        for _ in range(600):
            if saved := list((tmp_path / "output").glob("out*.png")):
                break
            time.sleep(0.1)
        time.sleep(0.5)
    result = read_picture(saved[0]).pixels
    difference = by_command(pixels, "denoise", "--level", 25) - result
    assert -0.01 * STEP < difference.min() < difference.max() < 1.01 * STEP  # ComfyUI rounds down to 8 bits


@contextlib.contextmanager
def server(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    words = [python, "main.py", "--cpu", "--port", str(port), "--base-directory", str(folder)]
    paths = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(words, cwd=COMFYUI, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(1200):
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(urllib.error.URLError):
                known = ask(f"http://127.0.0.1:{port}/object_info")
                break
            time.sleep(0.1)
        assert "HyperrestoreDenoise" in known, (folder / "log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def ask(address, message=None):
    data = None if message is None else json.dumps(message).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
