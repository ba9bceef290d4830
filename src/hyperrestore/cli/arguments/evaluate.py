"""The options of `evaluate`."""

from __future__ import annotations

from hyperrestore.cli.arguments.shared import Commands, add_running
from hyperrestore.cli.arguments.values import model, number, numbers, path, whole


def add_evaluate(commands: Commands) -> None:
    """Add `evaluate`."""
    command = commands.add_parser(
        "evaluate",
        help="measure a model on clean pictures",
        description="Degrade clean pictures at known levels, restore them and print PSNR, SSIM and time.",
        epilog="Example: hyperrestore evaluate denoise photos/ --levels 15,25,50 --plot curve.png",
    )
    command.add_argument(
        "model",
        type=model,
        metavar="MODEL",
        help="photo, denoise, dejpeg, upscale, or the path of a checkpoint",
    )
    command.add_argument("folder", type=path, metavar="FOLDER", help="folder of clean pictures")
    command.add_argument(
        "-l", "--levels", type=numbers, metavar="LEVEL,...",
        help="levels in the model's unit; default 15,25,50 for denoise, 10,20,30,40 for dejpeg, 2,3,4 for "
        "upscale",
    )  # fmt: skip
    command.add_argument(
        "--task", metavar="TASK",
        help="for a model that repairs noise and JPEG: measure it on one of them, denoise or dejpeg",
    )  # fmt: skip
    command.add_argument(
        "--protocol", default="standard", metavar="NAME",
        help="standard (default), the usual one in the literature, or hyperres: noise is clipped and "
        "truncated to 8 bits, JPEG is full-range grey, pictures are rescaled without antialiasing",
    )  # fmt: skip
    command.add_argument("--grey", action="store_true", help="score the luminance, as grey pictures")
    command.add_argument(
        "--softness", type=number, metavar="NUMBER",
        help="for upscale: shrink by a kernel this many times as wide as the bicubic one; default 1",
    )  # fmt: skip
    command.add_argument(
        "--told-softness", type=number, metavar="NUMBER",
        help="for upscale: the softness that the model is given, if not the true one",
    )  # fmt: skip
    command.add_argument(
        "--seed", type=whole(0), default=0, metavar="NUMBER", help="seed of the noise; default 0"
    )
    command.add_argument(
        "-f", "--format", default="text", metavar="NAME", help="output on stdout: text (default), csv or json"
    )
    command.add_argument("--plot", metavar="FILE", help="plot PSNR against the level (PNG, SVG, PDF)")
    add_running(command)
