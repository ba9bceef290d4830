"""Metrics: equal to the field's reference implementations, and to the published figures of JPEG inputs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import samples_of
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hyperrestore.colour import full_range_luma
from hyperrestore.errors import UsageError
from hyperrestore.measure.degrade import jpeg
from hyperrestore.measure.metrics import psnr, psnr_b, ssim, studio_luma, to_8bit

sides = st.integers(11, 40)
channel_counts = st.sampled_from([1, 3])


def pair(channels, height, width, seed=0, spread=0.1):
    """A textured picture and a noisy version of it, restored first."""
    generator = np.random.default_rng(seed)
    clean = generator.random((channels, height, width))
    return clean + spread * generator.standard_normal(clean.shape), clean


# --- PSNR and SSIM ----------------------------------------------------------------------------------


@given(channel_counts, st.integers(1, 40), st.integers(1, 40), st.floats(1e-6, 1))
def test_psnr_equals_scikit_image(channels, height, width, spread):
    restored, clean = pair(channels, height, width, spread=spread)
    expected = peak_signal_noise_ratio(clean, restored, data_range=1)
    assert psnr(restored, clean) == pytest.approx(expected, abs=1e-4)
    assert psnr(restored * 255, clean * 255, peak=255) == pytest.approx(expected, abs=1e-4)


@settings(max_examples=40)
@given(channel_counts, sides, sides, st.floats(1e-6, 1))
def test_ssim_equals_scikit_image(channels, height, width, spread):
    restored, clean = pair(channels, height, width, spread=spread)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    expected = structural_similarity(clean, restored, data_range=1, **options)
    assert ssim(restored, clean) == pytest.approx(expected, abs=1e-4)
    assert ssim(restored * 255, clean * 255, peak=255) == pytest.approx(expected, abs=1e-4)


def test_equal_pictures_score_best():
    picture, _ = pair(3, 32, 24)
    assert psnr(picture, picture) == math.inf
    assert ssim(picture, picture) == 1.0
    assert psnr_b(np.zeros((3, 16, 16)), np.zeros((3, 16, 16))) == math.inf


def test_metrics_are_symmetric_and_fall_with_noise():
    pairs = [pair(3, 40, 40, spread=spread) for spread in (0.01, 0.05, 0.2)]
    for metric in (psnr, ssim):
        scores = [metric(a, b) for a, b in pairs]
        assert scores == sorted(scores, reverse=True)
        assert [metric(b, a) for a, b in pairs] == pytest.approx(scores, abs=1e-12)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_border_is_left_out(metric):
    restored, clean = pair(3, 30, 26)
    inside = metric(restored[:, 4:-4, 4:-4], clean[:, 4:-4, 4:-4])
    assert metric(restored, clean, border=4) == inside
    assert metric(restored, clean) != inside


@pytest.mark.parametrize("metric", [psnr, ssim, psnr_b])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_low_precision_pictures_are_compared_in_float64(metric, dtype):
    restored, clean = (image.astype(dtype) for image in pair(3, 100, 100, spread=0.001))
    assert metric(restored, clean) == metric(restored.astype(np.float64), clean.astype(np.float64))


# --- PSNR-B -----------------------------------------------------------------------------------------


def test_psnr_b_by_hand():
    """A step of 0.1 between two blocks.

    Squared error 0.01 in half of the pixels: 0.005. Steps across borders: 16 of 32 neighbours differ by 0.1,
    so D = 0.005; none elsewhere, so D' = 0; eta = log 8 / log 16 = 3/4. Together 0.005 + 0.00375.
    """
    flat, step = np.zeros((1, 16, 16)), np.zeros((1, 16, 16))
    step[:, :, 8:] = 0.1
    assert psnr_b(step, flat) == pytest.approx(-10 * math.log10(0.00875), abs=1e-9)
    assert psnr_b(flat, step) == pytest.approx(-10 * math.log10(0.005), abs=1e-9)


@given(st.integers(2, 5), st.integers(2, 5))
def test_psnr_b_equals_its_definition(rows, columns):
    height, width = 8 * rows, 8 * columns
    restored, clean = pair(1, height, width, spread=0.02)
    restored = restored + np.kron(np.random.default_rng(1).random((1, rows, columns)), np.ones((1, 8, 8)))
    borders, others = [], []
    for y in range(height):
        for x in range(width):
            if x + 1 < width:
                (borders if x % 8 == 7 else others).append((restored[0, y, x] - restored[0, y, x + 1]) ** 2)
            if y + 1 < height:
                (borders if y % 8 == 7 else others).append((restored[0, y, x] - restored[0, y + 1, x]) ** 2)
    excess = max(0, np.mean(borders) - np.mean(others))
    error = np.mean((restored - clean) ** 2) + math.log2(8) / math.log2(min(height, width)) * excess
    assert psnr_b(restored, clean) == pytest.approx(-10 * math.log10(error), abs=1e-9)


def test_psnr_b_equals_psnr_without_blocks():
    ramp = np.tile(np.linspace(0, 1, 64), (64, 1))[None]
    assert psnr_b(ramp + 0.05, ramp) == pytest.approx(psnr(ramp + 0.05, ramp), abs=1e-12)


def test_psnr_b_punishes_blocks_only():
    _, clean = pair(1, 64, 64)
    clean = 0.5 + 0.01 * clean
    signs = np.sign(np.random.default_rng(2).standard_normal((1, 8, 8)))
    blocky = clean + 0.05 * np.kron(signs, np.ones((1, 8, 8)))
    shifted = clean + 0.05 * np.roll(np.kron(signs, np.ones((1, 8, 8))), 4, axis=(1, 2))
    assert psnr(blocky, clean) == pytest.approx(psnr(shifted, clean))
    assert psnr_b(blocky, clean) < psnr(blocky, clean) - 1
    assert psnr_b(shifted, clean) == pytest.approx(psnr(shifted, clean))


def test_psnr_b_of_colour_is_the_mean_over_channels():
    restored, clean = pair(3, 24, 32)
    restored[0] += np.kron(np.eye(3, 4), np.ones((8, 8)))
    scores = [psnr_b(restored[i : i + 1], clean[i : i + 1]) for i in range(3)]
    assert psnr_b(restored, clean) == pytest.approx(np.mean(scores), abs=1e-12)
    assert psnr_b(restored * 255, clean * 255, peak=255) == pytest.approx(np.mean(scores), abs=1e-9)


# --- colours and rounding ---------------------------------------------------------------------------


def test_studio_luma_equals_matlab():
    rgb, _ = pair(3, 20, 30)
    expected = rgb2ycbcr(rgb, channel_axis=0)[:1] / 255
    assert studio_luma(rgb) == pytest.approx(expected, abs=1e-5)
    black_and_white = studio_luma(np.array([0.0, 1.0])[None, None].repeat(3, axis=0)) * 255
    assert black_and_white[0, 0] == pytest.approx([16, 235])


def test_full_range_luma_equals_pillow():
    samples = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    expected = np.asarray(Image.fromarray(samples).convert("L"))
    ours = full_range_luma(samples.transpose(2, 0, 1) / 255)
    assert np.abs(ours[0] * 255 - expected).max() <= 0.51
    assert full_range_luma(np.ones((3, 1, 1), np.float32)) == pytest.approx(1)


def test_to_8bit_keeps_8_bit_values_and_rounds_the_rest():
    values = np.arange(256) / 255
    assert np.array_equal(to_8bit(values), values)
    assert np.array_equal(to_8bit(values.astype(np.float32)), values)
    assert to_8bit(np.array([-1, 0.49 / 255, 0.5 / 255, 2])) * 255 == pytest.approx([0, 0, 1, 255])


# --- errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: psnr(x, x[:1]), r"\(3, 20, 20\), \(1, 20, 20\)"),
        (lambda x: psnr(x[0], x[0]), r"\(c, h, w\)"),
        (lambda x: psnr(x, x, border=10), "border of 10 .* 20 x 20"),
        (lambda x: psnr(x, x, border=-1), "border of -1"),
        (lambda x: ssim(x, x, border=5), "11 x 11 .* got 10 x 10"),
        (lambda x: psnr_b(x[:, :15], x[:, :15]), "two blocks .* got 15 x 20"),
        (lambda x: studio_luma(x[:1]), r"\(3, h, w\), got \(1, 20, 20\)"),
        (lambda x: full_range_luma(x[0]), r"\(3, h, w\), got \(20, 20\)"),
    ],
)
def test_errors_repeat_what_was_given(call, message):
    with pytest.raises(UsageError, match=message):
        call(np.zeros((3, 20, 20)))


# --- published figures of JPEG inputs: PSNR-B to 0.02 dB, SSIM to 0.001 -----------------------------------


def photos(name):
    """All pictures of a test set as (c, h, w) in [0, 1]."""
    return [samples / 255 for samples in samples_of(name)]


@pytest.mark.parametrize(
    ("quality", "score", "similarity"),
    [(10, 25.21, 0.760), (20, 27.50, 0.834), (30, 28.94, 0.867), (40, 29.92, 0.885)],
)
def test_classic5(quality, score, similarity):
    pairs = [(jpeg(clean, quality), clean) for clean in photos("Classic5")]
    assert np.mean([psnr_b(*p) for p in pairs]) == pytest.approx(score, abs=0.02)
    assert np.mean([ssim(*p) for p in pairs]) == pytest.approx(similarity, abs=0.001)


@pytest.mark.parametrize(
    ("quality", "score", "similarity"),
    [(10, 25.33, 0.773), (20, 27.57, 0.851), (30, 28.92, 0.885), (40, 29.96, 0.904)],
)
def test_live1_grey(quality, score, similarity):
    grey = [to_8bit(studio_luma(clean)) for clean in photos("LIVE1")]
    pairs = [(jpeg(clean, quality), clean) for clean in grey]
    assert np.mean([psnr_b(*p) for p in pairs]) == pytest.approx(score, abs=0.02)
    assert np.mean([ssim(*p) for p in pairs]) == pytest.approx(similarity, abs=0.001)
