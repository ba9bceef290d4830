"""The networks: the paper's, and ours; plain modules that `hyper.hyperize` makes adjustable.

All take (b, 3, h, w) of any size from 1x1 up, and see no farther than `receptive_radius`. They return the
same size, except the network for upscaling: it returns sub-pixels, a fixed number for each pixel.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hyperrestore.errors import CheckpointError, RecipeError, UsageError
from hyperrestore.level import LevelScale
from hyperrestore.network.checkpoint import Checkpoint
from hyperrestore.network.hyper import Hypernetwork, hyperize, pad_to_multiple
from hyperrestore.tables import from_table


@dataclass(frozen=True)
class NetworkConfig:
    """What a network is made of.

    Attributes:
        kind: "paper" for the HyperRes network, "unet" for ours, "subpixel" for ours that upscales: it works
            on the small picture and returns sub-pixels.
        widths: Channels at each resolution, finest first; of the paper's network, at half resolution.
        blocks: Residual blocks at each resolution; a U-net has them on the way down and on the way up.
        rank: Rank of W (see `hyper.hyperize`); 0 for full rank.
        shuffle: A U-net's finest resolution is the picture's divided by it: every shuffle x shuffle pixels
            become channels of one (pixel unshuffle).
        full_to: Convolutions with at most so many channels have a W of full rank, whatever `rank` says.
        subpixels: Sub-pixels along each side of a pixel, 2 or more for the kind that returns them; 1 for the
            kinds that return the size they get.
    """

    kind: Literal["paper", "unet", "subpixel"]
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    rank: int = 0
    shuffle: int = 1
    full_to: int = 0
    subpixels: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.kind not in ("paper", "unet", "subpixel"):
            raise RecipeError(
                f"network kind {self.kind!r} is unknown; known are 'paper', 'unet' and 'subpixel'"
            )
        if not self.widths or len(self.widths) != len(self.blocks) or min(self.widths) < 1:
            raise RecipeError(f"widths {self.widths} and blocks {self.blocks} need one entry per resolution")
        paper = self.kind == "paper"
        if min(self.blocks) < 0 or self.rank < 0 or (paper and len(self.widths) != 1):
            raise RecipeError(f"blocks {self.blocks}, rank {self.rank} do not fit network kind {self.kind!r}")
        if self.shuffle < 1 or (self.kind != "unet" and self.shuffle != 1):
            raise RecipeError(f"shuffle {self.shuffle} does not fit network kind {self.kind!r}")
        if self.subpixels < 1 or (self.kind == "subpixel") != (self.subpixels > 1):
            raise RecipeError(
                f"subpixels {self.subpixels} do not fit network kind {self.kind!r}: kind 'subpixel' has 2 or "
                "more, others have 1"
            )


PAPER = NetworkConfig("paper", widths=(64,), blocks=(16,))


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) -> the same shape."""
        return x + self.second(F.relu(self.first(x)))  # type: ignore[no-any-return]


def _residual_blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


class PaperNetwork(nn.Module):
    """The main network of HyperRes (arXiv 2206.05970): residual blocks at half resolution.

    It predicts the restored picture itself.
    """

    multiple = 2

    def __init__(self, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.body = _residual_blocks(width, blocks)
        self.after = nn.Conv2d(width, width, 3, padding=1)
        self.enlarge = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.refine = nn.Conv2d(width, width, 3, padding=1)
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, 3, h, w), values about [0, 1], not clipped."""
        height, width = image.shape[-2:]
        coarse = self.head(pad_to_multiple(image, self.multiple))  # (b, 64, h/2, w/2)
        coarse = coarse + self.after(self.body(coarse))
        fine = F.relu(F.pixel_shuffle(self.enlarge(coarse), 2))  # (b, 64, h, w)
        restored: Tensor = self.tail(F.relu(self.refine(fine)))
        return restored[..., :height, :width]


class RestorationUNet(nn.Module):
    """Ours: residual blocks at several resolutions, joined by strided convolutions and additions.

    It predicts what is to be added to the picture, and adds it in the picture's own precision.
    """

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], *, shuffle: int = 1) -> None:
        super().__init__()
        self.shuffle = shuffle
        self.multiple: int = shuffle * 2 ** (len(widths) - 1)
        *finer, deepest = blocks
        self.head = nn.Conv2d(3 * shuffle**2, widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(map(_residual_blocks, widths, finer))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairwise(widths))
        self.middle = _residual_blocks(widths[-1], deepest)
        # 1x1 and pixel shuffle: a transposed 2x2 convolution in the form that runtimes compute fastest.
        self.up = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in pairwise(widths))
        self.decoders = nn.ModuleList(map(_residual_blocks, widths, finer))
        self.tail = nn.Conv2d(widths[0], 3 * shuffle**2, 3, padding=1)

    def residual(self, image: Tensor) -> Tensor:
        """What to add to an image whose sides are multiples of `multiple`."""
        features = self.features(F.pixel_unshuffle(image, self.shuffle))
        return F.pixel_shuffle(self.tail(features), self.shuffle)

    def features(self, image: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, width, h, w), what the last convolution reads."""
        x = self.head(image)
        skips = []
        for encoder, down in zip(self.encoders, self.down, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)  # (b, next width, half as high, half as wide)
        x = self.middle(x)
        for up, decoder in zip(reversed(self.up), reversed(self.decoders), strict=True):
            x = decoder(F.pixel_shuffle(up(x), 2) + skips.pop())
        return x  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, 3, h, w), values about [0, 1], not clipped."""
        height, width = image.shape[-2:]
        return image + self.residual(pad_to_multiple(image, self.multiple))[..., :height, :width]


class SubpixelNetwork(RestorationUNet):
    """Ours for upscaling: features at the small picture's own resolution, and sub-pixels at the end.

    It predicts what is to be added to the cubic enlargement, on a grid `subpixels` times as fine as the
    picture, whatever the scale. `upscaling.enlarged` resamples that grid to the requested size.

    It starts as the cubic enlargement: its last convolution is zero.
    """

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], *, subpixels: int) -> None:
        super().__init__(widths, blocks)
        self.subpixels = subpixels
        self.tail = nn.Conv2d(widths[0], 3 * subpixels**2, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        if self.tail.bias is not None:
            nn.init.zeros_(self.tail.bias)

    def residual(self, image: Tensor) -> Tensor:
        """Sub-pixels (b, 3, subpixels * h, subpixels * w) of an image with sides multiples of `multiple`."""
        return F.pixel_shuffle(self.tail(self.features(image)), self.subpixels)

    def forward(self, image: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, 3, subpixels * h, subpixels * w), what to add to the cubic enlargement."""
        height, width = (side * self.subpixels for side in image.shape[-2:])
        return self.residual(pad_to_multiple(image, self.multiple))[..., :height, :width]


def build_plain(config: NetworkConfig) -> PaperNetwork | RestorationUNet:
    """Build the ordinary network: for one level, or to be made adjustable."""
    if config.kind == "paper":
        return PaperNetwork(config.widths[0], config.blocks[0])
    if config.kind == "subpixel":
        return SubpixelNetwork(config.widths, config.blocks, subpixels=config.subpixels)
    return RestorationUNet(config.widths, config.blocks, shuffle=config.shuffle)


def build(config: NetworkConfig, scale: LevelScale | Sequence[LevelScale]) -> Hypernetwork:
    """Build the adjustable network with fresh weights; several scales are several level axes.

    Of the paper's network only the residual blocks are adjustable, of ours every convolution.
    """
    plain = build_plain(config)
    in_body = config.kind == "paper"
    return hyperize(
        plain,
        scale,
        select=lambda name, _: not in_body or name.startswith("body."),
        rank=config.rank or None,
        full_to=config.full_to,
    )


def load_network(checkpoint: Checkpoint) -> Hypernetwork:
    """Build a checkpoint's adjustable network with its weights, in fp32.

    Raises:
        CheckpointError: The weights do not fit the network.
    """
    description = checkpoint.description
    tensors = {name: torch.from_numpy(tensor).float() for name, tensor in checkpoint.tensors.items()}
    try:
        network = build(from_table(NetworkConfig, description.network), description.scales)
        network.load_state_dict(tensors)
    except (ValueError, RuntimeError, UsageError) as error:
        raise CheckpointError(f"the checkpoint's weights do not fit its network: {error}") from error
    return network


def count_parameters(network: nn.Module) -> int:
    """Number of stored values."""
    return sum(parameter.numel() for parameter in network.parameters())


def multiply_adds(network: nn.Module, *, size: int = 64) -> float:
    """Multiply-adds of an ordinary network's convolutions, per pixel of a (1, 3, size, size) input."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        kernel = layer.weight[0].numel()  # type: ignore[index]
        total += kernel * (inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output)[0].numel()

    handles = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    try:
        with torch.no_grad():
            network(next(network.parameters()).new_zeros(1, 3, size, size))
    finally:
        for handle in handles:
            handle.remove()
    return total / size**2


def receptive_radius(network: nn.Module, *, multiple: int) -> int:
    """How many pixels away an ordinary network's output can depend on its input.

    Measured on the network itself: with every weight positive and every bias zero nothing can cancel and
    no ReLU closes, so the gradient is non-zero exactly where the output depends on the input.

    For a U-net it can be added up. A 3x3 convolution sees 1 pixel of its resolution to each side, a residual
    block 2. With blocks (1, 2, 2, 2), as in the model for noise, that is 1 + 2 + 8 + 16 on the way down, 32
    at an eighth of the resolution, and 16 + 8 + 2 + 1 on the way up: 86. Strided convolutions group pixels
    into cells of 8, and the farthest pixel of a cell adds 7, so the radius is 93.

    Args:
        network: An ordinary network (see `hyper.materialize`) on (b, 3, h, w).
        multiple: Product of its strides, pixels: the output is looked at in that many phases.

    Returns:
        Radius in pixels: the largest over both axes and all phases.
    """
    probe = copy.deepcopy(network).double().requires_grad_(False)
    for parameter in probe.parameters():
        # Averages, so that values neither overflow nor vanish however deep the network is.
        parameter.fill_(1 / parameter[0].numel() if parameter.ndim > 1 else 0)

    def reach(transpose: bool, length: int) -> int:
        shape = (1, 3, length, multiple) if transpose else (1, 3, multiple, length)
        across = (0, 1, 3) if transpose else (0, 1, 2)
        image = torch.ones(shape, dtype=torch.double, requires_grad=True)
        line = probe(image).mean(dim=across)
        line = line.view(length, -1).sum(1)  # a pixel's sub-pixels together
        farthest = 0
        for position in range(length // 2, length // 2 + multiple):
            (gradient,) = torch.autograd.grad(line[position], image, retain_graph=True)
            seen = gradient.sum(dim=across).nonzero()
            farthest = max(farthest, int((seen - position).abs().max()))
        return farthest

    length = 32 * multiple
    while (radius := max(reach(False, length), reach(True, length))) >= length // 2 - multiple:
        length *= 2
    return radius
