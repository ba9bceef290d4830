"""Whether libvips still has its threads: a process that was forked from one with threads has none of them.

libvips keeps the threads of a finished computation for the next one. A forked child inherits the list of
them and not the threads, and would wait for them for ever.
"""

from __future__ import annotations

import os

from hyperrestore.errors import UsageError

_started = False  # in this process, or in one that it was forked from
_lost = False


def before_threads(what: str) -> None:
    """Note that libvips is about to compute with threads.

    Args:
        what: What it is to compute, for the message.

    Raises:
        UsageError: It had threads before this process was forked.
    """
    global _started
    if _lost:
        raise UsageError(
            f"{what}: this process was forked after its parent had computed with libvips, which does not "
            'work in a fork; start processes by "spawn": multiprocessing.get_context("spawn")'
        )
    _started = True


def _in_child() -> None:
    global _lost
    _lost = _started


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_in_child)
