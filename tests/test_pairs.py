"""What a network is trained on has the damage that its level says."""

import numpy as np
import pytest
import torch

from hyperrestore.colour import full_range_luma
from hyperrestore.learn import pairs
from hyperrestore.learn.pairs import MARGIN, margin, measured_pair, training_pair
from hyperrestore.learn.recipe import Training
from hyperrestore.level import Task
from hyperrestore.measure.degrade import jpeg, rescale
from hyperrestore.measure.metrics import to_8bit

SETTINGS = Training(learning_rate=1e-3, validate_at=(15,))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth(count, side):
    """Pictures with edges and slopes, (count, 3, side, side)."""
    small = torch.rand(count, 3, side // 8 + 1, side // 8 + 1, generator=generator())
    pictures = torch.nn.functional.interpolate(small, (side, side), mode="bilinear", align_corners=True)
    return (pictures * 255).round() / 255


def settings(**changes):
    return Training(learning_rate=1e-3, validate_at=(15,), **changes)


def test_noisy_crops_have_the_noise_of_their_level():
    clean = torch.rand(64, 3, 32, 32, generator=generator())
    noisy, target = training_pair(
        Task.DENOISE, clean, torch.tensor(25.0), settings(grey_share=0.5), generator()
    )
    noise = noisy - target
    assert noise.std().item() == pytest.approx(25 / 255, rel=0.02)
    grey = (target[:, 0] == target[:, 2]).flatten(1).all(1)
    assert 16 < grey.sum() < 48
    assert torch.equal(target[~grey], clean[~grey])
    torch.testing.assert_close(noise[grey][:, 0], noise[grey][:, 1], rtol=0, atol=1e-6)


def test_a_task_without_crops_of_its_own_is_trained_on_what_is_measured(monkeypatch):
    monkeypatch.delitem(pairs._PAIRS, Task.DENOISE)
    clean, random = smooth(64, 32), generator()

    def pair():
        return training_pair(Task.DENOISE, clean, torch.tensor(25.0), settings(grey_share=0.5), random)

    noisy, target = pair()
    assert (noisy - target).std().item() == pytest.approx(25 / 255, rel=0.02)
    grey = (target[:, 0] == target[:, 2]).flatten(1).all(1)
    assert 16 < grey.sum() < 48
    assert torch.equal(target[~grey], clean[~grey])
    assert torch.equal(noisy[grey][:, 0], noisy[grey][:, 2])
    assert not torch.equal(pair()[0], noisy), "other noise in the next step"
    random = generator()
    assert torch.equal(pair()[0], noisy), "the same from the same generator"


def test_clipped_crops_are_8_bit():
    clean = torch.rand(8, 3, 16, 16, generator=generator())
    noisy, target = training_pair(
        Task.DENOISE, clean, torch.tensor(50.0), settings(clipped_share=1.0), generator()
    )
    assert torch.equal(target, clean)
    assert 0 == noisy.min() < noisy.max() == 1
    torch.testing.assert_close(noisy * 255, (noisy * 255).round(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("training", "shift"), [({"clipped_share": 1.0}, 0), ({"protocol": "hyperres"}, -0.5)], ids=str
)
def test_stored_crops_are_rounded_and_only_those_of_the_paper_darker(training, shift):
    clean = 0.25 + 0.5 * torch.rand(32, 3, 64, 64, generator=generator())
    noisy, _ = training_pair(Task.DENOISE, clean, torch.tensor(5.0), settings(**training), generator())
    assert 255 * (noisy - clean).mean().item() == pytest.approx(shift, abs=0.05)


@pytest.mark.parametrize(("task", "weak", "strong"), [(Task.DEJPEG, 90, 10), (Task.UPSCALE, 1.3, 4)])
def test_pairs_of_every_task_fit_and_their_damage_grows_with_strength(task, weak, strong):
    clean = smooth(24, 48 + margin(task))
    errors = []
    for level in (weak, strong):
        degraded, target = training_pair(
            task, clean, torch.tensor(float(level)), settings(grey_share=0.4), generator()
        )
        again, _ = training_pair(
            task, clean, torch.tensor(float(level)), settings(grey_share=0.4), generator()
        )
        assert torch.equal(degraded, again)
        assert degraded.shape == target.shape == (24, 3, 48, 48)
        grey = (target[:, 0] == target[:, 2]).flatten(1).all(1)
        assert 2 < grey.sum() < 20
        torch.testing.assert_close(degraded[grey][:, 0], degraded[grey][:, 2], rtol=0, atol=1e-6)
        errors.append((degraded - target).square().mean((1, 2, 3)))
        # A pair that did not lie on each other would have the error of a shifted picture.
        shifted = (target[..., 1:] - target[..., :-1]).square().mean((1, 2, 3))
        if level == weak:
            assert (errors[-1] < shifted).all()
    assert (errors[1] > errors[0]).all()


def test_crops_of_one_jpeg_kind_are_those_of_the_encoder(monkeypatch):
    for name in ("OTHER_TABLES", "SAVED_AGAIN", "CUT"):
        monkeypatch.setattr(f"hyperrestore.learn.pairs.{name}", 0.0)
    clean = smooth(6, 48 + MARGIN)
    degraded, target = training_pair(Task.DEJPEG, clean, torch.tensor(20.0), SETTINGS, generator())
    assert torch.equal(target, clean[..., :48, :48])
    for made, crop in zip(degraded, clean.numpy(), strict=True):
        kinds = [jpeg(crop, 20, subsampling=kind)[:, :48, :48] for kind in ("4:2:0", "4:2:2", "4:4:4")]
        assert sum(np.array_equal(made.numpy(), kind) for kind in kinds) == 1


def test_saving_again_and_cutting_move_the_grid(monkeypatch):
    clean = smooth(16, 48 + MARGIN)

    def pairs():
        return training_pair(Task.DEJPEG, clean, torch.tensor(10.0), SETTINGS, generator())

    monkeypatch.setattr("hyperrestore.learn.pairs.OTHER_TABLES", 0.0)
    for again, cut in ((1.0, 0.0), (0.0, 1.0)):
        monkeypatch.setattr("hyperrestore.learn.pairs.SAVED_AGAIN", again)
        monkeypatch.setattr("hyperrestore.learn.pairs.CUT", cut)
        degraded, target = pairs()
        moved = [not torch.equal(one, crop[:, :48, :48]) for one, crop in zip(target, clean, strict=True)]
        assert sum(moved) > 12
        assert ((degraded - target).square().mean((1, 2, 3)) > 0).all()


def test_enlarged_crops_are_those_of_rescale():
    clean = smooth(2, 48 + MARGIN)
    for scale in (1.0, 2.0, 2.7, 4.0):
        degraded, target = training_pair(Task.UPSCALE, clean, torch.tensor(scale), SETTINGS, generator())
        inner = slice(MARGIN // 2, -MARGIN // 2)
        assert torch.equal(target, clean[..., inner, inner])
        for made, crop in zip(degraded, clean.numpy(), strict=True):
            whole = rescale(crop, scale)[:, inner, inner]
            # A value half-way between two 8-bit steps may be rounded either way.
            assert np.abs(made.numpy() - whole).mean() < 1e-4


def test_crops_shrunk_otherwise_are_what_other_programs_make():
    clean = smooth(2, 48 + MARGIN)
    inner = slice(MARGIN // 2, -MARGIN // 2)
    usual, _ = training_pair(Task.UPSCALE, clean, torch.tensor(2.0), SETTINGS, generator())
    kinds = {}
    for seed in range(40):
        degraded, target = training_pair(
            Task.UPSCALE, clean, torch.tensor(2.0), settings(other_share=1.0), generator(seed)
        )
        assert torch.equal(target, clean[..., inner, inner])
        assert not torch.equal(degraded, usual)
        assert (degraded - target).abs().mean() < 2 * (usual - target).abs().mean()  # none is shifted
        kinds[degraded.numpy().tobytes()] = degraded
    assert len(kinds) == 5
    whole = [rescale(crop, 2, protocol="hyperres")[:, inner, inner] for crop in clean.numpy()]
    # It rounds and clips the enlarged picture, too.
    apart = [np.abs(made.numpy().clip(0, 1) - np.stack(whole)).mean() for made in kinds.values()]
    assert sum(distance < 0.3 / 255 for distance in apart) == 1


def test_a_share_of_the_crops_is_shrunk_otherwise():
    clean, level = smooth(1, 48 + MARGIN), torch.tensor(2.0)
    usual, _ = training_pair(Task.UPSCALE, clean, level, SETTINGS, generator())
    random = generator()
    made = [
        training_pair(Task.UPSCALE, clean, level, settings(other_share=0.3), random)[0] for _ in range(100)
    ]
    assert 15 < sum(not torch.equal(one, usual) for one in made) < 45


def test_noise_of_the_protocol_hyperres_is_clipped_to_8_bit():
    clean = torch.rand(8, 3, 16, 16, generator=generator())
    noisy, target = training_pair(
        Task.DENOISE, clean, torch.tensor(50.0), settings(protocol="hyperres"), generator()
    )
    assert torch.equal(target, clean)
    assert 0 == noisy.min() < noisy.max() == 1
    torch.testing.assert_close(noisy * 255, (noisy * 255).round(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("task", [Task.DEJPEG, Task.UPSCALE])
def test_crops_of_the_protocol_hyperres_are_what_it_measures(task):
    clean = smooth(3, 44 + MARGIN)
    training = settings(protocol="hyperres", grey_share=0.5)
    for level in {Task.DEJPEG: (10, 80), Task.UPSCALE: (2, 5)}[task]:
        degraded, target = training_pair(task, clean, torch.tensor(float(level)), training, generator())
        inner = slice(MARGIN // 2, -MARGIN // 2)
        for made, wanted, crop in zip(degraded, target, clean.numpy(), strict=True):
            if task == Task.UPSCALE:
                prepared, whole = crop, rescale(crop, level, protocol="hyperres")
            else:
                prepared = to_8bit(full_range_luma(crop)).astype(np.float32)
                whole = jpeg(prepared, level)
            assert np.array_equal(made, np.broadcast_to(whole, crop.shape)[:, inner, inner])
            assert np.array_equal(wanted, np.broadcast_to(prepared, crop.shape)[:, inner, inner])


def test_validation_sees_the_protocol():
    clean = smooth(1, 48)[0]
    picture = clean.numpy()

    def pair(task, level):
        return measured_pair(task, clean, level, "standard", np.random.default_rng(0))

    assert np.array_equal(pair(Task.DEJPEG, 30)[0], jpeg(picture, 30))
    assert np.array_equal(pair(Task.UPSCALE, 2.5)[0], rescale(picture, 2.5))
    assert torch.equal(pair(Task.UPSCALE, 2.5)[1], clean)
    assert pair(Task.UPSCALE, 5)[1].shape == (3, 45, 45)
    noise = pair(Task.DENOISE, 25)[0] - clean
    assert noise.std().item() == pytest.approx(25 / 255, rel=0.05)
