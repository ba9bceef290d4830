"""Scores of quality as JSON: a file for each task, a record for each method, table and level."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hyperrestore.atomic import write_atomically
from hyperrestore.level import Task
from hyperrestore.tables import from_table


@dataclass(frozen=True)
class Record:
    """A method's mean score at one level of one table.

    Attributes:
        table: Its name: photos, protocol, colours.
        method: Key of `quality_tables.NAMES`; for any other model, its name.
        level: In the task's unit.
        pictures: How many were scored, the first by name.
        total: How many the table has.
        input_psnr: Of the degraded pictures, dB.
        psnr: Of the restored ones, dB; infinite, in JSON null, if there is no error.
        ssim: Of the restored ones.
        run_by: Package or runtime of the method, with its settings and weights.
        versions: Of hyperrestore that measured it, oldest first; records that were once a line of a page have
            those of the whole line.
        digest: Of the names and bytes of all the table's pictures; empty if unknown.
        cpu: The CPU that measured it; empty if unknown, or if there were several.
        seconds: For a megapixel on that CPU, under its load at the time; 0 if unknown.
    """

    table: str
    method: str
    level: float
    pictures: int
    total: int
    input_psnr: float
    psnr: float
    ssim: float
    run_by: str
    versions: tuple[str, ...]
    digest: str = ""
    cpu: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Cost:
    """The cost of a model, counted on the model itself, and its training.

    Attributes:
        method: As in `Record`.
        stored: Stored parameters.
        generated: Parameters generated for one level.
        multiply_adds: Millions per pixel of the result; for a network on the small picture, at scale 2.
        radius: Receptive radius, pixels.
        trained_for: The trained levels.
        steps: Of the training; a dash if the model does not say.
    """

    method: str
    stored: int
    generated: int
    multiply_adds: float
    radius: int
    trained_for: str
    steps: str


@dataclass(frozen=True)
class Results:
    """All results of a task.

    Attributes:
        version: Of hyperrestore at the last measurement.
        protocols: In full, by table.
        networks: The cost of the models.
        left_out: Why a method has no row, a line each.
        records: The scores, in the order of the page.
    """

    version: str
    protocols: dict[str, str]
    networks: tuple[Cost, ...]
    left_out: tuple[str, ...]
    records: tuple[Record, ...]


def path_of(folder: Path, task: Task) -> Path:
    """The file of a task."""
    return folder / f"{task}.json"


def write_results(path: Path, results: Results) -> None:
    """Write a task's file, a line for each record, so that a diff shows what has changed."""
    head = {"version": results.version, "protocols": results.protocols, "left_out": results.left_out}
    text = json.dumps(head, indent=1, ensure_ascii=False)[:-2]
    for name, entries in (("networks", results.networks), ("records", results.records)):
        text += f',\n "{name}": [{_lines(entries)}\n ]'
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, f"{text}\n}}\n".encode())


def _lines(entries: Iterable[Cost | Record]) -> str:
    finite = (
        {name: None if value == math.inf else value for name, value in asdict(entry).items()}
        for entry in entries
    )
    lines = (json.dumps(entry, ensure_ascii=False, allow_nan=False) for entry in finite)
    return ",".join(f"\n  {line}" for line in lines)


def read_results(path: Path) -> Results | None:
    """Read a task's file; None if there is none.

    Raises:
        SystemExit: It is damaged.
    """
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Results(
            document["version"],
            document["protocols"],
            tuple(from_table(Cost, entry) for entry in document["networks"]),
            tuple(document["left_out"]),
            tuple(map(_record, document["records"])),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise SystemExit(f"{path}: cannot be read ({error}); restore it, or leave out --keep") from None


def _record(entry: dict[str, Any]) -> Record:
    infinite = {name: math.inf for name in ("input_psnr", "psnr") if entry.get(name, 0) is None}
    return replace(from_table(Record, {**entry, **dict.fromkeys(infinite, 0.0)}), **infinite)
