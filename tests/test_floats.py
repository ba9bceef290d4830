"""Floats far outside of [0, 1] are refused, wherever they are given."""

from dataclasses import replace

import numpy as np
import pytest

import hyperrestore
from hyperrestore import Picture, PictureInfo, Region, Restorer, UsageError, run_tiled, write_picture
from hyperrestore.floats import LEAST, MOST, check_floats

INFO = PictureInfo(width=9, height=8, channels=3)


def takers(tiny_model, folder):
    """Everything that takes floats."""
    restorer = Restorer.load(tiny_model, precision="fp32")
    region = Region(0, 0, 9, 8)
    return {
        "call": lambda pixels: restorer(pixels, 25),
        "picture": lambda pixels: restorer(Picture(pixels, None, INFO), 25),
        "map": lambda pixels: restorer(pixels, np.full((8, 9), 90.0 - 20)),
        "region": lambda pixels: restorer.region(pixels, 25, region),
        "inspect": hyperrestore.inspect,
        "run_tiled": lambda pixels: run_tiled(restorer.at(25), pixels),
        "write": lambda pixels: write_picture(folder / "a.png", Picture(pixels, None, INFO), overwrite=True),
    }


@pytest.mark.parametrize("taker", ["call", "picture", "map", "region", "inspect", "run_tiled", "write"])
def test_small_excursions_are_taken_and_large_ones_refused(tmp_path, tiny_model, rng, taker):
    take = takers(tiny_model, tmp_path)[taker]
    pixels = rng.random((3, 8, 9), np.float32)
    take(pixels * 1.5 - 0.25)  # as a resampled picture
    take(pixels + rng.normal(0, 100 / 255, pixels.shape).astype(np.float32))  # as noise
    for wrong in (pixels * 255, pixels * 65535, -5 * pixels - 1):
        with pytest.raises(UsageError, match=r"range from .* values in \[0, 1\].*divide"):
            take(wrong)
    assert not [path for path in tmp_path.iterdir() if path.name != "a.png"]
    for number in (np.nan, np.inf, -np.inf):
        wrong = pixels.copy()
        wrong[1, 2, 3] = number
        with pytest.raises(UsageError, match="infinities or NaN"):
            take(wrong)


def test_alpha_too(tmp_path, rng):
    picture = Picture(rng.random((3, 8, 9), np.float32), np.full((1, 8, 9), 255, np.float32), INFO)
    with pytest.raises(UsageError, match=r"alpha values range from 255 to 255"):
        write_picture(tmp_path / "a.png", picture)
    write_picture(tmp_path / "a.png", replace(picture, alpha=picture.alpha / 255))


def test_the_bounds_are_those_that_are_documented():
    check_floats(np.array([LEAST, MOST]))
    for value in (np.nextafter(LEAST, -9), np.nextafter(MOST, 9)):
        with pytest.raises(UsageError):
            check_floats(np.array([value]))
