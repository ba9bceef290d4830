"""A sheet shows one region at several levels: the same pixels as the whole result has there."""

import numpy as np
import pytest

import hyperrestore.restore.sheet as sheets
from hyperrestore import Region, Restorer
from hyperrestore.errors import LevelError, UsageError
from hyperrestore.picture.file import Picture, read_picture, write_picture
from hyperrestore.picture.info import PictureInfo
from hyperrestore.restore.sheet import GAP, repairs_at, sweep, telling_region


@pytest.fixture(scope="module")
def restorer(tiny_model):
    return Restorer.load(tiny_model, precision="fp32")


def picture_of(pixels, **info):
    channels, height, width = pixels.shape
    return Picture(pixels, None, PictureInfo(width=width, height=height, channels=channels, **info))


def panels(sheet, region):
    """Where the panels of a sheet are: every place where a region of that size fits between the gaps."""
    height, width = region.bottom - region.top, region.right - region.left
    tops = range(GAP, sheet.shape[1] - height, height + 20 + 2 * GAP)
    lefts = range(GAP, sheet.shape[2] - width, width + GAP)
    return [sheet[:, top : top + height, left : left + width] for top in tops for left in lefts]


@pytest.mark.parametrize("channels", [1, 3])
def test_every_panel_is_that_part_of_the_result(restorer, rng, channels):
    picture = picture_of(rng.random((channels, 150, 260), np.float32), icc_profile=b"profile")
    region, levels = Region(20, 10, 220, 110), (5, 20, 60)
    sheet = sweep(restorer, picture, repairs_at(restorer, levels), region=region)
    shown = panels(sheet.pixels, region)
    expected = [picture, *(restorer(picture, level) for level in levels)]
    for panel, whole in zip(shown, expected, strict=False):
        part = whole.pixels[:, region.top : region.bottom, region.left : region.right]
        np.testing.assert_allclose(panel, part, rtol=0, atol=2e-6)
    assert len(shown) >= 4
    assert sheet.info.icc_profile == b"profile"
    assert (sheet.info.height, sheet.info.width) == sheet.pixels.shape[1:]
    assert sheet.info.channels == channels


def test_labels_differ_and_are_dark_on_light(restorer, rng):
    picture = picture_of(np.full((3, 100, 120), 0.5, np.float32))
    sheet = sweep(restorer, picture, repairs_at(restorer, (5, 60)), region=Region(0, 0, 120, 100)).pixels[0]
    below = sheet[GAP + 100 + GAP // 2 : GAP + 100 + GAP + 20]
    assert below.min() < 0.2 and below.max() == 1.0
    assert np.median(below) == 1.0


def test_tiny_pictures_and_16_bit_files(restorer, rng, tmp_path):
    picture = picture_of(rng.random((3, 1, 1), np.float32), bits=16)
    sheet = sweep(restorer, picture, repairs_at(restorer, [10]))
    write_picture(tmp_path / "sheet.png", sheet)
    assert read_picture(tmp_path / "sheet.png").info.bits == 8


def test_the_region_is_where_the_levels_differ_most(rng, monkeypatch):
    monkeypatch.setattr(sheets, "SIDE", 96)
    restorer = Restorer.load("denoise")
    pixels = np.full((3, 220, 288), 0.5, np.float32)
    pixels[:, -90:-10, -90:-10] += rng.normal(0, 0.1, (3, 80, 80)).astype(np.float32)
    assert telling_region(restorer, picture_of(pixels), repairs_at(restorer, (40, 2))) == (192, 124, 288, 220)
    small = picture_of(pixels[:, :50, :60])
    assert telling_region(restorer, small, repairs_at(restorer, (2, 40))) == (0, 0, 60, 50)


def test_what_makes_no_sheet_is_refused(restorer, upscale_model, rng):
    picture = picture_of(rng.random((3, 20, 30), np.float32))
    with pytest.raises(UsageError, match="at least one level"):
        repairs_at(restorer, [])
    with pytest.raises(LevelError):
        repairs_at(restorer, [10, 500])
    with pytest.raises(UsageError, match="not a part"):
        sweep(restorer, picture, repairs_at(restorer, [10]), region=Region(0, 0, 31, 20))
    with pytest.raises(UsageError, match="upscaling"):
        repairs_at(Restorer.load(upscale_model), [2])
