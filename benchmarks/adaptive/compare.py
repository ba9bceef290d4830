r"""The paper's comparison of adjustable methods, on one main network, the same photos and the same budget.

    python benchmarks/adaptive/compare.py PHOTOS TEST
    python benchmarks/adaptive/compare.py PHOTOS TEST --task dejpeg --methods DNI ours

For a try of some minutes, in which nothing has learnt much:

    python benchmarks/adaptive/compare.py PHOTOS TEST --width 16 --blocks 2 --steps 100 --crop 32 \
        --pictures 2 --dedicated 15 45 75 --levels 5 30 60 90

Trains what is missing below `--out` and scores every method on the pictures of the folder TEST, beside
networks for one level each. An interrupted command goes on with the stage of training at which it stopped;
two commands may train different `--methods` or `--seeds` side by side, and a third prints the table. With
`--save` the results become part of docs/adaptive.md.

Every method, and every network for one level, sees 2 x `--steps` x `--crops` crops.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from adaptive.dedicated import Dedicated
from adaptive.interface import Method
from adaptive.methods import DEDICATED_LEVELS, METHODS, SCORED, recipe_of, setting_of
from adaptive.page import draw, page, tables
from adaptive.records import (
    DEDICATED,
    Comparison,
    Run,
    read_comparisons,
    with_comparison,
    write_comparisons,
)
from adaptive.runs import Entry, Place, Progress, recipe_for, results_path, stages_to_train, trained
from adaptive.scoring import cost, is_grey, score
from adaptive.training import Budget

from hyperrestore.atomic import write_atomically
from hyperrestore.errors import HyperrestoreError
from hyperrestore.learn.batch import crop_side
from hyperrestore.learn.device import choose_device, is_fast_in_bf16, keep_memory
from hyperrestore.learn.photos import Photos, find_photos, photos_digest, split_photos
from hyperrestore.level import Task
from hyperrestore.measure.pictures import find_pictures
from hyperrestore.measure.protocols import describe

RECORDS = Path(__file__).parents[1] / "results" / "adaptive.json"
DOCS = Path(__file__).parents[2] / "docs"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder of clean photos to train on")
    parser.add_argument("test", type=Path, help="folder of clean pictures to score")
    parser.add_argument("--task", choices=list(SCORED), default=Task.DENOISE, type=Task)
    parser.add_argument("--width", type=int, default=64, help="channels of the main network (64)")
    parser.add_argument("--blocks", type=int, default=16, help="its residual blocks (16)")
    parser.add_argument("--steps", type=int, default=10_000, help="half of those of a method (10,000)")
    parser.add_argument("--crops", type=int, default=20, help="in a step, of all levels together (20)")
    parser.add_argument("--crop", type=int, default=0, help="side of a crop, pixels (that of the recipe)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--levels", type=float, nargs="+", help="at which methods are scored")
    parser.add_argument("--dedicated", type=float, nargs="+", help="levels that have a network of their own")
    parser.add_argument("--pictures", type=int, help="only the first N pictures of TEST")
    parser.add_argument("--out", type=Path, default=Path("runs/adaptive"), help="folder for weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of torch")
    parser.add_argument("--save", action="store_true", help="add the results to docs/adaptive.md")
    options = parser.parse_args(arguments)
    for name in ("width", "blocks", "steps", "crops", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    options.dedicated = tuple(options.dedicated or DEDICATED_LEVELS[options.task])
    options.levels = tuple(sorted({*(options.levels or SCORED[options.task]), *options.dedicated}))
    return options


def place_of(options: argparse.Namespace, photos: str) -> Place:
    """The run of a command line; another size, budget or set of photos is another folder."""
    setting = setting_of(options.task, width=options.width, blocks=options.blocks)
    recipe, device = recipe_of(options.task), choose_device(options.device)
    budget = Budget(options.steps, options.crops, options.crop or recipe.training.crop, 0)
    facts = [asdict(setting), asdict(recipe), asdict(budget), photos, device.type]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
    return Place(options.out / digest, setting, recipe, budget, device, is_fast_in_bf16(device))


def entries(options: argparse.Namespace) -> list[Entry]:
    """What is compared: networks for one level each first, since other methods begin with some of them."""
    found = []
    for seed in options.seeds:
        found += [
            Entry(DEDICATED, seed, cast(Any, partial(Dedicated, level=level)), (level,))
            for level in options.dedicated
        ]
        found += [Entry(name, seed, METHODS[name], options.levels) for name in options.methods]
    return found


def compare(options: argparse.Namespace) -> Comparison:
    """Train and score what is missing; all results of what was asked for."""
    files, pictures = find_photos(options.photos), find_pictures(options.test)[: options.pictures]
    digest = photos_digest(files)
    place = place_of(options, digest)
    task, protocol = place.setting.task, place.recipe.training.protocol
    text = describe(task, protocol, grey=is_grey(task, protocol), channels={3}, seed=0)
    budget = place.budget
    run = Run(
        task, options.width, options.blocks, budget.steps, budget.crops, budget.crop, digest,
        options.test.resolve().name, len(pictures), text,
    )  # fmt: skip
    compared = entries(options)
    recipe, _ = recipe_for(place, compared[0], 0)
    photos = Photos(split_photos(files)[0], crop=crop_side(recipe), device=place.device)
    progress = Progress([*stages_to_train(place, compared)])
    found = Comparison(run, (), ())
    for entry in compared:
        path = results_path(place, entry)
        kept = read_comparisons(path)
        known = next((one for one in kept if one.run == run), Comparison(run, (), ()))
        if not set(entry.levels) <= {one.level for one in known.scores}:
            known = measure(place, entry, pictures, run, *trained(place, entry, photos, progress))
            write_comparisons(path, with_comparison(kept, known))
        (found,) = with_comparison([found], only(known, entry.levels))
    progress.bar.close()
    return found


def measure(
    place: Place, entry: Entry, pictures: Sequence[Path], run: Run, method: Method, crops: int
) -> Comparison:
    """The scores and costs of a trained method."""
    print(f"scoring {entry.name}, seed {entry.seed}", file=sys.stderr)
    scores = score(
        method, entry.name, place.setting.task, pictures, entry.levels,
        protocol=place.recipe.training.protocol, seed=entry.seed, device=place.device,
    )  # fmt: skip
    return Comparison(run, tuple(scores), (cost(method, entry.name, entry.levels, crops=crops),))


def only(known: Comparison, levels: Sequence[float]) -> Comparison:
    """Results without scores at other levels."""
    return replace(known, scores=tuple(one for one in known.scores if one.level in levels))


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, print the tables; with --save write records, page and plots."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    keep_memory()
    found = compare(options)
    print("\n\n".join(tables(found)))
    if options.save:
        records = with_comparison(read_comparisons(RECORDS), found)
        write_comparisons(RECORDS, records)
        draw(records, DOCS / "images")
        write_atomically(DOCS / "adaptive.md", page(records).encode())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("interrupted; run the same command again to go on") from None
    except HyperrestoreError as error:
        raise SystemExit(f"compare.py: {error}") from None
