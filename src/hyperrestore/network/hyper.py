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
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hyperrestore.errors import ExtrapolationWarning, UsageError
from hyperrestore.level import LevelScale

Convolution = nn.Conv2d | nn.ConvTranspose2d
Level = float | Sequence[float] | Tensor

_phi: ContextVar[Tensor] = ContextVar("phi")


class _HyperConvolution(nn.Module):
    """What the two adjustable convolutions share: B, W, and the sum phi . W + B.

    Kernels are laid out as in the ordinary layer. W is stored whole, or as the product of two factors of
    rank `rank` where that is smaller.
    """

    def __init__(self, convolution: Convolution, *, conditions: int, rank: int | None) -> None:
        super().__init__()
        if convolution._forward_hooks or convolution._forward_pre_hooks or _computes_otherwise(convolution):
            raise UsageError(
                f"{type(convolution).__name__} computes more than a convolution (its own forward, or hooks): "
                "leave it out by `select`"
            )
        kernel = convolution.weight.detach()
        rows, columns = kernel.shape[0], kernel[0].numel()
        self.layout = kernel.shape
        self.weight = nn.Parameter(kernel.clone(), requires_grad=convolution.weight.requires_grad)  # B
        self.bias = None
        if convolution.bias is not None:
            self.bias = nn.Parameter(
                convolution.bias.detach().clone(), requires_grad=convolution.bias.requires_grad
            )
        if rank is not None and rank * (rows + columns) < rows * columns:
            # One factor starts at zero, so that the product does; the other must not, or neither would learn.
            self.slope_left = nn.Parameter(kernel.new_zeros(conditions, rows, rank))
            self.slope_right = nn.Parameter(
                torch.randn(conditions, rank, columns, dtype=kernel.dtype, device=kernel.device)
                / columns**0.5
            )
        else:
            self.slope = nn.Parameter(kernel.new_zeros(conditions, *kernel.shape))  # W
        self.bias_slope = None
        if self.bias is not None:
            self.bias_slope = nn.Parameter(self.bias.new_zeros(conditions, len(self.bias)))
        self.stride = convolution.stride
        self.padding = convolution.padding
        self.dilation = convolution.dilation
        self.groups = convolution.groups
        self.train(convolution.training)

    def slopes(self) -> Tensor:
        """W, one kernel for each condition: (conditions, *kernel)."""
        if hasattr(self, "slope"):
            return self.slope
        return (self.slope_left @ self.slope_right).view(-1, *self.layout)

    @torch.no_grad()
    def set_slopes(self, slopes: Tensor) -> None:
        """Take over a W of shape (conditions, *kernel), as nearly as the rank allows."""
        if hasattr(self, "slope"):
            self.slope.copy_(slopes)
            return
        rank = self.slope_left.shape[2]
        # In double precision, which not every device has.
        left, values, right = torch.linalg.svd(slopes.flatten(2).cpu().double(), full_matrices=False)
        values, right = values[:, :rank].sqrt(), right[:, :rank]
        # What W lacks of the rank starts as in a new layer: if both factors were zero, it would never learn.
        missing = values <= 1e-3 * values.amax()
        values = values.masked_fill(missing, 0)
        self.slope_left.copy_(left[:, :, :rank] * values[:, None])
        fresh = self.slope_right.cpu().double()
        self.slope_right.copy_(torch.where(missing[:, :, None], fresh, values[:, :, None] * right))

    def kernel(self, phi: Tensor) -> tuple[Tensor, Tensor | None]:
        """Kernel and bias for one phi of shape (conditions,)."""
        # The sum is written out: it exports to plain multiplications and additions.
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        slopes = self.slopes()
        for index in range(len(phi)):
            weight = weight + phi[index] * slopes[index]
            if bias is not None and self.bias_slope is not None:
                bias = bias + phi[index] * self.bias_slope[index]
        return weight, bias

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The ordinary convolution with this layer's geometry."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the kernels of the level that the enclosing `Hypernetwork` was called with."""
        phi = _phi.get(None)
        if phi is None:
            raise UsageError(
                "an adjustable convolution needs a level: call the Hypernetwork that holds it, "
                "without gradient checkpointing inside of it"
            )
        if phi.ndim == 1:
            return self.convolve(x, *self.kernel(phi))
        # One level per sample or pixel: conv(x, c * W + B) = c * conv(x, W) + conv(x, B).
        result = self.convolve(x, self.weight, self.bias)
        if phi.shape[-2:] != (1, 1):
            phi = _pooled(phi, result.shape[-2], result.shape[-1])
        for index, slope in enumerate(self.slopes()):
            bias = None if self.bias_slope is None else self.bias_slope[index]
            result = result + phi[:, index : index + 1] * self.convolve(x, slope, bias)
        return result

    def ordinary(self, phi: Tensor) -> Convolution:
        """The ordinary layer for one phi of shape (conditions,)."""
        raise NotImplementedError

    def _fill(self, layer: Convolution, phi: Tensor) -> Convolution:
        weight, bias = self.kernel(phi)
        layer.weight = nn.Parameter(weight)
        layer.bias = None if bias is None else nn.Parameter(bias)
        return layer.train(self.training)


def _computes_otherwise(convolution: Convolution) -> bool:
    """Whether a subclass does more in its forward than the layer of torch that it is made from."""
    ordinary = nn.Conv2d if isinstance(convolution, nn.Conv2d) else nn.ConvTranspose2d
    return any(
        getattr(type(convolution), name) is not getattr(ordinary, name)
        for name in ("forward", "_conv_forward", "_output_padding")
        if hasattr(ordinary, name)
    )


class HyperConv2d(_HyperConvolution):
    """A `torch.nn.Conv2d` whose kernel and bias are affine in phi(level).

    Args:
        convolution: The layer to start from; its kernel becomes B.
        conditions: Number of pure numbers in phi: basis functions times level axes.
        rank: Rank of W as a matrix (out, in * height * width); None for full rank, as in the paper.
    """

    def __init__(self, convolution: nn.Conv2d, *, conditions: int = 1, rank: int | None = None) -> None:
        super().__init__(convolution, conditions=conditions, rank=rank)
        self.padding_mode = convolution.padding_mode
        self.border = convolution._reversed_padding_repeated_twice

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The ordinary convolution with this layer's geometry."""
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self.border, mode=self.padding_mode), (0, 0)
        return F.conv2d(x, weight, bias, self.stride, padding, self.dilation, self.groups)

    def ordinary(self, phi: Tensor) -> nn.Conv2d:
        """The ordinary layer for one phi of shape (conditions,)."""
        out_channels, in_channels, *size = self.layout
        layer = nn.Conv2d(
            in_channels * self.groups, out_channels, tuple(size), self.stride, self.padding,  # type: ignore[arg-type]
            self.dilation, self.groups, padding_mode=self.padding_mode, device="meta",  # type: ignore[arg-type]
        )  # fmt: skip
        self._fill(layer, phi)
        return layer


class HyperConvTranspose2d(_HyperConvolution):
    """A `torch.nn.ConvTranspose2d` whose kernel and bias are affine in phi(level).

    Args:
        convolution: The layer to start from; its kernel becomes B.
        conditions: Number of pure numbers in phi: basis functions times level axes.
        rank: Rank of W as a matrix (in, out * height * width); None for full rank.
    """

    def __init__(
        self, convolution: nn.ConvTranspose2d, *, conditions: int = 1, rank: int | None = None
    ) -> None:
        super().__init__(convolution, conditions=conditions, rank=rank)
        self.output_padding = convolution.output_padding

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The ordinary transposed convolution with this layer's geometry."""
        return F.conv_transpose2d(
            x, weight, bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation  # type: ignore[arg-type]
        )  # fmt: skip

    def ordinary(self, phi: Tensor) -> nn.ConvTranspose2d:
        """The ordinary layer for one phi of shape (conditions,)."""
        in_channels, out_channels, *size = self.layout
        layer = nn.ConvTranspose2d(
            in_channels, out_channels * self.groups, tuple(size), self.stride, self.padding,  # type: ignore[arg-type]
            self.output_padding, self.groups, dilation=self.dilation, device="meta",  # type: ignore[arg-type]
        )  # fmt: skip
        self._fill(layer, phi)
        return layer


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
        token = _phi.set(phi)
        try:
            return self.network(image)  # type: ignore[no-any-return]
        finally:
            _phi.reset(token)


def _warn_of_far(scale: LevelScale, levels: Tensor) -> None:
    """Warn of levels beyond the scale, where the kernels go on in a straight line and pictures go to ruin."""
    if torch.compiler.is_compiling() or levels.device.type != "cpu" or not levels.numel():
        return
    for level in torch.stack(levels.detach().aminmax()).tolist():
        if not scale.low <= level <= scale.high:
            warnings.warn(
                f"{scale.unit} {level:g} lies outside the scale of this network, {scale.low:g} to "
                f"{scale.high:g}: the result means nothing",
                ExtrapolationWarning,
                stacklevel=3,
            )
            return


def take_over(network: Hypernetwork, other: Hypernetwork) -> None:
    """Copy the weights of another network that differs at most in the ranks of its W.

    Where they differ, W is cut to its largest singular values, which is the nearest of that rank.

    Raises:
        RuntimeError: It differs in more.
    """
    state, theirs = other.state_dict(), dict(other.named_modules())
    for name, layer in network.named_modules():
        source = theirs.get(name)
        if not isinstance(layer, _HyperConvolution) or not isinstance(source, _HyperConvolution):
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


def _pooled(phi: Tensor, height: int, width: int) -> Tensor:
    """Average a map (b, conditions, h, w) to another resolution."""
    rows, columns = phi.shape[-2] // height, phi.shape[-1] // width
    if rows * height == phi.shape[-2] and columns * width == phi.shape[-1]:
        return F.avg_pool2d(phi, (int(rows), int(columns)))  # graphs have no adaptive pooling of any size
    return F.adaptive_avg_pool2d(phi, (height, width))


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Mirror (b, c, h, w) at the right and bottom edge until both sides are multiples."""
    for axis, length in ((-2, image.shape[-2]), (-1, image.shape[-1])):
        if length % multiple:
            # F.pad mirrors only what is larger than the padding.
            period = max(1, 2 * length - 2)
            index = torch.arange(length + -length % multiple, device=image.device) % period
            image = image.index_select(axis, torch.minimum(index, period - index))
    return image


def _replace(module: nn.Module, choose: Callable[[str, nn.Module], nn.Module | None]) -> nn.Module:
    """Replace modules in place, also where one module is used in several places; return the root."""
    chosen = {child: choose(name, child) for name, child in module.named_modules()}
    for parent in list(module.modules()):
        for name, child in parent._modules.items():
            if child is not None and chosen.get(child) is not None:
                parent._modules[name] = chosen[child]
    return chosen[module] or module


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
        return layer.ordinary(phi) if isinstance(layer, _HyperConvolution) else None

    # deepcopy of the large W and B would be thrown away at once, so the adjustable layers are not copied.
    kept: dict[int, object] = {
        id(layer): layer for layer in network.modules() if isinstance(layer, _HyperConvolution)
    }
    return _replace(copy.deepcopy(network.network, kept), choose)
