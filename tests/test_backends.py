import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import onnx
import openvino
import pytest
from conftest import SMALL_PAPER, TINY, write_model

from hyperrestore.errors import CheckpointError, UsageError
from hyperrestore.measure.metrics import psnr
from hyperrestore.network.architectures import load_network
from hyperrestore.network.checkpoint import Checkpoint, load_checkpoint, read_description, save_checkpoint
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.backend import NetworkBackend
from hyperrestore.run.engine import Backend, run_tiled
from hyperrestore.run.export import export_onnx
from hyperrestore.run.openvino import SMALL, OpenVINOModel
from hyperrestore.run.pytorch import TorchModel, find_device

# What a backend may differ from torch in fp32: largest difference, and least PSNR.
TOLERANCE = {
    ("openvino", "fp32"): (1e-5, 90),
    ("openvino", "bf16"): (0.03, 45),
    ("torch", "bf16"): (0.03, 45),
}
LEVELS = (0.0, 7.5, 50.0, 100.0)
SIZES = ((1, 1), (1, 30), (24, 32), (37, 31), (64, 50))


@pytest.fixture(params=["tiny", "paper"])
def model(request):
    return request.getfixturevalue(f"{request.param}_model")


def open_with(kind, path):
    if kind == "torch":
        return TorchModel(path, "cpu")
    return OpenVINOModel(path, read_description(path))


@pytest.mark.parametrize(("kind", "precision"), TOLERANCE)
def test_backends_agree_within_the_table(model, kind, precision, rng):
    largest, least = TOLERANCE[kind, precision]
    reference, other = open_with("torch", model), open_with(kind, model)
    for level in LEVELS:
        exact = reference.at(level, precision="fp32", bits=16)
        close = other.at(level, precision=precision, bits=16)
        assert isinstance(close, Backend)
        assert (close.halo, close.multiple) == (exact.halo, exact.multiple)
        for size in SIZES:
            # Networks restore: what they add is small. These add noise, so it is made small here.
            picture = rng.random((3, *size), np.float32)
            a, b = run_tiled(exact, picture), run_tiled(close, picture)
            assert np.abs(a - b).max() <= largest
            assert psnr(a, b) >= least


def test_the_level_is_live(model, rng):
    opened = open_with("openvino", model)
    picture = rng.random((3, 16, 16), np.float32)
    results = [run_tiled(opened.at(level, precision="fp32", bits=8), picture) for level in LEVELS]
    for a, b in pairwise(results):
        assert np.abs(a - b).max() > 1e-3


@pytest.mark.parametrize("model", ["tiny", "paper"], indirect=True)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_small_pictures_get_the_same_from_a_graph_with_a_live_level(model, precision, rng):
    largest, least = (1e-6, 120) if precision == "fp32" else TOLERANCE["openvino", "bf16"]
    opened = open_with("openvino", model)
    window = rng.random((3, 40, 24), np.float32)
    for level in (0.0, 3.3, 25.3, 99.9):
        built, live = (
            opened.at(level, precision=precision, bits=8, pixels=pixels)(window) for pixels in (2**17, 960)
        )
        # These networks are random, and give more than a picture's 1: the last digit is as much larger.
        assert np.abs(built - live).max() <= largest * max(1, np.abs(built).max())
        assert psnr(built, live) >= least


def test_no_graph_is_built_for_the_level_of_a_small_picture(tiny_model, rng, monkeypatch):
    opened, window = open_with("openvino", tiny_model), rng.random((3, 16, 24), np.float32)
    known = [opened.at(level, precision="bf16", bits=8, pixels=384) for level in LEVELS]
    unknown = [opened.at(level, precision="fp32", bits=8) for level in LEVELS]
    monkeypatch.setattr(type(opened), "_compile", None)
    for networks in (known, unknown):
        results = [network(window).tobytes() for network in networks]
        assert len(set(results)) == len(LEVELS)
        assert [network(window).tobytes() for network in networks] == results
    with pytest.raises(TypeError):
        unknown[0](np.zeros((3, 8, SMALL // 8 + 8), np.float32))
    with pytest.raises(TypeError):
        opened.at(1.0, precision="fp32", bits=8, pixels=SMALL + 1)


def test_in_bf16_tiles_of_every_size_run_one_graph(tiny_model, monkeypatch):
    opened = open_with("openvino", tiny_model)
    monkeypatch.setattr(type(opened), "_decided", lambda self, precision, bits: "bf16")
    monkeypatch.setattr(type(opened), "_compile", None)
    with pytest.raises(TypeError):  # it builds one for the level at once
        opened.at(1.0, precision="bf16", bits=8)


def test_a_new_level_costs_a_small_picture_little(rng):
    restorer = Restorer.load("denoise", precision="fp32")
    picture = rng.random((3, 48, 48), np.float32)
    for level in (10.0, 20.0):
        restorer(picture, level)
    begun = time.process_time()
    for level in np.linspace(1, 75, 20):
        restorer(picture, float(level))
    assert (time.process_time() - begun) / 20 < 0.1  # a tenth of it here; to build a graph takes longer


def test_bf16_is_for_cpus_that_may_compute_in_it(tiny_model, monkeypatch):
    opened = open_with("openvino", tiny_model)
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(opened, "_run_live", lambda precision: None)  # nothing is computed here
    monkeypatch.setattr(opened, "core", Pretending("BF16"))
    names = {opened.at(5.0, precision=kind, bits=8, pixels=9).name[-4:] for kind in ("auto", "bf16")}
    assert names == {"bf16"}
    assert opened.at(5.0, precision="auto", bits=16, pixels=9).name.endswith("fp32")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert opened.at(5.0, precision="bf16", bits=8, pixels=9).name.endswith("fp32")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "default")
    assert opened.at(5.0, precision="bf16", bits=8, pixels=9).name.endswith("bf16")
    monkeypatch.setattr(opened, "core", Pretending("FP32"))
    names = {opened.at(5.0, precision=kind, bits=8, pixels=9).name[-4:] for kind in ("auto", "bf16")}
    assert names == {"fp32"}


class Pretending:
    """OpenVINO on a CPU that says of itself what it is told."""

    def __init__(self, *capabilities):
        self._capabilities = capabilities

    def get_property(self, device, name):
        return list(self._capabilities)


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_grey_is_the_mean_of_the_colour_network(model, kind, rng):
    backend = open_with(kind, model).at(40.0, precision="fp32", bits=16)
    grey = rng.random((1, 16, 12), np.float32)
    colour = backend(np.repeat(grey, 3, axis=0))
    result = backend(grey)
    assert result.shape == grey.shape
    np.testing.assert_allclose(result, colour.mean(axis=0, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_a_result_outlives_the_next_call(model, kind, rng):
    backend = open_with(kind, model).at(40.0, precision="fp32", bits=16)
    first = backend(rng.random((3, 16, 12), np.float32))
    before = first.copy()
    backend(rng.random((3, 16, 12), np.float32))
    np.testing.assert_array_equal(first, before)


def test_the_graph_restores_by_itself(model, rng):
    batch, level = rng.random((2, 3, 16, 12), np.float32), np.array([40], np.float32)
    graph = openvino.Core().compile_model(
        model.with_suffix(".onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    restored = graph({"image": batch, "level": level})["restored"]
    backend = open_with("torch", model).at(40.0, precision="fp32", bits=16)
    np.testing.assert_allclose(restored, [backend(image) for image in batch], atol=1e-5)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused(tiny_model, channels):
    backend = open_with("torch", tiny_model).at(40.0, precision="fp32", bits=16)
    with pytest.raises(UsageError, match=f"1 or 3 channels, got c = {channels}"):
        backend(np.zeros((channels, 4, 4), np.float32))


def test_a_residual_is_added_in_the_windows_own_precision():
    backend = NetworkBackend(0, 1, lambda batch: np.full_like(batch, 1e-9), residual=True, name="tiny")
    window = np.full((3, 2, 2), 0.5)
    assert backend(window).dtype == np.float64
    np.testing.assert_allclose(backend(window) - window, 1e-9, rtol=1e-6)


def test_tiles_do_not_matter(model, rng):
    picture = rng.random((3, 50, 61), np.float32)
    for kind, precision in (("torch", "fp32"), ("openvino", "fp32")):
        backend = open_with(kind, model).at(30.0, precision=precision, bits=16)
        whole = run_tiled(backend, picture)
        assert np.abs(run_tiled(backend, picture, size=16) - whole).max() <= 1e-6


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_threads_may_share_a_backend(tiny_model, kind, rng):
    opened = open_with(kind, tiny_model)
    pictures = [rng.random((3, 24, 24), np.float32) for _ in range(4)]
    backends = [opened.at(level, precision="fp32", bits=16) for level in LEVELS]
    alone = [[run_tiled(backend, picture) for picture in pictures] for backend in backends]
    barrier = threading.Barrier(4)

    def repeat(index):
        barrier.wait(timeout=30)
        for turn in range(16):
            which = (index + turn) % 4
            result = run_tiled(backends[which], pictures[index])
            np.testing.assert_array_equal(result, alone[which][index])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(repeat, range(4)))


def test_the_graph_refers_to_the_checkpoint(model):
    graph_path = model.with_suffix(".onnx")
    onnx.checker.check_model(str(graph_path), full_check=True)
    assert graph_path.stat().st_size < 300_000
    graph = onnx.load(str(graph_path), load_external_data=False)
    assert [entry.name for entry in graph.graph.input] == ["image", "level"]
    sides = [entry.name for entry in graph.graph.output]
    assert sides == (["restored", "residual"] if "tiny" in model.name else ["restored"])
    external = [weight for weight in graph.graph.initializer if weight.data_location]
    assert len(external) == len(load_checkpoint(model).tensors)
    assert {
        entry.value for weight in external for entry in weight.external_data if entry.key == "location"
    } == {model.name}
    loaded = onnx.load(str(graph_path))
    values = sorted(onnx.numpy_helper.to_array(weight).tobytes() for weight in loaded.graph.initializer)
    stored = sorted(tensor.tobytes() for tensor in load_checkpoint(model).tensors.values())
    assert set(stored) <= set(values)


def test_the_graph_keeps_its_promise_about_size(tmp_path):
    # The size of a graph does not grow with the weights, only with the number of layers.
    wide = write_model(tmp_path / "wide.safetensors", type(TINY)("unet", (32, 64), (1, 1), 0))
    assert wide.with_suffix(".onnx").stat().st_size < 40_000 < wide.stat().st_size


def test_exporting_again_gives_the_same_bytes(tmp_path):
    path = write_model(tmp_path / "m.safetensors", SMALL_PAPER)
    first = path.with_suffix(".onnx").read_bytes()
    assert export_onnx(str(path)) == path.with_suffix(".onnx")
    assert path.with_suffix(".onnx").read_bytes() == first


@pytest.fixture
def copy(tiny_model, tmp_path):
    for suffix in (".safetensors", ".onnx"):
        source = tiny_model.with_suffix(suffix)
        (tmp_path / source.name).write_bytes(source.read_bytes())
    return tmp_path / tiny_model.name


def test_a_missing_graph_says_how_to_make_it(copy):
    description = read_description(copy)
    copy.with_suffix(".onnx").unlink()
    with pytest.raises(CheckpointError, match=r"`hyperrestore export .*safetensors` writes it"):
        OpenVINOModel(copy, description)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x08", None])
def test_a_damaged_graph_is_refused(copy, content):
    graph = copy.with_suffix(".onnx")
    graph.write_bytes(graph.read_bytes()[:5000] if content is None else content)
    with pytest.raises(CheckpointError, match="not a readable graph"):
        open_with("openvino", copy)


def test_a_foreign_graph_is_refused(copy):
    text = "agraph (float[1] x) => (float[1] y) { y = Relu(x) }"
    onnx.save(
        onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> {text}'), copy.with_suffix(".onnx")
    )
    with pytest.raises(CheckpointError, match="not a readable graph"):
        open_with("openvino", copy)


def test_weights_that_are_missing_or_damaged_are_refused(copy):
    description = read_description(copy)
    content = copy.read_bytes()
    for damage in (content[: len(content) // 2], b""):
        copy.write_bytes(damage)
        with pytest.raises(CheckpointError):
            OpenVINOModel(copy, description)
    copy.unlink()
    with pytest.raises(CheckpointError):
        OpenVINOModel(copy, description)


def test_a_graph_of_another_state_of_the_checkpoint_is_refused(copy):
    checkpoint = load_checkpoint(copy)
    history = {**checkpoint.description.history, "steps": 1000}  # as after more training
    description = type(checkpoint.description)(**{**vars(checkpoint.description), "history": history})
    save_checkpoint(copy, Checkpoint(description, checkpoint.tensors))
    with pytest.raises(CheckpointError, match=r"a different state of tiny\.safetensors"):
        open_with("openvino", copy)
    export_onnx(copy)
    open_with("openvino", copy)


def test_weights_that_do_not_fit_the_network_are_refused(copy):
    checkpoint = load_checkpoint(copy)
    names = sorted(checkpoint.tensors)
    fewer = {name: checkpoint.tensors[name] for name in names[1:]}
    with pytest.raises(CheckpointError, match="do not fit"):
        load_network(Checkpoint(checkpoint.description, fewer))
    for network in ({}, {"kind": "unet"}, {"kind": "x", "widths": [1], "blocks": [1]}, {"depth": 3}):
        description = type(checkpoint.description)(**{**vars(checkpoint.description), "network": network})
        with pytest.raises(CheckpointError, match="do not fit"):
            load_network(Checkpoint(description, checkpoint.tensors))


@pytest.mark.parametrize("device", ["quantum", "cuda:99", "meta", "", "cpu:x", "CPU"])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(UsageError, match="cannot be used here"):
        find_device(device)


@pytest.mark.parametrize(("cards", "apple"), [(0, False), (2, False), (0, True)])
def test_a_refused_device_is_answered_with_those_of_the_machine(monkeypatch, cards, apple):
    """Not with all that torch has a name for."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
    there = ", ".join(
        ["cpu", "torch", *(f"cuda:{card}" for card in range(cards)), *(["mps"] if apple else [])]
    )
    with pytest.raises(UsageError) as caught:
        find_device("CPU")
    assert str(caught.value) == f"device 'CPU' cannot be used here: this machine has {there}"


def test_export_of_a_damaged_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError):
        export_onnx(tmp_path / "none.safetensors")


def test_restoring_never_imports_torch(tiny_model):
    code = f"""
import sys
import numpy as np
from hyperrestore.restore.restorer import Restorer
restored = Restorer.load({str(tiny_model)!r})(np.zeros((3, 8, 8), np.float32), 25)
assert restored.shape == (3, 8, 8)
assert not {{"torch", "onnx", "matplotlib", "PIL"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ctrl_c_still_works_after_models_came_and_went(tiny_model):
    code = f"""
import os, signal
from hyperrestore.restore.restorer import Restorer
signal.signal(signal.SIGINT, lambda *_: print("heard"))
models = [Restorer.load({str(tiny_model)!r}) for _ in range(3)]
for model in models:
    model.at(25)
while models:
    del model
    model = models.pop(0)
del model
os.kill(os.getpid(), signal.SIGINT)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_a_renamed_pair_is_refused_and_not_run_with_the_weights_under_the_old_name(tiny_model, tmp_path):
    old, new = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    for suffix in (".safetensors", ".onnx"):
        for copy in (old, new):
            copy.with_suffix(suffix).write_bytes(tiny_model.with_suffix(suffix).read_bytes())
    with pytest.raises(CheckpointError, match=r"export .*new\.safetensors"):
        OpenVINOModel(new, read_description(new))
    export_onnx(new)
    OpenVINOModel(new, read_description(new))


@pytest.mark.parametrize("name", ["noext", "v1.0"])
def test_a_checkpoint_may_have_any_name(tiny_model, tmp_path, name, rng):
    path = tmp_path / name
    path.write_bytes(tiny_model.read_bytes())
    assert export_onnx(path) == tmp_path / f"{name}.onnx"
    window = rng.random((3, 16, 12), np.float32)
    results = [
        open_with(kind, path).at(40.0, precision="fp32", bits=16)(window) for kind in ("openvino", "torch")
    ]
    np.testing.assert_allclose(*results, atol=1e-5)
