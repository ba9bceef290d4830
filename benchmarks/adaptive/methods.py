"""Which methods are compared, by name, and at which levels of each task."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from adaptive.adafm import AdaFM
from adaptive.cfsnet import CFSNet
from adaptive.cresmd import CResMD
from adaptive.dni import DNI
from adaptive.dynamic_net import DynamicNet
from adaptive.ftn import FTN
from adaptive.hyperres import HyperRes
from adaptive.interface import Method, Setting

from hyperrestore.learn.recipe import Recipe, read_recipe
from hyperrestore.level import Task

RECIPES = Path(__file__).parents[2] / "recipes"

# Those of the paper, where it has any; k = 1 and 2 are the middle and the ends of its four.
FIXED: dict[Task, dict[int, tuple[float, ...]]] = {
    Task.DENOISE: {1: (45,), 2: (15, 75), 4: (15, 35, 55, 75), 5: (5, 25, 45, 65, 85)},
    Task.DEJPEG: {1: (40,), 2: (10, 80), 4: (10, 30, 50, 80), 5: (10, 30, 50, 70, 90)},
    Task.UPSCALE: {1: (3,), 2: (2, 5), 4: (2, 3, 4, 5), 5: (2, 2.5, 3, 4, 5)},
}
# Methods of two levels are trained at the weakest damage first.
ENDS: dict[Task, tuple[float, float]] = {
    Task.DENOISE: (15, 75),
    Task.DEJPEG: (80, 10),
    Task.UPSCALE: (2, 5),
}
WIDE: dict[Task, tuple[float, float]] = {
    Task.DENOISE: (5, 85),
    Task.DEJPEG: (5, 95),
    Task.UPSCALE: (1.25, 6),
}
SCORED: dict[Task, tuple[float, ...]] = {
    Task.DENOISE: tuple(range(5, 95, 5)),
    Task.DEJPEG: (5, *range(10, 100, 10)),
    Task.UPSCALE: (1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6),
}
DEDICATED_LEVELS: dict[Task, tuple[float, ...]] = {
    Task.DENOISE: (5, 10, 15, 25, 40, 50, 75, 90),
    Task.DEJPEG: (5, 10, 20, 30, 50, 80, 90),
    Task.UPSCALE: (1.5, 2, 2.5, 3, 4, 5, 6),
}


def recipe_of(task: Task) -> Recipe:
    """The project's recipe of the paper's network: loss, optimiser, rates, protocol and level scale."""
    return read_recipe(RECIPES / f"paper-{task}.toml")


def setting_of(task: Task, *, width: int = 64, blocks: int = 16) -> Setting:
    """What all methods of a task have in common; by default at the paper's size."""
    start, end = ENDS[task]
    return Setting(task, recipe_of(task).scale, start, end, WIDE[task], FIXED[task], width, blocks)


def hyperres(setting: Setting, *, k: int) -> HyperRes:
    """The paper's, with k fixed levels."""
    return HyperRes(setting, levels=setting.fixed[k])


def ours(setting: Setting, *, rank: int = 0) -> HyperRes:
    """Ours, with random levels between the ends."""
    return HyperRes(setting, span=setting.ends, rank=rank)


def ours_wide(setting: Setting) -> HyperRes:
    """Ours, with random levels in the wider range."""
    return HyperRes(setting, span=setting.wide)


METHODS: dict[str, Callable[[Setting], Method]] = {
    "DNI": DNI,
    "AdaFM 1x1": partial(AdaFM, side=1),
    "AdaFM 5x5": partial(AdaFM, side=5),
    "CFSNet": CFSNet,
    "Dynamic-Net": DynamicNet,
    "CResMD": CResMD,
    "FTN": FTN,
    "HyperRes k=1": partial(hyperres, k=1),
    "HyperRes k=2": partial(hyperres, k=2),
    "HyperRes k=4": partial(hyperres, k=4),
    "HyperRes k=5": partial(hyperres, k=5),
    "ours": ours,
    "ours, wide": ours_wide,
    "ours, rank 4": partial(ours, rank=4),
    "ours, rank 8": partial(ours, rank=8),
    "ours, rank 16": partial(ours, rank=16),
}
