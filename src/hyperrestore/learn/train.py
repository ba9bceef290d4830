"""Training: a recipe and a folder of photos -> a model. The loop is `train`."""

from __future__ import annotations

import csv
import ctypes
import io
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from tqdm import tqdm

from hyperrestore.atomic import write_atomically
from hyperrestore.errors import CheckpointError, RecipeError, TrainingError, UsageError
from hyperrestore.learn.cuda_graph import Recorded
from hyperrestore.learn.optimizer import Optimizer
from hyperrestore.learn.pairs import as_stored, margin, measured_pair, noisy_at, training_pair
from hyperrestore.learn.photos import (
    PhotoFile,
    Photos,
    find_photos,
    photos_digest,
    split_photos,
    validation_crops,
)
from hyperrestore.learn.recipe import Recipe, Training, recipe_of
from hyperrestore.learn.upscaling import UpscalingBatch, canvas_side, draw_upscaling, enlarged, upscaled
from hyperrestore.measure.degrade import shrink
from hyperrestore.measure.protocols import prepare
from hyperrestore.network.architectures import build, build_plain, load_network, receptive_radius
from hyperrestore.network.checkpoint import (
    Checkpoint,
    Description,
    load_checkpoint,
    save_checkpoint,
    weights_digest,
)
from hyperrestore.network.hyper import Hypernetwork, materialize, take_over
from hyperrestore.run.pytorch import find_device

MODEL, STATE, LOG, CURVE = "model.safetensors", "state.safetensors", "log.csv", "curve.png"
VALIDATION_CROPS, VALIDATION_SIZE = 32, 256
DIVERGED = 5  # times the smallest mean loss between two validations
STATE_KEY = "hyperrestore-training"


class Run:
    """What changes while a model is trained, and is saved so that training can go on exactly.

    Args:
        recipe: What is trained.
        device: Where.
        given: Whatever else the course of the training depends on, by name; a run that goes on must be given
            the same.
    """

    def __init__(self, recipe: Recipe, device: torch.device, given: Mapping[str, str]) -> None:
        self.recipe = recipe
        self.given = dict(given)
        self.device = device
        torch.manual_seed(recipe.training.seed)
        self.network = build(recipe.network, recipe.scales).to(device)
        training = recipe.training
        self.optimizer = Optimizer(self.network.named_parameters(), training.optimizer, training.slope_rate)
        self.average = [parameter.detach().clone() for parameter in self.network.parameters()]
        self.generator = torch.Generator(device).manual_seed(recipe.training.seed)
        self.step = 0
        self.seconds = 0.0
        self.started_from: dict[str, str] | None = None  # name and digest of a model

    def start_from(self, path: Path) -> None:
        """Take over a model's weights; those of another task, too: there equal strength means equal kernels.

        Where its W has another rank than the recipe says, it is cut to that by its largest singular values.

        Raises:
            CheckpointError: It cannot be read, has another network than the recipe, or another level for the
                same task.
        """
        checkpoint = load_checkpoint(path)
        theirs, ours = checkpoint.description.scale, self.recipe.scale
        same_task = checkpoint.description.task == self.recipe.task
        for name in ("unit", "origin", "reference", "powers", "spacing") if same_task else ():
            if getattr(theirs, name) != getattr(ours, name):
                raise CheckpointError(f"{path}: its level has another {name} than the recipe's")
        try:
            take_over(self.network, load_network(checkpoint).to(self.device))
        except RuntimeError as error:
            raise CheckpointError(f"{path}: has another network than the recipe ({error})") from error
        self.started_from = {"model": path.name, "weights": weights_digest(path)}
        self.average = [parameter.detach().clone() for parameter in self.network.parameters()]

    def update_average(self) -> None:
        """Move the averaged weights, the later model, a little towards the present ones."""
        # Early on the average spans only the steps that there were.
        decay = min(self.recipe.training.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.network.parameters()], 1 - decay)

    def averaged_network(self) -> Hypernetwork:
        """A copy of the network with the averaged weights."""
        network = build(self.recipe.network, self.recipe.scales).to(self.device)
        with torch.no_grad():
            for parameter, value in zip(network.parameters(), self.average, strict=True):
                parameter.copy_(value)
        return network

    def tensors(self) -> dict[str, Tensor]:
        """Everything that changes, by name."""
        tensors = {"generator": self.generator.get_state()}
        for (name, parameter), average in zip(self.network.named_parameters(), self.average, strict=True):
            tensors[f"weight.{name}"] = parameter.detach()
            tensors[f"average.{name}"] = average
        return tensors | {f"optimizer.{name}": value for name, value in self.optimizer.tensors().items()}

    def save(self, folder: Path) -> None:
        """Write the training state, atomically."""
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "started_from": self.started_from,
            "recipe": asdict(self.recipe),
            "given": self.given,
        }
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.tensors().items()}
        write_atomically(folder / STATE, save(tensors, {STATE_KEY: json.dumps(facts)}))

    def load(self, folder: Path) -> None:
        """Go on from a saved training state.

        Raises:
            CheckpointError: It is missing, damaged, or belongs to another recipe.
        """
        path = folder / STATE
        try:
            with safe_open(path, framework="pt", device=str(self.device)) as file:
                metadata = json.loads((file.metadata() or {}).get(STATE_KEY, "null"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError) as error:
            raise CheckpointError(f"{path}: not a readable training state ({error})") from error
        try:
            # One of an earlier version has fewer entries; lists in one made in Python become tuples.
            same = recipe_of(metadata["recipe"]) == recipe_of(asdict(self.recipe))
        except (TypeError, KeyError, ValueError, RecipeError):
            same = False
        if not same:
            raise CheckpointError(f"{path}: belongs to another recipe; train into another folder")
        given = metadata.get("given") or {}
        for name, value in self.given.items():
            if given.get(name) != value:
                raise CheckpointError(
                    f"{path}: was trained with other {name} ({given.get(name)}, not {value}); give the same, "
                    "or train into another folder"
                )
        try:
            self.given = {str(name): str(value) for name, value in given.items()}
            self.step, self.seconds = int(metadata["step"]), float(metadata["seconds"])
            self.started_from = metadata.get("started_from")
            self._restore(tensors)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path}: the training state is damaged ({error!r})") from error

    @torch.no_grad()
    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.generator.set_state(tensors["generator"].cpu())
        for (name, parameter), average in zip(self.network.named_parameters(), self.average, strict=True):
            parameter.copy_(tensors[f"weight.{name}"])
            average.copy_(tensors[f"average.{name}"])
        own = "optimizer."
        if self.step:  # before it there is no state
            self.optimizer.restore(
                {name.removeprefix(own): value for name, value in tensors.items() if name.startswith(own)}
            )


def loss_of(restored: Tensor, target: Tensor, training: Training, *, share: Tensor | float = 1.0) -> Tensor:
    """The loss of one level's crops (b, 3, h, w), of which a share counts; the rest is equal in both."""
    if training.loss == "l1":
        return F.l1_loss(restored, target) / share
    squared = F.mse_loss(restored, target, reduction="none").mean((1, 2, 3)) / share
    # The small number, a thirtieth of an 8-bit step, keeps the slope finite where nothing is to be repaired.
    return (squared + 1e-8).sqrt().mean()


class Batch(NamedTuple):
    """What one step learns from: b crops at each of k levels; the first m of a level may have weaker noise.

    Attributes:
        levels: (k,), in the task's unit.
        degraded: Crops as the network gets them, (k, b, 3, h, w).
        clean: The same without damage, (k, b, 3, h, w).
        weaker: Which crops have less noise than their level says, (k, b, 1, 1, 1).
        noisy: The first crops with all the noise of their level, (k, m, 3, h, w).
    """

    levels: Tensor
    degraded: Tensor
    clean: Tensor
    weaker: Tensor
    noisy: Tensor


def draw_batch(recipe: Recipe, photos: Photos, generator: torch.Generator) -> Batch | UpscalingBatch:
    """Draw levels and crops, and degrade them.

    But for fixed levels, JPEG repair, and pictures that were enlarged before, nothing waits for a GPU.
    """
    training = recipe.training
    levels = draw_levels(recipe, generator)
    if recipe.network.kind == "subpixel":
        return draw_upscaling(recipe, photos, levels, generator)
    count = training.crops_per_level
    crops = photos.crops(count if training.shared_crops else count * len(levels), generator)
    parts = []
    for index, level in enumerate(levels):
        clean = crops if training.shared_crops else crops[index * count : (index + 1) * count]
        true_levels, weaker = draw_true_levels(level, count, training, generator)
        if training.weaker_share:
            clean = fade_half(clean, weaker, generator)
        degraded, clean = training_pair(recipe.task, clean, true_levels, training, generator)
        most = math.ceil(count * training.weaker_share)
        noisy = clean[:most]
        if training.weaker_share:
            degraded = store_half(degraded, weaker, generator)
            first = degraded[:most]
            grey = (first == first[:, :1]).all(dim=(1, 2, 3), keepdim=True)  # their noise, too
            noisy = noisy_at(noisy, grey, level, generator)
        parts.append((degraded, clean, weaker, noisy))
    return Batch(levels, *(torch.stack(part) for part in zip(*parts, strict=True)))


def draw_true_levels(
    level: Tensor, count: int, training: Training, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What one level's crops are really degraded to: the level, but for the share whose noise is weaker.

    The first ones are; if the share of `count` is no whole number, one more by chance.

    Returns:
        Levels, and which of them are below `level`, both (count, 1, 1, 1); without a share just `level`, and
        none.
    """
    index = torch.arange(count, device=level.device).view(-1, 1, 1, 1)
    if not training.weaker_share:
        return level, index < 0
    random = torch.rand(1 + count, generator=generator, device=level.device)
    weaker = index + random[0] < count * training.weaker_share
    return torch.where(weaker, level * random[1:].view(-1, 1, 1, 1), level), weaker


def fade_half(clean: Tensor, weaker: Tensor, generator: torch.Generator) -> Tensor:
    """Move half of the crops (b, 3, h, w) whose noise is `weaker` (b, 1, 1, 1) towards white or black.

    Each by a random share. Light and dark areas are rare in photos, and a level too high moves them most:
    light ones at weak noise, both where strong noise is clipped.
    """
    random = torch.rand(2, *weaker.shape, generator=generator, device=clean.device)
    share = (2 * random[0] - 1).clamp(min=0) * weaker
    return clean.lerp((random[1] < 0.5).to(clean), share)


def store_half(degraded: Tensor, weaker: Tensor, generator: torch.Generator) -> Tensor:
    """Clip and round half of the crops (b, 3, h, w) whose noise is `weaker` (b, 1, 1, 1).

    With `clipped_share` alone few crops are both weaker and clipped (7 % at shares of 0.2 and 0.35, with this
    13.5), and the network takes weaker noise for unclipped: it leaves white too dark and black too light.
    """
    half = torch.rand(weaker.shape, generator=generator, device=degraded.device) < 0.5
    return torch.where(weaker & half, as_stored(degraded), degraded)


@torch.no_grad()
def targets_of(network: Hypernetwork, clean: Tensor, weaker: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
    """What crops (b, 3, h, w) are to become at a level: themselves, but for those whose noise is weaker.

    Those are to become what the network makes of them with all the noise that the level stands for. So how
    much detail a level takes depends on the level alone, and contrast and colours stay.

    Args:
        network: It, as it is now.
        clean: (b, 3, h, w).
        weaker: Which of them have weaker noise, (b, 1, 1, 1); none behind the first m.
        noisy: The first with all the noise, (m, 3, h, w).
        level: A tensor of one value.
    """
    count = len(noisy)
    # A GPU is not asked: the answer would be waited for, and a recorded step does the same every time.
    if not count or (weaker.device.type == "cpu" and not weaker.any()):
        return clean
    restored = network(noisy.to(memory_format=torch.channels_last), level).float()
    return torch.cat([torch.where(weaker[:count], restored, clean[:count]), clean[count:]])


def learn(run: Run, rate: Tensor, *tensors: Tensor, bf16: bool) -> Tensor:
    """Take one step, at a rate of one value, from the tensors of a batch; return the mean loss."""
    subpixels = run.recipe.network.kind == "subpixel"
    losses = (
        upscaling_losses(run, UpscalingBatch(*tensors), bf16=bf16)
        if subpixels
        else losses_of(run, Batch(*tensors), bf16=bf16)
    )
    loss = torch.zeros((), device=run.device)
    for level_loss in losses:
        level_loss.backward()  # type: ignore[no-untyped-call]
        loss += level_loss.detach() / len(tensors[0])
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), run.recipe.training.clip)
    run.optimizer.step(rate)
    return loss


def losses_of(run: Run, batch: Batch, *, bf16: bool) -> Iterator[Tensor]:
    """The loss at each level of a batch."""
    for level, degraded, clean, weaker, noisy in zip(*batch, strict=True):
        # No cache: in older versions of torch it keeps what was cast without a gradient.
        with torch.autocast(run.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            targets = targets_of(run.network, clean, weaker, noisy, level)
            restored = run.network(degraded.to(memory_format=torch.channels_last), level)
        yield loss_of(restored.float(), targets, run.recipe.training)


def upscaling_losses(run: Run, batch: UpscalingBatch, *, bf16: bool) -> Iterator[Tensor]:
    """The loss at each scale of a batch; what lies beyond a crop on its canvas does not count."""
    for level, small, clean, enlarge, place, share in zip(*batch, strict=True):
        with torch.autocast(run.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            restored = upscaled(run.network, small, level, enlarge, place)
        yield loss_of(restored, clean, run.recipe.training, share=share)


def draw_levels(recipe: Recipe, generator: torch.Generator) -> Tensor:
    """The levels of one step: the fixed ones, or one random level from each of k equal parts of the range.

    A share of them is rounded to whole numbers; scales up, since at 1 there is nothing to repair.
    """
    training, (least, most) = recipe.training, recipe.scale.trained
    if training.levels:
        return torch.tensor(training.levels, dtype=torch.float32, device=generator.device)
    parts = training.levels_per_step
    random = torch.rand(parts, generator=generator, device=generator.device)
    uniform = (torch.arange(parts, device=generator.device) + random) / parts
    levels = least + (most - least) * uniform**training.level_power
    if training.whole_share:
        whole = torch.rand(parts, generator=generator, device=generator.device) < training.whole_share
        rounded = levels.ceil() if recipe.network.kind == "subpixel" else levels.round()
        levels = torch.where(whole, rounded, levels)
    return levels


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
) -> float:
    """Train a model until the time or the steps are used up, or Ctrl-C; every stop leaves a checkpoint.

    Args:
        recipe: What to train.
        photos: Folder of clean photos; one in twenty is held out for validation.
        out: Folder for the model, the training state, the log and the curve.
        minutes: Total training time, with the validations in between; time before a resume counts. Reading
            the photos and what is validated and written at the end come on top.
        steps: Total steps; whichever of the two ends first.
        stop_after: Minutes after which this call stops, reading the photos included, even if the training
            has not ended; what is written then takes its time on top. The schedule is not changed by it.
        device: Where to train.
        bf16: Compute in bf16 where it is safe (autocast); None where the device is fast in it, and as before
            if resumed.
        resume: Go on from the state in `out`, exactly where it stopped.
        start_from: A model whose weights to start from, with a new schedule.
        validate_every: Seconds between two validations, each followed by a checkpoint.

    Returns:
        The model's mean validation PSNR, dB.

    Raises:
        UsageError: Neither minutes nor steps, or `out` already holds a model and `resume` is not set, or the
            photos cannot be used.
        PictureError: A photo cannot be read.
        CheckpointError: The state or the model to start from does not fit the recipe.
        TrainingError: The loss ran off; `out` keeps the state and the model of the last validation.
    """
    ends = {unit: end for unit, end in (("minutes", minutes), ("steps", steps)) if end is not None}
    if not ends or min(ends.values()) <= 0:
        got = " and ".join(f"{end:g} {unit}" for unit, end in ends.items()) or "neither"
        raise UsageError(f"training needs an end: give --minutes, --steps or both, above 0; got {got}")
    if resume and start_from is not None:
        raise UsageError("a resumed run goes on with its own weights: give resume or start_from, not both")
    if not resume and ((out / STATE).exists() or (out / MODEL).exists()):
        raise UsageError(
            f"{out} already holds a training run: go on by --resume, or choose another folder by --out"
        )
    deadline = time.monotonic() + 60 * stop_after
    keep_memory()
    training = recipe.training
    files = find_photos(photos)
    run = begin(recipe, device, files, bf16=bf16, resume=out if resume else None, start_from=start_from)
    bf16 = run.given["precision"] == "bf16"
    training_files, validation_files = split_photos(files)
    clean_photos = Photos(
        training_files,
        crop=crop_side(recipe),
        device=device,
        drawn_share=training.drawn_share,
    )
    held_out = validation_crops(validation_files, count=VALIDATION_CROPS, size=VALIDATION_SIZE)
    out.mkdir(parents=True, exist_ok=True)
    log = Log(out, run, held_out, photos=len(clean_photos), bf16=bf16)
    step: Callable[..., Tensor] = partial(learn, run, bf16=bf16)
    if device.type == "cuda":
        step = Recorded(step)
    rate, begun = 0.0, run.step
    before, started, validated = run.seconds, time.monotonic(), time.monotonic()

    def done() -> float:
        return max(run.step / (steps or math.inf), run.seconds / (60 * (minutes or math.inf)))

    with (
        interruptible() as interrupted,
        tqdm(initial=run.step, total=steps, unit="step", disable=None, file=sys.stderr) as bar,
    ):
        while not interrupted:
            if (progress := done()) >= 1:
                break
            rate = training.learning_rate * min(1.0, (run.step + 1) / training.warmup)
            rate *= (1 + math.cos(math.pi * progress)) / 2

            batch = draw_batch(recipe, clean_photos, run.generator)
            loss = step(torch.full((), rate, device=device), *batch)
            run.step += 1
            run.update_average()

            run.seconds = before + time.monotonic() - started
            bar.update()
            log.add(loss)
            if run.step == begun + 1:
                bar.write(expected(run, time.monotonic() - started, minutes, steps), file=sys.stderr)
            if time.monotonic() - validated > validate_every:
                log.refuse_divergence()
                run.save(out)
                bar.write(log.write(rate), file=sys.stderr)
                validated = time.monotonic()
            if time.monotonic() > deadline:
                break
        log.refuse_divergence()
        run.save(out)
        bar.write(log.write(rate), file=sys.stderr)
        ended = "the training has ended" if done() >= 1 else f"stopped at {done():.0%} of the training"
        bar.write(ended, file=sys.stderr)
    return log.psnr


def crop_side(recipe: Recipe) -> int:
    """Pixels along a side of the clean crops that a step draws."""
    if recipe.network.kind == "subpixel":
        return canvas_side(recipe)
    return recipe.training.crop + margin(recipe.task)


def begin(
    recipe: Recipe,
    device: torch.device,
    files: Sequence[PhotoFile],
    *,
    bf16: bool | None,
    resume: Path | None,
    start_from: Path | None,
) -> Run:
    """A run at its beginning, or where the one in `resume` was saved; its precision is decided."""
    given = {"photos": photos_digest(files)}
    run = Run(recipe, device, given if bf16 is None else {"precision": _precision(bf16), **given})
    if resume is not None:
        run.load(resume)
    elif start_from is not None:
        run.start_from(start_from)
    if "precision" not in run.given:
        run.given["precision"] = _precision(is_fast_in_bf16(device))
    return run


def expected(run: Run, seconds: float, minutes: float | None, steps: int | None) -> str:
    """What a first step of so many seconds lets expect of the whole, for people."""
    text = f"{run.given['precision']}, the first step took {seconds:.2f} s"
    text += f": about {60 / seconds:.3g} steps a minute"
    if minutes is not None:
        left = max(0.0, 60 * minutes - run.seconds) / seconds
        text += f", {left:,.0f} more in the {minutes:g} minutes"
    if steps is not None:
        text += f", {max(0, steps - run.step) * seconds / 60:,.1f} minutes to step {steps}"
    return f"{text}; later steps are often faster"


class Log:
    """Validation scores, and what is written beside the training state: model, log and curve."""

    def __init__(
        self, folder: Path, run: Run, held_out: npt.NDArray[np.float32], *, photos: int, bf16: bool
    ) -> None:
        self.folder, self.run, self.photos, self.bf16 = folder, run, photos, bf16
        self.held_out = torch.from_numpy(held_out).to(run.device)
        self.loss, self.count = torch.zeros((), device=run.device), 0
        self.psnr = math.nan
        self.columns = ["step", "seconds", "learning_rate", "loss"]
        self.columns += [f"psnr_{level:g}" for level in run.recipe.training.validate_at]
        self.rows: list[dict[str, str]] = []
        if run.step and (folder / LOG).exists():
            with (folder / LOG).open(newline="", errors="replace") as file:
                reader = csv.DictReader(file)
                if reader.fieldnames != self.columns:
                    raise CheckpointError(
                        f"{folder / LOG}: is not this run's log, with {', '.join(self.columns)}; restore it, "
                        "or move it away to begin a new one"
                    )
                try:
                    rows = list(reader)
                    if not all(math.isfinite(float(cell)) for row in rows for cell in row.values()):
                        raise ValueError("a cell is no finite number")
                    # A run that was killed may have logged steps later than its last saved state.
                    self.rows = [row for row in rows if int(row["step"]) <= run.step]
                except (ValueError, TypeError) as error:
                    raise CheckpointError(
                        f"{folder / LOG}: is damaged ({error}); restore it, or move it away for a new one"
                    ) from error

    def add(self, loss: Tensor) -> None:
        """Count one step's loss, without waiting for the device."""
        self.loss += loss
        self.count += 1

    def refuse_divergence(self) -> None:
        """Stop before a run that has run off overwrites its last good checkpoint.

        Raises:
            TrainingError: The loss since the last validation is no number, or several times what it was.
        """
        if not self.count:
            return
        loss = float(self.loss) / self.count
        before = min((float(row["loss"]) for row in self.rows), default=math.inf)
        if not loss <= DIVERGED * before:
            kept = (
                f"{self.folder} keeps step {self.rows[-1]['step']}: go on in another folder, starting from it"
                if self.rows
                else "begin again"
            )
            raise TrainingError(
                f"training ran off before step {self.run.step}, loss {loss:.3g} after {before:.3g}; {kept} "
                "with a lower learning_rate or clip"
            )

    def write(self, rate: float) -> str:
        """Validate, write the model, a line of the log and the curve; return the line for people."""
        run = self.run
        network = run.averaged_network()
        scores = validate(network, self.held_out, run.recipe, bf16=self.bf16)
        self.psnr = float(np.mean(scores))
        if self.count:  # not where a finished run is resumed, or the last step was validated already
            loss = float(self.loss) / self.count
            row = [f"{run.step}", f"{run.seconds:.1f}", f"{rate:.3g}", f"{loss:.6f}"]
            row += [f"{score:.4f}" for score in scores]
            self.rows.append(dict(zip(self.columns, row, strict=True)))
        self.loss, self.count = torch.zeros_like(self.loss), 0
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, self.columns)
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.folder / LOG, table.getvalue().encode())
        history = {
            "steps": run.step,
            "seconds": round(run.seconds, 1),
            "device": run.device.type,
            "photos": self.photos,
            "started_from": run.started_from,
            "training": asdict(run.recipe.training),
            "validation_psnr": [round(score, 3) for score in scores],
        }
        save_model(self.folder / MODEL, run.recipe, network, history)
        if self.rows:
            plot_curve(self.folder / CURVE, self.rows)
        levels = run.recipe.training.validate_at
        text = ", ".join(f"{level:g}: {score:.2f}" for level, score in zip(levels, scores, strict=True))
        return f"step {run.step}, {run.seconds / 60:.1f} min, validation PSNR at {text} dB"


def save_model(path: Path, recipe: Recipe, network: Hypernetwork, history: Mapping[str, object]) -> None:
    """Write a network as a model file."""
    plain = build_plain(recipe.network)
    description = Description(
        task=recipe.task,
        network=asdict(recipe.network),
        scale=recipe.scale,
        halo=receptive_radius(plain, multiple=plain.multiple),
        multiple=plain.multiple,
        history=history,
        axes=recipe.axes,
    )
    tensors = {name: tensor.half().cpu().numpy() for name, tensor in network.state_dict().items()}
    save_checkpoint(path, Checkpoint(description, tensors))


@torch.no_grad()
def validate(network: Hypernetwork, clean: Tensor, recipe: Recipe, *, bf16: bool) -> list[float]:
    """Mean PSNR over clean crops (n, 3, h, w) at each level, dB; the same degraded crops in every run."""
    scores = []
    for level in recipe.training.validate_at:
        plain = materialize(network, network.levels(level))
        plain = plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        generator = np.random.default_rng(round(1000 * level))
        decibels = []
        for crop in clean:
            restored, target = _restored(plain, crop, level, recipe, generator, bf16=bf16)
            error = (restored.float().clamp(0, 1) - target).cpu().double().square().mean()
            # At level 0 nothing is lost if the network does nothing; 120 dB stand for infinity then.
            decibels.append(-10 * math.log10(max(float(error), 1e-12)))
        scores.append(float(np.mean(decibels)))
    return scores


def _restored(
    plain: nn.Module,
    crop: Tensor,
    level: float,
    recipe: Recipe,
    generator: np.random.Generator,
    *,
    bf16: bool,
) -> tuple[Tensor, Tensor]:
    """What a network for one level makes of a damaged crop (3, h, w), and what it should be."""
    protocol, device = recipe.training.protocol, crop.device

    def run(image: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            restored: Tensor = plain(image.to(memory_format=torch.channels_last))
        return restored.float()

    if recipe.network.kind == "subpixel":
        clean = prepare(crop.cpu().numpy(), level, recipe.task, protocol, grey=False)
        small, target = (
            torch.from_numpy(picture)[None].to(device)
            for picture in (shrink(clean, level, protocol=protocol), clean)
        )
        return enlarged(run, small, *target.shape[-2:]), target
    degraded, target = (
        picture[None].to(device)
        for picture in measured_pair(recipe.task, crop.cpu(), level, protocol, generator)
    )
    return run(degraded), target


def plot_curve(path: Path, rows: list[dict[str, str]]) -> None:
    """Draw the validation scores of a log over training time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    minutes = [float(row["seconds"]) / 60 for row in rows]
    for column in (name for name in rows[0] if name.startswith("psnr_")):
        scores = [float(row[column]) for row in rows]
        axes.plot(minutes, np.array(scores) - scores[-1], label=f"{column[5:]}: {scores[-1]:.2f} dB")
    axes.set(xlabel="training time, minutes", ylabel="validation PSNR against the end, dB")
    axes.set_ylim(bottom=max(-1, axes.get_ylim()[0]))  # how it began from nothing would hide the rest
    axes.grid(alpha=0.3)
    axes.legend(title="level: PSNR at the end")
    figure.savefig(path, dpi=120)


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Collect Ctrl-C, a request to terminate and a closed terminal, instead of stopping in mid-step."""
    received: list[int] = []
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)  # of a terminal that is closed; `nohup` has it ignored

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, remember) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _precision(bf16: bool) -> str:
    return "bf16" if bf16 else "fp32"


def choose_device(name: str) -> torch.device:
    """The torch device of a name; "auto" is the first of CUDA, MPS and CPU that there is.

    Raises:
        UsageError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return find_device(name)


def is_fast_in_bf16(device: torch.device) -> bool:
    """Whether training is faster in bf16 than in fp32: any GPU is taken for that, and a CPU is measured.

    One that has to imitate bf16 takes several times as long in it, whatever it says of itself.
    """
    if device.type != "cpu":
        return True
    crop = torch.ones(1, 64, 64, 64).to(memory_format=torch.channels_last)
    kernel = torch.ones(64, 64, 3, 3, requires_grad=True)

    def seconds(bf16: bool) -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16, cache_enabled=False):
            result = F.conv2d(crop, kernel, padding=1)
        result.float().sum().backward()  # type: ignore[no-untyped-call]
        return time.perf_counter() - start

    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(6):  # in turn: whatever else the machine does meets both
        for bf16, times in taken.items():
            times.append(seconds(bf16))
    return min(taken[True]) < min(taken[False])


def keep_memory() -> None:
    """Let glibc keep freed memory; giving it back and asking again at every step costs page faults."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        trim_threshold, mmap_max = -1, -4  # names of malloc.h
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)
