"""Evaluation: a model and a folder of clean photos -> scores, with the protocol they were measured by."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, runtime_checkable
from typing import Protocol as Interface

import numpy as np

from hyperrestore.arrays import Pixels
from hyperrestore.errors import UsageError
from hyperrestore.level import Task
from hyperrestore.measure.degrade import Protocol, shrink
from hyperrestore.measure.metrics import WINDOW, psnr, ssim, to_8bit
from hyperrestore.measure.photo import UNITS
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
from hyperrestore.measure.scores import Evaluation, Score
from hyperrestore.picture.file import read_picture
from hyperrestore.picture.info import PictureInfo
from hyperrestore.picture.reader import open_picture
from hyperrestore.run.engine import TILE, Backend, Region, run_tiled
from hyperrestore.run.openvino import SMALL
from hyperrestore.run.subpixels import Upscaled, has_subpixels
from hyperrestore.run.tiles import round_up

# Those that the field compares at.
USUAL_LEVELS = {
    Task.DENOISE: (15.0, 25.0, 50.0),
    Task.DEJPEG: (10.0, 20.0, 30.0, 40.0),
    Task.UPSCALE: (2.0, 3.0, 4.0),
}


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
class AlongAxis:
    """A model for photos, measured as one for white noise or for JPEG alone: its other levels say none.

    Attributes:
        model: The model for photos.
        task: `denoise` or `dejpeg`.
    """

    model: Evaluated
    task: Task

    @property
    def unit(self) -> str:
        """The unit of what is measured."""
        return "sigma" if self.task == Task.DENOISE else "quality"

    def at(self, level: float, *, bits: int) -> NamedBackend:
        """What restores pictures whose damage is that of one level of the task alone."""
        noise, colours, quality = UNITS
        noisy = {noise: level, colours: level}
        return self.model.at(noisy if self.task == Task.DENOISE else {noise: 0, quality: level}, bits=bits)


def along_axis(model: Evaluated, task: str | None) -> Evaluated:
    """What is measured of a model: itself, or of one for photos what it makes of one kind of damage.

    Raises:
        UsageError: The task is not the model's, or for a model for photos neither "denoise" nor "dejpeg".
    """
    if model.task != Task.PHOTO:
        if task not in (None, model.task):
            raise UsageError(f"task {task!r} is not this model's: it is for {model.task}")
        return model
    if task not in (Task.DENOISE, Task.DEJPEG):
        raise UsageError(
            "a model for photo is measured on noise or on JPEG: give the task denoise or dejpeg, got "
            f"{task!r}"
        )
    return AlongAxis(model, Task(task))


@dataclass(frozen=True)
class _Setting:
    """How every picture is degraded, restored and scored."""

    task: Task
    protocol: Protocol
    grey: bool
    seed: int
    softness: float
    tile: int


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
    if task == Task.PHOTO:
        raise UsageError("a model for photo is measured along one of its axes: see `AlongAxis`")
    check_protocol(task, protocol, grey=grey)
    if seed < 0:
        raise UsageError(f"seed {seed} is not accepted; give a whole number of at least 0")
    pictures, levels = list(pictures), list(dict.fromkeys(levels))
    if not pictures or not levels:
        raise UsageError("an evaluation needs at least one picture and one level")
    # All that can be wrong is looked at first: a run may take hours.
    setting = _Setting(task, protocol, grey, seed, softness_of(task, protocol, softness), tile)
    asked = setting.softness if told is None else told
    backends = [restorer.at(told_level(restorer, level, asked), bits=8) for level in levels]
    for level in levels:
        degrade(np.zeros((1, 8, 8), np.float32), level, task, protocol, np.random.default_rng(0))
    channels = {_info(path, levels, task, protocol).channels for path in pictures}

    for backend in backends:
        if not isinstance(backend, Enlarging):
            _warm_up(backend)
    scores: dict[float, list[Score]] = {level: [] for level in levels}
    for path in pictures:
        whole = read_picture(path).pixels
        for level, backend in zip(levels, backends, strict=True):
            scores[level].append(_score(backend, path.name, whole, level, setting))
            progress(sum(map(len, scores.values())), len(pictures) * len(levels))
    text = _describe(setting, told, channels=channels, name=backends[0].name)
    return Evaluation(text, tuple(score for level in levels for score in scores[level]))


def _warm_up(backend: Backend) -> None:
    """Let a network compile what large pictures need, so that it does not count in their time."""
    side = round_up(math.isqrt(SMALL) + 1, backend.multiple)
    backend(np.zeros((1, side, side), np.float32))


def _score(backend: Backend, name: str, whole: Pixels, level: float, setting: _Setting) -> Score:
    """Degrade a picture, restore it, and compare."""
    task, protocol = setting.task, setting.protocol
    # Names may hold bytes that are no text.
    name_number = zlib.crc32(name.encode(errors="surrogateescape"))
    generator = np.random.default_rng([setting.seed, name_number, round(1000 * level)])
    clean = prepare(whole, level, task, protocol, grey=setting.grey)
    degraded = degrade(clean, level, task, protocol, generator, softness=setting.softness)
    given_to_it = degraded
    if has_subpixels(backend) or isinstance(backend, Enlarging):
        given_to_it = shrink(clean, level, softness=setting.softness, protocol=protocol)
    start = time.perf_counter()
    restored = _restored(backend, given_to_it, clean.shape[1:], setting.tile)
    seconds = time.perf_counter() - start
    target, given, result = (scored(picture, task) for picture in (clean, degraded, to_8bit(restored)))
    cropped = border(level, task, protocol)
    return Score(
        level,
        name,
        psnr(given, target, border=cropped),
        psnr(result, target, border=cropped),
        ssim(result, target, border=cropped),
        seconds / (clean.shape[1] * clean.shape[2] / 1e6),
    )


def _describe(setting: _Setting, told: float | None, *, channels: set[int], name: str) -> str:
    """The protocol in full."""
    task, protocol, softness = setting.task, setting.protocol, setting.softness
    softly = f" at softness {softness:g}" if task == Task.UPSCALE and softness != SOFTNESS[protocol] else ""
    softly += f", restored at softness {told:g}" if told is not None else ""
    return (
        f"{describe(task, protocol, grey=setting.grey, channels=channels, seed=setting.seed)}{softly}; "
        f"SSIM with an {WINDOW}x{WINDOW} Gaussian window; mean over pictures; "
        f"{name}, tiles of {setting.tile} pixels, seconds for a megapixel"
    )


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
