"""The options of `train` and `calibrate`."""

from __future__ import annotations

import argparse
import math

from hyperrestore.cli.arguments.shared import Commands
from hyperrestore.cli.arguments.values import path, positive, whole


def add_train(commands: Commands) -> None:
    """Add `train`."""
    command = commands.add_parser(
        "train",
        help="train a model on a folder of photos",
        description="Train a model. Ctrl-C stops after the current step and saves everything; --resume "
        "continues. `torchrun --nproc-per-node N -m hyperrestore train ...` trains it with N processes.",
        epilog="Example: hyperrestore train recipes/denoise.toml --data photos/ --minutes 60 "
        "--start-from src/hyperrestore/models/denoise.safetensors",
    )
    command.add_argument(
        "recipe",
        type=path,
        metavar="RECIPE",
        help="TOML file that describes the training; the repository has some in recipes/",
    )
    command.add_argument("--data", type=path, required=True, metavar="FOLDER", help="folder of clean photos")
    command.add_argument(
        "-o", "--out", type=path, metavar="FOLDER", help="output folder; default: runs/NAME OF THE RECIPE"
    )
    _add_ends(command)
    command.add_argument("--device", default="auto", help="auto (CUDA, MPS or CPU), cpu, cuda, cuda:1, mps")
    command.add_argument(
        "--precision", default="auto", choices=["auto", "bf16", "fp32"],
        help="auto (default): bf16 if the device is faster with it, else fp32; --resume keeps the precision",
    )  # fmt: skip
    start = command.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="continue from the state in the output folder")
    start.add_argument("--start-from", type=path, metavar="MODEL", help="start with this model's weights")
    command.add_argument(
        "--no-export",
        action="store_true",
        help="do not write the ONNX graph; `hyperrestore export` writes it later",
    )


def _add_ends(command: argparse.ArgumentParser) -> None:
    """Add the options for when training ends, and when only this command does."""
    command.add_argument(
        "--minutes", type=positive,
        help="total training time, including the validations in between and the time before --resume; "
        "starting, reading the photos, the last validation and the export are not included",
    )  # fmt: skip
    command.add_argument(
        "--steps", type=whole(1), help="total number of steps; with --minutes, whichever ends first"
    )
    command.add_argument(
        "--stop-after", type=positive, default=math.inf, metavar="MINUTES",
        help="stop this command after this time, even if the training has not ended; --resume continues",
    )  # fmt: skip


def add_calibrate(commands: Commands) -> None:
    """Add `calibrate`."""
    command = commands.add_parser(
        "calibrate",
        help="measure the ranges that int8 precision needs",
        description="Measure the ranges of a model's activations on photos and write them beside it, for "
        "--precision int8. Photos that training holds out for validation are not used.",
        epilog="Example: hyperrestore calibrate runs/denoise/model.safetensors --data photos/",
    )
    command.add_argument("model", type=path, metavar="MODEL", help="path of a checkpoint")
    command.add_argument("--data", type=path, required=True, metavar="FOLDER", help="folder of clean photos")
