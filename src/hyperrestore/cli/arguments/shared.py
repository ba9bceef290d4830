"""Options that several commands share."""

from __future__ import annotations

import argparse
from typing import Any

from hyperrestore.cli.arguments.values import model, place, shard, whole, worker_cpus

PICTURES = "PNG, JPEG, WebP, TIFF or AVIF file"

Commands = Any  # argparse names the type of `add_subparsers` only privately


def add_verbose(command: argparse.ArgumentParser, *, default: bool | str) -> None:
    """Add -v, which is accepted before the command and after it."""
    command.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=default,
        help="report on stderr what is loaded, estimated and written",
    )


def add_files(command: argparse.ArgumentParser) -> None:
    """Add the options of all commands that restore pictures."""
    command.set_defaults(to_width=None, to_height=None, long_side=None, model=None)
    command.set_defaults(grain=0.0, level_map=None, softness=None, sweep=None, region=None, singles=False)
    command.set_defaults(restore=False, noise=None, colour_noise=None)
    command.set_defaults(jpeg_quality=None, strength=None)
    add_inputs(
        command,
        "also accept folders, and restore all pictures in them; the results keep the folder structure, and "
        "existing results are kept",
    )
    _add_results(command)
    command.add_argument(
        "--shard", type=shard, metavar="K/N",
        help="restore only part K of N; the path of a picture decides its part, so N machines that see the "
        "same files restore every picture once",
    )  # fmt: skip
    command.add_argument(
        "--json", action="store_true", help="print a JSON object instead of a path for each picture"
    )
    command.add_argument(
        "--report", type=place, metavar="FILE", help="write a JSON file with the outcome for each picture"
    )
    _add_cluster(command)
    _add_films(command)
    add_limit(command)
    add_running(command)


def _add_cluster(command: argparse.ArgumentParser) -> None:
    """Add the options for a cluster."""
    command.add_argument(
        "--cluster", nargs="?", const="auto", metavar="ADDRESS",
        help="restore a folder on a Ray cluster: HOST:PORT of its head; auto (default) for the one that this "
        "machine belongs to; local starts one on this machine",
    )  # fmt: skip
    command.add_argument(
        "--worker-cpus", type=worker_cpus, default=1.0, metavar="COUNT",
        help="with --cluster: CPUs for each worker, which restores one picture at a time (default 1); 0.5 "
        "lets two workers share a CPU, so that one can wait for a slow storage",
    )  # fmt: skip


def _add_films(command: argparse.ArgumentParser) -> None:
    """Add the options for films."""
    command.add_argument(
        "--follow", action="store_true",
        help="for a film: let estimated levels follow it over time, smoothly; by default one is found "
        "for all of it",
    )  # fmt: skip
    command.add_argument(
        "--lossless", action="store_true",
        help="for a film: encode its pictures without a loss, as FFV1 in an .mkv file",
    )  # fmt: skip


def _add_results(command: argparse.ArgumentParser) -> None:
    """Add the options for results: where, in which format, and whether to replace existing files."""
    command.add_argument(
        "-o",
        "--out",
        required=True,
        help="output: a file for one picture; a folder for several, or if it ends with /; on this machine or "
        "in object storage, such as s3://BUCKET/FOLDER/",
    )
    command.add_argument(
        "-f",
        "--format",
        metavar="FORMAT",
        help="format of the results in a folder: png, jpg, webp, tif, avif",
    )
    command.add_argument(
        "-q", "--quality", type=whole(1, 100), metavar="1..100",
        help="quality of JPEG (default 95, or that of the original if higher), WebP (95) and AVIF (90); for "
        "the last two, 100 is lossless",
    )  # fmt: skip
    existing = command.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace existing files")
    existing.add_argument(
        "--skip-existing", action="store_true", help="write only the missing files; implied by -r"
    )
    command.add_argument(
        "--keep-times", action="store_true",
        help="copy each picture's modification and access times to its result; byte-for-byte copies keep "
        "them anyway",
    )  # fmt: skip


def add_inputs(command: argparse.ArgumentParser, recursive: str) -> None:
    """Add the pictures to read, and -r with its help text."""
    command.add_argument(
        "inputs", nargs="+", metavar="PICTURE", type=place,
        help=f"{PICTURES}; with -r also a folder; on this machine or in object storage, such as "
        "s3://BUCKET/NAME",
    )  # fmt: skip
    command.add_argument("-r", "--recursive", action="store_true", help=recursive)


def add_limit(command: argparse.ArgumentParser) -> None:
    """Add the limit on the size of pictures."""
    command.add_argument(
        "--max-pixels", type=whole(1), metavar="COUNT",
        help="refuse pictures and results with more pixels (default 2^30)",
    )  # fmt: skip


def add_model(command: argparse.ArgumentParser) -> None:
    """Add the option for another model."""
    command.add_argument(
        "--model", type=model, metavar="FILE", help="use this checkpoint instead of the built-in model"
    )


def add_running(command: argparse.ArgumentParser) -> None:
    """Add the options for running a network: tile, device and precision."""
    command.add_argument(
        "-t", "--tile", type=whole(16), metavar="PIXELS",
        help="side of a tile; smaller tiles need less memory and more time",
    )  # fmt: skip
    command.add_argument(
        "--device",
        default="auto",
        help="auto (default) or cpu: OpenVINO on the CPU; cuda, cuda:1 or mps: torch on a GPU; torch: torch "
        "on the CPU",
    )
    command.add_argument(
        "--precision",
        default="auto",
        help="auto (default): bf16 for 8-bit pictures if the device supports it, else fp32; fp32; bf16 (fp32 "
        "on a CPU without it); int8: fastest, for 8-bit photos on the CPU, slightly less accurate on photos "
        "and much less on flat graphics",
    )
