import contextlib
import copy
import csv
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SIGMA, SMALL_PAPER, TINY, randomised, tiny_recipe
from makers import write_photo
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import save
from torch import nn

import hyperrestore.learn.save as saving
import hyperrestore.learn.state as state_module
import hyperrestore.learn.train as training_module
from hyperrestore.errors import CheckpointError, PictureError, TrainingError, UsageError
from hyperrestore.learn.batch import Batch, draw_batch, draw_levels
from hyperrestore.learn.device import is_fast_in_bf16
from hyperrestore.learn.interrupt import interruptible
from hyperrestore.learn.log import LOG, Log
from hyperrestore.learn.model import MODEL, save_model
from hyperrestore.learn.optimizer import Optimizer
from hyperrestore.learn.pairs import as_stored
from hyperrestore.learn.photos import Photos, find_photos, split_photos
from hyperrestore.learn.state import STATE, STATE_KEY, Run
from hyperrestore.learn.step import learn, loss_of, targets_of
from hyperrestore.learn.train import train
from hyperrestore.learn.validate import validate
from hyperrestore.learn.weaker import draw_true_levels, fade_half, store_half
from hyperrestore.learn.world import World
from hyperrestore.network.architectures import NetworkConfig, build, load_network
from hyperrestore.network.checkpoint import load_checkpoint, weights_digest

CPU = torch.device("cpu")
WIDE = NetworkConfig("unet", widths=(16, 32), blocks=(1, 1), rank=8)  # wide enough for Muon


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Smooth pictures, from which noise can be told."""
    folder = tmp_path_factory.mktemp("photos")
    y, x = np.mgrid[:48, :56] / 16
    for number in range(6):
        waves = [np.sin(x * (number + 1) / 2 + channel) * np.cos(y + number) for channel in range(3)]
        write_photo(folder / f"{number}.png", np.rint(127.5 + 100 * np.stack(waves)))
    return folder


@pytest.fixture(autouse=True)
def _small_validation(monkeypatch):
    monkeypatch.setattr(training_module, "VALIDATION_SIZE", 40)
    monkeypatch.setattr(training_module, "VALIDATION_CROPS", 2)


def run(photos, out, *, recipe=None, steps=4, **options):
    return train(
        recipe or tiny_recipe(), photos, out, **{"steps": steps, "device": CPU, "bf16": False, **options}
    )


def tensors_of(folder):
    return {name: load_file(folder / name) for name in (MODEL, STATE)}


def log_of(folder):
    with (folder / LOG).open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same_tensors(one, other):
    for file, tensors in tensors_of(one).items():
        expected = tensors_of(other)[file]
        assert tensors.keys() == expected.keys()
        for name, tensor in tensors.items():
            assert tensor.tobytes() == expected[name].tobytes(), name


class StopAt:
    """Ends a training as Ctrl-C does, after so many steps."""

    def __init__(self, monkeypatch, step):
        inner = Run.update_average

        def update(self):
            inner(self)
            if self.step == step:
                os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(Run, "update_average", update)


@pytest.mark.parametrize(
    "recipe",
    [
        tiny_recipe(grey_share=0.3, clipped_share=0.3, weaker_share=0.3),
        tiny_recipe(SMALL_PAPER, levels=(15, 50), shared_crops=True, ema=0.0),
        tiny_recipe(WIDE, optimizer="muon", slope_rate=0.5),
    ],
    ids=["ours", "paper", "muon"],
)
@pytest.mark.parametrize("bf16", [False, True])
def test_resumed_equals_uninterrupted(photos, tmp_path, monkeypatch, recipe, bf16):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(photos, whole, recipe=recipe, steps=7, bf16=bf16)
    with monkeypatch.context() as patch:
        StopAt(patch, 3)
        run(photos, parts, recipe=recipe, steps=7, bf16=bf16)
    assert log_of(parts)[-1]["step"] == "3"
    run(photos, parts, recipe=recipe, steps=7, bf16=bf16, resume=True)
    assert_same_tensors(parts, whole)
    assert [row["step"] for row in log_of(parts)] == ["3", "7"]


def move_of(recipe):
    """How far one step at the rate 1e-3 moves each weight, for gradients that do not depend on the recipe."""
    run = Run(recipe, CPU, {})
    before = {name: parameter.detach().clone() for name, parameter in run.network.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    for parameter in run.network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    run.optimizer.step(1e-3)
    return {name: parameter.detach() - before[name] for name, parameter in run.network.named_parameters()}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_slope_rate_is_the_share_of_the_rate_that_w_moves_by(optimizer):
    whole, part = (move_of(tiny_recipe(WIDE, optimizer=optimizer, slope_rate=share)) for share in (1.0, 0.25))
    slopes = {name.rpartition(".")[2] for name in whole if "slope" in name}
    assert slopes == {"slope", "slope_left", "slope_right", "bias_slope"}
    for name, move in whole.items():
        assert move.abs().max() > 1e-4, name
        torch.testing.assert_close(
            part[name], move * (0.25 if "slope" in name else 1), rtol=1e-3, atol=2e-7, msg=name
        )


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_weight_decay_shrinks_kernels_and_no_biases(optimizer):
    recipe = tiny_recipe(WIDE, optimizer=optimizer, slope_rate=0.5)
    decayed = replace(recipe, training=replace(recipe.training, weight_decay=0.1))
    plain, less = move_of(recipe), move_of(decayed)
    for name, parameter in Run(recipe, CPU, {}).network.named_parameters():
        share = 0.0 if "bias" in name else 0.5 if "slope" in name else 1.0
        torch.testing.assert_close(
            less[name], plain[name] - 1e-3 * 0.1 * share * parameter, rtol=0, atol=2e-7, msg=name
        )


def test_the_same_recipe_gives_the_same_model(photos, tmp_path):
    for name in ("a", "b"):
        run(photos, tmp_path / name)
    assert_same_tensors(tmp_path / "a", tmp_path / "b")
    run(photos, tmp_path / "c", recipe=tiny_recipe(seed=1))
    with pytest.raises(AssertionError):
        assert_same_tensors(tmp_path / "a", tmp_path / "c")


def test_a_finished_run_stays_as_it_is(photos, tmp_path):
    score = run(photos, tmp_path)
    before, log = tensors_of(tmp_path), (tmp_path / LOG).read_text()
    assert run(photos, tmp_path, resume=True) == score
    assert (tmp_path / LOG).read_text() == log
    for file, tensors in tensors_of(tmp_path).items():
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(tensor, before[file][name])


def test_a_finished_run_can_be_given_more_steps(photos, tmp_path):
    run(photos, tmp_path, steps=3)
    run(photos, tmp_path, steps=5, resume=True)
    assert [row["step"] for row in log_of(tmp_path)] == ["3", "5"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_ctrl_c_or_a_closed_terminal_leaves_a_model_and_a_state(photos, tmp_path, name):
    """In a process of its own, as a person would stop it: the signal comes from outside."""
    code = f"""
import signal, sys
from pathlib import Path
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever runs this test may have it ignored
sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch
import hyperrestore.learn.train as training
from conftest import tiny_recipe
training.VALIDATION_SIZE, training.VALIDATION_CROPS = 40, 2
torch.set_num_threads(1)
training.train(tiny_recipe(), Path({str(photos)!r}), Path({str(tmp_path)!r}), minutes=10,
               device=torch.device("cpu"), bf16=False, validate_every=0.2)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    try:
        for _ in range(600):
            if (tmp_path / MODEL).exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors.decode()
    steps = int(log_of(tmp_path)[-1]["step"])
    assert load_checkpoint(tmp_path / MODEL).description.history["steps"] == steps
    state = Run(tiny_recipe(), CPU, {})
    state.load(tmp_path)
    assert state.step == steps
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_signal_before_the_first_step_does_no_harm(photos, tmp_path, monkeypatch):
    inner = training_module.Log

    def signalled(*arguments, **options):
        monkeypatch.setattr(training_module, "interruptible", lambda: contextlib.nullcontext([signal.SIGINT]))
        return inner(*arguments, **options)

    monkeypatch.setattr(training_module, "Log", signalled)
    run(photos, tmp_path)
    assert load_checkpoint(tmp_path / MODEL).description.history["steps"] == 0
    run_again = Run(tiny_recipe(), CPU, {})
    run_again.load(tmp_path)
    assert run_again.step == 0


def test_a_hangup_stays_ignored():
    """As `nohup` has it, so that a training goes on when its terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as received:
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert received == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_old_signal_handlers_come_back(photos, tmp_path):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    run(photos, tmp_path / "a", steps=1, recipe=tiny_recipe(validate_at=(15.0,)))
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_run_is_not_overwritten(photos, tmp_path):
    run(photos, tmp_path, steps=1)
    before = tensors_of(tmp_path)
    with pytest.raises(UsageError, match="already holds a training run"):
        run(photos, tmp_path, steps=1)
    (tmp_path / STATE).unlink()
    with pytest.raises(UsageError, match="already holds a training run"):
        run(photos, tmp_path, steps=1)
    assert load_file(tmp_path / MODEL).keys() == before[MODEL].keys()


def test_another_recipe_cannot_resume(photos, tmp_path):
    run(photos, tmp_path, steps=1)
    for other in (tiny_recipe(ema=0.9), tiny_recipe(replace(TINY, rank=0))):
        with pytest.raises(CheckpointError, match="another recipe"):
            run(photos, tmp_path, recipe=other, resume=True)


def test_an_entry_that_an_earlier_version_did_not_know_had_its_default(photos, tmp_path):
    run(photos, tmp_path, steps=2)
    state = tmp_path / STATE
    with safe_open(state, "np") as file:
        facts = json.loads(file.metadata()[STATE_KEY])
    tensors = load_file(state)

    def with_training(**changed):
        entries = {name: value for name, value in facts["recipe"]["training"].items() if name != "slope_rate"}
        recipe = facts["recipe"] | {"training": entries | changed}
        save_file(tensors, state, {STATE_KEY: json.dumps(facts | {"recipe": recipe})})

    for changed in ({"slope_rate": 0.5}, {"of_a_later_version": 1}):
        with_training(**changed)
        with pytest.raises(CheckpointError, match="another recipe"):
            run(photos, tmp_path, steps=3, resume=True)
    with_training()
    with pytest.raises(CheckpointError, match="another recipe"):
        run(photos, tmp_path, steps=3, recipe=tiny_recipe(slope_rate=0.5), resume=True)
    run(photos, tmp_path, steps=3, resume=True)
    as_list = list(tiny_recipe().training.validate_at)
    run(photos, tmp_path, steps=4, recipe=tiny_recipe(validate_at=as_list), resume=True)
    assert log_of(tmp_path)[-1]["step"] == "4"


def test_another_precision_or_other_photos_cannot_resume(photos, tmp_path):
    out, others = tmp_path / "out", tmp_path / "others"
    run(photos, out, bf16=False)
    with pytest.raises(CheckpointError, match="precision"):
        run(photos, out, bf16=True, resume=True)
    others.mkdir()
    for path in sorted(photos.iterdir()):
        (others / f"other-{path.name}").write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match="photos"):
        run(others, out, bf16=False, resume=True)


def test_a_state_without_its_optimizer_is_refused(photos, tmp_path):
    run(photos, tmp_path)
    with safe_open(tmp_path / STATE, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.")}
    (tmp_path / STATE).write_bytes(save(kept, metadata))
    with pytest.raises(CheckpointError, match="damaged"):
        run(photos, tmp_path, resume=True)


@pytest.mark.parametrize("row", ["x,y", "1", "3,1,1,1,nan,1"])
def test_a_damaged_log_is_refused(photos, tmp_path, row):
    run(photos, tmp_path)
    with (tmp_path / LOG).open("a") as file:
        file.write(row + "\n")
    with pytest.raises(CheckpointError, match="damaged"):
        run(photos, tmp_path, resume=True)


def test_resuming_nothing_or_a_damaged_state_is_refused(photos, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(CheckpointError, match="not a readable training state"):
        run(photos, out, resume=True)
    assert not out.exists()
    run(photos, out, steps=1)
    content = (out / STATE).read_bytes()
    for damaged in (b"", content[:-1], content.replace(b'"generator"', b'"generatos"')):
        (out / STATE).write_bytes(damaged)
        with pytest.raises(CheckpointError, match="state"):
            run(photos, out, resume=True)
    (out / STATE).write_bytes((out / MODEL).read_bytes())
    with pytest.raises(CheckpointError, match="another recipe"):
        run(photos, out, resume=True)


@pytest.mark.parametrize(
    ("ends", "got"),
    [
        ({"steps": None}, "neither"),
        ({"steps": 0}, "0 steps"),
        ({"steps": -1}, "-1 steps"),
        ({"steps": None, "minutes": 0}, "0 minutes"),
        ({"steps": 5, "minutes": -1}, "-1 minutes and 5 steps"),
    ],
)
def test_a_training_needs_an_end(photos, tmp_path, ends, got):
    with pytest.raises(UsageError, match=f"give --minutes, --steps or both, above 0; got {got}$"):
        run(photos, tmp_path / "out", **ends)
    assert not (tmp_path / "out").exists()


def test_minutes_end_a_training_too_and_count_on(photos, tmp_path):
    started = time.monotonic()
    run(photos, tmp_path, steps=None, minutes=1 / 60)
    assert time.monotonic() - started < 30
    first = log_of(tmp_path)[-1]
    assert float(first["seconds"]) >= 1
    run(photos, tmp_path, steps=None, minutes=1 / 60, resume=True)
    assert log_of(tmp_path)[-1] == first
    run(photos, tmp_path, steps=10**9, minutes=1.5 / 60, resume=True)
    assert 1.5 <= float(log_of(tmp_path)[-1]["seconds"]) < 30
    assert int(log_of(tmp_path)[-1]["step"]) > int(first["step"])


def test_minutes_hold_the_validations_in_between(photos, tmp_path, monkeypatch):
    inner, times = saving.validate, []

    def slow(*arguments, **options):
        time.sleep(0.2)
        times.append(time.monotonic())
        return inner(*arguments, **options)

    monkeypatch.setattr(saving, "validate", slow)
    run(photos, tmp_path, steps=None, minutes=1 / 60, validate_every=-1)
    assert 2 <= len(times) <= 6  # of them one at the end


def test_the_first_step_says_what_to_expect(photos, tmp_path, capsys):
    run(photos, tmp_path, steps=3, minutes=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if "first step" in line]
    pattern = (
        r"fp32, the first step took [\d.]+ s: about [\d.e+]+ steps a minute, [\d,]+ more in the 2 minutes, "
        r"[\d,.]+ minutes to step 3; later steps are often faster"
    )
    assert len(lines) == 1 and re.search(pattern, lines[0])


# --- Precision --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fast", [False, True])
def test_auto_takes_what_is_faster_and_goes_on_in_it(photos, tmp_path, monkeypatch, capsys, fast):
    monkeypatch.setattr(state_module, "is_fast_in_bf16", lambda device: fast)
    run(photos, tmp_path, steps=1, bf16=None)
    monkeypatch.setattr(state_module, "is_fast_in_bf16", lambda device: not fast)
    run(photos, tmp_path, steps=2, bf16=None, resume=True)
    run(photos, tmp_path, steps=3, bf16=fast, resume=True)
    precision = "bf16" if fast else "fp32"
    assert capsys.readouterr().err.count(f"{precision}, the first step took") == 3
    with pytest.raises(CheckpointError, match="precision"):
        run(photos, tmp_path, steps=4, bf16=not fast, resume=True)


def test_any_gpu_is_taken_for_fast_in_bf16():
    assert is_fast_in_bf16(torch.device("cuda"))


def test_the_measurement_draws_no_random_numbers():
    state = torch.get_rng_state()
    is_fast_in_bf16(CPU)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the limit is for x86 alone")
def test_a_cpu_without_bf16_trains_in_fp32():
    code = (
        "import torch; from hyperrestore.learn.device import *\nprint(is_fast_in_bf16(torch.device('cpu')))"
    )
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_the_log_has_one_header_and_forgets_what_was_not_saved(photos, tmp_path):
    run(photos, tmp_path, steps=2, validate_every=-1)
    assert [row["step"] for row in log_of(tmp_path)] == ["1", "2"]
    saved = (tmp_path / STATE).read_bytes()
    run(photos, tmp_path, steps=4, validate_every=-1, resume=True)
    assert [row["step"] for row in log_of(tmp_path)] == ["1", "2", "3", "4"]
    (tmp_path / STATE).write_bytes(saved)  # as after a crash between log and state
    run(photos, tmp_path, steps=3, validate_every=-1, resume=True)
    assert [row["step"] for row in log_of(tmp_path)] == ["1", "2", "3"]
    assert (tmp_path / LOG).read_text().count("step") == 1
    assert list(log_of(tmp_path)[0]) == ["step", "seconds", "learning_rate", "loss", "psnr_15", "psnr_50"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / LOG).unlink()
    run(photos, tmp_path, steps=3, resume=True)  # finished, and without a log
    run(photos, tmp_path, steps=4, resume=True)
    assert [row["step"] for row in log_of(tmp_path)] == ["4"]


def test_the_learning_rate_warms_up_and_falls(photos, tmp_path):
    run(photos, tmp_path, steps=20, validate_every=-1, recipe=tiny_recipe(warmup=5, validate_at=(15.0,)))
    rates = [float(row["learning_rate"]) for row in log_of(tmp_path)]
    assert rates[0] == pytest.approx(1e-3 / 5)
    assert max(rates) == max(rates[3:7]) <= 1e-3
    assert all(a > b for a, b in pairwise(rates[5:]))
    assert 0 < rates[-1] < 2e-5


@pytest.mark.parametrize("config", [TINY, replace(TINY, rank=0)], ids=["low rank", "full rank"])
def test_training_learns(photos, tmp_path, monkeypatch, config):
    losses = []
    inner = Log.add

    def add(log, loss):
        losses.append(float(loss))
        inner(log, loss)

    monkeypatch.setattr(Log, "add", add)
    recipe = tiny_recipe(config, learning_rate=5e-3, ema=0.9, warmup=10)
    score = run(photos, tmp_path, steps=120, recipe=recipe)
    assert len(losses) == 120
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    assert score > np.mean([-20 * np.log10(level / 255) for level in (15, 50)]) + 3
    network = load_network(load_checkpoint(tmp_path / MODEL))
    assert network.network.tail.bias_slope.abs().max() > 0  # what depends on the level has learnt too


def test_the_model_is_the_average_in_fp16(photos, tmp_path):
    run(photos, tmp_path)
    model, state = tensors_of(tmp_path).values()
    for name, tensor in model.items():
        np.testing.assert_array_equal(tensor, state[f"average.{name}"].astype(np.float16))
    assert any(not np.array_equal(state[f"average.{name}"], state[f"weight.{name}"]) for name in model)
    description = load_checkpoint(tmp_path / MODEL).description
    assert description.history["photos"] == 5
    assert description.history["steps"] == 4
    assert description.scale == SIGMA


def test_validation_photos_are_never_trained_on(photos, tmp_path, monkeypatch):
    read = {"training": [], "validation": []}
    for name, kind in (("Photos", "training"), ("validation_crops", "validation")):
        inner = getattr(training_module, name)

        def spy(files, *, inner=inner, kind=kind, **options):
            read[kind] += [file.path.name for file in files]
            return inner(files, **options)

        monkeypatch.setattr(training_module, name, spy)
    run(photos, tmp_path, steps=1)
    assert len(read["validation"]) == 1
    assert sorted(read["training"] + read["validation"]) == [f"{number}.png" for number in range(6)]
    assert split_photos(find_photos(photos))[1][0].path.name == read["validation"][0]


def test_the_photos_must_be_usable(photos, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="no such folder"):
        run(tmp_path / "none", out)
    with pytest.raises(UsageError, match="crop of 64x64"):
        run(photos, out, recipe=tiny_recipe(crop=64))
    folder = tmp_path / "photos"
    write_photo(folder / "a.png", np.zeros((3, 48, 48)))
    with pytest.raises(UsageError, match="at least two"):
        run(folder, out)
    (folder / "b.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"b\.png"):
        run(folder, out)
    assert not out.exists()


@pytest.fixture
def start(tmp_path):
    path = tmp_path / "start.safetensors"
    save_model(path, tiny_recipe(), randomised(build(TINY, SIGMA)), {})
    return path


def test_a_model_can_be_started_from(photos, tmp_path, start):
    recipe = tiny_recipe(learning_rate=1e-9, validate_at=(15.0, 60.0))
    run(photos, tmp_path / "out", recipe=recipe, steps=1, start_from=start)
    for name, tensor in load_file(tmp_path / "out" / MODEL).items():
        np.testing.assert_allclose(tensor, load_file(start)[name], atol=1e-6)
    started_from = {"model": start.name, "weights": weights_digest(start)}
    run(photos, tmp_path / "out", recipe=recipe, steps=2, resume=True)
    history = load_checkpoint(tmp_path / "out" / MODEL).description.history
    assert (history["steps"], history["started_from"]) == (2, started_from)


def test_a_model_with_another_rank_can_be_started_from(photos, tmp_path, start):
    recipe = tiny_recipe(replace(TINY, rank=0), learning_rate=1e-9, validate_at=(15.0, 60.0))
    run(photos, tmp_path / "out", recipe=recipe, steps=1, start_from=start)
    image = torch.rand(1, 3, 24, 24)
    started, before = (load_network(load_checkpoint(path)) for path in (tmp_path / "out" / MODEL, start))
    assert [name for name in started.state_dict() if name.endswith("slope_left")] == []
    for level in (0, 20, 70):
        torch.testing.assert_close(started(image, level), before(image, level), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (tiny_recipe(replace(TINY, widths=(8, 12))), "its network is not"),
        (tiny_recipe(replace(TINY, blocks=(1, 2), rank=0)), "its network is not"),
        (tiny_recipe(SMALL_PAPER), "its network is not"),
        (replace(tiny_recipe(), scale=replace(SIGMA, reference=75)), "differ in reference"),
        (replace(tiny_recipe(), scale=replace(SIGMA, powers=(2,))), "differ in powers"),
    ],
)
def test_another_network_or_level_cannot_be_started_from(photos, tmp_path, start, recipe, message):
    with pytest.raises(CheckpointError, match=message):
        run(photos, tmp_path / "out", recipe=recipe, start_from=start)
    assert not (tmp_path / "out").exists()


def test_resume_and_start_from_exclude_each_other(photos, tmp_path, start):
    with pytest.raises(UsageError, match="not both"):
        run(photos, tmp_path, resume=True, start_from=start)
    with pytest.raises(CheckpointError):
        run(photos, tmp_path / "out", start_from=tmp_path / "none.safetensors")


def test_a_restart_by_torchrun_continues_its_own_run_and_no_other(photos, tmp_path, start, monkeypatch):
    run(photos, tmp_path, steps=2, start_from=start)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    before = (tmp_path / STATE).read_bytes()
    for asked, message in (
        ({"steps": 4, "start_from": start}, "with steps 2, not 4: continue it with --resume, or choose"),
        ({"steps": 2, "start_from": None}, "with start_from [0-9a-f]+, not None"),
        ({"steps": 2, "start_from": start, "minutes": 1}, "with minutes None, not 1"),
    ):
        with pytest.raises(UsageError, match=f"already holds another training run, {message}"):
            run(photos, tmp_path, **asked)
    assert (tmp_path / STATE).read_bytes() == before
    assert run(photos, tmp_path, steps=2, start_from=start) is not None
    assert run(photos, tmp_path, steps=3, resume=True) is not None


def test_levels_cover_the_trained_range():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([draw_levels(tiny_recipe(levels_per_step=3), generator) for _ in range(200)])
    for part, (least, most) in enumerate([(0, 25), (25, 50), (50, 75)]):
        assert least <= drawn[:, part].min() < least + 2
        assert most - 2 < drawn[:, part].max() <= most
    fixed = draw_levels(tiny_recipe(levels=(15, 75)), generator)
    assert fixed.tolist() == [15, 75]
    assert fixed.dtype == torch.float32


def test_a_share_of_crops_has_weaker_noise():
    generator = torch.Generator().manual_seed(0)
    level, training = torch.tensor(40.0), tiny_recipe(weaker_share=0.25).training
    levels, weaker = draw_true_levels(level, 4000, training, generator)
    assert (levels[~weaker] == 40).all()
    assert 0.22 < weaker.float().mean() < 0.28
    assert 0 <= levels[weaker].min() < 1 and 39 < levels[weaker].max() < 40
    assert levels[weaker].mean() == pytest.approx(20, abs=1)
    assert weaker.flatten().tolist() == sorted(weaker.flatten().tolist(), reverse=True)  # the first ones
    levels, weaker = draw_true_levels(level, 3, tiny_recipe().training, generator)
    assert levels == 40 and not weaker.any()


def test_on_average_the_share_has_weaker_noise_however_few_crops_there_are():
    generator = torch.Generator().manual_seed(0)
    training = tiny_recipe(weaker_share=0.2).training
    for count, possible in ((2, {0, 1}), (7, {1, 2}), (5, {1})):
        counts = [
            int(draw_true_levels(torch.tensor(40.0), count, training, generator)[1].sum()) for _ in range(600)
        ]
        assert set(counts) == possible
        assert np.mean(counts) == pytest.approx(0.2 * count, abs=0.06)


def test_half_of_the_crops_with_weaker_noise_are_moved_towards_white_or_black():
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(4000, 3, 2, 2, generator=generator)
    weaker = torch.arange(4000).view(-1, 1, 1, 1) % 4 == 0
    faded = fade_half(clean, weaker, generator)
    changed = (faded != clean).flatten(1).any(1)
    assert not changed[~weaker.flatten()].any()
    assert 430 < changed.sum() < 570
    low, high = faded[changed].aminmax()
    assert low >= 0 and high <= 1
    lighter = faded.flatten(1).mean(1) > clean.flatten(1).mean(1)
    assert 0.4 < lighter[changed].float().mean() < 0.6
    contrast = (faded.flatten(1).std(1) / clean.flatten(1).std(1))[changed]  # what is left of it is uniform
    assert contrast.min() < 0.02 and contrast.max() > 0.98
    assert contrast.mean().item() == pytest.approx(0.5, abs=0.05)
    tones = faded[changed][contrast < 0.1].flatten(1).mean(1)  # of those that were moved nearly all the way
    assert ((tones < 0.1) | (tones > 0.9)).all()
    assert 0.25 < (tones > 0.5).float().mean() < 0.75


def test_half_of_the_crops_with_weaker_noise_are_clipped_and_rounded():
    generator = torch.Generator().manual_seed(0)
    degraded = 2 * torch.rand(4000, 3, 2, 2, generator=generator) - 0.5
    weaker = torch.arange(4000).view(-1, 1, 1, 1) % 4 == 0
    stored = store_half(degraded, weaker, generator)
    changed = (stored != degraded).flatten(1).any(1)
    assert not changed[~weaker.flatten()].any()
    assert 430 < changed.sum() < 570
    steps = 255 * stored[changed]
    assert steps.min() == 0 and steps.max() == 255
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    assert (steps / 255 - degraded[changed].clamp(0, 1)).abs().max() <= 0.51 / 255


def test_crops_with_weaker_noise_are_to_become_what_they_become_with_all_of_it():
    clean = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    noisy = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    weaker = torch.tensor([True, True, False, False]).view(4, 1, 1, 1)

    def network(given, level):
        assert torch.equal(given, noisy) and level == 50
        return (given / 2).bfloat16()

    targets = targets_of(network, clean, weaker, noisy, torch.tensor(50.0))
    assert torch.equal(targets[:2], (noisy[:2] / 2).bfloat16().float())
    assert torch.equal(targets[2:], clean[2:])
    assert targets_of(None, clean, weaker & False, noisy, torch.tensor(50.0)) is clean
    assert targets_of(None, clean, weaker & False, noisy[:0], torch.tensor(50.0)) is clean


def test_weaker_crops_are_moved_before_they_get_noise_and_stored_after(photos):
    training, _ = split_photos(find_photos(photos))
    recipe = tiny_recipe(weaker_share=0.5, clipped_share=0.0, crops_per_level=80)
    generator = torch.Generator().manual_seed(0)
    batch = draw_batch(recipe, Photos(training, crop=recipe.training.crop, device=CPU), generator)
    clean, degraded, weaker = (part.flatten(0, 1) for part in (batch.clean, batch.degraded, batch.weaker))
    weaker = weaker.flatten()
    stored = (degraded == as_stored(degraded)).flatten(1).all(1)
    assert not stored[~weaker].any()
    assert 0.25 < stored[weaker].float().mean() < 0.75
    contrast = clean.flatten(1).std(1)
    assert contrast[weaker].min() < 0.03 < 0.06 < contrast[~weaker].min()
    noise = (degraded - clean)[~stored]
    assert noise.flatten(1).mean(1).abs().max() < 0.1  # only noise lies between the two


def test_crops_that_may_be_weaker_come_with_all_noise_of_their_level_too(photos):
    training, _ = split_photos(find_photos(photos))
    recipe = tiny_recipe(weaker_share=0.5, clipped_share=0.0, grey_share=0.3, crops_per_level=80)
    generator = torch.Generator().manual_seed(0)
    batch = draw_batch(recipe, Photos(training, crop=recipe.training.crop, device=CPU), generator)
    assert batch.noisy.shape[1] == 40 and batch.weaker[:, :40].all() and not batch.weaker[:, 40:].any()
    noise = batch.noisy - batch.clean[:, :40]
    expected = (batch.levels / 255).view(-1, 1).expand(-1, 40)
    torch.testing.assert_close(noise.flatten(2).std(2), expected, rtol=0.3, atol=0)
    grey = (batch.degraded == batch.degraded[:, :, :1]).flatten(2).all(2)[:, :40]
    assert 0.1 < grey.float().mean() < 0.5
    assert ((noise[:, :, 0] - noise[:, :, 2]).abs().flatten(2).amax(2) < 1e-6).equal(grey)


@pytest.mark.parametrize("shared", [False, True])
def test_levels_share_their_crops_only_if_the_recipe_says_so(photos, shared):
    training, _ = split_photos(find_photos(photos))
    recipe = tiny_recipe(shared_crops=shared, grey_share=0.0, crops_per_level=3)
    crops = Photos(training, crop=recipe.training.crop, device=CPU)
    clean = draw_batch(recipe, crops, torch.Generator().manual_seed(0)).clean
    assert torch.equal(clean[0], clean[1]) == shared
    assert len({crop.numpy().tobytes() for crop in clean.flatten(0, 1)}) == (3 if shared else 3 * len(clean))


def test_a_step_learns_from_the_mean_of_its_levels_and_not_through_its_targets(monkeypatch):
    run = Run(tiny_recipe(loss="l1", clip=0.01), CPU, {})
    randomised(run.network)
    generator = torch.Generator().manual_seed(0)
    degraded, clean = torch.rand(2, 2, 2, 3, 16, 16, generator=generator)
    noisy = torch.rand(2, 1, 3, 16, 16, generator=generator)
    weaker = torch.tensor([True, False]).view(1, 2, 1, 1, 1).expand(2, -1, -1, -1, -1)
    batch = Batch(torch.tensor([20.0, 40.0]), degraded, clean, weaker, noisy)

    network = copy.deepcopy(run.network)
    losses = []
    for level, worse, better, _, noise in zip(*batch, strict=True):
        with torch.no_grad():
            targets = torch.cat([network(noise, level), better[1:]])
        losses.append((network(worse, level) - targets).abs().mean())
    sum(losses).backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 0.01)

    steps = []
    monkeypatch.setattr(
        run.optimizer,
        "step",
        lambda rate: steps.append((rate, [p.grad.clone() for p in run.network.parameters()])),
    )
    rate = torch.tensor(2e-4)
    torch.testing.assert_close(
        learn(run, World(0, 1, CPU), rate, *batch, bf16=False), sum(losses).detach() / 2
    )
    ((given, gradients),) = steps
    assert given is rate
    for gradient, parameter in zip(gradients, network.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-8)


def test_the_loss_counts_each_crop_alike():
    training = tiny_recipe(loss="rms").training
    target = torch.zeros(2, 3, 4, 4)
    restored = torch.stack([target[0] + 0.3, target[1] - 0.1])
    assert float(loss_of(restored, target, training)) == pytest.approx(0.2, rel=1e-4)
    assert float(loss_of(restored, target, tiny_recipe(loss="l1").training)) == pytest.approx(0.2)
    exact = restored.clone().requires_grad_()
    loss_of(exact, restored, training).backward()
    assert exact.grad.isfinite().all()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("rate", [1e-3, torch.tensor(2e-4)])
def test_a_step_is_that_of_the_optimizers_of_torch_at_the_rate(optimizer, rate):
    torch.manual_seed(0)
    ours, theirs = (nn.Conv2d(8, 16, 3) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    stepped = Optimizer(ours.named_parameters(), optimizer)
    settings = {"lr": float(rate), "weight_decay": 0.0}
    expected = [torch.optim.AdamW(theirs.parameters(), **settings)]
    if optimizer == "muon":
        matrix = theirs.weight.detach().flatten(1)
        expected = [
            torch.optim.AdamW([theirs.bias], **settings),
            torch.optim.Muon([matrix], adjust_lr_fn="match_rms_adamw", **settings),
        ]
    for _ in range(5):
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        if optimizer == "muon":
            matrix.grad = theirs.weight.grad.flatten(1)
        stepped.step(rate)
        for each in expected:
            each.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=2e-7)


def test_validation_is_the_same_every_time_and_bears_a_perfect_score():
    network = build(TINY, SIGMA)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    clean = torch.full((2, 3, 40, 40), 0.5)
    recipe = tiny_recipe(validate_at=(0.0, 25.0))
    scores = validate(network, clean, recipe, bf16=False)
    assert scores[0] == 120
    assert scores[1] == pytest.approx(-20 * np.log10(25 / 255), abs=0.3)
    assert validate(network, clean, recipe, bf16=False) == scores


def test_a_run_that_runs_off_stops_and_keeps_its_last_good_checkpoint(photos, tmp_path):
    recipe = tiny_recipe()
    wild = replace(recipe, training=replace(recipe.training, learning_rate=100.0, clip=1e9))
    with pytest.raises(TrainingError, match=r"diverged before step .* keeps step [1-9]"):
        run(photos, tmp_path / "wild", recipe=wild, steps=200, validate_every=0)
    kept = load_checkpoint(tmp_path / "wild" / MODEL)
    assert 1 <= kept.description.history["steps"] < 200
    assert all(np.isfinite(tensor).all() for tensor in kept.tensors.values())


def test_a_foreign_log_is_refused(photos, tmp_path):
    run(photos, tmp_path)
    (tmp_path / LOG).write_text("step,seconds\n3")
    with pytest.raises(CheckpointError, match="is not this run's log"):
        run(photos, tmp_path, resume=True, steps=6)
