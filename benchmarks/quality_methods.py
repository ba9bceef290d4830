"""The measured methods: models and others, with the cost of the models."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peers import INSTALL, PEERS
from quality_records import Cost
from quality_tables import NAMES, TABLES

from hyperrestore import Restorer
from hyperrestore.errors import CheckpointError
from hyperrestore.level import SHIPPED, Task
from hyperrestore.measure.degrade import Protocol
from hyperrestore.measure.evaluate import Evaluated, along_axis
from hyperrestore.network.architectures import count_parameters, load_network, multiply_adds
from hyperrestore.network.checkpoint import Description, load_checkpoint, read_description, weights_digest
from hyperrestore.network.hyper import materialize
from hyperrestore.restore.restorer import MODELS
from hyperrestore.run.backend import Precision

COUNTED_AT = 2  # scale at which multiply-adds of a network on the small picture are counted


@dataclass(frozen=True)
class Method:
    """A method to be measured.

    Attributes:
        key: In `NAMES`; for any other model, its name.
        restorer: The method itself.
        identity: Everything that its results depend on.
        peer: Whether it is from another package.
        protocol: The only one that it supports; None for any.
        level: The only one that it supports; None for any.
        highest: The highest level that it supports.
        weights: Its weights in words, put before what runs them; empty if there are none.
    """

    key: str
    restorer: Evaluated
    identity: str
    peer: bool = False
    protocol: Protocol | None = None
    level: float | None = None
    highest: float = math.inf
    weights: str = ""

    def takes(self, level: float) -> bool:
        """Whether it supports a level."""
        return self.level in (None, level) and level <= self.highest


def of_model(key: str, path: Path, version: str, *, precision: Precision = "auto") -> Method:
    """The method of a model; it is quick, so each version of hyperrestore measures it anew."""
    restorer = Restorer.load(path, precision=precision)
    run_by = restorer.at(restorer.scale.reference, bits=8).name
    training = training_of(read_description(path))
    levels = training.get("levels") or []
    digest = weights_digest(path)
    return Method(
        key,
        restorer,
        f"{restorer.task} {digest}, {run_by}, hyperrestore {version}",
        protocol="hyperres" if training.get("protocol") == "hyperres" else None,
        level=levels[0] if len(levels) == 1 else None,
        weights=f"weights {digest[:8]}, ",
    )


def training_of(description: Description) -> dict[str, Any]:
    """The training table of a model's recipe, from its history."""
    training = description.history.get("training")
    return training if isinstance(training, dict) else {}


def trained_for(description: Description) -> str:
    """The levels that a network was trained for, and the protocol if it is not the usual one."""
    training, scale = training_of(description), description.scale
    levels = ", ".join(f"{level:g}" for level in training.get("levels") or [])
    protocol = ", protocol hyperres" if training.get("protocol") == "hyperres" else ""
    return f"{scale.unit} {levels or '{:g} to {:g}'.format(*scale.trained)}{protocol}"


def cost(key: str, path: Path) -> Cost:
    """Count a model's parameters, and multiply-adds per pixel."""
    checkpoint = load_checkpoint(path)
    network, description = load_network(checkpoint), checkpoint.description
    plain = materialize(network, network.levels(description.scale.reference))
    on_small = description.subpixels > 1
    pixels = COUNTED_AT**2 if on_small else 1  # of the result, for each that the network reads
    return Cost(
        key,
        count_parameters(network),
        count_parameters(plain),
        multiply_adds(plain) / pixels / 1e6,
        description.halo,
        trained_for(description),
        f"{description.history.get('steps', '-')}",
    )


@dataclass(frozen=True)
class Missing:
    """Why a method or a test set has no row, in words.

    Attributes:
        task: The section that says so; None for all.
        line: The method's name and the reason.
    """

    task: Task | None
    line: str


@dataclass(frozen=True)
class Loaded:
    """The requested methods that are available, the cost of models, and a line on each missing method."""

    methods: list[Method]
    costs: list[tuple[Task, Cost]]
    missing: list[Missing]


def load(options: argparse.Namespace, version: str) -> Loaded:
    """Load the methods that the command line selects."""
    asked, wanted = options.only.split(","), {TABLES[name].task for name in options.tables}
    ours = {task: MODELS / f"{task}.safetensors" for task in SHIPPED}
    ours |= {read_description(path).task: path for path in options.model}
    ours = {task: path for task, path in ours.items() if task in wanted}
    models = [("ours", path) for path in ours.values() if "ours" in asked]
    models += [("paper", path) for path in options.paper if "paper" in asked]
    loaded = Loaded([of_model(key, path, version) for key, path in models], [], [])
    loaded.costs.extend((read_description(path).task, cost(key, path)) for key, path in models)
    loaded.missing.extend(not_asked(asked, options.only))
    if "photo" in asked:
        add_photo(loaded, wanted, version)
    if "int8" in asked:
        add_int8(loaded, ours, version)
    if "paper" in asked:
        given = {read_description(path).task for path in options.paper}
        line = f"{NAMES['paper']}: no trained model of it was given (`--paper MODEL.safetensors`)"
        loaded.missing.extend(Missing(task, line) for task in sorted(wanted - given))
    add_peers(loaded, [key for key in PEERS if key in asked and PEERS[key].task in wanted])
    for name, path in options.also:
        loaded.methods.append(of_model(name, path, version))
        loaded.costs.append((read_description(path).task, cost(name, path)))
    return loaded


def not_asked(asked: Sequence[str], only: str) -> list[Missing]:
    """A line for each method that was not requested."""
    return [
        Missing(PEERS[key].task if key in PEERS else None, f"{NAMES[key]}: not asked for (`--only {only}`)")
        for key in NAMES
        if key not in asked
    ]


def add_photo(loaded: Loaded, wanted: set[Task], version: str) -> None:
    """Add our model for photos, measured on one kind of damage, its other levels saying none."""
    path = MODELS / f"{Task.PHOTO}.safetensors"
    for task in (Task.DENOISE, Task.DEJPEG):
        if task in wanted:
            method = of_model("photo", path, version)
            loaded.methods.append(replace(method, restorer=along_axis(method.restorer, task)))
            loaded.costs.append((task, cost("photo", path)))


def add_int8(loaded: Loaded, ours: dict[Task, Path], version: str) -> None:
    """Add our models in int8, if they have ranges."""
    for task, path in ours.items():
        try:
            loaded.methods.append(of_model("int8", path, version, precision="int8"))
        except CheckpointError:
            reason = "no ranges for these weights (`hyperrestore calibrate`)"
            loaded.missing.append(Missing(task, f"{NAMES['int8']}: {reason}"))


def add_peers(loaded: Loaded, keys: Sequence[str]) -> None:
    """Add methods of other packages, if these are installed."""
    for key in keys:
        kind = PEERS[key]
        try:
            peer = kind.make()
        except ImportError:
            loaded.missing.append(Missing(kind.task, f"{NAMES[key]}: not installed (`{INSTALL}`)"))
            continue
        method = Method(key, peer, peer.name, peer=True, protocol=kind.protocol, highest=kind.highest)
        loaded.methods.append(method)
