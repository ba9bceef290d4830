"""Pictures in linear light are restored as the same pictures are in sRGB, and keep their file's space."""

import struct
from dataclasses import replace

import numpy as np
import pytest
import pyvips
from makers import curve, display_profile, float_picture
from PIL import ImageCms

import hyperrestore
from hyperrestore.picture.file import read_picture, write_picture
from hyperrestore.picture.info import PictureInfo
from hyperrestore.restore.file import restore_file
from hyperrestore.restore.repair import repair_at
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import Region
from hyperrestore.run.linear_light import in_linear_light, to_linear, to_perceptual


def parametric(kind, *values):
    numbers = struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + numbers


STRAIGHT = {
    "identity": curve(),
    "gamma 1": curve(256),
    "a table": curve(*np.linspace(0, 65535, 33).round().astype(int)),
    "parametric, gamma 1": parametric(0, 1.0),
    "parametric, with a straight beginning": parametric(3, 1.0, 1.0, 0.0, 1.0, 0.1),
}
CURVED = {
    "gamma 1.8": curve(461),
    "gamma 2.2": curve(563),
    "sRGB": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "a table": curve(*(np.linspace(0, 1, 64) ** 2 * 65535).round().astype(int)),
    "L*": parametric(3, 3.0, 0.862076, 0.137924, 0.110703, 0.080002),
    "damaged": curve(1, 2, 3)[:-2],
    "of an unknown kind": parametric(9, 1.0),
    "none": b"",
}


def info_of(icc, channels=3, **more):
    return PictureInfo(width=1, height=1, channels=channels, icc_profile=icc, **more)


@pytest.mark.parametrize("space", [b"RGB ", b"GRAY"])
def test_linear_light_is_told_from_the_curves(space):
    for name, tone in STRAIGHT.items():
        assert in_linear_light(info_of(display_profile(tone, space=space))), name
    for name, tone in CURVED.items():
        assert not in_linear_light(info_of(display_profile(tone, space=space))), name
    assert not in_linear_light(info_of(None))
    assert not in_linear_light(info_of(display_profile(curve(), b=curve(563))))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert not in_linear_light(info_of(srgb))
    whole = display_profile(curve())
    for length in (0, 20, 130, 140, len(whole) - 50):
        assert not in_linear_light(info_of(whole[:length]))


def test_every_sample_of_16_bits_comes_back():
    samples = np.arange(65536, dtype=np.float32)[None, None] / np.float32(65535)
    back = to_linear(to_perceptual(samples))
    np.testing.assert_array_equal(np.rint(back * 65535), np.arange(65536)[None, None])
    beyond = np.array([-0.5, -0.01, 1.2, 3.0], np.float32)
    np.testing.assert_allclose(to_linear(to_perceptual(beyond)), beyond, rtol=1e-5)
    steps = np.diff(to_perceptual(samples))
    assert (steps >= 0).all()


def test_the_curve_is_that_of_srgb():
    wanted = {0.0: 0.0, 0.001: 0.01292, 0.214041: 0.5, 0.5: 0.735357, 1.0: 1.0}
    np.testing.assert_allclose(to_perceptual(np.array([*wanted])), [*wanted.values()], atol=1e-6)


@pytest.fixture(scope="module")
def photo():
    """A clean dark photograph (3, 128, 160) as sRGB has it, and the same with noise."""
    from skimage import data

    clean = data.coffee()[40:296:2, 100:420:2].transpose(2, 0, 1).astype(np.float32) / 255 * 0.6
    noise = np.random.default_rng(0).normal(0, 15 / 255, clean.shape)
    return clean, (clean + noise).clip(0, 1).astype(np.float32)


def decibels(pixels, clean):
    return -10 * np.log10(np.square(pixels - clean).mean())


LEVELS = {"denoise": 15, "dejpeg": 30, "upscale": 2}


@pytest.mark.parametrize(
    ("task", "kind"),
    [("denoise", "RGB"), ("denoise", "grey"), ("dejpeg", "RGB"), ("upscale", "RGB"), ("upscale", "alpha")],
)
def test_it_is_as_good_as_in_srgb(tmp_path, photo, task, kind):
    clean, noisy = photo
    if kind == "grey":
        clean, noisy = clean[1:2], noisy[1:2]
    alpha = None
    if kind == "alpha":
        alpha = np.ones_like(clean[:1])
        alpha[:, 30:60, 40:90] = 0
    linear = display_profile(curve(), space=b"GRAY" if kind == "grey" else b"RGB ")
    write_picture(tmp_path / "srgb.png", float_picture(noisy, alpha=alpha))
    write_picture(tmp_path / "linear.tif", float_picture(to_linear(noisy), linear, alpha=alpha))
    restorer, results = Restorer.load(task), {}
    for name in ("srgb.png", "linear.tif"):
        restore_file(restorer, tmp_path / name, tmp_path / f"out-{name}", LEVELS[task], tile=96)
        results[name] = read_picture(tmp_path / f"out-{name}")
    stored = results["linear.tif"]
    assert stored.info.icc_profile == linear and stored.info.bits == 16
    seen = to_perceptual(stored.pixels)
    if task == "denoise":
        ours, theirs = (decibels(one, clean) for one in (seen, results["srgb.png"].pixels))
        assert ours > theirs - 0.1 and theirs > decibels(noisy, clean) + 4
    visible = slice(None) if stored.alpha is None else stored.alpha[0] == 1
    # But for the steps of 16 bits in linear light, which are wider in the dark, it is the same picture.
    difference = np.abs(seen - results["srgb.png"].pixels)[:, visible]
    assert difference.mean() < 2e-4 and np.median(difference) < 1e-4
    # And in memory, and a region of it, as in the file.
    whole = restorer(read_picture(tmp_path / "linear.tif"), LEVELS[task])
    np.testing.assert_allclose(whole.pixels, stored.pixels, atol=2e-5)
    part = restorer.region(read_picture(tmp_path / "linear.tif"), LEVELS[task], Region(20, 30, 100, 90))
    np.testing.assert_allclose(part, whole.pixels[:, 30:90, 20:100], atol=2e-6)


def test_the_level_is_found_as_in_srgb(tmp_path, photo):
    _, noisy = photo
    write_picture(tmp_path / "srgb.png", float_picture(noisy))
    write_picture(tmp_path / "linear.tif", float_picture(to_linear(noisy), display_profile(curve())))
    there, here = (hyperrestore.inspect(tmp_path / name) for name in ("srgb.png", "linear.tif"))
    assert abs(there.noise.sigma - here.noise.sigma) < 0.2
    assert hyperrestore.inspect(read_picture(tmp_path / "linear.tif")) == here
    report = restore_file(Restorer.load("denoise"), tmp_path / "linear.tif", tmp_path / "out.tif", None)
    assert report.levels["denoise"] == here.levels["denoise"]


def test_sigma_0_leaves_every_sample_of_the_file(tmp_path, tiny_model, photo):
    write_picture(tmp_path / "a.tif", float_picture(to_linear(photo[1]), display_profile(curve())))
    restore_file(Restorer.load(tiny_model), tmp_path / "a.tif", tmp_path / "out.tif", 0)
    before, after = (pyvips.Image.new_from_file(tmp_path / name).numpy() for name in ("a.tif", "out.tif"))
    np.testing.assert_array_equal(before, after)


def test_neutral_stays_neutral_there_too(tiny_model, photo):
    grey = np.repeat(to_linear(photo[1][:1]), 3, axis=0)
    restored = Restorer.load(tiny_model)(float_picture(grey, display_profile(curve())), 30).pixels
    np.testing.assert_array_equal(restored[0], restored[1])
    np.testing.assert_array_equal(restored[0], restored[2])


@pytest.mark.parametrize("hidden", [False, True])
def test_the_page_shows_what_is_saved(tmp_path, tiny_model, photo, hidden):
    pytest.importorskip("starlette")
    from hyperrestore.web.photos import keep_photo

    alpha = np.ones_like(photo[1][:1]) if hidden else None
    if hidden:
        alpha[:, 30:60, 40:90] = 0
    write_picture(
        tmp_path / "a.tif", float_picture(to_linear(photo[1]), display_profile(curve()), alpha=alpha)
    )
    restorer = Restorer.load(tiny_model, precision="fp32")
    restore_file(restorer, tmp_path / "a.tif", tmp_path / "out.tif", 30)
    kept = keep_photo(tmp_path / "a.tif", identity="x", name="a.tif", max_pixels=2**20)
    rows = kept.restored(restorer, repair_at(restorer, 30), Region(10, 20, 110, 100), 1)
    saved = np.rint(read_picture(tmp_path / "out.tif").pixels[:, 20:100, 10:110] * 65535)
    assert np.abs(rows - saved).max() <= 1
    small = kept.size(2)
    kept.add_reduced(2)
    reduced = kept.restored(restorer, repair_at(restorer, 30), Region(0, 0, *small), 2)
    assert reduced.shape == (3, *small[::-1])


def test_a_level_for_each_pixel_in_linear_light(tiny_model, photo):
    restorer = Restorer.load(tiny_model, precision="fp32")
    one = float_picture(to_linear(photo[1]), display_profile(curve()))
    levels = np.full(photo[1].shape[1:], 30.0)
    np.testing.assert_allclose(restorer(one, levels).pixels, restorer(one, 30).pixels, atol=1e-5)
    seen = restorer(replace(one, pixels=photo[1], info=replace(one.info, icc_profile=None)), 30).pixels
    np.testing.assert_allclose(to_perceptual(restorer(one, 30).pixels), seen, atol=1e-4)
