"""Processes that train one model together, as `torchrun` starts them.

Each draws the same batch from the same randomness and learns from its own part of the crops; the mean of
their gradients is that of the whole batch. So several processes learn what one learns, and a training goes on
with another number of them. What depends on a clock or on a person, the first process decides for all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from hyperrestore.errors import UsageError
from hyperrestore.learn.batch import Batch
from hyperrestore.learn.recipe import Recipe
from hyperrestore.learn.state import Run
from hyperrestore.learn.upscaling import UpscalingBatch

_OF_TORCHRUN = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # in the environment


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

    def check_begin(self, run: Run) -> None:
        """Refuse processes that begin at different steps, with different weights or photos.

        As on machines of which only one has the folder of the training, or all photos.

        Raises:
            UsageError: They do; each process raises it.
        """
        if self.size == 1:
            return
        facts = repr((run.step, run.started_from, run.given["photos"]))
        number = int(hashlib.sha256(facts.encode()).hexdigest()[:12], 16)  # exact as a float
        largest = torch.tensor([number, -number], dtype=torch.float64, device=self.device)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        if largest.sum():
            raise UsageError(
                f"process {self.rank} begins at step {run.step} with photos {run.given['photos']}, and "
                "another does not: give all the same photos, and one --out that every machine sees"
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
        UsageError: There are several processes, and a GPU is named by its number, there are fewer GPUs than
            processes, the device is neither CPU nor CUDA, or it was not `torchrun` that started them.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if size == "1":
        return World(0, 1, device)
    if missing := [name for name in _OF_TORCHRUN if name not in os.environ]:
        raise UsageError(
            f"WORLD_SIZE is {size} in the environment, without {', '.join(missing)}: start several processes "
            "by torchrun, or unset WORLD_SIZE to train by one"
        )
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"several processes compute on cpu or cuda, not on {device}: start one")
    if device.type == "cuda":
        if device.index is not None:
            raise UsageError(
                f"each of {size} processes takes a GPU of its own: give --device cuda, not {device}"
            )
        number, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= gpus:
            raise UsageError(
                f"each process takes a GPU of its own, and this machine has {gpus}: start no more processes"
            )
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        _meet("nccl" if device.type == "cuda" else "gloo")
    return World(dist.get_rank(), dist.get_world_size(), device)


def _meet(backend: str) -> None:
    """Connect the processes, each time that `torchrun` starts them under other keys of its store.

    Under the same keys they would find the addresses of those that have ended, and wait for them in vain.
    """
    store, rank, size = next(rendezvous("env://"))
    store = dist.PrefixStore(f"hyperrestore/{_restarts()}", store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def was_restarted() -> bool:
    """Whether `torchrun` has started this process again because one of them had ended early."""
    return _restarts() > 0
