"""Upscaling files: exact sizes, alpha too, the same for every tile, and memory for a row of tiles."""

import json

import numpy as np
import pytest
from conftest import needs_linux, peak_memory
from makers import photo
from PIL import Image

from hyperrestore import PictureInfo, Restorer, read_picture, restore_file, write_picture
from hyperrestore.cli.main import main
from hyperrestore.errors import ExtrapolationWarning, LevelError, UsageError
from hyperrestore.level import Task
from hyperrestore.picture.file import Picture
from hyperrestore.run.engine import Region


@pytest.fixture(scope="module", params=["upscale_model", "subpixel_model"])
def restorer(request):
    """A model for pictures that are enlarged before, and one that works on the small picture."""
    return Restorer.load(request.getfixturevalue(request.param), precision="fp32")


@pytest.mark.parametrize("scale", [1, 1.3, 2, 2.7, 4])
@pytest.mark.parametrize(
    ("channels", "bits", "alpha", "height", "width"),
    [(3, 8, False, 24, 36), (1, 8, False, 7, 33), (3, 16, True, 13, 9), (3, 8, True, 1, 1)],
)
def test_files_become_as_large_as_asked(restorer, tmp_path, scale, channels, bits, alpha, height, width):
    source = photo(tmp_path / "in.png", channels=channels, bits=bits, alpha=alpha, height=height, width=width)
    report = restore_file(restorer, source, tmp_path / "out.png", scale)
    made, whole = read_picture(tmp_path / "out.png"), restorer(read_picture(source), scale)
    expected = tuple(int(side * scale + 0.5) for side in (height, width))
    assert made.pixels.shape == whole.pixels.shape == (channels, *expected)
    assert (report.height, report.width, report.levels) == (*expected, {"upscale": scale})
    assert made.info.bits == bits
    assert np.abs(made.pixels - whole.pixels).max() < 0.6 / (2**bits - 1) + 2e-5
    assert (whole.info.height, whole.info.width) == expected
    if alpha:
        assert made.alpha.shape == whole.alpha.shape == (1, *expected)
        assert np.abs(made.alpha - whole.alpha).max() <= 0.6 / (2**bits - 1)
    for tile in (16, 40):
        restore_file(restorer, source, tmp_path / f"{tile}.png", scale, tile=tile)
        tiled = read_picture(tmp_path / f"{tile}.png").pixels
        assert np.abs(tiled - made.pixels).max() <= 1.01 / (2**bits - 1)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_picture_in_memory_has_the_alpha_of_the_file(restorer, tmp_path, bits):
    random = np.random.default_rng(0)
    pixels, alpha = random.random((3, 37, 45), np.float32), random.random((1, 37, 45), np.float32)
    source = tmp_path / "in.png"
    write_picture(source, Picture(pixels, alpha, PictureInfo(45, 37, 3, bits, has_alpha=True)))
    for scale in (1.7, 2, 3.1):
        restore_file(restorer, source, tmp_path / f"{scale}.png", scale)
        write_picture(tmp_path / f"memory-{scale}.png", restorer(read_picture(source), scale))
        made, expected = (
            read_picture(tmp_path / f"{name}{scale}.png").alpha * (2**bits - 1) for name in ("memory-", "")
        )
        np.testing.assert_array_equal(np.rint(made), np.rint(expected))


def test_a_side_can_be_given(restorer, tmp_path):
    source = photo(tmp_path / "in.png", height=24, width=36)
    for name, size, expected in (
        ("to_width", 100, (67, 100)),
        ("to_height", 60, (60, 90)),
        ("long_side", 72, (48, 72)),
    ):
        report = restore_file(restorer, source, tmp_path / f"{name}.png", None, **{name: size})
        assert (report.height, report.width) == expected
        assert report.levels["upscale"] == pytest.approx(size / (24 if name == "to_height" else 36))
    for level, sizes, error in (
        (None, {}, UsageError),
        (2, {"to_width": 80}, UsageError),
        (None, {"to_width": 20}, LevelError),
        (0.5, {}, LevelError),
        (6.5, {}, LevelError),
        ("2", {}, LevelError),
        (1e308, {}, LevelError),
        (2, {"max_pixels": 2000}, UsageError),
    ):
        with pytest.raises(error, match=r"in\.png"):
            restore_file(restorer, source, tmp_path / "no.png", level, **sizes)
    assert not (tmp_path / "no.png").exists()


@pytest.mark.parametrize("alpha", [False, True])
def test_softness_is_a_level_of_its_own(subpixel_model, tmp_path, alpha):
    restorer = Restorer.load(subpixel_model, precision="fp32")
    picture = read_picture(photo(tmp_path / "in.png", height=24, width=36, alpha=alpha))
    made = {}
    for softness in (0, 1, 1.7):
        made[softness] = restorer(picture, {"scale": 2.5, "softness": softness}).pixels
        restore_file(restorer, tmp_path / "in.png", tmp_path / f"{softness}.png", 2.5, softness=softness)
        file = read_picture(tmp_path / f"{softness}.png").pixels
        assert np.abs(file - made[softness]).max() < 0.6 / 255
        part = Region(20, 10, 71, 55)
        region = restorer.region(picture, {"scale": 2.5, "softness": softness}, part, size=16)
        inner = made[softness][:, part.top : part.bottom, part.left : part.right]
        assert np.abs(region - inner).max() < 1e-6
    assert np.array_equal(made[1], restorer(picture, 2.5).pixels), "1 is the default"
    assert np.abs(made[0] - made[1]).max() > 1e-3 < np.abs(made[1.7] - made[1]).max()


def test_levels_have_to_be_known(subpixel_model, upscale_model):
    picture = np.zeros((3, 4, 5), np.float32)
    small, before = Restorer.load(subpixel_model), Restorer.load(upscale_model)
    with pytest.raises(UsageError, match="no level 'softness'; it takes scale"):
        before(picture, {"scale": 2, "softness": 1})
    with pytest.raises(UsageError, match="'scale' is missing"):
        small(picture, {"softness": 1})
    with pytest.raises(LevelError, match="softness 4"):
        small(picture, {"scale": 2, "softness": 4})
    with pytest.warns(ExtrapolationWarning, match=r"softness 2\.5"):
        small(picture, {"scale": 2, "softness": 2.5})
    with pytest.raises(UsageError, match="grain"):
        small(picture, 2, grain=0.2)


def test_at_scale_1_a_picture_that_is_not_soft_stays(restorer):
    picture = np.random.default_rng(0).random((3, 13, 9), np.float32)
    assert np.array_equal(restorer(picture, 1), picture)
    if restorer.axes:
        assert np.array_equal(restorer(picture, {"scale": 1, "softness": 0.5}), picture)
        assert not np.array_equal(restorer(picture, {"scale": 1, "softness": 1.5}), picture)


@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_grey_comes_out_grey(subpixel_model, device):
    grey = np.random.default_rng(0).random((1, 20, 31), np.float32)
    restorer = Restorer.load(subpixel_model, precision="fp32", device=device)
    colour = restorer(np.repeat(grey, 3, axis=0), 2.7)
    assert np.array_equal(colour[0], colour[1]) and np.array_equal(colour[0], colour[2])
    np.testing.assert_allclose(colour[:1], restorer(grey, 2.7), rtol=0, atol=1e-6)


def test_engines_agree(subpixel_model):
    picture = np.random.default_rng(0).random((3, 23, 17), np.float32)
    level = {"scale": 3.3, "softness": 0.4}
    one, other = (
        Restorer.load(subpixel_model, precision="fp32", device=device)(picture, level)
        for device in ("cpu", "torch")
    )
    np.testing.assert_allclose(one, other, rtol=0, atol=2e-5)


def test_softness_on_the_command_line(subpixel_model, upscale_model, tmp_path, capsys):
    source = str(photo(tmp_path / "in.png"))
    words = ["upscale", source, "-s", "2", "--overwrite", "-o"]
    for softness in ("0", "1", "2"):
        out = tmp_path / f"{softness}.png"
        assert main([*words, str(out), "--model", str(subpixel_model), "--softness", softness]) == 0
    assert main([*words, str(tmp_path / "usual.png"), "--model", str(subpixel_model)]) == 0
    made = {name: read_picture(tmp_path / f"{name}.png").pixels for name in ("0", "1", "2", "usual")}
    assert np.array_equal(made["1"], made["usual"])
    assert not np.array_equal(made["0"], made["1"]) and not np.array_equal(made["2"], made["1"])
    capsys.readouterr()
    out = str(tmp_path / "no.png")
    assert main([*words, out, "--model", str(upscale_model), "--softness", "1"]) == 2
    assert "no level 'softness'" in capsys.readouterr().err
    assert main([*words, out, "--model", str(subpixel_model), "--softness", "9"]) == 2
    assert "softness 9.0 is not accepted" in capsys.readouterr().err


def test_the_command(upscale_model, dejpeg_model, tmp_path, capsys):
    source = str(photo(tmp_path / "in.png"))
    out = tmp_path / "out.png"
    words = ["-o", str(out), "--model", str(upscale_model)]
    assert main(["upscale", source, *words, "-s", "2.5"]) == 0
    assert read_picture(out).pixels.shape == (3, 60, 90)
    assert main(["upscale", source, *words, "--long-side", "180", "--overwrite"]) == 0
    assert "extrapolates" in capsys.readouterr().err
    assert read_picture(out).pixels.shape == (3, 120, 180)
    assert main(["upscale", source, *words, "--overwrite"]) == 2
    assert main(["upscale", source, *words, "-s", "2", "--width", "80", "--overwrite"]) == 2
    for digits in (400, 5000):
        capsys.readouterr()
        assert main(["upscale", source, *words, "--width", "9" * digits, "--overwrite"]) == 2
        assert "is too large a number" in capsys.readouterr().err
    repaired = ["-o", str(tmp_path / "r.png"), "--model"]
    assert main(["dejpeg", source, "-l", "30", *repaired, str(dejpeg_model)]) == 0
    assert read_picture(tmp_path / "r.png").pixels.shape == (3, 24, 36)
    Image.fromarray(np.asarray(read_picture(source).pixels.transpose(1, 2, 0) * 255, np.uint8)).save(
        tmp_path / "in.jpg", quality=37
    )
    for words in ([], ["-l", "auto"]):
        assert (
            main(["dejpeg", str(tmp_path / "in.jpg"), *words, *repaired, str(dejpeg_model), "--overwrite"])
            == 0
        )
        assert "quality 37, from its quantisation tables" in capsys.readouterr().err
    assert main(["dejpeg", source, *repaired, str(dejpeg_model), "--overwrite", "--json"]) == 0
    said = capsys.readouterr()
    assert "nothing was repaired: no traces" in said.err
    assert json.loads(said.out)["levels"] == {}
    assert np.array_equal(read_picture(tmp_path / "r.png").pixels, read_picture(source).pixels)
    assert main(["dejpeg", source, "-l", "much", *repaired, str(dejpeg_model), "--overwrite"]) == 2
    capsys.readouterr()
    assert main(["denoise", source, "-l", "30", *repaired, str(dejpeg_model), "--overwrite"]) == 2
    assert "is a model for dejpeg, not for denoise" in capsys.readouterr().err


@pytest.mark.slow
@needs_linux
def test_twelve_megapixels_times_four_stay_within_two_gigabytes(tmp_path):
    """Without a network, whose own memory a tile bounds: `benchmarks/speed.py --memory` has it."""
    source = photo(tmp_path / "in.jpg", height=2828, width=4243)
    assert peak_memory(Task.UPSCALE, source, tmp_path / "out.jpg", 4) < 1.3 * 1024
