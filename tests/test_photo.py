"""Photo repair: its levels say what damage there is, a camera's too, and it starts as the denoiser."""

import csv
import importlib
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import randomised
from hypothesis import given
from hypothesis import strategies as st
from makers import example_photo
from PIL import Image

from hyperrestore import Restorer, read_picture
from hyperrestore.cli.main import main
from hyperrestore.errors import LevelError, RecipeError
from hyperrestore.learn import photo as module
from hyperrestore.learn.batch import crop_side, draw_batch
from hyperrestore.learn.calibrate import as_restored
from hyperrestore.learn.model import save_model
from hyperrestore.learn.photo import (
    BEST,
    KINDS,
    WORST,
    camera_pair,
    draw_damage,
    draw_saving,
    from_camera,
    from_levels,
    host_random,
    saved,
)
from hyperrestore.learn.photos import Photos, find_photos
from hyperrestore.learn.recipe import read_recipe
from hyperrestore.learn.train import train
from hyperrestore.level import Task
from hyperrestore.measure.degrade import gaussian_noise, jpeg
from hyperrestore.measure.metrics import psnr, to_8bit
from hyperrestore.measure.photo import (
    UNCOMPRESSED,
    UNITS,
    damaged_photo,
    effective_levels,
    luminance,
    mixed_noise,
    noise_levels,
)
from hyperrestore.network.architectures import (
    NetworkConfig,
    build,
    build_plain,
    count_parameters,
    load_network,
    multiply_adds,
)
from hyperrestore.network.checkpoint import load_checkpoint, read_description
from hyperrestore.restore.restorer import model_path
from hyperrestore.run.export import export_onnx

ROOT = Path(__file__).parents[1]
SHIPPED = read_recipe(ROOT / "recipes" / "photo.toml")
SMALL = replace(
    SHIPPED,
    network=NetworkConfig("unet", widths=(8, 12), blocks=(1, 1), rank=2),
    training=replace(
        SHIPPED.training, crop=32, warmup=5, validate_at=((20.0, 20.0, 100.0), (5.0, 20.0, 30.0))
    ),
)
PHOTO = torch.from_numpy(example_photo("coffee", 60, 150))
CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def crops(count=3, side=96):
    return torch.stack([PHOTO[:, :side, 7 * index :][..., :side] for index in range(count)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index, name in enumerate(("coffee", "chelsea", "astronaut")):
        picture = example_photo(name, 20, 30)[:, :256, :256]
        samples = (picture.transpose(1, 2, 0) * 255).round().astype(np.uint8)
        Image.fromarray(samples).resize((256, 256)).save(folder / f"{index}.png")
    return folder


# --- Levels -----------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.floats(0, 75), st.floats(0, 75))
def test_noise_has_the_levels_that_it_is_mixed_to(seed, brightness, colours):
    white = np.random.default_rng(seed).standard_normal((3, 96, 96))
    measured = noise_levels(mixed_noise(white, brightness / 255, colours / 255))
    assert measured == pytest.approx((brightness, colours), rel=0.05, abs=1e-6)


def test_white_noise_has_one_level_and_grey_noise_no_colours():
    white = np.random.default_rng(0).standard_normal((3, 256, 256)) * (25 / 255)
    assert noise_levels(white) == pytest.approx((25, 25), rel=0.02)
    np.testing.assert_allclose(mixed_noise(white, 1, 1), white, atol=1e-12)
    grey = np.broadcast_to(white[:1], white.shape)
    assert noise_levels(grey)[1] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(mixed_noise(grey, 2, 7), 2 * grey, atol=1e-12)
    for array, tensor in zip(noise_levels(white), noise_levels(torch.from_numpy(white)), strict=True):
        assert float(array) == pytest.approx(float(tensor))


@given(st.integers(0, 2**32 - 1), st.floats(1, 75), st.floats(1, 75))
def test_white_noise_is_effective_as_it_is(seed, brightness, colours):
    white = np.random.default_rng(seed).standard_normal((3, 256, 256))
    measured = effective_levels(mixed_noise(white, brightness / 255, colours / 255) + 0.1)
    assert measured == pytest.approx((1.03 * brightness, 1.03 * colours), rel=0.07)


@pytest.mark.parametrize("side", [2, 4, 8])
def test_coarse_noise_is_effective_as_the_white_noise_that_it_was_enlarged_of(side):
    white = np.random.default_rng(0).standard_normal((3, 64, 64)) * 10 / 255
    coarse = white.repeat(side, 1).repeat(side, 2)
    assert noise_levels(coarse) == pytest.approx((10, 10), rel=0.05)
    assert effective_levels(coarse) == pytest.approx((10 * side, 10 * side), rel=0.08)
    tensor = effective_levels(torch.from_numpy(coarse)[None])
    assert [level.item() for level in tensor] == pytest.approx(effective_levels(coarse))


def test_a_damaged_photo_is_what_the_other_tasks_see_on_their_axes():
    clean = PHOTO.numpy()[:, :64, :80]
    noisy = damaged_photo(clean, (25, 25, 100), np.random.default_rng(0))
    np.testing.assert_allclose(noisy, gaussian_noise(clean, 25, np.random.default_rng(0)), atol=1e-6)
    assert np.array_equal(damaged_photo(clean, (0, 0, 30), np.random.default_rng(0)), jpeg(clean, 30))
    assert np.array_equal(damaged_photo(clean, (0, 0, 100), np.random.default_rng(0)), clean)
    for wrong in ((-1, 0, 100), (0, float("nan"), 100), (0, 0, 0)):
        with pytest.raises(LevelError):
            damaged_photo(clean, wrong, np.random.default_rng(0))


# --- Crops of a training ----------------------------------------------------------------------------


def test_every_kind_of_damage_is_drawn_within_what_is_trained():
    random = np.random.default_rng(0)
    drawn = np.array([draw_damage(SHIPPED, random) for _ in range(4000)])
    noise, colours, quality = drawn.T
    assert 0 == noise.min() == colours.min() < max(noise.max(), colours.max()) <= 75
    assert quality.min() >= WORST and set(quality) <= {*range(WORST, BEST + 1), UNCOMPRESSED}
    plain = quality == UNCOMPRESSED
    shares = {
        "noise": plain & (noise == colours) & (noise > 0),
        "coloured": plain & (noise != colours),
        "jpeg": ~plain & (noise == 0) & (colours == 0),
        "both": ~plain & (noise > 0),
        "nothing": plain & (noise == 0) & (colours == 0),
    }
    for kind, share in KINDS.items():
        assert shares[kind].mean() == pytest.approx(share, abs=0.03), kind
    assert (colours > noise).sum() > 2 * (noise > colours).sum()


@pytest.mark.parametrize("seed", range(12))
def test_crops_have_the_damage_of_their_levels(seed):
    training = replace(SMALL.training, clipped_share=0.0, grey_share=0.5, weaker_share=0.0)
    recipe = replace(SMALL, training=training)
    clean = crops(6) * 0.5 + 0.25
    levels, degraded, target, *_ = from_levels(clean, recipe, np.random.default_rng(seed), generator(seed))
    assert degraded.shape == target.shape == (6, 3, 32, 32)
    brightness, colours, quality = levels.tolist()
    grey = (target == target[:, :1]).all(dim=(1, 2, 3))
    torch.testing.assert_close(
        degraded[grey], luminance(degraded[grey]).expand_as(degraded[grey]), rtol=0, atol=1e-5
    )
    if quality == UNCOMPRESSED:
        measured = noise_levels(degraded - target)
        assert measured[0][~grey].tolist() == pytest.approx([brightness] * (~grey).sum(), rel=0.2, abs=1e-4)
        assert measured[1][~grey].tolist() == pytest.approx([colours] * (~grey).sum(), rel=0.2, abs=1e-4)
    else:
        torch.testing.assert_close(degraded * 255, (degraded * 255).round(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_crops_with_weaker_noise_come_with_all_of_it_too(seed):
    training = replace(SMALL.training, clipped_share=0.0, grey_share=0.0, weaker_share=0.5)
    made = from_levels(
        crops(8) * 0.5 + 0.25, replace(SMALL, training=training), np.random.default_rng(seed), generator(seed)
    )
    assert made.noisy.shape == (4, 3, 32, 32)
    assert made.weaker[:4].all() and not made.weaker[4:].any()
    brightness, colours, quality = made.levels.tolist()
    given, full = (255 * (one[:4] - made.clean[:4]).std().item() for one in (made.degraded, made.noisy))
    if max(brightness, colours) > 5:
        assert given < full
    if quality == UNCOMPRESSED:
        measured = noise_levels(made.noisy - made.clean[:4])
        assert measured[0].tolist() == pytest.approx([brightness] * 4, rel=0.2, abs=1e-4)
        assert measured[1].tolist() == pytest.approx([colours] * 4, rel=0.2, abs=1e-4)


def test_crops_of_a_camera_have_no_weaker_noise():
    recipe = replace(SMALL, training=replace(SMALL.training, weaker_share=0.5))
    made = from_camera(crops(4, 128), recipe, np.random.default_rng(0), generator())
    assert not made.weaker.any() and made.noisy.shape == (2, 3, 32, 32)


@pytest.mark.parametrize("seed", range(12))
def test_crops_of_a_camera_have_the_noise_that_the_network_is_told(seed, monkeypatch):
    monkeypatch.setattr(module, "SAVED", 0.0)
    recipe = replace(SMALL, training=replace(SMALL.training, crop=48))
    clean = crops(3, 128) * 0.6 + 0.2
    levels, degraded, target, *_ = from_camera(clean, recipe, np.random.default_rng(seed), generator(seed))
    assert degraded.shape == target.shape == (3, 3, 48, 48) and levels[2] == UNCOMPRESSED
    for told, measured in zip(levels, effective_levels(degraded - target), strict=False):
        # A part of what was measured is left, rounded to 8 bits and clipped.
        assert measured.tolist() == pytest.approx([told.item()] * 3, rel=0.35, abs=0.5)


def test_noise_of_different_strength_is_brought_to_one_level():
    white = (
        torch.randn(3, 3, 64, 64, generator=generator())
        * torch.tensor([8.0, 10.0, 12.0]).view(3, 1, 1, 1)
        / 255
    )
    told, noise = module.levelled(white, noise_levels(white), SMALL)
    assert told.tolist() == pytest.approx([10, 10], rel=0.03)
    for level, measured in zip(told, noise_levels(noise), strict=True):
        torch.testing.assert_close(measured, level.expand(3), rtol=0.03, atol=0)
    faint = white * torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1, 1)
    assert module.levelled(faint, noise_levels(faint), SMALL)[1][2].abs().max() == 0


def test_a_camera_saves_with_and_without_jpeg_once_and_twice(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "compressed", lambda pictures, *rest: seen.append(rest) or pictures)
    monkeypatch.setattr(module, "SAVED_AGAIN", 0.0)
    counts = []
    for seed in range(60):
        before = len(seen)
        levels, *_ = from_camera(crops(1, 128), SMALL, np.random.default_rng(seed), generator(seed))
        counts.append(len(seen) - before)
        assert (counts[-1] == 0) == (levels[2] == UNCOMPRESSED)
    assert set(counts) == {0, 1, 2}


@pytest.mark.parametrize("seed", range(8))
def test_saved_crops_lie_on_what_they_are_to_become(seed):
    clean = crops(4, 64)
    saving = draw_saving(60.0, clean, np.random.default_rng(seed))
    degraded, target = saved(clean, clean, saving)
    assert degraded.shape == target.shape == (4, 3, 48, 48)
    error = (degraded - target).square().mean()
    assert 0 < error < (target[..., 1:] - target[..., :-1]).square().mean()


def test_a_batch_follows_from_the_generator(folder):
    photos = Photos(find_photos(folder), crop=crop_side(SMALL), device=CPU)
    batches = [draw_batch(SMALL, photos, generator(seed)) for seed in (1, 1, 2)]
    for one, same in zip(batches[0], batches[1], strict=True):
        assert torch.equal(one, same)
    assert not torch.equal(batches[0].levels, batches[2].levels)
    assert batches[0].levels.shape == (4, 3)
    assert batches[0].degraded.shape == batches[0].clean.shape == (4, 2, 3, 32, 32)
    assert host_random(generator(3)).random() == host_random(generator(3)).random()


# --- Training ---------------------------------------------------------------------------------------


def test_it_trains_and_its_log_names_every_axis(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("hyperrestore.learn.train.VALIDATION_CROPS", 1)
    monkeypatch.setattr("hyperrestore.learn.train.VALIDATION_SIZE", 64)
    train(SMALL, folder, tmp_path, steps=3, device=CPU, bf16=False)
    header = (tmp_path / "log.csv").read_text().splitlines()[0]
    assert header.endswith("psnr_20/20/100,psnr_5/20/30,psnr_camera")
    description = load_checkpoint(tmp_path / "model.safetensors").description
    assert [scale.unit for scale in description.scales] == ["noise", "colour noise", "quality"]
    assert description.history["training"]["cameras_share"] == SMALL.training.cameras_share
    assert len(description.history["validation_psnr"]) == 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    network = randomised(build(SMALL.network, SMALL.scales), size=0.1)
    path = tmp_path_factory.mktemp("model") / "photo.safetensors"
    save_model(path, SMALL, network, {"steps": 0})
    export_onnx(path)
    return path


def test_a_model_is_measured_along_its_axes(model, folder, capsys):
    for task, level, levels in (("denoise", "25", (25, 25, 100)), ("dejpeg", "30", (0, 0, 30))):
        words = ["evaluate", str(model), str(folder), "--task", task, "-l", level, "-f", "csv"]
        assert main([*words, "--precision", "fp32"]) == 0
        rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
        (row,) = (row for row in rows if row["picture"] == "0.png")
        clean = read_picture(folder / "0.png").pixels
        random = np.random.default_rng([0, zlib.crc32(b"0.png"), 1000 * int(level)])
        damaged = damaged_photo(clean, levels, random)
        restored = Restorer.load(model, precision="fp32")(damaged, dict(zip(UNITS, levels, strict=True)))
        assert float(row["psnr"]) == pytest.approx(psnr(to_8bit(restored), to_8bit(clean)), abs=0.01)
    assert main(["evaluate", str(model), str(folder)]) == 2
    assert "give the task denoise or dejpeg, got None" in capsys.readouterr().err
    assert main(["evaluate", "denoise", str(folder), "--task", "dejpeg"]) == 2
    assert "it is for denoise" in capsys.readouterr().err


def test_the_ranges_for_int8_are_measured_on_noise_with_and_without_jpeg(model):
    crop = PHOTO.numpy()[:, :32, :32]
    made = as_restored(read_description(model), crop, 20.0, np.random.default_rng(0))
    assert [one.levels for one in made] == [(20.0, 20.0, quality) for quality in (100.0, 60.0, 20.0)]
    assert not np.array_equal(made[0].pixels, made[2].pixels)


def test_a_model_restores_with_levels_by_name(model):
    restorer = Restorer.load(model, precision="fp32")
    assert restorer.task == Task.PHOTO
    picture = PHOTO.numpy()[:, :40, :56]
    restored = restorer(picture, {"noise": 10, "colour noise": 30, "quality": 40})
    stored = load_network(load_checkpoint(model))
    expected = stored(torch.from_numpy(picture)[None], (10.0, 30.0, 40.0))[0].clamp(0, 1).detach().numpy()
    np.testing.assert_allclose(restored, expected, atol=1e-4)


def test_the_camera_of_a_validation_says_what_noise_there_is():
    levels, degraded, target = camera_pair(PHOTO[:, :64, :64], np.random.default_rng(3))
    assert degraded.shape == target.shape == (3, 64, 64)
    assert levels[0] > 0 and 85 <= levels[2] <= BEST


def test_the_network_is_as_small_and_fast_as_it_may_be():
    assert count_parameters(build(SHIPPED.network, SHIPPED.scales)) <= 4e6
    assert multiply_adds(build_plain(SHIPPED.network)) <= 0.17e6


def test_it_starts_as_the_denoiser_and_near_the_jpeg_model(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    begin = importlib.import_module("begin_photo").begin
    denoiser, dejpeg = (load_network(load_checkpoint(model_path(task))) for task in ("denoise", "dejpeg"))
    network = begin(denoiser, dejpeg, SHIPPED)
    clean = PHOTO[:, :96, :96]
    for sigma in (0.0, 15.0, 50.0):
        noisy = clean + torch.randn(clean.shape, generator=generator()) * sigma / 255
        with torch.no_grad():
            ours, theirs = network(noisy[None], (sigma, sigma, 100.0)), denoiser(noisy[None], sigma)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)
    damaged = torch.from_numpy(jpeg(clean.numpy(), 20))[None]
    with torch.no_grad():
        errors = [
            (restored - clean).square().mean().item()
            for restored in (damaged, network(damaged, (0.0, 0.0, 20.0)), dejpeg(damaged, 20.0))
        ]
    given, ours, theirs = errors
    assert ours < given - 0.5 * (given - theirs)


# --- Recipes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('unit = "colour noise"', 'unit = "colours"', "photo needs .*noise, colour noise, quality"),
        ("[[15, 15, 100],", "[[15, 15],", "validate_at.*3 levels each"),
        ("[[15, 15, 100],", "[[15, 115, 100],", "validate_at.*115"),
        ("[[15, 15, 100],", "[[15, 15, 10.5],", r"10\.5 .* whole number"),
        ("[[15, 15, 100],", "[[15, 15, 100], [15, 15, 100],", "twice"),
        ("cameras_share = 0.3", "cameras_share = 1.3", "cameras_share"),
        ("cameras_share = 0.3", "cameras_share = 0.3\nlevels = [15]", "levels are for one level axis"),
        ('task = "photo"', 'task = "denoise"', "cameras_share is for photo"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path, old, new, named):
    text = (ROOT / "recipes" / "photo.toml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(RecipeError, match=f"(?s){named}"):
        read_recipe(path)


# --- The shipped model ------------------------------------------------------------------------------

DAMAGE = {"noise": (20, 20, 100), "coloured": (8, 25, 100), "saved": (20, 20, 60)}
DIALS = {"noise": (0, 8, 20), "colour noise": (0, 8, 25), "quality": (100, 80, 60)}


@pytest.mark.parametrize("name", DAMAGE)
def test_residual_noise_falls_with_each_dial_at_every_setting_of_the_others(name):
    """Up to what is really there: beyond it, there is no more noise to fall."""
    damage = dict(zip(DIALS, DAMAGE[name], strict=True))
    rows, columns = np.mgrid[:96, :96] / 95
    clean = np.stack([0.35 + 0.3 * columns, 0.5 + 0.1 * rows, 0.6 - 0.3 * columns]).astype(np.float32)
    restorer = Restorer.load("photo", precision="fp32")
    degraded = damaged_photo(clean, DAMAGE[name], np.random.default_rng(0))
    strength = {scale.unit: scale.strength for scale in restorer.scales}
    settings = {
        unit: [value for value in values if strength[unit](value) <= strength[unit](damage[unit])]
        for unit, values in DIALS.items()
    }
    left = np.zeros((*map(len, settings.values()), 2))
    for place in np.ndindex(left.shape[:3]):
        level = {unit: values[index] for (unit, values), index in zip(settings.items(), place, strict=True)}
        left[place] = noise_levels(restorer(degraded, level) - clean)
    for axis, kind in ((0, 0), (1, 1)):  # noise of brightness, of colours
        noise = np.moveaxis(left[..., kind], axis, 0)
        # What was compressed, where the dials say that it was not, is partly taken for detail.
        assert (noise[1:] <= noise[:-1] + 0.6).all()
    assert (left[-1, -1, -1] < 0.4 * left[0, 0, 0]).all()
