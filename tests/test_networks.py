from pathlib import Path

import pytest
import torch
from conftest import SIGMA, SMALL_PAPER, TINY, randomised
from torch import nn

from hyperrestore.errors import RecipeError
from hyperrestore.learn.recipe import read_recipe
from hyperrestore.network.architectures import (
    PAPER,
    NetworkConfig,
    ResidualBlock,
    build,
    build_plain,
    count_parameters,
    multiply_adds,
    receptive_radius,
)
from hyperrestore.network.convolutions import HyperConv2d
from hyperrestore.network.hyper import materialize

RECIPES = Path(__file__).parents[1] / "recipes"
THREE = NetworkConfig("unet", widths=(4, 6, 8), blocks=(1, 0, 2), rank=1)
SHUFFLED = NetworkConfig("unet", widths=(4, 6), blocks=(1, 1), rank=1, shuffle=2)
configs = pytest.mark.parametrize("config", [TINY, THREE, SHUFFLED, SMALL_PAPER])


def test_the_papers_network_has_the_papers_numbers():
    network = build(PAPER, SIGMA)
    plain = materialize(network, 25.0)
    assert count_parameters(network) == 2_588_483
    assert count_parameters(plain) == count_parameters(build_plain(PAPER)) == 1_406_787
    assert multiply_adds(plain) / 1e6 == pytest.approx(0.3800, abs=5e-5)
    assert receptive_radius(plain, multiple=plain.multiple) == 72


def test_of_the_papers_network_the_residual_blocks_are_adjustable():
    adjustable = [
        name for name, layer in build(PAPER, SIGMA).named_modules() if isinstance(layer, HyperConv2d)
    ]
    assert len(adjustable) == 32
    assert all(name.startswith("network.body.") for name in adjustable)


def test_the_shipped_recipe_stays_small():
    recipe = read_recipe(RECIPES / "denoise.toml")
    network = build(recipe.network, recipe.scale)
    assert count_parameters(network) <= 3e6
    assert multiply_adds(materialize(network, 25.0)) <= 0.16e6


@configs
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (5, 1), (7, 12), (8, 8), (17, 33)])
def test_any_size_comes_back(config, size):
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    network = randomised(build(config, SIGMA))
    result = network(x, 25.0)
    assert result.shape == x.shape
    torch.testing.assert_close(materialize(network, 25.0)(x), result)


@configs
def test_a_pixel_is_seen_exactly_as_far_as_the_radius(config):
    network = materialize(randomised(build(config, SIGMA), size=0.3), 25.0).double()
    multiple = network.multiple
    radius = receptive_radius(network, multiple=multiple)
    side = 2 * (radius + 2 * multiple)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, multiple, 2 * side, dtype=torch.float64, generator=generator)
    farthest = 0
    for phase in range(multiple):
        changed = x.clone()
        changed[..., side + phase] += 1
        for a, b in ((x, changed), (x.mT, changed.mT)):
            difference = (network(a) - network(b)).abs().sum((0, 1)).amax(0 if a is x else 1)
            seen = difference.nonzero().flatten() - (side + phase)
            farthest = max(farthest, int(seen.abs().max()))
    assert farthest == radius


def test_the_radius_of_known_networks():
    assert receptive_radius(nn.Conv2d(3, 3, 1), multiple=1) == 0
    assert receptive_radius(nn.Conv2d(3, 3, (1, 7), padding=(0, 3)), multiple=1) == 3
    assert receptive_radius(nn.Conv2d(3, 3, (7, 1), padding=(3, 0)), multiple=1) == 3
    long = nn.Sequential(*(nn.Conv2d(3, 3, 9, padding=4) for _ in range(20)))
    assert receptive_radius(long, multiple=1) == 80


def test_multiply_adds_of_known_layers():
    assert multiply_adds(nn.Conv2d(3, 8, 3, padding=1)) == 3 * 8 * 9
    assert multiply_adds(nn.Conv2d(3, 6, 3, padding=1, groups=3)) == 6 * 9
    assert multiply_adds(nn.Conv2d(3, 8, 2, stride=2)) == 3 * 8 * 4 / 4
    assert multiply_adds(nn.Sequential(nn.Conv2d(3, 8, 2, 2), nn.ConvTranspose2d(8, 3, 2, 2))) == 24 + 24


def test_a_residual_block_is_what_it_says():
    block = ResidualBlock(4)
    x = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    expected = x + block.second(torch.clamp(block.first(x), min=0))
    torch.testing.assert_close(block(x), expected)
    assert (block.first(x) < 0).any()


def test_our_network_adds_its_residual_in_the_pictures_precision():
    network = build_plain(TINY)
    with torch.no_grad():
        for parameter in network.tail.parameters():
            parameter.zero_()
    x = torch.rand(1, 3, 9, 7)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network(x), x)


@pytest.mark.parametrize(
    "entries",
    [
        {"kind": "resnet"},
        {"widths": ()},
        {"widths": (8, 0)},
        {"blocks": (1,)},
        {"blocks": (1, -1)},
        {"rank": -1},
        {"kind": "paper"},
    ],
)
def test_what_cannot_be_built_is_refused(entries):
    with pytest.raises(RecipeError):
        NetworkConfig(**{"kind": "unet", "widths": (8, 16), "blocks": (1, 1), **entries})
