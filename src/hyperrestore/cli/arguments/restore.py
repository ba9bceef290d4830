"""The options of `restore`, `denoise` and `dejpeg`."""

from __future__ import annotations

import argparse
from typing import NoReturn

from hyperrestore.cli.arguments.shared import Commands, add_files, add_model
from hyperrestore.cli.arguments.values import (
    dial,
    dial_with_least,
    level,
    number,
    numbers,
    path,
    region,
    share,
)
from hyperrestore.errors import UsageError


class _OfOtherCommands(argparse.Action):
    """An option that `restore` does not have: refused, with the command that has it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> NoReturn:
        """Refuse it."""
        parser.error(
            f"{option_string} is not for `restore`, which repairs two kinds of damage: give --noise SIGMA, "
            "--jpeg-quality QUALITY or --strength FACTOR; or use `denoise -l SIGMA` or `dejpeg -l QUALITY`"
        )


def add_restore(commands: Commands) -> None:
    """Add `restore`."""
    command = commands.add_parser(
        "restore",
        help="estimate the noise and JPEG damage of pictures, and repair both",
        description="Estimate how strongly pictures were compressed as JPEG and how noisy they are, and "
        "repair both. What needs no repair is left as it is. Bit depth, transparency, colour profile and "
        "metadata are kept.",
        epilog="Example: hyperrestore restore photo.jpg -o restored.png --strength 1.5",
    )
    add_files(command)
    add_dials(command)
    _add_grain(command)
    command.set_defaults(tasks=("denoise", "dejpeg"), level=None)
    for words_of_others in (("-l", "--level"), ("--level-map",), ("--sweep",)):
        command.add_argument(
            *words_of_others, nargs="*", action=_OfOtherCommands, dest="of_others", help=argparse.SUPPRESS
        )


def add_dials(command: argparse.ArgumentParser, *, condition: str = "") -> None:
    """Add how strongly noise and JPEG compression are repaired.

    Args:
        command: That repairs both.
        condition: When it does, in front of the help texts.
    """
    command.add_argument(
        "--noise", type=dial_with_least, metavar="SIGMA",
        help=f"{condition}level of the noise, as for `denoise`; auto (default) estimates it for each "
        "picture; 8+ estimates it, but uses at least 8; none leaves noise alone",
    )  # fmt: skip
    command.add_argument(
        "--colour-noise", type=dial, metavar="SIGMA",
        help=f"{condition}level of the noise of colours, where it differs from that of brightness: more "
        "against blotches of colour; none leaves it alone; auto estimates it. With it, one network repairs "
        "all at once",
    )  # fmt: skip
    command.add_argument(
        "--jpeg-quality", type=dial, metavar="QUALITY",
        help=f"{condition}quality at which the pictures were saved, as for `dejpeg`; auto (default) "
        "estimates it for each picture; none leaves JPEG damage alone",
    )  # fmt: skip
    _add_strength(command, condition)


def _add_strength(command: argparse.ArgumentParser, condition: str = "") -> None:
    command.add_argument(
        "--strength", type=number, metavar="FACTOR",
        help=f"{condition}how strongly to repair estimated damage, 0.1 to 10 (default 1): 2 repairs as if "
        "it were twice as strong",
    )  # fmt: skip


def add_denoise(commands: Commands) -> None:
    """Add `denoise`."""
    command = commands.add_parser(
        "denoise",
        help="remove noise from pictures",
        description="Remove noise from pictures. Bit depth, transparency, colour profile and metadata are "
        "kept.",
        epilog="Example: hyperrestore denoise photo.jpg -o restored.png -l 25",
    )
    add_files(command)
    command.add_argument(
        "-l", "--level", default="auto", type=level, metavar="SIGMA",
        help="strength of the noise: its standard deviation on the 8-bit scale, 0 to 75, or to 100 with a "
        "warning (a photo at high ISO has 5 to 25); auto (default) estimates it, and leaves pictures with "
        "almost no noise alone; with a map, two values, such as 0:40",
    )  # fmt: skip
    _add_strength(command)
    _add_grain(command)
    _add_choice(command)
    command.set_defaults(tasks=("denoise",))
    add_model(command)


def add_dejpeg(commands: Commands) -> None:
    """Add `dejpeg`."""
    command = commands.add_parser(
        "dejpeg",
        help="repair the damage of JPEG compression",
        description="Repair the blocks, halos and lost colours of JPEG compression. Bit depth, transparency, "
        "colour profile and metadata are kept.",
        epilog="Example: hyperrestore dejpeg photo.jpg -o restored.png",
    )
    add_files(command)
    command.add_argument(
        "-l", "--level", default="auto", type=level, metavar="QUALITY",
        help="quality at which the picture was saved, 5 to 100, or from 1 with a warning: a lower value "
        "means a stronger repair; auto (default) estimates it, even if the picture was saved again later, "
        "and leaves pictures without JPEG damage alone; with a map, two values, such as 100:20",
    )  # fmt: skip
    _add_strength(command)
    _add_choice(command)
    command.set_defaults(tasks=("dejpeg",))
    add_model(command)


def _add_grain(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--grain", type=share, default=0.0, metavar="0..1",
        help="share of the luminance noise to put back, if the result looks too clean",
    )  # fmt: skip


def _add_choice(command: argparse.ArgumentParser) -> None:
    """Add the options for more than one level: a level for each pixel, or several to choose from."""
    command.add_argument(
        "--level-map", type=path, metavar="MASK",
        help="picture of any size that sets the level of each pixel: the first value of -l where it is "
        "black, the second where it is white",
    )  # fmt: skip
    command.add_argument(
        "--sweep", type=numbers, metavar="LEVEL,...",
        help="write a sheet that shows one region at each of these levels, instead of a restored picture",
    )  # fmt: skip
    command.add_argument(
        "--region", type=region, metavar="X,Y,W,H",
        help="region that the sheet shows; default: the one of several candidates where the levels differ "
        "most",
    )  # fmt: skip
    command.add_argument(
        "--singles", action="store_true", help="also write the whole picture at every level of the sheet"
    )


def check_choice(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other.

    Raises:
        UsageError: Two do.
    """
    _check_dials(options)
    two = isinstance(options.level, tuple)
    if options.level_map and not two:
        raise UsageError("--level-map needs two levels, where it is black and where it is white: as -l 0:40")
    if two and not options.level_map:
        raise UsageError("two levels need a mask that says where each is taken: give --level-map MASK")
    if options.sweep and (options.level is not None or options.grain or options.strength is not None):
        raise UsageError(
            "--sweep takes its levels instead of -l, --level-map, --strength and --grain; give only one"
        )
    if options.sweep and options.keep_times:
        raise UsageError("--keep-times is for restored pictures, not for sheets: leave it out, or --sweep")
    if not options.sweep and (options.region or options.singles):
        raise UsageError("--region and --singles are for a sheet: give --sweep LEVEL,...")


def _check_dials(options: argparse.Namespace) -> None:
    """Refuse dials that leave nothing to do, and a strength where nothing is estimated."""
    if options.command == "upscale" and not options.restore:
        given = {
            "noise": options.noise,
            "colour-noise": options.colour_noise,
            "jpeg-quality": options.jpeg_quality,
            "strength": options.strength,
        }
        for name, value in given.items():
            if value is not None:
                raise UsageError(
                    f"--{name} is for what `upscale` repairs first: add --restore, or leave it out"
                )
    colours = options.noise if options.colour_noise is None else options.colour_noise
    dials = (options.noise, colours, options.jpeg_quality)
    if all(dial is not None and dial.is_off for dial in dials):
        raise UsageError(
            "--noise none and --jpeg-quality none leave nothing to repair; give only one of them"
        )
    if options.grain and options.noise is not None and options.noise.is_off:
        raise UsageError(
            "--grain puts back a share of the noise that is removed, and --noise none removes none; leave "
            "out one of the two"
        )
    if options.strength is None:
        return
    if options.level is not None and options.command != "upscale":
        raise UsageError("--strength multiplies an estimated level; give only one of -l and --strength")
    if not any(dial is None or dial.is_estimated for dial in dials):
        raise UsageError(
            "--strength multiplies estimated levels, and --noise and --jpeg-quality leave none to estimate; "
            "leave out --strength, or give auto for one of them"
        )
