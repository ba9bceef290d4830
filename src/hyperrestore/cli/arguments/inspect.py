"""The options of `inspect`."""

from __future__ import annotations

from hyperrestore.cli.arguments.shared import Commands, add_inputs, add_limit


def add_inspect(commands: Commands) -> None:
    """Add `inspect`."""
    command = commands.add_parser(
        "inspect",
        help="report what is wrong with pictures, and change nothing",
        description="Report how strongly pictures were compressed as JPEG and how noisy they are, and which "
        "command would repair them.",
        epilog="Example: hyperrestore inspect photo.jpg",
    )
    add_inputs(command, "also accept folders, and inspect all pictures in them; a table sums up the findings")
    command.add_argument("--json", action="store_true", help="print a JSON object for each picture")
    add_limit(command)
