"""Evaluation: a model and a folder of clean photos -> scores, with the protocol they were measured by."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import textwrap
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, runtime_checkable
from typing import Protocol as Interface

import numpy as np

from hyperrestore.errors import MissingExtraError, UsageError
from hyperrestore.level import Task
from hyperrestore.measure.degrade import Protocol, shrink
from hyperrestore.measure.metrics import WINDOW, psnr, ssim, to_8bit
from hyperrestore.measure.protocols import (
    SOFTNESS,
    border,
    check_protocol,
    degrade,
    describe,
    prepare,
    prepared_size,
    scored,
)
from hyperrestore.picture.file import SUFFIXES, PictureInfo, open_picture, read_picture
from hyperrestore.run.engine import TILE, Backend, Pixels, Region, run_tiled
from hyperrestore.run.openvino import SMALL
from hyperrestore.run.subpixels import Upscaled, has_subpixels
from hyperrestore.run.tiles import round_up

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class NamedBackend(Backend, Interface):
    """A Backend that says what runs it."""

    @property
    def name(self) -> str:
        """What runs it, and how, in words."""


@runtime_checkable
class Enlarging(NamedBackend, Interface):
    """A Backend of another method, which makes a large picture of a small one in its own way."""

    def enlarge(self, small: Pixels, size: tuple[int, int], /) -> Pixels:
        """Enlarge a small picture (c, h, w), values in [0, 1], to an exact height and width."""


# Those that the field compares at.
USUAL_LEVELS = {
    Task.DENOISE: (15.0, 25.0, 50.0),
    Task.DEJPEG: (10.0, 20.0, 30.0, 40.0),
    Task.UPSCALE: (2.0, 3.0, 4.0),
}


class Evaluated(Interface):
    """What can be evaluated: a `Restorer`, or anything else that gives a Backend for a level."""

    @property
    def task(self) -> Task:
        """What it repairs: how pictures are degraded, and what a level means."""

    def at(self, level: Any, *, bits: int) -> NamedBackend:
        """What restores pictures of `bits` bits that are degraded to `level`.

        That is a number, or numbers by unit where what can be evaluated has `axes` besides its `scale`.
        """


@dataclass(frozen=True)
class Score:
    """One picture at one level, or the mean of several.

    Attributes:
        level: In the model's unit.
        picture: File name.
        input_psnr: PSNR of the degraded picture, dB.
        psnr: PSNR of the restored picture, dB.
        ssim: SSIM of the restored picture.
        seconds: Time to restore a megapixel.
    """

    level: float
    picture: str
    input_psnr: float
    psnr: float
    ssim: float
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Scores of single pictures, and the protocol in full."""

    protocol: str
    scores: tuple[Score, ...]

    def means(self) -> list[Score]:
        """The mean over all pictures, one row for each level."""
        rows = []
        for level in dict.fromkeys(score.level for score in self.scores):
            scores = [score for score in self.scores if score.level == level]
            numbers = {
                name: float(np.mean([getattr(score, name) for score in scores]))
                for name in ("input_psnr", "psnr", "ssim", "seconds")
            }
            rows.append(Score(level, f"mean of {len(scores)}", **numbers))
        return rows


def find_pictures(folder: str | Path) -> list[Path]:
    """The pictures in a folder, by name; not those in its own folders.

    Raises:
        UsageError: There is no such folder, it cannot be read, or it holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    try:
        paths = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()
        )
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({error.strerror})") from error
    if not paths:
        raise UsageError(f"{folder}: holds no pictures ({', '.join(SUFFIXES)})")
    return paths


def evaluate(
    restorer: Evaluated,
    pictures: Iterable[Path],
    levels: Sequence[float],
    *,
    protocol: Protocol = "standard",
    grey: bool = False,
    seed: int = 0,
    softness: float | None = None,
    told: float | None = None,
    tile: int = TILE,
    progress: Callable[[int, int], None] = lambda done, scores: None,
) -> Evaluation:
    """Degrade clean pictures at known levels, restore them, and compare.

    Args:
        restorer: The model, or another method that is to see the same degraded pictures.
        pictures: Files of clean pictures; alpha is left out.
        levels: In the model's unit.
        protocol: "standard" or "hyperres": how they are degraded and scored in detail (see `protocols`).
        grey: Degrade and score the luminance as grey pictures (see `protocols.prepare`).
        seed: Of the noise, from 0; each picture and level has noise of its own, whatever else is evaluated.
        softness: Of small pictures (see `degrade.shrink`); None for that of the protocol. "hyperres" has no
            other.
        told: The softness that a model with that level is told, if it is not the true one.
        tile: Side of a tile, pixels.
        progress: Called with the number of scores done and of all scores.

    Returns:
        A score for each level and picture.

    Raises:
        UsageError: The protocol is unknown, no picture or level is given, or a picture is too small.
        LevelError: The model does not accept a level, or no picture can be degraded to it.
        PictureError: A picture cannot be read.
    """
    task = restorer.task
    check_protocol(task, protocol, grey=grey)
    if seed < 0:
        raise UsageError(f"seed {seed} is not accepted; give a whole number from 0")
    pictures, levels = list(pictures), list(dict.fromkeys(levels))
    if not pictures or not levels:
        raise UsageError("an evaluation needs at least one picture and one level")
    # All that can be wrong is looked at first: a run may take hours.
    softness = softness_of(task, protocol, softness)
    backends = [
        restorer.at(told_level(restorer, level, softness if told is None else told), bits=8)
        for level in levels
    ]
    for level in levels:
        degrade(np.zeros((1, 8, 8), np.float32), level, task, protocol, np.random.default_rng(0))
    channels = {_info(path, levels, task, protocol).channels for path in pictures}

    for backend in backends:
        if isinstance(backend, Enlarging):
            continue
        side = round_up(math.isqrt(SMALL) + 1, backend.multiple)
        backend(np.zeros((1, side, side), np.float32))  # compiles what large pictures need
    scores: dict[float, list[Score]] = {level: [] for level in levels}
    for path in pictures:
        whole = read_picture(path).pixels
        # Names may hold bytes that are no text.
        name_number = zlib.crc32(path.name.encode(errors="surrogateescape"))
        for level, backend in zip(levels, backends, strict=True):
            generator = np.random.default_rng([seed, name_number, round(1000 * level)])
            clean = prepare(whole, level, task, protocol, grey=grey)
            degraded = degrade(clean, level, task, protocol, generator, softness=softness)
            given_to_it = degraded
            if has_subpixels(backend) or isinstance(backend, Enlarging):
                given_to_it = shrink(clean, level, softness=softness, protocol=protocol)
            start = time.perf_counter()
            restored = _restored(backend, given_to_it, clean.shape[1:], tile)
            seconds = time.perf_counter() - start
            megapixels = clean.shape[1] * clean.shape[2] / 1e6
            target, given, result = (
                scored(picture, task) for picture in (clean, degraded, to_8bit(restored))
            )
            cropped = border(level, task, protocol)
            scores[level].append(
                Score(
                    level,
                    path.name,
                    psnr(given, target, border=cropped),
                    psnr(result, target, border=cropped),
                    ssim(result, target, border=cropped),
                    seconds / megapixels,
                )
            )
            progress(sum(map(len, scores.values())), len(pictures) * len(levels))
    softly = f" at softness {softness:g}" if task == Task.UPSCALE and softness != SOFTNESS[protocol] else ""
    softly += f", restored at softness {told:g}" if told is not None else ""
    text = (
        f"{describe(task, protocol, grey=grey, channels=channels, seed=seed)}{softly}; "
        f"SSIM with an {WINDOW}x{WINDOW} Gaussian window; mean over pictures; "
        f"{backends[0].name}, tiles of {tile} pixels, seconds for a megapixel"
    )
    return Evaluation(text, tuple(score for level in levels for score in scores[level]))


def softness_of(task: Task, protocol: Protocol, asked: float | None) -> float:
    """The softness of small pictures: that of the protocol, unless another is asked for.

    Raises:
        UsageError: The task or the protocol has no other.
    """
    usual = SOFTNESS[protocol]
    if asked is not None and asked != usual and (task != Task.UPSCALE or protocol != "standard"):
        raise UsageError(
            f"softness {asked:g} is for upscale by the protocol 'standard', not {task}, {protocol!r}"
        )
    return usual if asked is None else asked


def told_level(restorer: Evaluated, level: float, softness: float) -> float | dict[str, float]:
    """A level as a model takes it: with the softness, if that is one of its axes."""
    axes = [axis.unit for axis in getattr(restorer, "axes", ())]
    return {"scale": level, "softness": softness} if "softness" in axes else level


def _restored(backend: Backend, given: Pixels, size: tuple[int, int], tile: int) -> Pixels:
    """A picture restored, or enlarged to a height and width by what works on the small picture."""
    if isinstance(backend, Enlarging):
        return backend.enlarge(given, size)
    if not has_subpixels(backend):
        return run_tiled(backend, given, size=tile)
    height, width = size
    upscaled = Upscaled(backend, size=given.shape[1:], to=size)
    small_tile = max(1, tile * given.shape[1] // height)
    return upscaled.region(
        lambda part: given[:, part.top : part.bottom, part.left : part.right],
        Region(0, 0, width, height),
        tile=small_tile,
    )


def _info(path: Path, levels: Sequence[float], task: Task, protocol: Protocol) -> PictureInfo:
    """What a picture's header says, if the picture is large enough to be scored at every level."""
    with open_picture(path) as reader:
        info = reader.info
    for level in levels:
        sides = prepared_size((info.width, info.height), level, task, protocol)
        width, height = (side - 2 * border(level, task, protocol) for side in sides)
        if min(width, height) < WINDOW:
            left = f", of which level {level:g} scores {max(width, 0)} x {max(height, 0)}"
            raise UsageError(
                f"{path}: has {info.width} x {info.height} pixels"
                f"{left if (width, height) != (info.width, info.height) else ''}; "
                f"SSIM needs at least {WINDOW} x {WINDOW}"
            )
    return info


def as_text(evaluation: Evaluation) -> str:
    """The means as a table for people."""
    lines = [
        f"protocol  {evaluation.protocol}",
        "",
        f"{'level':>7}  {'pictures':>12}  {'input dB':>9}  {'PSNR dB':>8}  {'SSIM':>6}  {'s/MP':>6}",
    ]
    for score in evaluation.means():
        lines.append(
            f"{score.level:7g}  {score.picture:>12}  {score.input_psnr:9.2f}  {score.psnr:8.2f}"
            f"  {score.ssim:6.4f}  {score.seconds:6.2f}"
        )
    return "\n".join(lines)


def as_csv(evaluation: Evaluation) -> str:
    """Every score and the means, one row each; the last column of each row is the protocol."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(Score)]
    writer.writerow([*names, "protocol"])
    for score in (*evaluation.scores, *evaluation.means()):
        writer.writerow([*(getattr(score, name) for name in names), evaluation.protocol])
    return text.getvalue().rstrip("\n")


def as_json(evaluation: Evaluation) -> str:
    """Protocol, means and every score; a PSNR without error, which is infinite, is null."""

    def row(score: Score) -> dict[str, object]:
        return {name: None if value == math.inf else value for name, value in asdict(score).items()}

    document = {
        "protocol": evaluation.protocol,
        "means": [row(score) for score in evaluation.means()],
        "scores": [row(score) for score in evaluation.scores],
    }
    return json.dumps(document, indent=2, allow_nan=False)


FORMATS = {"text": as_text, "csv": as_csv, "json": as_json}


def check_plot(path: str | Path) -> None:
    """Refuse a file that `plot` could not write, before the scores are measured.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        UsageError: The suffix is unknown, or the file cannot be written.
    """
    path = Path(path)
    known = _figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise UsageError(
            f"{path}: cannot draw {path.suffix or 'a file without suffix'}; use .png, .svg or .pdf"
        )
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path}: the plot cannot be written; give a file in a folder that exists")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{path}: the plot cannot be written (no permission)")


def plot(evaluation: Evaluation, path: str | Path, *, unit: str) -> None:
    """Draw PSNR over the level, of the degraded and the restored pictures, with the protocol below.

    Args:
        evaluation: The scores.
        path: PNG, SVG or PDF file.
        unit: Of the level, for the axis.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        UsageError: The file cannot be written.
    """
    figure = _figure()
    means = evaluation.means()
    axes = figure.add_subplot()
    levels = [score.level for score in means]
    axes.plot(levels, [score.psnr for score in means], "o-", label="restored")
    axes.plot(levels, [score.input_psnr for score in means], "o--", color="grey", label="degraded")
    for score in means:
        if math.isfinite(score.psnr):
            axes.annotate(f"{score.psnr:.2f}", (score.level, score.psnr), xytext=(0, 6),
                          textcoords="offset points", ha="center", fontsize=8)  # fmt: skip
    axes.set(xlabel=unit, ylabel="PSNR, dB")
    axes.margins(y=0.12)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.supxlabel(textwrap.fill(evaluation.protocol, 105), fontsize=7, color="dimgrey")
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: the plot cannot be written ({error})") from error


def _figure() -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("a plot needs Matplotlib: pip install 'hyperrestore[torch]'") from error
    return Figure(figsize=(7, 4.6), layout="constrained")
