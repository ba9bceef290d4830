"""Times and memory as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hyperrestore.atomic import write_atomically
from hyperrestore.tables import from_table


@dataclass(frozen=True)
class Time:
    """Seconds of our network and the paper's for one picture held in memory, in the same run.

    Attributes:
        megapixels: Of the picture.
        precision: Of ours.
        paper_precision: Of the paper's.
        tile: Side of a tile, pixels.
        seconds: Ours, the median of several rounds.
        paper_seconds: The paper's; 0 if unknown, like all below.
        gflops: 10**9 operations per second of ours, without pixels that halos compute twice.
        paper_gflops: The paper's.
        share: Of the machine's ceiling, ours.
        paper_share: The paper's.
        cpu: Its name.
        cores: How many were used.
        version: Of hyperrestore.
        date: Of the measurement, as 2026-11-27.
    """

    megapixels: float
    precision: str
    paper_precision: str
    tile: int
    seconds: float
    paper_seconds: float
    cpu: str
    cores: int
    version: str
    date: str
    gflops: float = 0.0
    paper_gflops: float = 0.0
    share: float = 0.0
    paper_share: float = 0.0


@dataclass(frozen=True)
class Upscaling:
    """Seconds of a model that enlarges a picture held in memory; see `Time`.

    Attributes:
        model: Its name.
        megapixels: Of the result.
    """

    model: str
    megapixels: float
    scale: float
    precision: str
    seconds: float
    cpu: str
    cores: int
    version: str
    date: str


@dataclass(frozen=True)
class Memory:
    """The largest resident size of a whole command that reads and writes a file; see `Time`.

    Attributes:
        network: "ours" or "paper".
        command: The task and its level.
        file: Its format and bits.
        megapixels: Of the picture that is read.
        tile: Side of a tile, pixels; 0 for the default.
        seconds: Of the whole command; 0 if unknown.
        peak: 10**9 bytes.
    """

    network: str
    command: str
    file: str
    megapixels: float
    precision: str
    tile: int
    seconds: float
    peak: float
    cpu: str
    cores: int
    version: str
    date: str


@dataclass(frozen=True)
class Speeds:
    """All records; `notes` are sentences on results in other forms."""

    time: tuple[Time, ...] = ()
    upscaling: tuple[Upscaling, ...] = ()
    memory: tuple[Memory, ...] = ()
    notes: tuple[str, ...] = ()


MEASURED = {"seconds", "paper_seconds", "gflops", "paper_gflops", "share", "paper_share", "peak", "version",
            "date"}  # fmt: skip


def what(record: Time | Upscaling | Memory) -> tuple[object, ...]:
    """What was measured, and on which CPU: all but the result, the version and the date."""
    entries = {name: value for name, value in asdict(record).items() if name not in MEASURED}
    return type(record).__name__, *entries.values()


def read_speeds(path: Path) -> Speeds:
    """Read the file; without one there are no records.

    Raises:
        SystemExit: It is damaged.
    """
    if not path.is_file():
        return Speeds()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Speeds(
            tuple(from_table(Time, entry) for entry in document["time"]),
            tuple(from_table(Upscaling, entry) for entry in document["upscaling"]),
            tuple(from_table(Memory, entry) for entry in document["memory"]),
            tuple(document["notes"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise SystemExit(f"{path}: cannot be read ({error}); restore it, or leave out --save") from None


def with_records(speeds: Speeds, records: Sequence[Time | Upscaling | Memory]) -> Speeds:
    """Add records; a new one replaces that of the same measurement on the same CPU."""
    found = {what(one): one for one in (*speeds.time, *speeds.upscaling, *speeds.memory, *records)}
    return Speeds(
        tuple(one for one in found.values() if isinstance(one, Time)),
        tuple(one for one in found.values() if isinstance(one, Upscaling)),
        tuple(one for one in found.values() if isinstance(one, Memory)),
        speeds.notes,
    )


def write_speeds(path: Path, speeds: Speeds) -> None:
    """Write the file, a line for each record."""
    parts = []
    for name, entries in asdict(speeds).items():
        lines = ",".join(f"\n  {json.dumps(entry, ensure_ascii=False, allow_nan=False)}" for entry in entries)
        parts.append(f' "{name}": [{lines}\n ]')
    write_atomically(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode())
