"""The command line: what a person types -> a call of the library; texts for people, exit codes for scripts.

Exit codes: 0 done, 1 some pictures failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import math
import os
import shlex
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hyperrestore import __version__
from hyperrestore.errors import ExtrapolationWarning, HyperrestoreError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from hyperrestore.restorer import Restorer

# Everything else is imported where it is used: `hyperrestore --help` answers at once.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; None for the real ones.

    Returns:
        The exit code.
    """
    try:
        options = _parser().parse_args(arguments)
        with _stopped_like_ctrl_c(), _warnings_in_a_line():
            return int(options.run(options))
    except HyperrestoreError as error:
        _say(f"error: {error}")
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has stopped, as `head` does. What Python still holds for it goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder without permission
        where = "" if error.filename is None else f"{error.filename}: "
        _say(f"error: {where}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130


# --- What the user types ----------------------------------------------------------------------------


PICTURES = "PNG, JPEG, WebP, TIFF or AVIF file"


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hyperrestore",
        description="Adjustable image restoration: one small model, every level, set by you.",
        epilog="Exit code: 0 done, 1 some pictures failed, 2 wrong usage, 130 interrupted. "
        "`hyperrestore COMMAND --help` says more.",
    )
    parser.add_argument("--version", action="version", version=f"hyperrestore {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

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
    command.set_defaults(run=_restore, tasks=("denoise", "dejpeg"), level=None)

    command = commands.add_parser(
        "inspect",
        help="say what is wrong with pictures, and change nothing",
        description="Say how strongly pictures were compressed as JPEG and how noisy they are, and which "
        "command would repair them.",
        epilog="Example: hyperrestore inspect photo.jpg",
    )
    command.add_argument("inputs", nargs="+", metavar="PICTURE", type=_path, help=PICTURES)
    command.add_argument("--json", action="store_true", help="print a JSON object for each picture")
    _add_limit(command)
    command.set_defaults(run=_inspect)

    command = commands.add_parser(
        "denoise",
        help="take noise out of pictures",
        description="Take noise out of pictures. Bit depth, transparency, colour profile and metadata stay.",
        epilog="Example: hyperrestore denoise photo.jpg -o restored.png -l 25",
    )
    _add_files(command)
    command.add_argument(
        "-l", "--level", default="auto", type=_level, metavar="SIGMA",
        help="strength of the noise: its standard deviation on the 8-bit scale, 0 to 75 (a photo at high ISO "
        "has 5 to 25); auto (default) finds it out, and leaves alone what has next to none; with a map "
        "two of them, as 0:40",
    )  # fmt: skip
    _add_grain(command)
    _add_choice(command)
    command.set_defaults(run=_restore, tasks=("denoise",))
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
        help="quality at which the picture was saved, 5 to 100: lower means a stronger repair; auto "
        "(default) finds it out, also where a picture was saved again, and leaves alone what shows none; "
        "with a map two of them, as 100:20",
    )  # fmt: skip
    _add_choice(command)
    command.set_defaults(run=_restore, tasks=("dejpeg",))
    _add_model(command)

    command = commands.add_parser(
        "upscale",
        help="enlarge pictures to any size",
        description="Enlarge pictures to any size, by a scale or to a width, a height or a long side. Bit "
        "depth, transparency, colour profile and metadata stay.",
        epilog="Example: hyperrestore upscale photo.png -o large.png -s 2.5",
    )
    _add_files(command)
    size = command.add_mutually_exclusive_group(required=True)
    size.add_argument("-s", "--scale", type=_number, dest="level", help="factor for both sides, 1 to 4")
    size.add_argument(
        "--width", type=_whole(1), dest="to_width", metavar="PIXELS", help="width of the result"
    )
    size.add_argument(
        "--height", type=_whole(1), dest="to_height", metavar="PIXELS", help="height of the result"
    )
    size.add_argument("--long-side", type=_whole(1), metavar="PIXELS", help="longer side of the result")
    command.set_defaults(run=_restore, tasks=("upscale",))
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
    command.set_defaults(run=_web)

    command = commands.add_parser(
        "evaluate",
        help="measure a model on clean pictures",
        description="Degrade clean pictures at known levels, restore them and print PSNR, SSIM and time.",
        epilog="Example: hyperrestore evaluate denoise photos/ --levels 15,25,50 --plot curve.png",
    )
    command.add_argument("model", metavar="MODEL", help="denoise, dejpeg, upscale, or a checkpoint's path")
    command.add_argument("folder", type=Path, metavar="FOLDER", help="clean pictures")
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
        "--seed", type=_whole(0), default=0, metavar="NUMBER", help="of the noise; default 0"
    )
    command.add_argument(
        "-f", "--format", default="text", metavar="NAME", help="text (default), csv or json; to stdout"
    )
    command.add_argument("--plot", metavar="FILE", help="draw PSNR over the level (PNG, SVG, PDF)")
    _add_engine(command)
    command.set_defaults(run=_evaluate)

    command = commands.add_parser(
        "train",
        help="train a model on a folder of photos",
        description="Train a model. Ctrl-C stops after the step and keeps everything; --resume goes on.",
        epilog="Example: hyperrestore train recipes/denoise.toml --data photos/ --minutes 60",
    )
    command.add_argument("recipe", type=Path, metavar="RECIPE", help="TOML file that says what is trained")
    command.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="clean photos")
    command.add_argument("-o", "--out", type=Path, metavar="FOLDER", help="default: runs/NAME OF THE RECIPE")
    command.add_argument("--minutes", type=_positive, help="total training time; time before --resume counts")
    command.add_argument("--steps", type=_whole(1), help="total steps; whichever ends first")
    command.add_argument(
        "--stop-after", type=_positive, default=math.inf, metavar="MINUTES",
        help="stop this command after so long, even if the training has not ended; --resume goes on",
    )  # fmt: skip
    command.add_argument("--device", default="auto", help="auto (CUDA, MPS or CPU), cpu, cuda, cuda:1, mps")
    command.add_argument("--precision", default="bf16", choices=["bf16", "fp32"], help="default %(default)s")
    start = command.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on from the state in the folder")
    start.add_argument("--start-from", type=Path, metavar="MODEL", help="begin with this model's weights")
    command.add_argument(
        "--no-export", action="store_true", help="do without the ONNX graph; `hyperrestore export` writes it"
    )
    command.set_defaults(run=_train)

    command = commands.add_parser(
        "export",
        help="write a checkpoint's ONNX graph beside it",
        description="Write a checkpoint's ONNX graph, with a live level, beside it.",
    )
    command.add_argument("model", type=Path, metavar="MODEL", help="a checkpoint's path")
    command.set_defaults(run=_export)

    command = commands.add_parser(
        "calibrate",
        help="measure what precision int8 needs to know",
        description="Measure the ranges of a model's activations on photos and write them beside it, for "
        "--precision int8. The photos that training holds out are left out here, too.",
        epilog="Example: hyperrestore calibrate runs/denoise/model.safetensors --data photos/",
    )
    command.add_argument("model", type=Path, metavar="MODEL", help="a checkpoint's path")
    command.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="clean photos")
    command.set_defaults(run=_calibrate)
    return parser


def _add_files(command: argparse.ArgumentParser) -> None:
    """What every command that restores pictures takes; only upscaling changes their size."""
    command.set_defaults(to_width=None, to_height=None, long_side=None, model=None)
    command.set_defaults(grain=0.0, level_map=None, sweep=None, region=None, singles=False)
    command.add_argument(
        "inputs", nargs="+", metavar="PICTURE", type=_path, help=f"{PICTURES}; with -r also a folder"
    )
    command.add_argument(
        "-o", "--out", required=True, help="file for one picture; folder for several, or if it ends with /"
    )
    command.add_argument(
        "-r", "--recursive", action="store_true",
        help="take folders, too, and restore all pictures in them; the results lie as the pictures do, and "
        "those that are there already are kept",
    )  # fmt: skip
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
        "--json", action="store_true", help="print a JSON object instead of a path for each picture"
    )
    command.add_argument(
        "--report", type=_path, metavar="FILE", help="write a JSON file that says what became of each picture"
    )
    _add_limit(command)
    _add_engine(command)


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
        help="auto (default: bf16 for 8-bit pictures if the device has it), fp32, bf16, int8 (fastest; for "
        "8-bit photos on the CPU: a little less exact on photos, much less on flat graphics)",
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _path(text: str) -> Path:
    if not text:  # the folder that one is in, to Path
        raise argparse.ArgumentTypeError("a picture has no name; give a file")
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


# --- What the user reads ----------------------------------------------------------------------------


def _say(text: str) -> None:
    """One line on stderr, whatever line breaks and control characters the name of a file holds."""
    with _beside_the_bar():
        print(f"hyperrestore: {_printable(text)}", file=sys.stderr)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _put(text: str) -> None:
    """Data on stdout, at once."""
    with _beside_the_bar():
        try:
            print(text, flush=True)
        except UnicodeEncodeError:  # the name of a file that is no text here: the bytes it has on the disk
            sys.stdout.buffer.write(os.fsencode(text + "\n"))
            sys.stdout.flush()


@contextmanager
def _progress(label: str) -> Iterator[Callable[..., None]]:
    """A bar on stderr, if that is a terminal; it is gone in the end."""
    from tqdm import tqdm

    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    # The time left comes from the mean speed since the start: pictures differ too much for the latest.
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
def _warnings_in_a_line() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("always", ExtrapolationWarning)
        warnings.showwarning = lambda message, *place: _say(f"warning: {message}")
        yield


@contextmanager
def _stopped_like_ctrl_c() -> Iterator[None]:
    """Let whoever terminates us, or closes the terminal, leave as little behind as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


# --- The commands -----------------------------------------------------------------------------------


def _load(model: str, options: argparse.Namespace) -> Restorer:
    from hyperrestore.restorer import Restorer

    return Restorer.load(model, device=options.device, precision=options.precision)


def _restore(options: argparse.Namespace) -> int:
    from hyperrestore.batch import (
        Failure,
        Report,
        find_inputs,
        plan_targets,
        restore_file,
        restore_files,
    )
    from hyperrestore.enlarge import enlarged_size
    from hyperrestore.errors import DiskFullError
    from hyperrestore.level import Task
    from hyperrestore.picture import MAX_PIXELS, remove_leftovers
    from hyperrestore.report import check_report, write_report

    start = time.perf_counter()
    _check_choice(options)
    suffix = None if options.format is None else f".{options.format.lower().removeprefix('.')}"
    sources, unreadable = find_inputs(options.inputs, out=Path(options.out), recursive=options.recursive)
    in_folder = any(source not in options.inputs for source, _ in sources)
    pairs = plan_targets(sources, options.out, suffix=suffix, in_folder=in_folder)
    for folder in unreadable:
        _say(f"error: {folder}: cannot read this folder")
    if sum(remove_leftovers(folder) for folder in {target.parent for _, target in pairs}):
        _say("removed what killed processes had left of unfinished pictures")
    skipped = [] if options.overwrite else _skipped(pairs, options)
    kept = set(skipped)
    pairs = [pair for pair in pairs if pair not in kept]
    if options.level_map:
        _check_mask(options.level_map, pairs, options.max_pixels or MAX_PIXELS)
    models = {task: options.model or task for task in options.tasks}
    restorers = [_load(model, options) for model in models.values()]
    for restorer, task in zip(restorers, options.tasks, strict=True):
        if restorer.task != task:
            raise UsageError(f"{options.model}: is a model for {restorer.task}, not for {task}")
        levels = options.level if isinstance(options.level, tuple) else (options.level,)
        for level in options.sweep or (one for one in levels if one is not None):
            restorer.scale.check(level)

    if options.report:
        check_report(options.report)
    sizes = {
        "to_width": options.to_width,
        "to_height": options.to_height,
        "long_side": options.long_side,
    }

    def size(width: int, height: int) -> tuple[int, int]:
        if Task.UPSCALE not in options.tasks:
            return width, height
        return enlarged_size(width, height, scale=options.level, **sizes)[:2]

    common = {
        "tile": options.tile,
        "quality": options.quality,
        "overwrite": options.overwrite,
        "max_pixels": options.max_pixels or MAX_PIXELS,
    }
    restore: Callable[..., Report]
    if options.sweep:
        from hyperrestore.engine import Region
        from hyperrestore.sweep import check_singles, sweep_file

        region = None
        if options.region:
            left, top, width, height = options.region
            region = Region(left, top, left + width, top + height)
        if options.singles:
            check_singles(pairs, options.sweep)
        restore = functools.partial(
            sweep_file,
            restorers[0],
            levels=options.sweep,
            region=region,
            singles=options.singles,
            keep_singles=options.recursive or options.skip_existing,
            **common,
        )
    else:
        restore = functools.partial(
            restore_file,
            restorers,
            level=options.level,
            level_map=options.level_map,
            grain=options.grain,
            **sizes,
            **common,
        )
    labels = [
        f"{number}/{len(pairs)} {_printable(source.name)}" if len(pairs) > 1 else _printable(source.name)
        for number, (source, _) in enumerate(pairs, 1)
    ]
    results: list[Report | Failure] = []
    folders = all(target != Path(options.out) for _, target in pairs)  # it lies in that folder
    try:
        with _progress(labels[0] if labels else "") as show, warnings.catch_warnings():
            if options.level is not None or options.sweep:
                warnings.simplefilter("ignore", ExtrapolationWarning)  # said above, once
            made = restore_files(
                restore,
                pairs,
                size=size,
                make_folders=folders,
                progress=lambda index, share: show(share, 1, labels[index]),
            )
            with closing(made):
                for result in made:
                    results.append(result)
                    if isinstance(result, Failure):
                        _say(f"error: {result.error}")
                        continue
                    for note in result.notes:
                        _say(f"{result.source}: {note}")
                    _put(json.dumps(asdict(result)) if options.json else result.target)
    finally:
        if options.report:
            words = (
                "level",
                "level_map",
                "grain",
                "sweep",
                "region",
                "singles",
                *sizes,
                "format",
                "quality",
                "tile",
                "device",
                "precision",
                "overwrite",
            )
            write_report(
                options.report,
                pairs,
                results,
                skipped=skipped,
                unreadable=unreadable,
                models=models,
                settings={
                    word: str(value) if isinstance(value := getattr(options, word), Path) else value
                    for word in words
                },
                seconds=time.perf_counter() - start,
                complete=len(results) == len(pairs) and not unreadable,
            )
    failed = [result.error for result in results if isinstance(result, Failure)]
    if len(pairs) > 1 and failed:
        _say(f"{len(failed)} of {len(pairs)} pictures failed")
    if len(results) < len(pairs) and any(isinstance(error, DiskFullError) for error in failed):
        again = "" if options.recursive or options.skip_existing else " with --skip-existing"
        left = len(pairs) - len(results)
        _say(f"the disk is full: {left} more were not begun; make room and give the command again{again}")
    if unreadable or (len(pairs) > 1 and failed):
        return 1
    return failed[0].exit_code if failed else 0


def _check_choice(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other before anything is read."""
    two = isinstance(options.level, tuple)
    if options.level_map and not two:
        raise UsageError("--level-map needs two levels, where it is black and where it is white: as -l 0:40")
    if two and not options.level_map:
        raise UsageError("two levels need a mask that says where each is taken: give --level-map MASK")
    if options.sweep and (options.level is not None or options.grain):
        raise UsageError("--sweep takes its levels instead of -l, --level-map and --grain; give only one")
    if not options.sweep and (options.region or options.singles):
        raise UsageError("--region and --singles are for a sheet: give --sweep LEVEL,...")


def _check_mask(mask: Path, pairs: Sequence[tuple[Path, Path]], max_pixels: int) -> None:
    """Refuse a mask that cannot be read, or that a batch would replace while others need it."""
    from hyperrestore.level_map import level_rows

    level_rows(mask, height=1, width=1, black=0, white=1, max_pixels=max_pixels)
    place = os.path.realpath(mask)
    if len(pairs) > 1 and any(os.path.realpath(target) == place for _, target in pairs):
        raise UsageError(f"{mask}: the mask would be replaced by a result; write to another folder")


def _skipped(pairs: Sequence[tuple[Path, Path]], options: argparse.Namespace) -> list[tuple[Path, Path]]:
    """The pictures whose results are there already, and are kept."""
    from hyperrestore.batch import find_finished

    if not (options.recursive or options.skip_existing):
        existing = [target for _, target in pairs if target.is_file()]
        if existing:
            others = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
            raise UsageError(
                f"{min(existing)}{others}: exists already; give --overwrite, --skip-existing or another "
                "output"
            )
        return []
    finished, older = find_finished(pairs)
    if finished or options.skip_existing:
        _say(f"{len(finished)} of {len(pairs)} pictures exist already")
    if older:
        _say(
            f"warning: {min(older)}{f' and {len(older) - 1} more' if len(older) > 1 else ''}: older than the "
            "picture that it is made of, and kept; --overwrite makes all anew"
        )
    return finished


def _inspect(options: argparse.Namespace) -> int:
    from hyperrestore.estimate import inspect
    from hyperrestore.level import Task
    from hyperrestore.picture import MAX_PIXELS

    failed: list[HyperrestoreError] = []
    for source in options.inputs:
        try:
            findings = inspect(source, max_pixels=options.max_pixels or MAX_PIXELS)
        except HyperrestoreError as error:
            failed.append(error)
            _say(f"error: {error}")
            continue
        tasks = " and ".join(f"{task} at {level:g}" for task, level in findings.levels.items())
        name = f"./{source}" if str(source).startswith("-") else str(source)
        command = f"hyperrestore restore {shlex.quote(name)} -o restored/" if tasks else None
        if options.json:
            _put(
                json.dumps(
                    {"source": str(source), **asdict(findings), "levels": findings.levels, "command": command}
                )
            )
            continue
        _put(_printable(str(source)))
        for task in (Task.DENOISE, Task.DEJPEG):
            _put(f"  {task}: {findings.sentence(task)}")
        if command and command.isprintable():
            _put(f"  {command}  # {tasks}")
        else:
            _put(f"  repair: {tasks}" if tasks else "  nothing to repair")
    return failed[0].exit_code if failed else 0


def _web(options: argparse.Namespace) -> int:
    from hyperrestore.web.server import serve

    try:
        serve(host=options.host, port=options.port, browser=not options.no_open)
    except KeyboardInterrupt:  # how it ends
        _say("stopped; the temporary files are removed")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from hyperrestore.engine import TILE
    from hyperrestore.evaluate import FORMATS, USUAL_LEVELS, check_plot, evaluate, find_pictures, plot

    if options.format not in FORMATS:
        raise UsageError(f"format {options.format!r} is unknown; known are {', '.join(FORMATS)}")
    pictures = find_pictures(options.folder)
    if options.plot:
        check_plot(options.plot)
    restorer = _load(options.model, options)
    with _progress(f"{len(pictures)} pictures") as show:
        evaluation = evaluate(
            restorer,
            pictures,
            options.levels or USUAL_LEVELS[restorer.task],
            protocol=options.protocol,
            grey=options.grey,
            seed=options.seed,
            tile=options.tile or TILE,
            progress=show,
        )
    _put(FORMATS[options.format](evaluation))
    if options.plot:
        plot(evaluation, options.plot, unit=restorer.scale.unit)
    return 0


def _train(options: argparse.Namespace) -> int:
    exporters = () if options.no_export else ("onnx", "onnxscript")
    for module in ("torch", "matplotlib", *exporters):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(f"training needs {module}: pip install 'hyperrestore[torch]'")
    from hyperrestore.recipe import read_recipe
    from hyperrestore.train import MODEL, choose_device, train

    recipe = read_recipe(options.recipe)
    out = options.out or Path("runs") / options.recipe.stem
    train(
        recipe,
        options.data,
        out,
        minutes=options.minutes,
        steps=options.steps,
        stop_after=options.stop_after,
        device=choose_device(options.device),
        bf16=options.precision == "bf16",
        resume=options.resume,
        start_from=options.start_from,
    )
    if not options.no_export:
        from hyperrestore.export import export_onnx

        export_onnx(out / MODEL)
    _put(str(out / MODEL))
    return 0


def _export(options: argparse.Namespace) -> int:
    from hyperrestore.export import export_onnx

    _put(str(export_onnx(options.model)))
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("torch") is None:  # where photos are found for training, too
        raise MissingExtraError("calibrating needs torch: pip install 'hyperrestore[torch]'")
    from hyperrestore.backends import OpenVINOModel
    from hyperrestore.checkpoint import read_description
    from hyperrestore.photos import find_photos, split_photos
    from hyperrestore.quantize import save_ranges

    model = OpenVINOModel(options.model, read_description(options.model))
    training, _ = split_photos(find_photos(options.data))
    ranges = model.calibrate([file.path for file in training])
    _put(str(save_ranges(options.model, ranges)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
