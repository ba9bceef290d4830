"""What a person types: the commands, their options and what they accept."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from hyperrestore import __version__
from hyperrestore.errors import UsageError

PICTURES = "PNG, JPEG, WebP, TIFF or AVIF file"


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


class _OfOtherCommands(argparse.Action):
    """An option that `restore` has not, with the way to what is meant by it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> NoReturn:
        """Refuse it."""
        parser.error(
            f"{option_string} is not for `restore`, which finds every level out: for a level of your own use "
            "`denoise -l SIGMA` or `dejpeg -l QUALITY`"
        )


def parser() -> argparse.ArgumentParser:
    """The whole command line; `command` says which command was given."""
    words = _Parser(
        prog="hyperrestore",
        description="Adjustable image restoration: one small model, every level, set by you.",
        epilog="Exit code: 0 done, 1 some pictures failed, 2 wrong usage, 130 interrupted. "
        "`hyperrestore COMMAND --help` says more.",
    )
    words.add_argument("--version", action="version", version=f"hyperrestore {__version__}")
    commands = words.add_subparsers(required=True, dest="command", metavar="COMMAND")

    command = commands.add_parser(
        "restore",
        help="find out what is wrong with pictures, and repair it",
        description="Find out how strongly pictures were compressed as JPEG and how noisy they are, and "
        "repair both. What needs no repair is left as it is. Bit depth, transparency, colour profile and "
        "metadata stay.",
        epilog="Example: hyperrestore restore photo.jpg -o restored.png",
    )
    _add_files(command)
    _add_grain(command)
    command.set_defaults(tasks=("denoise", "dejpeg"), level=None)
    for words_of_others in (("-l", "--level"), ("--level-map",), ("--sweep",)):
        command.add_argument(
            *words_of_others, nargs="*", action=_OfOtherCommands, dest="of_others", help=argparse.SUPPRESS
        )

    command = commands.add_parser(
        "inspect",
        help="say what is wrong with pictures, and change nothing",
        description="Say how strongly pictures were compressed as JPEG and how noisy they are, and which "
        "command would repair them.",
        epilog="Example: hyperrestore inspect photo.jpg",
    )
    _add_inputs(command, "take folders, too, and all pictures in them; a table ends what is said")
    command.add_argument("--json", action="store_true", help="print a JSON object for each picture")
    _add_limit(command)

    command = commands.add_parser(
        "denoise",
        help="take noise out of pictures",
        description="Take noise out of pictures. Bit depth, transparency, colour profile and metadata stay.",
        epilog="Example: hyperrestore denoise photo.jpg -o restored.png -l 25",
    )
    _add_files(command)
    command.add_argument(
        "-l", "--level", default="auto", type=_level, metavar="SIGMA",
        help="strength of the noise: its standard deviation on the 8-bit scale, 0 to 75, or to 100 with a "
        "warning (a photo at high ISO has 5 to 25); auto (default) finds it out, and leaves alone what has "
        "next to none; with a map "
        "two of them, as 0:40",
    )  # fmt: skip
    _add_grain(command)
    _add_choice(command)
    command.set_defaults(tasks=("denoise",))
    _add_model(command)

    command = commands.add_parser(
        "dejpeg",
        help="repair what JPEG compression has damaged",
        description="Repair the blocks, halos and lost colours of JPEG compression. Bit depth, transparency, "
        "colour profile and metadata stay.",
        epilog="Example: hyperrestore dejpeg photo.jpg -o restored.png",
    )
    _add_files(command)
    command.add_argument(
        "-l", "--level", default="auto", type=_level, metavar="QUALITY",
        help="quality at which the picture was saved, 5 to 100, or from 1 with a warning: lower means a "
        "stronger repair; auto (default) finds it out, also where a picture was saved again, and leaves "
        "alone what shows none; "
        "with a map two of them, as 100:20",
    )  # fmt: skip
    _add_choice(command)
    command.set_defaults(tasks=("dejpeg",))
    _add_model(command)

    command = commands.add_parser(
        "upscale",
        help="enlarge pictures to any size",
        description="Enlarge pictures to any size, by a scale or to a width, a height or a long side; of "
        "several pictures, those that have that size already are left as they are. Bit depth, transparency, "
        "colour profile and metadata stay.",
        epilog="Example: hyperrestore upscale photo.png -o large.png -s 2.5",
    )
    _add_files(command)
    size = command.add_mutually_exclusive_group(required=True)
    size.add_argument(
        "-s",
        "--scale",
        type=_number,
        dest="level",
        help="factor for both sides, 1 to 4, or to 6 with a warning",
    )
    size.add_argument(
        "--width", type=_whole(1), dest="to_width", metavar="PIXELS", help="width of the result"
    )
    size.add_argument(
        "--height", type=_whole(1), dest="to_height", metavar="PIXELS", help="height of the result"
    )
    size.add_argument("--long-side", type=_whole(1), metavar="PIXELS", help="longer side of the result")
    command.add_argument(
        "--softness", type=_number, metavar="NUMBER",
        help="how soft the picture is: the width of the kernel that shrank it, 1 (default) for that of "
        "antialiased bicubic shrinking, 0 for a crisp and jagged picture, 2 for a blurred one; more sharpens "
        "more; for models that have this level",
    )  # fmt: skip
    command.set_defaults(tasks=("upscale",))
    _add_model(command)

    command = commands.add_parser(
        "web",
        help="open a page to restore photos by eye",
        description="Serve a page on this machine, where photos are dropped, the dial is turned and results "
        "are downloaded. Nothing leaves the machine. Ctrl-C ends it, and removes its temporary files.",
        epilog="Example: hyperrestore web",
    )
    command.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="where to listen (default 127.0.0.1: only this machine); elsewhere, the printed address has a "
        "token in it that visitors need",
    )  # fmt: skip
    command.add_argument(
        "--port", type=_whole(0, 65535), default=8642, metavar="NUMBER",
        help="default 8642; 0 takes a free one",
    )  # fmt: skip
    command.add_argument("--no-open", action="store_true", help="do not open a browser")

    command = commands.add_parser(
        "evaluate",
        help="measure a model on clean pictures",
        description="Degrade clean pictures at known levels, restore them and print PSNR, SSIM and time.",
        epilog="Example: hyperrestore evaluate denoise photos/ --levels 15,25,50 --plot curve.png",
    )
    command.add_argument("model", metavar="MODEL", help="denoise, dejpeg, upscale, or a checkpoint's path")
    command.add_argument("folder", type=_path, metavar="FOLDER", help="clean pictures")
    command.add_argument(
        "-l", "--levels", type=_numbers, metavar="LEVEL,...",
        help="in the model's unit; default 15,25,50 for denoise, 10,20,30,40 for dejpeg, 2,3,4 for upscale",
    )  # fmt: skip
    command.add_argument(
        "--protocol", default="standard", metavar="NAME",
        help="standard (default), as most of the field measures, or hyperres: noise is clipped and truncated "
        "to 8 bits, JPEG is full-range grey, pictures are rescaled without antialiasing",
    )  # fmt: skip
    command.add_argument("--grey", action="store_true", help="score the luminance as grey pictures")
    command.add_argument(
        "--softness", type=_number, metavar="NUMBER",
        help="of upscale: shrink by a kernel so many times as wide as bicubic's; default 1",
    )  # fmt: skip
    command.add_argument(
        "--told-softness", type=_number, metavar="NUMBER",
        help="of upscale: the softness that the model is told, if it is not the true one",
    )  # fmt: skip
    command.add_argument(
        "--seed", type=_whole(0), default=0, metavar="NUMBER", help="of the noise; default 0"
    )
    command.add_argument(
        "-f", "--format", default="text", metavar="NAME", help="text (default), csv or json; to stdout"
    )
    command.add_argument("--plot", metavar="FILE", help="draw PSNR over the level (PNG, SVG, PDF)")
    _add_engine(command)

    command = commands.add_parser(
        "train",
        help="train a model on a folder of photos",
        description="Train a model. Ctrl-C stops after the step and keeps everything; --resume goes on.",
        epilog="Example: hyperrestore train recipes/denoise.toml --data photos/ --minutes 60 "
        "--start-from src/hyperrestore/models/denoise.safetensors",
    )
    command.add_argument("recipe", type=_path, metavar="RECIPE", help="TOML file that says what is trained")
    command.add_argument("--data", type=_path, required=True, metavar="FOLDER", help="clean photos")
    command.add_argument("-o", "--out", type=_path, metavar="FOLDER", help="default: runs/NAME OF THE RECIPE")
    command.add_argument(
        "--minutes", type=_positive,
        help="total training time, with the validations in between; time before --resume counts; starting, "
        "reading the photos, the last validation and the export come on top",
    )  # fmt: skip
    command.add_argument("--steps", type=_whole(1), help="total steps; whichever ends first")
    command.add_argument(
        "--stop-after", type=_positive, default=math.inf, metavar="MINUTES",
        help="stop this command after so long, even if the training has not ended; --resume goes on",
    )  # fmt: skip
    command.add_argument("--device", default="auto", help="auto (CUDA, MPS or CPU), cpu, cuda, cuda:1, mps")
    command.add_argument(
        "--precision", default="auto", choices=["auto", "bf16", "fp32"],
        help="auto (default): bf16 where the device is faster in it, else fp32; --resume goes on in the same",
    )  # fmt: skip
    start = command.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on from the state in the folder")
    start.add_argument("--start-from", type=_path, metavar="MODEL", help="begin with this model's weights")
    command.add_argument(
        "--no-export", action="store_true", help="do without the ONNX graph; `hyperrestore export` writes it"
    )

    command = commands.add_parser(
        "export",
        help="write a checkpoint's ONNX graph beside it",
        description="Write a checkpoint's ONNX graph, with a live level, beside it.",
    )
    command.add_argument("model", type=_path, metavar="MODEL", help="a checkpoint's path")

    command = commands.add_parser(
        "calibrate",
        help="measure what precision int8 needs to know",
        description="Measure the ranges of a model's activations on photos and write them beside it, for "
        "--precision int8. The photos that training holds out are left out here, too.",
        epilog="Example: hyperrestore calibrate runs/denoise/model.safetensors --data photos/",
    )
    command.add_argument("model", type=_path, metavar="MODEL", help="a checkpoint's path")
    command.add_argument("--data", type=_path, required=True, metavar="FOLDER", help="clean photos")
    return words


def _add_files(command: argparse.ArgumentParser) -> None:
    """What every command that restores pictures takes; only upscaling changes their size."""
    command.set_defaults(to_width=None, to_height=None, long_side=None, model=None)
    command.set_defaults(grain=0.0, level_map=None, softness=None, sweep=None, region=None, singles=False)
    _add_inputs(
        command,
        "take folders, too, and restore all pictures in them; the results lie as the pictures do, and those "
        "that are there already are kept",
    )
    command.add_argument(
        "-o", "--out", required=True, help="file for one picture; folder for several, or if it ends with /"
    )
    command.add_argument(
        "-f", "--format", metavar="SUFFIX", help="format of the files in a folder: png, jpg, webp, tif, avif"
    )
    command.add_argument(
        "-q", "--quality", type=_whole(1, 100), metavar="1..100",
        help="of JPEG (default 95, or the original's if that is better), WebP (95) and AVIF (90); in the "
        "last two 100 is lossless",
    )  # fmt: skip
    existing = command.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace existing files")
    existing.add_argument(
        "--skip-existing", action="store_true", help="only make the files that are missing; -r does so anyway"
    )
    command.add_argument(
        "--keep-times", action="store_true",
        help="give results the times of change and access of their pictures; byte-for-byte copies have them "
        "anyway",
    )  # fmt: skip
    command.add_argument(
        "--json", action="store_true", help="print a JSON object instead of a path for each picture"
    )
    command.add_argument(
        "--report", type=_path, metavar="FILE", help="write a JSON file that says what became of each picture"
    )
    _add_limit(command)
    _add_engine(command)


def _add_inputs(command: argparse.ArgumentParser, recursive: str) -> None:
    command.add_argument(
        "inputs", nargs="+", metavar="PICTURE", type=_path, help=f"{PICTURES}; with -r also a folder"
    )
    command.add_argument("-r", "--recursive", action="store_true", help=recursive)


def _add_grain(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--grain", type=_share, default=0.0, metavar="0..1",
        help="share of the noise in the luminance that is put back, where the result is too clean",
    )  # fmt: skip


def _add_choice(command: argparse.ArgumentParser) -> None:
    """Other levels than one for a picture: a level for each pixel, or several to choose from."""
    command.add_argument(
        "--level-map", type=_path, metavar="MASK",
        help="picture of any size that says where which level is taken: the first of -l where it is black, "
        "the second where it is white",
    )  # fmt: skip
    command.add_argument(
        "--sweep", type=_numbers, metavar="LEVEL,...",
        help="write a sheet instead, that shows one region at these levels",
    )  # fmt: skip
    command.add_argument(
        "--region", type=_region, metavar="X,Y,W,H",
        help="what the sheet shows; default: of several parts that in which the levels differ most",
    )  # fmt: skip
    command.add_argument(
        "--singles", action="store_true", help="write the whole picture at every level of the sheet, too"
    )


def _add_limit(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--max-pixels", type=_whole(1), metavar="COUNT",
        help="refuse larger pictures and results (default 2^30)",
    )  # fmt: skip


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", metavar="FILE", help="a checkpoint instead of the built-in one")


def _add_engine(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-t", "--tile", type=_whole(16), metavar="PIXELS",
        help="side of a tile; smaller ones need less memory and more time",
    )  # fmt: skip
    command.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, mps, torch")
    command.add_argument(
        "--precision",
        default="auto",
        help="auto (default: bf16 for 8-bit pictures if the device has it), fp32, bf16 (on a CPU without it "
        "fp32), int8 (fastest; for 8-bit photos on the CPU: a little less exact on photos, much less on flat "
        "graphics)",
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _path(text: str) -> Path:
    if not text:  # the folder that one is in, to Path
        raise argparse.ArgumentTypeError("a path has no name; give a file or a folder")
    return Path(text)


def _level(text: str) -> float | tuple[float, float] | None:
    """A number, two for a map, or None for "auto"."""
    if text == "auto":
        return None
    black, colon, white = text.partition(":")
    return (_number(black), _number(white)) if colon else _number(text)


def _share(text: str) -> float:
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def _region(text: str) -> tuple[int, int, int, int]:
    """X,Y,W,H -> left, top, width, height."""
    parts = text.split(",")
    if len(parts) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,W,H: left, top, width and height, pixels")
    left, top, width, height = map(_whole(0), parts)
    return left, top, width, height


def _numbers(text: str) -> list[float]:
    return [_number(part) for part in text.split(",")]


def _positive(text: str) -> float:
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """A whole number from least to most."""

    def parse(text: str) -> int:
        whole = text.isascii() and text.isdecimal()
        if whole and len(text) >= 20:
            raise argparse.ArgumentTypeError(f"{text[:20]}... is too large a number")
        number = int(text) if whole else -1
        if not least <= number <= most:
            limits = f"from {least} on" if most == math.inf else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {limits}")
        return number

    return parse
