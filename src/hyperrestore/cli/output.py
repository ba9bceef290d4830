"""Output: messages on stderr, data on stdout, and a progress bar."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from hyperrestore.errors import ExtrapolationWarning


def say(text: str) -> None:
    """Write one line to stderr; line breaks and control characters in file names are escaped."""
    with _beside_the_bar():
        print(f"hyperrestore: {printable(text)}", file=sys.stderr)


def printable(text: str) -> str:
    """A text with line breaks and control characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def put(text: str) -> None:
    """Write data to stdout at once."""
    with _beside_the_bar():
        try:
            print(text, flush=True)
        except UnicodeEncodeError:  # the name of a file that is no text here: the bytes it has on the disk
            sys.stdout.buffer.write(os.fsencode(text + "\n"))
            sys.stdout.flush()


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr, if that is a terminal; it is removed at the end."""
    from tqdm import tqdm

    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    # The remaining time is based on the mean speed since the start, since the latest varies too much.
    with tqdm(
        total=1, desc=label, bar_format=form, smoothing=0, leave=False, disable=None, file=sys.stderr
    ) as bar:

        def show(done: float, total: float, label: str = label) -> None:
            bar.total = total
            if not bar.disable and bar.desc != label:
                bar.set_description_str(label)
            bar.update(done - bar.n)

        yield show


def _beside_the_bar() -> AbstractContextManager[None]:
    """Take a bar off the terminal while a line is written to it."""
    tqdm = sys.modules.get("tqdm")
    return tqdm.tqdm.external_write_mode() if tqdm else nullcontext()


@contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """Show each warning in one line, every time."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", ExtrapolationWarning)
        warnings.showwarning = lambda message, *place: say(f"warning: {message}")
        yield


@contextmanager
def logs_in_lines(*, verbose: bool) -> Iterator[None]:
    """Show the library's log: only warnings and errors, or everything."""
    logger, handler = logging.getLogger("hyperrestore"), _Lines()
    before = logger.level
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Lines(logging.Handler):
    """Writes each record in a line, and an exception in several."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        kind = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        say(f"{kind}{record.getMessage()}")
        if record.exc_info:
            with _beside_the_bar():
                print(logging.Formatter().formatException(record.exc_info), file=sys.stderr)
