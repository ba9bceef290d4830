"""The quality that is found is the one that was used."""

import numpy as np
import pytest
from makers import example_photos

from hyperrestore.colour import full_range_luma
from hyperrestore.detect.compression import quality_from_pixels
from hyperrestore.measure.degrade import jpeg

PHOTOS = example_photos()


def page(height, width):
    """What stands for small print: (3, height, width), lines of black and white pixels."""
    page = np.ones((height, width), np.float32)
    for top in range(0, height - 10, 16):
        page[top : top + 10] = np.random.default_rng(top).random((10, width)) > 0.4
    return np.broadcast_to(page, (3, height, width))


def found(pixels):
    return quality_from_pixels(full_range_luma(pixels)[0] * 255)


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
