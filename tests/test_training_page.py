"""The page about training on another machine: its commands, run in order on a CPU for a few steps."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from makers import write_photo

from hyperrestore.network.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/training-on-a-gpu.md").read_text(), re.M | re.S)


@pytest.fixture
def machine(tmp_path):
    """Photos, and what the page lets one set."""
    random = np.random.default_rng(0)
    for number in range(2):
        write_photo(tmp_path / "photos" / f"{number}.png", random.integers(0, 256, (3, 256, 256)))
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DEVICE": "cpu",
        "RECIPE": "recipes/denoise.toml",  # its steps are short enough for a CPU
        "PHOTOS": str(tmp_path / "photos"),
        "TEST": str(tmp_path / "photos"),
        "RUN": str(tmp_path / "run"),
        "MINUTES": "30",
        "PART": "0.02",
    }


def test_the_page_can_be_followed(machine, tmp_path):
    assert len(BLOCKS) == 6
    script = "set -euo pipefail\n" + "\n".join(BLOCKS)
    result = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=machine, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    history = load_checkpoint(tmp_path / "run" / "model.safetensors").description.history
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert 1 <= steps[0] < steps[-1] == history["steps"], "the second part went on"
    assert (tmp_path / "run" / "model.ranges.json").is_file(), "what int8 needs"
    assert "PSNR" in result.stdout
