"""The options of `export`."""

from __future__ import annotations

from hyperrestore.cli.arguments.shared import Commands
from hyperrestore.cli.arguments.values import local, numbers, path

FORMS = ("onnx", "onnx-map", "vs-mlrt", "baked", "pt2", "safetensors", "ncnn", "darktable", "page")


def add_export(commands: Commands) -> None:
    """Add `export`."""
    command = commands.add_parser(
        "export",
        help="write a model for other programs, or its ONNX graph",
        description="With --as, write a model as a file for other programs, with its weights, and a JSON "
        "file beside it that describes it. The file is compared with hyperrestore's own result first. "
        "Without --as, write a checkpoint's ONNX graph, with the level as an input, beside it; hyperrestore "
        "itself needs that one.",
        epilog="Example: hyperrestore export denoise --as baked --level 25 -o denoise-25.onnx",
    )
    command.add_argument(
        "model", type=path, metavar="MODEL",
        help="path of a checkpoint; with --as also the name of a built-in model: photo, denoise, dejpeg, "
        "upscale",
    )  # fmt: skip
    command.add_argument(
        "--as", choices=FORMS, dest="form",
        help="onnx: level as an input; onnx-map: a level for each pixel; vs-mlrt: the same with one input, "
        "for VapourSynth; baked: ONNX for one level, plain convolutions; pt2: torch.export; safetensors: "
        "state dict for one level; ncnn: for one level; darktable: a package that darktable installs; page: "
        "a folder with a page that restores photos in the browser",
    )  # fmt: skip
    command.add_argument(
        "-o", "--out", type=local, metavar="FILE_OR_FOLDER",
        help="output: a file, or a folder; default: the current folder. For a page its own folder; default: "
        "the model's name and -page",
    )  # fmt: skip
    command.add_argument(
        "-l", "--level", type=numbers, metavar="NUMBERS",
        help="the level, in the model's unit, for a form of one level; for a model with several levels one "
        "for each, with commas between them: those left out have no effect. Upscaling takes the scale, 2, 3 "
        "or 4, then the softness",
    )  # fmt: skip
    command.add_argument(
        "--half", action="store_true", help="compute in fp16; for onnx, onnx-map, vs-mlrt and baked"
    )
    command.add_argument(
        "--runtime", type=path, metavar="FILE",
        help="for a page: the npm package onnxruntime-web, a .tgz file, which is put beside the page; "
        "`npm pack onnxruntime-web` downloads it",
    )  # fmt: skip
