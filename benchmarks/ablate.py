"""Compare variants of a recipe, trained for equally many steps and scored on validation photos.

    python benchmarks/ablate.py recipes/denoise.toml --data PHOTOS --steps 500 --seeds 0 1 \
        --vary 'training.optimizer="adamw"' --vary 'network.rank=8' 'network.blocks=[0, 2, 2, 2]'

Each `--vary` is one variant: the entries, as TOML, in which it differs from the recipe. Every run is a folder
below `--out`, and existing runs are not repeated. So two commands can train different seeds side by side, and
a third that asks for all of them prints the table. A difference counts if it is at least twice the larger of
the two variants' spreads between seeds. With `--start-from MODEL` every run starts from that model's weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from hyperrestore.errors import HyperrestoreError, UsageError
from hyperrestore.learn.device import choose_device
from hyperrestore.learn.model import MODEL
from hyperrestore.learn.photos import find_photos, photos_digest
from hyperrestore.learn.recipe import Recipe, read_recipe
from hyperrestore.learn.state import STATE
from hyperrestore.learn.train import train
from hyperrestore.network.architectures import count_parameters, load_network, multiply_adds
from hyperrestore.network.checkpoint import load_checkpoint, weights_digest
from hyperrestore.network.hyper import materialize
from hyperrestore.run.pytorch import find_device
from hyperrestore.tables import from_table


def varied(recipe: Recipe, entries: list[str]) -> Recipe:
    """The recipe with other entries, each `table.name=value` with a value in TOML."""
    changes: dict[str, dict[str, object]] = {}
    for entry in entries:
        place, _, value = entry.partition("=")
        table, _, name = place.strip().partition(".")
        (changes.setdefault(table, {})[name],) = tomllib.loads(f"value = {value}").values()
    if unknown := changes.keys() - {"network", "scale", "training"}:
        raise SystemExit(f"--vary: a recipe has no table {', '.join(map(repr, unknown))}")
    tables = {}
    for table, entries in changes.items():  # a table at a time: entries may fit together only
        old = getattr(recipe, table)
        try:
            tables[table] = from_table(type(old), asdict(old) | entries)
        except (ValueError, UsageError) as error:
            raise SystemExit(f"--vary: [{table}] {error}") from error
    return replace(recipe, **tables)


def folder_of(out: Path, recipe: Recipe, *given: object) -> Path:
    """The folder of a run; it differs for every recipe and every other setting."""
    digest = hashlib.sha256(json.dumps([asdict(recipe), *given]).encode()).hexdigest()
    return out / digest[:12]


def scores_of(folder: Path) -> list[float]:
    """Validation PSNR of a run at each level, dB."""
    return [float(score) for score in history_of(folder)["validation_psnr"]]  # type: ignore[attr-defined]


def history_of(folder: Path) -> Mapping[str, object]:
    """The training history in a run's model."""
    return load_checkpoint(folder / MODEL).description.history


def main() -> None:
    """Parse the arguments, train what is missing, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--vary", nargs="+", action="append", default=[], metavar="TABLE.NAME=VALUE")
    parser.add_argument(
        "--all",
        nargs="+",
        action="extend",
        default=[],
        metavar="TABLE.NAME=VALUE",
        help="entries for every variant, the first included",
    )
    parser.add_argument("--start-from", type=Path, metavar="MODEL", help="weights to start from")
    parser.add_argument("--out", type=Path, default=Path("runs/ablate"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = varied(read_recipe(options.recipe), options.all)
    device = choose_device(options.device)
    given = [options.steps, photos_digest(find_photos(options.data)), device.type]
    given += [weights_digest(options.start_from)] if options.start_from else []
    names = recipe.validation_names()

    base: tuple[float, float] | None = None
    rows = [f"| variant | multiply-adds | stored | {' | '.join(names)} | mean | |"]
    rows += ["|---" * (len(names) + 5) + "|"]
    for entries in ([], *options.vary):
        scores = []
        for seed in options.seeds:
            run = varied(recipe, [*entries, f"training.seed={seed}"])
            folder = folder_of(options.out, run, *given)
            if not (folder / MODEL).is_file() or history_of(folder)["steps"] != options.steps:
                resume = (folder / STATE).is_file()  # of a run that was interrupted
                train(
                    run, options.data, folder, steps=options.steps, device=device,
                    resume=resume, start_from=None if resume else options.start_from,
                    validate_every=float("inf"),
                )  # fmt: skip
            if history_of(folder)["steps"] != options.steps:
                raise SystemExit("interrupted; run the same command again to continue")
            scores.append(scores_of(folder))
        network = load_network(load_checkpoint(folder / MODEL)).to(find_device("cpu"))
        cost = multiply_adds(materialize(network, [scale.reference for scale in recipe.scales])) / 1e6
        means = [float(np.mean(score)) for score in scores]
        mean, spread = float(np.mean(means)), max(means) - min(means)
        verdict = "the recipe"
        if base is None:
            base = mean, spread
        else:
            gain, noise = mean - base[0], max(spread, base[1])
            separated = len(means) > 1 and abs(gain) >= 2 * noise
            verdict = f"{gain:+.3f}, {('better' if gain > 0 else 'worse') if separated else 'not separated'}"
        cells = [f"{score:.2f}" for score in np.mean(scores, axis=0)]
        rows.append(
            f"| {', '.join(entries) or '-'} | {cost:.3f} M | {count_parameters(network) / 1e6:.2f} M "
            f"| {' | '.join(cells)} | {mean:.3f} (spread {spread:.3f}) | {verdict} |"
        )
    everywhere = f", with {', '.join(options.all)}" if options.all else ""
    start = f" from {options.start_from}" if options.start_from else ""
    steps = f"{options.steps} steps{start}{everywhere}"
    print(f"Validation PSNR, dB, after {steps}, mean of seeds {options.seeds}\n")
    print("\n".join(rows))


if __name__ == "__main__":
    try:
        main()
    except HyperrestoreError as error:
        raise SystemExit(f"ablate.py: {error}") from None
