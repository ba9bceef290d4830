"""Clips of VapourSynth without their noise: `denoise(clip, sigma=12)`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from hyperrestore.arrays import Float32
from hyperrestore.errors import UsageError
from hyperrestore.hosts.frames import LOOKED_AT, estimate_levels, restore_frames
from hyperrestore.hosts.installed import import_host
from hyperrestore.level import Task

PROPERTY = "HyperrestoreSigma"  # of a frame: the level that was used


def denoise(
    clip: Any,
    sigma: float | None = None,
    *,
    mask: Any = None,
    strength: float = 1.0,
    grain: float = 0.0,
    device: str = "auto",
) -> Any:
    """Remove noise from a clip.

    Args:
        clip: A `vapoursynth.VideoNode` of format RGBS or GRAYS.
        sigma: Standard deviation of the noise, on the 8-bit scale. None estimates it once for the clip: the
            median of nine frames.
        mask: A clip of format GRAYS, of the same size and length: where it is 0 nothing is repaired, where it
            is 1 at sigma.
        strength: Factor for an estimated sigma, 0.1 to 10.
        grain: Share of the luminance noise to put back, 0 to 1.
        device: As for `Restorer.load`.

    Returns:
        A clip of the same format, clipped to [0, 1]. Its frames have the property `HyperrestoreSigma`, which
        is 0 if no noise was found.

    Raises:
        MissingExtraError: vapoursynth is not installed.
        UsageError: The clip or the mask has another format or size, or an option does not fit.
        LevelError: The model does not accept sigma.
    """
    vs = import_host("vapoursynth", install="vapoursynth")
    _check(clip, (vs.RGBS, vs.GRAYS), "RGBS or GRAYS", like=clip)
    if mask is not None:
        _check(mask, (vs.GRAYS,), "GRAYS", like=clip)
    if sigma is None:
        sigma, strength = _estimated(clip, strength, device), 1.0

    def restored(pixels: Float32, values: Float32 | None) -> Float32:
        return restore_frames(
            pixels, [Task.DENOISE], level=sigma, mask=values, strength=strength, grain=grain, device=device
        ).frames

    # VapourSynth calls from threads that are not Python's own, in which OpenVINO's bindings crash.
    thread = ThreadPoolExecutor(1)

    def repaired(n: int, f: Any) -> Any:
        frame, *masks = f if isinstance(f, list) else [f]
        values = _planes(masks[0])[..., 0] if masks else None
        frames = thread.submit(restored, _planes(frame), values).result()
        result = frame.copy()
        for plane in range(result.format.num_planes):
            np.copyto(np.asarray(result[plane]), frames[0, ..., plane])
        result.props[PROPERTY] = float(sigma)
        return result

    restored(np.zeros((1, 8, 8, 1), np.float32), None)  # what is wrong is refused now, not at the first frame

    clips = clip if mask is None else [clip, mask]
    return clip.std.ModifyFrame(clips=clips, selector=repaired)


def _check(clip: Any, formats: tuple[Any, ...], names: str, *, like: Any) -> None:
    """Refuse a clip of another format or size."""
    given = "of varying format" if clip.format is None else clip.format.name
    if clip.format is None or clip.format.id not in [int(one) for one in formats]:
        raise UsageError(
            f"the clip is {given}; give {names}, by clip.resize.Bicubic(format=...), which also needs "
            "matrix_in for YUV"
        )
    size, wanted = ((one.width, one.height, one.num_frames) for one in (clip, like))
    if not min(size) or size != wanted:
        raise UsageError(
            f"a clip of {size[0]} x {size[1]} pixels and {size[2]} frames does not fit: give one of constant "
            f"size, {wanted[0]} x {wanted[1]} pixels and {wanted[2]} frames"
        )


def _estimated(clip: Any, strength: float, device: str) -> float:
    """The level for a clip; 0 if no noise is found."""
    count = min(LOOKED_AT, clip.num_frames)
    numbers = np.linspace(0, clip.num_frames - 1, count).round().astype(int)
    frames = np.concatenate([_planes(clip.get_frame(int(number))) for number in numbers])
    return estimate_levels(frames, [Task.DENOISE], strength=strength, device=device).get(Task.DENOISE, 0.0)


def _planes(frame: Any) -> Float32:
    """(1, h, w, planes)."""
    planes = [np.asarray(frame[plane], np.float32) for plane in range(frame.format.num_planes)]
    return np.stack(planes, axis=-1)[None]
