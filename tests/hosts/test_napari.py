"""Layers restored inside napari: by its layers, by the forms of the plug-in, and in its window."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

from hosts.conftest import host
from hyperrestore import LevelError, UsageError
from hyperrestore.hosts.napari import denoise, repair_jpeg, restore, upscale

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "src" / "hyperrestore" / "hosts" / "napari.yaml"
GUIDE = ROOT / "docs" / "guide" / "hosts.md"
STEP = 1 / 255


@pytest.fixture(scope="module")
def layers():
    return host("napari.layers")


def stored(pixels, dtype):
    """Values (h, w, c) or (h, w) of that type for pixels (c, h, w)."""
    values = np.moveaxis(pixels, 0, -1)
    values = values[..., 0] if len(pixels) == 1 else values
    if dtype.startswith("float"):
        return values.astype(dtype)
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def pixels_of(values):
    """Pixels (c, h, w) for values (h, w, c) or (h, w)."""
    white = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    return np.moveaxis(np.atleast_3d(values), -1, 0) / white


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_given_level_is_the_command(layers, noisy, by_command, dtype, channels):
    values = stored(noisy[:channels], dtype)
    result = denoise(layers.Image(values, name="cat", rgb=channels == 3), 25)
    assert (result.data.shape, result.data.dtype, result.rgb) == (values.shape, dtype, channels == 3)
    expected = by_command(pixels_of(values).astype(np.float32), "denoise", "--level", 25)
    assert np.abs(pixels_of(result.data) - expected).max() < STEP
    assert result.name == "cat (denoised, sigma 25)"
    assert result.metadata["hyperrestore"] == {"denoise": 25}


@pytest.mark.parametrize(
    ("function", "command"), [(restore, "restore"), (denoise, "denoise"), (repair_jpeg, "dejpeg")]
)
def test_an_estimated_level_is_the_commands(layers, noisy, by_command, function, command):
    result = function(layers.Image(stored(noisy, "uint16"), rgb=True))
    assert np.abs(pixels_of(result.data) - by_command(noisy, command)).max() < STEP


def test_alpha_is_kept_and_what_it_hides_is_not_seen(layers, noisy):
    alpha = np.ones_like(noisy[:1])
    alpha[:, :, 40:] = 0
    hidden = np.where(alpha == 0, 1 - noisy, noisy)
    both = [
        denoise(layers.Image(stored(np.concatenate([one, alpha]), "uint16"), rgb=True), 25).data
        for one in (noisy, hidden)
    ]
    for data, given in zip(both, (noisy, hidden), strict=True):
        assert np.array_equal(data[..., 3], stored(alpha, "uint16"))
        assert np.array_equal(data[:, 41:, :3], stored(given, "uint16")[:, 41:])  # but those that touch it
    assert np.array_equal(both[0][:, :40], both[1][:, :40])


@pytest.mark.parametrize("rgb", [False, True])
def test_a_stack_is_restored_at_one_level(layers, noisy, rgb):
    """Two axes before those of a picture, as of time and depth."""
    channels = 3 if rgb else 1
    frames = [stored(one[:channels], "uint16") for one in (noisy, 1 - noisy, noisy[:, ::-1], noisy)]
    stack = np.stack(frames).reshape(2, 2, *frames[0].shape)
    result = denoise(layers.Image(stack, rgb=rgb))
    assert (result.data.shape, result.ndim) == (stack.shape, 4)
    (sigma,) = result.metadata["hyperrestore"].values()
    for place, frame in zip(itertools.product((0, 1), (0, 1)), frames, strict=True):
        alone = denoise(layers.Image(frame, rgb=rgb), sigma)
        assert np.array_equal(result.data[place], alone.data)


@pytest.mark.parametrize("kind", ["Labels", "Image"])
@pytest.mark.parametrize("function", [denoise, repair_jpeg])
def test_a_mask_says_where(layers, noisy, kind, function):
    values = stored(noisy, "uint16")
    labels = np.zeros(values.shape[:2], np.uint8)
    labels[:, 40:] = 7 if kind == "Labels" else 255
    layer = layers.Image(values, rgb=True)
    result = function(layer, 30, mask=getattr(layers, kind)(labels)).data
    assert np.array_equal(result[:, :40], values[:, :40])
    assert not np.array_equal(result[:, 40:], values[:, 40:])


def test_white_may_be_another(layers, noisy):
    values = stored(noisy[:1], "uint16")
    narrow = np.rint(values / 65535 * 4095).astype("int16")
    result = denoise(layers.Image(narrow), 25, white=4095).data
    expected = denoise(layers.Image(values), 25).data
    assert result.dtype == "int16"
    assert np.abs(result / 4095 - expected / 65535).max() < STEP


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("scale", [2, 2.3])
def test_what_is_enlarged_covers_the_same_ground(layers, noisy, by_command, scale, stacked):
    """Whatever the layer's own place: corners of the pictures, which are half a pixel beyond the centres."""
    values = stored(noisy, "uint16")
    more = 1 if stacked else 0
    layer = layers.Image(
        np.stack([values, values]) if stacked else values,
        rgb=True,
        name="cat",
        scale=[2.0] * more + [0.5, 0.25],
        translate=[3.0] * more + [7, -5],
        rotate=30 if not stacked else None,
        shear=[0.2] if not stacked else None,
    )
    result = upscale(layer, scale)
    expected = by_command(noisy, "upscale", "--scale", scale)
    data = result.data[0] if stacked else result.data
    assert np.abs(pixels_of(data) - expected).max() < STEP
    assert result.name == f"cat (enlarged {scale:g} times)"
    for ends in itertools.product((0, 1), repeat=2):
        corners = [
            one.data_to_world([0] * more + [end * side - 0.5 for end, side in zip(ends, size, strict=True)])
            for one, size in ((layer, values.shape[:2]), (result, data.shape[:2]))
        ]
        assert np.allclose(*corners)


def test_what_is_shown_alike(layers, noisy):
    layer = layers.Image(
        stored(noisy[:1], "float32"), colormap="magma", contrast_limits=(0.1, 0.6), gamma=0.8, opacity=0.7,
        blending="additive", metadata={"exposure": 3}, units=("um", "um"), axis_labels=("y", "x"),
    )  # fmt: skip
    result = upscale(layer)
    for name in ("contrast_limits", "gamma", "opacity", "blending", "units", "axis_labels"):
        assert getattr(result, name) == getattr(layer, name), name
    assert result.colormap.name == "magma"
    assert result.metadata == {
        "exposure": 3,
        "hyperrestore": {"upscale": {"scale": 2.0, "softness": 1.0}},
    }


@pytest.mark.parametrize(
    ("data", "arguments", "error", "message"),
    [
        ([np.zeros((64, 64)), np.zeros((32, 32))], {}, UsageError, "several resolutions.*layer.data"),
        (np.zeros((8, 8), bool), {}, UsageError, "of bool"),
        (np.zeros((8, 8), "int16"), {}, UsageError, "give white"),
        (np.zeros((8, 8)), {"white": -3}, UsageError, "above 0"),
        (np.full((8, 8), 812.0), {"sigma": 12}, UsageError, "from 812 to 812.*white is 1;"),
        (np.full((8, 8), np.nan), {"sigma": 12}, UsageError, "NaN"),
        (np.zeros((8, 8)), {"sigma": 1000}, LevelError, "1000"),
        (np.zeros((8, 8)), {"sigma": 12, "strength": 2}, UsageError, "one of the two"),
        (np.zeros((8, 8)), {"strength": 100}, UsageError, "0.1 to 10"),
        (np.zeros((3, 8, 8)), {"mask": (2, 8, 8)}, UsageError, r"\(8, 8\), or \(3, 8, 8\)"),
        (np.zeros((8, 8)), {"mask": (8, 9)}, UsageError, "does not fit"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")  # of napari, about such data
def test_what_is_refused(layers, data, arguments, error, message):
    layer = layers.Image(data, contrast_limits=(0, 1), multiscale=isinstance(data, list))
    if isinstance(arguments.get("mask"), tuple):
        arguments = {**arguments, "mask": layers.Labels(np.zeros(arguments["mask"], int))}
    with pytest.raises(error, match=message):
        denoise(layer, **arguments)


def test_a_layer_of_another_kind_is_refused(layers):
    with pytest.raises(UsageError, match="no Image layer"):
        denoise(layers.Labels(np.zeros((8, 8), int)), 12)


def test_the_manifest_is_valid_and_names_what_there_is():
    npe2 = host("npe2")
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert manifest.name == project["name"]
    module, _, name = project["entry-points"]["napari.manifest"]["hyperrestore"].partition(":")
    assert ROOT / "src" / Path(*module.split(".")) / name == MANIFEST
    commands = {command.id for command in manifest.contributions.commands}
    assert {widget.command for widget in manifest.contributions.widgets} == commands


@pytest.fixture
def forms(monkeypatch, layers):
    """The plug-in's forms with a viewer that has no window, and what napari would tell the person."""
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    host("qtpy.QtWidgets")
    from napari.components import ViewerModel
    from napari.utils.notifications import notification_manager
    from qtpy.QtWidgets import QApplication

    from hyperrestore.hosts import napari_forms

    application = QApplication.instance() or QApplication([])
    told = []

    def heard(notification):
        told.append(notification)

    notification_manager.notification_ready.connect(heard)

    def run(name, **given):
        """What becomes of the viewer when the form's button is pressed."""
        viewer = ViewerModel()
        form = getattr(napari_forms, name)()
        form(viewer, **given)
        end = time.monotonic() + 60
        while not viewer.layers and not told and time.monotonic() < end:
            application.processEvents()
            time.sleep(0.01)
        return viewer

    yield run, told
    notification_manager.notification_ready.disconnect(heard)


@pytest.mark.parametrize(
    ("name", "given", "same"),
    [
        ("restore_form", {}, restore),
        ("denoise_form", {"estimate": False, "sigma": 12}, lambda layer: denoise(layer, 12)),
        ("denoise_form", {"strength": 2}, lambda layer: denoise(layer, strength=2)),
        ("repair_jpeg_form", {"estimate": False, "quality": 20}, lambda layer: repair_jpeg(layer, 20)),
        ("upscale_form", {"scale": 3, "softness": 1.5}, lambda layer: upscale(layer, 3, softness=1.5)),
    ],
)
def test_a_form_adds_the_layer(forms, layers, noisy, name, given, same):
    run, told = forms
    layer = layers.Image(stored(noisy, "uint16"), rgb=True, name="cat")
    (added,) = run(name, layer=layer, **given).layers
    expected = same(layer)
    assert (added.name, added.metadata) == (expected.name, expected.metadata)
    assert np.array_equal(added.data, expected.data)
    assert not told


def test_a_form_tells_what_is_wrong_as_napari_does(forms, layers):
    run, told = forms
    layer = layers.Image(np.full((8, 8), 812.0))
    assert not run("denoise_form", layer=layer).layers
    (one,) = told
    assert str(one.severity) == "error"
    assert "812" in one.message


WINDOW = """
import time
import numpy as np
from qtpy.QtWidgets import QApplication

viewer.window._qt_window.resize(900, 600)
dock, form = viewer.window.add_plugin_dock_widget("hyperrestore", "Denoise")
form.layer.value = viewer.layers[0]
form.estimate.value = False
form.sigma.value = 12
before = len(viewer.layers)
form.call_button.native.click()
end = time.monotonic() + 60
while len(viewer.layers) == before and time.monotonic() < end:
    QApplication.processEvents()
    time.sleep(0.01)
added = viewer.layers[-1]
print(len(viewer.layers) - before, added.name, np.ptp(viewer.screenshot(flash=False)) > 100)
viewer.close()
"""


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs xvfb-run")
def test_the_example_and_the_plug_in_in_the_window(layers, tmp_path):
    section = GUIDE.read_text().split("\n## napari\n")[1].split("\n## ")[0]
    (example,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    words = ["xvfb-run", "-a", "-s", "-screen 0 1024x768x24", sys.executable, "-c", example + WINDOW]
    environment = {**os.environ, "QT_QPA_PLATFORM": "xcb", "NAPARI_CONFIG": str(tmp_path / "settings.yaml")}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "1 cat (denoised, sigma 12) [1] True", done.stdout
