from functools import partial

import pytest
import torch

from hyperrestore.learn.batch import Batch
from hyperrestore.learn.cuda_graph import AHEAD, EAGER_CALLS, Recorded
from hyperrestore.learn.recipe import Recipe, Training
from hyperrestore.learn.state import Run
from hyperrestore.learn.step import learn
from hyperrestore.level import LevelScale, Task
from hyperrestore.network.architectures import NetworkConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA")

SCALE = LevelScale("sigma", low=0, high=100, trained=(0, 75), origin=0, reference=50)
NETWORK = NetworkConfig("unet", widths=(16, 32), blocks=(1, 1), rank=8)
CALLS = EAGER_CALLS + 2 * AHEAD + 1


def batches(levels, crops, weaker):
    generator = torch.Generator("cuda").manual_seed(0)
    for number in range(CALLS):
        clean = torch.rand(levels, crops, 3, 32, 32, generator=generator, device="cuda")
        noise = 0.1 * torch.randn(clean.shape, generator=generator, device="cuda")
        level = 5.0 + 10 * number + torch.arange(levels, device="cuda")
        chosen = torch.arange(crops, device="cuda").view(1, -1, 1, 1, 1) < min(weaker, number % 3)
        yield Batch(
            level,
            clean + noise,
            clean,
            chosen.expand(levels, -1, 1, 1, 1),
            clean[:, :weaker] - noise[:, :weaker],
        )


def trained(optimizer, weaker, *, recorded, bf16):
    """The losses, and how far each weight moved."""
    training = Training(
        learning_rate=1e-3, validate_at=(25.0,), optimizer=optimizer, loss="rms", slope_rate=0.5
    )
    run = Run(Recipe(Task.DENOISE, NETWORK, SCALE, training), torch.device("cuda"), {})
    generator = torch.Generator("cuda").manual_seed(1)
    with torch.no_grad():  # W begins at 0, where a level changes nothing
        for weight in run.network.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator, device="cuda")
    before = torch.cat([weight.detach().flatten().clone() for weight in run.network.parameters()])
    step = partial(learn, run, bf16=bf16)
    if recorded:
        step = Recorded(step)
    losses = []
    for number, batch in enumerate(batches(2, 4, weaker)):
        rate = torch.full((), 1e-3 if number % 2 else 1e-4, device="cuda")
        losses.append(float(step(rate, *batch)))
    return losses, torch.cat([weight.detach().flatten() for weight in run.network.parameters()]) - before


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("weaker", [0, 2])
@pytest.mark.parametrize("bf16", [False, True])
def test_recorded_steps_are_the_steps(optimizer, weaker, bf16):
    (losses, moves), (expected, expected_moves) = (
        trained(optimizer, weaker, recorded=recorded, bf16=bf16) for recorded in (True, False)
    )
    assert losses == pytest.approx(expected, rel=1e-2 if bf16 else 1e-3)
    assert len(set(losses)) == CALLS
    assert (moves - expected_moves).abs().mean() < 0.1 * expected_moves.abs().mean()


def test_what_is_replayed_reads_the_arguments_of_each_call():
    calls = []

    def double(number):
        calls.append(number)
        return 2 * number

    recorded = Recorded(double)
    for number in range(CALLS):
        assert float(recorded(torch.tensor(float(number), device="cuda"))) == 2 * number
    assert len(calls) == EAGER_CALLS + 1
