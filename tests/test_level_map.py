"""A mask becomes levels: black the first, white the second, whatever its size, depth and format."""

import numpy as np
import pytest
from PIL import Image

from hyperrestore.errors import PictureError
from hyperrestore.run.level_map import level_rows


def save(path, values):
    Image.fromarray(values).save(path)
    return path


def whole(mask, height, width, strip=1000, **levels):
    rows = level_rows(mask, height=height, width=width, **levels)
    parts = [rows(top, min(top + strip, height)) for top in range(0, height, strip)]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("name", ["mask.png", "mask.tif", "mask.webp"])
def test_black_and_white_are_the_two_levels(tmp_path, name):
    values = np.zeros((20, 30), np.uint8)
    values[:, 10:] = 255
    values[5, 3] = 51
    path = tmp_path / name
    Image.fromarray(values).save(path, lossless=True)
    levels = whole(path, 20, 30, black=100, white=20)
    assert levels.dtype == np.float32
    expected = 100 - 80 * (values / 255)
    np.testing.assert_allclose(levels[0], expected, rtol=0, atol=1e-4)


def test_needless_bytes_in_a_jpeg_are_of_no_account(tmp_path):
    path = save(tmp_path / "mask.jpg", np.full((20, 30), 255, np.uint8))
    path.write_bytes(path.read_bytes()[:-2] + bytes(5) + b"\xff\xd9")
    np.testing.assert_allclose(whole(path, 20, 30, black=0, white=40)[0], 40, atol=1e-4)


def test_16_bit_and_colour(tmp_path):
    deep = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    levels = whole(save(tmp_path / "deep.png", deep), 20, 30, black=0, white=40)
    np.testing.assert_allclose(levels[0], deep / 65535 * 40, rtol=0, atol=1e-4)
    colour = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    levels = whole(save(tmp_path / "colour.png", colour), 20, 30, black=0, white=1)
    np.testing.assert_allclose(levels[0], colour / 255 @ [0.299, 0.587, 0.114], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (40, 60), (300, 200), (20, 1)])
def test_any_size_is_stretched_over_the_picture(tmp_path, size):
    values = np.full(size, 255, np.uint8)
    values[: size[0] // 2] = 0
    mask = save(tmp_path / "mask.png", values)
    levels = whole(mask, 61, 43, black=10, white=30)
    assert levels.shape == (1, 61, 43)
    assert levels.min() >= 10 and levels.max() <= 30
    assert levels[0, -1, -1] == 30
    if size[0] > 1:
        assert levels[0, 0, 0] == 10
        assert levels[0].mean() == pytest.approx(30 - 20 * (size[0] // 2) / size[0], abs=1.0)
    np.testing.assert_array_equal(whole(mask, 61, 43, strip=9, black=10, white=30), levels)


def test_what_is_no_mask_is_refused(tmp_path):
    clear = save(tmp_path / "clear.png", np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(PictureError, match="transparency"):
        level_rows(clear, height=4, width=4, black=0, white=1)
    (tmp_path / "text.png").write_text("no picture")
    for path in (tmp_path / "text.png", tmp_path / "none.png"):
        with pytest.raises(PictureError, match=path.name):
            level_rows(path, height=4, width=4, black=0, white=1)
    large = save(tmp_path / "large.png", np.zeros((40, 40), np.uint8))
    with pytest.raises(PictureError, match="at most 100"):
        level_rows(large, height=4, width=4, black=0, white=1, max_pixels=100)
