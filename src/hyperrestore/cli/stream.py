"""A folder restored while it is still searched, with messages on each picture and on all."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hyperrestore.cli.batch import show_result
from hyperrestore.cli.output import progress_bar, say
from hyperrestore.cli.plan import LEFTOVERS, dotted_suffix
from hyperrestore.errors import HyperrestoreError, UsageError
from hyperrestore.restore.place import Place, StoredPath, place_of

if TYPE_CHECKING:
    from hyperrestore.restore.hand_out import AnyCrew
    from hyperrestore.restore.ledger import Ledger, Outcome
    from hyperrestore.restore.stream import Found


def is_streamed(options: argparse.Namespace) -> bool:
    """Whether a folder is restored while it is searched: one whose pictures or results lie in a storage.

    It is not where results could replace pictures or the mask, which only the whole listing tells.

    Raises:
        PictureError: A storage refuses or does not answer.
    """
    from hyperrestore.restore.folder import is_place_folder
    from hyperrestore.restore.stream import lies_in

    if not options.recursive or len(options.inputs) != 1:
        return False
    (folder,), out = options.inputs, place_of(options.out)
    if not (isinstance(folder, StoredPath) or isinstance(out, StoredPath)) or lies_in(folder, out):
        return False
    if options.level_map and lies_in(options.level_map, out):
        return False
    return is_place_folder(folder)


def run_stream(options: argparse.Namespace, crew: AnyCrew, report: Callable[[Ledger, bool], None]) -> int:
    """Restore a folder.

    Args:
        options: Of the command.
        crew: Who restores its pictures; the caller ends it.
        report: Writes the report: from all outcomes, and whether they are complete.

    Returns:
        The exit code.
    """
    from hyperrestore.restore.hand_out import abandon, restore_stream
    from hyperrestore.restore.ledger import Ledger
    from hyperrestore.restore.stream import Ahead, stream_folder

    (folder,), out = options.inputs, place_of(options.out)
    suffix = dotted_suffix(options.format)
    ledger = Ledger()
    found = Ahead(stream_folder(folder, out, suffix=suffix, overwrite=options.overwrite, shard=options.shard))
    complete = False
    try:
        with _progress(options, folder, out) as show:
            for one, outcome in restore_stream(found, crew):
                ledger.note(one, outcome)
                show(ledger)
                _say(one, outcome, as_json=options.json)
        complete = not ledger.statuses["left"] and not ledger.unreadable
    except (KeyboardInterrupt, HyperrestoreError):
        found.close()  # the rest of a large folder may take minutes
        for one, outcome in abandon(found, crew):
            ledger.note(one, outcome)
            _say(one, outcome, as_json=options.json)
        raise
    finally:
        found.close()
        if ledger.is_of_pictures:
            report(ledger, complete)
    code = _sum_up(ledger, folder, options.shard)
    ledger.close()
    return code


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
        say(f"error: {found.words}")
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
    foreign = list(ledger.foreign_kinds())
    own = ledger.statuses.total()
    if not ledger.is_of_pictures:
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
