"""The options of `web`."""

from __future__ import annotations

from hyperrestore.cli.arguments.shared import Commands
from hyperrestore.cli.arguments.values import whole


def add_web(commands: Commands) -> None:
    """Add `web`."""
    command = commands.add_parser(
        "web",
        help="open a page to restore photos by eye",
        description="Serve a page on this machine where you drop photos, turn the dial and download the "
        "results. Nothing leaves the machine. Ctrl-C stops it and removes its temporary files.",
        epilog="Example: hyperrestore web",
    )
    command.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="address to listen on (default 127.0.0.1: only this machine); for any other, the printed URL "
        "contains a token that visitors need, unless the environment variable HYPERRESTORE_TOKEN sets one",
    )  # fmt: skip
    command.add_argument(
        "--port", type=whole(0, 65535), default=8642, metavar="NUMBER",
        help="port to listen on (default 8642); 0 picks a free one",
    )  # fmt: skip
    command.add_argument(
        "--workers", type=whole(1, 64), default=1, metavar="NUMBER",
        help="restore in this many processes, so that as many visitors are served at a time; they share the "
        "CPUs, and each needs memory for its own model (default 1)",
    )  # fmt: skip
    command.add_argument("--no-open", action="store_true", help="do not open a browser")
