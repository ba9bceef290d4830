"""Several processes that train one model: together they learn what one learns alone."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import tiny_recipe
from PIL import Image
from safetensors.numpy import load_file

import hyperrestore.learn.train as training
from hyperrestore.errors import UsageError
from hyperrestore.learn.batch import Batch
from hyperrestore.learn.model import MODEL
from hyperrestore.learn.state import STATE
from hyperrestore.learn.train import train
from hyperrestore.learn.world import World, join

CPU = torch.device("cpu")
# Trains, on small validation crops; `die_at` kills the second process once.
SCRIPT = """
import importlib, os, signal, sys
from pathlib import Path
import torch
from test_world import RECIPE
from hyperrestore.learn.state import Run

training = importlib.import_module("hyperrestore.learn.train")
photos, out, steps, die_at = sys.argv[1:]
training.VALIDATION_SIZE, training.VALIDATION_CROPS = 40, 2
inner = Run.update_average

def update(self):
    inner(self)
    died = Path(out, "died")
    if self.step == int(die_at) and os.environ.get("RANK") == "1" and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)

Run.update_average = update
torch.set_num_threads(1)
training.train(
    RECIPE, Path(photos), Path(out), steps=int(steps), device=torch.device("cpu"), bf16=False,
    validate_every=0,
)
"""
RECIPE = tiny_recipe(crops_per_level=4, grey_share=0.3, weaker_share=0.3, clipped_share=0.3)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(21):
        pixels = np.random.default_rng(number).integers(0, 256, (60, 60, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def alone(photos, out, *, steps, resume=False):
    train(RECIPE, photos, out, steps=steps, device=CPU, bf16=False, resume=resume)


def together(photos, out, *, steps, die_at, script):
    """Two processes, of which one is killed; then both are started again."""
    script.write_text(SCRIPT)
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = [*start, "--max-restarts=3", *map(str, [script, photos, out, steps, die_at])]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def assert_same_training(one, other):
    for file in (STATE, MODEL):
        expected = load_file(other / file)
        for name, value in load_file(one / file).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=2e-5, err_msg=name)


def test_two_processes_learn_what_one_learns_though_one_is_killed(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(training, "VALIDATION_SIZE", 40)
    monkeypatch.setattr(training, "VALIDATION_CROPS", 2)
    one, two = tmp_path / "one", tmp_path / "two"
    alone(photos, one, steps=5)
    said = together(photos, two, steps=5, die_at=3, script=tmp_path / "script.py")
    assert "exitcode: -9" in said and said.count("the training has ended") == 1
    assert_same_training(one, two)
    for folder in (one, two):  # with another number of processes
        alone(photos, folder, steps=7, resume=True)
    assert_same_training(one, two)


def test_parts_make_up_the_batch():
    levels = torch.rand(3)
    crops = torch.rand(3, 6, 3, 8, 8)
    batch = Batch(levels, crops, crops + 1, torch.rand(3, 6, 1, 1, 1) < 0.5, crops[:, :2] + 2)
    parts = [World(rank, 3, CPU).part(batch) for rank in range(3)]
    for part in parts:
        assert (part.levels == levels).all()
        # As in the whole batch, those with noise come first.
        torch.testing.assert_close(part.noisy - 2, part.degraded[:, : part.noisy.shape[1]])
    for name in ("degraded", "clean", "weaker"):
        whole = torch.cat([getattr(part, name) for part in parts], dim=1)
        expected = getattr(batch, name)
        assert sorted(whole.flatten().tolist()) == sorted(expected.flatten().tolist())


def test_crops_that_cannot_be_shared_are_refused():
    with pytest.raises(UsageError, match="3 processes cannot share crops_per_level = 4"):
        World(0, 3, CPU).check(tiny_recipe(crops_per_level=4))


def started_by_torchrun(monkeypatch, rank="1"):
    facts = {"WORLD_SIZE": "2", "RANK": rank, "LOCAL_RANK": rank, "MASTER_ADDR": "::1", "MASTER_PORT": "1"}
    for name, value in facts.items():
        monkeypatch.setenv(name, value)


def test_processes_take_gpus_of_their_own(monkeypatch):
    started_by_torchrun(monkeypatch)
    with pytest.raises(UsageError, match="give --device cuda"):
        join(torch.device("cuda:1"))


def test_more_processes_than_gpus_are_refused(monkeypatch):
    started_by_torchrun(monkeypatch)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="this machine has 1"):
        join(torch.device("cuda"))


def test_several_processes_compute_on_no_other_device(monkeypatch):
    started_by_torchrun(monkeypatch)
    with pytest.raises(UsageError, match="cpu or cuda, not on mps"):
        join(torch.device("mps"))


def test_what_torchrun_did_not_start_is_refused(monkeypatch):
    started_by_torchrun(monkeypatch)
    monkeypatch.delenv("RANK")
    with pytest.raises(UsageError, match="without RANK: start several processes by torchrun, or unset"):
        join(CPU)


@pytest.mark.parametrize("other", [{"step": 3}, {"given": {"photos": "b"}}, {"started_from": {"model": "m"}}])
def test_processes_that_begin_differently_are_refused(monkeypatch, other):
    own = {"step": 0, "given": {"photos": "a"}, "started_from": None}
    sent = []

    def all_reduce(tensor, op):
        if not sent:
            sent.append(tensor.clone())
        tensor.copy_(torch.maximum(tensor, sent[0]))

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    World(0, 2, CPU).check_begin(SimpleNamespace(**own))
    World(1, 2, CPU).check_begin(SimpleNamespace(**own))
    with pytest.raises(UsageError, match="process 1 begins at step"):
        World(1, 2, CPU).check_begin(SimpleNamespace(**(own | other)))


def test_a_call_takes_a_step_however_early_it_is_to_stop(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(training, "VALIDATION_SIZE", 40)
    monkeypatch.setattr(training, "VALIDATION_CROPS", 2)
    for step in (1, 2):
        train(
            RECIPE, photos, tmp_path / "run", steps=9, stop_after=0, device=CPU, bf16=False, resume=step > 1
        )
        rows = (tmp_path / "run" / "log.csv").read_text().splitlines()[1:]
        assert [int(row.split(",")[0]) for row in rows] == list(range(1, step + 1))
