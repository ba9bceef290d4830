"""The optimiser of a training: AdamW for every parameter, or Muon for the kernels and AdamW for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

Kind = Literal["adamw", "muon"]
SMALLEST_MATRIX = 8  # rows and columns
ENDS = frozenset({"head", "tail"})  # a network's first and last convolution


class Optimizer:
    """Steps parameters by their gradients, each time at a given rate.

    Muon orthogonalises the update of a matrix, so that a step moves all its directions alike; a kernel
    is a matrix (out, in * height * width), and the factors of a low-rank W are matrices. Its updates are
    scaled to the size of AdamW's, so that both use the same rate. Biases, kernels of few channels, and
    a network's first and last convolution use AdamW. Source: K. Jordan et al., "Muon: an optimizer for
    hidden layers in neural networks", 2024; the scale is from J. Liu et al., arXiv 2502.16982.

    Args:
        parameters: Names and parameters, in the memory where they stay.
        kind: "adamw" for all of them, or "muon".
        slope_rate: Rate of W and the slopes of biases, as a share of the others' rate.
        weight_decay: Each step shrinks kernels, not biases, by this times their rate (decoupled weight decay,
            I. Loshchilov and F. Hutter, arXiv 1711.05101).
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        kind: Kind,
        slope_rate: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        parameters = list(parameters)
        self._parameters = [parameter.detach() for _, parameter in parameters]
        on_cuda = any(parameter.is_cuda for parameter in self._parameters)
        self._held: dict[str, Tensor] = {}  # what has a state of its own, by name
        self._matrices: list[tuple[nn.Parameter, list[Tensor]]] = []  # in their parameter's memory
        rest: dict[tuple[float, float], list[Tensor]] = {}  # by their share of the rate, and weight decay
        every_matrix: dict[tuple[float, float], list[Tensor]] = {}
        for name, parameter in parameters:
            share = slope_rate if "slope" in name.rpartition(".")[2] else 1.0
            decay = 0.0 if name.rpartition(".")[2].startswith("bias") else weight_decay
            hidden = not ENDS.intersection(name.split("."))
            stack = _as_matrices(parameter.detach()) if kind == "muon" and hidden else None
            if stack is None:
                self._held[name] = parameter
                rest.setdefault((share, decay), []).append(parameter)
                continue
            matrices = [matrix.requires_grad_(parameter.requires_grad) for matrix in stack]
            self._matrices.append((parameter, matrices))
            every_matrix.setdefault((share, decay), []).extend(matrices)
            self._held |= {f"{name}.{index}": matrix for index, matrix in enumerate(matrices)}
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(_groups(rest), fused=True, capturable=on_cuda)
        ]
        if every_matrix:
            self._optimizers.append(torch.optim.Muon(_groups(every_matrix), adjust_lr_fn="match_rms_adamw"))

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """Move every parameter that has a gradient, and drop the gradients.

        Args:
            rate: A number, or a tensor of one value on the parameters' device, which may change when the
                step is replayed as a CUDA graph.
        """
        for parameter, matrices in self._matrices:
            if parameter.grad is not None:
                for matrix, gradient in zip(matrices, _as_matrices(parameter.grad) or (), strict=True):
                    matrix.grad = gradient
                parameter.grad = None
        # Recording a step fixes the rates of torch's optimisers: they step at 1, and `rate` scales that.
        before = [parameter.clone() for parameter in self._parameters]
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        torch._foreach_sub_(self._parameters, before)
        torch._foreach_mul_(self._parameters, rate)
        torch._foreach_add_(self._parameters, before)

    def tensors(self) -> dict[str, Tensor]:
        """The state, by name."""
        return {
            f"{key}.{name}": value
            for name, held in self._held.items()
            for optimizer in self._optimizers
            for key, value in optimizer.state.get(held, {}).items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore a state that `tensors` returned.

        Raises:
            KeyError: A part of it is missing.
        """
        for optimizer in self._optimizers:
            muon = isinstance(optimizer, torch.optim.Muon)
            keys = ("momentum_buffer",) if muon else ("step", "exp_avg", "exp_avg_sq")
            mine = {id(held) for group in optimizer.param_groups for held in group["params"]}
            for name, held in self._held.items():
                if id(held) in mine:
                    values = {key: tensors[f"{key}.{name}"] for key in keys}
                    optimizer.state[held] = {
                        key: torch.empty_like(held).copy_(value) if value.ndim else value.clone()
                        for key, value in values.items()
                    }


def _groups(tensors: Mapping[tuple[float, float], list[Tensor]]) -> list[dict[str, Any]]:
    return [{"params": held, "lr": share, "weight_decay": decay} for (share, decay), held in tensors.items()]


def _as_matrices(tensor: Tensor) -> tuple[Tensor, ...] | None:
    """A kernel, kernels or factors as matrices in the same memory; None if it is neither, or too small."""
    if tensor.ndim not in (3, 4, 5):
        return None
    stack = tensor if tensor.ndim == 3 else tensor.flatten(-3)  # (out, in * h * w), or a stack of them
    stack = stack[None] if stack.ndim == 2 else stack
    return stack.unbind() if min(stack.shape[1:]) >= SMALLEST_MATRIX else None
