"""Drawn pictures have what photos lack: sharp edges and text on flat ground."""

import numpy as np
from PIL import ImageDraw

from hyperrestore.learn.drawings import draw_pictures


def test_the_same_seed_draws_the_same_pictures():
    first = draw_pictures(4, size=64, seed=0)
    assert first.shape == (4, 3, 64, 64)
    assert first.dtype == np.uint8
    assert np.array_equal(first, draw_pictures(4, size=64, seed=0))
    assert not np.array_equal(first, draw_pictures(4, size=64, seed=1))


def test_pictures_are_mostly_flat_with_sharp_edges():
    pictures = draw_pictures(40, size=128, seed=0).astype(int)
    steps = np.abs(np.diff(pictures, axis=-1)).max(axis=1)  # (n, 128, 127)
    assert np.median((steps == 0).mean(axis=(1, 2))) > 0.7
    assert np.median(steps.max(axis=(1, 2))) > 128


def test_pictures_differ_and_some_are_dark():
    pictures = draw_pictures(40, size=64, seed=0)
    assert len({picture.tobytes() for picture in pictures}) == 40
    dark = np.median(pictures, axis=(1, 2, 3)) < 128
    assert 2 <= dark.sum() <= 20


def test_most_lines_are_level_or_upright(monkeypatch):
    lines = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "line", lambda canvas, ends, **style: lines.append(ends))
    draw_pictures(100, size=64, seed=0)
    straight = np.mean([left == right or top == bottom for left, top, right, bottom in lines])
    assert len(lines) > 150 and 0.6 < straight < 0.85, straight
