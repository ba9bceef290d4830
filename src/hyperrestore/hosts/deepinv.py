"""The denoiser as deepinv calls one: `denoiser(x, sigma)`, with sigma in units of [0, 1].

It is an ordinary torch module and does not import deepinv, so any plug-and-play program can use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hyperrestore.errors import LevelError, MissingExtraError, UsageError
from hyperrestore.level import Task
from hyperrestore.network.checkpoint import load_checkpoint
from hyperrestore.restore.restorer import model_path

try:
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError as error:
    raise MissingExtraError("this denoiser needs torch: pip install 'hyperrestore[torch]'") from error

from hyperrestore.hosts.tensors import without_tint
from hyperrestore.network.architectures import load_network

WHITE = 255  # sigma of the model is on the 8-bit scale


class Denoiser(nn.Module):
    """A denoiser that is differentiable in its image and in sigma.

    Its parameters are fixed; `requires_grad_(True)` makes them trainable.

    Args:
        model: "denoise", or the path of a checkpoint that removes noise.
        device: A torch device.

    Raises:
        CheckpointError: There is no such model, or it is damaged.
        UsageError: The model repairs something else.

    Example:
        >>> denoiser = Denoiser()
        >>> denoiser(torch.rand(1, 3, 37, 31), 25 / 255).shape
        torch.Size([1, 3, 37, 31])
    """

    def __init__(self, model: str | Path = Task.DENOISE, *, device: str | torch.device | None = None) -> None:
        super().__init__()
        checkpoint = load_checkpoint(model_path(model))
        description = checkpoint.description
        if description.task != Task.DENOISE:
            raise UsageError(
                f"{model} is for {description.task}; give 'denoise', or a model that removes noise"
            )
        self.scale = description.scale
        self.network = load_network(checkpoint).requires_grad_(False).eval()
        self.to(device)

    def forward(self, x: Tensor, sigma: float | Sequence[float] | Tensor) -> Tensor:
        """Remove noise.

        Args:
            x: Images (b, 1 or 3, h, w) of any size, grey or RGB, values about [0, 1].
            sigma: Standard deviation of the noise, in the units of `x`: a number; one for each image, (b,) or
                (b, 1, 1, 1); or one for each pixel, (b or 1, 1, h, w).

        Returns:
            Restored images of the same shape and type, not clipped. Where sigma is 0 they stay as they are.

        Raises:
            UsageError: `x` or `sigma` has another shape.
            LevelError: The model does not accept sigma.

        Warns:
            ExtrapolationWarning: Sigma is larger than the model was trained for.
        """
        if x.ndim != 4 or x.shape[1] not in (1, 3) or not x.numel():
            raise UsageError(f"images are (b, 1 or 3, h, w), got {tuple(x.shape)}")
        parameter = next(self.parameters())
        levels = self._levels(sigma, x).to(parameter)
        image = x.to(parameter).expand(-1, 3, -1, -1)
        restored = without_tint(image, self.network(image, levels))
        restored = torch.where(levels == self.scale.origin, image, restored)
        return restored[:, : x.shape[1]].to(x.dtype)

    def _levels(self, sigma: float | Sequence[float] | Tensor, x: Tensor) -> Tensor:
        """Sigma on the 8-bit scale: (1,) for all images, or (b or 1, 1, 1 or h, 1 or w)."""
        levels = WHITE * torch.as_tensor(sigma, dtype=torch.float64 if x.device.type == "cpu" else x.dtype)
        batch, _, height, width = x.shape
        if levels.numel() == 1:
            levels = levels.reshape(1)
        elif levels.shape == (batch,):
            levels = levels[:, None, None, None]
        elif levels.shape not in {(n, 1, *side) for n in (1, batch) for side in ((1, 1), (height, width))}:
            raise UsageError(
                f"sigma of shape {tuple(levels.shape)} does not fit images {tuple(x.shape)}: give a number, "
                f"one for each image ({batch},), or one for each pixel ({batch}, 1, {height}, {width})"
            )
        for extreme in torch.stack(levels.detach().aminmax()).tolist():
            self._check(round(extreme, 4))
        return levels.clamp(self.scale.low, self.scale.high)

    def _check(self, level: float) -> None:
        low, high = self.scale.low, self.scale.high
        if not low <= level <= high:
            raise LevelError(
                f"sigma {level / WHITE:g} is not accepted: this model takes {low / WHITE:g} to "
                f"{high / WHITE:.4g}, which is {low:g} to {high:g} on the 8-bit scale"
            )
        self.scale.check(level)
