"""A plan -> its files, with messages on each and on all."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

from hyperrestore.cli.output import printable, progress_bar, put, say
from hyperrestore.cli.plan import Plan, say_what_is_not_read

if TYPE_CHECKING:
    from hyperrestore.restore.batch import Failure
    from hyperrestore.restore.file import Success

logger = logging.getLogger(__name__)


def run_plan(
    make: Callable[..., Success],
    plan: Plan,
    *,
    size: Callable[[int, int], tuple[int, int]],
    make_folders: bool,
    as_json: bool,
    finish: Callable[[Sequence[Success | Failure]], None],
) -> list[Success | Failure]:
    """Make all files, and report on each.

    Args:
        make: Makes a result from a picture file.
        plan: The pictures and their results.
        size: Width and height of a picture -> those of its result.
        make_folders: Whether the folders of the results are to be made.
        as_json: Print an object for each file, not its path.
        finish: Called at the end, also after Ctrl-C, with the results so far.
    """
    from hyperrestore.restore.batch import restore_files

    labels = _labels(plan)
    results: list[Success | Failure] = []
    try:
        with progress_bar(labels[0] if labels else "") as show:
            made = restore_files(
                make,
                plan.pairs,
                size=size,
                make_folders=make_folders,
                progress=lambda index, share: show(share, 1, labels[index]),
            )
            with closing(made):
                for result in made:
                    results.append(result)
                    show_result(result, as_json=as_json)
    finally:
        finish(results)
    return results


def _labels(plan: Plan) -> list[str]:
    """The text of the progress bar for each picture."""
    names = [printable(source.name) for source, _ in plan.pairs]
    if len(names) == 1:
        return names
    return [f"{number}/{len(names)} {name}" for number, name in enumerate(names, 1)]


def show_result(result: Success | Failure, *, as_json: bool) -> None:
    """Report on a picture."""
    from hyperrestore.restore.batch import Failure
    from hyperrestore.restore.steps import in_words

    if isinstance(result, Failure):
        say(f"error: {result.error}")
        return
    for note in result.notes:
        say(f"{result.source}: {note}")
    logger.info(
        "wrote %s: %d x %d pixels, %s, in %.2f s",
        *(result.target, result.width, result.height),
        in_words(result.levels) or "unchanged",
        result.seconds,
    )
    put(json.dumps(asdict(result)) if as_json else result.target)


def sum_up(results: Sequence[Success | Failure], plan: Plan, *, keeps_existing: bool) -> int:
    """Summarise a batch at its end; each failure was reported when it happened.

    Args:
        results: Of the pictures that were started.
        plan: The pictures and their results.
        keeps_existing: Whether the same command, run again, continues where this one ended.

    Returns:
        The exit code.
    """
    from hyperrestore.errors import DiskFullError
    from hyperrestore.restore.batch import Failure
    from hyperrestore.restore.closing import count_results

    failed = [result.error for result in results if isinstance(result, Failure)]
    left = len(plan.pairs) - len(results)
    if plan.found.in_folder:
        say_what_is_not_read(plan.found)
        foreign, others = len(plan.found.foreign), plan.found.others
        say(count_results(results, skipped=len(plan.skipped), left=left, foreign=foreign, others=others))
    elif len(plan.pairs) > 1 and failed:
        say(f"{len(failed)} of {len(plan.pairs)} pictures failed")
    if left and any(isinstance(error, DiskFullError) for error in failed):
        again = "" if keeps_existing else " with --skip-existing"
        say(f"the disk is full: {left} more not started; free some space and run the command again{again}")
    if plan.found.unreadable or (plan.is_batch and failed):
        return 1
    return failed[0].exit_code if failed else 0
