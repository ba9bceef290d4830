"""Protocols by name: how a clean picture is prepared and degraded, and what of it is scored."""

from __future__ import annotations

import math

import numpy as np

from hyperrestore.arrays import AnyPixels
from hyperrestore.colour import full_range_luma
from hyperrestore.errors import UsageError
from hyperrestore.level import Task
from hyperrestore.measure.degrade import Protocol, gaussian_noise, jpeg, rescale
from hyperrestore.measure.metrics import studio_luma, to_8bit

DEGRADED: dict[tuple[Task, Protocol], str] = {
    (Task.DENOISE, "standard"): "Gaussian noise in floating point, neither clipped nor rounded",
    (Task.DENOISE, "hyperres"): "Gaussian noise, then clipped to [0, 1] and truncated to 8 bits",
    (Task.DEJPEG, "standard"): "baseline JPEG of libjpeg at that quality, colours 4:2:0",
    (Task.DEJPEG, "hyperres"): "baseline JPEG of libjpeg at that quality",
    (Task.UPSCALE, "standard"): "sides cut to multiples of whole scales, shrunk and enlarged by antialiased "
    "bicubic interpolation as MATLAB does, 8 bits in between",
    (Task.UPSCALE, "hyperres"): "shrunk and enlarged by cubic interpolation as OpenCV does, without "
    "antialiasing, to 8 bits each",
}


def check_protocol(task: Task, protocol: str, *, grey: bool) -> None:
    """Refuse what is no protocol.

    Raises:
        UsageError: The name is unknown, or the task's protocol has no such colours.
    """
    known = sorted({name for _, name in DEGRADED}, reverse=True)
    if protocol not in known:
        raise UsageError(f"protocol {protocol!r} is unknown; known are {', '.join(known)}")
    if task == Task.DEJPEG and protocol == "hyperres" and not grey:
        raise UsageError(
            "protocol 'hyperres' of dejpeg is for grey pictures: choose grey, or protocol 'standard'"
        )


def prepared_size(size: tuple[int, int], level: float, task: Task, protocol: Protocol) -> tuple[int, int]:
    """Sides of the prepared picture: those that are enlarged by a whole number are cut to multiples of it."""
    step = int(level) if task == Task.UPSCALE and protocol == "standard" and level == int(level) else 1
    return size[0] - size[0] % step, size[1] - size[1] % step


def prepare(clean: AnyPixels, level: float, task: Task, protocol: Protocol, *, grey: bool) -> AnyPixels:
    """Make of a picture (c, h, w) what is degraded, float32.

    Grey pictures are the luminance, rounded to 8 bits: that of JPEG in studio range in the protocol
    "standard", as the field's grey LIVE1 is, and in full range elsewhere.
    """
    height, width = prepared_size((clean.shape[1], clean.shape[2]), level, task, protocol)
    if min(height, width) < 1:
        raise UsageError(f"a picture of {clean.shape[2]} x {clean.shape[1]} is too small for {level:g}")
    clean = clean[:, :height, :width]
    if grey and len(clean) == 3:
        studio = task == Task.DEJPEG and protocol == "standard"
        return to_8bit(studio_luma(clean) if studio else full_range_luma(clean)).astype(np.float32)
    return clean


SOFTNESS: dict[Protocol, float] = {
    "standard": 1.0,
    "hyperres": 0.0,
}  # of small pictures (see `degrade.shrink`)


def degrade(
    clean: AnyPixels,
    level: float,
    task: Task,
    protocol: Protocol,
    generator: np.random.Generator,
    *,
    softness: float = 1.0,
) -> AnyPixels:
    """Degrade a prepared picture to a level, in the task's unit.

    Only noise needs the generator, and only pictures that are shrunk have a softness.
    """
    if task == Task.DENOISE:
        return gaussian_noise(clean, level, generator, protocol=protocol)
    if task == Task.DEJPEG:
        return jpeg(clean, level)  # type: ignore[arg-type]
    return rescale(clean, level, softness=softness, protocol=protocol)


def scored(picture: AnyPixels, task: Task) -> AnyPixels:
    """What is compared: the picture itself; of an enlarged one the luminance in studio range, 8 bits."""
    if task == Task.UPSCALE and len(picture) == 3:
        return to_8bit(studio_luma(picture))
    return picture


def border(level: float, task: Task, protocol: Protocol) -> int:
    """Pixels at each side that are not scored."""
    return math.ceil(level) if task == Task.UPSCALE and protocol == "standard" else 0


def describe(task: Task, protocol: Protocol, *, grey: bool, channels: set[int], seed: int) -> str:
    """The protocol in full, but for what restores: a number without it is worthless."""
    random = f" (NumPy PCG64, seed {seed}, picture, level)" if task == Task.DENOISE else ""
    kinds = " and ".join({1: "grey", 3: "RGB"}[count] for count in sorted(channels))
    planes = kinds
    if grey:
        planes = "full-range luminance"
    if grey and task == Task.DEJPEG and protocol == "standard":
        planes = "studio-range luminance"
    if task == Task.UPSCALE and not grey:
        planes = "studio-range luminance (grey pictures as they are)"
    cropped = "a border of the scale cropped" if border(2, task, protocol) else "no border cropped"
    return (
        f"{protocol}: {DEGRADED[task, protocol]}{random}; scored on {planes}, {cropped}, "
        "result rounded to 8 bits"
    )
