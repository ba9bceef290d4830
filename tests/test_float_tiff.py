"""TIFF of floats: read as 16 bits if a profile says what they mean, refused in a line if not."""

import numpy as np
import pytest
import pyvips
from makers import curve, display_profile, float_picture

from hyperrestore.errors import PictureError
from hyperrestore.picture.file import read_picture, write_picture
from hyperrestore.restore.file import restore_file
from hyperrestore.restore.restorer import Restorer


def save(path, pixels, icc, **fields):
    """Write floats as libvips does."""
    bands = np.ascontiguousarray(pixels.transpose(1, 2, 0), np.float64)
    image = pyvips.Image.new_from_memory(bands.tobytes(), *bands.shape[1::-1], bands.shape[2], "double")
    image = image.cast("float").copy(interpretation="b-w" if bands.shape[2] < 3 else "scrgb")
    if icc:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    for name, value in fields.items():
        image.set_type(pyvips.GValue.gint_type, name, value)
    image.tiffsave(str(path))
    assert pyvips.Image.tiffload(str(path)).format == "float"
    return path


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_floats_become_16_bits(tmp_path, rng, channels):
    pixels = rng.integers(0, 65536, (channels, 20, 30)) / 65535
    icc = display_profile(curve(), space=b"RGB " if channels > 2 else b"GRAY")
    found = read_picture(save(tmp_path / "a.tif", pixels, icc))
    assert (found.info.bits, found.info.icc_profile) == (16, icc)
    assert "rounded from floats to 16 bits" in found.info.notes
    colours = 3 if channels > 2 else 1
    np.testing.assert_allclose(found.pixels, pixels[:colours], rtol=0, atol=1e-7)
    assert (found.alpha is None) == (channels == colours)
    if found.alpha is not None:
        np.testing.assert_allclose(found.alpha, pixels[colours:], rtol=0, atol=1e-7)


def test_they_are_restored_as_the_same_in_integers(tmp_path, tiny_model, rng):
    pixels, icc = (rng.integers(0, 6554, (3, 40, 50)) / 65535).astype(np.float32), display_profile(curve())
    write_picture(tmp_path / "integers.tif", float_picture(pixels, icc))
    save(tmp_path / "floats.tif", pixels, icc)
    save(tmp_path / "turned.tif", pixels, icc, orientation=6)
    restorer = Restorer.load(tiny_model)
    for name in ("integers", "floats", "turned"):
        restore_file(restorer, tmp_path / f"{name}.tif", tmp_path / f"{name}-out.tif", 20)
    there, here, turned = (
        read_picture(tmp_path / f"{name}-out.tif") for name in ("integers", "floats", "turned")
    )
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert here.info.icc_profile == icc
    assert turned.pixels.shape == (3, 50, 40)


def test_what_is_unclear_or_out_of_range_is_refused(tmp_path):
    icc, grey = display_profile(curve()), np.full((3, 8, 9), 0.5)
    with pytest.raises(PictureError, match=r"type float and no colour profile.*add a profile"):
        read_picture(save(tmp_path / "a.tif", grey, None))
    for wrong in (2.0, -0.5, 255.0):
        pixels = grey.copy()
        pixels[1, 2, 3] = wrong
        with pytest.raises(PictureError, match=r"type float that range from .*scale it first"):
            read_picture(save(tmp_path / "a.tif", pixels, icc))
    for wrong in (np.nan, np.inf):
        pixels = grey.copy()
        pixels[1, 2, 3] = wrong
        with pytest.raises(PictureError, match="type float, some of which are infinite or not a number"):
            read_picture(save(tmp_path / "a.tif", pixels, icc))


def test_a_little_beyond_is_clipped_and_said(tmp_path):
    pixels = np.full((3, 8, 9), 0.5)
    pixels[0, 0, :2] = -0.02, 1.03
    found = read_picture(save(tmp_path / "a.tif", pixels, display_profile(curve())))
    assert "clipped to the range 0 to 1, because its floats ranged from -0.02 to 1.03" in found.info.notes
    assert found.pixels[0, 0, :2].tolist() == [0, 1]
