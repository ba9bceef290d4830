"""Enlarging row by row is enlarging the whole."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperrestore.errors import LevelError, UsageError
from hyperrestore.resample import resize_bicubic
from hyperrestore.run.enlarge import Enlargement, enlarged_size


@given(
    st.integers(1, 40),
    st.integers(1, 12),
    st.floats(1, 6),
    st.floats(1, 6),
    st.integers(1, 50),
    st.booleans(),
)
def test_rows_are_those_of_the_whole(height, width, down, right, strip, integers):
    random = np.random.default_rng(0)
    pixels = random.random((3, height, width), np.float32)
    given_rows = np.rint(pixels * 255).astype(np.uint8) if integers else pixels
    to = int(height * down), int(width * right)
    asked = []

    def read(top, bottom):
        asked.append((top, bottom))
        return given_rows[:, top:bottom]

    enlargement = Enlargement(read, size=(height, width), to=to)
    strips = [enlargement.rows(top, min(top + strip, to[0])) for top in range(0, to[0], strip)]
    whole = resize_bicubic(given_rows / 255.0 if integers else pixels, *to, antialias=True)
    np.testing.assert_allclose(np.concatenate(strips, axis=1), whole, rtol=0, atol=2e-6)
    assert asked[0][0] == 0 and asked[-1][1] == height, "every row"
    assert all(before[1] == after[0] for before, after in pairwise(asked)), "once"


def test_sizes():
    assert enlarged_size(100, 75, scale=2.5) == (250, 188, 2.5)
    assert enlarged_size(640, 480, to_width=1000)[:2] == (1000, 750)
    assert enlarged_size(640, 480, to_height=1000)[:2] == (1333, 1000)
    assert enlarged_size(480, 640, long_side=1001)[:2] == (751, 1001)
    assert enlarged_size(1, 1, scale=1.2)[:2] == (1, 1)
    with pytest.raises(LevelError, match="640 x 480"):
        enlarged_size(640, 480, to_width=500)
    assert enlarged_size(2, 1, to_width=2**31 - 1)[:2] == (2**31 - 1, 2**30)
    for wrong in (
        {"scale": float("nan")},
        {"scale": 1e308},
        {"scale": "2"},
        {"to_width": 10**400},
        {"to_width": 2**31},
    ):
        with pytest.raises(LevelError, match=r"scale|size"):
            enlarged_size(640, 480, **wrong)
    for wrong in ({}, {"scale": 2, "to_width": 900}):
        with pytest.raises(UsageError, match="one of scale"):
            enlarged_size(640, 480, **wrong)
    with pytest.raises(UsageError, match="cannot enlarge 8 x 9 to 8 x 8"):
        Enlargement(lambda top, bottom: None, size=(9, 8), to=(8, 8))
