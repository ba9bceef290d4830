import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SIGMA
from hypothesis import given
from hypothesis import strategies as st

from hyperrestore.errors import ExtrapolationWarning, LevelError
from hyperrestore.level import LevelScale

QUALITY = LevelScale("quality", low=1, high=100, trained=(10, 80), origin=100, reference=10, powers=(1, 0.5))


def scale(**changes):
    entries = {"unit": "sigma", "low": 0, "high": 100, "trained": (0, 75), "origin": 0, "reference": 50}
    return LevelScale(**{**entries, **changes})


def test_phi_is_zero_at_the_origin_and_one_at_the_reference():
    for one in (SIGMA, QUALITY, scale(powers=(1, 2, 0.5))):
        assert one.normalize(one.origin) == (0,) * len(one.powers)
        assert one.normalize(one.reference) == (1,) * len(one.powers)


@given(st.floats(0, 100), st.floats(0, 100))
def test_one_power_of_one_is_affine_in_the_level(a, b):
    (middle,), (first,), (second,) = (SIGMA.normalize(level) for level in ((a + b) / 2, a, b))
    assert math.isclose(middle, (first + second) / 2, abs_tol=1e-12)


def test_strength_grows_as_quality_falls():
    assert QUALITY.strength(80) < QUALITY.strength(30) < QUALITY.strength(10) == 1


def test_arrays_are_normalised_like_numbers():
    levels = np.array([[1.0, 40.0], [99.0, 100.0]])
    for array, power in zip(QUALITY.normalize(levels), range(2), strict=True):
        expected = [[QUALITY.normalize(level)[power] for level in row] for row in levels.tolist()]
        np.testing.assert_allclose(array, expected)


@pytest.mark.parametrize("level", [0, 75, 25, 25.0, np.float32(25), np.array(25)])
def test_a_trained_level_passes_as_a_float(level):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert type(SIGMA.check(level)) is float


@pytest.mark.parametrize("level", [-0.001, 100.001, math.nan, math.inf, "strong", None, [25], 10**400])
def test_a_level_outside_is_refused_with_the_range(level):
    with pytest.raises(LevelError, match=r"sigma .* is not accepted.* from 0 to 100"):
        SIGMA.check(level)


@pytest.mark.parametrize("level", [75.001, 100])
def test_a_level_outside_the_trained_range_warns(level):
    with pytest.warns(ExtrapolationWarning, match="outside the trained range 0 to 75"):
        assert SIGMA.check(level) == level


@pytest.mark.parametrize(
    "changes",
    [
        {"low": math.nan},
        {"high": math.inf},
        {"trained": (75, 0)},
        {"trained": (0, 101)},
        {"trained": (0, 50, 75)},
        {"trained": (50,)},
        {"low": 10},
        {"origin": 50},
        {"powers": ()},
        {"powers": (0,)},
        {"powers": (1, -1)},
        {"powers": (0.5,), "origin": 10},  # the root of a negative strength
    ],
)
def test_a_contradictory_scale_is_refused(changes):
    with pytest.raises(LevelError, match=r"scale needs|negative strength"):
        scale(**changes)


def test_equal_ratios_are_equal_steps_of_a_logarithmic_scale():
    scale = LevelScale("quality", low=1, high=100, trained=(5, 95), origin=100, reference=25, spacing="log")
    assert scale.normalize(100) == (0.0,)
    assert scale.normalize(25) == (1.0,)
    assert scale.normalize(50)[0] == pytest.approx(0.5)
    assert scale.normalize(np.array([50.0, 25.0]))[0].tolist() == pytest.approx([0.5, 1.0])
    tensor = torch.tensor([50.0, 25.0])
    assert scale.normalize(tensor)[0].tolist() == pytest.approx([0.5, 1.0])
    with pytest.raises(LevelError, match="above 0"):
        LevelScale("sigma", low=0, high=100, trained=(0, 75), origin=1, reference=50, spacing="log")
    with pytest.raises(LevelError, match="spacing"):
        replace(scale, spacing="square")
