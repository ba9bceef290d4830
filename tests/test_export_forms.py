"""Models in the forms of other programs: what they compute, hold and say, and what is refused."""

import dataclasses
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
import torch
from conftest import QUALITY, SCALE, SIGMA, SMALL_PAPER, SOFTNESS, SUBPIXEL, TINY, write_model
from safetensors import safe_open

from hyperrestore import Restorer
from hyperrestore.cli.arguments.export import FORMS
from hyperrestore.cli.main import main
from hyperrestore.errors import CheckpointError, LevelError, UsageError
from hyperrestore.level import LevelScale, Task
from hyperrestore.network.architectures import NetworkConfig
from hyperrestore.network.checkpoint import weights_digest
from hyperrestore.network.hyper import materialize
from hyperrestore.run.forms import export
from hyperrestore.run.forms.card import Form
from hyperrestore.run.forms.darktable import licences_of_data
from hyperrestore.run.forms.export import export_form
from hyperrestore.run.forms.model import open_model
from hyperrestore.run.forms.ncnn_form import ncnn_files
from hyperrestore.run.forms.onnx_geometry import interpolation
from hyperrestore.run.forms.runs import run_onnx
from hyperrestore.run.subpixels import Taps

SHUFFLED = NetworkConfig("unet", widths=(8, 12), blocks=(1, 1), rank=2, shuffle=2, full_to=8)
NOISE = LevelScale("noise", low=0, high=100, trained=(0, 75), origin=0, reference=50)
COLOUR = LevelScale("colour noise", low=0, high=100, trained=(0, 75), origin=0, reference=50)
FOUND = (
    "onnx",
    "onnx-map",
    "vs-mlrt",
    "baked",
)  # graphs that a runtime reads, for models that do not enlarge
PLAIN = {"Conv", "Relu", "Add", "DepthToSpace", "Identity"}
SIZES = {"Shape", "Div", "Mul", "Sub", "Mod", "Min", "Max", "Squeeze", "Range", "Gather", "Slice"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model of each kind, without the engine's graphs."""
    folder = tmp_path_factory.mktemp("models")
    kinds = {
        "unet": (TINY, Task.DENOISE, SIGMA, ()),
        "shuffled": (SHUFFLED, Task.DEJPEG, QUALITY, ()),
        "paper": (SMALL_PAPER, Task.DENOISE, SIGMA, ()),
        "subpixel": (SUBPIXEL, Task.UPSCALE, SCALE, (SOFTNESS,)),
        "axes": (TINY, Task.PHOTO, NOISE, (COLOUR, QUALITY)),
        "enlarged": (TINY, Task.UPSCALE, SCALE, ()),
    }
    return {
        name: write_model(
            folder / f"{name}.safetensors", config, task=task, scale=scale, axes=axes, graphs=False
        )
        for name, (config, task, scale, axes) in kinds.items()
    }


def described(file):
    return json.loads(file.with_name(f"{file.name}.json").read_text())


def levels_for(name, form):
    given = {"subpixel": (2.0,), "axes": (20.0, 10.0, 60.0)}.get(name, (30.0,))
    return given if form in ("baked", "safetensors") else ()


CASES = [
    *((name, form) for name in ("unet", "shuffled", "paper", "axes") for form in (*FOUND, "safetensors")),
    ("subpixel", "onnx"), ("subpixel", "baked"), ("subpixel", "safetensors"), ("subpixel", "darktable"),
    ("unet", "darktable"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "form"), CASES)
def test_every_form_agrees_with_the_engine(models, tmp_path, name, form):
    file = export_form(models[name], form, tmp_path, levels=levels_for(name, form))
    compared = described(file)["compared_with_the_engine"]
    assert compared["tolerance"] == 1e-4
    assert compared["largest_difference"] <= 1e-5
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("name", "form"), [*(("unet", form) for form in FOUND), ("subpixel", "baked")])
def test_half_precision_stays_within_its_tolerance(models, tmp_path, name, form):
    whole = export_form(models[name], form, tmp_path, levels=levels_for(name, form))
    half = export_form(models[name], form, tmp_path, levels=levels_for(name, form), half=True)
    compared = described(half)["compared_with_the_engine"]
    assert compared["tolerance"] == 2e-3
    assert 1e-7 < compared["largest_difference"] <= 2e-3
    held = {weight.data_type for weight in onnx.load(half).graph.initializer if "weight" in weight.name}
    assert held == {onnx.TensorProto.FLOAT16}
    assert half.stat().st_size < 0.8 * whole.stat().st_size


@pytest.mark.parametrize(("name", "form"), [("unet", "baked"), ("axes", "onnx"), ("subpixel", "darktable")])
def test_exporting_again_gives_the_same_bytes(models, tmp_path, name, form):
    contents = []
    for _ in range(2):
        export_form(models[name], form, tmp_path, levels=levels_for(name, form))
        contents.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    assert contents[0] == contents[1]


def test_a_program_of_torch_is_the_same_from_every_process(models, tmp_path):
    """The seeds of hashes, and so the order of sets, differ from process to process."""
    contents = set()
    for seed in "123":
        file = tmp_path / f"{seed}.pt2"
        words = [sys.executable, "-m", "hyperrestore", "export", models["unet"], "--as", "pt2", "-o", file]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run(words, check=True, capture_output=True, env=environment)
        contents.add(file.read_bytes())
    assert len(contents) == 1


def test_a_baked_graph_holds_plain_convolutions_of_opset_17(models, tmp_path):
    file = export_form(models["unet"], "baked", tmp_path / "new" / "a.onnx", levels=(25.0,))
    graph = onnx.load(file)
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 17)]
    assert graph.ir_version == 8
    assert {node.op_type for node in graph.graph.node} <= PLAIN | SIZES
    assert [value.name for value in graph.graph.input] == ["image"]
    assert [value.name for value in graph.graph.output] == ["restored"]
    network = materialize(open_model(models["unet"]).network, 25.0)
    held = {weight.name: onnx.numpy_helper.to_array(weight) for weight in graph.graph.initializer}
    for key, tensor in network.state_dict().items():
        np.testing.assert_array_equal(held[key], tensor.numpy())
    assert not any(weight.data_location for weight in graph.graph.initializer)


def test_only_the_border_of_a_picture_needs_more_than_plain_convolutions(models, tmp_path):
    file = export_form(models["unet"], "darktable", tmp_path, levels=(25.0,))
    with zipfile.ZipFile(file) as package:
        graph = onnx.load_from_string(package.read("denoise-unet-at-sigma-25/model.onnx"))
    assert {node.op_type for node in graph.graph.node} <= PLAIN


@pytest.mark.parametrize(("name", "level"), [("unet", 25.0), ("paper", 60.0), ("shuffled", 40.0)])
def test_a_baked_graph_does_what_the_restorer_does(models, tmp_path, rng, name, level):
    run = run_onnx(export_form(models[name], "baked", tmp_path, levels=(level,)))
    picture = rng.random((3, 45, 38), np.float32)
    restored = run(picture[None], np.empty(0, np.float32))[0].clip(0, 1)
    wanted = Restorer.load(models[name], device="torch", precision="fp32")(picture, level)
    np.testing.assert_allclose(restored, wanted, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_baked_graph_enlarges_as_the_restorer_does(models, tmp_path, rng, scale):
    run = run_onnx(export_form(models["subpixel"], "baked", tmp_path, levels=(float(scale), 1.5)))
    picture = rng.random((3, 21, 14), np.float32)
    enlarged = run(picture[None], np.empty(0, np.float32))[0].clip(0, 1)
    restorer = Restorer.load(models["subpixel"], device="torch", precision="fp32")
    wanted = restorer(picture, {"scale": scale, "softness": 1.5})
    np.testing.assert_allclose(enlarged, wanted, atol=1e-5)


@pytest.mark.parametrize(("samples", "scale"), [(1, 2), (1, 3), (4, 2), (4, 3), (2, 4)])
def test_interpolation_by_phases_is_that_of_the_engine(rng, samples, scale):
    weights, before, after = interpolation(samples, scale)
    row = rng.random(samples * 9)
    bordered = np.pad(row, (before, after), mode="symmetric")
    taps = before + samples + after
    phases = [weights @ bordered[start : start + taps] for start in range(0, samples * 9, samples)]
    taps = Taps.interpolating(samples * 9, scale * 9)
    wanted = taps.across(row[None, None].astype(np.float32), 0)[0, 0]
    np.testing.assert_allclose(np.concatenate(phases), wanted, atol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)


def test_the_state_dict_is_that_of_the_network_and_says_which(models, tmp_path):
    file = export_form(models["subpixel"], "safetensors", tmp_path, levels=(3.0,))
    network = materialize(open_model(models["subpixel"]).network, (3.0, 1.0))
    with safe_open(file, framework="pt") as tensors:
        assert sorted(tensors.keys()) == sorted(network.state_dict())
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensors.get_tensor(key), tensor)
        about = json.loads(tensors.metadata()["hyperrestore.baked"])
    assert about["network"] == {
        "kind": "subpixel", "widths": [8, 12], "blocks": [1, 1], "shuffle": 1, "subpixels": 4,
    }  # fmt: skip
    assert about["level"] == {"scale": 3.0, "softness": 1.0} and about["scale"] == 3
    assert about["weights"] == weights_digest(models["subpixel"])


def test_the_layers_of_ncnn_read_what_others_gave_once(models):
    for name in ("unet", "shuffled", "paper"):
        model = open_model(models[name])
        layers, weights = ncnn_files(model, (30.0,))
        magic, counts, *lines = layers.decode().splitlines()
        assert magic == "7767517"
        given, read, stored = [], [], 0
        for line in lines:
            kind, _, inputs, outputs, *rest = line.split()
            read += rest[: int(inputs)]
            given += rest[int(inputs) : int(inputs) + int(outputs)]
            if kind == "Convolution":
                numbers = dict(entry.split("=") for entry in rest[int(inputs) + int(outputs) :])
                stored += 4 + 4 * int(numbers["6"]) + 4 * int(numbers["0"])
        assert counts.split() == [str(len(lines)), str(len(given))]
        assert len(set(given)) == len(given) and len(set(read)) == len(read)
        assert set(given) - set(read) == {"output"} and set(read) <= set(given)
        assert stored == len(weights)


def test_the_description_says_what_a_program_needs(models, tmp_path):
    about = described(export_form(models["axes"], "onnx", tmp_path))
    assert [axis["unit"] for axis in about["levels"]] == ["noise", "colour noise", "quality"]
    assert [(value["name"], value["shape"]) for value in about["inputs"]] == [
        ("image", ["batch", 3, "height", "width"]),
        ("level", [3]),
    ]
    assert about["outputs"][0]["name"] == "restored"
    assert about["multiple"] == 1 and about["stride"] == 2
    assert about["weights_sha256"] == weights_digest(models["axes"])
    about = described(export_form(models["subpixel"], "baked", tmp_path, levels=(2.0,)))
    assert about["outputs"][0]["shape"] == ["batch", 3, "2 * height", "2 * width"]
    assert about["levels"][0]["fixed_at"] == 2 and about["levels"][1]["fixed_at"] == 1
    assert about["halo"] == open_model(models["subpixel"]).description.halo + 1


def test_what_is_not_seen_within_the_halo_does_not_matter(models, tmp_path, rng):
    file = export_form(models["subpixel"], "baked", tmp_path, levels=(2.0,))
    run, halo = run_onnx(file), described(file)["halo"]
    picture = rng.random((1, 3, 8, 2 * halo + 9), np.float32)
    other = picture.copy()
    other[..., 0] = 1 - other[..., 0]
    nothing = np.empty(0, np.float32)
    changed = np.abs(run(picture, nothing) - run(other, nothing)).max(axis=(0, 1, 2)) > 0
    assert changed.nonzero()[0].max() < 2 * (halo + 1)


def test_a_package_for_darktable_is_laid_out_as_darktable_reads_it(models, tmp_path):
    file = export_form(models["unet"], "darktable", tmp_path)
    with zipfile.ZipFile(file) as package:
        assert package.namelist() == ["denoise-unet/config.json", "denoise-unet/model.onnx"]
        config = json.loads(package.read("denoise-unet/config.json"))
        graph = onnx.load_from_string(package.read("denoise-unet/model.onnx")).graph
    assert file.name == "denoise-unet.dtmodel"
    wanted = {"id": "denoise-unet", "task": "denoise", "backend": "onnx", "num_inputs": 2, "tiling": True}
    assert wanted.items() <= config.items()
    assert {"name", "description", "version", "model_card"} <= set(config)
    sides = [
        [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in graph.input
    ]
    assert sides == [["batch", 3, "height", "width"], ["batch", 1, "height", "width"]]
    file = export_form(models["subpixel"], "darktable", tmp_path)
    with zipfile.ZipFile(file) as package:
        assert [name.split("/")[1] for name in package.namelist()] == [
            "config.json", "model_x2.onnx", "model_x4.onnx",
        ]  # fmt: skip


def test_the_licences_of_the_data_come_from_the_model_card():
    card = Path(export.__file__).parents[2] / "models" / "denoise.md"
    licences = licences_of_data(card)
    assert licences.startswith("CID22 (250 photos): CC BY-SA 4.0; ")
    assert licences.count("photos)") == 13
    assert licences_of_data(card.with_name("none.md")) == ""


REFUSED = [
    ("unet", "png", (), False, "form 'png' is unknown"),
    ("unet", "baked", (), False, "is for one level; give it, in the unit sigma"),
    ("unet", "onnx", (5.0,), False, "takes its level when it runs"),
    ("unet", "pt2", (), True, "form pt2 has no half precision; onnx, onnx-map, vs-mlrt, baked have"),
    ("unet", "baked", (5.0, 6.0), False, "2 levels were given; unet takes up to 1: sigma"),
    ("subpixel", "onnx-map", (), False, "its level is the size of the result"),
    ("subpixel", "vs-mlrt", (), False, "its level is the size of the result"),
    ("subpixel", "baked", (2.5,), False, "scale 2.5 cannot be exported: .* a whole number from 2 to 4"),
    ("subpixel", "baked", (1.0,), False, "scale 1 cannot be exported"),
    ("subpixel", "ncnn", (2.0,), False, "ncnn cannot be given a model that enlarges"),
    ("subpixel", "darktable", (2.0,), False, "holds the scales 2 and 4; give no level"),
    ("enlarged", "baked", (2.0,), False, "works on the enlarged picture cannot be exported"),
    ("shuffled", "darktable", (), False, "darktable has no use for a model for dejpeg"),
    ("axes", "darktable", (), False, "darktable has no use for a model for photo"),
]


@pytest.mark.parametrize(("name", "form", "levels", "half", "message"), REFUSED)
def test_what_cannot_be_exported_is_refused(models, tmp_path, name, form, levels, half, message):
    with pytest.raises(UsageError, match=message):
        export_form(models[name], form, tmp_path, levels=levels, half=half)
    assert not list(tmp_path.iterdir())


def test_a_level_out_of_range_is_refused(models, tmp_path):
    with pytest.raises(LevelError, match="sigma 101"):
        export_form(models["unet"], "baked", tmp_path, levels=(101.0,))


def test_an_export_that_differs_is_an_error_and_leaves_no_file(models, tmp_path, monkeypatch):
    right = export.baked_onnx

    def wrong(model, levels, *, half):
        return right(model, (levels[0] + 1,), half=half)

    monkeypatch.setattr(export, "baked_onnx", wrong)
    earlier = {"old.onnx", "old.onnx.json"}
    for name in earlier:
        (tmp_path / name).write_bytes(b'{"form": "baked", "weights_sha256": "before"}')
    with pytest.raises(CheckpointError, match="differs from the engine by 0"):
        export_form(models["unet"], "baked", tmp_path / "old.onnx", levels=(25.0,))
    assert {path.name for path in tmp_path.iterdir()} == earlier
    assert b"before" in (tmp_path / "old.onnx").read_bytes()


def test_a_model_that_gives_no_numbers_is_not_exported(models, tmp_path, monkeypatch):
    opened = open_model(models["unet"])
    with torch.no_grad():
        opened.network.network.tail.bias.fill_(float("nan"))
    monkeypatch.setattr(export, "open_model", lambda path: dataclasses.replace(opened, path=path))
    with pytest.raises(CheckpointError, match="differs from the engine by inf"):
        export_form(models["unet"], "baked", tmp_path, levels=(25.0,))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["unet.safetensors", "unet.onnx", "unet-map.onnx"])
def test_the_model_itself_and_its_graphs_are_never_replaced(models, tmp_path, name):
    (tmp_path / "unet.safetensors").write_bytes(models["unet"].read_bytes())
    form, levels = ("safetensors", (5.0,)) if name.endswith("safetensors") else ("onnx", ())
    with pytest.raises(UsageError, match="would replace the model itself or its graph"):
        export_form(tmp_path / "unet.safetensors", form, tmp_path / name, levels=levels)


@pytest.mark.parametrize(("form", "name"), [("baked", "mine.onnx"), ("safetensors", "mine.safetensors")])
def test_only_an_earlier_export_is_replaced(models, tmp_path, form, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(UsageError, match=f"{name}: already exists, and was not exported"):
        export_form(models["unet"], form, tmp_path / name, levels=(25.0,))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"mine"
    (tmp_path / name).unlink()
    for level in (25.0, 30.0):
        export_form(models["unet"], form, tmp_path / name, levels=(level,))


@pytest.mark.parametrize("content", [b"mine", b"[1]", b'{"form": "of mine"}', None])
def test_a_description_that_no_export_has_written_is_kept(models, tmp_path, content):
    """None for a folder."""
    description = tmp_path / "a.onnx.json"
    if content is None:
        description.mkdir()
    else:
        description.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.onnx\.json: already exists, and was not exported"):
        export_form(models["unet"], "baked", tmp_path / "a.onnx", levels=(25.0,))
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx.json"]
    assert content is None or description.read_bytes() == content


def test_an_output_without_a_name_is_refused(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="the output has no name"):
        export_form(models["unet"], "baked", "", levels=(25.0,))


def test_a_file_has_the_suffix_of_its_form(models, tmp_path):
    with pytest.raises(UsageError, match=r"a\.pth: the name of a file of form baked ends with \.onnx"):
        export_form(models["unet"], "baked", tmp_path / "a.pth", levels=(5.0,))


def test_the_command_names_and_writes_its_files(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = str(models["unet"])
    assert main(["export", model, "--as", "baked", "--level", "12.5"]) == 0
    assert main(["export", model, "--as", "onnx", "--half", "-o", "new/"]) == 0
    assert main(["export", model, "--as", "safetensors", "-l", "5", "-o", "a.safetensors"]) == 0
    written = ["unet-12.5.onnx", "new/unet-live-fp16.onnx", "a.safetensors"]
    assert capsys.readouterr().out.splitlines() == written
    assert all(Path(name).is_file() and Path(f"{name}.json").is_file() for name in written)
    assert main(["export", model, "--level", "5"]) == 2
    assert "give it by --as" in capsys.readouterr().err
    assert main(["export", "nothing", "--as", "onnx"]) == 1
    assert "nothing: not a readable model" in capsys.readouterr().err


def test_the_command_knows_every_form():
    assert get_args(Form) == FORMS


@pytest.mark.parametrize(
    ("missing", "form", "message"),
    [
        ("onnx", "baked", "exporting needs onnx: pip install 'hyperrestore[torch]'"),
        ("ncnn", "ncnn", "exporting as ncnn needs ncnn: pip install 'hyperrestore[ncnn]'"),
    ],
)
def test_without_a_package_the_command_says_what_to_install(
    models, tmp_path, monkeypatch, capsys, missing, form, message
):
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["export", str(models["unet"]), "--as", form, "-l", "5", "-o", f"{tmp_path}/out/"]) == 2
    assert capsys.readouterr().err == f"hyperrestore: error: {message}\n"
    assert not list(tmp_path.iterdir())
