"""Restorer: a model on a device; the Python API."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar, get_args

import numpy as np

from hyperrestore.backends import NetworkBackend, OpenVINOModel, Precision, TorchModel
from hyperrestore.checkpoint import Description, read_description
from hyperrestore.degrade import resize_bicubic
from hyperrestore.engine import TILE, Backend, Pixels, run_tiled
from hyperrestore.enlarge import enlarged_size
from hyperrestore.errors import UsageError
from hyperrestore.level import LevelScale, Task
from hyperrestore.picture import Picture, enlarged_alpha
from hyperrestore.quantize import load_ranges
from hyperrestore.transparency import VisibleOnly, VisibleRows, find_surroundings

MODELS = Path(__file__).parent / "models"

Image = TypeVar("Image", Picture, Pixels)


class Restorer:
    """A model on a device. It never changes, so threads may share it.

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

    @classmethod
    def load(cls, model: str | Path, *, device: str = "auto", precision: Precision = "auto") -> Restorer:
        """Load a model.

        Args:
            model: A task, whose model is a part of the package ("denoise"), or the path of a checkpoint.
            device: "auto" and "cpu" run the model's ONNX graph by OpenVINO on the CPU. "cuda", "cuda:1" and
                "mps" run it by torch there, "torch" by torch on the CPU, as the reference.
            precision: "bf16" is faster and meant for 8-bit pictures; "auto" takes it only for those, where
                the device computes in it; "fp32" never takes it. "int8" is the fastest: on the CPU, only for
                8-bit pictures, and with the ranges that `hyperrestore calibrate` puts beside the model.

        Raises:
            UsageError: The device or precision is unknown or not to be had here.
            CheckpointError: The model, or its file of ranges for "int8", is missing or damaged.
        """
        if precision not in get_args(Precision):
            raise UsageError(
                f"precision {precision!r} is unknown; known are {', '.join(get_args(Precision))}"
            )
        path = MODELS / f"{model}.safetensors" if model in list(Task) else Path(model)
        description = read_description(path)
        if device in ("auto", "cpu"):
            ranges = load_ranges(path) if precision == "int8" else None
            return cls(OpenVINOModel(path, description, ranges), description, precision)
        if precision == "int8":
            raise UsageError(
                f"precision int8 is for device cpu, got device {device!r}; give device cpu, or precision auto"
            )
        return cls(TorchModel(path, "cpu" if device == "torch" else device), description, precision)

    @property
    def task(self) -> Task:
        """What the model repairs."""
        return self.description.task

    @property
    def scale(self) -> LevelScale:
        """What the model's level means, and which levels it accepts."""
        return self.description.scale

    def at(self, level: float, *, bits: int = 16) -> NetworkBackend:
        """Generate the network for one level.

        Args:
            level: In the unit of `scale`.
            bits: Depth of the picture's samples; decides what precision "auto" means.

        Returns:
            A Backend for `run_tiled`. It never changes.

        Raises:
            LevelError: The model does not accept the level.
            UsageError: The precision is "int8", and there are more than 8 bits.
        """
        return self._model.at(self.scale.check(level), precision=self._precision, bits=bits)

    def __call__(self, image: Image, level: float, *, size: int = TILE) -> Image:
        """Restore a picture.

        Args:
            image: A `Picture`, or an array (c, h, w) of floats in [0, 1], RGB or grey.
            level: In the unit of `scale`.
            size: Side of a tile, pixels (see `run_tiled`).

        Returns:
            The same kind, restored; by a model that upscales it is larger by the level, each side rounded.
            What stands under a picture's full transparency changes nothing that is seen, and stays as it is
            (see `transparency`).

        Raises:
            LevelError: The model does not accept the level.
            UsageError: The image is no picture, or has too many bits for the precision.
        """
        pixels = image.pixels if isinstance(image, Picture) else np.asarray(image)
        if pixels.ndim != 3 or pixels.size == 0:
            raise UsageError(f"a picture is (1 or 3, h, w), with at least one pixel; got {pixels.shape}")
        bits = image.info.bits if isinstance(image, Picture) else 16
        backend: Backend = self.at(level, bits=bits)
        if isinstance(image, Picture) and image.alpha is not None:
            bands = np.concatenate([image.pixels, image.alpha])
            surroundings = find_surroundings(lambda top, bottom: bands[:, top:bottom], height=len(bands[0]))
            if surroundings is not None:
                rows = VisibleRows(lambda top, bottom: bands[:, top:bottom], surroundings, bits=bits)
                pixels, backend = rows.rows(0, len(bands[0])), VisibleOnly(backend)
        if self.task == Task.UPSCALE:
            width, height, _ = enlarged_size(pixels.shape[2], pixels.shape[1], scale=level)
            pixels = resize_bicubic(pixels, height, width, antialias=True)
        restored = run_tiled(backend, pixels, size=size)
        if not isinstance(image, Picture):
            return restored
        restored = restored[: len(image.pixels)]
        if restored.shape == image.pixels.shape:
            return replace(image, pixels=restored)
        height, width = restored.shape[1:]
        alpha = None if image.alpha is None else enlarged_alpha(image.alpha, height, width)
        return replace(
            image, pixels=restored, alpha=alpha, info=replace(image.info, width=width, height=height)
        )
