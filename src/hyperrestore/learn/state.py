"""The state of a training: all that changes from step to step, saved so that it can continue exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hyperrestore.atomic import write_atomically
from hyperrestore.errors import CheckpointError, RecipeError
from hyperrestore.learn.device import is_fast_in_bf16
from hyperrestore.learn.optimizer import Optimizer
from hyperrestore.learn.photos import PhotoFile, photos_digest
from hyperrestore.learn.recipe import Recipe, recipe_of
from hyperrestore.network.architectures import build, load_network
from hyperrestore.network.checkpoint import load_checkpoint, weights_digest
from hyperrestore.network.hyper import Hypernetwork, take_over

STATE = "state.safetensors"
STATE_KEY = "hyperrestore-training"


class Run:
    """All that changes while a model is trained, saved so that training can continue exactly.

    Args:
        recipe: What is trained.
        device: Where.
        given: Everything else that the training depends on, by name; a resumed run must be given the same.
    """

    def __init__(self, recipe: Recipe, device: torch.device, given: Mapping[str, str]) -> None:
        self.recipe = recipe
        self.given = dict(given)
        self.device = device
        torch.manual_seed(recipe.training.seed)
        self.network = build(recipe.network, recipe.scales).to(device)
        training = recipe.training
        self.optimizer = Optimizer(
            self.network.named_parameters(), training.optimizer, training.slope_rate, training.weight_decay
        )
        self.average = [parameter.detach().clone() for parameter in self.network.parameters()]
        self.generator = torch.Generator(device).manual_seed(recipe.training.seed)
        self.step = 0
        self.seconds = 0.0
        self.started_from: dict[str, str] | None = None  # name and digest of a model
        self.asked: dict[str, object] = {}  # what a resumed run may be given anew, such as its steps

    @property
    def bf16(self) -> bool:
        """Whether it computes in bf16 where that is safe."""
        return self.given.get("precision") == "bf16"

    def start_from(self, path: Path) -> None:
        """Start from a model's weights. It may be of another task: equal strength then means equal kernels.

        If its W has another rank than the recipe says, it is reduced to its largest singular values.

        Raises:
            CheckpointError: It cannot be read, has another network than the recipe, or another level for the
                same task.
        """
        checkpoint = load_checkpoint(path)
        theirs, ours = checkpoint.description.scale, self.recipe.scale
        same_task = checkpoint.description.task == self.recipe.task
        for name in ("unit", "origin", "reference", "powers", "spacing") if same_task else ():
            if getattr(theirs, name) != getattr(ours, name):
                raise CheckpointError(f"{path}: its level scale and the recipe's differ in {name}")
        try:
            take_over(self.network, load_network(checkpoint).to(self.device))
        except RuntimeError as error:
            raise CheckpointError(f"{path}: its network is not the recipe's ({error})") from error
        self.started_from = {"model": path.name, "weights": weights_digest(path)}
        self.average = [parameter.detach().clone() for parameter in self.network.parameters()]

    def update_average(self) -> None:
        """Move the averaged weights, the later model, a little towards the present ones."""
        # Early on, the average spans only the steps made so far.
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
            "asked": self.asked,
        }
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.tensors().items()}
        write_atomically(folder / STATE, save(tensors, {STATE_KEY: json.dumps(facts)}))

    def load(self, folder: Path) -> None:
        """Continue from a saved training state.

        Raises:
            CheckpointError: It is missing, damaged, or belongs to another recipe.
        """
        path = folder / STATE
        facts, tensors = _read_state(path, self.device)
        if not _is_of(self.recipe, facts):
            raise CheckpointError(f"{path}: belongs to another recipe; train into another folder")
        given = facts.get("given") or {}
        for name, value in self.given.items():
            if given.get(name) != value:
                raise CheckpointError(
                    f"{path}: was trained with other {name} ({given.get(name)}, not {value}); give the same, "
                    "or train into another folder"
                )
        try:
            self.given = {str(name): str(value) for name, value in given.items()}
            self.step, self.seconds = int(facts["step"]), float(facts["seconds"])
            self.started_from = facts.get("started_from")
            self.asked = dict(facts.get("asked") or {})
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


def _read_state(path: Path, device: torch.device) -> tuple[Any, dict[str, Tensor]]:
    """The metadata of a state's file, not validated, and its tensors."""
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            facts = json.loads((file.metadata() or {}).get(STATE_KEY, "null"))
            return facts, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable training state ({error})") from error


def _is_of(recipe: Recipe, facts: Any) -> bool:
    """Whether a state belongs to a recipe."""
    try:
        # One of an earlier version has fewer entries; lists in one made in Python become tuples.
        return recipe_of(facts["recipe"]) == recipe_of(asdict(recipe))
    except (TypeError, KeyError, ValueError, RecipeError):
        return False


def begin(
    recipe: Recipe,
    device: torch.device,
    files: Sequence[PhotoFile],
    *,
    bf16: bool | None,
    resume: Path | None,
    start_from: Path | None,
) -> Run:
    """A new run, or the one saved in `resume`, with its precision decided."""
    given = {"photos": photos_digest(files)}
    run = Run(recipe, device, given if bf16 is None else {"precision": precision_name(bf16), **given})
    if resume is not None:
        run.load(resume)
    elif start_from is not None:
        run.start_from(start_from)
    if "precision" not in run.given:
        run.given["precision"] = precision_name(is_fast_in_bf16(device))
    return run


def precision_name(bf16: bool) -> str:
    """What `Run.given` calls a precision."""
    return "bf16" if bf16 else "fp32"
