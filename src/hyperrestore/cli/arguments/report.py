"""The options of `report`."""

from __future__ import annotations

from hyperrestore.cli.arguments.shared import Commands
from hyperrestore.cli.arguments.values import path


def add_report(commands: Commands) -> None:
    """Add `report merge`."""
    command = commands.add_parser(
        "report",
        help="merge the reports of several shards",
        description="Work with the reports that --report writes.",
    )
    actions = command.add_subparsers(
        required=True, dest="action", metavar="ACTION", help="what to do with the reports"
    )
    merge = actions.add_parser(
        "merge",
        help="merge the reports of all shards of a batch into one",
        description="Merge the reports of all shards of a batch into one. The exit code is 1 if a shard is "
        "missing or incomplete, or if pictures failed.",
        epilog="Example: hyperrestore report merge part-*.json -o report.json",
    )
    merge.add_argument(
        "reports",
        nargs="+",
        type=path,
        metavar="REPORT",
        help="report of a shard, as --shard K/N --report FILE writes it",
    )
    merge.add_argument("-o", "--out", type=path, required=True, metavar="FILE", help="the JSON file to write")
