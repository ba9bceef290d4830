"""The options of `upscale`."""

from __future__ import annotations

from hyperrestore.cli.arguments.restore import add_dials
from hyperrestore.cli.arguments.shared import Commands, add_files, add_model
from hyperrestore.cli.arguments.values import number, whole


def add_upscale(commands: Commands) -> None:
    """Add `upscale`."""
    command = commands.add_parser(
        "upscale",
        help="enlarge pictures to any size",
        description="Enlarge pictures to any size: by a scale, or to a width, a height or a long side. In a "
        "batch, pictures that are already as large are left as they are. Bit depth, transparency, colour "
        "profile and metadata are kept.",
        epilog="Example: hyperrestore upscale photo.png -o large.png -s 2.5",
    )
    add_files(command)
    size = command.add_mutually_exclusive_group(required=True)
    size.add_argument(
        "-s",
        "--scale",
        type=number,
        dest="level",
        metavar="FACTOR",
        help="factor for both sides, 1 to 4, or to 6 with a warning",
    )
    size.add_argument("--width", type=whole(1), dest="to_width", metavar="PIXELS", help="width of the result")
    size.add_argument(
        "--height", type=whole(1), dest="to_height", metavar="PIXELS", help="height of the result"
    )
    size.add_argument("--long-side", type=whole(1), metavar="PIXELS", help="longer side of the result")
    command.add_argument(
        "--softness", type=number, metavar="NUMBER",
        help="how soft the picture is: 1 (default) if it was shrunk with antialiasing, 0 if it is crisp and "
        "jagged, 2 if it is blurred; a higher value sharpens more; for models with this level",
    )  # fmt: skip
    command.add_argument(
        "--restore", action="store_true",
        help="estimate the noise and the JPEG damage of each picture, and repair them before it is enlarged, "
        "as `restore` does",
    )  # fmt: skip
    add_dials(command, condition="with --restore: ")
    command.set_defaults(tasks=("upscale",))
    add_model(command)
