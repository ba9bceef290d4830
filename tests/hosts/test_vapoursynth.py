"""Clips denoised inside VapourSynth."""

import numpy as np
import pytest

from hosts.conftest import host
from hyperrestore import LevelError, UsageError
from hyperrestore.hosts.vapoursynth import denoise

STEP = 1 / 255


@pytest.fixture(scope="module")
def vs():
    return host("vapoursynth")


@pytest.fixture
def clip_of(vs):
    """A clip whose frames are pictures (c, h, w)."""

    def clip_of(*pictures):
        channels, height, width = pictures[0].shape
        blank = vs.core.std.BlankClip(
            format=vs.RGBS if channels == 3 else vs.GRAYS, width=width, height=height, length=len(pictures)
        )

        def fill(n, f):
            frame = f.copy()
            for plane, values in enumerate(pictures[n]):
                np.copyto(np.asarray(frame[plane]), values)
            return frame

        return blank.std.ModifyFrame(clips=blank, selector=fill)

    return clip_of


def picture(frame):
    return np.stack([np.asarray(frame[plane]) for plane in range(frame.format.num_planes)])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_given_level_is_the_command(clip_of, noisy, by_command, channels):
    pixels = noisy[:channels]
    clip = denoise(clip_of(pixels, 1 - pixels), 25)
    frames = list(clip.frames())
    assert np.abs(picture(frames[0]) - by_command(pixels, "denoise", "--level", 25)).max() < STEP
    assert np.abs(picture(frames[1]) - by_command(1 - pixels, "denoise", "--level", 25)).max() < STEP
    assert [frame.props["HyperrestoreSigma"] for frame in frames] == [25, 25]


def test_an_estimated_level_is_the_commands_of_most_frames(clip_of, noisy, by_command):
    flat = np.full_like(noisy, 0.5)
    frames = list(denoise(clip_of(noisy, noisy, flat)).frames())
    assert np.abs(picture(frames[0]) - by_command(noisy, "denoise")).max() < STEP
    assert len({frame.props["HyperrestoreSigma"] for frame in frames}) == 1
    (untouched,) = denoise(clip_of(flat)).frames()
    assert untouched.props["HyperrestoreSigma"] == 0
    assert np.array_equal(picture(untouched), flat)


def test_a_mask_is_a_map_of_levels(clip_of, noisy, by_command):
    mask = np.full((1, 61, 83), 0.5, np.float32)
    (half,) = denoise(clip_of(noisy), 50, mask=clip_of(mask)).frames()
    assert np.abs(picture(half) - by_command(noisy, "denoise", "--level", 25)).max() < STEP
    mask[:, :, :40] = 0
    (part,) = denoise(clip_of(noisy), 50, mask=clip_of(mask)).frames()
    assert np.array_equal(picture(part)[:, :, :40], noisy[:, :, :40])


def test_what_is_refused_is_refused_at_once(vs, clip_of, noisy):
    with pytest.raises(UsageError, match="the clip is RGB24; give RGBS or GRAYS"):
        denoise(vs.core.std.BlankClip(format=vs.RGB24), 25)
    with pytest.raises(UsageError, match="83 x 61 pixels and 1 frames"):
        denoise(clip_of(noisy), 25, mask=clip_of(np.zeros((1, 61, 82), np.float32)))
    with pytest.raises(UsageError, match="give GRAYS"):
        denoise(clip_of(noisy), 25, mask=clip_of(noisy))
    with pytest.raises(LevelError, match="sigma 101"):
        denoise(clip_of(noisy), 101)
    with pytest.raises(UsageError, match="strength 2 is for an estimated level"):
        denoise(clip_of(noisy), 25, strength=2)
    with pytest.raises(UsageError, match="grain 2"):
        denoise(clip_of(noisy), 25, grain=2)
