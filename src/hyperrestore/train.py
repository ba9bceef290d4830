"""Training: a recipe and a folder of photos -> a model. The loop is `train`."""

from __future__ import annotations

import csv
import ctypes
import json
import math
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from hyperrestore.backends import load_network
from hyperrestore.checkpoint import Checkpoint, Description, load_checkpoint, save_checkpoint, write_atomically
from hyperrestore.degrade import gaussian_noise
from hyperrestore.errors import CheckpointError, UsageError
from hyperrestore.hyper import Hypernetwork, materialize
from hyperrestore.networks import build, build_plain, receptive_radius
from hyperrestore.photos import Photos, find_photos, split_photos, validation_crops
from hyperrestore.recipe import Recipe, Training

MODEL, STATE, LOG, CURVE = "model.safetensors", "state.safetensors", "log.csv", "curve.png"
VALIDATION_CROPS, VALIDATION_SIZE = 32, 256
STATE_KEY = "hyperrestore-training"


class Run:
    """What changes while a model is trained, and is saved so that training can go on exactly."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        torch.manual_seed(recipe.training.seed)
        self.network = build(recipe.network, recipe.scale).to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.training.learning_rate, weight_decay=0.0, fused=True
        )
        self.average = [parameter.detach().clone() for parameter in self.network.parameters()]
        self.generator = torch.Generator(device).manual_seed(recipe.training.seed)
        self.step = 0
        self.seconds = 0.0

    def update_average(self) -> None:
        """Move the averaged weights, the later model, a little towards the present ones."""
        # Early on the average spans only the steps that there were.
        decay = min(self.recipe.training.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.network.parameters()], 1 - decay)

    def averaged_network(self) -> Hypernetwork:
        """A copy of the network with the averaged weights."""
        network = build(self.recipe.network, self.recipe.scale).to(self.device)
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
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = value
        return tensors

    def save(self, folder: Path) -> None:
        """Write the training state, atomically."""
        metadata = {STATE_KEY: json.dumps({"step": self.step, "seconds": self.seconds, **self._identity()})}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.tensors().items()}
        write_atomically(folder / STATE, save(tensors, metadata))

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
        except (OSError, SafetensorError, json.JSONDecodeError) as error:
            raise CheckpointError(f"{path}: not a readable training state ({error})") from error
        if not metadata or any(metadata.get(key) != value for key, value in self._identity().items()):
            raise CheckpointError(f"{path}: belongs to another recipe; train into another folder")
        self.step, self.seconds = metadata["step"], metadata["seconds"]
        self.generator.set_state(tensors["generator"].cpu())
        with torch.no_grad():
            for (name, parameter), average in zip(self.network.named_parameters(), self.average, strict=True):
                parameter.copy_(tensors[f"weight.{name}"])
                average.copy_(tensors[f"average.{name}"])
                state = {
                    key: torch.empty_like(parameter).copy_(value) if value.ndim else value.clone()
                    for key in ("step", "exp_avg", "exp_avg_sq")
                    if (value := tensors.get(f"optimizer.{key}.{name}")) is not None
                }
                if state:
                    self.optimizer.state[parameter] = state

    def _identity(self) -> dict[str, object]:
        recipe: dict[str, object] = json.loads(json.dumps(asdict(self.recipe)))
        return {"recipe": recipe}


def degrade_batch(
    clean: Tensor, level: Tensor, training: Training, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Turn clean crops into a training pair.

    Args:
        clean: (b, 3, h, w), values in [0, 1].
        level: Sigma, a tensor of one value.
        training: Shares of grey and clipped crops.
        generator: Source of randomness, on the crops' device.

    Returns:
        Degraded and clean crops, both (b, 3, h, w); grey ones have three equal channels.
    """
    share = torch.rand(2, len(clean), 1, 1, 1, generator=generator, device=clean.device)
    grey, clipped = share[0] < training.grey_share, share[1] < training.clipped_share
    luma = clean.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    clean = torch.where(grey, (clean * luma).sum(1, keepdim=True), clean)
    noise = gaussian_noise(torch.zeros_like(clean), level, generator)
    noisy = clean + torch.where(grey, noise[:, :1], noise)
    return torch.where(clipped, (noisy.clamp(0, 1) * 255).floor() / 255, noisy), clean


def draw_levels(recipe: Recipe, generator: torch.Generator) -> Tensor:
    """The levels of one step: the fixed ones, or one random level from each of k equal parts of the range."""
    training, (least, most) = recipe.training, recipe.scale.trained
    if training.levels:
        return torch.tensor(training.levels, device=generator.device)
    parts = training.levels_per_step
    random = torch.rand(parts, generator=generator, device=generator.device)
    return least + (torch.arange(parts, device=generator.device) + random) / parts * (most - least)


def train(
    recipe: Recipe,
    photos: Path,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    device: torch.device,
    bf16: bool = True,
    resume: bool = False,
    start_from: Path | None = None,
    validate_every: float = 120,
) -> float:
    """Train a model until the time or the steps are used up, or Ctrl-C; every stop leaves a checkpoint.

    Args:
        recipe: What to train.
        photos: Folder of clean photos; one in twenty is held out for validation.
        out: Folder for the model, the training state, the log and the curve.
        minutes: Total training time; time before a resume counts.
        steps: Total steps; whichever of the two ends first.
        device: Where to train.
        bf16: Compute in bf16 where it is safe (autocast).
        resume: Go on from the state in `out`, exactly where it stopped.
        start_from: A model whose weights to start from, with a new schedule.
        validate_every: Seconds between two validations, each followed by a checkpoint.

    Returns:
        The model's mean validation PSNR, dB.

    Raises:
        UsageError: Neither minutes nor steps, or `out` already holds a run and `resume` is not set.
        CheckpointError: The state or the model to start from does not fit the recipe.
    """
    if minutes is None and steps is None:
        raise UsageError("training needs an end: give minutes, steps or both")
    if (out / STATE).exists() and not resume:
        raise UsageError(f"{out} already holds a training run: resume it, or choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    keep_memory()
    training = recipe.training
    run = Run(recipe, device)
    if resume:
        run.load(out)
    elif start_from is not None:
        start = load_network(load_checkpoint(start_from))
        try:
            run.network.load_state_dict(start.state_dict())
        except RuntimeError as error:
            raise CheckpointError(f"{start_from}: has another network than the recipe ({error})") from error
        run.average = [parameter.detach().clone() for parameter in run.network.parameters()]
    training_files, validation_files = split_photos(find_photos(photos))
    clean_photos = Photos(training_files, crop=training.crop, device=device)
    held_out = validation_crops(validation_files, count=VALIDATION_CROPS, size=VALIDATION_SIZE)
    log = Log(out, run, held_out, len(clean_photos))
    before, started, validated = run.seconds, time.monotonic(), time.monotonic()

    with interruptible() as interrupted, tqdm(initial=run.step, total=steps, unit="step", file=sys.stderr) as bar:
        while not interrupted:
            progress = max(run.step / (steps or math.inf), run.seconds / (60 * (minutes or math.inf)))
            if progress >= 1:
                break
            rate = training.learning_rate * min(1.0, (run.step + 1) / training.warmup)
            rate *= (1 + math.cos(math.pi * progress)) / 2
            for group in run.optimizer.param_groups:
                group["lr"] = rate

            levels = draw_levels(recipe, run.generator)
            count = training.crops_per_level
            crops = clean_photos.crops(count if training.shared_crops else count * len(levels), run.generator)
            loss = torch.zeros((), device=device)
            for index, level in enumerate(levels):
                clean = crops if training.shared_crops else crops[index * count : (index + 1) * count]
                degraded, clean = degrade_batch(clean, level, training, run.generator)
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    restored = run.network(degraded.to(memory_format=torch.channels_last), level)
                level_loss = F.l1_loss(restored.float(), clean)
                level_loss.backward()  # type: ignore[no-untyped-call]
                loss += level_loss.detach() / len(levels)
            run.optimizer.step()
            run.optimizer.zero_grad(set_to_none=True)
            run.step += 1
            run.update_average()

            run.seconds = before + time.monotonic() - started
            bar.update()
            log.add(loss)
            if time.monotonic() - validated > validate_every:
                bar.set_postfix_str(log.write(rate))
                run.save(out)
                validated = time.monotonic()
        log.write(0.0)
        run.save(out)
    return log.psnr


class Log:
    """Validation scores, and what is written beside the training state: model, log and curve."""

    def __init__(self, folder: Path, run: Run, held_out: np.ndarray, photos: int) -> None:
        self.folder, self.run, self.photos = folder, run, photos
        self.held_out = torch.from_numpy(held_out).to(run.device)
        self.loss, self.count = torch.zeros((), device=run.device), 0
        self.psnr = math.nan
        self.columns = ["step", "seconds", "learning_rate", "loss"]
        self.columns += [f"psnr_{level:g}" for level in run.recipe.training.validate_at]
        if run.step == 0:
            with (folder / LOG).open("w", newline="") as file:
                csv.writer(file).writerow(self.columns)

    def add(self, loss: Tensor) -> None:
        """Count one step's loss, without waiting for the device."""
        self.loss += loss
        self.count += 1

    def write(self, rate: float) -> str:
        """Validate, write the model, a line of the log and the curve; return the scores as text."""
        run = self.run
        network = run.averaged_network()
        scores = validate(network, self.held_out, run.recipe.training.validate_at)
        self.psnr = float(np.mean(scores))
        loss = float(self.loss) / max(1, self.count)
        self.loss, self.count = torch.zeros_like(self.loss), 0
        with (self.folder / LOG).open("a", newline="") as file:
            row = [f"{run.step}", f"{run.seconds:.1f}", f"{rate:.3g}", f"{loss:.6f}"]
            csv.writer(file).writerow(row + [f"{score:.4f}" for score in scores])
        history = {
            "steps": run.step,
            "seconds": round(run.seconds, 1),
            "device": run.device.type,
            "photos": self.photos,
            "training": asdict(run.recipe.training),
            "validation_psnr": [round(score, 3) for score in scores],
        }
        save_model(self.folder / MODEL, run.recipe, network, history)
        plot_curve(self.folder)
        return " ".join(f"{score:.2f}" for score in scores)


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
    )
    tensors = {name: tensor.half().cpu().numpy() for name, tensor in network.state_dict().items()}
    save_checkpoint(path, Checkpoint(description, tensors))


@torch.no_grad()
def validate(network: Hypernetwork, clean: Tensor, levels: tuple[float, ...]) -> list[float]:
    """Mean PSNR over clean crops (n, 3, h, w) at each level, dB; the same noise in every run."""
    scores = []
    for level in levels:
        plain = materialize(network, level).to(memory_format=torch.channels_last)
        generator = torch.Generator().manual_seed(int(level * 1000))
        decibels = []
        for crop in clean.split(1):
            noisy = gaussian_noise(crop.cpu(), level, generator).to(crop.device)
            with torch.autocast(crop.device.type, torch.bfloat16):
                restored = plain(noisy.to(memory_format=torch.channels_last))
            error = (restored.float().clamp(0, 1) - crop).double().square().mean()
            decibels.append(-10 * math.log10(float(error)))
        scores.append(float(np.mean(decibels)))
    return scores


def plot_curve(folder: Path) -> None:
    """Draw the validation scores of a log over training time."""
    from matplotlib.figure import Figure

    with (folder / LOG).open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    minutes = [float(row["seconds"]) / 60 for row in rows]
    for column in (name for name in rows[0] if name.startswith("psnr_")):
        scores = [float(row[column]) for row in rows]
        axes.plot(minutes, np.array(scores) - scores[-1], label=f"{column[5:]}: {scores[-1]:.2f} dB")
    axes.set(xlabel="training time, minutes", ylabel="validation PSNR against the end, dB", ylim=(-1, 0.1))
    axes.grid(alpha=0.3)
    axes.legend(title="level: PSNR at the end")
    figure.savefig(folder / CURVE, dpi=120)


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Collect Ctrl-C and a request to terminate in a list, instead of stopping in the middle of a step."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def choose_device(name: str) -> torch.device:
    """The torch device of a name; "auto" is the first of CUDA, MPS and CPU that there is.

    Raises:
        UsageError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first_line = str(error).splitlines()[0]
        raise UsageError(f"device {name!r} cannot be used here: {first_line}") from error
    return device


def keep_memory() -> None:
    """Let glibc keep freed memory; giving it back and asking again at every step costs page faults."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        trim_threshold, mmap_max = -1, -4  # names of malloc.h
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)
