"""A folder restored on a Ray cluster."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hyperrestore.cli.output import say
from hyperrestore.cli.plan import LEFTOVERS, dotted_suffix
from hyperrestore.cli.stream import run_stream
from hyperrestore.errors import UsageError
from hyperrestore.restore.place import Place, place_of

if TYPE_CHECKING:
    from hyperrestore.restore.crew import Crew
    from hyperrestore.restore.ledger import Ledger
    from hyperrestore.restore.worker import Recipe

DYING = 5.0  # seconds that killed workers have to end
GPU_SHARE = 0.25  # of a GPU for each worker: while one computes on it, others decode and encode


def check_cluster(options: argparse.Namespace) -> None:
    """Refuse what a cluster cannot do.

    Raises:
        UsageError: It is not one folder with -r, or an option does not fit.
    """
    if not options.recursive or len(options.inputs) != 1:
        raise UsageError("--cluster restores one folder: give FOLDER -r -o OUT")
    if options.singles:
        raise UsageError("--singles is for pictures on this machine; leave it out, or --cluster")
    if ":" in options.device:
        raise UsageError(f"a cluster chooses among its GPUs, got device {options.device}; give --device cuda")


def run_cluster(
    options: argparse.Namespace,
    models: Mapping[str, str],
    recipe: Recipe,
    report: Callable[[Ledger, bool], None],
) -> int:
    """Restore a folder on a cluster.

    Args:
        options: Of the command.
        models: By task.
        recipe: Makes, on each machine, the function that restores a picture.
        report: Writes the report: from all outcomes, and whether they are complete.

    Returns:
        The exit code.
    """
    from hyperrestore.restore.cluster import connected
    from hyperrestore.restore.stream import check_stream

    (folder,), out = options.inputs, place_of(options.out)
    check_stream(folder, out, dotted_suffix(options.format))
    with connected(options.cluster), _crew(options, models, recipe, folder, out) as crew:
        return run_stream(options, crew, report)


@contextmanager
def _crew(
    options: argparse.Namespace, models: Mapping[str, str], recipe: Recipe, folder: Place, out: Place
) -> Iterator[Crew]:
    """Workers, of which none is left at the end."""
    from hyperrestore.picture.temporary import remove_leftovers_of_dying
    from hyperrestore.restore.cluster import LOCAL
    from hyperrestore.restore.crew import Crew
    from hyperrestore.restore.worker import Order, digests, versions

    crew = None
    try:
        with _marked(out) as marker:
            order = Order(
                versions=versions(),
                folder=str(Path.cwd()),
                keeps=not options.overwrite,
                threads=max(1, int(options.worker_cpus)),
                models=digests(models.values()),
                places=pickle.dumps((folder, out, marker)),
                recipe=pickle.dumps(recipe),
            )
            gpus = GPU_SHARE if options.device == "cuda" else 0
            crew = Crew(order, cpus=options.worker_cpus, gpus=gpus, grows=options.cluster != LOCAL)
            try:
                yield crew
            finally:
                crew.end()
    finally:
        for place in crew.died_in if crew else ():
            remove_leftovers_of_dying(place, seconds=DYING)


@contextmanager
def _marked(out: Place) -> Iterator[Path | None]:
    """A folder in that of the results, by which other machines know it; None in a storage."""
    from hyperrestore.picture.temporary import folder_beside, remove_leftovers
    from hyperrestore.restore.folder import make_folder

    if not isinstance(out, Path):
        yield None
        return
    make_folder(out)
    if remove_leftovers(out):
        say(LEFTOVERS)
    with folder_beside(out, out / "cluster") as marker:
        yield marker
