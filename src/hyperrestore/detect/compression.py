"""Pixels -> the JPEG quality at which they were saved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from hyperrestore.arrays import Float32
from hyperrestore.detect.blocks import block_dct, cut_blocks
from hyperrestore.picture.containers.jpeg import middle_of_least, standard_tables

BLOCKS, FEW_BLOCKS = 8192, 600  # examined for an answer, and for each possible place of a grid
BIN, LARGEST = 0.25, 120.0  # of the absolute DCT coefficients, on the 8-bit scale
STEPS = np.array([*range(2, 30), *range(30, 60, 2), *range(60, 124, 4)], np.float32)
NOISES = np.array([0.4, 1, 2.5, 5], np.float32)  # that rounding, or another compression, adds to coefficients
FEWEST = 32  # distinct blocks; with fewer, chance can look like a compression
TRACE = 0.04  # log likelihood per block above which a compression counts as found
# Away from the grid there must be almost nothing of it: drawn and dithered pictures look alike everywhere.
CONTROLS, ABOVE_CONTROLS = ((3, 2), (2, 5)), 3
# Largest ratio of the evidence of blocks against the steps to that of others for them. It is larger in a
# picture that was compressed only in part, such as a page with a photo in it.
CONTRADICTION = 0.4
AGREE = 0.35  # largest mean logarithm of the ratio of found steps to those of the quality at which they agree
# The lower frequencies without the constant one: the others are mostly zero, whatever the step.
FREQUENCIES = np.array([8 * u + v for u in range(8) for v in range(8) if 1 <= u + v <= 4])


def quality_from_pixels(luma: Float32) -> int | None:
    """The quality of the strongest JPEG compression whose traces the pixels show.

    A DCT coefficient of a decoded block lies near a multiple of its quantisation step. For each frequency the
    step is found by maximum likelihood from the coefficients that are not near zero: compared with a smooth
    distribution, every coefficient near a multiple is evidence for the step, every other evidence against it.
    The quality is the one whose steps are nearest. The grid of blocks is found by sparsity: at its place most
    coefficients vanish.

    Args:
        luma: (h, w), on the 8-bit scale, any size.

    Returns:
        1 to 100; None if there are no traces of compression, as is always the case above about 97.
    """
    fits = [fit for grid in _grids(luma) if (fit := _seen(luma, *grid)) is not None]
    if not fits:
        return None
    agreeing = [fit.quality for fit in fits if fit.disagreement < AGREE]
    return min(agreeing) if agreeing else max(fits, key=lambda fit: fit.likelihood).quality


@dataclass(frozen=True)
class _Fit:
    """The evidence of the blocks of one grid.

    Attributes:
        quality: The one whose steps are nearest.
        likelihood: Logarithm, for a block.
        disagreement: How far the steps are from those of the quality, mean logarithm of the ratio.
        contradiction: Evidence of blocks against the steps, relative to that of others for them.
    """

    quality: int
    likelihood: float
    disagreement: float
    contradiction: float


def _seen(luma: Float32, top: int, left: int) -> _Fit | None:
    """The evidence of a grid's blocks, if they show a compression."""
    fit = _fit(luma, top, left)
    if fit is None or fit.likelihood < TRACE or fit.contradiction > CONTRADICTION:
        return None
    for down, right in CONTROLS:
        control = _fit(luma, (top + down) % 8, (left + right) % 8)
        if control is not None and ABOVE_CONTROLS * control.likelihood > fit.likelihood:
            return None
    return fit


def _grids(luma: Float32) -> list[tuple[int, int]]:
    """The possible origins of a grid of blocks: the corner, and where else the coefficients are sparsest."""
    sparse = np.full((8, 8), np.inf)
    for top, left in np.ndindex(8, 8):
        blocks = cut_blocks(luma[None, top:, left:], FEW_BLOCKS)[0]
        if (top, left) != (0, 0) and len(blocks):
            sparse[top, left] = np.log(0.5 + np.abs(blocks @ _basis())).mean()
    top, left = np.unravel_index(np.argmin(sparse), sparse.shape)
    return [(0, 0), (int(top), int(left))] if np.isfinite(sparse).any() else [(0, 0)]


def _fit(luma: Float32, top: int, left: int) -> _Fit | None:
    """The steps that make the coefficients of a grid's blocks likeliest, and the quality nearest to them."""
    blocks = cut_blocks(luma[None, top:, left:], BLOCKS)[0]
    if not len(blocks):
        return None
    coefficients = np.abs(blocks @ _basis())
    bins = (np.minimum(coefficients / BIN + 0.5, LARGEST / BIN + 1)).astype(np.int64)
    # Equal blocks, of a flat surface or a drawn gradient, are no more evidence than one of them.
    names = bins @ np.random.default_rng(0).integers(1, 2**40, bins.shape[1])
    bins = bins[np.unique(names, return_index=True)[1]]
    if len(bins) < FEWEST:
        return None
    likelihoods = _likelihoods()  # (noises, steps, bins)
    size = likelihoods.shape[-1]
    counts = np.stack([np.bincount(column, minlength=size) for column in bins.T], axis=1)
    table = np.tensordot(likelihoods, counts.astype(np.float32), 1).reshape(-1, bins.shape[1])
    # The best of so many would win a little even by chance.
    best, likelihood = table.argmax(axis=0), np.maximum(table.max(axis=0) - np.log(len(table)), 0)
    if not likelihood.any():
        return None
    seen = np.flatnonzero(likelihood)
    says = likelihoods.reshape(len(table), size)[best[seen], bins[:, seen]].sum(axis=1)
    steps = STEPS[best % len(STEPS)]
    distance = np.abs(np.log(steps / standard_tables()[:, FREQUENCIES])) @ likelihood / likelihood.sum()
    quality = middle_of_least(distance)
    return _Fit(
        quality,
        float(likelihood.sum() / len(bins)),
        float(distance[quality - 1]),
        float(-says.clip(max=0).sum() / max(says.clip(min=0).sum(), 1e-9)),
    )


@cache
def _basis() -> Any:
    """The DCT of a block at `FREQUENCIES` as a matrix (64, frequencies), float32."""
    return np.ascontiguousarray(block_dct()[:, FREQUENCIES])


@cache
def _likelihoods() -> Float32:
    """(noises, steps, bins): evidence of a coefficient in a bin for a step; none if it is nearest to 0."""
    values = BIN * np.arange(round(LARGEST / BIN) + 2)
    steps, noises = STEPS[:, None], NOISES[:, None, None]
    multiple = np.floor(values / steps + 0.5)
    normal = np.exp(-0.5 * ((values - multiple * steps) / noises) ** 2) / (np.sqrt(2 * np.pi) * noises)
    # 3 in 100 coefficients may lie anywhere: blocks that were clipped, or drawn upon.
    table = np.where(multiple == 0, 0, np.log(0.97 * steps * normal + 0.03))
    table[np.broadcast_to(noises > steps / 3, table.shape)] = -1  # the multiples could not be told apart
    table[..., -1] = 0  # all that is larger
    return table.astype(np.float32)
