"""Trainings of methods: where their weights lie, how far they are, and what is missing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from adaptive.interface import Method, Setting, Stage
from adaptive.records import DEDICATED
from adaptive.training import Budget, stage_crops, stage_recipe, train_stage, trained_part
from safetensors.torch import load_file, save
from torch import nn
from tqdm import tqdm

from hyperrestore.atomic import write_atomically
from hyperrestore.learn.photos import Photos
from hyperrestore.learn.recipe import Recipe


@dataclass(frozen=True)
class Entry:
    """One method with one seed.

    Attributes:
        name: Of the method.
        seed: Of its training.
        build: Makes it, untrained.
        levels: At which it is scored.
    """

    name: str
    seed: int
    build: Callable[[Setting], Method]
    levels: tuple[float, ...]


@dataclass(frozen=True)
class Place:
    """Where a run lies, and what all of its trainings have in common.

    Attributes:
        folder: Of its weights and results.
        setting: What all methods have in common.
        recipe: The project's, of the task.
        budget: Of a training; its seed is replaced by an entry's.
        device: Where to train and restore.
        bf16: Compute in bf16 in training.
    """

    folder: Path
    setting: Setting
    recipe: Recipe
    budget: Budget
    device: torch.device
    bf16: bool


def weights_path(place: Place, entry: Entry, stage: Stage) -> Path:
    """The file of a stage's weights; what methods share, they find there."""
    name = f"main-{stage.levels[0]:g}" if stage.shared else f"{file_name(entry)}-{stage.part or 'all'}"
    return place.folder / f"seed-{entry.seed}" / f"{name}.safetensors"


def results_path(place: Place, entry: Entry) -> Path:
    """The file of a method's results: one each, so that commands side by side do not overwrite any."""
    return place.folder / f"seed-{entry.seed}" / f"{file_name(entry)}.json"


def file_name(entry: Entry) -> str:
    """A method's name as part of a file's; that of a network for one level has its level."""
    level = f"-{entry.levels[0]:g}" if entry.name == DEDICATED else ""
    return entry.name.replace(" ", "-").replace(",", "") + level


def recipe_for(place: Place, entry: Entry, index: int) -> tuple[Recipe, Budget]:
    """How a stage of a method is trained; later ones see other crops."""
    stage = entry.build(place.setting).stages[index]
    budget = replace(place.budget, seed=entry.seed + 1000 * index)
    return stage_recipe(place.recipe, place.setting, stage, budget), budget


class Progress:
    """Tells on stderr how far the trainings are, and how long the rest takes.

    Args:
        stages: Crops of each stage that is to be trained.
    """

    def __init__(self, stages: Sequence[int]) -> None:
        self.count, self.number = len(stages), 0
        self.all, self.done = sum(stages), 0
        self.started = time.monotonic()
        self.bar = tqdm(total=self.all, unit="crop", disable=None, file=sys.stderr)

    def step(self, crops: int) -> None:
        """Count the crops of a step."""
        self.done += crops
        self.bar.update(crops)

    def end(self, name: str) -> None:
        """Report a stage that has ended."""
        self.number += 1
        seconds = time.monotonic() - self.started
        left = seconds * (self.all - self.done) / max(1, self.done) / 60
        self.bar.write(f"{self.number} of {self.count}: {name}; about {left:.1f} minutes left", sys.stderr)


def stages_to_train(place: Place, compared: Sequence[Entry]) -> Iterator[int]:
    """Crops of each stage whose weights are missing."""
    seen: set[Path] = set()
    for entry in compared:
        for index, stage in enumerate(entry.build(place.setting).stages):
            path = weights_path(place, entry, stage)
            if path not in seen and not path.is_file():
                seen.add(path)
                recipe, budget = recipe_for(place, entry, index)
                yield stage_crops(recipe, stage, budget)


def trained(place: Place, entry: Entry, photos: Photos, progress: Progress) -> tuple[Method, int]:
    """A method with its weights, trained where they are missing; and the crops of all its trainings."""
    torch.manual_seed(entry.seed)
    method, crops = entry.build(place.setting), 0
    cast(nn.Module, method).to(place.device)
    for index, stage in enumerate(method.stages):
        recipe, budget = recipe_for(place, entry, index)
        crops += stage_crops(recipe, stage, budget)
        path, part = weights_path(place, entry, stage), trained_part(method, stage)
        method.begin(index)
        if path.is_file():
            part.load_state_dict(load_file(path, device=str(place.device)))
            continue
        in_step = recipe.training.levels_per_step * recipe.training.crops_per_level
        train_stage(
            method, stage, recipe, photos, budget,
            bf16=place.bf16, progress=lambda done, steps, crops=in_step: progress.step(crops),
        )  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.cpu().contiguous() for name, tensor in part.state_dict().items()}
        write_atomically(path, save(state))
        progress.end(path.stem)
    return method, crops
