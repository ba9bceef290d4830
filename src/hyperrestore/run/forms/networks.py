"""The networks as a few operations on named values, for file formats that store a network as a list of them.

They follow `network.architectures`, which is the reference: every export is compared with it.
"""

from __future__ import annotations

from typing import Protocol

from hyperrestore.network.architectures import NetworkConfig


class Operations(Protocol):
    """What the networks are made of. A value is known by its name."""

    def convolve(self, layer: str, x: str, *, stride: int = 1, padding: int = 0) -> str:
        """Convolve with the kernels of a layer, named as in the state dict of the network."""

    def relu(self, x: str) -> str:
        """Set negative values to 0."""

    def add(self, x: str, y: str) -> str:
        """Add two values of one shape."""

    def shuffle(self, x: str, factor: int) -> str:
        """(b, c * factor^2, h, w) -> (b, c, factor * h, factor * w), as `torch.nn.PixelShuffle`."""

    def unshuffle(self, x: str, factor: int) -> str:
        """(b, c, factor * h, factor * w) -> (b, c * factor^2, h, w), as `torch.nn.PixelUnshuffle`."""


def network_output(config: NetworkConfig, operations: Operations, image: str) -> str:
    """What a network computes from an image whose sides are multiples of its stride.

    Returns:
        The restored picture for kind "paper". For the others what is to be added: to the image, or, for kind
        "subpixel", to the cubic enlargement.
    """
    return (_paper if config.kind == "paper" else _unet)(config, operations, image)


def _unet(config: NetworkConfig, do: Operations, image: str) -> str:
    *finer, deepest = config.blocks
    x = do.unshuffle(image, config.shuffle) if config.shuffle > 1 else image
    x = do.convolve("head", x, padding=1)
    skips = []
    for index, count in enumerate(finer):
        x = _residual_blocks(do, f"encoders.{index}", count, x)
        skips.append(x)
        x = do.convolve(f"down.{index}", x, stride=2)
    x = _residual_blocks(do, "middle", deepest, x)
    for index, count in reversed(list(enumerate(finer))):
        x = do.add(do.shuffle(do.convolve(f"up.{index}", x), 2), skips.pop())
        x = _residual_blocks(do, f"decoders.{index}", count, x)
    factor = config.subpixels if config.kind == "subpixel" else config.shuffle
    x = do.convolve("tail", x, padding=1)
    return do.shuffle(x, factor) if factor > 1 else x


def _paper(config: NetworkConfig, do: Operations, image: str) -> str:
    coarse = do.convolve("head", image, stride=2, padding=1)
    body = _residual_blocks(do, "body", config.blocks[0], coarse)
    coarse = do.add(coarse, do.convolve("after", body, padding=1))
    fine = do.relu(do.shuffle(do.convolve("enlarge", coarse, padding=1), 2))
    return do.convolve("tail", do.relu(do.convolve("refine", fine, padding=1)), padding=1)


def _residual_blocks(do: Operations, name: str, count: int, x: str) -> str:
    for index in range(count):
        inner = do.relu(do.convolve(f"{name}.{index}.first", x, padding=1))
        x = do.add(x, do.convolve(f"{name}.{index}.second", inner, padding=1))
    return x
