"""Real pairs: what is measured is what `restore` writes and what the network gives."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from hyperrestore import PictureInfo, Restorer, read_picture, run_tiled
from hyperrestore.level import Task
from hyperrestore.measure.metrics import psnr, to_8bit
from hyperrestore.picture.file import Picture, write_picture

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def real(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    real = importlib.import_module("real")
    for name in ("RECORDS", "DOCS"):
        monkeypatch.setattr(real.quality, name, tmp_path / "out")
    monkeypatch.setattr(real, "SIGMAS", (5, 15))
    return real


@pytest.fixture
def folder(tmp_path):
    """Two smooth pictures, one of them noisy, and a third without its mean."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    y, x = np.mgrid[:64, :96] / 20
    clean = np.stack([(np.sin(x + channel) * np.cos(y) + 1) / 2 for channel in range(3)]).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 15 / 255, clean.shape).astype(np.float32)
    for name, pixels in (
        ("a_mean", clean), ("a_real", clean + noise), ("b_mean", clean), ("b_real", clean + 1 / 255),
        ("c_real", clean),
    ):  # fmt: skip
        write_picture(folder / f"{name}.png", Picture(np.clip(pixels, 0, 1), None, PictureInfo(96, 64, 3)))
    return folder


def test_the_rows_are_those_of_the_pictures(real, folder, capsys):
    real.main([str(folder), "--save"])
    rows = real.quality.read_real(real.quality.RECORDS / "real.json")
    noisy = [read_picture(folder / f"{name}_real.png").pixels for name in "ab"]
    clean = [read_picture(folder / f"{name}_mean.png").pixels for name in "ab"]
    given = [psnr(one, mean) for one, mean in zip(noisy, clean, strict=True)]
    restorer = Restorer.load(Task.DENOISE)
    scores = np.array([
        [psnr(to_8bit(run_tiled(restorer.at(sigma, bits=8), one)), mean)
         for one, mean in zip(noisy, clean, strict=True)]
        for sigma in (5, 15)
    ])  # fmt: skip
    best = int(scores.mean(axis=1).argmax())
    assert [one.method for one in rows] == [
        "input", "restore", "denoise, the best sigma for each crop", f"denoise, sigma {(5, 15)[best]} for all"
    ]  # fmt: skip
    expected = [np.mean(given), rows[1].psnr, scores.max(axis=0).mean(), scores[best].mean()]
    assert [one.psnr for one in rows] == pytest.approx(expected, abs=1e-3)
    assert rows[1].psnr > rows[0].psnr + 2, "of two, one is noisy, and much better restored"
    assert (rows[1].found, rows[1].worse, rows[0].found, rows[0].worse) == (1, 0, -1, 0)
    assert {one.crops for one in rows} == {2}
    printed = capsys.readouterr().out
    assert "pairs, 2 crops" in printed
    page = (real.quality.DOCS / "quality.md").read_text()
    assert "## Real noise" in page and real.table(rows) in page and real.table(rows) in printed
    with pytest.raises(SystemExit, match="holds no pair"):
        (folder / "a_mean.png").unlink()
        (folder / "b_mean.png").unlink()
        real.main([str(folder)])
