"""The idea of HyperRes: a level becomes the convolution kernels of any network, kernel = phi(level) . W + B.

`hyperize` takes an ordinary network and returns the same network with adjustable convolutions; it starts
exactly at the network's own behaviour (W = 0). `materialize` goes back: an ordinary network for one level.

The level is an argument of the network's call. It reaches the convolutions, however deep they lie in a
module that knows nothing of levels, through a context variable that lives only as long as the call and is
separate in every thread. What runs parts of the network outside that call does not find the level: gradient
checkpointing and threads started within `forward`.

Source: "Hypernetwork-based adaptive image restoration", ICASSP 2023, arXiv 2206.05970.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hyperrestore.errors import ExtrapolationWarning, UsageError
from hyperrestore.level import LevelScale
from hyperrestore.network.convolutions import (
    Convolution,
    HyperConv2d,
    HyperConvolution,
    HyperConvTranspose2d,
    current_phi,
)

Level = float | Sequence[float] | Tensor


class Hypernetwork(nn.Module):
    """A network with adjustable convolutions, called with an image and a level.

    Attributes:
        network: The module whose convolutions were made adjustable.
        scales: What the levels mean, one scale for each level axis.

    Example:
        >>> scale = LevelScale("sigma", low=0, high=75, trained=(0, 75), origin=0, reference=50)
        >>> network = hyperize(nn.Conv2d(3, 3, 3, padding=1), scale)
        >>> network(torch.zeros(1, 3, 5, 7), 25.0).shape
        torch.Size([1, 3, 5, 7])
    """

    def __init__(self, network: nn.Module, scales: Sequence[LevelScale]) -> None:
        super().__init__()
        self.network = network
        self.scales = tuple(scales)
        self.train(network.training)

    def levels(self, level: float) -> tuple[float, ...]:
        """A level of the first axis, and the others at their origin: one for each axis."""
        return (level, *(scale.origin for scale in self.scales[1:]))

    def phi(self, level: Level) -> Tensor:
        """Turn levels into the pure numbers that the kernels take.

        Args:
            level: One level for the whole batch: a number, or a sequence or tensor (axes,). A level for
                each sample: a tensor (b, axes), or (b,) for a network with one axis. With several axes a
                single dimension always means these, whatever the size of the batch. A level for each pixel:
                a tensor (b, axes, h, w).

        Returns:
            (conditions,), (b, conditions, 1, 1) or (b, conditions, h, w).

        Raises:
            UsageError: The shape is none of these, or the number of axes differs from the network's.

        Warns:
            ExtrapolationWarning: A level lies outside of what its scale accepts. Levels on a GPU are not
                looked at, which would make the network wait for them.
        """
        parameter = next(self.parameters())
        levels = torch.as_tensor(level, dtype=parameter.dtype)
        if levels.ndim == 0:
            levels = levels[None]
        elif levels.ndim == 1 and len(self.scales) == 1 and len(levels) != 1:
            levels = levels[:, None]
        axis = 0 if levels.ndim == 1 else 1
        if levels.ndim not in (1, 2, 4) or levels.shape[axis] != len(self.scales):
            raise self._misfit(level, "")
        by_scale = [levels.narrow(axis, index, 1) for index in range(len(self.scales))]
        for scale, own in zip(self.scales, by_scale, strict=True):
            _warn_of_far(scale, own)
        phi = [
            number
            for scale, own in zip(self.scales, by_scale, strict=True)
            for number in scale.normalize(own.to(parameter.device))
        ]
        stacked = torch.cat(phi, dim=axis)
        return stacked[:, :, None, None] if stacked.ndim == 2 else stacked

    def _misfit(self, level: Level, image: str) -> UsageError:
        return UsageError(
            f"a level of shape {tuple(torch.as_tensor(level).shape)} does not fit{image}: this network takes "
            f"{len(self.scales)} level axes, as (axes,), (b, axes) or (b, axes, h, w); one axis as (b,), too"
        )

    def forward(self, image: Tensor, level: Level) -> Tensor:
        """Run the network with the kernels of `level`.

        Args:
            image: Whatever the network takes, usually (b, c, h, w).
            level: See `phi`. A level for each pixel has the image's height and width; a network that pads
                the image by `pad_to_multiple` says so by its attribute `multiple`, and the levels are padded
                alike.

        Returns:
            What the network returns.

        Raises:
            UsageError: As `phi`, or there are levels for more or fewer samples than the image has.
        """
        phi = self.phi(level)
        per_sample = phi.ndim == image.ndim == 4 and not torch.compiler.is_compiling()
        if per_sample and len(phi) not in (1, len(image)):
            raise self._misfit(level, f" an image of shape {tuple(image.shape)}")
        if phi.shape[-2:] != (1, 1) and phi.ndim == 4:
            phi = pad_to_multiple(phi, getattr(self.network, "multiple", 1))
        token = current_phi.set(phi)
        try:
            return self.network(image)  # type: ignore[no-any-return]
        finally:
            current_phi.reset(token)


def _warn_of_far(scale: LevelScale, levels: Tensor) -> None:
    """Warn of levels beyond the scale, where the kernels go on in a straight line and results are useless."""
    if torch.compiler.is_compiling() or levels.device.type != "cpu" or not levels.numel():
        return
    for level in torch.stack(levels.detach().aminmax()).tolist():
        if not scale.low <= level <= scale.high:
            warnings.warn(
                f"{scale.unit} {level:g} lies outside the scale of this network, {scale.low:g} to "
                f"{scale.high:g}: the result is meaningless",
                ExtrapolationWarning,
                stacklevel=3,
            )
            return


def hyperize(
    module: nn.Module,
    scale: LevelScale | Sequence[LevelScale],
    *,
    select: Callable[[str, nn.Module], bool] = lambda name, convolution: True,
    rank: int | None = None,
    full_to: int = 0,
) -> Hypernetwork:
    """Make a network's convolutions adjustable by a level.

    The result starts exactly at the module's own behaviour at every level; training then learns how the
    kernels depend on the level. The module itself is not changed. Parameters that two of its layers share
    become separate ones.

    Args:
        module: Any network.
        scale: What the level means; several scales for several level axes.
        select: Which convolutions become adjustable, from their dotted name and the layer.
        rank: Rank of W where that stores less than the full W; None for full rank, as in the paper.
        full_to: Convolutions with at most so many channels, in and out, have a W of full rank all the same.

    Returns:
        The adjustable network.

    Raises:
        UsageError: `select` chose no convolution, or one that computes more than a convolution; or the rank
            is below 1.
    """
    if rank is not None and rank < 1:
        raise UsageError(f"rank {rank} is impossible; give at least 1, or None for full rank")
    scales = (scale,) if isinstance(scale, LevelScale) else tuple(scale)
    conditions = sum(len(one.powers) for one in scales)
    found = 0

    def choose(name: str, layer: nn.Module) -> nn.Module | None:
        nonlocal found
        if not isinstance(layer, Convolution) or not select(name, layer):
            return None
        found += 1
        own = None if max(layer.in_channels, layer.out_channels) <= full_to else rank
        if isinstance(layer, nn.Conv2d):
            return HyperConv2d(layer, conditions=conditions, rank=own)
        return HyperConvTranspose2d(layer, conditions=conditions, rank=own)

    network = _replace(copy.deepcopy(module), choose)
    if not found:
        raise UsageError("hyperize found no convolution to make adjustable; check `select`")
    return Hypernetwork(network, scales)


@torch.no_grad()
def between(
    network_a: nn.Module,
    level_a: float,
    network_b: nn.Module,
    level_b: float,
    *,
    scale: LevelScale | None = None,
) -> Hypernetwork:
    """Join two trained networks of one architecture into an adjustable one that is each of them at its level.

    W is the difference of their kernels and B the kernels of a, so in between every kernel is interpolated;
    that is network interpolation (arXiv 1811.10515, section 3), without training. It is good where b was
    fine-tuned from a, and a start for training where not.

    Args:
        network_a: The network for `level_a`; neither network is changed.
        level_a: The level at which the result is `network_a`, to within rounding.
        network_b: The network for `level_b`, of the same architecture.
        level_b: The level at which the result is `network_b`, to within rounding.
        scale: What the levels mean, with one basis function; None for plain numbers that are interpolated
            linearly.

    Returns:
        The adjustable network, every convolution of full rank.

    Raises:
        UsageError: The architectures differ, or weights outside of convolutions, which no level can change;
            the levels have the same strength; or the scale lacks one, or has several basis functions.

    Example:
        >>> soft, strong = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
        >>> adjustable = between(soft, 15, strong, 75)
        >>> adjustable(torch.zeros(1, 3, 5, 7), 40.0).shape
        torch.Size([1, 3, 5, 7])
    """
    if scale is None:
        ends = min(level_a, level_b), max(level_a, level_b)
        if ends[0] == ends[1]:
            raise UsageError(f"between needs two different levels, got {level_a:g} twice")
        scale = LevelScale("level", *ends, trained=ends, origin=level_a, reference=level_b)
    if len(scale.powers) != 1:
        raise UsageError(f"two networks give one basis function; the scale has powers {scale.powers}")
    if not all(scale.low <= level <= scale.high for level in (level_a, level_b)):
        raise UsageError(f"{scale.unit} {level_a!r} and {level_b!r} do not fit: the scale has {scale.range}")
    (phi_a,), (phi_b,) = scale.normalize(float(level_a)), scale.normalize(float(level_b))
    if phi_a == phi_b:
        raise UsageError(f"between needs levels of different strengths, got {level_a:g} and {level_b:g}")
    network, other = hyperize(network_a, scale), hyperize(network_b, scale)
    _check_alike(network, other)
    layers = dict(other.named_modules())
    for name, own in network.named_modules():
        theirs = layers[name]
        if isinstance(own, HyperConvolution) and isinstance(theirs, HyperConvolution):
            own.slope.copy_((theirs.weight - own.weight) / (phi_b - phi_a))
            own.weight.sub_(phi_a * own.slope[0])
            if own.bias is not None and theirs.bias is not None and own.bias_slope is not None:
                own.bias_slope.copy_((theirs.bias - own.bias) / (phi_b - phi_a))
                own.bias.sub_(phi_a * own.bias_slope[0])
    return network


def _check_alike(network: Hypernetwork, other: Hypernetwork) -> None:
    """Refuse networks that differ in more than the kernels and biases of their convolutions."""
    layers, theirs = dict(network.named_modules()), dict(other.named_modules())
    state, their_state = network.state_dict(), other.state_dict()
    for name in [*layers, *theirs]:
        if name not in layers or name not in theirs or _geometry(layers[name]) != _geometry(theirs[name]):
            raise UsageError(f"the two networks differ in {name}; give two checkpoints of one architecture")
    adjustable = {name for name, layer in layers.items() if isinstance(layer, HyperConvolution)}
    for name in [*state, *their_state]:
        same_kind = name in state and name in their_state and state[name].shape == their_state[name].shape
        if not same_kind:
            raise UsageError(f"the two networks differ in {name}; give two checkpoints of one architecture")
        if name.rpartition(".")[0] not in adjustable and not torch.equal(state[name], their_state[name]):
            raise UsageError(
                f"the two networks differ in {name}, which is no convolution's: no level can change it; "
                "fine-tune one from the other with that frozen"
            )


def _geometry(layer: nn.Module) -> tuple[object, ...]:
    """What two layers of one architecture have in common."""
    names = ("layout", "stride", "padding", "dilation", "groups", "padding_mode", "output_padding")
    # Layers without weights say there what they do: the slope of an activation, the factor of a shuffle.
    return type(layer), layer.extra_repr(), *(getattr(layer, name, None) for name in names)


@torch.no_grad()
def materialize(network: Hypernetwork, level: float | Sequence[float]) -> nn.Module:
    """Return an ordinary network of plain convolutions for one level.

    Args:
        network: The adjustable network; it is not changed and shares no memory with the result's kernels.
        level: A number, or one number for each level axis.

    Returns:
        The network as it was before `hyperize`, with the kernels of this level.
    """
    phi = network.phi(level)

    def choose(name: str, layer: nn.Module) -> nn.Module | None:
        return layer.ordinary(phi) if isinstance(layer, HyperConvolution) else None

    # deepcopy of the large W and B would be thrown away at once, so the adjustable layers are not copied.
    kept: dict[int, object] = {
        id(layer): layer for layer in network.modules() if isinstance(layer, HyperConvolution)
    }
    return _replace(copy.deepcopy(network.network, kept), choose)


def take_over(network: Hypernetwork, other: Hypernetwork) -> None:
    """Copy the weights of another network that differs at most in the ranks of its W.

    Where they differ, W is cut to its largest singular values, which is the nearest of that rank.

    Raises:
        RuntimeError: It differs in more.
    """
    state, theirs = other.state_dict(), dict(other.named_modules())
    for name, layer in network.named_modules():
        source = theirs.get(name)
        if not isinstance(layer, HyperConvolution) or not isinstance(source, HyperConvolution):
            continue
        own = {key: value for key, value in layer.state_dict().items() if key.startswith("slope")}
        given = {key: value for key, value in source.state_dict().items() if key.startswith("slope")}
        same = [value.shape for value in own.values()] == [value.shape for value in given.values()]
        if not same and source.slopes().shape == (len(source.slopes()), *layer.layout):
            layer.set_slopes(source.slopes())
            for key in given:
                del state[f"{name}.{key}"]
            state |= {f"{name}.{key}": value for key, value in layer.state_dict().items() if key in own}
    network.load_state_dict(state)


def _replace(module: nn.Module, choose: Callable[[str, nn.Module], nn.Module | None]) -> nn.Module:
    """Replace modules in place, also where one module is used in several places; return the root."""
    chosen = {child: choose(name, child) for name, child in module.named_modules()}
    for parent in list(module.modules()):
        for name, child in parent._modules.items():
            if child is not None and chosen.get(child) is not None:
                parent._modules[name] = chosen[child]
    return chosen[module] or module


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Mirror (b, c, h, w) at the right and bottom edge until both sides are multiples."""
    for axis, length in ((-2, image.shape[-2]), (-1, image.shape[-1])):
        if length % multiple:
            # F.pad mirrors only what is larger than the padding.
            period = max(1, 2 * length - 2)
            index = torch.arange(length + -length % multiple, device=image.device) % period
            image = image.index_select(axis, torch.minimum(index, period - index))
    return image
