"""Restorer: a model on a device; the Python API."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar, get_args

import numpy as np

from hyperrestore.errors import CheckpointError, UsageError
from hyperrestore.floats import check_picture
from hyperrestore.level import LevelScale, Task
from hyperrestore.network.checkpoint import Description, read_description
from hyperrestore.picture.file import Picture, enlarged_picture
from hyperrestore.run.backend import MapBackend, NetworkBackend, Precision
from hyperrestore.run.engine import TILE, Backend, Grain, Pixels, Region, restore_region
from hyperrestore.run.enlarge import enlarged_region, enlarged_size
from hyperrestore.run.int8 import load_ranges
from hyperrestore.run.linear_light import LinearResult, in_linear_light, to_linear, to_perceptual
from hyperrestore.run.openvino import OpenVINOModel
from hyperrestore.run.pytorch import TorchModel
from hyperrestore.run.subpixels import Upscaled, has_subpixels, tile_of
from hyperrestore.run.transparency import VisibleOnly, VisibleRows, find_surroundings

MODELS = Path(__file__).parents[1] / "models"

# Kernels follow a scale so far beyond the trained ones. Farther off they draw a grid of dots in flat areas:
# 0.3 steps of 255 strong (standard deviation) there, 3 at one and a half times the largest trained scale.
KERNELS_FOLLOW = 1.125

NO_MAP = "a map of levels is not for upscaling: its level is the size of the result"

Image = TypeVar("Image", Picture, Pixels)
Level = float | Mapping[str, float]  # one, or several by their units


def model_path(model: str | Path) -> Path:
    """The checkpoint of a model: a task's is a part of the package, and any other is given by its path."""
    return MODELS / f"{model}.safetensors" if model in list(Task) else Path(model)


class Restorer:
    """A model on a device. It never changes, so threads may share it.

    It can be pickled, for pools of processes: as the model's name or path with its options. What opens it
    there loads the model anew.

    Attributes:
        description: What the model says about itself.
        scale: What its level means, and which levels it accepts.

    Example:
        >>> restorer = Restorer.load("denoise")
        >>> noisy = np.random.default_rng(0).random((3, 37, 31), np.float32)
        >>> restorer(noisy, 25).shape
        (3, 37, 31)
    """

    def __init__(
        self, model: OpenVINOModel | TorchModel, description: Description, precision: Precision
    ) -> None:
        self._model = model
        self._precision = precision
        self.description = description
        self._loaded_from: tuple[str | Path, str] | None = None  # model and device

    @classmethod
    def load(cls, model: str | Path, *, device: str = "auto", precision: Precision = "auto") -> Restorer:
        """Load a model.

        Args:
            model: A task, whose model is a part of the package ("denoise"), or the path of a checkpoint.
            device: "auto" and "cpu" run the model's ONNX graph by OpenVINO on the CPU. "cuda", "cuda:1" and
                "mps" run it by torch there, "torch" by torch on the CPU, as the reference.
            precision: "bf16" is faster and meant for 8-bit pictures; "auto" takes it only for those. On a CPU
                that does not compute in it both mean "fp32". "int8" is the fastest: on the CPU, only for
                8-bit pictures, and with the ranges that `hyperrestore calibrate` puts beside the model.

        Raises:
            UsageError: The device or precision is unknown or not available on this machine.
            CheckpointError: There is no such model, or it, or its file of ranges for "int8", is missing or
                damaged.

        Example:
            >>> Restorer.load("denoize")
            Traceback (most recent call last):
            hyperrestore.errors.CheckpointError: denoize: no such file, and no model of the package; ...
        """
        if precision not in get_args(Precision):
            raise UsageError(
                f"precision {precision!r} is unknown; known are {', '.join(get_args(Precision))}"
            )
        path = model_path(model)
        if not path.exists():
            raise CheckpointError(
                f"{path}: no such file, and no model of the package; its models are {', '.join(Task)}; give "
                "one of them, or the path of a checkpoint"
            )
        description = read_description(path)
        opened: OpenVINOModel | TorchModel
        if device in ("auto", "cpu"):
            ranges = load_ranges(path) if precision == "int8" else None
            opened = OpenVINOModel(path, description, ranges)
        elif precision == "int8":
            raise UsageError(
                f"precision int8 is for device cpu, got device {device!r}; give device cpu, or precision auto"
            )
        else:
            opened = TorchModel(path, "cpu" if device == "torch" else device)
        restorer = cls(opened, description, precision)
        restorer._loaded_from = (str(model) if model in list(Task) else path.absolute()), device
        return restorer

    def __reduce__(self) -> tuple[Callable[[], Restorer], tuple[()]]:
        if self._loaded_from is None:
            raise TypeError("only a Restorer that was made by `Restorer.load` can be pickled")
        model, device = self._loaded_from
        return partial(Restorer.load, model, device=device, precision=self._precision), ()

    @property
    def task(self) -> Task:
        """What the model repairs."""
        return self.description.task

    @property
    def scale(self) -> LevelScale:
        """What the model's level means, and which levels it accepts."""
        return self.description.scale

    @property
    def axes(self) -> tuple[LevelScale, ...]:
        """Further levels that the model takes, as the softness of a picture that is enlarged."""
        return self.description.axes

    def axis(self, unit: str) -> LevelScale:
        """What one of the levels means.

        Raises:
            UsageError: The model has no such level.
        """
        for scale in self.description.scales:
            if scale.unit == unit:
                return scale
        known = ", ".join(scale.unit for scale in self.description.scales)
        raise UsageError(f"this model has no level {unit!r}; it takes {known}")

    def at(self, level: Level, *, bits: int = 16, pixels: int | None = None) -> NetworkBackend:
        """Generate the network for one level.

        Args:
            level: In the unit of `scale`; or several by their units, as `{"scale": 2, "softness": 1.5}` (see
                `axes`): those not given are at their origin. At sigma 0, or scale 1 and softness 1, the
                network leaves every sample exactly as it is; just beyond it begins with a small step.
            bits: Depth of the picture's samples; decides what precision "auto" means.
            pixels: Of the whole result, if that is known. On a CPU small ones share one graph for all levels,
                which makes a new level cheap; regions of a picture are to be given as many as the whole.

        Returns:
            A Backend for `run_tiled`, or, with `subpixels`, for `subpixels.Upscaled`. It never changes.

        Raises:
            LevelError: The model does not accept the level.
            UsageError: The model has no such level; the precision is "int8", and there are more than 8 bits.
        """
        levels = self._levels(level)
        network = self._model.at(
            self._of_kernels(levels), precision=self._precision, bits=bits, pixels=pixels
        )
        if levels[0] == self._harmless and levels[1:] <= tuple(axis.origin for axis in self.axes):
            return replace(network, infer=partial(_nothing, network.subpixels), residual=True)
        return network

    def _levels(self, level: Level) -> tuple[float, ...]:
        """A level for each axis, checked."""
        given = dict(level) if isinstance(level, Mapping) else {self.scale.unit: level}
        for unit in given:
            self.axis(unit)
        if self.scale.unit not in given:
            raise UsageError(f"the level {self.scale.unit!r} is missing; give it by that name")
        return tuple(axis.check(given.get(axis.unit, axis.origin)) for axis in self.description.scales)

    def _of_kernels(self, levels: tuple[float, ...]) -> tuple[float, ...]:
        """The levels that kernels are generated for, which follow no scale far beyond the trained ones."""
        if self.task != Task.UPSCALE:
            return levels
        return (min(levels[0], KERNELS_FOLLOW * self.scale.trained[1]), *levels[1:])

    def mapped(self, *, bits: int = 16) -> MapBackend:
        """The network for a level of each pixel.

        Args:
            bits: As for `at`.

        Returns:
            A Backend whose windows have the levels, in the unit of `scale`, as their last channel. Where
            that is sigma 0, samples stay exactly as they are, as in `at`.

        Raises:
            UsageError: The model upscales, or its precision is "int8".
            CheckpointError: The model has no graph for it.
        """
        if self.task == Task.UPSCALE:
            raise UsageError(NO_MAP)
        return replace(self._model.mapped(precision=self._precision, bits=bits), harmless=self._harmless)

    @property
    def _harmless(self) -> float | None:
        """The level at which nothing is to be repaired; even the best JPEG is damaged."""
        return None if self.task == Task.DEJPEG else self.scale.origin

    def release_memory(self) -> None:
        """Give back the memory that the network holds between two pictures; the next one takes it anew."""
        self._model.release_memory()

    def __call__(self, image: Image, level: Level | Pixels, *, grain: float = 0.0, size: int = TILE) -> Image:
        """Restore a picture.

        Args:
            image: A `Picture`, or an array (c, h, w) of floats in [0, 1], RGB or grey. A picture in linear
                light, by its profile, is restored as it is seen (see `linear_light`); an array is taken to be
                spaced as sRGB is.
            level: In the unit of `scale`; or several by their units, as for `at`; or an array (h, w), a level
                for each pixel.
            grain: Share of the luminance noise that is put back, 0 to 1.
            size: Side of a tile, pixels of the result (see `run_tiled`).

        Returns:
            The same kind, restored; by a model that upscales it is larger by the level, each side rounded.
            What stands under a picture's full transparency changes nothing that is seen, and stays as it is
            (see `transparency`).

        Raises:
            LevelError: The model does not accept the level.
            UsageError: The image is no picture, or no floats about [0, 1] (see `floats`), the levels have
                another size, the grain is not within 0 to 1, or there are too many bits for the precision.
        """
        height, width = _pixels_of(image).shape[1:]
        if self.task == Task.UPSCALE:
            width, height = self.result_size(width, height, _one(level))
        restored = self.region(image, level, Region(0, 0, width, height), grain=grain, size=size)
        if not isinstance(image, Picture):
            return restored
        if restored.shape == image.pixels.shape:
            return replace(image, pixels=restored)
        whole = enlarged_picture(image, restored)
        return replace(image, pixels=restored, alpha=whole.alpha, info=whole.info, others=whole.others)

    def region(
        self,
        image: Picture | Pixels,
        level: Level | Pixels,
        region: Region,
        *,
        grain: float = 0.0,
        size: int = TILE,
    ) -> Pixels:
        """Restore a part of a picture: what a call makes of the whole, cut to the region.

        Args:
            image: The whole picture, as for a call.
            level: As for a call; an array is of the size of the whole.
            region: Of the result, pixels.
            grain: Share of the luminance noise that is put back, 0 to 1.
            size: Side of a tile, pixels of the result.

        Returns:
            Restored pixels (c, bottom - top, right - left), clipped to [0, 1].

        Raises:
            LevelError: The model does not accept the level.
            UsageError: As for a call, or the region is not within the result.
        """
        pixels = _pixels_of(image)
        before = pixels.shape[1:]
        backend, levels = self._backend(image, pixels.shape[1:], level, grain)
        seen, visible_only, linear = _as_seen(image, pixels)
        height, width = before
        if self.task == Task.UPSCALE:
            width, height = self.result_size(width, height, _one(level))

        def read(part: Region) -> Pixels:
            rows, columns = slice(part.top, part.bottom), slice(part.left, part.right)
            return _with_levels(seen[:, rows, columns], None if levels is None else levels[rows, columns])

        def read_enlarged(part: Region) -> Pixels:
            return _enlarged(seen, part, to=(height, width))

        if has_subpixels(backend):
            finish = to_linear if linear else None
            upscaled = Upscaled(
                backend, size=before, to=(height, width), visible_only=visible_only, finish=finish
            )
            tile = min(tile_of(size, width / before[1]), tile_of(None, 1))
            return upscaled.region(read, region, tile=tile).astype(pixels.dtype, copy=False)
        if visible_only:
            backend = VisibleOnly(backend)
        if linear:
            backend = LinearResult(backend)
        return restore_region(
            backend,
            read_enlarged if self.task == Task.UPSCALE else read,
            region,
            height=height,
            width=width,
            size=size,
        )

    def result_size(self, width: int, height: int, level: Level) -> tuple[int, int]:
        """Width and height of the result for a picture of that size; only upscaling changes them.

        Raises:
            LevelError: The model does not accept the level.
        """
        scale = self._levels(level)[0]
        return enlarged_size(width, height, scale=scale)[:2] if self.task == Task.UPSCALE else (width, height)

    def _backend(
        self, image: Picture | Pixels, shape: tuple[int, int], level: Level | Pixels, grain: float
    ) -> tuple[Backend, Pixels | None]:
        """What restores a picture at a level, or at levels; and these, if they are several."""
        height, width = shape
        bits = image.info.bits if isinstance(image, Picture) else 16
        levels = np.asarray(level) if isinstance(level, np.ndarray) and level.ndim else None
        if levels is None:
            one = _one(level)
            size = self.result_size(width, height, one) if self.task == Task.UPSCALE else (width, height)
            backend: Backend = self.at(one, bits=bits, pixels=math.prod(size))
        else:
            if levels.shape != (height, width) or levels.dtype.kind not in "iuf":
                raise UsageError(
                    f"levels of shape {levels.shape} and type {levels.dtype} do not fit: a picture of "
                    f"{width} x {height} pixels takes numbers ({height}, {width})"
                )
            self.scale.check(float(levels.min()))
            self.scale.check(float(levels.max()))
            backend = self.mapped(bits=bits)
        if grain and self.task == Task.UPSCALE:
            raise UsageError("grain is put back where noise was taken out, not by upscaling")
        return (Grain(backend, grain) if grain else backend), levels


def _enlarged(pixels: Pixels, part: Region, *, to: tuple[int, int]) -> Pixels:
    """A part of a picture enlarged to that height and width, to the bit that part of the whole."""
    return enlarged_region(
        lambda seen: pixels[:, seen.top : seen.bottom, seen.left : seen.right],
        part,
        size=pixels.shape[1:],
        to=to,
    ).astype(pixels.dtype)


def _with_levels(pixels: Pixels, levels: Pixels | None) -> Pixels:
    """A picture (c, h, w) with its levels (h, w) as the last channel, if there are some."""
    return pixels if levels is None else np.concatenate([pixels, levels[None].astype(pixels.dtype)])


def _one(level: Level | Pixels) -> Level:
    """A level that is not one for each pixel; an array of no dimensions is a number."""
    if not isinstance(level, np.ndarray):
        return level
    if level.ndim:
        raise UsageError(NO_MAP)
    number: float = level.item()
    return number


def _nothing(subpixels: int, batch: Pixels) -> Pixels:
    """What is added to a picture (1, 3, h, w) where nothing is to be repaired."""
    return np.zeros((*batch.shape[:2], *(side * subpixels for side in batch.shape[2:])), batch.dtype)


class _Seen(NamedTuple):
    pixels: Pixels
    visible_only: bool  # whether these are the rows of `VisibleRows`
    linear: bool  # whether they were encoded, so that the result has to be decoded


def _as_seen(image: Picture | Pixels, pixels: Pixels) -> _Seen:
    """What the network is to see of a picture."""
    if not isinstance(image, Picture):
        return _Seen(pixels, visible_only=False, linear=False)
    linear = in_linear_light(image.info)
    if linear:
        pixels = to_perceptual(pixels)
    without = _without_hidden(image, pixels)
    return _Seen(pixels if without is None else without, visible_only=without is not None, linear=linear)


def _without_hidden(image: Picture, pixels: Pixels) -> Pixels | None:
    """The rows of `VisibleRows`; None where nothing is hidden."""
    if image.alpha is None:
        return None
    bands = np.concatenate([pixels, image.alpha])

    def read(top: int, bottom: int) -> Pixels:
        return bands[:, top:bottom]

    surroundings = find_surroundings(read, height=bands.shape[1])
    if surroundings is None:
        return None
    return VisibleRows(read, surroundings, bits=image.info.bits).rows(0, bands.shape[1])


def _pixels_of(image: Picture | Pixels) -> Pixels:
    pixels = image.pixels if isinstance(image, Picture) else np.asarray(image)
    check_picture(pixels)
    return pixels
