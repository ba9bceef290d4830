"""`train` and `calibrate`: a model, and the files beside it."""

from __future__ import annotations

import argparse
from pathlib import Path

from hyperrestore.cli.installed import EXPORTERS, check_installed
from hyperrestore.cli.output import put


def run_train(options: argparse.Namespace) -> int:
    """Train a model, print its path, and return the exit code."""
    check_installed("training", ("torch", "matplotlib", *(() if options.no_export else EXPORTERS)))
    from hyperrestore.learn.device import choose_device
    from hyperrestore.learn.model import MODEL
    from hyperrestore.learn.recipe import read_recipe
    from hyperrestore.learn.train import train

    recipe = read_recipe(options.recipe)
    out = options.out or Path("runs") / options.recipe.stem
    score = train(
        recipe,
        options.data,
        out,
        minutes=options.minutes,
        steps=options.steps,
        stop_after=options.stop_after,
        device=choose_device(options.device),
        bf16=None if options.precision == "auto" else options.precision == "bf16",
        resume=options.resume,
        start_from=options.start_from,
    )
    if score is None:  # of several processes, the first one does the rest
        return 0
    if not options.no_export:
        from hyperrestore.run.export import export_onnx

        export_onnx(out / MODEL)
    put(str(out / MODEL))
    return 0


def run_calibrate(options: argparse.Namespace) -> int:
    """Write the ranges that int8 needs, print their path, and return the exit code."""
    check_installed("calibrating", ("torch",))  # photos are found as for training
    from hyperrestore.learn.calibrate import calibrate
    from hyperrestore.learn.photos import find_photos, split_photos
    from hyperrestore.network.checkpoint import read_description
    from hyperrestore.run.int8 import save_ranges
    from hyperrestore.run.openvino import OpenVINOModel

    model = OpenVINOModel(options.model, read_description(options.model))
    training, _ = split_photos(find_photos(options.data))
    ranges = calibrate(model, [file.path for file in training])
    put(str(save_ranges(options.model, ranges)))
    return 0
