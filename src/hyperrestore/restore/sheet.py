"""A picture at several levels -> one sheet to choose from by eye: the same region of each, labelled."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from hyperrestore.arrays import Pixels
from hyperrestore.errors import UsageError
from hyperrestore.level import Task
from hyperrestore.picture.file import Picture, read_picture, write_picture
from hyperrestore.picture.reader import MAX_PIXELS
from hyperrestore.restore.file import Success, repair_file
from hyperrestore.restore.in_memory import restore_part
from hyperrestore.restore.repair import Repair, repair_at
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import Region

SIDE = 384  # of a region, pixels, if none is given
CANDIDATES = 4  # along each axis, among which the region is chosen
GAP, LETTERS = 8, 20  # between panels, and the height of their labels, pixels
PAPER, INK = 1.0, 0.0


def repairs_at(restorer: Restorer, levels: Sequence[float]) -> dict[float, Repair]:
    """The levels of a sheet, in its order, and the repair at each.

    Args:
        restorer: A model that does not upscale.
        levels: In the model's unit; one that is given twice counts once.

    Raises:
        LevelError: The model does not accept a level.
        UsageError: No levels, or a model that upscales.
    """
    if not levels:
        raise UsageError("a sweep needs at least one level")
    if restorer.task == Task.UPSCALE:
        raise UsageError("a sweep is for levels that keep the size, not for upscaling")
    return {float(level): repair_at(restorer, level) for level in levels}


def sweep_file(
    restorer: Restorer,
    source: str | Path,
    target: str | Path,
    repairs: Mapping[float, Repair],
    *,
    region: Region | None = None,
    singles: bool = False,
    keep_singles: bool = False,
    tile: int | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] = lambda done, steps: None,
    turn: AbstractContextManager[object] | None = None,
) -> Success:
    """Write a sheet of a picture at several levels; see `sweep`.

    Args:
        restorer: A model that does not upscale.
        source: Picture to read; it is held in memory as a whole.
        target: The sheet, all or nothing; its suffix chooses the format.
        repairs: As `repairs_at` makes them.
        region: See `sweep`.
        singles: Whether the whole picture is also written at every level, beside the sheet and before it,
            under the name of `single_path`.
        keep_singles: Whether existing ones are kept, so that an interrupted run can continue.
        tile: Side of a tile of the whole pictures, pixels.
        quality: 1 to 100, for lossy formats.
        overwrite: Whether existing files may be replaced.
        max_pixels: The most pixels that are accepted.
        progress: Called with the number of steps done and of all steps.
        turn: Entered while the network runs (see `file.repair_file`).

    Returns:
        What was done; the notes name the region, and the other files.

    Raises:
        PictureError: As `file.repair_file`.
        UsageError: As `sweep`, or a file exists and `overwrite` is not set.
    """
    start = time.perf_counter()
    wholes = {single_path(target, level): level for level in repairs} if singles else {}
    existing = [path for path in wholes if path.exists()]
    if existing and not (overwrite or keep_singles):
        raise UsageError(f"{existing[0]}: already exists; choose another name, or allow overwriting")
    steps = 1 + len(wholes)
    picture = read_picture(source, max_pixels=max_pixels)
    try:
        with turn or nullcontext():
            region = region or telling_region(restorer, picture, repairs)
            sheet = sweep(restorer, picture, repairs, region=region)
    except UsageError as error:
        raise type(error)(f"{source}: {error}") from error
    shown = (region.left, region.top, region.right - region.left, region.bottom - region.top)
    notes = [f"shows region {','.join(map(str, shown))}"]
    progress(1, steps)
    for done, (single, level) in enumerate(wholes.items(), 2):
        if single in existing and not overwrite:
            continue
        written = repair_file(
            [restorer],
            [repairs[level]],
            source,
            single,
            tile=tile,
            quality=quality,
            overwrite=overwrite,
            max_pixels=max_pixels,
            turn=turn,
        )
        notes.append(f"{single}: {restorer.scale.unit} {level:g}")
        notes += [note for note in written.notes if note not in picture.info.notes]
        progress(done, steps)
    # Written last: where there is a sheet, everything is complete.
    notes += [*picture.info.notes, *write_picture(target, sheet, quality=quality, overwrite=overwrite)]
    height, width = sheet.pixels.shape[1:]
    seconds = round(time.perf_counter() - start, 3)
    shown_levels = {str(restorer.task): tuple(repairs)}
    return Success(str(source), str(target), shown_levels, width, height, seconds, tuple(notes))


def check_singles(pairs: Sequence[tuple[Path, Path]], repairs: Mapping[float, Repair]) -> None:
    """Refuse a batch of sheets whose whole pictures would replace other files of the batch.

    Args:
        pairs: Sources and sheets.
        repairs: As `repairs_at` makes them.

    Raises:
        UsageError: A whole picture would be written over a source, a sheet or another whole picture.
    """
    taken = {os.path.realpath(path): path for pair in pairs for path in pair}
    for source, sheet in pairs:
        for single in {single_path(sheet, level) for level in repairs}:
            place = os.path.realpath(single)
            if place in taken:
                raise UsageError(
                    f"the whole picture {single} of {source} would overwrite {taken[place]}; choose another "
                    "name for the sheet, or make the sheets of these pictures one by one"
                )
            taken[place] = single


def single_path(sheet: str | Path, level: float) -> Path:
    """Where the whole picture at a level is written: beside the sheet, in its format.

    Example:
        >>> single_path("out/sheet.png", 12.5).as_posix()
        'out/sheet-12.5.png'
    """
    sheet = Path(sheet)
    return sheet.with_name(f"{sheet.stem}-{level:g}{sheet.suffix}")


def sweep(
    restorer: Restorer, picture: Picture, repairs: Mapping[float, Repair], *, region: Region | None = None
) -> Picture:
    """Restore one region of a picture at several levels, side by side.

    Args:
        restorer: A model that does not upscale.
        picture: The picture.
        repairs: As `repairs_at` makes them.
        region: Pixels of the picture; None for the one where the levels differ most (see `telling_region`).

    Returns:
        The sheet: the input, then every level, each with its label below, in rows from left to right. It has
        the colour space of the picture, 8 bits and no alpha.

    Raises:
        UsageError: The region is not within the picture.
    """
    if region is None:
        region = telling_region(restorer, picture, repairs)
    restored = [restore_part(restorer, repair, picture, region) for repair in repairs.values()]
    rows, columns = slice(region.top, region.bottom), slice(region.left, region.right)
    names = [f"{restorer.scale.unit} {level:g}" for level in repairs]
    sheet = _sheet([picture.pixels[:, rows, columns], *restored], ["input", *names])
    channels, height, width = sheet.shape
    info = replace(
        picture.info,
        width=width,
        height=height,
        channels=channels,
        bits=8,
        has_alpha=False,
        exif=None,
        xmp=None,
        iptc=None,
        extra_samples=(),
        tags=(),
        photoshop=None,
    )
    return Picture(sheet, None, info)


def telling_region(restorer: Restorer, picture: Picture, repairs: Mapping[float, Repair]) -> Region:
    """The region, among some spread over a picture, in which the weakest and the strongest level differ most.

    The choice of level matters most there: a strong level removes detail, or a weak one leaves noise.

    Args:
        restorer: The model.
        picture: The picture.
        repairs: As `repairs_at` makes them.

    Returns:
        A region with sides of at most `SIDE` pixels.
    """
    height, width = picture.pixels.shape[1:]
    tall, wide = min(SIDE, height), min(SIDE, width)
    candidates = [
        Region(left, top, left + wide, top + tall)
        for top, left in product(_spread(height - tall), _spread(width - wide))
    ]
    if len(candidates) == 1:
        return candidates[0]
    by_strength = sorted(repairs, key=restorer.scale.strength)
    # Level by level, so that each network is generated once for all regions.
    weak, strong = (
        [restore_part(restorer, repairs[level], picture, part) for part in candidates]
        for level in (by_strength[0], by_strength[-1])
    )
    differences = [np.abs(one - other).mean() for one, other in zip(weak, strong, strict=True)]
    return candidates[int(np.argmax(differences))]


def _spread(last: int) -> list[int]:
    """Up to `CANDIDATES` places from 0 to `last`, no nearer to each other than needed."""
    count = min(CANDIDATES, 1 + -(-last // SIDE))
    return sorted({round(last * index / max(1, count - 1)) for index in range(count)})


def _sheet(panels: Sequence[Pixels], labels: Sequence[str]) -> Pixels:
    """Put panels (c, h, w) of one size in rows, nearly as many as columns, each above its label."""
    channels, height, width = panels[0].shape
    texts = [_text(label) for label in labels]
    cell_width = max(width, *(text.shape[1] for text in texts)) + GAP
    cell_height = height + LETTERS + 2 * GAP
    # As square as whole panels allow, wide rather than tall.
    columns = math.ceil(math.sqrt(len(panels) * cell_height / cell_width))
    rows = math.ceil(len(panels) / columns)
    sheet = np.full((channels, rows * cell_height + GAP, columns * cell_width + GAP), PAPER, np.float32)
    for index, (panel, text) in enumerate(zip(panels, texts, strict=True)):
        top, left = GAP + index // columns * cell_height, GAP + index % columns * cell_width
        sheet[:, top : top + height, left : left + width] = panel
        below = top + height + GAP // 2
        sheet[:, below : below + text.shape[0], left : left + text.shape[1]] = text
    return sheet


def _text(label: str) -> Pixels:
    """A label as a grey picture (h, w), h at most `LETTERS` + `GAP` pixels."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=LETTERS - 4)
    _, _, right, bottom = (math.ceil(edge) for edge in font.getbbox(label))
    image = Image.new("F", (right, min(bottom, LETTERS + GAP)), PAPER)
    ImageDraw.Draw(image).text((0, 0), label, INK, font)
    return np.asarray(image, np.float32)
