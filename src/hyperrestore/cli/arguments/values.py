"""The values of options: text -> numbers, paths, levels, regions, or an error that says what is allowed."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperrestore.restore.place import Place


def number(text: str) -> float:
    """Any number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def numbers(text: str) -> list[float]:
    """Numbers, with commas between them."""
    return [number(part) for part in text.split(",")]


def positive(text: str) -> float:
    """A finite number above 0."""
    value = number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def worker_cpus(text: str) -> float:
    """CPUs of a worker: a whole number, or a part of one CPU, as Ray counts them."""
    value = number(text)
    if not (0.01 <= value < 1 or (1 <= value < math.inf and value.is_integer())):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number above 0 nor from 0.01 to 1")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """A whole number from least to most."""

    def parse(text: str) -> int:
        digits = text.isascii() and text.isdecimal()
        if digits and len(text) >= 20:
            raise argparse.ArgumentTypeError(f"{text[:20]}... is too large a number")
        value = int(text) if digits else -1
        if not least <= value <= most:
            limits = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {limits}")
        return value

    return parse


def path(text: str) -> Path:
    """The path of a file or a folder."""
    if not text:  # the folder that one is in, to Path
        raise argparse.ArgumentTypeError("a path has no name; give a file or a folder")
    return Path(local(text))


def model(text: str) -> str:
    """The name of a built-in model, or the path of a checkpoint."""
    if not text:
        raise argparse.ArgumentTypeError("a model has no name; give that of a task, or a checkpoint's path")
    return text


def local(text: str) -> str:
    """A path of this machine as it was typed, without `file://` in front of it."""
    if "://" not in text:
        return text
    from hyperrestore.restore.place import StoredPath, local_text, place_of

    if isinstance(place_of(text), StoredPath):
        raise argparse.ArgumentTypeError(
            f"{text} lies in object storage; give a file or folder of this machine"
        )
    return local_text(text)


def place(text: str) -> Place:
    """A path, or the URL of a file or a folder in object storage."""
    from hyperrestore.restore.place import place_of

    return place_of(text) if "://" in text else path(text)


def level(text: str) -> float | tuple[float, float] | None:
    """A number, two for a map, or None for "auto"."""
    if text == "auto":
        return None
    black, colon, white = text.partition(":")
    return (number(black), number(white)) if colon else number(text)


@dataclass(frozen=True)
class Dial:
    """How strongly one kind of damage is repaired; nothing given: as strongly as is estimated.

    Attributes:
        level: Given, in the unit of the repair.
        at_least: The least level, where it is estimated.
        is_off: Whether it is not repaired.
    """

    level: float | None = None
    at_least: float | None = None
    is_off: bool = False

    @property
    def is_estimated(self) -> bool:
        """Whether the level is estimated from each picture."""
        return self.level is None and not self.is_off

    def __str__(self) -> str:
        """As it is typed."""
        if self.is_off:
            return "none"
        if self.at_least is not None:
            return f"{self.at_least:g}+"
        return "auto" if self.level is None else f"{self.level:g}"


def dial(text: str) -> Dial:
    """A number, "auto" or "none"."""
    if text in ("auto", "none"):
        return Dial(is_off=text == "none")
    try:
        return Dial(float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, auto or none") from None


def dial_with_least(text: str) -> Dial:
    """A number, one with "+" behind it for the least, "auto" or "none"."""
    if not text.endswith("+"):
        return dial(text)
    try:
        return Dial(at_least=float(text[:-1]))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number with + behind it, as 8+") from None


def region(text: str) -> tuple[int, int, int, int]:
    """X,Y,W,H -> left, top, width, height."""
    parts = text.split(",")
    if len(parts) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,W,H: left, top, width and height, pixels")
    left, top, width, height = map(whole(0), parts)
    return left, top, width, height


def shard(text: str) -> tuple[int, int]:
    """K/N -> K and N, K from 1 to N."""
    from hyperrestore.restore.folder import MOST_SHARDS

    first, _, second = text.partition("/")
    try:
        count = whole(1, MOST_SHARDS)(second)
        return whole(1, count)(first), count
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not K/N, part K of N, such as 1/4; N is at most {MOST_SHARDS}"
        ) from None
