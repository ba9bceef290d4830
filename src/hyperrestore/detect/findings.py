"""A picture -> what is wrong with it, and how badly."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hyperrestore.arrays import Float32, Pixels, Rows
from hyperrestore.colour import full_range_luma
from hyperrestore.detect.compression import quality_from_pixels
from hyperrestore.detect.noise import Noise, find_noise
from hyperrestore.errors import PictureError
from hyperrestore.floats import check_picture
from hyperrestore.level import Task
from hyperrestore.picture.containers.jpeg import JPEG, jpeg_tables, quality_of_table
from hyperrestore.picture.file import Picture
from hyperrestore.picture.reader import MAX_PIXELS, open_picture
from hyperrestore.run.engine import to_floats
from hyperrestore.run.linear_light import in_linear_light, perceptual_rows, to_perceptual
from hyperrestore.run.transparency import hidden_pixels

SAMPLE = 2**21  # pixels that are looked at, in bands spread over the picture
BANDS, WIDEST = 8, 4096
CLEAN, SURE = 2.0, 1.5  # sigma below which a picture counts as clean; spreads that noise must lie above it
WORTH_REPAIR = 97  # quality above which JPEG shows nowhere
HEAD = 2**24  # bytes of a file in which its tables stand


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compression:
    """What is known of a picture's strongest JPEG compression.

    Attributes:
        quality: 1 to 100, as libjpeg counts it; None where none was found.
        reason: How it was found, a plain clause.
    """

    quality: int | None
    reason: str


@dataclass(frozen=True)
class Findings:
    """What is wrong with a picture.

    Attributes:
        compression: Its strongest JPEG compression.
        noise: Its noise; None where that cannot be told.
    """

    compression: Compression
    noise: Noise | None

    @property
    def levels(self) -> dict[Task, float]:
        """What is worth repairing, at which level, in the order that restores best."""
        levels: dict[Task, float] = {}
        if self.noise is not None and self.noise.sigma - SURE * self.noise.spread >= CLEAN:
            levels[Task.DENOISE] = round(self.noise.sigma, 1)
        if self.compression.quality is not None and self.compression.quality <= WORTH_REPAIR:
            levels[Task.DEJPEG] = self.compression.quality
        return levels

    def sentence(self, task: Task) -> str:
        """What was found for one task, a plain clause."""
        if task == Task.DEJPEG:
            quality, reason = self.compression.quality, self.compression.reason
            return reason if quality is None else f"JPEG quality {quality}, {reason}"
        if self.noise is None:
            return "the noise cannot be estimated: the picture is too small, or drawn"
        sigma = f"sigma {self.noise.sigma:.1f}, give or take {self.noise.spread:.1f}"
        if Task.DENOISE not in self.levels:
            return f"no noise found with certainty ({sigma})"
        return f"noise of {sigma}"


def inspect(
    picture: str | Path | Picture | Pixels, *, max_pixels: int = MAX_PIXELS, rows: Rows | None = None
) -> Findings:
    """Find out how strongly a picture was compressed as JPEG, and how noisy it is.

    The tables of a JPEG file say how it was saved last. Coefficients that lie on multiples of larger steps
    betray an earlier, stronger compression, also in a file of another format, and if the picture was cut;
    not if it was resized, and not one of nearly the same quality as the last. How the noise is found, see
    `noise`.

    Args:
        picture: Picture file; or a `Picture` or an array (1 or 3, h, w) of floats in [0, 1], of which only
            the pixels are looked at, as they may have changed since they were read. Of one with more than 2
            megapixels, parts are looked at.
        max_pixels: The most pixels that are accepted of a file.
        rows: All rows of the file, (c, h, w), where they are already decoded: as `PictureReader.bands` gives
            them, or `linear_light.perceptual_rows` of these.

    Returns:
        What was found; its `levels` say what is worth repairing, at which level.

    Raises:
        PictureError: The file cannot be read.
        UsageError: The array is no picture.

    Example:
        >>> clean = np.full((3, 64, 64), 0.5)
        >>> noisy = clean + np.random.default_rng(0).normal(0, 20 / 255, clean.shape)
        >>> findings = inspect(noisy)
        >>> abs(findings.levels["denoise"] - 20) < 2
        True
    """
    if not isinstance(picture, str | Path):
        held = _bands_of(picture)
        return _logged("an array", _findings(_sample(_slices(held), *held.shape[1:]), None))
    path = Path(picture)
    if rows is None:
        with open_picture(path, max_pixels=max_pixels) as reader:
            info = reader.info
            pixels = _sample(perceptual_rows(reader.bands, info), info.height, info.width)
    else:
        pixels = _sample(_slices(rows), *rows.shape[1:])
    try:
        with path.open("rb") as file:
            tables = jpeg_tables(file.read(HEAD)) if file.peek(2).startswith(JPEG) else None
    except OSError as error:
        raise PictureError(f"{path}: cannot be opened ({error.strerror})") from error
    return _logged(path, _findings(pixels, tables))


def _logged(name: str | Path, findings: Findings) -> Findings:
    for task in (Task.DENOISE, Task.DEJPEG):
        logger.info("%s: %s: %s", name, task, findings.sentence(task))
    return findings


def _bands_of(picture: Picture | Pixels) -> Pixels:
    """(c, h, w), with alpha as the last channel where there is some."""
    pixels = picture.pixels if isinstance(picture, Picture) else picture
    check_picture(pixels)
    if not isinstance(picture, Picture):
        return pixels
    if in_linear_light(picture.info):
        pixels = to_perceptual(pixels)
    return pixels if picture.alpha is None else np.concatenate([pixels, picture.alpha])


def _slices(rows: Rows) -> Callable[[int, int], Rows]:
    return lambda top, bottom: rows[:, top:bottom]


def _findings(pixels: Float32, tables: tuple[int, ...] | None) -> Findings:
    """What pixels on the 8-bit scale say, and the tables of their file."""
    luma = full_range_luma(pixels) if len(pixels) == 3 else pixels
    seen = quality_from_pixels(luma[0].astype(np.float32))
    return Findings(_compression(tables, seen), find_noise(pixels))


def _compression(tables: tuple[int, ...] | None, seen: int | None) -> Compression:
    """What a file's tables and its pixels say together."""
    if tables is None:
        if seen is None:
            return Compression(None, "no traces of JPEG compression were found")
        return Compression(seen, "from traces in its pixels")
    saved, exact = quality_of_table(tables)
    if seen is not None and seen < saved - 3:
        return Compression(seen, f"from traces in its pixels; it was saved again at {saved}")
    kind = "its quantisation tables" if exact else "the closest match to its quantisation tables"
    return Compression(saved, f"from {kind}")


def _sample(read: Callable[[int, int], Rows], height: int, width: int) -> Float32:
    """(1 or 3, h, w) on the 8-bit scale: bands of a picture, whose 8x8 blocks stay in one grid.

    NaN where the picture is transparent, so that no block with hidden colours counts.
    """
    seen = min(width, WIDEST)
    left = (width - seen) // 16 * 8
    count = min(height, SAMPLE // seen)
    # Whole blocks, so that the grid goes on from band to band.
    band = height if count == height else max(8, count // BANDS // 8 * 8)
    apart = max(band, height // BANDS // 8 * 8)
    rows = [
        read(top, min(top + band, height))[:, :, left : left + seen]
        for top in range(0, height - min(band, height) + 1, apart)
    ]
    bands = np.concatenate(rows, axis=1)
    has_alpha = len(bands) % 2 == 0  # grey or RGB, and alpha
    pixels = to_floats(bands[:-1] if has_alpha else bands) * np.float32(255)
    if has_alpha and not (hidden := hidden_pixels(bands[-1])).all():
        pixels[:, hidden] = np.nan
    return pixels
