"""The tables of the page of quality, their levels, and the names of methods."""

from __future__ import annotations

from dataclasses import dataclass

from hyperrestore.level import Task
from hyperrestore.measure.degrade import Protocol

# In their order on the page, whichever was measured last.
NAMES = {
    "ours": "ours", "photo": "ours, photo", "int8": "ours in int8", "paper": "the paper's network",
    "bm3d": "BM3D", "nlm": "non-local means", "srmdnf": "SRMDNF", "waifu2x-photo": "waifu2x, photo",
    "waifu2x-cunet": "waifu2x, cunet",
}  # fmt: skip
HEADINGS = {Task.DENOISE: "Denoising", Task.DEJPEG: "JPEG repair", Task.UPSCALE: "Upscaling"}
UNITS = {Task.DENOISE: "sigma", Task.DEJPEG: "quality", Task.UPSCALE: "scale"}


@dataclass(frozen=True)
class Table:
    """One table of the page."""

    task: Task
    photos: str
    protocol: Protocol
    grey: bool
    levels: tuple[float, ...]

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return f"{self.photos}-{self.protocol}-{'grey' if self.grey else 'colour'}"

    @property
    def pictures(self) -> str:
        """Its pictures, as described on the page."""
        return f"{self.photos}, {'grey' if self.grey else 'colour'}"


SIGMAS = (5, 10, 15, 25, 35, 50, 75, 80, 90)
QUALITIES = (10, 20, 30, 40)
TABLES = {
    table.name: table
    for table in (
        Table(Task.DENOISE, "CBSD68", "standard", False, SIGMAS),
        Table(Task.DENOISE, "CBSD68", "hyperres", False, SIGMAS),
        Table(Task.DENOISE, "CBSD68", "standard", True, SIGMAS),
        Table(Task.DENOISE, "CBSD68", "hyperres", True, SIGMAS),
        Table(Task.DEJPEG, "LIVE1", "standard", False, tuple(range(5, 100, 5))),
        Table(Task.DEJPEG, "LIVE1", "standard", True, QUALITIES),
        Table(Task.DEJPEG, "Classic5", "standard", True, QUALITIES),
        Table(Task.DEJPEG, "LIVE1", "hyperres", True, QUALITIES),
        Table(Task.UPSCALE, "Set5", "standard", False, (2, 2.5, 3, 4)),
        Table(Task.UPSCALE, "Set14", "standard", False, (1.3, 1.5, 2, 2.5, 2.7, 3, 3.5, 4, 5, 6)),
        Table(Task.UPSCALE, "Set5", "hyperres", False, (2, 3, 4, 5)),
    )
}


def name_of(key: str) -> str:
    """A method's name on the page."""
    return NAMES.get(key, key)


def place_of(key: str) -> int:
    """A method's position on the page; models with other names come last."""
    return list(NAMES).index(key) if key in NAMES else len(NAMES)
