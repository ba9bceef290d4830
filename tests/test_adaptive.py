"""The paper's comparison: methods are what their equations say, see equally much, and run at toy scale."""

import importlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from makers import write_photo
from torch import nn

from hyperrestore.errors import TrainingError
from hyperrestore.learn.photos import Photos, find_photos
from hyperrestore.level import Task
from hyperrestore.network.architectures import count_parameters, multiply_adds
from hyperrestore.network.hyper import between, materialize

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NAMES = (
    "DNI", "AdaFM 1x1", "AdaFM 5x5", "CFSNet", "Dynamic-Net", "CResMD", "FTN", "HyperRes k=1", "HyperRes k=2",
    "HyperRes k=4", "HyperRes k=5", "ours", "ours, wide", "ours, rank 4", "ours, rank 8", "ours, rank 16",
)  # fmt: skip
TWO_LEVELS = ("DNI", "AdaFM 1x1", "AdaFM 5x5", "CFSNet", "Dynamic-Net", "FTN")
START, HALF, END = 15.0, 45.0, 75.0  # of noise


@pytest.fixture
def module(monkeypatch):
    """Modules of the comparison, by name."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return lambda name: importlib.import_module(f"adaptive.{name}")


@pytest.fixture
def make(module):
    """A method by name, at the paper's size or smaller, with weights that matter."""

    def make(name, *, width=8, blocks=2, random=True, task=Task.DENOISE):
        methods = module("methods")
        torch.manual_seed(0)
        method = methods.METHODS[name](methods.setting_of(task, width=width, blocks=blocks))
        if random:
            for parameter in method.parameters():
                nn.init.normal_(parameter, std=0.2)
        return method.double()

    return make


def picture():
    return torch.rand(1, 3, 11, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def through(main, x, body, after):
    """The main network by hand, with another body and layer behind it; for pictures of any size."""
    height, width = x.shape[-2:]
    x = F.pad(x, (0, width % 2, 0, height % 2), mode="reflect")
    head = main.head(x)
    fine = F.relu(F.pixel_shuffle(main.enlarge(head + after(body(head))), 2))
    return main.tail(F.relu(main.refine(fine)))[..., :height, :width]


def test_all_methods_are_there(module):
    assert tuple(module("methods").METHODS) == NAMES


# --- Equations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_network_of_a_level_is_the_method_at_that_level(make, name):
    method, x = make(name), picture()
    for level in (5.0, START, HALF, END, 90.0):
        torch.testing.assert_close(
            method.at(level)(x), method(x, torch.tensor(level, dtype=torch.float64)), rtol=0, atol=1e-10
        )
    assert not torch.allclose(method.at(START)(x), method.at(END)(x))


@pytest.mark.parametrize("name", NAMES)
def test_the_network_of_a_level_shares_no_memory_with_the_method(make, name):
    method = make(name)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    with torch.no_grad():
        for parameter in method.at(HALF).parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


@pytest.mark.parametrize("name", TWO_LEVELS)
def test_at_the_start_level_it_is_the_network_that_was_trained_there(make, name):
    method, x = make(name), picture()
    torch.testing.assert_close(method.at(START)(x), method.main(x), rtol=0, atol=1e-12)
    with torch.no_grad():
        for key, parameter in method.named_parameters():
            if not key.startswith("main."):
                parameter.normal_()
    torch.testing.assert_close(method.at(START)(x), method.main(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", TWO_LEVELS)
def test_the_second_stage_begins_as_the_first_ended(make, name):
    method, x = make(name, random=False), picture()
    nn.init.normal_(method.main.tail.weight)
    method.begin(1)
    for level in (START, HALF, END):
        torch.testing.assert_close(method.at(level)(x), method.main(x), rtol=0, atol=1e-12)


def test_dni_is_between(make):
    method, x = make("DNI"), picture()
    torch.testing.assert_close(method.at(END)(x), method.tuned(x), rtol=0, atol=1e-12)
    joined = between(method.main, START, method.tuned, END, scale=method.setting.scale)
    for level in (5.0, HALF, 90.0):
        torch.testing.assert_close(materialize(joined, level)(x), method.at(level)(x), rtol=0, atol=1e-11)


@pytest.mark.parametrize("side", [1, 3, 5, 7])
def test_adafm_filters_every_channel_after_every_convolution(module, side):
    setting = module("methods").setting_of(Task.DENOISE, width=8, blocks=2)
    method, x = module("adafm").AdaFM(setting, side=side).double(), picture()
    for parameter in method.filters.parameters():
        nn.init.normal_(parameter, std=0.3)

    def filtered(index, features):
        weight, bias = method.filters[f"weight{index}"], method.filters[f"bias{index}"]
        channels = [
            F.conv2d(features[:, c : c + 1], weight[c, None, None], padding=side // 2) + bias[c]
            for c in range(8)
        ]
        return torch.cat(channels, dim=1)

    def body(features):
        for number, block in enumerate(method.main.body):
            hidden = F.relu(filtered(2 * number, block.first(features)))
            features = features + filtered(2 * number + 1, block.second(hidden))
        return features

    expected = through(method.main, x, body, lambda features: filtered(4, method.main.after(features)))
    torch.testing.assert_close(method.at(END)(x), expected, rtol=0, atol=1e-10)


def test_cfsnet_couples_both_branches_by_channel(make):
    method, x = make("CFSNet"), picture()
    for level, scalar in ((START, 0.0), (HALF, 0.5), (END, 1.0), (90.0, 1.25)):
        hidden = method.tuning.shared(torch.tensor([scalar], dtype=torch.float64))
        coefficients = [own(hidden).view(1, -1, 1, 1) for own in method.tuning.own]

        def body(features, coefficients=coefficients):
            for main, tuning, a in zip(method.main.body, method.tuning.body, coefficients[:-1], strict=True):
                features = (1 - a) * main(features) + a * tuning(features)
            return features

        def after(features, a=coefficients[-1]):
            return (1 - a) * method.main.after(features) + a * method.tuning.after(features)

        expected = through(method.main, x, body, after)
        torch.testing.assert_close(method.at(level)(x), expected, rtol=0, atol=1e-10)


def test_dynamic_net_adds_tuning_blocks(make):
    method, x = make("Dynamic-Net"), picture()
    for level, share in ((HALF, 0.5), (END, 1.0)):

        def body(features, share=share):
            for main, tuning in zip(method.main.body, method.tuning, strict=True):
                features = main(features)
                features = features + share * tuning.second(F.relu(tuning.first(features)))
            return features

        expected = through(method.main, x, body, method.main.after)
        torch.testing.assert_close(method.at(level)(x), expected, rtol=0, atol=1e-10)


def test_cresmd_controls_every_residual(make):
    method, x = make("CResMD"), picture()
    for level in (5.0, HALF):
        factors = [level / 50 * condition.view(1, -1, 1, 1) for condition in method.condition]

        def body(features, factors=factors):
            for block, factor in zip(method.main.body, factors[:-1], strict=True):
                features = features + factor * block.second(F.relu(block.first(features)))
            return features

        def after(features, factor=factors[-1]):
            return factor * method.main.after(features)

        expected = through(method.main, x, body, after)
        torch.testing.assert_close(method.at(level)(x), expected, rtol=0, atol=1e-10)
    without = through(method.main, x, lambda features: features, torch.zeros_like)
    torch.testing.assert_close(method.at(0.0)(x), without, rtol=0, atol=1e-12)


def test_ftn_has_the_transition_of_each_kernel_at_the_end(make):
    method = make("FTN")
    network, half, transitions = method.at(END), method.at(HALF), iter(method.transitions)
    for main, end, middle in zip(
        [*method.main.body, method.main.after], [*network.body, network.after], [*half.body, half.after],
        strict=True,
    ):  # fmt: skip
        convolutions = [[one for one in part.modules() if isinstance(one, nn.Conv2d)]
                        for part in (main, end, middle)]  # fmt: skip
        for own, changed, mean in zip(*convolutions, strict=True):
            expected = next(transitions)(own.weight)
            torch.testing.assert_close(changed.weight, expected, rtol=0, atol=1e-12)
            torch.testing.assert_close(mean.weight, (own.weight + expected) / 2, rtol=0, atol=1e-12)
            assert torch.equal(changed.bias, own.bias)
    assert next(transitions, None) is None


# --- Parameters ----------------------------------------------------------------------------------------

MAIN = 1_406_787
KERNEL = 64 * 64 * 9 + 64  # of a 3x3 convolution, with its bias


@pytest.mark.parametrize(
    ("name", "stored", "generated"),
    [
        ("HyperRes k=4", 2_588_483, MAIN),  # both as published
        ("ours", 2_588_483, MAIN),
        ("ours, rank 8", MAIN + 32 * (8 * (64 + 576) + 64), MAIN),
        ("DNI", 2 * MAIN, MAIN),
        ("AdaFM 1x1", MAIN + 33 * 64 * (1 + 1), MAIN + 33 * 64 * (1 + 1)),
        ("AdaFM 5x5", MAIN + 33 * 64 * (25 + 1), MAIN + 33 * 64 * (25 + 1)),
        # Coupling modules: 33 more convolutions, a shared layer of 64 and 17 of 64 x 64 without biases.
        ("CFSNet", MAIN + 33 * KERNEL + 64 + 17 * 64 * 64, MAIN + 33 * KERNEL),
        ("Dynamic-Net", MAIN + 32 * KERNEL, MAIN + 32 * KERNEL),
        # A coefficient of each channel for 16 local connections and 1 global one, and one kind of damage. The
        # paper has 32 local ones and two kinds.
        ("CResMD", MAIN + 17 * 64, MAIN),
        # Two 1x1 convolutions in 16 groups with biases, and 64 slopes, for each of 33 kernels.
        ("FTN", MAIN + 33 * (2 * (64 * 4 + 64) + 64), MAIN),
    ],
)
def test_parameters_at_the_papers_size(make, name, stored, generated):
    method = make(name, width=64, blocks=16, random=False)
    assert count_parameters(method) == stored
    assert count_parameters(method.at(HALF)) == generated


@pytest.mark.parametrize(("side", "percent"), [(1, 0.3), (3, 1.5), (5, 3.9), (7, 7.5)])
def test_adafm_adds_as_many_parameters_as_published(module, side, percent):
    setting = module("methods").setting_of(Task.DENOISE)
    added = count_parameters(module("adafm").AdaFM(setting, side=side)) / MAIN - 1
    assert round(100 * added, 1) == percent


def test_generated_networks_cost_what_the_main_network_costs(make):
    plain = multiply_adds(make("DNI", random=False).main)
    for name in ("DNI", "CResMD", "FTN", "HyperRes k=4", "ours, rank 8"):
        assert multiply_adds(make(name).at(HALF)) == plain
    filters = 5 * 8 * 25 / 4  # 5 layers of 8 channels at half resolution
    assert multiply_adds(make("AdaFM 5x5").at(HALF)) == plain + filters
    assert multiply_adds(make("Dynamic-Net").at(HALF)) == plain + 4 * 8 * 8 * 9 / 4
    assert multiply_adds(make("CFSNet").at(HALF)) == plain + 5 * 8 * 8 * 9 / 4


# --- Trainings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [Task.DENOISE, Task.DEJPEG, Task.UPSCALE])
def test_every_method_sees_equally_many_crops(module, task):
    methods, training = module("methods"), module("training")
    setting, budget = methods.setting_of(task, width=4, blocks=1), training.Budget(100, 16, 16, 0)
    dedicated = partial(module("dedicated").Dedicated, level=setting.end)
    for build in (dedicated, *methods.METHODS.values()):
        crops = 0
        for stage in build(setting).stages:
            recipe = training.stage_recipe(methods.recipe_of(task), setting, stage, budget)
            crops += training.stage_crops(recipe, stage, budget)
        assert crops == pytest.approx(2 * 100 * 16, abs=20)


@pytest.fixture
def photos(tmp_path):
    random = np.random.default_rng(0)
    for folder, count, side in (("photos", 3, 64), ("test", 2, 24)):
        for number in range(count):
            write_photo(tmp_path / folder / f"{number}.png", random.integers(0, 256, (3, side, side)))
    return tmp_path / "photos"


@pytest.fixture
def train(module, photos):
    """Trains one stage of a method for two steps."""
    methods, training = module("methods"), module("training")
    setting, budget = methods.setting_of(Task.DENOISE, width=8, blocks=2), training.Budget(2, 2, 16, 0)
    crops = Photos(find_photos(photos), crop=16, device=torch.device("cpu"))

    def train(method, stage):
        recipe = training.stage_recipe(methods.recipe_of(Task.DENOISE), setting, stage, budget)
        progress = lambda done, steps: None  # noqa: E731
        training.train_stage(method, stage, recipe, crops, budget, bf16=False, progress=progress)

    return train


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_moves_its_part_and_nothing_else(make, train, name):
    method = make(name, random=False).float()
    for index, stage in enumerate(method.stages):
        method.begin(index)
        before = {key: value.clone() for key, value in method.state_dict().items()}
        train(method, stage)
        moved = {key for key, value in method.state_dict().items() if not torch.equal(value, before[key])}
        assert moved and all(key.startswith(stage.part) for key in moved)


def test_a_loss_that_runs_off_is_told(make, train):
    method = make("ours", random=False).float()
    nn.init.constant_(method.network.network.tail.weight, float("nan"))
    with pytest.raises(TrainingError, match="the loss is nan at step 1"):
        train(method, method.stages[0])


# --- The command ---------------------------------------------------------------------------------------


@pytest.fixture
def command(module, photos, tmp_path, monkeypatch, capsys):
    compare = module("compare")
    monkeypatch.setattr(compare, "RECORDS", tmp_path / "adaptive.json")
    monkeypatch.setattr(compare, "DOCS", tmp_path / "docs")

    def run(*arguments):
        words = [photos, tmp_path / "test", "--width", 4, "--blocks", 1, "--steps", 2, "--crops", 2]
        words += ["--out", tmp_path / "runs", "--device", "cpu", "--threads", 1, *arguments]
        compare.main([str(word) for word in words])
        return capsys.readouterr()

    return run


def test_the_whole_comparison_runs_and_is_saved(command, tmp_path):
    asked = ("--crop", 16, "--levels", 45, "--dedicated", 15, 75)
    first = command(*asked, "--save")
    rows = [line for line in first.out.splitlines() if line.startswith("| ")]
    for name in NAMES:
        assert sum(row.startswith(f"| {name} |") for row in rows) == 3, name
    assert "| 2 dedicated networks | its own |" in first.out
    assert "| DNI | 15, 75 |" in first.out and "| ours, wide | 5 to 85 |" in first.out
    assert "20 of 20: " in first.err and "minutes left" in first.err
    page = (tmp_path / "docs" / "adaptive.md").read_text()
    assert rows[3] in page and "What is not equal" in page
    (plot,) = (tmp_path / "docs" / "images").iterdir()
    assert f"](images/{plot.name})" in page
    again = command(*asked, "--save")
    assert again.out == first.out and "scoring" not in again.err
    assert (tmp_path / "docs" / "adaptive.md").read_text() == page
    more = command("--crop", 16, "--levels", 5, "--dedicated", 15, 75, "--methods", "ours")
    assert "minutes left" not in more.err and "scoring ours" in more.err


@pytest.mark.parametrize(("task", "crop"), [("dejpeg", 16), ("upscale", 44)])
def test_other_tasks_are_compared(command, task, crop):
    methods = ("DNI", "CResMD", "HyperRes k=5", "ours")
    found = command("--task", task, "--crop", crop, "--methods", *methods, "--levels", 3, "--dedicated", 2)
    assert all(f"\n| {name} | " in found.out for name in methods)


def test_an_interrupted_comparison_goes_on_where_it_stopped(command, module, monkeypatch):
    runs, trained = module("runs"), []
    train = runs.train_stage

    def counted(method, stage, *arguments, **options):
        if len(trained) == 2 and interrupt:
            raise KeyboardInterrupt
        trained.append(stage.part)
        train(method, stage, *arguments, **options)

    monkeypatch.setattr(runs, "train_stage", counted)
    asked = ("--crop", 16, "--levels", 45, "--dedicated", 75, "--methods", "AdaFM 1x1", "FTN")
    interrupt = True
    with pytest.raises(KeyboardInterrupt):
        command(*asked)
    interrupt = False
    command(*asked)
    # At 75 for the dedicated network, twice, and at 15 for both methods together.
    assert trained == ["main", "main", "main", "filters", "transitions"]


def test_two_seeds_have_a_spread(command):
    found = command("--crop", 16, "--levels", 45, "--dedicated", 75, "--methods", "ours", "--seeds", 0, 1)
    row = next(line for line in found.out.splitlines() if line.startswith("| ours |"))
    assert float(row.split(" | ")[2].rstrip(" |")) >= 0


def test_a_method_with_fewer_seeds_is_compared_on_those(command, tmp_path):
    asked = ("--crop", 16, "--levels", 75, "--dedicated", 75, "--save")
    command(*asked, "--methods", "ours", "--seeds", 0, 1)
    command(*asked, "--methods", "DNI")
    gaps = {}
    for line in (tmp_path / "docs" / "adaptive.md").read_text().split("PSNR minus", 1)[1].splitlines():
        if line.startswith(("| ours |", "| DNI |")):
            gaps.setdefault(line.split()[1], line.strip("| ").split(" | "))
    record = {
        (one["method"], one["seed"]): one["psnr"]
        for one in json.loads((tmp_path / "adaptive.json").read_text())[0]["scores"]
    }
    expected = record["DNI", 0] - record["dedicated", 0]
    assert gaps["DNI"][1:] == [f"{expected:+.2f}", "-"]
    assert float(gaps["ours"][2]) >= 0


@pytest.mark.parametrize("option", ["--width", "--blocks", "--steps", "--crops"])
def test_an_impossible_size_is_refused(command, option, capsys):
    with pytest.raises(SystemExit):
        command(option, 0)
    assert f"{option} must be at least 1, got 0" in capsys.readouterr().err


def test_a_damaged_record_is_told(module, tmp_path):
    path = tmp_path / "adaptive.json"
    path.write_text('[{"run": {}}]')
    with pytest.raises(SystemExit, match="cannot be read"):
        module("records").read_comparisons(path)


def test_times_of_two_machines_are_told_apart(module):
    costs = [
        module("records").Cost(name, "15", 1, 1, 1.0, 1, 0.001, cpu)
        for name, cpu in (("DNI", "One"), ("FTN", "Two"), ("ours", "One"))
    ]
    assert module("page").timed_on(costs) == "Times are of One; those of FTN of Two."
    assert module("page").timed_on(costs[1:2]) == "Times are of Two."
