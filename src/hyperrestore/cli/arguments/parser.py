"""The whole command line, put together from its commands."""

from __future__ import annotations

import argparse
from typing import NoReturn

from hyperrestore import __version__
from hyperrestore.cli.arguments.evaluate import add_evaluate
from hyperrestore.cli.arguments.export import add_export
from hyperrestore.cli.arguments.inspect import add_inspect
from hyperrestore.cli.arguments.report import add_report
from hyperrestore.cli.arguments.restore import add_dejpeg, add_denoise, add_restore
from hyperrestore.cli.arguments.shared import add_verbose
from hyperrestore.cli.arguments.train import add_calibrate, add_train
from hyperrestore.cli.arguments.upscale import add_upscale
from hyperrestore.cli.arguments.web import add_web
from hyperrestore.errors import UsageError

# In the order in which --help lists them.
_COMMANDS = (
    add_restore,
    add_inspect,
    add_denoise,
    add_dejpeg,
    add_upscale,
    add_report,
    add_web,
    add_evaluate,
    add_train,
    add_export,
    add_calibrate,
)


class _Parser(argparse.ArgumentParser):
    """A parser whose error message is one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


def parser() -> argparse.ArgumentParser:
    """The whole command line; `command` says which command was given."""
    words = _Parser(
        prog="hyperrestore",
        description="Adjustable image restoration: you set the level; one small model serves all of them.",
        epilog="Exit code: 0 done, 1 some pictures failed, 2 wrong usage, 130 interrupted. "
        "See `hyperrestore COMMAND --help` for details.",
    )
    words.add_argument("--version", action="version", version=f"hyperrestore {__version__}")
    commands = words.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for add in _COMMANDS:
        add(commands)
    add_verbose(words, default=False)
    for command in commands.choices.values():
        add_verbose(command, default=argparse.SUPPRESS)  # or it would undo what was said before the command
    return words
