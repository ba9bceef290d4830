"""Models loaded by spandrel: for one level, and adjustable."""

import numpy as np
import pytest
import torch
from conftest import SIGMA, SMALL_PAPER, SUBPIXEL, TINY, randomised
from safetensors.torch import save_file

from hyperrestore import ExtrapolationWarning, LevelError, Restorer, UsageError, materialize
from hyperrestore.cli.main import main
from hyperrestore.hosts.spandrel import register, save_adjustable
from hyperrestore.network.architectures import NetworkConfig, build, load_network
from hyperrestore.network.checkpoint import load_checkpoint
from hyperrestore.restore.restorer import MODELS

STEP = 1 / 255


@pytest.fixture(scope="module")
def loader(spandrel):
    registry = spandrel.MAIN_REGISTRY.copy()
    register(registry)
    return spandrel.ModelLoader(registry=registry)


def shipped(task):
    return load_network(load_checkpoint(MODELS / f"{task}.safetensors"))


def run(model, pixels):
    return model(torch.from_numpy(pixels)[None])[0].numpy()


@pytest.mark.parametrize(("task", "level"), [("denoise", 25), ("dejpeg", 30)])
def test_a_baked_model_is_the_command(loader, noisy, by_command, tmp_path, task, level):
    save_file(materialize(shipped(task), level).state_dict(), tmp_path / "baked.safetensors")
    model = loader.load_from_file(tmp_path / "baked.safetensors")
    assert (model.scale, model.input_channels, model.output_channels) == (1, 3, 3)
    assert (model.purpose, model.architecture.id) == ("Restoration", "Hyperrestore")
    expected = by_command(noisy, task, "--level", level)
    assert np.abs(run(model, noisy) - expected).max() < STEP


@pytest.mark.parametrize(("task", "level"), [("denoise", 25), ("dejpeg", 30)])
def test_an_exported_file_is_the_command(loader, noisy, by_command, tmp_path, task, level):
    """What `hyperrestore export --as safetensors` writes, metadata included."""
    words = [
        "export",
        task,
        "--as",
        "safetensors",
        "--level",
        str(level),
        "-o",
        str(tmp_path / "a.safetensors"),
    ]
    assert main(words) == 0
    model = loader.load_from_file(tmp_path / "a.safetensors")
    assert (model.purpose, model.architecture.id) == ("Restoration", "Hyperrestore")
    expected = by_command(noisy, task, "--level", level, "--precision", "fp32")
    assert np.abs(run(model, noisy) - expected).max() < 0.01 * STEP


def test_an_exported_file_that_enlarges_is_refused(spandrel, loader, tmp_path):
    file = tmp_path / "a.safetensors"
    assert main(["export", "upscale", "--as", "safetensors", "--level", "2", "-o", str(file)]) == 0
    with pytest.raises(spandrel.UnsupportedModelError):
        loader.load_from_file(file)


@pytest.mark.parametrize("task", ["denoise", "dejpeg"])
def test_an_adjustable_model_is_the_command_at_every_level(loader, noisy, by_command, tmp_path, task):
    save_adjustable(tmp_path / "adjustable.safetensors", task, level=15)
    model = loader.load_from_file(tmp_path / "adjustable.safetensors")
    for level in (15, 40, 5):
        if level != 15:
            model.level = level
        assert np.abs(run(model, noisy) - by_command(noisy, task, "--level", level)).max() < STEP


def test_the_ends_of_the_scale(loader, noisy, tmp_path):
    save_adjustable(tmp_path / "adjustable.safetensors", "denoise", level=0)
    model = loader.load_from_file(tmp_path / "adjustable.safetensors")
    assert np.array_equal(run(model, noisy), noisy)
    model.level = 100
    with pytest.warns(ExtrapolationWarning):
        run(model, noisy)
    model.level = 101
    with pytest.raises(
        LevelError, match="sigma 101 is not accepted: this model takes a number from 0 to 100"
    ):
        run(model, noisy)


def test_a_black_and_white_picture_stays_one(loader, noisy, tmp_path):
    save_adjustable(tmp_path / "adjustable.safetensors", "denoise", level=25)
    grey = np.repeat(noisy[:1], 3, axis=0)
    restored = run(loader.load_from_file(tmp_path / "adjustable.safetensors"), grey)
    assert np.abs(restored - Restorer.load("denoise")(grey, 25)).max() < STEP


CONFIGS = [
    TINY,
    SMALL_PAPER,
    NetworkConfig("paper", (8,), (1,), rank=2),
    NetworkConfig("unet", (8, 16, 12), (0, 2, 3), rank=3, shuffle=2, full_to=12),
    NetworkConfig("unet", (5,), (1,)),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.kind}-{config.widths}")
def test_sizes_are_found_from_shapes(loader, config, tmp_path):
    network = randomised(build(config, SIGMA))
    plain = materialize(network, 30)
    image = torch.rand(1, 3, 17, 23)
    with torch.no_grad():
        expected = plain(image).clamp(0, 1)
    baked = loader.load_from_state_dict(plain.state_dict())
    torch.testing.assert_close(baked(image), expected)
    scale = torch.tensor([30, 0, 100, 0, 75, 0, 50, 0, 1], dtype=torch.float64)
    adjustable = loader.load_from_state_dict({**network.state_dict(), "level_scale_sigma": scale})
    torch.testing.assert_close(adjustable(image), expected)
    assert adjustable.model.scales == (SIGMA,)


def test_models_of_others_are_still_theirs(spandrel, loader):
    for architecture in (spandrel.architectures.DRUNet, spandrel.architectures.DnCNN):
        name = architecture.__name__.rpartition(".")[2]
        network = getattr(architecture, name)(**({"act_mode": "R"} if name == "DnCNN" else {}))
        assert loader.load_from_state_dict(network.state_dict()).architecture.id == name


def test_what_spandrel_cannot_run(spandrel, loader, tmp_path):
    with pytest.raises(spandrel.UnsupportedModelError):
        loader.load_from_state_dict(materialize(build(SUBPIXEL, SIGMA), 30).state_dict())
    with pytest.raises(UsageError, match="save_adjustable"):
        loader.load_from_file(MODELS / "denoise.safetensors")
    with pytest.raises(UsageError, match="upscale is for upscale; spandrel takes models for denoise and dej"):
        save_adjustable(tmp_path / "x.safetensors", "upscale", level=2)
    with pytest.raises(LevelError):
        save_adjustable(tmp_path / "x.safetensors", "denoise", level=200)
    assert not list(tmp_path.iterdir())


def test_registering_twice_is_no_error(spandrel):
    registry = spandrel.ArchRegistry()
    register(registry)
    register(registry)
    assert len(registry) == 2
