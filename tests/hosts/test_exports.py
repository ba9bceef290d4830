"""What `hyperrestore export --as` writes, in the libraries and by the rules of the programs that read it."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hyperrestore import Restorer, run_tiled
from hyperrestore.restore.restorer import model_path
from hyperrestore.run.forms.export import export_form

onnxruntime = pytest.importorskip("onnxruntime")
STEP = 1 / 255
SIZES = [(64, 48), (37, 61), (8, 8), (5, 3), (1, 1)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Export a shipped model, each form once."""
    folder, files = tmp_path_factory.mktemp("exports"), {}

    def export(model, form, levels=(), *, half=False):
        key = model, form, levels, half
        if key not in files:
            files[key] = export_form(model_path(model), form, folder, levels=levels, half=half)
        return files[key]

    return export


@pytest.fixture(scope="module")
def restorers():
    return {name: Restorer.load(name, precision="fp32") for name in ("denoise", "dejpeg", "upscale")}


def session(graph):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    content = graph if isinstance(graph, bytes) else Path(graph).read_bytes()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def photo(height, width, *, sigma=25, seed=0):
    """A smooth picture with edges, and noise, (3, h, w)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 40
    planes = [0.5 + 0.3 * np.sin(x + phase) * np.cos(y * (1 + phase)) for phase in (0, 0.4, 0.9)]
    clean = np.stack(planes) + 0.15 * ((x * 7).astype(int) % 2)
    return np.clip(clean + rng.normal(0, sigma / 255, clean.shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("name", "levels"),
    [("denoise", (25.0,)), ("dejpeg", (30.0,)), *(("upscale", (float(s),)) for s in (2, 3, 4)),
     ("upscale", (2.0, 0.5))],
)  # fmt: skip
def test_onnx_runtime_restores_as_we_do_by_a_baked_graph(exported, restorers, name, levels, half):
    run = session(exported(name, "baked", levels, half=half))
    units = [scale.unit for scale in restorers[name].scales]
    for height, width in SIZES:
        pictures = np.stack([photo(height, width, seed=seed) for seed in range(2)])
        (results,) = run.run(["restored"], {"image": pictures})
        for picture, result in zip(pictures, results, strict=True):
            wanted = restorers[name](picture, dict(zip(units, levels, strict=False)))
            np.testing.assert_allclose(result.clip(0, 1), wanted, atol=2e-3 if half else 1e-5)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["denoise", "dejpeg"])
def test_onnx_runtime_restores_as_we_do_by_a_live_level_and_by_a_map(exported, restorers, name, half):
    live = session(exported(name, "onnx", half=half))
    mapped = session(exported(name, "onnx-map", half=half))
    stacked = session(exported(name, "vs-mlrt", half=half))  # vs-mlrt stacks its clips so
    tolerance = 2e-3 if half else 1e-5
    for height, width in SIZES:
        picture = photo(height, width)
        for level in (5.0, 33.3, 75.0):
            wanted = restorers[name](picture, level)
            (result,) = live.run(None, {"image": picture[None], "level": np.array([level], np.float32)})
            np.testing.assert_allclose(result[0].clip(0, 1), wanted, atol=tolerance)
            same = np.full((1, 1, height, width), level, np.float32)
            (result,) = mapped.run(None, {"image": picture[None], "level_map": same})
            np.testing.assert_allclose(result[0].clip(0, 1), wanted, atol=tolerance)
            clips = np.concatenate([picture[None], same], axis=1)
            (result,) = stacked.run(None, {"image_and_level": clips})
            np.testing.assert_allclose(result[0].clip(0, 1), wanted, atol=tolerance)


def test_ncnn_restores_as_we_do(exported, restorers):
    ncnn = pytest.importorskip("ncnn")
    layers = exported("denoise", "ncnn", (25.0,))
    network = ncnn.Net()
    network.opt.num_threads = 1
    assert network.load_param(str(layers)) == network.load_model(str(layers.with_suffix(".bin"))) == 0
    for height, width in ((64, 48), (40, 96)):
        picture = photo(height, width)  # it must stay: ncnn does not copy it
        extractor = network.create_extractor()
        extractor.input("data", ncnn.Mat(picture))
        _, result = extractor.extract("output")
        wanted = restorers["denoise"](picture, 25)
        np.testing.assert_allclose(np.array(result).clip(0, 1), wanted, atol=STEP / 2)


def test_a_program_of_torch_needs_torch_alone(exported, restorers, tmp_path):
    file, picture = exported("denoise", "pt2"), photo(72, 104)
    np.save(tmp_path / "picture.npy", picture)
    program = (
        "import sys, numpy as np, torch\n"
        f"network = torch.export.load({str(file)!r}).module()\n"
        "image = torch.from_numpy(np.load('picture.npy'))[None]\n"
        "with torch.inference_mode():\n    restored = network(image, torch.tensor([25.0]))\n"
        "np.save('restored.npy', restored[0].numpy())\n"
        "assert not any(name.startswith('hyperrestore') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    restored = np.load(tmp_path / "restored.npy").clip(0, 1)
    np.testing.assert_allclose(restored, restorers["denoise"](picture, 25), atol=1e-5)


def test_a_program_of_torch_is_the_same_every_time_and_names_no_place(exported, tmp_path):
    content = exported("denoise", "pt2").read_bytes()
    again = export_form(model_path("denoise"), "pt2", tmp_path)
    assert again.read_bytes() == content
    assert b"hyperrestore" not in content and str(Path.cwd()).encode() not in content


# --- darktable ----------------------------------------------------------------------------------------
# Its neural restore converts to sRGB, cuts tiles of one size that overlap, mirrors the picture at its border
# without repeating the edge, gives a second input a map of 25 / 255, and keeps the middle of every tile.


def opened(package):
    with zipfile.ZipFile(io.BytesIO(package.read_bytes())) as files:
        names = files.namelist()
        (top,) = {name.split("/")[0] for name in names}
        config = json.loads(files.read(f"{top}/config.json"))
        graphs = {name.split("/")[1]: files.read(name) for name in names if name.endswith(".onnx")}
    assert config["id"] == top
    return config, graphs


def as_in_darktable(graph, picture, *, tile, overlap, scale=1):
    """The whole picture, by darktable's tiles."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    for name, side in (("batch", 1), ("height", tile), ("width", tile)):
        options.add_free_dimension_override_by_name(name, side)
    run = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    inputs = [value.name for value in run.get_inputs()]
    _, height, width = picture.shape
    step = tile - 2 * overlap
    result = np.empty((3, height * scale, width * scale), np.float32)
    for top in range(0, height, step):
        for left in range(0, width, step):
            rows = mirrored(np.arange(top - overlap, top - overlap + tile), height)
            columns = mirrored(np.arange(left - overlap, left - overlap + tile), width)
            feeds = [picture[None][:, :, rows[:, None], columns], np.full((1, 1, tile, tile), 25 / 255)]
            named = {name: feed.astype(np.float32) for name, feed in zip(inputs, feeds, strict=False)}
            (restored,) = run.run(None, named)
            assert restored.shape == (1, 3, tile * scale, tile * scale)
            bottom, right = min(top + step, height), min(left + step, width)
            kept = restored[0, :, overlap * scale :, overlap * scale :]
            kept = kept[:, : (bottom - top) * scale, : (right - left) * scale]
            result[:, top * scale : bottom * scale, left * scale : right * scale] = kept
    return result.clip(0, 1)


def mirrored(places, count):
    """Beyond the far mirror image, darktable stays at the edge."""
    places = np.abs(places)
    return np.where(places >= count, 2 * count - 2 - places, places).clip(0, count - 1)


def off(result, wanted, *, border):
    """The largest difference farther from the picture's border than so many pixels; seams are included.

    At the border darktable mirrors the picture, where our network sees nothing.
    """
    difference = np.abs(result - wanted)[:, border:-border, border:-border]
    assert min(difference.shape[1:]) > 50
    return difference.max()


@pytest.mark.parametrize("tile", [512, 384])
def test_denoising_in_darktable_is_our_denoising(exported, restorers, tile):
    config, graphs = opened(exported("denoise", "darktable"))
    assert (config["task"], config["num_inputs"]) == ("denoise", 2)
    picture = photo(421, 533)
    result = as_in_darktable(graphs["model.onnx"], picture, tile=tile, overlap=64)
    wanted = restorers["denoise"](picture, 25)
    assert off(result, wanted, border=29) < STEP
    assert off(result, wanted, border=93) < 0.05 * STEP  # although the halo is wider than the overlap


def test_a_denoiser_for_darktable_may_have_another_level(exported, restorers):
    config, graphs = opened(exported("denoise", "darktable", (8.0,)))
    assert (config["id"], config["num_inputs"]) == ("denoise-hyperrestore-at-sigma-8", 1)
    picture = photo(300, 260, sigma=8)
    result = as_in_darktable(graphs["model.onnx"], picture, tile=256, overlap=64)
    wanted = restorers["denoise"](picture, 8)
    assert off(result, wanted, border=29) < STEP
    assert off(result, wanted, border=93) < 0.05 * STEP


@pytest.mark.parametrize("scale", [2, 4])
def test_enlarging_in_darktable_is_our_enlarging(exported, restorers, scale):
    config, graphs = opened(exported("upscale", "darktable"))
    assert config["task"] == "upscale" and set(graphs) == {"model_x2.onnx", "model_x4.onnx"}
    picture = photo(230, 199, sigma=0)
    result = as_in_darktable(graphs[f"model_x{scale}.onnx"], picture, tile=192, overlap=16, scale=scale)
    wanted = restorers["upscale"](picture, scale)
    assert off(result, wanted, border=10 * scale) < STEP
    assert off(result, wanted, border=46 * scale) < 0.05 * STEP


def test_our_tiles_of_the_same_graph_have_no_seams(exported, restorers):
    """The overlap is what darktable decides; with the halo that the description states nothing is off."""
    file = exported("denoise", "darktable")
    about = json.loads(file.with_name(f"{file.name}.json").read_text())
    assert (about["multiple"], about["halo"]) == (8, 93)
    run = session(opened(file)[1]["model.onnx"])

    class Graph:
        halo, multiple = about["halo"], about["stride"]

        def __call__(self, window):
            height, width = window.shape[1:]
            noise = np.full((1, 1, height, width), 25 / 255, np.float32)
            return run.run(None, {"image": window[None], "noise_map": noise})[0][0]

    picture = photo(240, 312)
    restored = run_tiled(Graph(), picture, size=96)
    np.testing.assert_allclose(restored, restorers["denoise"](picture, 25), atol=1e-5)
