"""The noise that is found is the one that was added."""

import time

import numpy as np
import pytest
from makers import example_photos

from hyperrestore import Restorer, run_tiled
from hyperrestore.detect.findings import Compression, Findings
from hyperrestore.detect.noise import describe_blocks, find_noise
from hyperrestore.measure.degrade import jpeg
from hyperrestore.measure.metrics import psnr

RESTORER = Restorer.load("denoise")
PHOTOS = example_photos()
CLEAN = {name: pixels[:, ::2, ::2] * 255 for name, pixels in PHOTOS.items()}  # their own noise averaged away


def noisy(clean, sigma, seed=0):
    return clean + np.random.default_rng(seed).normal(0, sigma, clean.shape).astype(np.float32)


def stored(pixels):
    return np.rint(pixels.clip(0, 255)).astype(np.float32)


@pytest.mark.parametrize("name", CLEAN)
@pytest.mark.parametrize("sigma", [5, 15, 25, 50, 75])
def test_noise_is_found(name, sigma):
    pixels = noisy(CLEAN[name], sigma)
    assert find_noise(pixels).sigma == pytest.approx(sigma, abs=1.5 + 0.05 * sigma)
    assert find_noise(stored(pixels)).sigma == pytest.approx(sigma, abs=2 + 0.1 * sigma)
    assert find_noise(stored(pixels).mean(axis=0, keepdims=True)).sigma < 0.8 * sigma + 2, "averaged"


@pytest.mark.parametrize("sigma", [10, 20, 40])
def test_noise_is_found_after_jpeg(sigma):
    gains = []
    for clean in CLEAN.values():
        saved = jpeg(stored(noisy(clean, sigma)) / 255, 85)
        found, told = (
            psnr(run_tiled(RESTORER.at(level, bits=8), saved), clean / 255)
            for level in (find_noise(saved * 255).sigma, sigma)
        )
        gains.append(found - told)
    assert np.mean(gains) > -0.1, "JPEG changes noise: the level that restores best is another than sigma"


@pytest.mark.parametrize("name", CLEAN)
@pytest.mark.parametrize("sigma", [10, 30])
def test_noise_that_varies_is_found(name, sigma):
    clean = CLEAN[name]
    random = np.random.default_rng(0)
    variance = 0.3 + 0.7 * clean / clean.mean()
    uneven = clean + sigma * np.sqrt(variance) * random.standard_normal(clean.shape)
    assert find_noise(stored(uneven)).sigma == pytest.approx(sigma, abs=2 + 0.1 * sigma)


@pytest.mark.parametrize("name", CLEAN)
@pytest.mark.parametrize("sigma", [10, 20, 30])
def test_noise_that_neighbours_share_is_restored_better_than_at_its_sigma(name, sigma):
    clean, random = CLEAN[name], np.random.default_rng(0)
    grey = clean + sigma * random.standard_normal(clean.shape[1:])  # channels share it
    small = random.standard_normal((3, *(side // 2 + 2 for side in clean.shape[1:])))
    fine = small.repeat(2, axis=1).repeat(2, axis=2)
    grain = (fine[:, 1:, 1:] + fine[:, :-1, 1:] + fine[:, 1:, :-1] + fine[:, :-1, :-1])[
        :, : clean.shape[1], : clean.shape[2]
    ]
    assert advantage(stored(grey), clean, sigma) > -0.1
    grainy = stored(clean + sigma / grain.std() * grain)
    # Weak grain gets too high a level, and is better all the same than it was.
    assert advantage(grainy, clean, sigma if sigma > 10 else 0) > -0.1


def advantage(pixels, clean, sigma):
    """By how many dB restoring is better at the level that is found than at sigma."""
    found, told = (
        psnr(run_tiled(RESTORER.at(level, bits=8), pixels / 255), clean / 255)
        for level in (find_noise(pixels).sigma, sigma)
    )
    return found - told


@pytest.mark.parametrize("name", CLEAN)
@pytest.mark.parametrize("sigma", [10, 30])
def test_noise_that_a_scanner_softened_is_found(name, sigma):
    luma = CLEAN[name].mean(axis=0, keepdims=True)
    soft = np.random.default_rng(0).standard_normal(luma.shape[1:])
    for axis in (0, 1):
        soft = 0.8 * soft + 0.1 * np.roll(soft, 1, axis) + 0.1 * np.roll(soft, -1, axis)
    scanned = stored(luma + sigma / soft.std() * soft)
    found = find_noise(scanned).sigma
    assert 0.7 * sigma < found
    assert found < 1.3 * sigma or advantage(scanned, luma, sigma) > 0.5


@pytest.mark.parametrize("quality", [40, 75, 92])
def test_clean_photos_stay_untouched_after_jpeg(quality):
    for clean in CLEAN.values():
        noise = find_noise(jpeg(clean / 255, quality) * 255)
        assert Findings(Compression(None, ""), noise).levels == {}


def test_clean_photos_count_as_clean():
    for clean in CLEAN.values():
        assert Findings(Compression(None, ""), find_noise(clean)).levels == {}


def test_three_equal_channels_are_one():
    grey = noisy(CLEAN["coffee"][:1], 20)
    assert find_noise(np.repeat(grey, 3, axis=0)) == find_noise(grey)


def test_the_answer_depends_on_the_pixels_alone():
    pixels = noisy(CLEAN["coffee"], 20)
    assert find_noise(pixels) == find_noise(pixels.copy())
    assert find_noise(pixels).spread > 0


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (1, 5000), (31, 32)])
def test_a_picture_too_small_says_nothing(size):
    assert find_noise(np.zeros((3, *size), np.float32)) is None
    assert find_noise(np.zeros((1, *size), np.float32)) is None


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_picture_is_clean(value):
    assert find_noise(np.full((3, 64, 64), value, np.float32)).sigma < 2


def test_features_are_finite_for_hostile_pixels():
    random = np.random.default_rng(0)
    for pixels in (random.integers(0, 2, (3, 64, 64)) * 255, random.random((1, 32, 800)) * 1e6 - 5e5):
        assert all(np.isfinite(blocks).all() for blocks in describe_blocks(pixels.astype(np.float32)))
        noise = find_noise(pixels.astype(np.float32))
        assert noise is None or np.isfinite(noise.sigma)


@pytest.mark.slow
def test_two_megapixels_need_less_than_200_milliseconds():
    pixels = np.random.default_rng(0).random((3, 1024, 2048), np.float32) * 255
    find_noise(pixels)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        find_noise(pixels)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.2


def test_drawings_and_halftones_are_not_taken_for_noise():
    random = np.random.default_rng(0)
    clean = CLEAN["chelsea"]
    dithered = (clean > 255 * random.random(clean.shape)) * 255.0
    hatched = np.indices((96, 96)).sum(axis=0)[None] % 4 * 85.0
    for pixels in (dithered, hatched, np.kron(hatched, np.ones((1, 2, 2)))):
        assert find_noise(pixels.astype(np.float32)) is None


@pytest.mark.parametrize("value", [0, 255])
def test_a_plain_border_hides_no_noise(value):
    noisy_part = stored(noisy(CLEAN["coffee"], 25))
    framed = np.pad(noisy_part, ((0, 0), (40, 30), (10, 25)), constant_values=value)
    assert find_noise(framed).sigma == pytest.approx(25, abs=3)
    assert find_noise(np.pad(CLEAN["coffee"], ((0, 0), (40, 30), (10, 25)))).sigma < 2


@pytest.mark.parametrize("side", [8, 16, 24])
def test_nothing_is_said_of_less_than_16_visible_blocks(rng, side):
    pixels = np.full((3, 256, 256), np.nan, np.float32)
    pixels[:, :side, 8 : 8 + side] = rng.normal(128, 20, (3, side, side))
    assert find_noise(pixels) is None


def test_nothing_is_said_where_every_block_has_a_hidden_pixel(rng):
    pixels = rng.normal(128, 10, (3, 96, 96)).astype(np.float32)
    pixels[:, 4::16, 4::16] = np.nan  # one in each block of the picture shrunk by two
    assert find_noise(pixels) is None


@pytest.mark.parametrize("row", range(1, 8))
def test_one_row_within_a_plain_picture_is_no_error(row):
    pixels = np.repeat(np.linspace(0, 255, 24, dtype=np.float32)[:, None], 40, 1)
    pixels[row] = np.linspace(0, 255, 40)
    assert find_noise(pixels[None]) is None
