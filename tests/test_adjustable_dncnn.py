"""A network of strangers: trained at one level, it becomes adjustable, and is better away from that level."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from makers import write_photo

EXAMPLE = Path(__file__).parents[1] / "examples" / "adjustable_dncnn.py"


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("adjustable_dncnn", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_photos(folder, count):
    """Smooth areas and edges."""
    random = np.random.default_rng(0)
    down, across = np.mgrid[:64, :64] / 64
    for number in range(count):
        planes = [
            random.uniform(0, 1)
            + random.uniform(-1, 1) * down
            + random.uniform(-1, 1) * (across > random.random())
            for _ in range(3)
        ]
        write_photo(folder / f"{number}.png", (255 * np.stack(planes).clip(0, 1)).astype(int))


def test_the_example_is_better_away_from_its_level_and_as_good_there(example, tmp_path, capsys):
    write_photos(tmp_path, 10)
    sizes = ("--steps", "150", "--fine-tune", "150", "--width", "8", "--depth", "4", "--crop", "24")
    example.main([str(tmp_path), *sizes])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "PSNR, dB, of 2 photos that were not trained on"
    rows = {float(sigma): (float(noisy), float(fixed), float(adjustable))
            for sigma, noisy, fixed, adjustable in map(str.split, lines[2:])}  # fmt: skip
    assert list(rows) == list(example.MEASURED)
    for sigma in (50.0, 75.0):
        assert rows[sigma][2] > rows[sigma][1] + 1
    assert rows[25.0][2] > rows[25.0][1] - 0.5
    assert rows[25.0][1] > rows[25.0][0] + 0.5


def test_without_fine_tuning_every_level_is_the_fixed_network(example, tmp_path, capsys):
    write_photos(tmp_path, 3)
    example.main([str(tmp_path), "--steps", "5", "--fine-tune", "0", "--width", "4", "--depth", "3"])
    for line in capsys.readouterr().out.splitlines()[2:]:
        _, _, fixed, adjustable = line.split()
        assert fixed == adjustable


def test_too_few_photos_are_refused(example, tmp_path, capsys):
    write_photos(tmp_path, 1)
    with pytest.raises(SystemExit):
        example.main([str(tmp_path)])
    assert "holds 1 photos of 48 pixels; give two" in capsys.readouterr().err
