"""A degradation of one's own: named by a recipe, used in training and validation, refused by name."""

import csv
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import QUALITY, SIGMA, TINY, tiny_recipe
from makers import photo

import hyperrestore.learn.train as training_module
from hyperrestore.errors import RecipeError
from hyperrestore.learn.batch import draw_batch
from hyperrestore.learn.custom import custom_pair, find_degradation
from hyperrestore.learn.photos import Photos, find_photos
from hyperrestore.learn.recipe import read_recipe, recipe_of
from hyperrestore.learn.train import train
from hyperrestore.level import Task
from hyperrestore.network.checkpoint import load_checkpoint

CPU = torch.device("cpu")
MODULE = '''
import torch

seen = []

def darker(clean, levels, generator):
    """Divided by 1 + level / 100."""
    seen.append(levels)
    return clean / (1 + levels[0] / 100)

def noisy_pair(clean, levels, generator):
    noise = torch.randn(clean.shape, generator=generator)
    return clean.add_(noise * levels[1] / 255), 1 - clean

def smaller(clean, levels, generator):
    return clean[..., ::2, ::2]

def nothing(clean, levels, generator):
    pass

def careless(clean, levels, generator):
    """Changes the levels, and keeps a gradient."""
    levels /= 100
    return clean * torch.ones((), requires_grad=True) * levels[0], clean

number = 5
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_damage.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    find_degradation.cache_clear()
    yield
    sys.modules.pop("own_damage", None)
    find_degradation.cache_clear()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        photo(folder / f"{number}.png", height=40, width=44, seed=number)
    return folder


def recipe(function, **training):
    return tiny_recipe(degradation=f"own_damage:{function}", **training)


def test_it_is_trained_on_and_validated_by(module, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(training_module, "VALIDATION_SIZE", 32)
    out = tmp_path / "run"
    train(recipe("darker", learning_rate=1e-9), folder, out, steps=2, device=CPU, bf16=False)
    history = load_checkpoint(out / "model.safetensors").description.history
    assert history["training"]["degradation"] == "own_damage:darker"
    with (out / "log.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    # The network is nearly an identity: an error of x - x / 1.5 is larger than one of x - x / 1.15.
    assert float(row["psnr_50"]) < float(row["psnr_15"])
    assert all(levels.shape == (1,) for levels in sys.modules["own_damage"].seen)
    resumed = recipe("darker", learning_rate=1e-9)
    train(resumed, folder, out, steps=3, device=CPU, bf16=False, resume=True)


def test_it_may_give_the_target_and_have_several_levels(module, folder):
    own = replace(recipe("noisy_pair", grey_share=0.5), task=Task.PHOTO, axes=(replace(SIGMA, unit="other"),))
    photos = Photos(find_photos(folder), crop=16, device=CPU)
    batch = draw_batch(own, photos, torch.Generator().manual_seed(0))
    assert batch.levels.shape == (4, 2)
    assert (batch.levels >= 0).all() and (batch.levels <= 75).all() and len(batch.levels.unique()) == 8
    for levels, degraded, target in zip(batch.levels, batch.degraded, batch.clean, strict=True):
        # The function changed what it was given: the target is that, reversed.
        torch.testing.assert_close(target, 1 - degraded)
        assert degraded.shape == (own.training.crops_per_level, 3, 16, 16)
        assert levels[1] > 0


def test_the_same_generator_gives_the_same(module):
    clean, levels = torch.rand(2, 3, 8, 8), torch.tensor([5.0, 10.0])
    pairs = [
        custom_pair("own_damage:noisy_pair", clean, levels, torch.Generator().manual_seed(1)) for _ in "ab"
    ]
    assert torch.equal(pairs[0][0], pairs[1][0]) and not torch.equal(pairs[0][0], clean)


def test_it_changes_no_level_and_is_not_trained(module, folder):
    photos = Photos(find_photos(folder), crop=16, device=CPU)
    batch = draw_batch(recipe("careless", levels=(20.0, 50.0)), photos, torch.Generator().manual_seed(0))
    assert batch.levels.tolist() == [20, 50]
    assert not batch.degraded.requires_grad
    torch.testing.assert_close(batch.degraded[1], batch.clean[1] / 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:darker", "no module 'no_such_module'.*PYTHONPATH"),
        ("own_damage.deeper:darker", "no module 'own_damage.deeper'"),
        ("own_damage:lighter", "'own_damage' has no function 'lighter'"),
        ("own_damage:number", "has no function 'number'"),
    ],
)
def test_a_missing_function_is_refused_before_anything_is_read(module, tmp_path, name, message):
    with pytest.raises(RecipeError, match=message):
        train(tiny_recipe(degradation=name), tmp_path / "none", tmp_path / "run", steps=1, device=CPU)


def test_a_module_that_lacks_something_itself_says_what(module, tmp_path):
    (tmp_path / "lacking.py").write_text("import no_such_thing\n", encoding="utf-8")
    with pytest.raises(ModuleNotFoundError, match="no_such_thing"):
        find_degradation("lacking:darker")


@pytest.mark.parametrize(
    ("function", "got"), [("smaller", r"it returned \(2, 3, 4, 4\)"), ("nothing", "it returned NoneType")]
)
def test_a_result_of_another_kind_is_refused(module, function, got):
    with pytest.raises(RecipeError, match=rf"one tensor, or a tuple of two.*\(2, 3, 8, 8\).*{got}"):
        custom_pair(f"own_damage:{function}", torch.rand(2, 3, 8, 8), torch.tensor([5.0]), torch.Generator())


@pytest.mark.parametrize(
    "name", ["own_damage", "own_damage:", ":darker", "own_damage:a.b", "a:b:c", ".a:b", "a.:b"]
)
def test_a_name_of_another_form_is_refused(name):
    with pytest.raises(RecipeError, match='must be "module:function"'):
        tiny_recipe(degradation=name)


def test_it_excludes_what_is_for_the_tasks_own_damage():
    with pytest.raises(RecipeError, match="weaker_share is for denoise"):
        tiny_recipe(degradation="a:b", weaker_share=0.1)
    with pytest.raises(RecipeError, match="cameras_share"):
        tiny_recipe(degradation="a:b", cameras_share=0.1)
    # Whole qualities are for JPEG alone.
    assert replace(tiny_recipe(TINY, degradation="a:b", validate_at=(10.5,)), task=Task.DEJPEG, scale=QUALITY)


def test_a_recipe_names_it():
    table = {"learning_rate": 1e-3, "validate_at": [15], "degradation": "salt:salted"}
    scale = {"unit": "percent", "low": 0, "high": 50, "trained": [0, 20], "origin": 0, "reference": 10}
    network = {"kind": "unet", "widths": [8, 16], "blocks": [1, 1]}
    made = recipe_of({"task": "denoise", "network": network, "scale": scale, "training": table})
    assert made.training.degradation == "salt:salted"
    assert made.scale.unit == "percent"


def test_the_guides_example_trains(folder, tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "guide" / "extend.md").read_text(encoding="utf-8")
    for language, name in (("python", "salt.py"), ("toml", "salt.toml")):
        (block,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        (tmp_path / name).write_text(block, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(training_module, "VALIDATION_SIZE", 32)
    guide = read_recipe(tmp_path / "salt.toml")
    small = replace(guide, training=replace(guide.training, crop=32, crops_per_level=1))
    train(small, folder, tmp_path / "run", steps=1, device=CPU, bf16=False)
    clean = torch.full((1, 3, 200, 200), 0.5)
    salted, _ = custom_pair("salt:salted", clean, torch.tensor([10.0]), torch.Generator().manual_seed(0))
    changed = (salted != clean).all(1)
    assert changed.float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(salted[:, 0], salted[:, 2]), "white or black"
    sys.modules.pop("salt")
