"""Premultiplied AVIF: colours come out as they were, not dark."""

import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from hyperrestore.picture.containers.avif_items import is_premultiplied, read_items
from hyperrestore.picture.file import read_picture, write_picture


@pytest.fixture
def drawn():
    """RGBA (32, 48, 4) whose alpha grows from left to right."""
    y, x = np.mgrid[:32, :48]
    alpha = (x * 255 / 47).round()
    return np.stack([200 - x, 60 + 3 * y, 40 + x, alpha], axis=-1).astype(np.uint8)


def save(path, drawn, **options):
    Image.fromarray(drawn, "RGBA").save(path, quality=100, subsampling="4:4:4", **options)
    return path


def test_its_colours_are_divided_by_their_alpha(tmp_path, drawn):
    path = save(tmp_path / "a.avif", drawn, alpha_premultiplied=True)
    picture = read_picture(path)
    assert any("converted from premultiplied to straight alpha" in note for note in picture.info.notes)
    reference = np.asarray(Image.open(path), np.float32).transpose(2, 0, 1)
    np.testing.assert_array_equal(picture.alpha[0] * 255, reference[3])
    seen = drawn[..., 3] >= 64  # below, the file keeps too few steps of a colour
    difference = np.abs(picture.pixels * 255 - reference[:3])[:, seen]
    assert difference.max() <= 4
    assert np.abs(picture.pixels * 255 - drawn[..., :3].transpose(2, 0, 1))[:, seen].max() <= 6
    write_picture(tmp_path / "out.png", picture)
    np.testing.assert_allclose(read_picture(tmp_path / "out.png").pixels, picture.pixels, rtol=0, atol=1e-6)
    assert picture.pixels[:, drawn[..., 3] == 0].max() == 0


def test_other_files_are_left_as_they_are(tmp_path, drawn):
    picture = read_picture(save(tmp_path / "a.avif", drawn))
    assert not any("alpha" in note for note in picture.info.notes)
    seen = drawn[..., 3] > 0
    assert np.abs(picture.pixels * 255 - drawn[..., :3].transpose(2, 0, 1))[:, seen].max() <= 4
    opaque = Image.fromarray(drawn[..., :3])
    opaque.save(tmp_path / "rgb.avif")
    assert not read_picture(tmp_path / "rgb.avif").info.notes


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_at_every_depth_of_another_encoder(tmp_path, drawn, depth):
    if shutil.which("avifenc") is None:
        pytest.skip("there is no avifenc")
    Image.fromarray(drawn, "RGBA").save(tmp_path / "a.png")
    command = ["avifenc", "--premultiply", "-l", "-y", "444", "-d", str(depth), "a.png", "a.avif"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    picture = read_picture(tmp_path / "a.avif")
    seen = drawn[..., 3] >= 64
    difference = np.abs(picture.pixels * 255 - drawn[..., :3].transpose(2, 0, 1))[:, seen]
    assert difference.max() <= 4.5


def test_a_damaged_head_says_nothing(tmp_path, drawn):
    head = save(tmp_path / "a.avif", drawn, alpha_premultiplied=True).read_bytes()
    assert is_premultiplied(read_items(head))
    for length in (0, 7, 8, 40, 60):
        assert not is_premultiplied(read_items(head[:length]))
    generator = np.random.default_rng(0)
    for _ in range(200):
        broken = bytearray(head)
        broken[generator.integers(len(broken))] = generator.integers(256)
        is_premultiplied(read_items(bytes(broken)))
    where = head.index(b"pitm") + 8
    other = head[:where] + (99).to_bytes(2, "big") + head[where + 2 :]
    assert not is_premultiplied(read_items(other))  # it is another item that is premultiplied
