"""8-bit integers: close to floats, really integers, and refused where they do not fit."""

import json
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest
import skimage.data
from conftest import SMALL_PAPER, TINY, write_model
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from openvino import opset13

from hyperrestore import PictureInfo, Restorer, run_tiled
from hyperrestore.cli.main import main
from hyperrestore.errors import CheckpointError, MissingExtraError, UsageError
from hyperrestore.learn.calibrate import as_restored, calibrate
from hyperrestore.measure.degrade import gaussian_noise
from hyperrestore.measure.metrics import psnr
from hyperrestore.network.checkpoint import (
    Checkpoint,
    load_checkpoint,
    read_description,
    save_checkpoint,
    weights_digest,
)
from hyperrestore.picture.file import Picture, write_picture
from hyperrestore.run.export import export_onnx
from hyperrestore.run.int8 import Ranges, load_ranges, quantize, ranges_path, save_ranges, weight_limits
from hyperrestore.run.openvino import OpenVINOModel

PHOTOS = [Path(skimage.data.__file__).parent / f"{name}.png" for name in ("chelsea", "coffee", "camera")]
LEVELS = (0.0, 25.0, 75.0)


def photo(*, size=256):
    return (
        skimage.data.chelsea()[20 : 20 + size, 100 : 100 + size].transpose(2, 0, 1).astype(np.float32) / 255
    )


def calibrated(path):
    model = OpenVINOModel(path, read_description(path))
    save_ranges(path, calibrate(model, PHOTOS, levels=LEVELS))
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return calibrated(write_model(tmp_path_factory.mktemp("tiny8") / "tiny.safetensors", TINY))


@pytest.fixture
def copy(tiny, tmp_path):
    for file in tiny.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path / tiny.name


@pytest.fixture(scope="module")
def shipped():
    return {kind: Restorer.load("denoise", precision=kind) for kind in ("fp32", "int8")}


# --- What comes out ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.01, 5, 15, 25, 50, 75, 100])
@pytest.mark.filterwarnings("ignore::hyperrestore.errors.ExtrapolationWarning")
def test_a_photograph_comes_out_almost_as_in_floats(shipped, sigma):
    clean = photo()
    noisy = gaussian_noise(clean, sigma, np.random.default_rng(round(sigma)))
    exact, fast = (run_tiled(one.at(sigma, bits=8), noisy) for one in shipped.values())
    assert psnr(fast, exact) > (53 if sigma <= 75 else 49)  # beyond what it was trained for it is less sure
    assert np.abs(fast - exact).max() < 20 / 255
    assert sigma < 1 or psnr(fast, clean) > psnr(exact, clean) - 0.1


def test_tiles_hardly_matter(shipped):
    """A float that differs in its last bit may round to the next integer, no more."""
    noisy = gaussian_noise(photo(), 25, np.random.default_rng(0))
    network = shipped["int8"].at(25, bits=8)
    whole, tiled = run_tiled(network, noisy), run_tiled(network, noisy, size=96)
    assert psnr(whole, tiled) > 60
    assert np.abs(whole - tiled).max() < 5 / 255


def test_there_is_no_hidden_state(tiny, rng):
    restorer = Restorer.load(tiny, precision="int8")
    window = rng.random((3, 32, 32), np.float32)
    first, other, again = (restorer.at(level, bits=8)(window).tobytes() for level in (15, 60, 15))
    assert first == again != other


@pytest.mark.parametrize("name", ["tiny_model", "paper_model"])
def test_networks_of_every_kind(request, tmp_path, name):
    source = request.getfixturevalue(name)
    for suffix in (".safetensors", ".onnx"):
        (tmp_path / source.with_suffix(suffix).name).write_bytes(source.with_suffix(suffix).read_bytes())
    path = calibrated(tmp_path / source.name)
    pixels = photo(size=64)
    exact, fast = (Restorer.load(path, precision=kind).at(40, bits=8)(pixels) for kind in ("fp32", "int8"))
    assert psnr(fast, exact) > 40
    assert not np.array_equal(fast, exact)


# --- No CPU saturates ---------------------------------------------------------------------------------


@given(st.data())
def test_two_products_of_neighbours_fit_into_16_bits(data):
    shape = data.draw(st.tuples(*(st.integers(1, most) for most in (4, 9, 3, 3))))
    kernel = data.draw(arrays(np.float32, shape, elements=st.floats(-100, 100, width=32)))
    limits = weight_limits(kernel)
    assert limits.shape == (len(kernel), 1, 1, 1) and (limits > 0).all()
    integers = np.rint(kernel / limits * 127).astype(int)
    assert np.abs(integers).max() <= 127
    even = np.pad(integers, ((0, 0), (0, shape[1] % 2), (0, 0), (0, 0)))
    for activations in ((255, 255), (255, 0), (0, 255)):
        sums = activations[0] * even[:, ::2] + activations[1] * even[:, 1::2]
        assert (np.abs(sums) < 2**15).all()


@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_weights_and_activations_add_up(side, sign):
    """Where the CPU adds products in pairs, the sums of these would be cut to about half."""
    channels = 32
    outer = np.eye(channels, dtype=np.float32)[:, :, None, None]
    kernels = (outer, np.full((channels, channels, side, side), sign / 8, np.float32), outer)
    core = openvino.Core()
    results = []
    for integers in (False, True):
        image = opset13.parameter([1, channels, 16, 16], np.float32, name="image")
        node = image.output(0)
        for name, kernel in zip("abc", kernels, strict=True):
            border = [kernel.shape[-1] // 2] * 2
            convolution = opset13.convolution(
                node, opset13.constant(kernel), [1, 1], border, border, [1, 1], name=name
            )
            node = convolution.output(0)
        graph = openvino.Model([node], [image], "graph")
        if integers:
            quantize(graph, core, Ranges("", (0.0,), {"b": ((0.0, 1.0),)}, ("b",)), 0.0)
        compiled = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        (result,) = compiled([np.ones((1, channels, 16, 16), np.float32)]).values()
        results.append(result)
    exact, fast = results
    assert np.abs(exact).max() == pytest.approx(channels * side**2 / 8)
    np.testing.assert_allclose(fast, exact, rtol=0.02)


# --- What runs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["shipped", "tiny", "paper"])
def test_convolutions_below_the_finest_resolution_run_in_integers(which, shipped, tiny, tmp_path):
    path = calibrated(write_model(tmp_path / "paper.safetensors", SMALL_PAPER)) if which == "paper" else tiny
    restorer = shipped["int8"] if which == "shipped" else Restorer.load(path, precision="int8")
    running = restorer._model._compile(25.0, "int8").get_runtime_model().get_ordered_ops()
    about = [{key: value.astype(str) for key, value in node.get_rt_info().items()} for node in running]
    kinds = [entry["runtimePrecision"] for entry in about if entry["layerType"] == "Convolution"]
    fast = [kind in ("u8", "i8") for kind in kinds]
    assert {kind for kind, integer in zip(kinds, fast, strict=True) if not integer} == {"f32"}
    assert sum(fast) == len(restorer._model._ranges.limits) > 2
    begin = fast.index(True)  # behind the first convolution, a block and its way down; all of one resolution
    assert begin == (1 if which == "paper" else 4)
    assert all(fast[begin : begin + sum(fast)]) and not fast[-1]
    # Rounding apart from a convolution or an addition costs time.
    alone = sum(entry["layerType"] == "FakeQuantize" for entry in about)
    assert alone <= len(restorer._model._ranges.apart)


# --- Ranges -----------------------------------------------------------------------------------------

RANGES = Ranges("", (0.0, 10.0, 30.0), {"a": ((-1.0, 1.0), (-2.0, 3.0), (-2.0, 7.0)), "b": ((0.0, 0.1),) * 3})


def test_ranges_are_linear_between_levels_and_constant_outside():
    for index, level in enumerate(RANGES.levels):
        assert RANGES.at(level) == {name: limits[index] for name, limits in RANGES.limits.items()}
    assert RANGES.at(5.0)["a"] == (-1.5, 2.0)
    assert RANGES.at(25.0)["a"] == (-2.0, 6.0)
    assert RANGES.at(99.0) == RANGES.at(30.0)
    assert RANGES.at(-1.0) == RANGES.at(0.0)


def test_calibration_depends_on_its_arguments_alone(tiny):
    model = OpenVINOModel(tiny, read_description(tiny))
    first = load_ranges(tiny)
    assert calibrate(model, PHOTOS, levels=LEVELS) == first
    assert calibrate(model, PHOTOS, levels=LEVELS, seed=1).limits != first.limits
    subset = calibrate(model, PHOTOS, levels=LEVELS[1:2])
    assert subset.limits == {name: limits[1:2] for name, limits in first.limits.items()}
    assert first.levels == LEVELS
    assert calibrate(model, PHOTOS[:1]).levels == (0, 4, 16, 36, 64, 100)


def test_the_highest_softness_is_measured_on_crisp_pictures_too(subpixel_model, rng):
    clean = rng.random((3, 128, 128), dtype=np.float32)
    description = read_description(subpixel_model)
    (softness,) = description.axes
    made = as_restored(description, clean, 2, rng)
    at_most = [one.pixels for one in made if one.levels == (2, softness.trained[1])]
    (usual,) = (one.pixels for one in made if one.levels == (2, softness.origin))
    assert len({one.pixels.shape for one in made}) == 1
    assert len(at_most) == 2 and at_most[0].std() < at_most[1].std()
    np.testing.assert_array_equal(at_most[1], usual)


def test_ranges_after_relu_begin_at_0(tiny):
    limits = load_ranges(tiny).limits
    signed = [min(low for low, _ in entry) < 0 for entry in limits.values()]
    assert signed == [True, False, True]  # the middle, a block that begins signed, and its way up


def test_the_file_is_small_and_comes_back_the_same(tiny):
    assert save_ranges(tiny, ranges := load_ranges(tiny)) == ranges_path(tiny)
    assert load_ranges(tiny) == ranges
    shipped_model = Path(sys.modules["hyperrestore.restore.restorer"].MODELS, "denoise.safetensors")
    assert ranges_path(shipped_model).stat().st_size < 8000


def test_photos_that_are_too_small_are_refused(tiny, tmp_path, rng):
    write_picture(
        tmp_path / "a.png", Picture(rng.random((3, 100, 300), np.float32), None, PictureInfo(300, 100, 3))
    )
    with pytest.raises(UsageError, match="none of 1 photos has 128x128 pixels"):
        calibrate(OpenVINOModel(tiny, read_description(tiny)), [tmp_path / "a.png"])


# --- What is refused --------------------------------------------------------------------------------


def test_without_ranges_it_says_how_to_get_them(tiny_model):
    with pytest.raises(CheckpointError, match=r"`hyperrestore calibrate .*tiny\.safetensors --data PHOTOS`"):
        Restorer.load(tiny_model, precision="int8")
    with pytest.raises(UsageError, match="needs ranges"):
        OpenVINOModel(tiny_model, read_description(tiny_model)).at(25.0, precision="int8", bits=8)


def table(**changes):
    return json.dumps(
        {"format_version": 1, "weights": "", "levels": [0], "limits": {}, "apart": []} | changes
    )


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[" * 100_000,
        "[]",
        "7",
        "{}",
        table(format_version=2),
        table(levels=[]),
        table(levels=[3, 2]),
        table(levels=[float("nan")]),
        table(levels="x"),
        table(limits=[]),
        table(limits={"a": []}),
        table(limits={"a": [[1, 2]]}),
        table(limits={"a": [[0, 0]]}),
        table(limits={"a": [[0, float("inf")]]}),
        table(limits={"a": [[-1, 1, 2]]}),
        table(limits={"a": [["x", 1]]}),
        table(apart=3),
        b"\xff\xfe",
    ],
)
def test_damaged_ranges_are_refused(copy, content):
    ranges_path(copy).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CheckpointError, match="not a readable file of ranges"):
        Restorer.load(copy, precision="int8")


def test_ranges_belong_to_the_weights(copy, tmp_path):
    checkpoint = load_checkpoint(copy)
    description = type(checkpoint.description)(**{**vars(checkpoint.description), "history": {"steps": 9}})
    save_checkpoint(copy, Checkpoint(description, checkpoint.tensors))
    export_onnx(copy)
    Restorer.load(copy, precision="int8")  # another history, the same weights
    name = min(checkpoint.tensors)
    save_checkpoint(copy, Checkpoint(description, {**checkpoint.tensors, name: checkpoint.tensors[name] * 2}))
    export_onnx(copy)
    Restorer.load(copy)
    with pytest.raises(CheckpointError, match="measured with weights other than"):
        Restorer.load(copy, precision="int8")
    assert weights_digest(copy) != load_ranges_weights(tmp_path)


def load_ranges_weights(folder):
    return json.loads((folder / "tiny.ranges.json").read_text())["weights"]


def test_ranges_of_another_graph_are_refused(copy):
    ranges = load_ranges(copy)
    save_ranges(copy, Ranges(ranges.weights, ranges.levels, {"other": ((-1.0, 1.0),) * 3}))
    with pytest.raises(CheckpointError, match="do not match the graph"):
        Restorer.load(copy, precision="int8").at(25, bits=8)


def test_more_than_8_bits_are_refused(tiny, tmp_path, capsys, rng):
    restorer = Restorer.load(tiny, precision="int8")
    pixels = rng.random((3, 16, 16), np.float32)
    with pytest.raises(UsageError, match="8 bits, got 16"):
        restorer(pixels, 25)
    eight = Picture(pixels, None, PictureInfo(16, 16, 3))
    assert restorer(eight, 25).pixels.shape == pixels.shape
    sixteen = Picture(pixels, None, PictureInfo(16, 16, 3, 16))
    with pytest.raises(UsageError, match="8 bits, got 16"):
        restorer(sixteen, 25)
    for name, picture in (("a.png", eight), ("b.png", sixteen)):
        write_picture(tmp_path / name, picture)
    words = ["denoise", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "-o", str(tmp_path / "out")]
    assert main([*words, "-l", "25", "--precision", "int8", "--model", str(tiny)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "b.png: precision int8 is for pictures of 8 bits, got 16" in lines[0]
    assert lines[1:] == ["hyperrestore: 1 of 2 pictures failed"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_torch_is_refused(tiny):
    with pytest.raises(UsageError, match="int8 is for device cpu, got device 'torch'"):
        Restorer.load(tiny, device="torch", precision="int8")


# --- The command ------------------------------------------------------------------------------------


def test_the_command_writes_the_file(copy, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in PHOTOS:
        (folder / path.name).write_bytes(path.read_bytes())
    ranges_path(copy).unlink()
    assert main(["calibrate", str(copy), "--data", str(folder)]) == 0
    assert capsys.readouterr().out == f"{ranges_path(copy)}\n"
    assert Restorer.load(copy, precision="int8").at(25, bits=8).name == "OpenVINO on the CPU, int8"


def test_the_command_needs_a_model_photos_and_torch(copy, tmp_path, capsys, monkeypatch):
    for words in (
        ["none.safetensors", "--data", str(tmp_path)],
        [str(copy), "--data", str(tmp_path / "none")],
    ):
        assert main(["calibrate", *words]) in (1, 2)
        assert "none" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["calibrate", str(copy), "--data", str(tmp_path)]) == MissingExtraError.exit_code
    assert "pip install 'hyperrestore[torch]'" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["dejpeg_model", "upscale_model"])
def test_models_of_every_task_are_calibrated_on_their_own_damage(model, request):
    path = request.getfixturevalue(model)
    ranges = calibrate(OpenVINOModel(path, read_description(path)), PHOTOS[:1])
    assert ranges.levels[0] == 1 and ranges.levels[-1] == read_description(path).scale.high
    assert all(level == int(level) for level in ranges.levels)
    assert set(ranges.limits) and ranges.weights == weights_digest(path)
