"""The shipped models: laws that every user relies on, and floors that broken weights or engines miss."""

from pathlib import Path

import numpy as np
import pytest
from makers import example_photo
from PIL import Image, ImageDraw, ImageFont

from hyperrestore import Region, Restorer, Task, run_tiled
from hyperrestore.level import SHIPPED
from hyperrestore.measure.degrade import gaussian_noise, jpeg, shrink
from hyperrestore.measure.evaluate import USUAL_LEVELS, evaluate
from hyperrestore.measure.metrics import psnr, to_8bit
from hyperrestore.measure.photo import damaged_photo
from hyperrestore.measure.pictures import find_pictures
from hyperrestore.network.checkpoint import load_checkpoint
from hyperrestore.resample import resize_bicubic
from hyperrestore.restore.restorer import MODELS
from hyperrestore.run.subpixels import Upscaled

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "test"
CROPS = {
    "chelsea": example_photo("chelsea", 20, 100),
    "coffee": example_photo("coffee", 60, 150),
    "camera": example_photo("camera", 50, 150),
}


@pytest.fixture(scope="module")
def restorers():
    return {task: Restorer.load(task, precision="fp32") for task in SHIPPED}


@pytest.fixture(scope="module")
def restorer(restorers):
    return restorers[Task.DENOISE]


@pytest.mark.parametrize("task", SHIPPED)
def test_the_model_is_small_whole_and_has_a_card(task):
    path = MODELS / f"{task}.safetensors"
    checkpoint = load_checkpoint(path)
    assert checkpoint.description.task == task
    several = task == Task.PHOTO  # levels, each with a W of its own
    assert path.stat().st_size <= (8_000_000 if several else 6_000_000)
    assert sum(tensor.size for tensor in checkpoint.tensors.values()) <= (4_000_000 if several else 3_000_000)
    assert all(np.isfinite(tensor).all() for tensor in checkpoint.tensors.values())
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    for heading in ("## Scores", "## Training", "## Data", "## Licence"):
        assert heading in card
    assert f"{checkpoint.description.history['steps']:,}" in card


# PSNR in dB at sigma 15, 25, 50, a quarter of a decibel below what the weights of record reach.
FLOORS = {
    "chelsea": (33.45, 31.05, 28.15),
    "coffee": (35.8, 33.5, 30.4),
    "camera": (33.55, 31.05, 27.85),
}


@pytest.mark.parametrize("name", FLOORS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_restored_photographs_reach_their_floor(name, precision):
    restorer = Restorer.load("denoise", precision=precision)
    scores = []
    for sigma in (15, 25, 50):
        noisy = gaussian_noise(CROPS[name], sigma, np.random.default_rng(sigma))
        scores.append(psnr(restorer(noisy, sigma), CROPS[name]))
    assert all(score >= floor for score, floor in zip(scores, FLOORS[name], strict=True)), scores


def test_residual_noise_falls_with_strength(restorer):
    """What two noisy versions of one picture still differ by is noise, whatever was done to the detail."""
    clean = CROPS["coffee"]
    pair = [gaussian_noise(clean, 25, np.random.default_rng(seed)) for seed in (1, 2)]
    levels = [0, 1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60, 75]
    residual = [np.std(np.subtract(*(restorer(noisy, level) for noisy in pair))) for level in levels]
    assert np.all(np.diff(residual) < 0), residual
    assert residual[levels.index(25)] < residual[0] / 3


def test_residual_noise_of_a_flat_picture_falls_with_strength(restorer):
    noisy = gaussian_noise(np.full((3, 128, 128), 0.5, np.float32), 25, np.random.default_rng(0))
    residual = [float(restorer(noisy, level).std()) for level in (0, 1, 2, 5, 10, 15, 20, 25)]
    assert np.all(np.diff(residual) < 0), residual
    # Beyond the true level next to nothing is left that could fall.
    for level in (25, 30, 40):
        assert restorer(noisy, level).std() < 0.1 * 25 / 255, level


def test_the_weakest_levels_hardly_change_a_clean_photograph(restorer):
    changes = {
        level: [np.abs(restorer(clean, level) - clean).mean() * 255 for clean in CROPS.values()]
        for level in (0, 0.01, 1)  # at 0 no network runs, just beyond it does
    }
    assert max(changes[0]) == 0 and max(changes[0.01]) < 0.25, changes
    # Photographs are not quite clean: the grain of one of them is taken for noise of sigma 1.
    assert np.mean(changes[1]) < 0.5 and max(changes[1]) < 0.55, changes


@pytest.mark.parametrize("sigma", [0.01, 1])
def test_weak_levels_make_photographs_neither_darker_nor_lighter(restorer, sigma):
    for name, clean in CROPS.items():
        stored = to_8bit(gaussian_noise(clean, sigma, np.random.default_rng(1))).astype(np.float32)
        middle = (clean > 0.2) & (clean < 0.8)
        shift = 255 * (restorer(stored, sigma) - stored)[middle].mean()
        assert abs(shift) < 0.05, (name, shift)


@pytest.mark.parametrize("sigma", [10, 40])
def test_the_true_level_is_the_best(restorer, sigma):
    noisy = gaussian_noise(CROPS["chelsea"], sigma, np.random.default_rng(0))
    best = psnr(restorer(noisy, sigma), CROPS["chelsea"])
    for factor in (0.5, 0.7, 1.4, 1.8):
        assert psnr(restorer(noisy, sigma * factor), CROPS["chelsea"]) < best


def test_brightness_and_colour_stay(restorer):
    """Clipped noise shifts dark and bright tones; in between the mean of every channel must stay."""
    for tone in (0.2, 0.5, 0.8):
        clean = (
            np.full((3, 160, 160), tone, np.float32) + np.array([0.05, 0, -0.05], np.float32)[:, None, None]
        )
        for sigma in (5, 25, 50):
            noisy = gaussian_noise(clean, sigma, np.random.default_rng(sigma))
            change = (restorer(noisy, sigma) - noisy).mean(axis=(1, 2))
            assert np.abs(change).max() < 1 / 255, (tone, sigma, change * 255)


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
@pytest.mark.parametrize(("sigma", "level"), [(10, 12), (10, 25), (5, 75), (25, 30), (25, 50), (50, 75)])
def test_a_level_too_high_takes_detail_but_not_tones(restorer, name, sigma, level):
    """Means of blocks, and of the whole, of each channel."""
    clean = CROPS[name]
    noisy = gaussian_noise(clean, sigma, np.random.default_rng(sigma))
    change = 255 * (restorer(noisy, level) - clean)
    tones = change.reshape(3, 16, 16, 16, 16).mean(axis=(2, 4))
    assert np.sqrt(np.square(tones).mean()) < 3.5, np.sqrt(np.square(tones).mean())
    assert np.abs(change.mean(axis=(1, 2))).max() < 2.5, change.mean(axis=(1, 2))


# --- What holds for every task ----------------------------------------------------------------------

TYPICAL = {
    Task.PHOTO: {"noise": 15, "colour noise": 25, "quality": 40},
    Task.DENOISE: 25,
    Task.DEJPEG: 20,
    Task.UPSCALE: 2,
}


@pytest.mark.parametrize("task", SHIPPED)
def test_tiled_is_whole(restorers, task):
    noisy = gaussian_noise(example_photo("coffee", 0, 0, 389)[:, :, :301], 10, np.random.default_rng(0))
    backend = restorers[task].at(TYPICAL[task])

    def tiled(size):
        if task != Task.UPSCALE:
            return run_tiled(backend, noisy, size=size)
        upscaled = Upscaled(backend, size=noisy.shape[1:], to=(800, 620))
        return upscaled.region(
            lambda part: noisy[:, part.top : part.bottom, part.left : part.right],
            Region(0, 0, 620, 800),
            tile=size,
        )

    whole = tiled(512)
    for size in (64, 200):
        assert np.abs(tiled(size) - whole).max() <= 1e-6


@pytest.mark.parametrize("task", SHIPPED)
def test_torch_and_openvino_agree(restorers, task):
    small = CROPS["coffee"][:, :96, :112]
    reference = Restorer.load(task, device="torch", precision="fp32")
    scale = restorers[task].scale
    for level in (TYPICAL[task], *scale.trained):
        assert np.abs(restorers[task](small, level) - reference(small, level)).max() < 1e-4


@pytest.mark.parametrize("task", SHIPPED)
def test_bf16_is_invisible_in_8_bits(restorers, task):
    noisy = gaussian_noise(CROPS["coffee"], 10, np.random.default_rng(0))[:, :160, :160]
    fast = Restorer.load(task, precision="bf16")
    assert psnr(fast(noisy, TYPICAL[task]), restorers[task](noisy, TYPICAL[task])) > 50


# --- JPEG repair ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CROPS)
def test_repairing_gains_at_every_quality(restorers, name):
    gains = []
    for quality in (5, 10, 20, 30, 40, 60, 80, 95):
        saved = jpeg(CROPS[name], quality)
        repaired = restorers[Task.DEJPEG](saved, quality)
        gains.append(psnr(repaired, CROPS[name]) - psnr(saved, CROPS[name]))
    assert min(gains) > 0 and min(gains[:5]) > 0.7, gains


@pytest.mark.parametrize("quality", [10, 40])
def test_the_true_quality_is_the_best(restorers, quality):
    saved = jpeg(CROPS["chelsea"], quality)
    best = psnr(restorers[Task.DEJPEG](saved, quality), CROPS["chelsea"])
    for factor in (0.5, 2):
        assert psnr(restorers[Task.DEJPEG](saved, quality * factor), CROPS["chelsea"]) < best


def test_repair_changes_more_with_strength_and_hardly_anything_at_its_weakest(restorers):
    qualities = (100, 95, 80, 60, 40, 20, 10, 5)
    changes = [
        np.mean(
            [np.abs(restorers[Task.DEJPEG](clean, level) - clean).mean() * 255 for clean in CROPS.values()]
        )
        for level in qualities
    ]
    assert changes[0] < 0.5 and np.all(np.diff(changes) > 0), changes


def test_a_shifted_grid_and_other_colours_are_repaired_too(restorers):
    clean = CROPS["coffee"]
    cut = np.pad(clean, ((0, 0), (5, 0), (3, 0)), mode="edge")
    shifted = jpeg(cut, 20)[:, 5:, 3:]
    for saved in (shifted, jpeg(clean, 20, subsampling="4:4:4"), jpeg(jpeg(clean, 20), 90)):
        assert psnr(restorers[Task.DEJPEG](saved, 20), clean) > psnr(saved, clean) + 0.7


# --- Noise and JPEG ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("sigma", "quality"), [(20, 30), (20, 80), (40, 80)])
def test_one_pass_restores_more_than_two(restorers, sigma, quality):
    gains = []
    for index, clean in enumerate(CROPS.values()):
        noisy = gaussian_noise(clean, sigma, np.random.default_rng(index))
        saved = jpeg(noisy, quality)
        once = restorers[Task.PHOTO](saved, {"noise": sigma, "colour noise": sigma, "quality": quality})
        twice = restorers[Task.DEJPEG](restorers[Task.DENOISE](saved, sigma), quality)
        gains.append(psnr(once, clean) - psnr(twice, clean))
    assert np.mean(gains) > 0.1, gains


def test_colours_are_cleaned_apart(restorers):
    clean = CROPS["coffee"]
    noisy = damaged_photo(clean, (5, 30, 100), np.random.default_rng(0))
    level = {"noise": 5, "colour noise": 30}
    assert psnr(restorers[Task.PHOTO](noisy, level), clean) > 1 + max(
        psnr(restorers[Task.DENOISE](noisy, sigma), clean) for sigma in (5, 10, 15, 20, 30)
    )


def test_a_clean_photo_at_the_weakest_levels_hardly_changes(restorers):
    for clean in CROPS.values():
        barely = restorers[Task.PHOTO](clean, {"noise": 0.01, "colour noise": 0.01, "quality": 99.9})
        assert np.abs(barely - clean).mean() * 255 < 0.5


# --- Upscaling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CROPS)
def test_upscaling_beats_bicubic_interpolation_at_every_scale(restorers, name):
    gains = []
    for scale in (1.28, 1.6, 2, 2.56, 3.2, 4):
        side = round(256 / scale)
        small = resize_bicubic(CROPS[name], side, side, antialias=True).clip(0, 1)
        upscaled = restorers[Task.UPSCALE](small, 256 / side)
        assert upscaled.shape == CROPS[name].shape
        enlarged = resize_bicubic(small, 256, 256, antialias=True)
        gains.append(psnr(upscaled, CROPS[name]) - psnr(enlarged, CROPS[name]))
    assert min(gains) > 0.3, gains


def test_scale_1_hardly_changes_a_photograph(restorers):
    for clean in CROPS.values():
        assert np.array_equal(restorers[Task.UPSCALE](clean, 1), clean)
        # At 1 no network runs; just beyond it does, on a picture that keeps its size.
        barely = restorers[Task.UPSCALE](clean, 1.001)
        assert barely.shape == clean.shape and np.abs(barely - clean).mean() * 255 < 0.5


@pytest.mark.parametrize("scale", [1.05, 1.1])
@pytest.mark.parametrize("name", CROPS)
def test_a_little_enlargement_keeps_more_than_bicubic_interpolation(restorers, name, scale):
    clean = CROPS[name]
    ours = restorers[Task.UPSCALE](clean, scale)
    bicubic = resize_bicubic(clean, *ours.shape[1:], antialias=True)

    def changed(enlarged):
        return np.square(resize_bicubic(enlarged, *clean.shape[1:], antialias=True) - clean).mean()

    assert changed(ours) < changed(bicubic) / 2


# --- Scores of record -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs the test photos in ../shared/data/test")
@pytest.mark.parametrize(
    ("task", "photos", "floors"),
    [
        (Task.DENOISE, "CBSD68", (33.65, 31.0, 27.85)),
        (Task.DEJPEG, "LIVE1", (27.0, 29.3, 30.6, 31.5)),
        (Task.UPSCALE, "Set5", (36.8, 33.0, 30.7)),
    ],
)
def test_test_sets_reach_their_floors(task, photos, floors):
    means = evaluate(Restorer.load(task), find_pictures(PHOTOS / photos), USUAL_LEVELS[task]).means()
    for score, floor in zip(means, floors, strict=True):
        assert score.psnr >= floor, score


def drawn_page():
    """A page with text in a font that was not trained on, (3, 256, 320)."""
    picture = Image.new("RGB", (320, 256), "white")
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle((0, 0, 320, 28), fill=(52, 101, 164))
    canvas.text((8, 5), "Settings  Help  View", fill="white", font=ImageFont.load_default(15))
    for index, size in enumerate((10, 12, 14, 18)):
        font, top = ImageFont.load_default(size), 40 + 52 * index
        canvas.text((10, top), f"The quick brown fox, {size} px", fill=(20, 20, 20), font=font)
        canvas.text((10, top + 22), "jumps over 1,234 lazy dogs.", fill=(200, 40, 40), font=font)
    canvas.ellipse((250, 140, 300, 190), fill=(80, 170, 90))
    return np.asarray(picture).transpose(2, 0, 1).astype(np.float32) / 255


@pytest.mark.parametrize("quality", [30, 75, 90])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_a_drawn_page_gets_better(restorers, quality, subsampling):
    page = drawn_page()
    damaged = jpeg(page, quality, subsampling=subsampling)
    assert psnr(restorers[Task.DEJPEG](damaged, quality), page) > psnr(damaged, page)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("softness", [0, 0.5, 1, 1.5, 2])
def test_small_pictures_gain_at_their_softness(restorers, scale, softness):
    gains = []
    for crop in (crop[:, :252, :252] for crop in CROPS.values()):
        small = shrink(crop, scale, softness=softness)
        enlarged = psnr(resize_bicubic(small, 252, 252, antialias=True).clip(0, 1), crop)
        told = {"scale": scale, "softness": softness}
        gains.append(psnr(restorers[Task.UPSCALE](small, told), crop) - enlarged)
    assert min(gains) > 0 and np.mean(gains) > 0.3


@pytest.mark.parametrize("scale", [2, 4, 5, 6])
@pytest.mark.filterwarnings("ignore::hyperrestore.errors.ExtrapolationWarning")
def test_flat_areas_have_no_grid_of_dots(restorers, scale):
    flat = np.full((3, 40, 40), 0.5, np.float32)
    flat[0] += 0.1
    inner = slice(10 * scale, -10 * scale)
    made = restorers[Task.UPSCALE](flat, scale)[:, inner, inner]
    assert made.std(axis=(1, 2)).max() * 255 < 0.4
    assert np.abs(made - flat[:, :1, :1]).max() * 255 < 1


def test_every_shipped_task_has_its_model():
    models = {path.stem for path in MODELS.glob("*.safetensors")}
    assert models - {"noise"} == set(SHIPPED)
