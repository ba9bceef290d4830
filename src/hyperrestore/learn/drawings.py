"""Drawn pictures for training: text, panels, lines and shapes, as on screens and printed pages.

Photos alone do not teach a network sharp edges on flat ground, and it blurs or rings around them.
"""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "STIXGeneralItalic")
# Letters by their approximate frequency in text, then other characters.
LETTERS = "eeeeeeettttaaaaoooiiinnnsssrrrhhlldduuccmmffppggwwyybbvvkxjqz" + string.ascii_uppercase

Colour = tuple[int, int, int]


def draw_pictures(count: int, *, size: int, seed: int) -> npt.NDArray[np.uint8]:
    """Draw pictures, the same ones for the same seed.

    Half of them are drawn twice as large and shrunk, so that their edges are smooth.

    Args:
        count: How many.
        size: Side, pixels.
        seed: Of all randomness.

    Returns:
        (count, 3, size, size).
    """
    random = np.random.default_rng(seed)
    pictures = []
    for index in range(count):
        large = 1 + index % 2
        picture = _draw(size * large, large, random).resize((size, size), Image.Resampling.BOX)
        pictures.append(np.asarray(picture).transpose(2, 0, 1))
    return np.stack(pictures)


def _draw(side: int, unit: int, random: np.random.Generator) -> Image.Image:
    """One picture; a pixel of the final picture is `unit` pixels."""
    ground = _colour(random, pale=random.random() < 0.7)
    picture = Image.new("RGB", (side, side), ground)
    canvas = ImageDraw.Draw(picture)
    for _ in range(random.integers(1, 5)):
        box = _box(side, random)
        panel = _colour(random, pale=random.random() < 0.6)
        kind = random.integers(4)
        if kind == 0:
            _slope(picture, box, panel, _colour(random, pale=True))
        elif kind == 1:
            canvas.ellipse(box, fill=panel, outline=_colour(random, pale=False), width=unit)
        elif kind == 2:
            canvas.rounded_rectangle(box, radius=int(random.integers(1, 12)) * unit, fill=panel)
        else:
            canvas.rectangle(box, fill=panel, outline=_colour(random, pale=False), width=unit)
        if random.random() < 0.7:
            _write(canvas, box, _ink(panel, random), unit, random)
    if random.random() < 0.6:
        _write(canvas, (4 * unit, 4 * unit, side, side), _ink(ground, random), unit, random)
    for _ in range(random.integers(0, 6)):
        ends = [int(end) for end in random.integers(0, side, 4)]
        if random.random() < 0.7:  # most lines are level or upright
            axis = int(random.integers(2))
            ends[2 + axis] = ends[axis]
        canvas.line(ends, fill=_colour(random, pale=False), width=int(random.integers(1, 4)) * unit)
    return picture


def _write(
    canvas: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    ink: Colour,
    unit: int,
    random: np.random.Generator,
) -> None:
    """Fill a box with lines of words."""
    height = int(random.choice([9, 10, 11, 12, 13, 14, 16, 18, 22, 28, 40])) * unit
    font = _font(str(random.choice(FONTS)), height)
    left, top, right, bottom = box
    for line in range(top + unit, bottom - height, height + int(random.integers(2, 8)) * unit):
        text = ""
        while font.getlength(text) < right - left:
            text += "".join(random.choice(list(LETTERS), random.integers(1, 9))) + " "
            if random.random() < 0.15:
                text += f"{random.integers(10000)}, "
        while text and font.getlength(text) > right - left:
            text = text[:-1]
        canvas.text((left + 2 * unit, line), text, fill=ink, font=font)
        if random.random() < 0.1:
            break


def _font(name: str, height: int) -> ImageFont.FreeTypeFont:
    """A font that comes with Matplotlib."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), height)


def _slope(picture: Image.Image, box: tuple[int, int, int, int], first: Colour, second: Colour) -> None:
    """Paint a box from one colour at its top to another at its bottom."""
    left, top, right, bottom = box
    part = np.linspace(0, 1, bottom - top)[:, None, None]
    colours = (1 - part) * np.array(first) + part * np.array(second)
    rows = np.broadcast_to(np.rint(colours).astype(np.uint8), (bottom - top, right - left, 3))
    picture.paste(Image.fromarray(np.ascontiguousarray(rows)), (left, top))


def _box(side: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """A box of at least a tenth of the picture's side."""
    least = side // 10
    left, top = (int(random.integers(0, side - least)) for _ in range(2))
    right, bottom = (int(random.integers(first + least, side + 1)) for first in (left, top))
    return left, top, right, bottom


def _colour(random: np.random.Generator, *, pale: bool) -> Colour:
    """Any colour, or a pale one; one in three is grey."""
    low = 200 if pale else 0
    red, green, blue = (int(value) for value in random.integers(low, 256, 3))
    return (red, red, red) if random.random() < 1 / 3 else (red, green, blue)


def _ink(ground: Colour, random: np.random.Generator) -> Colour:
    """A colour that is readable on the ground: mostly black or white."""
    dark_ground = sum(ground) < 384
    if random.random() < 0.6:
        return (255, 255, 255) if dark_ground else (0, 0, 0)
    return _colour(random, pale=dark_ground)
