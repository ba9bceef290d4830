"""What nobody sees changes nothing that is seen, whatever it holds, and stays as it is."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperrestore.detect.findings import inspect
from hyperrestore.picture.file import Picture, read_picture, write_picture
from hyperrestore.picture.info import PictureInfo
from hyperrestore.restore.file import restore_file
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import Region
from hyperrestore.run.transparency import CELL, VisibleOnly, VisibleRows, find_surroundings, hidden_pixels

GARBAGE = ("black", "white", "noise")


def disc(height=70, width=90, radius=25, opaque=255):
    y, x = np.mgrid[0:height, 0:width]
    inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < radius**2
    return np.where(inside, opaque, 0)


def picture(garbage, alpha, *, channels=3, bits=8, seed=0):
    """A noisy picture, with garbage where `alpha`, on the 8-bit scale, hides it."""
    white = 2**bits - 1
    rng = np.random.default_rng(seed)
    values = rng.integers(white // 3, white // 2, (channels, *alpha.shape))
    odd = {"black": 0, "white": white, "noise": rng.integers(0, white + 1, values.shape)}[garbage]
    bands = np.concatenate([np.where(alpha <= 1, odd, values), alpha[None] * (white // 255)])
    floats = bands.astype(np.float32) / np.float32(white)
    return Picture(floats[:-1], floats[-1:], PictureInfo(*alpha.T.shape, channels, bits, True))


def far_inside(hidden):
    """Hidden pixels that touch no visible one."""
    wide = np.pad(hidden, 1, constant_values=True)
    shifts = [(down, right) for down in range(3) for right in range(3)]
    return np.all([wide[d : d + hidden.shape[0], r : r + hidden.shape[1]] for d, r in shifts], axis=0)


@pytest.fixture(scope="module")
def restorer(tiny_model):
    return Restorer.load(tiny_model, precision="fp32")


@pytest.mark.parametrize("channels, bits", [(3, 8), (1, 8), (3, 16)])
@pytest.mark.parametrize("opaque", [255, 2])
def test_what_is_hidden_changes_nothing_that_is_seen(restorer, channels, bits, opaque):
    alpha = disc(opaque=opaque)
    alpha[3, :] = 1  # practically transparent
    hidden = alpha <= 1
    results = []
    for garbage in GARBAGE:
        given_picture = picture(garbage, alpha, channels=channels, bits=bits)
        restored = restorer(given_picture, 40)
        assert restored.alpha is given_picture.alpha
        inside = far_inside(hidden)
        assert inside.sum() > 1000
        np.testing.assert_array_equal(restored.pixels[:, inside], given_picture.pixels[:, inside])
        results.append(restored.pixels[:, ~hidden])
        assert np.abs(results[-1] - given_picture.pixels[:, ~hidden]).max() > 0.01
        bled = restorer(given_picture.pixels, 40)[:, ~hidden]
        assert np.abs(bled - results[-1]).max() > 0.002
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_what_is_hidden_changes_nothing_that_is_seen_enlarged(upscale_model):
    restorer = Restorer.load(upscale_model, precision="fp32")
    alpha = np.where(np.random.default_rng(3).random((30, 40)) < 0.4, 255, 0)
    alpha[8:22, 10:30] = 0
    results = [restorer(picture(garbage, alpha), 2.3) for garbage in GARBAGE]
    seen = results[0].alpha[0] > 0
    assert seen.any() and not seen.all()
    for other in results[1:]:
        np.testing.assert_array_equal(other.pixels[:, seen], results[0].pixels[:, seen])
        assert np.abs(other.pixels - results[0].pixels).max() > 0.5


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("bits", [8, 16])
def test_files_agree_with_pictures_in_memory_for_every_tile(tmp_path, restorer, garbage, bits):
    source = picture(garbage, disc(150, 130, 50), bits=bits)
    write_picture(tmp_path / "a.png", source)
    expected = restorer(source, 40)
    for tile in (48, 1000):
        restore_file(restorer, tmp_path / "a.png", tmp_path / "b.png", 40, tile=tile, overwrite=True)
        restored = read_picture(tmp_path / "b.png")
        step = 1 / (2**bits - 1)
        np.testing.assert_allclose(
            restored.pixels, expected.pixels, rtol=0, atol=(1.01 if bits == 8 else 2) * step
        )
        np.testing.assert_array_equal(restored.alpha, source.alpha)


def test_an_enlarged_file_agrees_with_the_picture_in_memory(tmp_path, upscale_model):
    restorer = Restorer.load(upscale_model, precision="fp32")
    source = picture("noise", disc(), bits=16)
    write_picture(tmp_path / "a.png", source)
    restore_file(restorer, tmp_path / "a.png", tmp_path / "b.png", 1.7, tile=64)
    restored, expected = read_picture(tmp_path / "b.png"), restorer(source, 1.7)
    np.testing.assert_allclose(restored.pixels, expected.pixels, rtol=0, atol=2e-4)
    np.testing.assert_allclose(restored.alpha, expected.alpha, rtol=0, atol=1 / 65535)


@pytest.mark.parametrize("channels", [1, 3])
def test_with_levels_for_each_pixel_and_grain_in_regions_too(tmp_path, restorer, channels):
    alpha = disc()
    seen = alpha > 1
    levels = np.linspace(5, 60, alpha.size).reshape(alpha.shape)
    region = Region(20, 5, 70, 61)
    results = []
    for garbage in GARBAGE:
        given_picture = picture(garbage, alpha, channels=channels)
        whole = restorer(given_picture, levels, grain=0.5)
        part = restorer.region(given_picture, levels, region, grain=0.5)
        np.testing.assert_allclose(part, whole.pixels[:, 5:61, 20:70], rtol=0, atol=1e-5)
        results.append(whole.pixels[:, seen])
        write_picture(tmp_path / f"{garbage}.png", given_picture)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    assert np.abs(results[0] - restorer(given_picture, 5.0, grain=0.5).pixels[:, seen]).max() > 0.01
    mask = tmp_path / "mask.png"
    white = np.full((1, *alpha.shape), 1, np.float32)
    write_picture(mask, Picture(white, None, PictureInfo(*alpha.T.shape, 1)))
    for garbage in GARBAGE:
        file = tmp_path / f"{garbage}.png"
        restore_file(restorer, file, tmp_path / "map.png", (5, 60), level_map=mask, tile=32, overwrite=True)
        mapped = read_picture(tmp_path / "map.png").pixels
        whole = restorer(read_picture(file), 60).pixels
        assert np.abs(mapped - whole).max() <= 0.6 / 255


@pytest.mark.parametrize("alpha", [255, 2, 0])
def test_where_nothing_or_all_is_hidden_alpha_plays_no_part(restorer, alpha):
    source = picture("noise", np.full((40, 50), alpha))
    np.testing.assert_array_equal(
        restorer(source, 40).pixels, restorer(replace(source, alpha=None), 40).pixels
    )


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_is_not_repaired_stays_as_it_is(tmp_path, restorer, garbage):
    y, x = np.mgrid[0:96, 0:96]
    source = picture(garbage, disc(96, 96, 40))
    clean = np.rint(100 + 60 * np.sin(x / 30) * np.cos(y / 25)).astype(np.float32) / 255
    pixels = np.where(source.alpha > 0, clean, source.pixels).astype(np.float32)
    write_picture(tmp_path / "a.png", Picture(pixels, source.alpha, source.info))
    report = restore_file(restorer, tmp_path / "a.png", tmp_path / "b.png", None)
    assert report.levels == {}
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png").pixels, pixels)


def test_what_is_hidden_is_not_looked_at_for_the_level(tmp_path):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:256, 0:384]
    alpha = np.where((x // 64 + y // 64) % 3 > 0, 255, 0)
    clean = 120 + 50 * np.sin(x / 40) * np.cos(y / 35) + np.array([0, 5, -8])[:, None, None]
    noisy = clean + rng.normal(0, 12, clean.shape)
    found = []
    for hidden in (0, 255, rng.normal(128, 60, clean.shape)):
        values = np.rint(np.where(alpha > 0, noisy, hidden).clip(0, 255)) / 255
        info = PictureInfo(384, 256, 3, 8, True)
        source = Picture(values.astype(np.float32), (alpha[None] / 255).astype(np.float32), info)
        write_picture(tmp_path / "a.png", source, overwrite=True)
        found.append(inspect(tmp_path / "a.png"))
    assert abs(found[0].noise.sigma - 12) < 2
    for other in found[1:]:
        assert other == found[0]


# The colours that are put in


def rows_of(bands, cuts, bits=8):
    read = lambda top, bottom: bands[:, top:bottom]  # noqa: E731
    surroundings = find_surroundings(read, height=bands.shape[1])
    if surroundings is None:
        return None
    reader = VisibleRows(read, surroundings, bits=bits)
    edges = [0, *cuts, bands.shape[1]]
    parts = [reader.rows(top, bottom) for top, bottom in itertools.pairwise(edges)]
    return np.concatenate(parts, axis=1)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 200), st.integers(1, 60), st.sets(st.integers(1, 199)), st.floats(0, 1), st.integers(0, 99)
)
def test_rows_are_the_same_however_they_are_cut(height, width, cuts, share, seed):
    rng = np.random.default_rng(seed)
    bands = rng.integers(0, 256, (4, height, width), np.uint8)
    blocks = rng.random((height // 9 + 1, width // 9 + 1)) < share
    bands[3][np.kron(blocks, np.ones((9, 9), bool))[:height, :width]] = 0
    whole = rows_of(bands, [])
    hidden = hidden_pixels(bands[3])
    if whole is None:
        assert hidden.all() or not hidden.any()
        return
    np.testing.assert_array_equal(rows_of(bands, sorted(cut for cut in cuts if cut < height)), whole)
    np.testing.assert_array_equal(whole[3:6], bands[:3])
    np.testing.assert_array_equal(whole[:3, ~hidden], bands[:3, ~hidden])
    np.testing.assert_array_equal(whole[6], 255 * ~far_inside(hidden))
    visible = bands[:3, ~hidden]
    for channel in range(3):
        assert whole[channel].min() >= visible[channel].min()
        assert whole[channel].max() <= visible[channel].max()
    floats = bands.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(rows_of(floats, []), whole.astype(np.float32) / np.float32(255))


def test_one_visible_pixel_colours_the_whole_picture():
    bands = np.zeros((4, 5 * CELL + 3, 7 * CELL + 5), np.uint8)
    bands[:, 40, 70] = 10, 20, 30, 2
    whole = rows_of(bands, [33])
    assert (whole[:3] == np.array([10, 20, 30])[:, None, None]).all()


def test_colours_come_from_nearby():
    """To the left red, to the right blue, and nothing between: each half takes after its side."""
    bands = np.zeros((4, 64, 256), np.uint8)
    bands[0, :, :32], bands[2, :, -32:] = 200, 200
    bands[3, :, :32] = bands[3, :, -32:] = 255
    red, _, blue = rows_of(bands, [])[:3].astype(int)
    assert (red[:, 32:40] > 190).all() and (blue[:, -40:-32] > 190).all()
    assert (np.abs(np.diff(red, axis=1)) <= 16).all(), "smooth"
    assert (red[:, :100] > blue[:, :100]).all() and (red[:, 160:] < blue[:, 160:]).all()


def test_the_backend_is_not_run_where_nothing_is_visible():
    class Never:
        halo, multiple = 3, 4

        def __call__(self, window, /):
            raise AssertionError

    backend = VisibleOnly(Never())
    assert (backend.halo, backend.multiple) == (3, 4)
    window = np.random.default_rng(0).random((7, 8, 8), np.float32)
    window[6] = 0
    np.testing.assert_array_equal(backend(window)[:3], window[3:6])
