"""The command line: what a person types -> a call of the library; texts for people, exit codes for scripts.

Exit codes: 0 done, 1 some pictures failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

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
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except HyperrestoreError as error:
        _say(f"error: {error}")
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has stopped, as `head` does. Nothing more can be said there.
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130


def _say(text: str) -> None:
    print(f"hyperrestore: {text}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hyperrestore",
        description="Adjustable image restoration: one small model, every level, set by you.",
        epilog="Exit code: 0 done, 1 some pictures failed, 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"hyperrestore {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "denoise",
        help="take noise out of pictures",
        description="Take noise out of pictures. Bit depth, transparency, colour profile and metadata stay.",
    )
    command.add_argument(
        "inputs", nargs="+", metavar="PICTURE", type=Path, help="PNG, JPEG, WebP, TIFF, AVIF"
    )
    command.add_argument(
        "-o", "--out", required=True, help="file for one picture; folder for several, or if it ends with /"
    )
    command.add_argument(
        "-l", "--level", required=True, type=float, metavar="SIGMA",
        help="strength of the noise: its standard deviation on the 8-bit scale, 0 to 75 (try 5 to 25 for a "
        "photo at high ISO)",
    )  # fmt: skip
    command.add_argument("-f", "--format", metavar="SUFFIX", help="format of the files in a folder: png, jpg")
    command.add_argument("-q", "--quality", type=int, help="1 to 100, for JPEG, WebP and AVIF")
    command.add_argument("--overwrite", action="store_true", help="replace existing files")
    command.add_argument("--json", action="store_true", help="print one JSON object for each picture")
    _add_engine(command)
    command.set_defaults(run=_denoise)

    command = commands.add_parser(
        "evaluate",
        help="measure a model on clean pictures",
        description="Degrade clean pictures at known levels, restore them and print PSNR, SSIM and time.",
    )
    command.add_argument("model", metavar="MODEL", help="denoise, or a checkpoint's path")
    command.add_argument("folder", type=Path, metavar="FOLDER", help="clean pictures")
    command.add_argument("-l", "--levels", default="15,25,50", help="default %(default)s")
    command.add_argument("--protocol", default="standard", help="standard (default) or hyperres")
    command.add_argument("--grey", action="store_true", help="score the luminance as grey pictures")
    command.add_argument("--seed", type=int, default=0, help="of the noise")
    command.add_argument("-f", "--format", default="text", help="text (default), csv or json")
    command.add_argument("--plot", metavar="FILE", help="draw PSNR over the level (PNG, SVG, PDF)")
    _add_engine(command, model=False)
    command.set_defaults(run=_evaluate)

    command = commands.add_parser(
        "train",
        help="train a model on a folder of photos",
        description="Train a model. Ctrl-C stops after the step and keeps everything; --resume goes on.",
    )
    command.add_argument("recipe", type=Path, metavar="RECIPE", help="TOML file that says what is trained")
    command.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="clean photos")
    command.add_argument("-o", "--out", type=Path, metavar="FOLDER", help="default: runs/NAME OF THE RECIPE")
    command.add_argument("--minutes", type=_positive, help="total training time; time before --resume counts")
    command.add_argument("--steps", type=int, help="total steps; whichever ends first")
    command.add_argument("--device", default="auto", help="auto (CUDA, MPS or CPU), cpu, cuda, cuda:1, mps")
    command.add_argument("--precision", default="bf16", choices=["bf16", "fp32"], help="default %(default)s")
    command.add_argument("--resume", action="store_true", help="go on from the state in the folder")
    command.add_argument("--start-from", type=Path, metavar="MODEL", help="begin with this model's weights")
    command.set_defaults(run=_train)

    command = commands.add_parser(
        "export",
        help="write a checkpoint's ONNX graph beside it",
        description="Write a checkpoint's ONNX graph, with a live level, beside it.",
    )
    command.add_argument("model", type=Path, metavar="MODEL", help="a checkpoint's path")
    command.set_defaults(run=_export)
    return parser


def _add_engine(command: argparse.ArgumentParser, *, model: bool = True) -> None:
    if model:
        command.add_argument("--model", metavar="PATH", help="a checkpoint instead of the built-in one")
    command.add_argument(
        "-t", "--tile", type=int, metavar="PIXELS", help="side of a tile; smaller ones need less memory"
    )
    command.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, mps, torch")
    command.add_argument(
        "--precision",
        default="auto",
        help="auto (default: bf16 for 8-bit pictures if the CPU has it), fp32, bf16",
    )


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _load(model: str, options: argparse.Namespace) -> Restorer:
    from hyperrestore.restorer import Restorer

    if options.tile is not None and options.tile < 16:
        raise UsageError(f"a tile of {options.tile} pixels is too small; give at least 16")
    return Restorer.load(model, device=options.device, precision=options.precision)


def _denoise(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from hyperrestore.batch import make_folder, plan_targets, restore_file
    from hyperrestore.engine import TILE

    suffix = None if options.format is None else f".{options.format.lower().lstrip('.')}"
    pairs = plan_targets(options.inputs, options.out, suffix=suffix)
    restorer = _load(options.model or "denoise", options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ExtrapolationWarning)
        restorer.scale.check(options.level)
    for warning in caught:
        _say(f"warning: {warning.message}")
    if len(pairs) > 1 or options.out.endswith("/"):
        make_folder(pairs[0][1].parent)

    failed: list[HyperrestoreError] = []
    for source, target in pairs:
        with tqdm(desc=source.name, unit="row", leave=False, disable=None, file=sys.stderr) as bar:

            def show(done: int, height: int, bar: tqdm = bar) -> None:
                bar.total = height
                bar.update(done - bar.n)

            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ExtrapolationWarning)  # said above, once
                    report = restore_file(
                        restorer,
                        source,
                        target,
                        options.level,
                        tile=options.tile or TILE,
                        quality=options.quality,
                        overwrite=options.overwrite,
                        progress=show,
                    )
            except HyperrestoreError as error:
                failed.append(error)
                _say(f"error: {error}")
                continue
        for note in report.notes:
            _say(f"{source}: {note}")
        print(json.dumps(asdict(report)) if options.json else target, flush=True)
    if not failed:
        return 0
    return failed[0].exit_code if len(pairs) == 1 else 1


def _evaluate(options: argparse.Namespace) -> int:
    from hyperrestore.engine import TILE
    from hyperrestore.evaluate import FORMATS, evaluate, find_pictures, plot

    if options.format not in FORMATS:
        raise UsageError(f"format {options.format!r} is unknown; known are {', '.join(FORMATS)}")
    try:
        levels = [float(level) for level in options.levels.split(",")]
    except ValueError:
        raise UsageError(f"levels {options.levels!r} are no numbers with commas between them") from None
    restorer = _load(options.model, options)
    evaluation = evaluate(
        restorer,
        find_pictures(options.folder),
        levels,
        protocol=options.protocol,
        grey=options.grey,
        seed=options.seed,
        tile=options.tile or TILE,
    )
    if options.plot:
        plot(evaluation, options.plot, unit=restorer.scale.unit)
    print(FORMATS[options.format](evaluation))
    return 0


def _train(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("training needs torch: pip install 'hyperrestore[torch]'")
    from hyperrestore.export import export_onnx
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
        device=choose_device(options.device),
        bf16=options.precision == "bf16",
        resume=options.resume,
        start_from=options.start_from,
    )
    export_onnx(out / MODEL)
    print(out / MODEL)
    return 0


def _export(options: argparse.Namespace) -> int:
    from hyperrestore.export import export_onnx

    print(export_onnx(options.model))
    return 0


if __name__ == "__main__":
    sys.exit(main())
