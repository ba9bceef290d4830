"""One step of training: forward, loss, backward, and the weights moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from hyperrestore.learn.batch import Batch
from hyperrestore.learn.cuda_graph import Recorded
from hyperrestore.learn.recipe import Training
from hyperrestore.learn.state import Run
from hyperrestore.learn.upscaling import UpscalingBatch, upscaled
from hyperrestore.learn.world import World
from hyperrestore.network.hyper import Hypernetwork


def step_of(run: Run, world: World) -> Callable[..., Tensor]:
    """What takes a step of a run: from a rate and the tensors of a batch to the mean loss (see `learn`).

    On a GPU it is recorded, unless several processes wait for each other in it.
    """
    step = partial(learn, run, world, bf16=run.bf16)
    return Recorded(step) if run.device.type == "cuda" and world.size == 1 else step


def learn(run: Run, world: World, rate: Tensor, *tensors: Tensor, bf16: bool) -> Tensor:
    """Take one step, at a rate of one value, from the tensors of a batch; return its mean loss."""
    if run.recipe.network.kind == "subpixel":
        losses = upscaling_losses(run, UpscalingBatch(*tensors), bf16=bf16)
    else:
        losses = losses_of(run, Batch(*tensors), bf16=bf16)
    loss = torch.zeros((), device=run.device)
    for level_loss in losses:
        level_loss.backward()  # type: ignore[no-untyped-call]
        loss += level_loss.detach() / len(tensors[0])
    world.average_gradients(run.network.parameters())
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), run.recipe.training.clip)
    run.optimizer.step(rate)
    return loss


def losses_of(run: Run, batch: Batch, *, bf16: bool) -> Iterator[Tensor]:
    """The loss at each level of a batch."""
    for level, degraded, clean, weaker, noisy in zip(*batch, strict=True):
        # No cache: in older versions of torch it keeps tensors that were cast without a gradient.
        with torch.autocast(run.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            targets = targets_of(run.network, clean, weaker, noisy, level)
            restored = run.network(degraded.to(memory_format=torch.channels_last), level)
        yield loss_of(restored.float(), targets, run.recipe.training)


def upscaling_losses(run: Run, batch: UpscalingBatch, *, bf16: bool) -> Iterator[Tensor]:
    """The loss at each scale of a batch; the canvas beyond a crop does not count."""
    for level, small, clean, enlarge, place, share in zip(*batch, strict=True):
        with torch.autocast(run.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            restored = upscaled(run.network, small, level, enlarge, place)
        yield loss_of(restored, clean, run.recipe.training, share=share)


@torch.no_grad()
def targets_of(network: Hypernetwork, clean: Tensor, weaker: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
    """The targets of crops (b, 3, h, w) at a level: the crops themselves, except those with weaker noise.

    The target of the latter is the network's result for the full noise of the level. So the detail that a
    level removes depends on the level alone, and contrast and colours stay.

    Args:
        network: In its present state.
        clean: (b, 3, h, w).
        weaker: Which of them have weaker noise, (b, 1, 1, 1); all of these are among the first m.
        noisy: The first m with the full noise, (m, 3, h, w).
        level: A tensor of one value.
    """
    count = len(noisy)
    # A GPU is not asked: the answer would be waited for, and a recorded step does the same every time.
    if not count or (weaker.device.type == "cpu" and not weaker.any()):
        return clean
    restored = network(noisy.to(memory_format=torch.channels_last), level).float()
    return torch.cat([torch.where(weaker[:count], restored, clean[:count]), clean[count:]])


def loss_of(restored: Tensor, target: Tensor, training: Training, *, share: Tensor | float = 1.0) -> Tensor:
    """The loss of one level's crops (b, 3, h, w), of which a share counts; the rest is equal in both."""
    if training.loss == "l1":
        return F.l1_loss(restored, target) / share
    squared = F.mse_loss(restored, target, reduction="none").mean((1, 2, 3)) / share
    # The small number, a thirtieth of an 8-bit step, keeps the gradient finite where there is no error.
    return (squared + 1e-8).sqrt().mean()
