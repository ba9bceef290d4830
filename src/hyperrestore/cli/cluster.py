"""A folder restored on a Ray cluster, with messages on each picture and on all."""

from __future__ import annotations

import argparse
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hyperrestore.cli.batch import show_result
from hyperrestore.cli.output import progress_bar, say
from hyperrestore.cli.plan import LEFTOVERS, dotted_suffix
from hyperrestore.errors import HyperrestoreError, UsageError
from hyperrestore.restore.place import Place, place_of

if TYPE_CHECKING:
    from hyperrestore.restore.crew import Crew
    from hyperrestore.restore.ledger import Ledger, Outcome
    from hyperrestore.restore.stream import Found
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
    from hyperrestore.restore.cluster import abandon, connected, restore_stream
    from hyperrestore.restore.ledger import Ledger
    from hyperrestore.restore.stream import Ahead, check_stream, stream_folder

    (folder,), out = options.inputs, place_of(options.out)
    suffix = dotted_suffix(options.format)
    check_stream(folder, out, suffix)
    ledger = Ledger()
    with connected(options.cluster), _crew(options, models, recipe, folder, out) as crew:
        found = Ahead(
            stream_folder(folder, out, suffix=suffix, overwrite=options.overwrite, shard=options.shard)
        )
        complete = False
        try:
            with _progress(options, folder, out) as show:
                for one, outcome in restore_stream(found, crew):
                    ledger.note(one, outcome)
                    show(ledger)
                    _say(one, outcome, as_json=options.json)
            complete = not ledger.statuses["left"] and not ledger.unreadable
        except KeyboardInterrupt:
            found.close()  # the rest of a large folder may take minutes
            for one, outcome in abandon(found, crew):
                ledger.note(one, outcome)
            raise
        finally:
            found.close()
            report(ledger, complete)
    code = _sum_up(ledger, folder, options.shard)
    ledger.close()
    return code


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


@contextmanager
def _progress(options: argparse.Namespace, folder: Place, out: Place) -> Iterator[Callable[[Ledger], None]]:
    """A bar on a terminal: another thread counts the pictures, since restoring does not wait for that."""
    from hyperrestore.restore.stream import count_pictures

    total: list[int] = []
    stop = threading.Event()

    def count() -> None:
        with suppress(HyperrestoreError, OSError):  # the listing itself will say so
            found = count_pictures(folder, out, shard=options.shard, stop=stop)
            total.extend([] if found is None else [found])

    if sys.stderr.isatty():
        threading.Thread(target=count, name="counting", daemon=True).start()
    with progress_bar("") as show:

        def update(ledger: Ledger) -> None:
            skipped = ledger.statuses["skipped"]
            done = ledger.statuses.total() - skipped
            if total and total[0] > skipped:
                show(done, total[0] - skipped, f"{done}/{total[0] - skipped}")
            else:
                show(0, 1, f"{done} so far")

        try:
            yield update
        finally:
            stop.set()


def _say(found: Found, outcome: Outcome | None, *, as_json: bool) -> None:
    """Report on what was found, or became of it."""
    if found.kind == "unreadable":
        say(f"error: {found.source}: cannot read this folder")
    elif found.kind == "leftovers":
        say(LEFTOVERS)
    elif outcome is not None and not isinstance(outcome, str):
        show_result(outcome, as_json=as_json)


def _sum_up(ledger: Ledger, folder: Place, shard: tuple[int, int] | None) -> int:
    """Summarise a folder at its end, and return the exit code."""
    from hyperrestore.picture.kinds import name_foreign
    from hyperrestore.restore.closing import count_line
    from hyperrestore.restore.folder import NO_PICTURES

    skipped, left, failed = (ledger.statuses[name] for name in ("skipped", "left", "failed"))
    foreign = [(Path(source), kind) for source, kind in ledger.foreign_kinds()]
    own = ledger.statuses.total()
    if not own and not ledger.elsewhere and not ledger.unreadable:
        beside = f"; not read: {name_foreign(foreign)}" if foreign else ""
        raise UsageError(f"{folder} {NO_PICTURES}{beside}")
    if shard is not None:
        say(f"part {shard[0]} of {shard[1]}: {own} of {own + ledger.elsewhere} pictures")
    if skipped:
        say(f"{skipped} of {own} pictures already exist")
    if ledger.older:
        say(f"warning: {ledger.older} results older than their originals, and kept; --overwrite replaces all")
    if foreign:
        say(f"not read: {name_foreign(foreign)}")
    counts = {"skipped": skipped, "left": left, "foreign": ledger.foreign, "others": ledger.others}
    say(count_line(ledger.outcomes, **counts))
    if left:
        say(f"the disk is full: {left} more not started; free some space and run the command again")
    return 1 if ledger.unreadable or failed else 0
