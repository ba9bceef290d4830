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
        method: Key of `quality_tables.NAMES`; of any other model its name.
        level: In the task's unit.
        pictures: How many were scored, the first by name.
        total: How many the table has.
        input_psnr: Of the degraded pictures, dB.
        psnr: Of the restored ones, dB; infinite, in JSON null, where there is no error.
        ssim: Of the restored ones.
        run_by: What ran the method and how, with its weights.
        versions: Of hyperrestore, some of which measured it, oldest first; of records that were once a line
            of a page those of the whole line.
        digest: Of the names and bytes of all the table's pictures; empty where it was not kept.
        cpu: That measured it; empty where it was not kept, or where it was several.
        seconds: To restore a megapixel on that CPU, with whatever else ran there; 0 where that is unknown.
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
    """What a model costs, counted on the model itself, and how it was trained.

    Attributes:
        method: As in `Record`.
        stored: Parameters.
        generated: Of which one level generates.
        multiply_adds: Millions for a pixel of the result; of a network on the small picture at scale 2.
        radius: Receptive, pixels.
        trained_for: The levels.
        steps: Of the training; a dash where the model does not say so.
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
    """All that is known of a task.

    Attributes:
        version: Of hyperrestore, that measured last.
        protocols: In full, by table.
        networks: What the models cost.
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
    """Write a task's file, a line for each record, so that a change shows what has changed."""
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
