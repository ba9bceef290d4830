import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from conftest import SIGMA, SMALL_PAPER, TINY, randomised
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hyperrestore.errors import ExtrapolationWarning, UsageError
from hyperrestore.level import LevelScale
from hyperrestore.network.architectures import build, build_plain, receptive_radius
from hyperrestore.network.convolutions import HyperConv2d, HyperConvTranspose2d
from hyperrestore.network.hyper import (
    between,
    hyperize,
    materialize,
    pad_to_multiple,
    take_over,
)

CURVED = LevelScale("sigma", low=0, high=100, trained=(0, 75), origin=0, reference=50, powers=(1, 2, 0.5))
LOGARITHMIC = LevelScale("scale", low=1, high=6, trained=(1, 4), origin=1, reference=4, spacing="log")
QUALITY = LevelScale("quality", low=1, high=100, trained=(10, 90), origin=100, reference=10)

LAYERS = {
    "plain": lambda: nn.Conv2d(4, 6, 3, padding=1),
    "no bias": lambda: nn.Conv2d(4, 6, 3, bias=False),
    "strided": lambda: nn.Conv2d(4, 6, (2, 3), stride=(2, 1)),
    "groups": lambda: nn.Conv2d(4, 8, 3, padding=1, groups=2),
    "depthwise": lambda: nn.Conv2d(4, 4, 5, padding=2, groups=4),
    "dilated": lambda: nn.Conv2d(4, 6, 3, padding=2, dilation=2),
    "same": lambda: nn.Conv2d(4, 6, 3, padding="same"),
    "reflect": lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    "replicate": lambda: nn.Conv2d(4, 6, (3, 5), padding=(1, 2), padding_mode="replicate"),
    "circular": lambda: nn.Conv2d(4, 6, 3, padding="same", padding_mode="circular", dilation=2),
    "transposed": lambda: nn.ConvTranspose2d(4, 6, 3),
    "transposed, no bias": lambda: nn.ConvTranspose2d(4, 6, 2, stride=2, bias=False),
    "transposed, groups": lambda: nn.ConvTranspose2d(
        4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, dilation=2
    ),
}
SCALES = {"one": SIGMA, "three powers": CURVED, "two axes": (CURVED, QUALITY)}
layers = pytest.mark.parametrize("layer", LAYERS)
scales = pytest.mark.parametrize("scale", SCALES)
ranks = pytest.mark.parametrize("rank", [None, 1, 3])


def make(layer, scale, rank):
    """A random adjustable layer in float64."""
    network = hyperize(LAYERS[layer]().double(), SCALES[scale], rank=rank)
    return randomised(network, size=0.5)


def levels_of(scale, number):
    return [number, 100 - number][: len(network_scales(scale))]


def network_scales(scale):
    found = SCALES[scale]
    return (found,) if isinstance(found, LevelScale) else found


def picture(batch=1, channels=4, height=9, width=8):
    generator = torch.Generator().manual_seed(batch)
    return torch.rand(batch, channels, height, width, dtype=torch.float64, generator=generator)


@layers
@scales
@ranks
def test_kernels_half_way_are_the_mean(layer, scale, rank):
    network = make(layer, scale, rank).network
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, sum_of_powers(scale), dtype=torch.float64, generator=generator)
    for middle, first, second in zip(
        network.kernel((a + b) / 2), network.kernel(a), network.kernel(b), strict=True
    ):
        if middle is None:
            assert first is second is None
            continue
        torch.testing.assert_close(middle, (first + second) / 2, rtol=0, atol=1e-14)
        assert not torch.equal(first, second)


@layers
@scales
@ranks
def test_kernels_and_their_gradients_are_the_same_in_training(layer, scale, rank):
    found = []
    for training in (True, False):
        network = make(layer, scale, rank).network.train(training)
        phi = torch.linspace(0.3, 0.7, sum_of_powers(scale), dtype=torch.float64)
        kernels = [part for part in network.kernel(phi) if part is not None]
        sum((part * torch.linspace(-1, 1, part.numel()).view_as(part)).sum() for part in kernels).backward()
        found.append(kernels + [parameter.grad for parameter in network.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def sum_of_powers(scale):
    return sum(len(one.powers) for one in network_scales(scale))


@layers
@scales
@ranks
def test_the_materialised_layer_is_the_layer(layer, scale, rank):
    network = make(layer, scale, rank)
    plain = materialize(network, levels_of(scale, 30.0))
    assert type(plain) is type(LAYERS[layer]())
    assert repr(plain) == repr(LAYERS[layer]())  # stride, padding, groups, ...
    x = picture(2)
    torch.testing.assert_close(plain(x), network(x, levels_of(scale, 30.0)), rtol=0, atol=1e-14)
    other = materialize(network, levels_of(scale, 31.0))
    assert not torch.equal(plain(x), other(x))


@layers
@ranks
def test_at_the_origin_and_before_training_it_is_the_module_itself(layer, rank):
    module = LAYERS[layer]()
    network = hyperize(module, SIGMA, rank=rank)
    x = picture().float()
    for level in (0.0, 25.0, 100.0):
        assert torch.equal(network(x, level), module(x))
        assert torch.equal(materialize(network, level)(x), module(x))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "slope" in name:
                parameter.normal_()
    assert torch.equal(network(x, 0.0), module(x))
    assert not torch.equal(network(x, 25.0), module(x))


@layers
@scales
@ranks
def test_a_level_for_each_sample_is_each_sample_alone(layer, scale, rank):
    network = make(layer, scale, rank)
    levels = torch.tensor([levels_of(scale, number) for number in (3.0, 50.0, 99.0)], dtype=torch.float64)
    x = picture(3)
    together = network(x, levels)
    for index, level in enumerate(levels):
        alone = network(x[index : index + 1], level)
        torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=1e-13)


@layers
@scales
def test_a_constant_map_is_the_scalar(layer, scale):
    network = make(layer, scale, 2)
    x = picture(2)
    level = torch.tensor(levels_of(scale, 40.0), dtype=torch.float64)
    maps = level.view(1, -1, 1, 1).expand(2, -1, *x.shape[-2:])
    torch.testing.assert_close(network(x, maps), network(x, level), rtol=0, atol=1e-13)


@pytest.mark.parametrize("config", [TINY, SMALL_PAPER])
@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20))
def test_a_constant_map_is_the_scalar_at_any_size(config, height, width):
    network = randomised(build(config, SIGMA)).double()
    x = picture(1, 3, height, width)
    level_map = torch.full((1, 1, height, width), 33.0)
    torch.testing.assert_close(network(x, level_map), network(x, 33.0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("config", [TINY, SMALL_PAPER])
@pytest.mark.parametrize(("height", "width"), [(8, 96), (5, 97), (3, 99)])
def test_a_piecewise_map_is_the_scalar_far_from_its_edge(config, height, width):
    network = randomised(build(config, SIGMA)).double()
    multiple = network.network.multiple
    halo = receptive_radius(materialize(network, 0), multiple=multiple)
    edge = width // 2 // multiple * multiple
    assert edge > halo
    x = picture(1, 3, height, width)
    level_map = torch.full((1, 1, height, width), 20.0)
    level_map[..., edge:] = 70.0
    result = network(x, level_map)
    left, right = network(x, 20.0), network(x, 70.0)
    near, far = edge - halo - multiple, edge + halo + multiple
    torch.testing.assert_close(result[..., :near], left[..., :near], rtol=0, atol=1e-12)
    torch.testing.assert_close(result[..., far:], right[..., far:], rtol=0, atol=1e-12)
    assert not torch.allclose(result[..., edge - 1], left[..., edge - 1])


@pytest.mark.parametrize("config", [TINY, SMALL_PAPER])
def test_levels_are_padded_as_the_image_is(config):
    network = randomised(build(config, SIGMA)).double()
    x, level_map = picture(1, 3, 7, 5), 100 * picture(1, 1, 7, 5)
    whole = network(pad_to_multiple(x, 2), pad_to_multiple(level_map, 2))
    torch.testing.assert_close(network(x, level_map), whole[..., :7, :5], rtol=0, atol=1e-12)


def test_threads_do_not_share_levels():
    network = randomised(build(TINY, SIGMA))
    x = picture(1, 3, 16, 16).float()
    levels = [float(level) for level in range(0, 100, 7)]
    with torch.inference_mode():
        alone = [network(x, level) for level in levels]
    barrier = threading.Barrier(4)

    def repeat(start):
        barrier.wait(timeout=30)
        with torch.inference_mode():
            for turn in range(60):
                index = (start + turn) % len(levels)
                assert torch.equal(network(x, levels[index]), alone[index])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(repeat, range(4)))


def test_a_shared_layer_stays_shared():
    layer = nn.Conv2d(3, 3, 3, padding=1)
    inner = nn.Sequential(layer, nn.ReLU())
    module = nn.Sequential(inner, layer, nn.ModuleDict({"again": layer})["again"])
    network = randomised(hyperize(module, SIGMA))
    assert network.network[0][0] is network.network[1] is network.network[2]
    plain = materialize(network, 30.0)
    assert plain[0][0] is plain[1] is plain[2]
    x = picture(1, 3).float()
    torch.testing.assert_close(plain(x), network(x, 30.0))
    assert isinstance(module[1], nn.Conv2d)  # the module itself is untouched


def test_materialize_leaves_the_network_alone_and_shares_nothing():
    network = randomised(build(TINY, SIGMA))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    plain = materialize(network, 30.0)
    assert isinstance(plain, type(build_plain(TINY)))
    assert set(plain.state_dict()) == set(build_plain(TINY).state_dict())
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert any(isinstance(layer, HyperConv2d) for layer in network.modules())


def test_select_chooses_by_name_and_layer():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3), nn.ConvTranspose2d(4, 3, 2))
    network = hyperize(module, SIGMA, select=lambda name, layer: name == "2" or layer.kernel_size == (3, 3))
    kinds = [type(layer) for layer in network.network]
    assert kinds == [nn.Conv2d, HyperConv2d, HyperConvTranspose2d]
    randomised(network)
    plain = materialize(network, 10.0)
    x = picture(1, 3).float()
    torch.testing.assert_close(plain(x), network(x, 10.0))


def test_w_is_stored_low_rank_only_where_that_stores_less():
    network = hyperize(nn.Sequential(nn.Conv2d(16, 16, 3), nn.Conv2d(16, 2, 1)), SIGMA, rank=2)
    large, small = network.network
    assert large.slope_left.shape == (1, 16, 2)
    assert large.slope_right.shape == (1, 2, 144)
    assert small.slope.shape == (1, 2, 16, 1, 1)


@layers
@ranks
def test_gradients_reach_w_and_b(layer, rank):
    network = make(layer, "two axes", rank)
    level = torch.tensor([30.0, 60.0], dtype=torch.float64, requires_grad=True)
    network(picture(), level).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    assert level.grad.abs().min() > 0


def test_training_can_leave_the_start():
    network = hyperize(nn.Conv2d(16, 16, 3), SIGMA, rank=2)
    network(picture(1, 16).float(), 50.0).square().sum().backward()
    assert network.network.slope_left.grad.abs().sum() > 0


@ranks
def test_weights_go_through_a_state_dict(rank):
    first, second = (randomised(hyperize(build_plain(TINY), CURVED, rank=rank), seed=seed) for seed in (1, 2))
    x = picture(1, 3).float()
    assert not torch.equal(first(x, 30.0), second(x, 30.0))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x, 30.0), second(x, 30.0))


@pytest.mark.parametrize(
    "level", [torch.zeros(2), torch.zeros(3, 2), torch.zeros(1, 2, 9, 8), torch.zeros(1, 9, 8), [1.0, 2.0]]
)
def test_a_level_of_the_wrong_shape_is_refused(level):
    network = hyperize(nn.Conv2d(4, 4, 3), SIGMA)
    with pytest.raises(UsageError, match=r"a level of shape .* this network takes 1 level axes"):
        network(picture().float(), level)


@ranks
def test_with_one_axis_a_level_for_each_sample_needs_no_second_dimension(rank):
    network = make("plain", "one", rank)
    levels = torch.tensor([3.0, 50.0, 99.0], dtype=torch.float64)
    x = picture(3)
    together = network(x, levels)
    torch.testing.assert_close(together, network(x, levels[:, None]), rtol=0, atol=0)
    torch.testing.assert_close(together, network(x, levels.tolist()), rtol=0, atol=0)
    torch.testing.assert_close(network(x, levels[:1]), network(x, 3.0), rtol=0, atol=0)  # one for all
    for count in (2, 4):
        with pytest.raises(UsageError, match=r"does not fit an image of shape \(3, "):
            network(x, torch.zeros(count))


def test_with_several_axes_one_dimension_means_these_whatever_the_batch():
    network = make("plain", "two axes", None)
    for count in (1, 2, 3):
        x = picture(count)
        for index in range(count):
            alone = network(x[index : index + 1], [20.0, 80.0])
            together = network(x, [20.0, 80.0])[index : index + 1]
            torch.testing.assert_close(together, alone, rtol=0, atol=1e-13)
        with pytest.raises(UsageError, match="does not fit"):
            network(x, torch.zeros(3))


def test_a_level_far_outside_of_the_scale_warns():
    network = hyperize(nn.Conv2d(4, 4, 3), SIGMA).eval()
    x = picture().float()
    for level in (0, 90, 100.0, torch.tensor([[5.0]])):
        network(x, level)
    for level in (-1, 2500, torch.tensor([[101.0]]), torch.full((1, 1, *x.shape[-2:]), 1e6), float("nan")):
        with pytest.warns(ExtrapolationWarning, match="sigma .* lies outside the scale .* 0 to 100"):
            network(x, level)
        if not isinstance(level, torch.Tensor):
            with pytest.warns(ExtrapolationWarning):
                materialize(network, level)
    with pytest.warns(ExtrapolationWarning, match="quality 0.5"):
        make("plain", "two axes", None)(picture(), [20, 0.5])


def test_a_layer_without_its_network_says_what_to_do():
    network = hyperize(nn.Conv2d(4, 4, 3), SIGMA)
    with pytest.raises(UsageError, match="call the Hypernetwork"):
        network.network(picture().float())


def test_a_failed_call_leaves_no_level_behind():
    network = hyperize(nn.Conv2d(4, 4, 3), SIGMA)
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 5, 9, 9), 25.0)
    with pytest.raises(UsageError, match="needs a level"):
        network.network(picture().float())


@pytest.mark.parametrize(("module", "select"), [(nn.Linear(3, 3), None), (nn.Conv2d(3, 3, 1), "none")])
def test_nothing_to_adjust_is_an_error(module, select):
    with pytest.raises(UsageError, match="no convolution"):
        hyperize(module, SIGMA, select=lambda name, layer: select is None)


class StandardisedConv(nn.Conv2d):
    """Does more than its kernel says."""

    def forward(self, x):
        return super().forward(x - x.mean())


def test_a_layer_that_is_more_than_a_convolution_is_refused():
    hooked = nn.Conv2d(3, 3, 3)
    hooked.register_forward_hook(lambda layer, inputs, output: 2 * output)
    for layer in (StandardisedConv(3, 3, 3), hooked):
        with pytest.raises(UsageError, match="computes more than a convolution"):
            hyperize(nn.Sequential(layer), SIGMA)
    kept = hyperize(nn.Sequential(StandardisedConv(3, 3, 3), nn.Conv2d(3, 3, 3)), SIGMA,
                    select=lambda name, layer: type(layer) is nn.Conv2d)  # fmt: skip
    assert isinstance(kept.network[0], StandardisedConv)


def test_a_parametrized_convolution_is_one():
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    x = picture(1, 3, 8, 8).float()
    torch.testing.assert_close(hyperize(layer, SIGMA)(x, 25.0), layer(x))


def test_what_is_frozen_and_what_is_not_training_stays_so():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 3, 3)).eval()
    module[0].weight.requires_grad_(False)
    network = hyperize(module, SIGMA)
    assert not any(layer.training for layer in network.modules())
    assert not any(layer.training for layer in materialize(network, 25.0).modules())
    assert not network.network[0].weight.requires_grad
    assert network.network[0].bias.requires_grad and network.network[0].slope.requires_grad


def test_an_impossible_rank_is_refused():
    with pytest.raises(UsageError, match="rank -1"):
        hyperize(nn.Conv2d(3, 3, 3), SIGMA, rank=-1)


def test_small_layers_can_have_a_full_w():
    module = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), nn.Conv2d(16, 32, 3))
    low, mixed, full = (
        sum(
            parameter.numel()
            for parameter in hyperize(module, SIGMA, rank=rank, full_to=full_to).parameters()
        )
        for rank, full_to in ((2, 0), (2, 16), (None, 0))
    )
    assert low < mixed < full
    assert mixed - low == 16 * 3 * 9 - 2 * (16 + 3 * 9) + 16 * 16 * 9 - 2 * (16 + 16 * 9)
    adjustable = hyperize(module, SIGMA, rank=2, full_to=16)
    image = torch.rand(1, 3, 9, 9)
    torch.testing.assert_close(adjustable(image, 25.0), module(image))


@layers
@scales
def test_weights_are_taken_over_by_another_rank(layer, scale):
    """A higher rank loses nothing; a lower one keeps the largest singular values of each condition."""
    low, full = (hyperize(LAYERS[layer]().double(), SCALES[scale], rank=rank) for rank in (1, None))
    source = make(layer, scale, 2)
    take_over(full, source)
    level = torch.tensor(levels_of(scale, 40.0), dtype=torch.float64)
    image = picture()
    torch.testing.assert_close(full(image, level), source(image, level))
    take_over(low, source)
    for ours, theirs in zip(low.network.slopes(), source.network.slopes(), strict=True):
        values = torch.linalg.svdvals(theirs.flatten(1))
        kept = torch.linalg.svdvals(ours.flatten(1))
        torch.testing.assert_close(kept[0], values[0])
        torch.testing.assert_close((ours - theirs).square().sum(), values[1:].square().sum())
    torch.testing.assert_close(low.network.weight, source.network.weight)


@pytest.mark.parametrize("rank", [1, 2, None])
def test_a_w_of_nothing_that_was_taken_over_learns(rank):
    source = hyperize(nn.Conv2d(4, 6, 3), SCALES["two axes"], rank=rank)  # W = 0
    network = hyperize(nn.Conv2d(4, 6, 3), SCALES["two axes"], rank=3)
    take_over(network, source)
    torch.testing.assert_close(network.network.slopes(), source.network.slopes(), rtol=0, atol=0)
    network(picture().float(), torch.tensor([40.0, 60.0])).square().sum().backward()
    assert (network.network.slope_left.grad.abs().amax(dim=1) > 0).all()


def test_another_network_is_not_taken_over():
    network, wider = (hyperize(nn.Conv2d(3, channels, 3), SIGMA) for channels in (4, 5))
    with pytest.raises(RuntimeError):
        take_over(network, wider)


@layers
@pytest.mark.parametrize(("level_a", "level_b"), [(0.0, 50.0), (15.0, 75.0), (75.0, 15.0), (90.0, -3.0)])
@pytest.mark.parametrize("scale", [None, SIGMA, QUALITY])
def test_between_two_networks_is_each_at_its_level_and_the_mean_half_way(layer, level_a, level_b, scale):
    a, b = (randomised(hyperize(LAYERS[layer]().double(), SIGMA), size=0.5, seed=n).network for n in (1, 2))
    a, b = (network.ordinary(torch.zeros(1, dtype=torch.float64)) for network in (a, b))
    if scale is not None and not scale.low <= min(level_a, level_b):
        level_a, level_b = 20.0, 60.0
    network = between(a, level_a, b, level_b, scale=scale)
    x = picture(2)
    torch.testing.assert_close(network(x, level_a), a(x), rtol=0, atol=1e-13)
    torch.testing.assert_close(network(x, level_b), b(x), rtol=0, atol=1e-13)
    half = materialize(network, (level_a + level_b) / 2)
    torch.testing.assert_close(half.weight, (a.weight + b.weight) / 2, rtol=0, atol=1e-14)
    assert not torch.equal(a.weight, b.weight)


@settings(max_examples=25, deadline=None)
@given(level_a=st.floats(0, 100), level_b=st.floats(0, 100), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_between_interpolates_every_kernel_of_a_deep_network(level_a, level_b, share, seed):
    if abs(level_a - level_b) < 1:
        level_b = (level_a + 50) % 101
    torch.manual_seed(seed)
    a, b = (build_plain(SMALL_PAPER).double() for _ in range(2))
    before = [parameter.clone() for parameter in (*a.parameters(), *b.parameters())]
    level = level_a + share * (level_b - level_a)
    made = materialize(between(a, level_a, b, level_b), min(max(level, min(level_a, level_b)), 100.0))
    for own, first, second in zip(made.parameters(), a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(own, first.lerp(second, share), rtol=0, atol=1e-9)
    assert all(map(torch.equal, before, (*a.parameters(), *b.parameters())))


def test_between_keeps_single_precision_to_within_rounding():
    torch.manual_seed(0)
    a, b = (build_plain(SMALL_PAPER) for _ in range(2))
    x = torch.rand(1, 3, 12, 10)
    network = between(a, 15, b, 75, scale=SIGMA)
    for level, plain in ((15.0, a), (75.0, b)):
        torch.testing.assert_close(materialize(network, level)(x), plain(x), rtol=0, atol=1e-6)


def test_between_pairs_layers_by_their_names():
    class Pair(nn.Module):
        def __init__(self, *names):
            super().__init__()
            for name in names:
                self.add_module(name, nn.Conv2d(2, 2, 3).double())

        def forward(self, x):
            return self.get_submodule("second")(self.get_submodule("first")(x))

    a, b = Pair("first", "second"), Pair("second", "first")
    x = torch.rand(1, 2, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(between(a, 15, b, 75)(x, 75.0), b(x), rtol=0, atol=1e-13)


def test_between_refuses_what_no_level_can_join():
    conv = nn.Conv2d(3, 3, 3)
    for other in (nn.Conv2d(3, 3, 5), nn.Conv2d(3, 3, 3, stride=2), nn.Conv2d(3, 3, 3, bias=False),
                  nn.Sequential(conv), nn.ConvTranspose2d(3, 3, 3)):  # fmt: skip
        with pytest.raises(UsageError, match="two checkpoints of one architecture"):
            between(conv, 15, other, 75)
    slopes = [nn.Sequential(nn.Conv2d(3, 3, 3), nn.PReLU(init=slope)) for slope in (0.1, 0.2)]
    with pytest.raises(UsageError, match=r"network\.1\.weight, which is no convolution's"):
        between(slopes[0], 15, slopes[1], 75)
    for one, other in ((nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)), (nn.Upsample(scale_factor=2), nn.Upsample(4))):
        with pytest.raises(UsageError, match=r"differ in network\.1; give two checkpoints"):
            between(nn.Sequential(conv, one), 15, nn.Sequential(conv, other), 75)
    for level, scale in ((0.0, LOGARITHMIC), (-5.0, LOGARITHMIC), (float("nan"), SIGMA)):
        with pytest.raises(UsageError, match="do not fit: the scale has a number from"):
            between(conv, 15, conv, level, scale=scale)
    with pytest.raises(UsageError, match="15 twice"):
        between(conv, 15, conv, 15)
    with pytest.raises(UsageError, match="different strengths"):
        between(conv, 15, conv, 15, scale=SIGMA)
    with pytest.raises(UsageError, match="one basis function"):
        between(conv, 15, conv, 75, scale=CURVED)
