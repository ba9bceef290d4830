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
CLEAN = 2.0  # sigma below which a picture counts as clean
SURE = 0.65  # probability from which on noise is worth removing
WORTH_REPAIR = 97  # quality above which JPEG shows nowhere
HEAD = 2**24  # bytes of a file in which its tables stand


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compression:
    """A picture's strongest JPEG compression.

    Attributes:
        quality: 1 to 100, on libjpeg's scale; None if none was found.
        reason: How it was found, a plain clause.
    """

    quality: int | None
    reason: str


@dataclass(frozen=True)
class Findings:
    """What is wrong with a picture.

    Attributes:
        compression: Its strongest JPEG compression.
        noise: Its noise; None if it cannot be estimated.
    """

    compression: Compression
    noise: Noise | None

    @property
    def levels(self) -> dict[Task, float]:
        """What is worth repairing, and at which level, in the best order of repair."""
        levels: dict[Task, float] = {}
        if self.noise is not None and self.noise.sigma >= CLEAN and self.noise.worth >= SURE:
            levels[Task.DENOISE] = round(self.noise.sigma, 1)
        if self.compression.quality is not None and self.compression.quality <= WORTH_REPAIR:
            levels[Task.DEJPEG] = self.compression.quality
        return levels

    def levels_for(self, task: Task) -> dict[Task, float]:
        """The same for a model of that task: one for photos is told the noise before its compression."""
        levels = self.levels
        if self.noise is not None and Task.DENOISE in levels:
            levels[Task.DENOISE] = round(self.noise.level_for(task), 1)
        return levels

    def sentence(self, task: Task, model: Task | None = None) -> str:
        """The findings for one task, as a plain clause.

        Args:
            task: Denoising or the repair of JPEG.
            model: The task of the model that does it, if it is another; see `levels_for`.
        """
        if task == Task.DEJPEG:
            quality, reason = self.compression.quality, self.compression.reason
            return reason if quality is None else f"JPEG quality {quality}, {reason}"
        if self.noise is None:
            return "the noise cannot be estimated: the picture is too small, or drawn"
        sigma = f"sigma {self.noise.sigma:.1f}, give or take {self.noise.spread:.1f}"
        if Task.DENOISE not in self.levels:
            return f"no noise found with certainty ({sigma})"
        if model == Task.PHOTO:
            return f"noise of sigma {self.noise.level_for(model):.1f}"
        return f"noise of {sigma}"


def inspect(
    picture: str | Path | Picture | Pixels, *, max_pixels: int = MAX_PIXELS, rows: Rows | None = None
) -> Findings:
    """Estimate how strongly a picture was compressed as JPEG, and how noisy it is.

    The tables of a JPEG file tell how it was saved last. Coefficients on multiples of larger steps reveal an
    earlier, stronger compression, also in a file of another format or after the picture was cropped. They do
    not if it was resized, or if the qualities are nearly the same. For noise, see `noise`.

    Args:
        picture: Picture file; or a `Picture` or an array (1 or 3, h, w) of floats in [0, 1], of which only
            the pixels are examined, since they may have changed after reading. Only parts of a picture with
            more than 2 megapixels are examined.
        max_pixels: The most pixels that are accepted of a file.
        rows: All rows of the file, (c, h, w), if they are already decoded: as given by `PictureReader.bands`,
            or by `linear_light.perceptual_rows` from these.

    Returns:
        What was found; its `levels` say what is worth repairing, at which level.

    Raises:
        PictureError: The file cannot be read.
        UsageError: The array is not a picture.

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
    """(c, h, w), with alpha, if any, as the last channel."""
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
    """The findings from pixels on the 8-bit scale, and from the tables of their file."""
    luma = full_range_luma(pixels) if len(pixels) == 3 else pixels
    seen = quality_from_pixels(luma[0].astype(np.float32))
    return Findings(_compression(tables, seen), find_noise(pixels))


def _compression(tables: tuple[int, ...] | None, seen: int | None) -> Compression:
    """The compression according to a file's tables and its pixels."""
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

    Transparent pixels are NaN, so that no block with hidden colours counts.
    """
    seen = min(width, WIDEST)
    left = (width - seen) // 16 * 8
    count = min(height, SAMPLE // seen)
    # Whole blocks, so that the grid continues from band to band.
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
