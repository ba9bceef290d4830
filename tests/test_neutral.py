"""What is neutral, R = G = B, stays neutral, and comes out as the grey picture does."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperrestore.picture.file import Picture, read_picture, write_picture
from hyperrestore.picture.info import PictureInfo
from hyperrestore.restore.file import restore_file
from hyperrestore.restore.repair import repair_at
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import Region
from hyperrestore.run.neutral import only_neutral_seen, without_tint

LEVELS = {"denoise": 15, "dejpeg": 30, "upscale": 2}


@pytest.fixture
def grey(rng):
    """A grey photograph (1, 96, 120) with noise, in 8 bits."""
    y, x = np.mgrid[:96, :120]
    clean = 0.5 + 0.3 * np.sin(x / 9) * np.cos(y / 7)
    return (np.rint((clean + rng.normal(0, 0.06, clean.shape)).clip(0, 1) * 255) / 255)[None].astype(
        np.float32
    )


def as_colour(grey, bits=8):
    pixels = np.repeat(grey, 3, axis=0)
    return Picture(pixels, None, PictureInfo(*pixels.shape[:0:-1], channels=3, bits=bits))


def assert_neutral(pixels):
    np.testing.assert_array_equal(pixels[0], pixels[1])
    np.testing.assert_array_equal(pixels[0], pixels[2])


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("task", LEVELS)
def test_a_grey_picture_in_colours_comes_out_as_the_grey_one(grey, task, precision):
    restorer, level = Restorer.load(task, precision=precision), LEVELS[task]
    colour = as_colour(grey)
    plain = Picture(grey, None, replace(colour.info, channels=1))
    restored = restorer(colour, level).pixels
    assert_neutral(restored)
    np.testing.assert_array_equal(restored[:1], restorer(plain, level).pixels)
    assert (restored[:, ::2, ::2] if task == "upscale" else restored != colour.pixels).any()
    assert_neutral(restorer(colour, level, size=32).pixels)
    assert_neutral(restorer.region(colour, level, Region(17, 5, 60, 40)))


@pytest.mark.parametrize("device", ["cpu", "torch"])
@pytest.mark.parametrize("model", ["tiny_model", "paper_model", "upscale_model"])
def test_so_it_is_with_every_device_kind_of_network_and_map(request, grey, model, device):
    restorer = Restorer.load(request.getfixturevalue(model), device=device)
    colour = np.repeat(grey, 3, axis=0)
    upscales = model == "upscale_model"
    assert_neutral(restorer(colour, 2.5 if upscales else 30))
    if not upscales:
        assert_neutral(restorer(colour, 30, grain=0.4))
        assert_neutral(restorer(colour, np.linspace(0, 60, grey.size).reshape(grey.shape[1:])))


@pytest.mark.parametrize("task", LEVELS)
def test_so_it_is_in_files(tmp_path, grey, task):
    write_picture(tmp_path / "in.png", as_colour(grey))
    alpha = np.ones_like(grey)
    alpha[:, 20:50, 30:70] = 0
    write_picture(tmp_path / "seen.png", replace(as_colour(grey), alpha=alpha))
    for name in ("in", "seen"):
        restore_file(Restorer.load(task), tmp_path / f"{name}.png", tmp_path / "out.png", LEVELS[task],
                     tile=40, overwrite=True)  # fmt: skip
        picture = read_picture(tmp_path / "out.png")
        assert picture.info.channels == 3
        assert_neutral(picture.pixels)


def test_so_it_is_on_the_page(tmp_path, tiny_model, grey):
    pytest.importorskip("starlette")
    from hyperrestore.web.photos import keep_photo

    write_picture(tmp_path / "in.png", as_colour(grey))
    photo = keep_photo(tmp_path / "in.png", identity="x", name="in.png", max_pixels=2**20)
    restorer = Restorer.load(tiny_model)
    for reduce in (1, 2):
        photo.add_reduced(reduce)
        rows = photo.restored(restorer, repair_at(restorer, 30), Region(5, 3, 50, 40), reduce)
        assert_neutral(rows)
        assert len(rows) == 3


def test_what_is_neutral_far_from_colours_stays_so_for_every_tile_size(tiny_model, grey):
    restorer = Restorer.load(tiny_model, precision="fp32")
    halo = restorer.description.halo
    pixels = np.repeat(grey, 3, axis=0)
    pixels[0, :, 70] += 0.1
    whole = restorer(pixels, 40)
    assert_neutral(whole[:, :, : 70 - halo])
    assert (whole[0] != whole[1])[:, 70 - halo :].any()
    for size in (1, 24, 64):
        tiled = restorer(pixels, 40, size=size)
        np.testing.assert_array_equal(tiled[0] == tiled[1], whole[0] == whole[1])
        np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-6)


def test_a_coloured_picture_with_neutral_pixels_here_and_there_is_left_free(tiny_model, rng):
    pixels = rng.random((3, 64, 64), np.float32)
    pixels[:, ::5, ::5] = pixels[:1, ::5, ::5]
    restored = Restorer.load(tiny_model, precision="fp32")(pixels, 30)
    assert (restored[0] != restored[1])[::5, ::5].mean() > 0.9


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40), st.integers(0, 24), st.integers(0, 6))
@settings(deadline=None)
def test_neutral_is_what_sees_no_colour(seed, height, width, halo, spots):
    generator = np.random.default_rng(seed)
    window = np.repeat(generator.random((1, height, width), np.float32), 3, axis=0)
    for _ in range(spots):
        channel, y, x = (generator.integers(length) for length in window.shape)
        window[channel, y, x] += 1
    coloured = (window != window[:1]).any(axis=0)
    expected = np.array(
        [
            [
                not coloured[max(0, y - halo) : y + halo + 1, max(0, x - halo) : x + halo + 1].any()
                for x in range(width)
            ]
            for y in range(height)
        ]
    )
    found = only_neutral_seen(window, halo)
    np.testing.assert_array_equal(np.zeros_like(expected) if found is None else found, expected)
    added = generator.random(window.shape, np.float32)
    free = without_tint(added, found)
    np.testing.assert_array_equal(free[:, ~expected], added[:, ~expected])
    assert_neutral(free[:, expected])
