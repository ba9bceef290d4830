"""Sub-pixels become a picture of the exact size, the same however it is cut."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperrestore.errors import UsageError
from hyperrestore.learn.upscaling import enlarged
from hyperrestore.network.architectures import SubpixelNetwork, receptive_radius
from hyperrestore.resample import resize_bicubic
from hyperrestore.run.engine import Region
from hyperrestore.run.subpixels import SubpixelBackend, Taps, Upscaled, tile_of


class Network:
    """A network with random weights, in double precision; it refuses windows off its stride."""

    def __init__(self, widths=(6,), blocks=(1,), subpixels=4):
        torch.manual_seed(0)
        self.plain = SubpixelNetwork(widths, blocks, subpixels=subpixels).double()
        torch.nn.init.normal_(self.plain.tail.weight, std=0.1)
        self.halo = receptive_radius(self.plain, multiple=self.plain.multiple)
        self.multiple, self.subpixels = self.plain.multiple, subpixels

    def __call__(self, window, /):
        assert window.shape[1] % self.multiple == window.shape[2] % self.multiple == 0
        with torch.no_grad():
            return (
                self.plain(torch.from_numpy(np.ascontiguousarray(window)).double()[None])[0].float().numpy()
            )


class Nothing(Network):
    """Adds nothing, to any number of channels."""

    def __call__(self, window, /):
        channels, height, width = window.shape
        return np.zeros((channels, self.subpixels * height, self.subpixels * width), np.float32)


FLAT, COARSER = Network(), Network((6, 8), (1, 1))


def window_of(picture):
    return lambda part: picture[:, part.top : part.bottom, part.left : part.right]


def test_the_protocol_holds():
    assert isinstance(FLAT, SubpixelBackend)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 20),
    st.floats(1, 5),
    st.floats(1, 5),
    st.integers(1, 40),
    st.sampled_from([FLAT, COARSER]),
)
def test_every_cut_gives_the_whole(height, width, down, right, tile, network):
    random = np.random.default_rng(0)
    picture = random.random((3, height, width), np.float32)
    to = int(height * down), int(width * right)
    upscaled = Upscaled(network, size=(height, width), to=to)
    whole = upscaled.region(window_of(picture), Region(0, 0, to[1], to[0]), tile=1000)
    reference = enlarged(
        lambda image: network.plain(image.double()), torch.from_numpy(picture)[None], *to
    ).detach()
    np.testing.assert_allclose(whole, reference[0].clamp(0, 1), rtol=0, atol=5e-5)
    asked = []

    def read(top, bottom):
        asked.append((top, bottom))
        return picture[:, top:bottom]

    rows = list(upscaled.rows(read, tile=tile))
    np.testing.assert_allclose(np.concatenate(rows, axis=1), whole, rtol=0, atol=1e-6)
    assert asked[0][0] == 0 and asked[-1][1] == height, "every row"
    assert all(before[1] == after[0] for before, after in pairwise(asked)), "once"
    left, top = to[1] // 3, to[0] // 4
    part = upscaled.region(window_of(picture), Region(left, top, to[1], to[0]), tile=tile)
    np.testing.assert_allclose(part, whole[:, top:, left:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("to", [(9, 7), (18, 14), (25, 31), (36, 28), (54, 42)])
def test_without_a_network_it_is_the_cubic_enlargement(to):
    picture = np.random.default_rng(0).random((3, 9, 7), np.float32)
    upscaled = Upscaled(Nothing(), size=(9, 7), to=to)
    result = upscaled.region(window_of(picture), Region(0, 0, to[1], to[0]), tile=4)
    expected = resize_bicubic(picture, *to, antialias=True).clip(0, 1)
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_rows_keep_their_depth(dtype):
    samples = np.random.default_rng(0).random((1, 12, 10), np.float32)
    if dtype != np.float32:
        samples = np.rint(samples * np.iinfo(dtype).max).astype(dtype)
    upscaled = Upscaled(Nothing(), size=(12, 10), to=(12, 10))
    made = np.concatenate(list(upscaled.rows(lambda top, bottom: samples[:, top:bottom], tile=5)), axis=1)
    assert made.dtype == dtype
    assert np.array_equal(made, samples), "at scale 1 nothing but the network changes anything"


def test_only_what_is_visible_is_restored():
    random = np.random.default_rng(0)
    without, own = random.random((2, 1, 8, 8), np.float32)
    shown = np.zeros((1, 8, 8), np.float32)
    shown[:, :, 4:] = 1
    bands = np.concatenate([without, own, shown])
    upscaled = Upscaled(FLAT_GREY, size=(8, 8), to=(16, 16), visible_only=True)
    result = upscaled.region(window_of(bands), Region(0, 0, 16, 16))
    plain = Upscaled(FLAT_GREY, size=(8, 8), to=(16, 16))
    restored = plain.region(window_of(without), Region(0, 0, 16, 16))
    as_it_is = resize_bicubic(own, 16, 16, antialias=True).clip(0, 1)
    np.testing.assert_allclose(result[:, :, 9:], restored[:, :, 9:], rtol=0, atol=1e-6)
    np.testing.assert_allclose(result[:, :, :7], as_it_is[:, :, :7], rtol=0, atol=2e-6)


class Grey(Network):
    """Of one channel, as `NetworkBackend` makes it of three."""

    def __call__(self, window, /):
        return super().__call__(np.repeat(window, 3, axis=0)).mean(axis=0, keepdims=True)


FLAT_GREY = Grey()


def test_whole_scales_of_the_grid_take_sub_pixels_as_they_are():
    samples = np.random.default_rng(0).random((1, 5, 12), np.float32)
    assert np.array_equal(Taps.interpolating(12, 12).across(samples, 0), samples)


def test_it_does_not_shrink():
    with pytest.raises(UsageError, match="cannot enlarge 10 x 12 to 9 x 30"):
        Upscaled(FLAT, size=(12, 10), to=(30, 9))


@pytest.mark.parametrize(
    ("size", "scale", "side"), [(None, 1, 768), (None, 2, 768), (None, 4, 512), (None, 6, 341), (64, 4, 16)]
)
def test_a_tile_is_bounded_in_both_pictures(size, scale, side):
    assert tile_of(size, scale) == side
