"""A network for one level, or for a map of levels, in the form that the engine calls, for any runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hyperrestore.arrays import Pixels
from hyperrestore.errors import UsageError
from hyperrestore.run.neutral import only_neutral_seen, without_tint

Precision = Literal["auto", "fp32", "bf16", "int8"]
Infer = Callable[[Pixels], Pixels]  # (1, 3, h, w) -> (1, 3, h, w)
Level = float | tuple[float, ...]  # in the unit of a model, or one for each of its axes


def level_text(level: Level) -> str:
    """A level, or one for each axis, as text.

    Example:
        >>> level_text((2.0, 1.5))
        '2, 1.5'
    """
    return ", ".join(f"{one:g}" for one in (level if isinstance(level, tuple) else (level,)))


@dataclass(frozen=True)
class NetworkBackend:
    """A network for one level, computed by `infer`.

    Attributes:
        halo: Receptive radius, pixels.
        multiple: Product of the strides, pixels.
        infer: Runs the network on a batch (1, 3, h, w).
        residual: Whether `infer` gives a residual, which is added to the window in the window's precision,
            not the network's.
        name: Runtime, device and precision, in words.
        subpixels: More than 1 if `infer` gives the residual of a picture enlarged by `subpixels.Upscaled`, as
            sub-pixels (1, 3, subpixels * h, subpixels * w). They are returned as they are.
    """

    halo: int
    multiple: int
    infer: Infer
    residual: bool
    name: str
    subpixels: int = 1

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a window (1 or 3, h, w); grey goes through the colour network as three equal channels.

        Where nothing coloured is seen, the result is neutral (see `neutral`).
        """
        if window.shape[0] not in (1, 3):
            raise UsageError(f"a picture (c, h, w) has 1 or 3 channels, got c = {window.shape[0]}")
        colour = window if window.shape[0] == 3 else np.repeat(window, 3, axis=0)
        result: Pixels = self.infer(np.ascontiguousarray(colour, np.float32)[None])[0]
        if window.shape[0] == 1:
            result = result.mean(axis=0, keepdims=True)
        else:
            neutral = only_neutral_seen(window, self.halo)
            if neutral is not None:
                neutral = neutral.repeat(self.subpixels, 0).repeat(self.subpixels, 1)
            result = without_tint(result, neutral)
        if self.residual and self.subpixels == 1:
            # In place where that loses nothing: large arrays take longer to allocate than to fill.
            restored: Pixels = np.add(window, result, out=result if window.dtype == result.dtype else None)
            return restored
        return result


@dataclass(frozen=True)
class MapBackend:
    """A network with levels for each pixel: its windows have a channel for each axis behind the picture.

    Attributes:
        halo: Receptive radius, pixels.
        multiple: Product of the strides, pixels.
        over: The network for a map of levels (1, axes, h, w), in the model's units.
        axes: How many levels the model takes.
        harmless: The levels at which samples stay exactly as they are; None for none.
    """

    halo: int
    multiple: int
    over: Callable[[Pixels], NetworkBackend]
    axes: int = 1
    harmless: tuple[float, ...] | None = None

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a window (1 or 3 + axes, h, w): grey or colour, and levels; the result has no levels."""
        picture, levels = window[: -self.axes], window[-self.axes :]
        restored = self.over(np.ascontiguousarray(levels, np.float32)[None])(picture)
        if self.harmless is None:
            return restored
        unharmed = (levels == np.array(self.harmless, levels.dtype)[:, None, None]).all(axis=0)
        return np.where(unharmed, picture, restored)


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).strip().splitlines()), repr(error))
