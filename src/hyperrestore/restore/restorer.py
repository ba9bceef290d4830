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
from hyperrestore.restore.levels import Level, check_levels, no_such_level
from hyperrestore.restore.repair import repair_at
from hyperrestore.run.backend import MapBackend, NetworkBackend, Precision
from hyperrestore.run.device import placement
from hyperrestore.run.engine import TILE, Region
from hyperrestore.run.int8 import load_ranges
from hyperrestore.run.openvino import OpenVINOModel
from hyperrestore.run.pytorch import TorchModel

MODELS = Path(__file__).parents[1] / "models"

# How far beyond the trained scales kernels follow. Farther off they draw a grid of dots in flat areas, whose
# standard deviation is 0.3 steps of 255 here, and 3 at one and a half times the largest trained scale.
KERNELS_FOLLOW = 1.125

Image = TypeVar("Image", Picture, Pixels)


def model_path(model: str | Path) -> Path:
    """The checkpoint of a model: a task's is a part of the package, and any other is given by its path."""
    return MODELS / f"{model}.safetensors" if model in SHIPPED else Path(model)


class Restorer:
    """A model on a device. It never changes, so threads may share it.

    It can be pickled, for pools of processes: the pickle holds the model's name or path and its options, and
    unpickling loads the model again.

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
            model: A task, whose model is part of the package ("denoise"), or the path of a checkpoint.
            device: "auto" and "cpu" run the model's ONNX graph with OpenVINO on the CPU. "cuda", "cuda:1" and
                "mps" run the checkpoint with torch on that device, and "torch" with torch on the CPU, which
                is the reference.
            precision: "bf16" is faster and meant for 8-bit pictures; "auto" uses it only for those. On a CPU
                without bf16 both mean "fp32". "int8" is the fastest: on the CPU, for 8-bit pictures only, and
                with the ranges that `hyperrestore calibrate` writes beside the model.

        Raises:
            UsageError: The device or precision is unknown or not available on this machine.
            CheckpointError: There is no such model, or it or its file of ranges for "int8" is missing or
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
        try:
            description = read_description(path)
        except CheckpointError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            raise CheckpointError(
                f"{path}: no such file, and no model of the package; its models are {', '.join(SHIPPED)}; "
                "give one of them, or the path of a checkpoint"
            ) from error
        opened: OpenVINOModel | TorchModel
        place = placement(device)
        if place.runtime == "openvino":
            ranges = load_ranges(path) if precision == "int8" else None
            opened = OpenVINOModel(path, description, ranges)
        elif precision == "int8":
            raise UsageError(
                f"precision int8 is for device cpu, got device {device!r}; give device cpu, or precision auto"
            )
        else:
            opened = TorchModel(path, place.device, given=place.given)
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
        """Further levels that the model takes, such as the softness of a picture to be enlarged."""
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
            level: In the unit of `scale`; or several by their units, such as `{"scale": 2, "softness": 1.5}`
                (see `axes`): those not given are at their origin. At sigma 0, scale 1 and softness 1, or
                noise 0 and quality 100 of a photo, the network leaves every sample exactly as it is; just
                beyond, the result changes by a small step.
            bits: Depth of the picture's samples; decides what precision "auto" means.
            pixels: Number of pixels of the whole result, if known. On a CPU, small results share one graph
                for all levels, which makes a new level cheap. For a region, give that of the whole.

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
        """The network for levels that were checked already, one for each of `scales`; see `at`.

        Raises:
            UsageError: The precision is "int8", and there are more than 8 bits.
        """
        network = self._model.at(
            self._of_kernels(levels), precision=self._precision, bits=bits, pixels=pixels
        )
        if levels[0] == self._harmless and all(
            axis.strength(level) <= 0 for axis, level in zip(self.axes, levels[1:], strict=True)
        ):
            return replace(network, infer=partial(_nothing, network.subpixels), residual=True)
        return network

    def _of_kernels(self, levels: tuple[float, ...]) -> tuple[float, ...]:
        """The levels that kernels are generated for: scales far beyond the trained ones are limited."""
        if self.task != Task.UPSCALE:
            return levels
        return (min(levels[0], KERNELS_FOLLOW * self.scale.trained[1]), *levels[1:])

    def mapped(self, *, bits: int = 16) -> MapBackend:
        """The network for a level of each pixel.

        Args:
            bits: As for `at`.

        Returns:
            A Backend whose windows have the levels, one channel for each of `scales`, behind the picture's.
            Where they stand for no damage, such as sigma 0, samples stay exactly as they are, as in `at`.

        Raises:
            UsageError: The model upscales, or its precision is "int8".
            CheckpointError: The model has no graph for it.
        """
        if self.task == Task.UPSCALE:
            raise UsageError("a map of levels is not for upscaling: its level is the size of the result")
        mapped = self._model.mapped(precision=self._precision, bits=bits)
        if self._harmless is None:
            return mapped
        return replace(mapped, harmless=(self._harmless, *(axis.origin for axis in self.axes)))

    @property
    def _harmless(self) -> float | None:
        """The level at which nothing needs repair; JPEG has none, since even quality 100 is damaged."""
        return None if self.task == Task.DEJPEG else self.scale.origin

    def release_memory(self) -> None:
        """Release the memory that the network holds between two pictures; the next one allocates it again."""
        self._model.release_memory()

    def __call__(self, image: Image, level: Level | Pixels, *, grain: float = 0.0, size: int = TILE) -> Image:
        """Restore a picture.

        Args:
            image: A `Picture`, or an array (c, h, w) of floats in [0, 1], RGB or grey. If its profile says
                linear light, a picture is restored as it is seen (see `linear_light`); an array is assumed
                to be spaced as sRGB.
            level: In the unit of `scale`; or several by their units, as for `at`; or an array (h, w), a level
                for each pixel, or (axes, h, w), all of `scales` for each pixel.
            grain: Share of the luminance noise to put back, 0 to 1; for a model that removes noise.
            size: Side of a tile, pixels of the result (see `run_tiled`).

        Returns:
            The same kind, restored; a model that upscales enlarges it by the level, and each side is rounded.
            Colours under full transparency do not affect what is visible, and stay as they are (see
            `transparency`).

        Raises:
            LevelError: The model does not accept the level.
            UsageError: The image is neither a picture nor floats about [0, 1] (see `floats`), the levels have
                another size, the grain is not within 0 to 1 or for another task, or the picture has too many
                bits for the precision.
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
        """Restore a part of a picture: the same as the restored whole, cut to the region.

        Args:
            image: The whole picture, as for a call.
            level: As for a call; an array is of the size of the whole.
            region: Of the result, pixels.
            grain: Share of the luminance noise to put back, 0 to 1.
            size: Side of a tile, pixels of the result.

        Returns:
            Restored pixels (c, bottom - top, right - left), clipped to [0, 1].

        Raises:
            LevelError: The model does not accept the level.
            UsageError: As for a call, or the region is not within the result.
        """
        pixels_of(image)  # anything but a picture is refused first
        return restore_part(self, repair_at(self, level, grain=grain), image, region, tile=size)

    def result_size(self, width: int, height: int, level: Level) -> tuple[int, int]:
        """Width and height of the result for a picture of that size; only upscaling changes them.

        Raises:
            LevelError: The model does not accept the level.
        """
        return repair_at(self, level).result_size(width, height)


def _nothing(subpixels: int, batch: Pixels) -> Pixels:
    """Zeros: what is added to a picture (1, 3, h, w) that needs no repair."""
    return np.zeros((*batch.shape[:2], *(side * subpixels for side in batch.shape[2:])), batch.dtype)
