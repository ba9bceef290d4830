"""Comparing variants of a recipe: only finished runs of the same question count."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from makers import RECIPE, write_photo

from hyperrestore.learn.recipe import read_recipe
from hyperrestore.network.checkpoint import read_description

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def ablate(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("ablate")


@pytest.fixture
def table(ablate, tmp_path, monkeypatch, capsys):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    random = np.random.default_rng(0)
    for number in range(2):
        write_photo(tmp_path / "photos" / f"{number}.png", random.integers(0, 256, (3, 256, 256)))

    def run(*arguments, steps=2):
        words = ["ablate.py", tmp_path / "tiny.toml", "--data", tmp_path / "photos", "--steps", steps]
        words += ["--seeds", "0", "--device", "cpu", "--out", tmp_path / "runs", *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        ablate.main()
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]

    return run


def test_a_run_is_made_once_and_an_interrupted_one_again(ablate, table, monkeypatch, tmp_path):
    asked, train = [], ablate.train

    def counted(recipe, photos, out, *, steps, **options):
        asked.append(steps)
        return train(recipe, photos, out, steps=steps, **options)

    monkeypatch.setattr(ablate, "train", counted)
    first = table("--vary", "training.learning_rate=1e-4")
    assert [row.split(" | ")[0] for row in first] == ["| variant", "| -", "| training.learning_rate=1e-4"]
    assert asked == [2, 2]
    assert table("--vary", "training.learning_rate=1e-4") == first and len(asked) == 2

    def interrupted(recipe, photos, out, *, steps, **options):
        return train(recipe, photos, out, steps=1, **options)

    monkeypatch.setattr(ablate, "train", interrupted)
    with pytest.raises(SystemExit, match="interrupted"):
        table(steps=3)
    monkeypatch.setattr(ablate, "train", counted)
    table(steps=3)
    assert asked[2:] == [3]
    write_photo(tmp_path / "photos" / "2.png", np.zeros((3, 256, 256), int))
    table(steps=3)
    assert asked[3:] == [3], "other photos"


def test_runs_that_go_on_from_weights_are_others(table, tmp_path):
    fresh = table()
    (earlier,) = (tmp_path / "runs").glob("*/model.safetensors")
    start = tmp_path / "start.safetensors"
    start.write_bytes(earlier.read_bytes())
    gone_on = table("--start-from", start)
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert gone_on != fresh
    assert table("--start-from", start) == gone_on and table() == fresh


def test_entries_of_every_variant_add_up(table, tmp_path):
    table("--all", "training.learning_rate=1e-4", "--all", "training.warmup=3", steps=1)
    (model,) = (tmp_path / "runs").glob("*/model.safetensors")
    training = read_description(model).history["training"]
    assert (training["learning_rate"], training["warmup"]) == (1e-4, 3)


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ('training.optimizer="Muon"', "'Muon'"),
        ('training.loss="mse"', "'mse'"),
        ("training.crops=3", "crops"),
        ("train.crop=3", "'train'"),
        ("network.widths=[8]", "blocks"),
    ],
)
def test_misspelt_entries_are_refused(ablate, tmp_path, entry, named):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    with pytest.raises(SystemExit, match=named):
        ablate.varied(read_recipe(tmp_path / "tiny.toml"), [entry])
