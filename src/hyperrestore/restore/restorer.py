"""Restorer: a model on a device; the Python API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar, get_args

import numpy as np

from hyperrestore.arrays import Pixels
from hyperrestore.errors import CheckpointError, UsageError
from hyperrestore.level import SHIPPED, LevelScale, Task
from hyperrestore.network.checkpoint import Description, read_description
from hyperrestore.picture.file import Picture, enlarged_picture
from hyperrestore.restore.in_memory import pixels_of, restore_part
from hyperrestore.restore.repair import Level, check_levels, no_such_level, repair_at
from hyperrestore.run.backend import MapBackend, NetworkBackend, Precision
from hyperrestore.run.engine import TILE, Region
from hyperrestore.run.int8 import load_ranges
from hyperrestore.run.openvino import OpenVINOModel
from hyperrestore.run.pytorch import TorchModel

MODELS = Path(__file__).parents[1] / "models"

# Kernels follow a scale so far beyond the trained ones. Farther off they draw a grid of dots in flat areas:
# 0.3 steps of 255 strong (standard deviation) there, 3 at one and a half times the largest trained scale.
KERNELS_FOLLOW = 1.125

Image = TypeVar("Image", Picture, Pixels)


def model_path(model: str | Path) -> Path:
    """The checkpoint of a model: a task's is a part of the package, and any other is given by its path."""
    return MODELS / f"{model}.safetensors" if model in SHIPPED else Path(model)


class Restorer:
    """A model on a device. It never changes, so threads may share it.

    It can be pickled, for pools of processes: as the model's name or path with its options. What opens it
    there loads the model again.

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
                f"{path}: no such file, and no model of the package; its models are {', '.join(SHIPPED)}; "
                "give one of them, or the path of a checkpoint"
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
        restorer._loaded_from = (str(model) if model in SHIPPED else path.absolute()), device
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

    @property
    def scales(self) -> tuple[LevelScale, ...]:
        """All levels that the model takes, `scale` and `axes`."""
        return self.description.scales

    def axis(self, unit: str) -> LevelScale:
        """What one of the levels means.

        Raises:
            UsageError: The model has no such level.
        """
        for scale in self.scales:
            if scale.unit == unit:
                return scale
        raise UsageError(no_such_level(self.scales, unit))

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
        return self.network(check_levels(self.scales, level), bits=bits, pixels=pixels)

    def network(
        self, levels: tuple[float, ...], *, bits: int = 16, pixels: int | None = None
    ) -> NetworkBackend:
        """The network for levels that are checked already, one for each of `scales`; see `at`.

        Raises:
            UsageError: The precision is "int8", and there are more than 8 bits.
        """
        network = self._model.at(
            self._of_kernels(levels), precision=self._precision, bits=bits, pixels=pixels
        )
        if levels[0] == self._harmless and levels[1:] <= tuple(axis.origin for axis in self.axes):
            return replace(network, infer=partial(_nothing, network.subpixels), residual=True)
        return network

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
            raise UsageError("a map of levels is not for upscaling: its level is the size of the result")
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
            grain: Share of the luminance noise that is put back, 0 to 1; for a model that takes noise out.
            size: Side of a tile, pixels of the result (see `run_tiled`).

        Returns:
            The same kind, restored; by a model that upscales it is larger by the level, each side rounded.
            What stands under a picture's full transparency changes nothing that is seen, and stays as it is
            (see `transparency`).

        Raises:
            LevelError: The model does not accept the level.
            UsageError: The image is no picture, or no floats about [0, 1] (see `floats`), the levels have
                another size, the grain is not within 0 to 1 or for another task, or there are too many bits
                for the precision.
        """
        height, width = pixels_of(image).shape[1:]
        repair = repair_at(self, level, grain=grain)
        width, height = repair.result_size(width, height)
        restored = restore_part(self, repair, image, Region(0, 0, width, height), tile=size)
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
        pixels_of(image)  # what is no picture is refused first
        return restore_part(self, repair_at(self, level, grain=grain), image, region, tile=size)

    def result_size(self, width: int, height: int, level: Level) -> tuple[int, int]:
        """Width and height of the result for a picture of that size; only upscaling changes them.

        Raises:
            LevelError: The model does not accept the level.
        """
        return repair_at(self, level).result_size(width, height)


def _nothing(subpixels: int, batch: Pixels) -> Pixels:
    """What is added to a picture (1, 3, h, w) where nothing is to be repaired."""
    return np.zeros((*batch.shape[:2], *(side * subpixels for side in batch.shape[2:])), batch.dtype)
