"""The denoiser inside deepinv: its interface, and its plug-and-play algorithms."""

import importlib.util
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from hosts.conftest import host
from hyperrestore import ExtrapolationWarning, LevelError, Restorer, UsageError
from hyperrestore.hosts.deepinv import Denoiser
from hyperrestore.measure.metrics import psnr

STEP = 1 / 255
EXAMPLE = Path(__file__).parents[2] / "examples" / "plug_and_play.py"


@pytest.fixture(scope="module")
def denoiser():
    return Denoiser()


@pytest.fixture
def image(noisy):
    return torch.from_numpy(noisy)[None]


def same(restored, expected):
    return np.abs(restored.detach().clamp(0, 1).numpy() - expected).max() < STEP


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sigma", [0, 12.5, 60])
def test_it_is_the_command(denoiser, noisy, by_command, channels, sigma):
    pixels = noisy[:channels]
    expected = by_command(pixels, "denoise", "--level", sigma)
    assert same(denoiser(torch.from_numpy(pixels)[None], sigma / 255)[0], expected)


def test_a_black_and_white_picture_stays_one_as_by_the_command(denoiser, noisy, by_command):
    pixels = np.repeat(noisy[:1], 3, axis=0)
    restored = denoiser(torch.from_numpy(pixels)[None], 25 / 255)
    assert torch.equal(restored[:, 0], restored[:, 1])
    assert same(restored[0], by_command(pixels, "denoise", "--level", 25))


def test_a_level_for_each_image_and_for_each_pixel(denoiser, image):
    both = torch.cat([image, image.flip(3)])
    each = denoiser(both, torch.tensor([10 / 255, 40 / 255]))
    torch.testing.assert_close(each[:1], denoiser(both[:1], 10 / 255), atol=1e-5, rtol=0)
    torch.testing.assert_close(each[1:], denoiser(both[1:], torch.tensor(40 / 255)), atol=1e-5, rtol=0)
    torch.testing.assert_close(denoiser(both, [10 / 255, 40 / 255]), each)
    torch.testing.assert_close(denoiser(both, torch.tensor([10 / 255, 40 / 255]).view(2, 1, 1, 1)), each)
    map_of_both = torch.full((2, 1, 61, 83), 10 / 255)
    map_of_both[1] = 40 / 255
    torch.testing.assert_close(denoiser(both, map_of_both), each, atol=1e-4, rtol=0)


def test_a_map_is_that_of_the_restorer(denoiser, noisy):
    levels = np.linspace(0, 50, 61 * 83, dtype=np.float32).reshape(61, 83)
    levels[:, :20] = 0
    restored = denoiser(torch.from_numpy(noisy)[None], torch.from_numpy(levels)[None, None] / 255)
    assert same(restored[0], Restorer.load("denoise")(noisy, levels))
    assert torch.equal(restored[0, :, :, :20], torch.from_numpy(noisy)[:, :, :20])


@pytest.mark.parametrize("side", [1, 2, 9])
def test_any_size(denoiser, side):
    assert denoiser(torch.rand(2, 3, side, side + 3), 0.1).shape == (2, 3, side, side + 3)


def test_it_is_differentiable_in_the_image_and_in_sigma():
    denoiser = Denoiser().double()
    image = torch.rand(1, 3, 8, 8, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    sigma = torch.full((1, 1, 8, 8), 0.1, dtype=torch.double)
    assert torch.autograd.gradcheck(
        denoiser, (image.requires_grad_(), sigma.requires_grad_()), fast_mode=True, eps=1e-7, atol=1e-4
    )
    assert not any(parameter.requires_grad for parameter in denoiser.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_the_type_of_the_image_is_kept(denoiser, image, dtype):
    assert denoiser(image.to(dtype), 0.1).dtype == dtype


@pytest.mark.parametrize(
    ("sigma", "message"),
    [(25, "takes 0 to 0.3922, which is 0 to 100"), (-0.1, "-0.1"), (float("nan"), "nan")],
)
def test_a_level_in_other_units_is_refused(denoiser, image, sigma, message):
    with pytest.raises(LevelError, match=message):
        denoiser(image, sigma)


def test_a_level_beyond_training_warns(denoiser, image):
    with pytest.warns(ExtrapolationWarning):
        denoiser(image, 100 / 255)


@pytest.mark.parametrize("shape", [(2,), (1, 3, 61, 83), (61, 83), (1, 1, 61, 82)])
def test_levels_of_another_shape_are_refused(denoiser, image, shape):
    with pytest.raises(UsageError, match=r"one for each pixel \(1, 1, 61, 83\)"):
        denoiser(image, torch.full(shape, 0.1))


def test_another_task_and_other_images_are_refused(denoiser):
    with pytest.raises(UsageError, match="for dejpeg"):
        Denoiser("dejpeg")
    with pytest.raises(UsageError, match="1 or 3"):
        denoiser(torch.rand(3, 8, 8), 0.1)


def test_the_interface_is_that_of_deepinv(deepinv):
    theirs = list(inspect.signature(deepinv.models.Denoiser.forward).parameters)
    assert list(inspect.signature(Denoiser.forward).parameters) == theirs[:3]


def test_plug_and_play(deepinv, denoiser, noisy):
    """Deblurring by deepinv's own algorithm, whose noise levels fall from step to step."""
    clean = torch.from_numpy(noisy)[None, :, :56, :80]
    clean = denoiser(clean, 25 / 255).clamp(0, 1)
    kernel = deepinv.physics.functional.gaussian_blur(sigma=(1.5, 1.5))
    physics = deepinv.physics.BlurFFT(
        img_size=(3, 56, 80), filter=kernel, noise_model=deepinv.physics.GaussianNoise(sigma=0.02)
    )
    torch.manual_seed(0)
    blurred = physics(clean)
    restored = deepinv.optim.DPIR(sigma=0.02, denoiser=denoiser)(blurred, physics)
    before, after = (psnr(x[0].clamp(0, 1).numpy(), clean[0].numpy()) for x in (blurred, restored))
    assert after > before + 2


def test_the_example_beats_the_denoisers_without_weights(deepinv, capsys):
    host("ptwt")
    spec = importlib.util.spec_from_file_location("plug_and_play", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["deblurring", "inpainting"]
    for _, start, *without_weights, ours in rows:
        assert float(ours) > max(map(float, [start, *without_weights])) + 1
