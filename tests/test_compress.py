"""JPEG on a device is that of libjpeg."""

import numpy as np
import pytest
import torch
from makers import example_photo

from hyperrestore.learn.compress import compressed
from hyperrestore.measure.degrade import jpeg, quantisation_tables

PICTURES = np.stack(
    [example_photo("chelsea", 20, 100)[:, :112, :96], example_photo("coffee", 60, 150)[:, :112, :96]]
)


def tables(quality, **changes):
    both = torch.tensor(quantisation_tables(quality, **changes), dtype=torch.float32)
    return both.view(1, 2, 8, 8)


@pytest.mark.parametrize("quality", [5, 10, 30, 80, 98])
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_it_is_libjpeg_but_for_coefficients_half_way_between_two_steps(quality, kind):
    ours = compressed(torch.from_numpy(PICTURES), tables(quality), torch.tensor([kind, kind])).numpy()
    for made, picture in zip(ours, PICTURES, strict=True):
        theirs = [jpeg(picture, quality, subsampling=name) for name in ("4:4:4", "4:2:2", "4:2:0")]
        apart = [np.square(made - one).mean() for one in theirs]
        assert int(np.argmin(apart)) == kind
        assert apart[kind] < 0.04 * np.square(theirs[kind] - picture).mean() + (1.6 / 255) ** 2
        assert 255 * np.abs((made - theirs[kind]).mean((1, 2))).max() < 0.8, "no shift"
        np.testing.assert_allclose(made * 255, np.rint(made * 255), atol=1e-3)


def test_every_picture_has_its_own_tables_and_subsampling():
    pictures = torch.from_numpy(PICTURES)
    both = compressed(pictures, torch.cat([tables(10), tables(60, tilt=0.5)]), torch.tensor([2, 0]))
    for index, (own, kind) in enumerate(((tables(10), 2), (tables(60, tilt=0.5), 0))):
        alone = compressed(pictures[index : index + 1], own, torch.tensor([kind]))
        torch.testing.assert_close(both[index : index + 1], alone, rtol=0, atol=1.01 / 255)
        assert (both[index] != alone[0]).float().mean() < 1e-3
    torch.testing.assert_close(
        compressed(pictures, tables(30)), compressed(pictures, tables(30), torch.zeros(2))
    )


@pytest.mark.parametrize("size", [(1, 1), (9, 17), (16, 40)])
def test_any_size_and_grey_stays_grey(size):
    grey = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    made = compressed(grey, tables(20), torch.tensor([2, 1]))
    assert made.shape == grey.shape
    assert torch.equal(made[:, 0], made[:, 2])
