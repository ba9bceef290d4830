"""Adjustable image restoration: a level becomes the kernels of one small network.

Example:
    >>> from hyperrestore import Restorer
    >>> restorer = Restorer.load("denoise")
    >>> restorer.scale.trained
    (0, 75)

What is loaded, estimated and written is logged to the logger "hyperrestore", at level INFO.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperrestore.detect.findings import Compression, Findings, inspect
    from hyperrestore.detect.noise import Noise
    from hyperrestore.errors import (
        CheckpointError,
        DiskFullError,
        ExtrapolationWarning,
        HyperrestoreError,
        LevelError,
        MissingExtraError,
        PictureError,
        RecipeError,
        TrainingError,
        UsageError,
    )
    from hyperrestore.level import LevelScale, Task
    from hyperrestore.network.convolutions import HyperConv2d, HyperConvTranspose2d
    from hyperrestore.network.hyper import Hypernetwork, between, hyperize, materialize
    from hyperrestore.picture.file import Picture, read_picture, write_picture
    from hyperrestore.picture.info import PictureInfo
    from hyperrestore.restore.file import restore_file
    from hyperrestore.restore.restorer import Restorer
    from hyperrestore.run.engine import Backend, Region, restore_region, run_tiled

__version__ = "0.22.0"

# Silent unless the program that uses the package gives this logger a handler of its own.
logging.getLogger(__name__).addHandler(logging.NullHandler())

# Where each public name lives. They are imported when they are first used, so that importing the package
# is quick and loads torch only for what needs it.
_HOMES = {
    "restore.file": ("restore_file",),
    "run.engine": ("Backend", "Region", "restore_region", "run_tiled"),
    "errors": (
        "CheckpointError",
        "DiskFullError",
        "ExtrapolationWarning",
        "HyperrestoreError",
        "LevelError",
        "MissingExtraError",
        "PictureError",
        "RecipeError",
        "TrainingError",
        "UsageError",
    ),
    "detect.findings": ("Compression", "Findings", "inspect"),
    "network.convolutions": ("HyperConv2d", "HyperConvTranspose2d"),
    "network.hyper": ("Hypernetwork", "between", "hyperize", "materialize"),
    "level": ("LevelScale", "Task"),
    "detect.noise": ("Noise",),
    "picture.file": ("Picture", "read_picture", "write_picture"),
    "picture.info": ("PictureInfo",),
    "restore.restorer": ("Restorer",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Backend",
    "CheckpointError",
    "Compression",
    "DiskFullError",
    "ExtrapolationWarning",
    "Findings",
    "HyperConv2d",
    "HyperConvTranspose2d",
    "Hypernetwork",
    "HyperrestoreError",
    "LevelError",
    "LevelScale",
    "MissingExtraError",
    "Noise",
    "Picture",
    "PictureError",
    "PictureInfo",
    "RecipeError",
    "Region",
    "Restorer",
    "Task",
    "TrainingError",
    "UsageError",
    "__version__",
    "between",
    "hyperize",
    "inspect",
    "materialize",
    "read_picture",
    "restore_file",
    "restore_region",
    "run_tiled",
    "write_picture",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        home = importlib.import_module(f"{__name__}.{_HOME_OF[name]}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        from hyperrestore.errors import MissingExtraError

        raise MissingExtraError(f"{name} needs torch: pip install 'hyperrestore[torch]'") from error
    return getattr(home, name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
