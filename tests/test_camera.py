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
    developed,
    draw_camera,
    on_sensor,
    photographed,
    sensor_noise,
    visible_noise,
)
from hyperrestore.measure.mosaic import demosaiced
from hyperrestore.measure.noise_reduction import quieted

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
            "smooth": replace(plain, smoothing=2, colour_smoothing=4),
            "sharp": replace(plain, sharpening=0.5),
        }.items()
        for noisy, noiseless in [photographed(clean, kind, noise)]
    }
    assert left["smooth"] < 0.8 * left["plain"] < left["plain"] < 0.9 * left["sharp"]


@given(SEEDS)
def test_the_noise_of_a_grey_area_is_as_visible_as_it_is_said(seed):
    drawn = replace(camera(seed), red=1.0, blue=1.0, smoothing=0.0, colour_smoothing=0.0, sharpening=0.0)
    sensor = np.full((3, 96, 96), 0.18, np.float32)
    noise = np.random.default_rng(seed).standard_normal(sensor.shape, dtype=np.float32)
    seen = as_picture(sensor_noise(sensor, replace(drawn), noise), replace(drawn, colours=0.0))
    brightness = seen.mean(0).std() * 3**0.5
    assert brightness == pytest.approx(visible_noise(drawn), rel=0.15)


@given(SEEDS, st.floats(0, 0.2), st.floats(0, 0.2))
def test_noise_reduction_keeps_flat_areas_and_never_adds_noise(seed, brightness, colour):
    flat = np.full((3, 40, 40), 0.3, np.float32)
    np.testing.assert_allclose(quieted(flat, flat, brightness=brightness, colour=colour), flat, atol=1e-6)
    noisy = flat + 0.05 * np.random.default_rng(seed).standard_normal(flat.shape, dtype=np.float32)
    assert quieted(noisy, noisy, brightness=brightness, colour=colour).std() <= 1.01 * noisy.std()


def test_what_noise_reduction_leaves_is_coarse():
    noise = np.random.default_rng(0).standard_normal((3, 256, 256), dtype=np.float32)
    left = quieted(noise, noise, brightness=2.0, colour=4.0)
    grey = left.mean(0)

    def correlation(plane, apart):
        return float((plane[:, apart:] * plane[:, :-apart]).mean() / plane.var())

    assert correlation(grey, 1) > 0.3 and correlation((left - grey)[0], 4) > 0.2
    assert (
        grey.std() < 0.6 * noise.mean(0).std() and (left - grey).std() < 0.4 * (noise - noise.mean(0)).std()
    )


@given(SEEDS)
def test_without_noise_both_pictures_are_the_same(seed):
    clean, drawn = picture(seed), replace(camera(seed), shot=0.0, read=0.0)
    noisy, noiseless = photographed(clean, drawn, np.zeros_like(clean))
    np.testing.assert_array_equal(noisy, noiseless)


def test_the_second_picture_is_the_mean_of_many():
    data = pytest.importorskip("skimage.data")
    clean = data.astronaut()[:96, :96].transpose(2, 0, 1).astype(np.float32) / 255
    drawn = Camera(shot=4e-4, read=1e-6, smoothing=2.0, colour_smoothing=4.0)
    random = np.random.default_rng(0)
    shots = [
        photographed(clean, drawn, random.standard_normal(clean.shape, dtype=np.float32)) for _ in range(64)
    ]
    noisy, means = (np.stack(some) for some in zip(*shots, strict=True))
    mean = noisy.mean(0)
    assert np.square(means[0] - mean).mean() < 0.15 * np.square(noisy[0] - mean).mean()
