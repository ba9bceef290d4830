"""The quality that is found is the one that was used."""

import numpy as np
import pytest
from PIL import Image
from test_models import photo

from hyperrestore.compression import jpeg_tables, quality_from_pixels, quality_of_table
from hyperrestore.degrade import jpeg, quantisation_tables
from hyperrestore.metrics import full_range_luma

PHOTOS = {name: photo(name, 40, 100) for name in ("chelsea", "coffee", "astronaut")}


def page(height, width):
    """What stands for small print: (3, height, width), lines of black and white pixels."""
    page = np.ones((height, width), np.float32)
    for top in range(0, height - 10, 16):
        page[top : top + 10] = np.random.default_rng(top).random((10, width)) > 0.4
    return np.broadcast_to(page, (3, height, width))


def found(pixels):
    return quality_from_pixels(full_range_luma(pixels)[0] * 255)


@pytest.mark.parametrize("quality", [1, 5, 10, 33, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("progressive", [False, True])
def test_tables_of_a_file_give_its_quality(tmp_path, quality, progressive):
    picture = Image.fromarray((PHOTOS["coffee"].transpose(1, 2, 0) * 255).astype(np.uint8))
    picture.save(tmp_path / "a.jpg", quality=quality, progressive=progressive)
    table = jpeg_tables((tmp_path / "a.jpg").read_bytes())
    assert table == quantisation_tables(quality)[0]
    nearest, exact = quality_of_table(table)
    assert exact and quantisation_tables(nearest) == quantisation_tables(quality)


def test_other_tables_get_the_nearest_quality():
    for quality in (10, 30, 60, 85):
        for tilt in (-0.4, 0.4):
            nearest, exact = quality_of_table(quantisation_tables(quality, tilt=tilt)[0])
            assert not exact and abs(nearest - quality) <= 6
    assert quality_of_table((1,) * 64)[0] == 100
    assert quality_of_table((0,) * 64)[0] == 100


def test_files_without_tables(tmp_path):
    picture = Image.new("RGB", (16, 16))
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    assert jpeg_tables((tmp_path / "a.png").read_bytes()) is None
    assert jpeg_tables(whole)
    start = whole.index(b"\xff\xdb")
    for length in (0, 1, 2, 3, 5, start + 1, start + 3, start + 20):
        assert jpeg_tables(whole[:length]) is None
    assert jpeg_tables(whole.replace(b"\xff\xdb", b"\xff\xfe")) is None
    assert jpeg_tables(whole.replace(b"\xff\xdb", b"\xff\xff\xff\xdb")) == jpeg_tables(whole), "fill"
    frame = whole.index(b"\xff\xc0")
    second = bytearray(whole)
    second[frame + 12] = 1  # the table of luminance is number 1 in this file
    assert jpeg_tables(bytes(second)) == quantisation_tables(75)[1]


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("quality", [8, 10, 20, 30, 50, 75, 90])
def test_pixels_keep_the_quality(name, quality):
    saved = jpeg(PHOTOS[name], quality)
    assert abs(found(saved) - quality) <= 2
    assert abs(found(saved[:, 3:, 5:]) - quality) <= 2, "cut"
    assert abs(found(jpeg(PHOTOS[name], quality, subsampling="4:4:4")) - quality) <= 2
    if quality <= 50:
        assert abs(found(jpeg(saved, 95)) - quality) <= 3, "saved again"
        assert abs(found(jpeg(saved[:, 3:, 5:], 92)) - quality) <= 3, "cut and saved again"


def test_nothing_is_found_where_nothing_is():
    random = np.random.default_rng(0)
    clean = PHOTOS["chelsea"]
    small = clean[:, ::2, ::2]  # what its own file lost is no longer on a grid
    for pixels in (
        random.random((3, 128, 128), np.float32),
        np.full((3, 64, 64), 0.5, np.float32),
        small,
        np.clip(clean + random.normal(0, 0.1, clean.shape).astype(np.float32), 0, 1),
        np.broadcast_to(np.linspace(0, 1, 128, dtype=np.float32), (3, 128, 128)),
        np.add.outer(*[np.arange(160, dtype=np.float32)] * 2)[None].repeat(3, 0) / 320,
        (clean > 0.5).astype(np.float32),
        (clean > np.tile([[0.2, 0.6], [0.8, 0.4]], (128, 128))).astype(np.float32),
        np.round(clean * 7) / 7,
        *(clean[:, top : top + 24, top : top + 24] for top in range(0, 200, 20)),
        np.concatenate([page(256, 512), jpeg(clean, 40)], axis=2),
    ):
        assert found(pixels) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 9), (8, 8), (15, 8), (16, 100)])
def test_every_size_is_borne(size):
    pixels = np.random.default_rng(0).random((3, *size), np.float32)
    found(pixels)
    found(jpeg(pixels, 10))
