"""A recipe, a TOML file: what is trained (task, network, level scale, training), not where."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from hyperrestore.errors import LevelError, RecipeError
from hyperrestore.level import LevelScale, Task
from hyperrestore.measure.degrade import Protocol
from hyperrestore.measure.photo import UNCOMPRESSED, UNITS, damaged_photo
from hyperrestore.measure.protocols import degrade
from hyperrestore.network.architectures import NetworkConfig
from hyperrestore.tables import from_table

Table = TypeVar("Table")


@dataclass(frozen=True)
class Training:
    """How a model is trained; the `[training]` table of a recipe.

    Attributes:
        learning_rate: Peak of the learning rate; it rises over `warmup` steps and falls as a cosine.
        optimizer: "adamw", or "muon" for the kernels and AdamW for the rest (see `optimizer.Optimizer`).
        slope_rate: Learning rate of W, or of its factors, as a share of that of B. At equal rates a step of a
            full W moves kernels at phi = 1 as far as one of B, which can be too far for strong levels.
        weight_decay: Each step shrinks kernels (B, W or its factors, not biases) by this times their rate,
            so that in a long training at a high rate the network's inner values stay small, which int8 needs.
        loss: "l1", the mean absolute error, as in the paper; or "rms", the root of the mean squared error of
            each crop, which is what PSNR measures, scaled so that levels and crops stay balanced.
        warmup: Steps.
        clip: Largest norm of the gradient; a longer one is shortened to it. Otherwise a single bad step at a
            high rate can ruin a run.
        levels: Fixed levels of every step, as in the paper; empty for random ones, continuous in `trained`.
        level_power: Random levels are the range times u ** level_power, u uniform in 0..1. Above 1, low
            levels, where kernels change fastest with sigma and quality, are drawn more often.
        whole_share: Share of random levels that are rounded to whole numbers; 1 for JPEG qualities.
        levels_per_step: Networks generated in each step (k), if levels are random.
        crops_per_level: Batch of each of them.
        shared_crops: Degrade the same crops at every level of a step, as the paper does; or draw new ones.
        crop: Side of a crop, pixels; of a small picture if the network has sub-pixels.
        ema: Decay per step of the average of the weights that becomes the model; 0 for none.
        grey_share: Share of crops that are grey, with the same noise in all channels.
        drawn_share: Share of crops that are of drawn pictures, as text on a screen, instead of photos.
        clipped_share: Share of crops whose noise is clipped and rounded to 8 bit, as in a stored file; larger
            for weaker noise, see `weaker_share`.
        weaker_share: Share of crops whose noise is weaker than the level says, by a random factor from 0 to
            1. They are to become what they become with all of it, not clipped (see `step.targets_of`): a
            level too high for a picture takes detail, but must not change contrast and colours. Half of the
            weaker crops are moved towards white or black (`weaker.fade_half`); and half, drawn independently
            of `clipped_share`, are clipped and rounded (`weaker.store_half`).
        softness_share: Share of the scales of a network with sub-pixels whose crops are shrunk by a kernel of
            random width within `trained` of the softness axis; others have the width of its origin.
        misjudged_share: Share of the scales of a network with sub-pixels whose softness is given wrong, by up
            to half a unit either way, so that a person's wrong guess does little harm.
        rough_share: Share of the crops of a network with sub-pixels whose small picture has light noise and
            light JPEG compression, as real small pictures have.
        other_share: Share of the crops' batches for upscaling that were shrunk otherwise than by antialiased
            bicubic interpolation: by other kernels, or without antialiasing.
        protocol: "standard", or "hyperres" to train on just what that protocol measures (see `protocols`);
            the validation photos are degraded by the same.
        cameras_share: Share of the levels of a step for the task photo whose crops are damaged as by a
            camera: noise of its sensor, developed, perhaps made smaller, and saved as JPEG.
        degradation: "module:function", what degrades the crops, instead of what the task says (see
            `custom`); empty for none.
        validate_at: Levels at which the validation photos are scored: a number, or for several axes a list
            of one for each. Axes that are not named are at their origin.
        seed: Of all randomness.
    """

    learning_rate: float
    validate_at: tuple[float | tuple[float, ...], ...]
    optimizer: Literal["adamw", "muon"] = "adamw"
    slope_rate: float = 1.0
    weight_decay: float = 0.0
    loss: Literal["l1", "rms"] = "l1"
    warmup: int = 200
    clip: float = 1.0
    levels: tuple[float, ...] = ()
    level_power: float = 1.0
    whole_share: float = 0.0
    levels_per_step: int = 4
    crops_per_level: int = 4
    shared_crops: bool = False
    crop: int = 64
    ema: float = 0.999
    grey_share: float = 0.0
    drawn_share: float = 0.0
    clipped_share: float = 0.0
    weaker_share: float = 0.0
    softness_share: float = 0.0
    misjudged_share: float = 0.0
    rough_share: float = 0.0
    other_share: float = 0.0
    cameras_share: float = 0.0
    degradation: str = ""
    protocol: Protocol = "standard"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        if min(self.levels_per_step, self.crops_per_level, self.crop, self.warmup) < 1:
            raise RecipeError("levels_per_step, crops_per_level, crop and warmup must be at least 1")
        if not 0 < self.learning_rate < math.inf or not self.validate_at:
            raise RecipeError("learning_rate must be above 0, and validate_at needs at least one level")
        names = ("grey", "clipped", "whole", "other", "softness", "misjudged", "rough", "cameras")
        if not all(0 <= getattr(self, f"{name}_share") <= 1 for name in names):
            raise RecipeError(f"{', '.join(f'{name}_share' for name in names)} must lie in 0..1")
        if not (0 <= self.ema < 1 and 0 <= self.drawn_share < 1 and 0 <= self.weaker_share < 1):
            raise RecipeError("ema, drawn_share and weaker_share must lie in 0..1, below 1")
        if not (self.clip > 0 and self.level_power > 0 and 0 < self.slope_rate < math.inf):
            raise RecipeError("clip, level_power and slope_rate must be above 0")
        if not 0 <= self.weight_decay < 1 / self.learning_rate:
            raise RecipeError("weight_decay must be at least 0, and below 1 / learning_rate")
        if self.protocol not in get_args(Protocol):
            raise RecipeError(
                f"protocol {self.protocol!r} is unknown; known are {', '.join(get_args(Protocol))}"
            )
        module, _, function = self.degradation.partition(":")
        if self.degradation and not all(map(str.isidentifier, (*module.split("."), function))):
            raise RecipeError(f'degradation = {self.degradation!r} must be "module:function"')
        if not 0 <= self.seed < 2**63:
            raise RecipeError(f"seed must be a whole number from 0 to 2^63 - 1, got {self.seed}")


@dataclass(frozen=True)
class Recipe:
    """What is trained: `task` and the tables `[network]`, `[scale]` and `[training]` of a recipe file.

    Further level axes are tables `[[axes]]`, each with the entries of `[scale]`.
    """

    task: Task
    network: NetworkConfig
    scale: LevelScale
    training: Training
    axes: tuple[LevelScale, ...] = ()

    @property
    def scales(self) -> tuple[LevelScale, ...]:
        """Every level axis, in the order in which the network takes levels."""
        return (self.scale, *self.axes)

    def __post_init__(self) -> None:
        """Refuse levels that the scale does not accept, or the task does not have."""
        training = self.training
        custom = bool(training.degradation)
        if self.task == Task.DEJPEG and not custom and not training.levels and training.whole_share < 1:
            raise RecipeError("dejpeg needs whole_share = 1: JPEG qualities are whole numbers")
        if training.weaker_share and (self.task not in (Task.DENOISE, Task.PHOTO) or custom):
            own = "a degradation of one's own" if custom else self.task
            raise RecipeError(f"weaker_share is for denoise and photo, whose noise can vary, not for {own}")
        if training.cameras_share and (self.task != Task.PHOTO or custom):
            raise RecipeError("cameras_share is for photo, without a degradation of one's own")
        if training.levels and (self.task == Task.PHOTO or (custom and self.axes)):
            raise RecipeError("levels are for one level axis; leave them out, and random ones are drawn")
        self._check_axes()
        self._check_levels()

    def axis_levels(self, entry: float | tuple[float, ...]) -> tuple[float, ...]:
        """An entry of `validate_at` with a level for each axis."""
        given = entry if isinstance(entry, tuple) else (entry,)
        return (*given, *(scale.origin for scale in self.scales[len(given) :]))

    def validation_names(self) -> list[str]:
        """What a validation scores, for tables: the entries of `validate_at`, and for photo cameras."""
        entries = [entry if isinstance(entry, tuple) else (entry,) for entry in self.training.validate_at]
        names = ["/".join(f"{level:g}" for level in entry) for entry in entries]
        return names + ["camera"] * (self.training.cameras_share > 0)

    def _check_levels(self) -> None:
        """Refuse levels that a scale does not accept, or that no picture can be degraded to."""
        fixed, entries = self.training.levels, self.training.validate_at
        if wrong := [
            entry for entry in entries if isinstance(entry, tuple) and len(entry) != len(self.scales)
        ]:
            raise RecipeError(f"validate_at: {wrong} need {len(self.scales)} levels each, one for each axis")
        levels = [*((level,) for level in fixed), *map(self.axis_levels, entries)]
        for index, scale in enumerate(self.scales):
            own = [level[index] for level in levels if len(level) > index]
            if outside := [level for level in own if not scale.low <= level <= scale.high]:
                raise RecipeError(
                    f"levels or validate_at: {outside} lie outside {scale.low:g} to {scale.high:g}"
                )
        least, most = self.scale.trained
        if unseen := [level for level in fixed if not least <= level <= most]:
            raise RecipeError(f"levels: {unseen} lie outside trained, {least:g} to {most:g}")
        if len(set(self.validation_names())) < len(self.validation_names()):
            raise RecipeError(f"validate_at: {list(entries)} contains a level twice")
        if self.training.degradation:
            return
        try:
            for level in (*levels, *zip(*(scale.trained for scale in self.scales), strict=True)):
                self._check_damage(level)
        except LevelError as error:
            raise RecipeError(
                f"levels, validate_at or trained: no picture can be degraded like this: {error}"
            ) from error

    def _check_damage(self, levels: tuple[float, ...]) -> None:
        """Degrade a picture of one pixel to a level for each axis."""
        random, task = np.random.default_rng(), self.task
        if task == Task.PHOTO:
            damaged_photo(np.zeros((3, 1, 1), np.float32), levels, random)
        else:
            degrade(np.zeros((1, 1, 1), np.float32), levels[0], task, self.training.protocol, random)

    def _check_axes(self) -> None:
        """Refuse a network that does not fit the task, or level axes that cannot be trained."""
        subpixel = self.network.kind == "subpixel"
        if subpixel and (self.task != Task.UPSCALE or self.training.degradation):
            own = "a degradation of one's own" if self.training.degradation else self.task
            raise RecipeError(f"network kind 'subpixel' is for upscale, not for {own}")
        units = [scale.unit for scale in self.scales]
        if self.training.degradation:
            return
        if self.task == Task.PHOTO:
            if tuple(units) != UNITS or self.axes[1].origin != UNCOMPRESSED:
                raise RecipeError(
                    f"photo needs [scale] and two tables [[axes]], of the units {', '.join(UNITS)}, the last "
                    f"of origin {UNCOMPRESSED:g}; got {', '.join(units)}"
                )
        elif units[1:] != (["softness"] if subpixel else []):
            raise RecipeError(
                "network kind 'subpixel' needs one table [[axes]], of unit 'softness', and other kinds none; "
                f"got {len(self.axes)}"
            )


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Raises:
        RecipeError: It is missing or not TOML, or has a missing, unknown or impossible entry.
    """
    path = Path(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: not a readable recipe ({error})") from error
    try:
        return recipe_of(document)
    except (ValueError, RecipeError) as error:
        raise RecipeError(f"{path}: {error}") from error


def recipe_of(document: Mapping[str, Any]) -> Recipe:
    """Make a recipe from a parsed TOML or JSON document; missing entries have their defaults.

    Raises:
        RecipeError: It has a missing, unknown or impossible entry.
    """
    rest = dict(document)
    try:
        task = Task(rest.pop("task", None))
    except ValueError as error:
        raise RecipeError(f"{error}; known tasks: {', '.join(Task)}") from error
    axes = rest.pop("axes", ())
    if not isinstance(axes, list | tuple):
        raise RecipeError(f"axes = {axes!r} must be tables [[axes]]")
    recipe = Recipe(
        task,
        _table(NetworkConfig, rest, "network"),
        _table(LevelScale, rest, "scale"),
        _table(Training, rest, "training"),
        tuple(_table(LevelScale, {"axes": axis}, "axes") for axis in axes),
    )
    if rest:
        raise RecipeError(f"has unknown {', '.join(sorted(rest))}")
    return recipe


def _table(kind: type[Table], document: dict[str, Any], name: str) -> Table:
    """Make a dataclass of one table of the document."""
    table = document.pop(name, None)
    if not isinstance(table, dict):
        raise RecipeError(f"has no table [{name}]")
    try:
        return from_table(kind, table)
    except (ValueError, RecipeError) as error:
        raise RecipeError(f"[{name}]: {error}") from error
