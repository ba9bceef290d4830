"""A program that uses every public name, as one outside of the package may: never run, only type-checked."""

from pathlib import Path
from typing import assert_type

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

import hyperrestore
from hyperrestore import (
    Backend,
    CheckpointError,
    Compression,
    DiskFullError,
    ExtrapolationWarning,
    Findings,
    HyperConv2d,
    HyperConvTranspose2d,
    Hypernetwork,
    HyperrestoreError,
    LevelError,
    LevelScale,
    MissingExtraError,
    Noise,
    Picture,
    PictureError,
    PictureInfo,
    RecipeError,
    Region,
    Restorer,
    Task,
    TrainingError,
    UsageError,
    between,
    hyperize,
    inspect,
    materialize,
    read_picture,
    restore_file,
    restore_region,
    run_tiled,
    write_picture,
)

Pixels = npt.NDArray[np.float32]


class Darker:
    """A backend of one's own."""

    halo = 0
    multiple = 1

    def __call__(self, window: Pixels, /) -> Pixels:
        return window * np.float32(0.5)


def pictures(folder: Path) -> None:
    picture = read_picture(folder / "a.png")
    assert_type(picture, Picture)
    assert_type(picture.info, PictureInfo)
    restorer = Restorer.load("denoise", device="cpu", precision="auto")
    assert_type(restorer.task, Task)
    assert_type(restorer.scale, LevelScale)
    assert_type(restorer(picture, 25), Picture)
    array: Pixels = np.zeros((3, 37, 31), np.float32)
    assert_type(restorer(array, 25), Pixels)
    notes = write_picture(folder / "b.png", picture, quality=90, overwrite=True)
    assert_type(notes, tuple[str, ...])
    report = restore_file(restorer, folder / "a.png", folder / "c.png", None)
    assert_type(report.target, str)


def arrays(pixels: Pixels) -> None:
    backends: list[Backend] = [Darker(), Restorer.load("denoise").at(25)]
    for backend in backends:
        assert_type(run_tiled(backend, pixels, size=64), Pixels)
    region = Region(0, 0, 8, 8)
    part = restore_region(
        Darker(),
        lambda seen: pixels[:, seen.top : seen.bottom, seen.left : seen.right],
        region,
        height=pixels.shape[1],
        width=pixels.shape[2],
    )
    assert_type(part, Pixels)


def findings(path: Path) -> dict[Task, float]:
    found = inspect(path)
    assert_type(found, Findings)
    assert_type(found.compression, Compression)
    assert_type(found.noise, Noise | None)
    return found.levels


def networks(image: Tensor) -> nn.Module:
    scale = LevelScale("sigma", low=0, high=75, trained=(0, 75), origin=0, reference=50)
    network = hyperize(nn.Conv2d(3, 3, 3, padding=1), scale, rank=2)
    assert_type(network, Hypernetwork)
    assert_type(network.forward(image, 25.0), Tensor)
    for layer in network.modules():
        if isinstance(layer, HyperConv2d | HyperConvTranspose2d):
            assert_type(layer.slopes(), Tensor)
    assert_type(between(nn.Conv2d(3, 3, 3), 15, nn.Conv2d(3, 3, 3), 75, scale=scale), Hypernetwork)
    return materialize(network, 25.0)


def errors(error: HyperrestoreError) -> str:
    if isinstance(error, LevelError | UsageError | MissingExtraError | RecipeError | TrainingError):
        return f"{error}, exit code {error.exit_code}"
    if isinstance(error, DiskFullError | PictureError | CheckpointError):
        return f"{error}, hyperrestore {hyperrestore.__version__}"
    warning: type[Warning] = ExtrapolationWarning
    return warning.__name__
