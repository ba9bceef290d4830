"""Processes that train one model together, as `torchrun` starts them.

Each draws the same batch from the same randomness and learns from its own part of the crops; the mean of
their gradients is that of the whole batch. So several processes learn what one learns, and a training goes on
with another number of them. What depends on a clock or on a person, the first process decides for all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from hyperrestore.errors import UsageError
from hyperrestore.learn.batch import Batch
from hyperrestore.learn.recipe import Recipe
from hyperrestore.learn.upscaling import UpscalingBatch


@dataclass(frozen=True)
class World:
    """The processes of a training.

    Attributes:
        rank: Number of this one, from 0.
        size: How many there are; one is on its own.
        device: Where this one computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process saves, validates and reports."""
        return self.rank == 0

    def check(self, recipe: Recipe) -> None:
        """Refuse a recipe whose batches cannot be shared equally.

        Raises:
            UsageError: Its crops of a level are no multiple of the processes.
        """
        if recipe.training.crops_per_level % self.size:
            raise UsageError(
                f"{self.size} processes cannot share crops_per_level = {recipe.training.crops_per_level} "
                "equally: start a number of processes that divides it, or change the recipe"
            )

    def part(self, batch: Batch | UpscalingBatch) -> Batch | UpscalingBatch:
        """This process' crops of a batch."""
        if self.size == 1:
            return batch
        return type(batch)(
            *(
                value[:, self.rank :: self.size].contiguous() if name in batch.of_crops else value
                for name, value in zip(batch._fields, batch, strict=True)
            )
        )

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace all gradients by their means over the processes."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(together)
        parts = torch.split(together / self.size, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def of_first(self, *values: float) -> list[float]:
        """The values that the first process has."""
        if self.size == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return [float(value) for value in shared.tolist()]

    def any(self, condition: bool) -> bool:
        """Whether a condition holds in any process."""
        if self.size == 1:
            return condition
        shared = torch.tensor(float(condition), device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return bool(shared)


def join(device: torch.device) -> World:
    """The world that `torchrun` has started this process in; without it, one process on its own.

    Args:
        device: Where to compute; of several GPUs each process of a machine takes another.

    Raises:
        UsageError: A GPU is named by its number, and there are several processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(0, 1, device)
    if device.type == "cuda":
        if device.index is not None:
            raise UsageError(
                f"each of {size} processes takes a GPU of its own: give --device cuda, not {device}"
            )
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(dist.get_rank(), dist.get_world_size(), device)


def was_restarted() -> bool:
    """Whether `torchrun` has started this process again because one of them had ended early."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
