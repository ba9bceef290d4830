"""What a network that upscales is trained on is what the protocols and other programs make of a picture."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import randomised
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hyperrestore.errors import RecipeError
from hyperrestore.learn.batch import crop_side, draw_batch, draw_levels
from hyperrestore.learn.photos import PhotoFile, Photos
from hyperrestore.learn.recipe import read_recipe, recipe_of
from hyperrestore.learn.state import Run
from hyperrestore.learn.step import learn, loss_of
from hyperrestore.learn.train import train
from hyperrestore.learn.upscaling import (
    OTHER_KERNELS,
    ROUGH_QUALITY,
    box,
    canvas_side,
    cubic,
    enlarged,
    lanczos,
    resampling,
    roughened,
    triangle,
    upscaled,
)
from hyperrestore.learn.validate import validate
from hyperrestore.learn.world import World
from hyperrestore.measure.degrade import jpeg, shrink
from hyperrestore.network.architectures import NetworkConfig, build, count_parameters, multiply_adds
from hyperrestore.network.checkpoint import load_checkpoint
from hyperrestore.network.hyper import materialize
from hyperrestore.resample import bicubic_taps, resize_bicubic

CPU = torch.device("cpu")
SHIPPED = read_recipe(Path(__file__).parents[1] / "recipes" / "upscale.toml")
TINY = replace(
    SHIPPED,
    network=NetworkConfig("subpixel", widths=(8, 12), blocks=(1, 1), subpixels=4),
    training=replace(SHIPPED.training, crops_per_level=2, crop=12, warmup=5, validate_at=(2.0, 3.5)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for index in range(3):
        coarse = random.random((3, 12, 12), np.float32)
        picture = resize_bicubic(coarse, 256, 256, antialias=True).clip(0, 1)
        Image.fromarray((picture.transpose(1, 2, 0) * 255).astype(np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def photos(folder):
    files = [PhotoFile(path, path.name) for path in sorted(folder.iterdir())]
    return Photos(files, crop=crop_side(TINY), device=CPU)


@settings(deadline=None)
@given(st.integers(9, 60), st.integers(9, 60), st.floats(0, 2))
def test_matrices_are_those_of_the_protocol(count, length, softness):
    step = count / length
    stretch = max(1.0, softness * step)
    if count < 2 * stretch:  # its border would have to be mirrored twice
        return
    places, weights = bicubic_taps(count, length, step, antialias=True, softness=softness)
    expected = np.zeros((length, count))
    np.add.at(expected, (np.arange(length)[:, None], places), weights)
    sizes = torch.tensor([count, count]), torch.tensor([length, length])
    made = resampling(*sizes, most=(length + 2, count + 3), stretch=torch.tensor([stretch] * 2))
    np.testing.assert_allclose(made[1, :length, :count], expected, rtol=0, atol=5e-5)
    assert not made[:, length:].any() and not made[:, :, count:].any()


@pytest.mark.parametrize(
    ("kernel", "pillow"),
    [
        (box, Image.Resampling.BOX),
        (triangle, Image.Resampling.BILINEAR),
        (lanczos, Image.Resampling.LANCZOS),
        (cubic, Image.Resampling.BICUBIC),
    ],
)
def test_other_kernels_are_those_of_pillow(kernel, pillow):
    samples = np.random.default_rng(0).random(60).astype(np.float32)
    row = Image.fromarray(np.repeat(samples[None], 3, axis=0))
    expected = np.asarray(row.resize((23, 3), pillow))[1]
    matrix = resampling(
        torch.tensor([60]), torch.tensor([23]), most=(23, 60), stretch=torch.tensor([60 / 23]), kernel=kernel
    )
    inner = slice(3, -3)  # Pillow cuts a kernel at the border, this mirrors the picture
    np.testing.assert_allclose((matrix[0].numpy() @ samples)[inner], expected[inner], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kernel", "softness"), OTHER_KERNELS)
def test_the_softness_of_another_kernel_is_the_nearest(kernel, softness):
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    waves = torch.cos(2 * torch.pi * torch.linspace(0, 1, 200, dtype=torch.float64)[:, None] * x)

    def spectrum(values):
        return waves @ (values / values.sum())

    wanted = spectrum(kernel(x))
    tried = np.arange(0.5, 1.6, 0.01)
    errors = [float((spectrum(cubic(x / one)) - wanted).square().sum()) for one in tried]
    assert tried[int(np.argmin(errors))] == pytest.approx(softness, abs=0.02)


def test_a_batch_is_what_shrinking_makes(photos):
    recipe = replace(
        TINY,
        training=replace(TINY.training, grey_share=0.0, rough_share=0.0, other_share=0.0, softness_share=1.0),
    )
    batch = draw_batch(recipe, photos, torch.Generator().manual_seed(0))
    side, most = recipe.training.crop, canvas_side(recipe)
    seen = set()
    for level, small, clean, enlarge, place, share in zip(*batch, strict=True):
        scale, softness = level.tolist()
        count = round(scale * side)
        seen.add(softness)
        assert float(share) == pytest.approx((count / most) ** 2)
        assert not clean[..., count:, :].any() and not clean[..., :, count:].any()
        for little, crop in zip(small, clean, strict=True):
            picture = crop[:, :count, :count].numpy()
            expected = shrink(picture, count / side, softness=softness)
            assert np.abs(little.numpy() - expected).max() < 1.01 / 255
            assert np.mean(np.abs(little.numpy() - expected) > 0.5 / 255) < 0.01  # halves round either way
        tall = resize_bicubic(small[0].numpy(), count, count, antialias=True)
        np.testing.assert_allclose(
            (enlarge @ small[0] @ enlarge.T)[:, :count, :count], tall, rtol=0, atol=2e-5
        )
        assert place.shape == (most, 4 * side)
    assert len(seen) == len(batch.levels) and all(0 <= one <= 2 for one in seen)


def test_shares_are_shares(photos):
    levels = torch.linspace(1.1, 3.9, 400)
    generator = torch.Generator().manual_seed(0)
    training = replace(TINY.training, crops_per_level=1, softness_share=0.5, other_share=0.3, grey_share=0.25)
    batch = training_batch(replace(TINY, training=training), photos, levels, generator)
    softness = batch.levels[:, 1]
    others = torch.zeros(len(levels), dtype=torch.bool)
    for _, nearest in OTHER_KERNELS:
        others |= (softness - nearest).abs() < 1e-6
    assert 0.2 < others.float().mean() < 0.4
    assert 0.25 < (softness == 1).float().mean() < 0.45
    grey = (batch.clean == batch.clean[:, :, :1]).all(dim=(1, 2, 3, 4))
    assert 0.15 < grey.float().mean() < 0.35
    assert (batch.small == batch.small[:, :, :1]).all(dim=(1, 2, 3, 4))[grey].all()


def test_a_misjudged_softness_is_told_wrong_but_shrunk_right(photos):
    levels = torch.linspace(1.1, 3.9, 400)
    told = {}
    for share in (0.0, 0.25):
        training = replace(TINY.training, crops_per_level=1, softness_share=0.5, misjudged_share=share)
        generator = torch.Generator().manual_seed(0)
        told[share] = training_batch(replace(TINY, training=training), photos, levels, generator)
    assert (told[0.0].small == told[0.25].small).all()
    moved = told[0.25].levels[:, 1] - told[0.0].levels[:, 1]
    assert 0.15 < (moved != 0).float().mean() < 0.35
    assert 0.3 < moved.abs().max() <= 0.5
    assert moved.min() < 0 < moved.max()
    assert all(0 <= one <= 2 for one in told[0.25].levels[:, 1].tolist())


def training_batch(recipe, photos, levels, generator):
    from hyperrestore.learn.upscaling import draw_upscaling

    return draw_upscaling(recipe, photos, levels, generator)


def test_whole_scales_are_never_1():
    recipe = replace(TINY, training=replace(TINY.training, whole_share=1.0))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([draw_levels(recipe, generator) for _ in range(200)])
    counts = [int((drawn == scale).sum()) for scale in (1, 2, 3, 4)]
    assert counts[0] == 0 and sum(counts) == len(drawn) and min(counts[1:]) > len(drawn) / 4


@pytest.mark.parametrize("sides", [(8, 8), (40, 40), (13, 21)])
def test_rough_crops_are_those_of_an_encoder(sides):
    random = np.random.default_rng(0)
    small = torch.from_numpy(
        resize_bicubic(random.random((3, 4, 5)), *sides, antialias=True).clip(0, 1)
    ).float()
    generator = torch.Generator().manual_seed(3)
    rough = roughened(small[None].expand(50, -1, -1, -1).contiguous(), generator)
    assert rough.shape == (50, 3, *sides)
    assert ((rough * 255 - (rough * 255).round()).abs() < 1e-3).all()
    best = jpeg(small.numpy(), 100, subsampling="4:4:4")
    worst = jpeg(small.numpy(), round(ROUGH_QUALITY), subsampling="4:4:4")
    errors = (rough - small).square().mean(dim=(1, 2, 3)).sqrt() * 255
    least = np.sqrt(np.square(best - small.numpy()).mean()) * 255
    most = np.sqrt(np.square(worst - small.numpy()).mean()) * 255
    assert least * 0.8 < errors.min() and errors.max() < (most**2 + 3**2) ** 0.5 * 1.2
    assert errors.max() > 1.5 * errors.min()


def test_rough_crops_without_noise_are_jpeg(monkeypatch):
    import hyperrestore.learn.upscaling as module

    monkeypatch.setattr(module, "ROUGH_SIGMA", 0.0)
    random = np.random.default_rng(0)
    small = torch.from_numpy(0.3 + 0.4 * random.random((6, 3, 16, 24), np.float32))  # nothing is clipped
    quality = (
        ROUGH_QUALITY
        + (100 - ROUGH_QUALITY)
        * torch.rand(2, 6, 1, 1, 1, generator=torch.Generator().manual_seed(0))[1].flatten()
    )
    rough = roughened(small, torch.Generator().manual_seed(0))
    for one, made, clean in zip(quality.round().tolist(), rough, small, strict=True):
        differences = {
            tried: float(np.abs(made.numpy() - jpeg(clean.numpy(), tried, subsampling="4:4:4")).mean())
            for tried in range(round(ROUGH_QUALITY) - 4, 101)
        }
        assert min(differences, key=differences.__getitem__) == one
        assert differences[int(one)] * 255 < 2, "here and there a coefficient is rounded otherwise"


def test_grey_stays_grey_when_roughened():
    small = torch.rand(8, 1, 24, 24, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    rough = roughened(small.contiguous(), torch.Generator().manual_seed(1))
    assert (rough - rough[:, :1]).abs().max() * 255 < 0.01


def test_what_lies_beyond_a_crop_does_not_count(photos):
    batch = draw_batch(TINY, photos, torch.Generator().manual_seed(0))
    network = randomised(build(TINY.network, TINY.scales), size=0.1)
    for level, small, clean, enlarge, place, share in zip(*batch, strict=True):
        count = round(float(level[0]) * TINY.training.crop)
        restored = upscaled(network, small, level, enlarge, place)
        inner = enlarged(materialize(network, level.tolist()), small, count, count)
        torch.testing.assert_close(restored[..., :count, :count], inner, rtol=0, atol=1e-4)
        assert not restored[..., count:, :].any() and not restored[..., :, count:].any()
        for loss in ("l1", "rms"):
            training = replace(TINY.training, loss=loss)
            whole = loss_of(restored, clean, training, share=share)
            torch.testing.assert_close(
                whole, loss_of(inner, clean[..., :count, :count], training), rtol=1e-3, atol=1e-5
            )


def test_it_starts_as_the_cubic_enlargement():
    torch.manual_seed(0)
    network = build(TINY.network, TINY.scales)
    small = torch.rand(1, 3, 9, 13)
    made = enlarged(lambda image: network(image, (2.5, 0.3)), small, 22, 33)
    expected = resize_bicubic(small[0].numpy(), 22, 33, antialias=True)
    np.testing.assert_allclose(made[0].detach(), expected, rtol=0, atol=1e-5)


def test_the_shipped_recipe_stays_small():
    network = build(SHIPPED.network, SHIPPED.scales)
    assert count_parameters(network) <= 3e6
    per_pixel = multiply_adds(materialize(network, (2.0, 1.0)))
    assert per_pixel / 2**2 <= 0.16e6 and per_pixel / 4**2 <= 0.06e6


def test_a_step_teaches(photos):
    torch.manual_seed(0)
    run = Run(TINY, CPU, {})
    generator = torch.Generator().manual_seed(0)
    losses = []
    alone = World(0, 1, torch.device("cpu"))
    for _ in range(30):
        batch = draw_batch(TINY, photos, generator)
        losses.append(float(learn(run, alone, torch.tensor(3e-3), *batch, bf16=False)))
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    slopes = [value for name, value in run.network.named_parameters() if name.endswith("slope")]
    assert all(slope[axis].abs().max() > 0 for slope in slopes for axis in range(3)), "both axes learn"


def test_training_writes_a_model_that_says_its_axes(folder, tmp_path):
    train(TINY, folder, tmp_path / "run", steps=3, device=CPU, bf16=False)
    description = load_checkpoint(tmp_path / "run" / "model.safetensors").description
    assert [scale.unit for scale in description.scales] == ["scale", "softness"]
    assert description.network["subpixels"] == 4
    train(TINY, folder, tmp_path / "run", steps=5, device=CPU, bf16=False, resume=True)
    assert load_checkpoint(tmp_path / "run" / "model.safetensors").description.history["steps"] == 5


def test_validation_is_the_protocol(folder):
    torch.manual_seed(0)
    network = build(TINY.network, TINY.scales)  # adds nothing yet
    clean = resize_bicubic(np.random.default_rng(0).random((3, 9, 9)), 64, 64, antialias=True).clip(0, 1)
    scores = validate(network, torch.from_numpy(clean)[None].float(), TINY, bf16=False)
    large = resize_bicubic(shrink(clean.astype(np.float32), 2), 64, 64, antialias=True).clip(0, 1)
    assert scores[0] == pytest.approx(-10 * np.log10(np.square(large - clean).mean()), abs=1e-3)


def test_a_recipe_survives_json():
    assert recipe_of(json.loads(json.dumps(asdict(SHIPPED)))) == SHIPPED


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"axes": ()}, "softness"),
        ({"network": NetworkConfig("unet", (8, 12), (1, 1))}, "softness"),
        ({"axes": (SHIPPED.scale,)}, "softness"),
    ],
)
def test_axes_have_to_fit(change, why):
    with pytest.raises(RecipeError, match=why):
        replace(TINY, **change)


@pytest.mark.parametrize("entry", [{"subpixels": 0}, {"subpixels": 4}, {"subpixels": 2, "shuffle": 2}])
def test_sub_pixels_have_to_fit(entry):
    with pytest.raises(RecipeError, match="subpixels"):
        NetworkConfig("unet", widths=(8,), blocks=(1,), **entry)


@pytest.mark.parametrize("count", [0, 1])
def test_a_network_with_sub_pixels_has_several(count):
    with pytest.raises(RecipeError, match=f"subpixels {count} do not fit .* 2 or more"):
        NetworkConfig("subpixel", widths=(8,), blocks=(1,), subpixels=count)
