"""Training: a recipe and a folder of photos -> a model. The loop is `_train_on`."""

from __future__ import annotations

import logging
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from hyperrestore.errors import UsageError
from hyperrestore.learn.batch import crop_side, draw_batch
from hyperrestore.learn.custom import find_degradation
from hyperrestore.learn.device import keep_memory
from hyperrestore.learn.interrupt import interruptible
from hyperrestore.learn.log import Log
from hyperrestore.learn.model import MODEL
from hyperrestore.learn.photos import PhotoFile, Photos, find_photos, split_photos, validation_crops
from hyperrestore.learn.recipe import Recipe
from hyperrestore.learn.save import save_all, score_line
from hyperrestore.learn.schedule import Schedule
from hyperrestore.learn.state import STATE, Run, begin, precision_name
from hyperrestore.learn.step import step_of
from hyperrestore.learn.world import World, join, was_restarted
from hyperrestore.network.checkpoint import weights_digest

VALIDATION_CROPS, VALIDATION_SIZE = 32, 256

logger = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    photos: Path,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    stop_after: float = math.inf,
    device: torch.device,
    bf16: bool | None = None,
    resume: bool = False,
    start_from: Path | None = None,
    validate_every: float = 300,
) -> float | None:
    """Train a model until the time or the steps are used up, or Ctrl-C; each leaves a checkpoint.

    Args:
        recipe: What to train.
        photos: Folder of clean photos; one in twenty is held out for validation.
        out: Folder for the model, the training state, the log and the curve.
        minutes: Total training time, including validations and the time before a resume; reading the photos
            and the last validation come on top.
        steps: Total steps; whichever of the two ends first.
        stop_after: Minutes after which this call stops, including reading the photos, even if the training
            has not ended; writing its files comes on top. It does not change the schedule.
        device: Where to train; processes that `torchrun` has started share the crops of each level.
        bf16: Compute in bf16 where it is safe (autocast). None means: if the device is fast in it, or as
            before if resumed.
        resume: Continue from the state in `out`, exactly where it stopped. Processes that `torchrun` starts
            again do so by themselves.
        start_from: A model whose weights to start from, with a new schedule.
        validate_every: Seconds between two validations, each followed by a checkpoint.

    Returns:
        The model's mean validation PSNR, dB; None in all but the first of several processes.

    Raises:
        RecipeError: The recipe names a degradation that there is not, or that returns something else.
        UsageError: Neither minutes nor steps, or `out` already holds a model and `resume` is not set, or
            holds a run of other settings after a restart; or the photos cannot be used; or several processes
            cannot share the crops equally, or begin differently.
        PictureError: A photo cannot be read.
        CheckpointError: The state or the model to start from does not fit the recipe.
        TrainingError: The loss diverged; `out` keeps the state and the model of the last validation.
    """
    schedule = Schedule(minutes, steps)
    restarted = was_restarted() and not resume and (out / STATE).exists()
    resume = resume or restarted
    begins_with = None if resume and was_restarted() else start_from
    _refuse_to_overwrite(out, resume=resume, start_from=begins_with)
    deadline = time.monotonic() + 60 * stop_after
    keep_memory()
    if recipe.training.degradation:
        find_degradation(recipe.training.degradation)
    world = join(device)
    world.check(recipe)
    files = find_photos(photos)
    run = begin(
        recipe, world.device, files, bf16=bf16, resume=out if resume else None, start_from=begins_with
    )
    if restarted:
        _refuse_another(run, out, schedule, start_from)
    run.asked = asdict(schedule)
    world.check_begin(run)
    run.given["precision"] = precision_name(bool(*world.of_first(run.bf16)))  # it may have been measured
    logger.info("on %s in %s, from step %d on", world.device, run.given["precision"], run.step)
    pictures = _load_photos(files, recipe, world.device)
    out.mkdir(parents=True, exist_ok=True)
    log = Log(out, recipe.validation_names(), step=run.step, device=world.device)
    scores = _train_on(
        run, world, pictures, log, schedule, out=out, deadline=deadline, validate_every=validate_every
    )
    return float(np.mean(scores)) if scores else None


def _train_on(
    run: Run,
    world: World,
    photos: _Pictures,
    log: Log,
    schedule: Schedule,
    *,
    out: Path,
    deadline: float,
    validate_every: float,
) -> list[float]:
    """The loop: draw a batch, take a step, log, save; return the last validation's scores, dB."""
    step, training, rate, begun = step_of(run, world), run.recipe.training, 0.0, run.step
    before, started, validated = run.seconds, time.monotonic(), time.monotonic()

    def save() -> list[float]:
        scores = save_all(out, run, log, photos.held_out, rate=rate, photos=len(photos.training))
        say(score_line(run, scores))
        return scores

    def say(text: str) -> None:
        if world.is_first:
            bar.write(text, file=sys.stderr)

    def progress() -> float:
        """The share of the training that is done; 1 or more also when it is to stop."""
        late = run.step > begun and time.monotonic() > deadline  # every call takes a step
        stops = world.any(bool(interrupted) or late)
        return math.inf if stops else world.of_first(schedule.progress(run))[0]

    with interruptible() as interrupted, _bar(run, schedule, world) as bar:
        while (done := progress()) < 1:
            rate = schedule.learning_rate(training, run.step, done)
            batch = world.part(draw_batch(run.recipe, photos.training, run.generator))
            loss = step(torch.full((), rate, device=run.device), *batch)  # forward, loss, backward, step
            run.step += 1
            run.update_average()

            run.seconds = before + time.monotonic() - started
            bar.update()
            log.add(loss)
            if run.step == begun + 1:
                say(schedule.expected(run, time.monotonic() - started))
            if world.is_first and time.monotonic() - validated > validate_every:
                save()
                validated = time.monotonic()
        scores = save() if world.is_first else []
        done = schedule.progress(run)
        say("the training has ended" if done >= 1 else f"stopped at {done:.0%} of the training")
    return scores


def _bar(run: Run, schedule: Schedule, world: World) -> tqdm[None]:
    """A bar of steps on stderr, if that is a terminal."""
    hidden = None if world.is_first else True
    return tqdm(initial=run.step, total=schedule.steps, unit="step", disable=hidden, file=sys.stderr)


def _refuse_to_overwrite(out: Path, *, resume: bool, start_from: Path | None) -> None:
    """Refuse a folder that holds a training, unless it is resumed, with its own weights."""
    if resume and start_from is not None:
        raise UsageError("a resumed run continues with its own weights: give resume or start_from, not both")
    if not resume and ((out / STATE).exists() or (out / MODEL).exists()):
        raise UsageError(
            f"{out} already holds a training run: continue with --resume, or choose another folder with --out"
        )


def _refuse_another(run: Run, out: Path, schedule: Schedule, start_from: Path | None) -> None:
    """Refuse to continue, after a restart by `torchrun`, a run that the same command has not begun."""
    weights = None if start_from is None else weights_digest(start_from)
    asked = {**asdict(schedule), "start_from": weights}
    found = {**run.asked, "start_from": (run.started_from or {}).get("weights")}
    for name, value in asked.items():
        if found.get(name) != value:
            raise UsageError(
                f"{out} already holds another training run, with {name} {found.get(name)}, not {value}: "
                "continue it with --resume, or choose another folder with --out"
            )


class _Pictures(NamedTuple):
    """The training photos, and clean crops (n, 3, h, w) of the validation photos."""

    training: Photos
    held_out: Tensor


def _load_photos(files: list[PhotoFile], recipe: Recipe, device: torch.device) -> _Pictures:
    """Read all photos."""
    training_files, validation_files = split_photos(files)
    training = Photos(
        training_files, crop=crop_side(recipe), device=device, drawn_share=recipe.training.drawn_share
    )
    held_out = validation_crops(validation_files, count=VALIDATION_CROPS, size=VALIDATION_SIZE)
    logger.info("%d photos to train on, %d held out", len(training_files), len(validation_files))
    return _Pictures(training, torch.from_numpy(held_out).to(device))
