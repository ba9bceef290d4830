"""Convolutions whose kernels follow a level: kernel = phi(level) . W + B.

They find the level, however deep they lie in a module that knows nothing of levels, through a context
variable that lives only as long as the call of the network and is separate in every thread.
"""

from __future__ import annotations

from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hyperrestore.errors import UsageError

Convolution = nn.Conv2d | nn.ConvTranspose2d

# (conditions,), (b, conditions, 1, 1) or (b, conditions, h, w): the level that a network is called with.
current_phi: ContextVar[Tensor] = ContextVar("phi")


class HyperConvolution(nn.Module):
    """What the two adjustable convolutions share: B, W, and the sum phi . W + B.

    Kernels are laid out as in the ordinary layer. W is stored whole, or as the product of two factors of
    rank `rank` where that is smaller.
    """

    def __init__(self, convolution: Convolution, *, conditions: int, rank: int | None) -> None:
        super().__init__()
        if convolution._forward_hooks or convolution._forward_pre_hooks or _computes_otherwise(convolution):
            raise UsageError(
                f"{type(convolution).__name__} computes more than a convolution (its own forward, or hooks): "
                "exclude it with `select`"
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
        if self.training and torch.is_grad_enabled():
            return self._kernel_in_training(phi)
        # The sum is written out: it exports to plain multiplications and additions.
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        slopes = self.slopes()
        for index in range(len(phi)):
            weight = weight + phi[index] * slopes[index]
            if bias is not None and self.bias_slope is not None:
                bias = bias + phi[index] * self.bias_slope[index]
        return weight, bias

    def _kernel_in_training(self, phi: Tensor) -> tuple[Tensor, Tensor | None]:
        """The same, to within rounding, with gradients that take no memory of the size of W."""
        column = phi.view(-1, 1)
        bias: Tensor | None = self.bias
        if bias is not None and self.bias_slope is not None:
            bias = bias + (column * self.bias_slope).sum(0)
        if hasattr(self, "slope"):
            weighted = (
                number * slope for number, slope in zip(phi.unbind(), self.slope.unbind(), strict=True)
            )
            return sum(weighted, self.weight), bias
        # The sum over all conditions is one product of matrices.
        left = (column.unsqueeze(2) * self.slope_left).transpose(0, 1).flatten(1)
        change = left @ self.slope_right.flatten(0, 1)
        return self.weight + change.view(self.layout), bias

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The ordinary convolution with this layer's geometry."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the kernels of the level that the enclosing `Hypernetwork` was called with."""
        phi = current_phi.get(None)
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


class HyperConv2d(HyperConvolution):
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


class HyperConvTranspose2d(HyperConvolution):
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


def _computes_otherwise(convolution: Convolution) -> bool:
    """Whether a subclass does more in its forward than the layer of torch that it is made from."""
    ordinary = nn.Conv2d if isinstance(convolution, nn.Conv2d) else nn.ConvTranspose2d
    return any(
        getattr(type(convolution), name) is not getattr(ordinary, name)
        for name in ("forward", "_conv_forward", "_output_padding")
        if hasattr(ordinary, name)
    )


def _pooled(phi: Tensor, height: int, width: int) -> Tensor:
    """Average a map (b, conditions, h, w) to another resolution."""
    rows, columns = phi.shape[-2] // height, phi.shape[-1] // width
    if rows * height == phi.shape[-2] and columns * width == phi.shape[-1]:
        return F.avg_pool2d(phi, (int(rows), int(columns)))  # graphs have no adaptive pooling of any size
    return F.adaptive_avg_pool2d(phi, (height, width))
