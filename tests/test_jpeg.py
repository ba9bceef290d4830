"""What the head of a JPEG file says is what its encoder was told."""

import numpy as np
import pytest
from makers import example_photo
from PIL import Image

from hyperrestore.picture.containers.jpeg import (
    jpeg_subsampling,
    jpeg_tables,
    least_size,
    quality_of_table,
    quantisation_tables,
)


@pytest.mark.parametrize("quality", [1, 5, 10, 33, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("progressive", [False, True])
def test_tables_of_a_file_give_its_quality(tmp_path, quality, progressive):
    picture = Image.fromarray((example_photo("coffee", 40, 100).transpose(1, 2, 0) * 255).astype(np.uint8))
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


@pytest.mark.parametrize("option, shared", [("4:4:4", (1, 1)), ("4:2:2", (2, 1)), ("4:2:0", (2, 2))])
@pytest.mark.parametrize("progressive", [False, True])
def test_how_many_pixels_share_a_colour(tmp_path, option, shared, progressive):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.jpg", subsampling=option, progressive=progressive)
    whole = (tmp_path / "a.jpg").read_bytes()
    assert jpeg_subsampling(whole) == shared
    frame = whole.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    for length in (0, 2, frame, frame + 5, frame + 10, frame + 16):
        assert jpeg_subsampling(whole[:length]) is None
    odd = bytearray(whole)
    odd[frame + 11] = odd[frame + 14] = odd[frame + 17] = 0
    assert jpeg_subsampling(bytes(odd)) is None


def test_grey_files_share_no_colours(tmp_path):
    Image.new("L", (16, 16)).save(tmp_path / "a.jpg")
    assert jpeg_subsampling((tmp_path / "a.jpg").read_bytes()) is None


@pytest.mark.parametrize("options", [{}, {"progressive": True, "optimize": True}, {"subsampling": "4:4:4"}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_no_file_is_smaller_than_the_least(tmp_path, mode, options):
    Image.new(mode, (3000, 2000)).save(tmp_path / "a.jpg", quality=1, **options)
    whole = (tmp_path / "a.jpg").read_bytes()
    assert len(whole) > least_size(whole) >= 3000 * 2000 // 64 // 8
    frame = max(whole.find(b"\xff\xc2"), whole.find(b"\xff\xc0"))
    assert least_size(whole[: frame + 4]) == 0
    assert least_size(b"\x89PNG") == 0
