"""Upscaling files: exact sizes, alpha too, the same for every tile, and memory for a row of tiles."""

import json

import numpy as np
import pytest
from conftest import needs_linux, peak_memory
from PIL import Image
from test_cli import photo

from hyperrestore import Restorer, read_picture, restore_file
from hyperrestore.cli import main
from hyperrestore.errors import LevelError, UsageError
from hyperrestore.level import Task


@pytest.fixture(scope="module")
def restorer(upscale_model):
    return Restorer.load(upscale_model, precision="fp32")


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
