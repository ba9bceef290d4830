"""One stage of a method is trained: the project's batches, loss, optimiser and schedule, in one loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from adaptive.interface import Method, Setting, Stage
from torch import Tensor, nn

from hyperrestore.errors import TrainingError
from hyperrestore.learn.batch import Batch, draw_batch
from hyperrestore.learn.optimizer import Optimizer
from hyperrestore.learn.photos import Photos
from hyperrestore.learn.recipe import Recipe
from hyperrestore.learn.schedule import Schedule
from hyperrestore.learn.step import loss_of
from hyperrestore.network.architectures import NetworkConfig


@dataclass(frozen=True)
class Budget:
    """What a training costs. Every method, a network for one level included, sees 2 * steps * crops crops.

    Attributes:
        steps: Half of those of a method.
        crops: That pass the network in a step, of all levels together.
        crop: Side of a crop, pixels; 0 for that of the recipe.
        seed: Of the crops, and of what is done to them.
    """

    steps: int
    crops: int
    crop: int
    seed: int


def stage_recipe(base: Recipe, setting: Setting, stage: Stage, budget: Budget) -> Recipe:
    """The project's recipe with the levels of a stage, and nothing that fixed levels do not have."""
    count = len(stage.levels) or base.training.levels_per_step
    trained = (min(stage.levels), max(stage.levels)) if stage.levels else stage.span
    training = replace(
        base.training,
        levels=stage.levels,
        levels_per_step=count,
        whole_share=1.0 if setting.task == "dejpeg" else 0.0,
        crops_per_level=math.ceil(budget.crops / count),
        shared_crops=False,
        crop=budget.crop or base.training.crop,
        grey_share=0.0,
        clipped_share=0.0,
        seed=budget.seed,
    )
    network = NetworkConfig("paper", (setting.width,), (setting.blocks,))
    scale = replace(base.scale, trained=trained)
    steps = stage_steps(training.crops_per_level * count, stage, budget)
    training = replace(training, warmup=max(1, min(training.warmup, steps // 10)), validate_at=trained[:1])
    return replace(base, network=network, scale=scale, training=training)


def stage_steps(crops: int, stage: Stage, budget: Budget) -> int:
    """Steps of so many crops that a stage takes: equal stages see equally many crops."""
    return max(1, round(stage.steps * budget.steps * budget.crops / crops))


def stage_crops(recipe: Recipe, stage: Stage, budget: Budget) -> int:
    """Crops that pass the network in a whole stage."""
    in_step = recipe.training.crops_per_level * recipe.training.levels_per_step
    return in_step * stage_steps(in_step, stage, budget)


def trained_part(method: Method, stage: Stage) -> nn.Module:
    """What a stage trains."""
    assert isinstance(method, nn.Module)
    return method.get_submodule(stage.part)


def train_stage(
    method: Method,
    stage: Stage,
    recipe: Recipe,
    photos: Photos,
    budget: Budget,
    *,
    bf16: bool,
    progress: Callable[[int, int], None],
) -> None:
    """Train a part of a method and leave it with the average of its weights.

    Args:
        method: On the photos' device, after the stages before this one.
        stage: One of the method's.
        recipe: That of `stage_recipe`.
        photos: Clean photos.
        budget: That of `recipe`.
        bf16: Compute in bf16 where that is safe.
        progress: Called after each step with the number of steps done, and of all.

    Raises:
        TrainingError: The loss is no longer a number.
    """
    part, device = trained_part(method, stage), photos.pixels.device
    assert isinstance(method, nn.Module)
    method.requires_grad_(False)
    part.requires_grad_(True)
    run = _main_alone(part) if stage.part == "main" else method
    training = recipe.training
    optimizer = Optimizer(
        part.named_parameters(), training.optimizer, training.slope_rate, training.weight_decay
    )
    weights = [parameter.detach() for parameter in part.parameters()]
    average = [weight.clone() for weight in weights]
    generator = torch.Generator(device).manual_seed(budget.seed)
    steps = stage_steps(training.crops_per_level * training.levels_per_step, stage, budget)
    schedule = Schedule(None, steps)
    for step in range(steps):
        batch = draw_batch(recipe, photos, generator)
        assert isinstance(batch, Batch)
        loss = _backward(run, batch, recipe, bf16=bf16)
        torch.nn.utils.clip_grad_norm_(part.parameters(), training.clip)
        optimizer.step(schedule.learning_rate(training, step, step / steps))
        decay = min(training.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, weights, 1 - decay)
        if (step % 100 == 0 or step + 1 == steps) and not math.isfinite(float(loss)):
            raise TrainingError(
                f"the loss is {float(loss)} at step {step + 1}; give more --steps or fewer --blocks"
            )
        progress(step + 1, steps)
    torch._foreach_copy_(weights, average)


def _main_alone(main: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    def run(image: Tensor, level: Tensor) -> Tensor:
        restored: Tensor = main(image)
        return restored

    return run


def _backward(run: Callable[[Tensor, Tensor], Tensor], batch: Batch, recipe: Recipe, *, bf16: bool) -> Tensor:
    """Add up the gradients of all levels' losses; their mean loss."""
    total = batch.levels.new_zeros(())
    for level, degraded, clean in zip(batch.levels, batch.degraded, batch.clean, strict=True):
        with torch.autocast(degraded.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            restored = run(degraded.to(memory_format=torch.channels_last), level)
        loss = loss_of(restored.float(), clean, recipe.training)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach() / len(batch.levels)
    return total
