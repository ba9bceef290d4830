import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from conftest import SIGMA

from hyperrestore.errors import CheckpointError, ExtrapolationWarning, LevelError, UsageError
from hyperrestore.picture.file import Picture
from hyperrestore.picture.info import PictureInfo
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import Region


@pytest.fixture(params=["auto", "torch"])
def restorer(request, tiny_model):
    return Restorer.load(tiny_model, device=request.param)


def test_it_has_no_hidden_state(restorer, rng):
    noisy = rng.random((3, 20, 30), np.float32)
    before = noisy.copy()
    first, other, again = (restorer(noisy, level) for level in (15, 60, 15))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    assert noisy.tobytes() == before.tobytes()


def test_a_network_for_one_level_never_changes(restorer, rng):
    window = rng.random((3, 16, 16), np.float32)
    low = restorer.at(15)
    first = low(window)
    restorer.at(60)(window)
    assert low(window).tobytes() == first.tobytes()


def test_threads_may_share_it(restorer, rng):
    noisy = rng.random((3, 20, 30), np.float32)
    levels = [0, 15, 30, 60] * 5
    alone = {level: restorer(noisy, level).tobytes() for level in set(levels)}
    with ThreadPoolExecutor(4) as pool:
        for level, result in zip(levels, pool.map(lambda one: restorer(noisy, one), levels), strict=True):
            assert result.tobytes() == alone[level]


def test_arrays_come_back_as_they_went_in(restorer, rng):
    for shape in ((3, 9, 7), (1, 9, 7), (3, 1, 1)):
        for dtype in (np.float32, np.float64):
            restored = restorer(rng.random(shape).astype(dtype), 25)
            assert (restored.shape, restored.dtype) == (shape, dtype)
            assert 0 <= restored.min() <= restored.max() <= 1


@pytest.mark.parametrize(("channels", "bits"), [(3, 8), (1, 8), (3, 16)])
def test_a_picture_comes_back_with_all_it_had(restorer, rng, channels, bits):
    pixels, alpha = rng.random((channels, 6, 9), np.float32), rng.random((1, 6, 9), np.float32)
    info = PictureInfo(width=9, height=6, channels=channels, bits=bits, has_alpha=True, xmp=b"<x/>")
    restored = restorer(Picture(pixels, alpha, info), 25)
    assert isinstance(restored, Picture)
    assert restored.info is info
    assert restored.alpha is alpha
    np.testing.assert_allclose(restored.pixels, restorer(pixels, 25), atol=0.03 if bits == 8 else 1e-7)


def test_bf16_is_only_for_8_bit_pictures(tiny_model, rng):
    pixels = rng.random((3, 16, 16), np.float32)
    eight = PictureInfo(width=16, height=16, channels=3, bits=8)
    restorers = {kind: Restorer.load(tiny_model, precision=kind) for kind in ("auto", "fp32", "bf16")}
    exact, coarse = restorers["fp32"](pixels, 25), restorers["bf16"](pixels, 25)
    np.testing.assert_array_equal(restorers["auto"](pixels, 25), exact)
    sixteen = Picture(pixels, None, replace(eight, bits=16))
    np.testing.assert_array_equal(restorers["auto"](sixteen, 25).pixels, exact)
    chosen = restorers["auto"](Picture(pixels, None, eight), 25).pixels
    assert np.array_equal(chosen, exact) or np.array_equal(chosen, coarse)


def test_levels_are_checked(restorer):
    noisy = np.zeros((3, 4, 4), np.float32)
    for level in (-1, 101, float("nan"), "strong", "25", True, [25]):
        with pytest.raises(LevelError, match="from 0 to 100"):
            restorer(noisy, level)
    with pytest.warns(ExtrapolationWarning):
        restorer(noisy, 90)


def test_memory_that_is_given_back_is_taken_anew(restorer, rng):
    pixels = rng.random((3, 40, 30), np.float32)
    restorer.release_memory()  # there is none yet
    before = restorer(pixels, 25)
    restorer.release_memory()
    np.testing.assert_array_equal(restorer(pixels, 25), before)


def test_it_says_what_it_is(restorer):
    assert restorer.scale == SIGMA
    assert restorer.at(25).name in ("OpenVINO on the CPU, fp32", "torch on cpu, fp32")
    assert restorer.description.halo > 0


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 4), np.float32),
        [[1.0]],
        np.full((3, 4, 4), np.nan, np.float32),
        np.full((3, 4, 4), np.inf),
    ],
)
def test_what_is_no_picture_is_refused(restorer, image):
    with pytest.raises(UsageError):
        restorer(image, 25)


@pytest.mark.parametrize("arguments", [{"precision": "fp16"}, {"device": "quantum"}, {"device": "cuda:99"}])
def test_what_cannot_be_had_is_refused(tiny_model, arguments):
    with pytest.raises(UsageError):
        Restorer.load(tiny_model, **arguments)


def test_a_missing_model_is_refused(tmp_path):
    for device in ("auto", "torch"):
        with pytest.raises(CheckpointError, match="none"):
            Restorer.load(tmp_path / "none.safetensors", device=device)


@pytest.mark.parametrize("model", ["tiny_model", "upscale_model"])
@pytest.mark.parametrize("region", [(0, 0, 1, 1), (5, 3, 31, 20), (40, 10, 53, 37), (0, 0, 53, 37)])
def test_a_region_is_that_part_of_the_result(request, rng, model, region):
    restorer = Restorer.load(request.getfixturevalue(model), precision="fp32")
    level = 1.7 if restorer.scale.unit == "scale" else 30
    region = Region(*region)
    for channels in (1, 3):
        pixels = rng.random((channels, 37, 53), np.float32)
        whole = restorer(pixels, level)
        part = restorer.region(pixels, level, region)
        expected = whole[:, region.top : region.bottom, region.left : region.right]
        np.testing.assert_allclose(part, expected, rtol=0, atol=2e-6)
    picture = Picture(pixels, None, PictureInfo(width=53, height=37, channels=3))
    np.testing.assert_allclose(restorer.region(picture, level, region), expected, rtol=0, atol=2e-6)
    with pytest.raises(UsageError, match="not a part"):
        restorer.region(pixels, level, Region(0, 0, 9, whole.shape[1] + 1))
    with pytest.raises(LevelError):
        restorer.region(pixels, -1, region)


def test_a_region_of_an_enlarged_8_bit_picture_is_that_part_of_it(rng):
    restorer = Restorer.load("upscale")
    picture = Picture(rng.random((3, 60, 80), np.float32), None, PictureInfo(width=80, height=60, channels=3))
    whole = restorer(picture, 2.73).pixels
    part = restorer.region(picture, 2.73, Region(40, 30, 200, 150))
    assert np.abs(part - whole[:, 30:150, 40:200]).max() <= 1e-3


@pytest.mark.parametrize("device", ["auto", "torch"])
@pytest.mark.parametrize("model", ["tiny_model", "paper_model", "dejpeg_model"])
def test_a_level_for_each_pixel(request, rng, model, device):
    restorer = Restorer.load(request.getfixturevalue(model), device=device, precision="fp32")
    pixels = rng.random((3, 75, 131), np.float32)
    left, right = (restorer(pixels, level) for level in (20, 60))
    assert np.abs(left - right).max() > 1e-3

    constant = restorer(pixels, np.full((75, 131), 20.0))
    np.testing.assert_allclose(constant, left, rtol=0, atol=1e-5)

    edge, halo = 64, restorer.description.halo
    levels = np.full((75, 131), 20, np.float32)
    levels[:, edge:] = 60
    both = restorer(pixels, levels)
    np.testing.assert_allclose(both[:, :, : edge - halo], left[:, :, : edge - halo], rtol=0, atol=1e-5)
    np.testing.assert_allclose(both[:, :, edge + halo :], right[:, :, edge + halo :], rtol=0, atol=1e-5)
    assert edge - halo > 8 and edge + halo < 123
    assert np.abs(both - left)[:, :, edge:].max() > 1e-3

    levels = rng.uniform(20, 60, (75, 131))
    whole = restorer(pixels, levels)
    np.testing.assert_allclose(restorer(pixels, levels, size=24), whole, rtol=0, atol=2e-6)
    part = restorer.region(pixels, levels, Region(30, 11, 90, 60))
    np.testing.assert_allclose(part, whole[:, 11:60, 30:90], rtol=0, atol=2e-6)
    grey = pixels[:1]
    np.testing.assert_allclose(
        restorer(grey, np.full((75, 131), 20.0)), restorer(grey, 20), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_sigma_0_leaves_every_sample_alone(tiny_model, rng, device, channels, kind):
    restorer, pixels = Restorer.load(tiny_model, device=device), rng.random((channels, 40, 37), kind)
    np.testing.assert_array_equal(restorer(pixels, 0), pixels)
    levels = np.full((40, 37), 30, np.float32)
    some = restorer(pixels, levels)
    levels[:, 30:] = 0
    part = restorer(pixels, levels)
    np.testing.assert_array_equal(part[..., 30:], pixels[..., 30:])
    assert (part[..., :30] != pixels[..., :30]).mean() > 0.9
    np.testing.assert_allclose(part[..., :10], some[..., :10], atol=1e-5)  # beyond the tiny network's sight


def test_scale_1_leaves_every_sample_alone_and_quality_100_none(upscale_model, dejpeg_model, rng):
    pixels = rng.random((3, 40, 37), np.float32)
    np.testing.assert_array_equal(Restorer.load(upscale_model)(pixels, 1), pixels)
    with pytest.warns(ExtrapolationWarning):  # this one was trained to 95
        assert (Restorer.load(dejpeg_model)(pixels, 100) != pixels).any()


def test_maps_of_levels_that_do_not_fit_are_refused(tiny_model, upscale_model, rng):
    restorer = Restorer.load(tiny_model)
    pixels = rng.random((3, 9, 7), np.float32)
    for wrong in (np.full((7, 9), 20.0), np.full((1, 9, 7), 20.0), np.full((9, 7), "20"), np.full(3, 20.0)):
        with pytest.raises(UsageError, match="levels of shape"):
            restorer(pixels, wrong)
    for wrong in (np.full((9, 7), 101.0), np.full((9, 7), -1.0), np.full((9, 7), np.nan)):
        with pytest.raises(LevelError):
            restorer(pixels, wrong)
    levels = np.full((9, 7), 2.0)
    with pytest.raises(UsageError, match="not for upscaling"):
        Restorer.load(upscale_model)(pixels, levels)
    shipped = Restorer.load("denoise", precision="int8")
    with pytest.raises(UsageError, match="int8 is for one level"):
        shipped(pixels, levels)


def test_grain_is_a_share_of_the_luminance_that_was_taken_away(rng):
    restorer = Restorer.load("denoise")
    pixels = 0.4 + 0.2 * rng.random((3, 40, 50), np.float32)  # nothing is clipped
    clean = restorer(pixels, 10)
    np.testing.assert_array_equal(restorer(pixels, 10, grain=0), clean)
    weights = np.array([0.299, 0.587, 0.114])[:, None, None]
    for share in (0.3, 1):
        grained = restorer(pixels, 10, grain=share)
        expected = clean + share * (weights * (pixels - clean)).sum(axis=0)
        np.testing.assert_allclose(grained, expected, rtol=0, atol=1e-6)
    levels = np.full((40, 50), 10.0)
    np.testing.assert_allclose(restorer(pixels, levels, grain=1), grained, rtol=0, atol=2e-5)
    np.testing.assert_allclose(restorer(pixels[:1], 10, grain=1), pixels[:1], rtol=0, atol=1e-6)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="grain"):
            restorer(pixels, 10, grain=wrong)


MISTAKES = {
    "8-bit integers": (np.zeros((3, 4, 4), np.uint8), 25, {}),
    "no channels": (np.zeros((4, 4)), 25, {}),
    "channels last": (np.zeros((4, 5, 3)), 25, {}),
    "two channels": (np.zeros((2, 4, 4)), 25, {}),
    "empty": (np.zeros((3, 0, 4)), 25, {}),
    "0 to 255": (np.full((3, 4, 4), 200.0), 25, {}),
    "NaN": (np.full((3, 4, 4), np.nan), 25, {}),
    "a path": ("photo.jpg", 25, {}),
    "nothing": (None, 25, {}),
    "no level": (np.zeros((3, 4, 4)), None, {}),
    "a level in words": (np.zeros((3, 4, 4)), np.array("strong"), {}),
    "a map of another size": (np.zeros((3, 4, 4)), np.zeros((5, 4)), {}),
    "a tile of nothing": (np.zeros((3, 4, 4)), 25, {"size": 0}),
    "too much grain": (np.zeros((3, 4, 4)), 25, {"grain": "all"}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_errors_name_nothing_that_the_caller_did_not_call(restorer, mistake):
    image, level, options = MISTAKES[mistake]
    for call in (restorer, lambda *one, **more: restorer.region(*one, Region(0, 0, 1, 1), **more)):
        with pytest.raises(UsageError) as caught:
            call(image, level, **options)
        for inner in ("run_tiled", "restore_r", "backend", "window", "`bits`", "mapped"):
            assert inner not in str(caught.value)


def test_int8_of_an_array_is_refused_in_words_of_the_caller(rng):
    with pytest.raises(UsageError, match="8 bits") as caught:
        Restorer.load("denoise", precision="int8")(rng.random((3, 8, 8)), 25)
    assert "`bits`" not in str(caught.value)


@pytest.mark.parametrize("device", ["auto", "torch", "quantum"])
def test_an_unknown_model_lists_those_there_are(device):
    for name in ("nonsense", "Denoise", "photos/model.safetensors"):
        with pytest.raises(CheckpointError, match=f"^{name}: .*denoise, dejpeg, upscale"):
            Restorer.load(name, device=device)


@pytest.mark.parametrize("options", [{}, {"device": "torch"}, {"precision": "fp32"}])
def test_it_can_be_pickled(tiny_model, rng, options, monkeypatch, tmp_path):
    monkeypatch.chdir(tiny_model.parent)
    restorer = Restorer.load(tiny_model.name, **options)
    pickled = pickle.dumps(restorer)
    assert len(pickled) < 2000  # the model itself stays where it is
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(pickled)
    pixels = rng.random((3, 20, 30), np.float32)
    np.testing.assert_array_equal(again(pixels, 25), restorer(pixels, 25))
    assert again.at(25).name == restorer.at(25).name
    assert pickle.dumps(Restorer.load("denoise")).find(b"models") < 0
