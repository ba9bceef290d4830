from dataclasses import dataclass

import numpy as np
import pytest
import torch
from conftest import SIGMA, SMALL_PAPER, TINY, randomised
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperrestore.errors import UsageError
from hyperrestore.network.architectures import NetworkConfig, build, receptive_radius
from hyperrestore.network.hyper import materialize
from hyperrestore.run.engine import (
    Backend,
    Region,
    from_floats,
    restore_region,
    restore_rows,
    run_tiled,
    to_floats,
)


@dataclass
class Identity:
    halo: int = 3
    multiple: int = 4

    def __call__(self, window):
        assert window.shape[1] % self.multiple == window.shape[2] % self.multiple == 0
        return window


def stored(values, dtype):
    out = np.empty(values.shape, dtype)
    from_floats(values, out)
    return out


class Network:
    """A torch network in any precision as a Backend."""

    def __init__(self, config, dtype):
        self.plain = materialize(randomised(build(config, SIGMA)), 30.0).to(dtype)
        self.multiple = self.plain.multiple
        self.halo = receptive_radius(self.plain, multiple=self.multiple)

    def __call__(self, window):
        with torch.inference_mode():
            # Values near 0.5, so that clipping to [0, 1] hides nothing.
            return 0.5 + 0.01 * self.plain(torch.from_numpy(window)[None])[0].numpy()


DEEP = NetworkConfig("unet", widths=(4, 6, 8), blocks=(1, 0, 1))
NETWORKS = {
    (config.kind, len(config.widths), dtype): Network(config, dtype)
    for config in (TINY, DEEP, SMALL_PAPER)
    for dtype in (torch.float32, torch.float64)
}

sides = st.one_of(st.integers(1, 9), st.integers(1, 90))


def test_backends_are_recognised():
    assert isinstance(Identity(), Backend)
    assert not isinstance(np.sin, Backend)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize(("kind", "resolutions"), [("unet", 2), ("unet", 3), ("paper", 1)])
@settings(max_examples=12, deadline=None)
@given(height=sides, width=sides, size=st.integers(1, 40), seed=st.integers(0, 99))
def test_tiled_equals_whole(kind, resolutions, dtype, tolerance, height, width, size, seed):
    backend = NETWORKS[kind, resolutions, dtype]
    size = max(size, max(height, width) // 4)  # at most 25 tiles: many would only take long
    pixels = torch.rand(3, height, width, dtype=dtype, generator=torch.Generator().manual_seed(seed)).numpy()
    whole = run_tiled(backend, pixels, size=4096)
    tiled = run_tiled(backend, pixels, size=size)
    assert whole.shape == tiled.shape == pixels.shape
    assert tiled.dtype == pixels.dtype
    assert np.abs(tiled - whole).max() <= tolerance
    assert 0.1 < whole.min() <= whole.max() < 0.9


@pytest.mark.parametrize(("kind", "resolutions"), [("unet", 2), ("unet", 3), ("paper", 1)])
@settings(max_examples=20, deadline=None)
@given(height=sides, width=sides, size=st.integers(8, 60), data=st.data())
def test_a_region_equals_the_same_part_of_the_whole(kind, resolutions, height, width, size, data):
    backend = NETWORKS[kind, resolutions, torch.float64]
    pixels = np.random.default_rng(0).random((3, height, width))
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    asked = []

    def read(part):
        asked.append(part)
        return pixels[:, part.top : part.bottom, part.left : part.right]

    restored = restore_region(
        backend, read, Region(left, top, right, bottom), height=height, width=width, size=size
    )
    whole = run_tiled(backend, pixels, size=4096)
    np.testing.assert_allclose(restored, whole[:, top:bottom, left:right], rtol=0, atol=1e-12)
    (part,) = asked
    reach = backend.halo + backend.multiple
    assert part.left >= 0 and left - part.left <= reach and part.right - right <= reach
    assert part.right <= width and part.bottom <= height


@pytest.mark.parametrize("region", [(0, 0, 0, 5), (3, 0, 2, 5), (-1, 0, 2, 2), (0, 0, 8, 5), (0, 4, 2, 6)])
def test_a_region_outside_of_the_picture_is_refused(region):
    with pytest.raises(UsageError, match=r"not a part of a picture of 7 x 5 pixels"):
        restore_region(Identity(), lambda part: None, Region(*region), height=5, width=7)


def test_the_halo_is_needed():
    backend = NETWORKS["unet", 2, torch.float64]
    pixels = np.random.default_rng(0).random((3, 48, 48))
    whole = run_tiled(backend, pixels, size=4096)

    @dataclass
    class Blind:
        halo: int
        multiple: int = backend.multiple

        def __call__(self, window):
            return backend(window)

    assert np.abs(run_tiled(Blind(halo=2), pixels, size=16) - whole).max() > 1e-6


def test_the_whole_is_the_network_itself():
    backend = NETWORKS["unet", 2, torch.float64]
    pixels = np.random.default_rng(0).random((3, 13, 11))
    np.testing.assert_array_equal(run_tiled(backend, pixels), backend(pixels))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.uint16])
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    size=st.integers(1, 80),
    halo=st.integers(0, 30),
    multiple=st.integers(1, 9),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_an_identity_gives_the_input_and_reads_every_row_once(
    dtype, height, width, size, halo, multiple, seed
):
    random = np.random.default_rng(seed).random((2, height, width))
    picture = stored(random, dtype)
    asked = []

    def read(top, bottom):
        assert top < bottom
        asked.extend(range(top, bottom))
        return picture[:, top:bottom]

    parts = list(restore_rows(Identity(halo, multiple), read, height=height, width=width, size=size))
    restored = np.concatenate(parts, axis=1)
    assert restored.dtype == dtype
    np.testing.assert_array_equal(restored, picture)
    assert asked == list(range(height))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_survive_the_way_through_floats(dtype):
    every = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    floats = to_floats(every)
    assert floats.dtype == np.float32
    assert floats[0] == 0
    assert floats[-1] == 1
    np.testing.assert_array_equal(stored(floats, dtype), every)


def test_results_are_clipped_and_rounded():
    values = np.array([-1, 0.0019, 0.002, 0.4999, 1.5], np.float32)
    assert stored(values, np.uint8).tolist() == [0, 0, 1, 127, 255]
    assert stored(values, np.float32).tolist() == np.clip(values, 0, 1).tolist()


def test_memory_is_bounded_by_a_row_of_tiles():
    # The rows come one row of tiles at a time: the first is restored before the last is read.
    asked = []

    def read(top, bottom):
        asked.append(bottom)
        return np.zeros((3, bottom - top, 8), np.float32)

    rows = restore_rows(Identity(halo=3), read, height=400, width=8, size=20)
    assert next(rows).shape == (3, 20, 8)
    assert asked[-1] <= 24


def test_a_backend_that_raises_is_heard():
    calls = []

    class Breaks(Identity):
        def __call__(self, window):
            calls.append(window)
            if len(calls) == 3:
                raise ZeroDivisionError("in the third tile")
            return window

    with pytest.raises(ZeroDivisionError, match="third tile"):
        run_tiled(Breaks(), np.zeros((3, 40, 40), np.float32), size=12)
    assert len(calls) == 3


def test_a_backend_of_another_size_is_refused():
    class Crops(Identity):
        def __call__(self, window):
            return window[:, 1:]

    with pytest.raises(ValueError, match="the backend returned"):
        run_tiled(Crops(), np.zeros((3, 40, 40), np.float32))


def test_missing_rows_are_not_made_up():
    rows = restore_rows(Identity(), lambda top, bottom: np.zeros((3, 2, 8)), height=40, width=8)
    with pytest.raises(ValueError, match="rows 0 to 40 of 8 pixels were asked for"):
        next(rows)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((1, 3, 4, 4), np.float32),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((3, 4, 4), bool),
        np.zeros((3, 0, 4), np.float32),
        np.zeros((3, 4, 0), np.float32),
    ],
)
def test_what_is_no_picture_is_refused(pixels):
    with pytest.raises(UsageError):
        run_tiled(Identity(), pixels)


@pytest.mark.parametrize("size", [0, -1])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(UsageError, match="at least 1"):
        run_tiled(Identity(), np.zeros((3, 4, 4), np.float32), size=size)
