"""The denoiser called as scikit-image's are, and calibrated by scikit-image."""

import numpy as np
import pytest
from skimage import data
from skimage.restoration import calibrate_denoiser, denoise_invariant
from skimage.util import img_as_float

from hyperrestore import LevelError, Restorer, UsageError
from hyperrestore.hosts.skimage import denoise
from hyperrestore.measure.metrics import psnr

STEP = 1 / 255


@pytest.mark.parametrize("channel_axis", [-1, 0, 1, None])
def test_it_is_the_command(noisy, by_command, channel_axis):
    if channel_axis is None:
        image, pixels = noisy[0], noisy[:1]
    else:
        image, pixels = np.moveaxis(noisy, 0, channel_axis), noisy
    restored = denoise(image, sigma=25 / 255, channel_axis=channel_axis)
    assert restored.shape == image.shape
    expected = by_command(pixels, "denoise", "--level", 25)
    back = restored[None] if channel_axis is None else np.moveaxis(restored, channel_axis, 0)
    assert np.abs(back - expected).max() < STEP


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "uint16"])
def test_type_and_units_are_the_images(noisy, dtype):
    white = 1 if dtype.startswith("f") else np.iinfo(dtype).max
    image = np.moveaxis(noisy, 0, -1) * white
    image = image.astype(dtype) if white == 1 else np.rint(image).astype(dtype)
    restored = denoise(image, sigma=25 / 255 * white, channel_axis=-1)
    assert restored.dtype == dtype
    expected = np.moveaxis(Restorer.load("denoise")(noisy, 25), 0, -1)
    assert np.abs(restored / white - expected).max() < 2 * STEP


def test_a_level_for_each_pixel(noisy):
    sigma = np.linspace(0, 0.2, 61 * 83).reshape(61, 83)
    restored = denoise(np.moveaxis(noisy, 0, -1), sigma=sigma, channel_axis=-1)
    expected = Restorer.load("denoise")(noisy, (255 * sigma).astype(np.float32))
    assert np.abs(np.moveaxis(restored, -1, 0) - expected).max() < 1e-6


@pytest.mark.parametrize("colour", [True, False])
def test_calibration_finds_a_level_near_the_best(colour):
    """That of the least error is known here, since the clean picture is."""
    clean = img_as_float(data.chelsea()[60:188, 100:260])
    clean = clean if colour else clean[..., 1]
    noisy = clean + np.random.default_rng(1).normal(0, 0.12, clean.shape)
    axis = -1 if colour else None
    levels = [0.03, 0.06, 0.09, 0.12, 0.15, 0.2, 0.27]
    best, (tested, _) = calibrate_denoiser(
        noisy, denoise, {"sigma": levels, "channel_axis": [axis]}, extra_output=True
    )
    assert len(tested) == len(levels)
    found = best.keywords["denoiser_kwargs"]["sigma"]

    def score(sigma):
        invariant = denoise_invariant(
            noisy, denoise, stride=2, denoiser_kwargs={"sigma": sigma, "channel_axis": axis}
        )
        return psnr(invariant.clip(0, 1).reshape(1, -1, 1), clean.reshape(1, -1, 1))

    scores = {sigma: score(sigma) for sigma in levels}
    assert scores[found] > max(scores.values()) - 0.3, (found, scores)


@pytest.mark.parametrize(
    ("image", "arguments", "error", "message"),
    [
        (np.zeros((8, 8, 3)), {"sigma": 0.1}, UsageError, "channel_axis=-1"),
        (np.zeros((8, 8, 4)), {"sigma": 0.1, "channel_axis": -1}, UsageError, "1 or 3 channels"),
        (np.zeros((8, 8), int), {"sigma": 0.1}, UsageError, "img_as_float"),
        (np.zeros((8, 8)), {"sigma": np.zeros((8, 9))}, UsageError, "does not fit"),
        (np.zeros((8, 8)), {"sigma": "much"}, LevelError, "not a number"),
        (np.zeros((8, 8)), {"sigma": 25}, LevelError, "6375"),
        (np.zeros((8, 8)), {"sigma": 0.1, "model": "dejpeg"}, UsageError, "for dejpeg"),
    ],
)  # fmt: skip
def test_what_is_refused(image, arguments, error, message):
    with pytest.raises(error, match=message):
        denoise(image, **arguments)
