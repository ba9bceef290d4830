"""The command line: parses arguments, calls a command, and turns errors into exit codes.

Exit codes: 0 done, 1 some pictures failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from hyperrestore.cli.arguments.parser import parser
from hyperrestore.cli.evaluate import run_evaluate
from hyperrestore.cli.export import run_export
from hyperrestore.cli.inspect import run_inspect
from hyperrestore.cli.output import logs_in_lines, say, warnings_in_a_line
from hyperrestore.cli.report import run_report
from hyperrestore.cli.restore import run_restore
from hyperrestore.cli.signals import stopped_like_ctrl_c
from hyperrestore.cli.train import run_calibrate, run_train
from hyperrestore.cli.web import run_web
from hyperrestore.errors import HyperrestoreError

# The commands import what they need when they are called, so that `hyperrestore --help` answers at once.
COMMANDS = {
    "restore": run_restore,
    "inspect": run_inspect,
    "denoise": run_restore,
    "dejpeg": run_restore,
    "upscale": run_restore,
    "report": run_report,
    "web": run_web,
    "evaluate": run_evaluate,
    "train": run_train,
    "export": run_export,
    "calibrate": run_calibrate,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; None for the real ones.

    Returns:
        The exit code.
    """
    try:
        options = parser().parse_args(arguments)
        with stopped_like_ctrl_c(), warnings_in_a_line(), logs_in_lines(verbose=options.verbose):
            return COMMANDS[options.command](options)
    except HyperrestoreError as error:
        say(f"error: {error}")
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output has stopped, as `head` does. Discard what Python still holds for it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder without permission
        where = "" if error.filename is None else f"{error.filename}: "
        say(f"error: {where}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
