"""What is found in a file is what was done to it."""

from dataclasses import replace

import numpy as np
import pytest
from makers import example_photos
from PIL import Image

import hyperrestore
from hyperrestore.detect.findings import Compression, Findings, inspect
from hyperrestore.detect.noise import Noise
from hyperrestore.errors import PictureError, UsageError
from hyperrestore.level import Task
from hyperrestore.measure.degrade import jpeg
from hyperrestore.measure.metrics import psnr
from hyperrestore.picture.containers.jpeg import quantisation_tables
from hyperrestore.picture.file import Picture, read_picture, write_picture
from hyperrestore.picture.info import PictureInfo
from hyperrestore.run.engine import run_tiled

PHOTOS = example_photos()


def write(path, pixels, bits=8, **options):
    channels, height, width = pixels.shape
    write_picture(path, Picture(pixels, None, PictureInfo(width, height, channels, bits=bits)), **options)
    return path


def noisy(pixels, sigma):
    noise = np.random.default_rng(0).normal(0, sigma / 255, pixels.shape)
    return (pixels + noise).clip(0, 1).astype(np.float32)


def restored_from(path, sigma, clean):
    """PSNR of a file restored at a sigma and at JPEG quality 80."""
    pixels = read_picture(path).pixels
    for task, level in ((Task.DENOISE, sigma), (Task.DEJPEG, 80)):
        pixels = run_tiled(hyperrestore.Restorer.load(task).at(level, bits=8), pixels)
    return psnr(pixels, clean)


def test_compression_of_files_of_every_kind(tmp_path, monkeypatch):
    saved = jpeg(PHOTOS["coffee"], 20)
    for bits, suffix in ((8, "png"), (16, "tif")):
        compression = inspect(write(tmp_path / f"a.{suffix}", saved, bits)).compression
        assert abs(compression.quality - 20) <= 1 and "pixels" in compression.reason
    again = inspect(write(tmp_path / "again.jpg", saved, quality=92)).compression
    assert abs(again.quality - 20) <= 2 and "saved again at 92" in again.reason
    assert inspect(write(tmp_path / "clean.png", saved[:, ::2, ::2])).compression.quality is None
    once = inspect(write(tmp_path / "once.jpg", PHOTOS["coffee"][:, ::2, ::2], quality=37)).compression
    assert (once.quality, once.reason) == (37, "from its quantisation tables")
    table = quantisation_tables(60, tilt=0.4)
    picture = Image.fromarray((PHOTOS["coffee"].transpose(1, 2, 0) * 255).astype(np.uint8))
    picture.save(tmp_path / "camera.jpg", qtables=[list(entries) for entries in table])
    assert "the closest match" in inspect(tmp_path / "camera.jpg").compression.reason
    # Of a large picture bands are looked at.
    for sample, widest in ((2**14, 4096), (2**13, 64)):
        monkeypatch.setattr("hyperrestore.detect.findings.SAMPLE", sample)
        monkeypatch.setattr("hyperrestore.detect.findings.WIDEST", widest)
        assert abs(inspect(tmp_path / "a.png").compression.quality - 20) <= 2
    with pytest.raises(PictureError):
        inspect(tmp_path / "none.png")


@pytest.mark.parametrize("quality", [1, 5, 10, 33, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_tables_of_a_file_are_found(tmp_path, quality, progressive):
    picture = Image.fromarray((PHOTOS["coffee"].transpose(1, 2, 0) * 255).astype(np.uint8))
    picture.save(tmp_path / "a.jpg", quality=quality, progressive=progressive)
    found = inspect(tmp_path / "a.jpg").compression.quality
    assert quantisation_tables(found) == quantisation_tables(quality)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_of_files_of_every_kind(tmp_path, bits, channels):
    clean = PHOTOS["chelsea"][:channels, ::2, ::2]
    for sigma in (10, 30):
        findings = inspect(write(tmp_path / f"{sigma}.png", noisy(clean, sigma), bits))
        assert findings.compression.quality is None
        assert findings.noise.sigma == pytest.approx(sigma, abs=2.5)
        assert findings.levels == {Task.DENOISE: round(findings.noise.sigma, 1)}
    findings = inspect(write(tmp_path / "clean.png", clean, bits))
    assert findings.levels == {}
    assert "no noise found with certainty" in findings.sentence(Task.DENOISE)


def test_both_are_found_and_noise_comes_first(tmp_path):
    findings = inspect(write(tmp_path / "a.jpg", noisy(PHOTOS["coffee"][:, ::2, ::2], 20), quality=80))
    assert list(findings.levels) == [Task.DENOISE, Task.DEJPEG]
    assert findings.levels[Task.DEJPEG] == 80
    assert 16 < findings.levels[Task.DENOISE] < 45  # noise in a JPEG is best restored above its sigma:
    found, told = (
        restored_from(tmp_path / "a.jpg", level, PHOTOS["coffee"][:, ::2, ::2])
        for level in (findings.levels[Task.DENOISE], 20)
    )
    assert found > told


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 9), (15, 8), (32, 24)])
def test_every_size_is_borne(size, tmp_path):
    pixels = np.random.default_rng(0).random((3, *size), np.float32)
    findings = inspect(write(tmp_path / "a.png", pixels))
    assert (findings.noise is None) == (size[0] // 8 * (size[1] // 8) < 16)
    assert findings.noise is not None or Task.DENOISE not in findings.levels


def test_a_guess_is_not_acted_upon():
    compression = Compression(98, "")
    for sigma, worth, expected in ((10, 0.99, {Task.DENOISE: 10}), (10, 0.6, {}), (1, 0.99, {})):
        findings = Findings(compression, Noise(sigma, 1.0, worth, sigma))
        assert findings.levels == expected
        assert ("no noise found with certainty" in findings.sentence(Task.DENOISE)) == (not expected)
    assert Findings(compression, None).levels == {}
    assert Findings(Compression(97, ""), None).levels == {Task.DEJPEG: 97}


def test_pictures_in_memory_are_inspected_as_files_are(tmp_path):
    pixels = noisy(PHOTOS["coffee"][:, ::2, ::2], 20)
    write(tmp_path / "a.png", pixels)
    picture = read_picture(tmp_path / "a.png")
    found = hyperrestore.inspect(tmp_path / "a.png")
    assert isinstance(found, hyperrestore.Findings) and "denoise" in found.levels
    assert hyperrestore.inspect(picture) == hyperrestore.inspect(picture.pixels) == found
    assert hyperrestore.inspect(str(tmp_path / "a.png")) == found
    # What is hidden counts no more than in the file.
    alpha = np.ones_like(picture.pixels[:1])
    alpha[:, :100] = 0
    half = replace(picture, alpha=alpha)
    write_picture(tmp_path / "half.png", half)
    assert hyperrestore.inspect(half) == hyperrestore.inspect(tmp_path / "half.png") != found


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((3, 9, 9), np.uint8),
        np.zeros((9, 9)),
        np.full((3, 9, 9), 255.0),
        np.full((1, 9, 9), np.nan),
        5,
    ],
)
def test_what_is_no_picture_is_not_inspected(wrong):
    with pytest.raises(UsageError):
        hyperrestore.inspect(wrong)
