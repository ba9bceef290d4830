"""A camera's damage: its laws."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperrestore.errors import UsageError
from hyperrestore.measure.camera import (
    READ,
    SHOT,
    Camera,
    as_picture,
    demosaiced,
    developed,
    draw_camera,
    on_sensor,
    photographed,
    sensor_noise,
)

SEEDS = st.integers(0, 2**32 - 1)


def camera(seed):
    return draw_camera(np.random.default_rng(seed))


def picture(seed, height=37, width=31):
    return np.random.default_rng(seed).random((3, height, width), dtype=np.float32)


@given(SEEDS)
def test_a_picture_survives_the_way_to_the_sensor_and_back(seed):
    clean = picture(seed)
    back = as_picture(on_sensor(clean, camera(seed)), camera(seed))
    np.testing.assert_allclose(back, clean, atol=2e-3)


@given(SEEDS)
def test_grey_stays_grey(seed):
    grey = np.full((3, 9, 11), np.random.default_rng(seed).random(), np.float32)
    shot = developed(on_sensor(grey, camera(seed)), camera(seed))
    np.testing.assert_allclose(shot, grey, atol=2e-3)


@pytest.mark.parametrize("brightness", [0.01, 0.2, 0.7])
@given(SEEDS)
def test_noise_has_the_variance_of_the_model(brightness, seed):
    drawn = camera(seed)
    sensor = np.full((3, 128, 128), brightness, np.float32)
    noise = np.random.default_rng(seed).standard_normal(sensor.shape, dtype=np.float32)
    variance = (sensor_noise(sensor, drawn, noise) - sensor).var()
    assert variance == pytest.approx(drawn.shot * brightness + drawn.read, rel=0.05)


@given(SEEDS)
def test_cameras_lie_in_the_ranges_that_real_ones_have(seed):
    drawn = camera(seed)
    assert SHOT[0] <= drawn.shot <= SHOT[1] and READ[0] <= drawn.read <= READ[1]
    assert drawn == camera(seed), "every parameter comes from the generator"


@pytest.mark.parametrize("gradients", [False, True])
def test_a_ramp_survives_the_mosaic_away_from_its_border(gradients):
    ramp = np.linspace(0, 1, 24, dtype=np.float32)[None, :, None] + np.zeros((3, 24, 17), np.float32)
    for turned in (ramp, ramp.swapaxes(1, 2)):
        inner = (..., slice(2, -2), slice(2, -2))
        np.testing.assert_allclose(demosaiced(turned, gradients=gradients)[inner], turned[inner], atol=1e-5)


@pytest.mark.parametrize("gradients", [False, True])
def test_what_the_sensor_sees_is_kept(gradients):
    clean = picture(0)
    result = demosaiced(clean, gradients=gradients)
    np.testing.assert_array_equal(result[0, ::2, ::2], clean[0, ::2, ::2])
    np.testing.assert_array_equal(result[1, ::2, 1::2], clean[1, ::2, 1::2])
    np.testing.assert_array_equal(result[2, 1::2, 1::2], clean[2, 1::2, 1::2])


def test_gradient_correction_is_nearer_to_a_photo_than_linear_interpolation():
    data = pytest.importorskip("skimage.data")
    photo = data.astronaut()[:128, :128].transpose(2, 0, 1).astype(np.float32) / 255
    errors = [np.square(demosaiced(photo, gradients=kind) - photo).mean() for kind in (False, True)]
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("shape", [(2, 2), (2, 9), (3, 2), (5, 4)])
@given(SEEDS)
def test_two_pixels_a_side_suffice(shape, seed):
    clean = np.random.default_rng(seed).integers(0, 2, (3, *shape)).astype(np.float32)
    noise = np.random.default_rng(seed).standard_normal(clean.shape, dtype=np.float32)
    for made in photographed(clean, camera(seed), noise):
        assert made.shape == clean.shape and made.dtype == np.float32
        assert np.isfinite(made).all() and 0 <= made.min() <= made.max() <= 1


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1)])
def test_a_line_of_pixels_has_no_mosaic(shape, gradients):
    with pytest.raises(UsageError, match="2 x 2 pixels or more"):
        demosaiced(np.ones((3, *shape), np.float32), gradients=gradients)


@given(SEEDS)
def test_torch_gives_the_same(seed):
    torch = pytest.importorskip("torch")
    drawn, clean = camera(seed), picture(seed, 12, 14)
    noise = np.random.default_rng(seed).standard_normal(clean.shape, dtype=np.float32)
    ours = photographed(clean, drawn, noise)
    batch = [torch.from_numpy(array)[None] for array in (clean, noise)]
    theirs = photographed(batch[0], drawn, batch[1])
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other[0].numpy(), atol=2e-5)


def test_smoothing_takes_noise_away_and_sharpening_adds_some():
    clean = np.full((3, 96, 96), 0.4, np.float32)
    noise = np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
    plain = Camera(shot=1e-3, read=1e-6)
    left = {
        name: (noisy - noiseless).std()
        for name, kind in {
            "plain": plain,
            "smooth": replace(plain, smoothing=0.5),
            "sharp": replace(plain, sharpening=0.5),
        }.items()
        for noisy, noiseless in [photographed(clean, kind, noise)]
    }
    assert left["smooth"] < 0.8 * left["plain"] < left["plain"] < 0.9 * left["sharp"]
