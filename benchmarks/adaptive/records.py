"""What a comparison measures, as JSON: scores, costs and protocols."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from hyperrestore.atomic import write_atomically
from hyperrestore.tables import from_table

DEDICATED = "dedicated"


@dataclass(frozen=True)
class Run:
    """What a comparison is of: two results of different runs are not compared.

    Attributes:
        task: What is repaired.
        width: Channels of the main network.
        blocks: Its residual blocks.
        steps: Half of those of a method.
        crops: In a step.
        crop: Side of a crop, pixels.
        photos: A fingerprint of the photos that were trained on.
        test: Name of the folder that was scored.
        pictures: In it.
        protocol: In full.
    """

    task: str
    width: int
    blocks: int
    steps: int
    crops: int
    crop: int
    photos: str
    test: str
    pictures: int
    protocol: str


@dataclass(frozen=True)
class Score:
    """PSNR of a method at one level, the mean over pictures.

    Attributes:
        method: Its name; "dedicated" for a network that was trained at this level alone.
        seed: Of its training.
        level: In the task's unit.
        input_psnr: Of the degraded pictures, dB.
        psnr: Of the restored pictures, dB.
    """

    method: str
    seed: int
    level: float
    input_psnr: float
    psnr: float


@dataclass(frozen=True)
class Cost:
    """What a method costs.

    Attributes:
        method: Its name.
        trained: At which levels, for people.
        stored: Parameters of the whole method.
        generated: Parameters of its network for one level.
        multiply_adds: Of that network, per pixel.
        crops: That passed the network in all of the training.
        change: Seconds to make the network for another level, on the CPU, the fastest of several times.
        cpu: Its name.
    """

    method: str
    trained: str
    stored: int
    generated: int
    multiply_adds: float
    crops: int
    change: float
    cpu: str


@dataclass(frozen=True)
class Comparison:
    """All results of one run."""

    run: Run
    scores: tuple[Score, ...]
    costs: tuple[Cost, ...]


def read_comparisons(path: Path) -> tuple[Comparison, ...]:
    """Read the file; nothing is on record where there is none.

    Raises:
        SystemExit: It is damaged.
    """
    if not path.is_file():
        return ()
    try:
        return tuple(
            Comparison(
                from_table(Run, one["run"]),
                tuple(from_table(Score, entry) for entry in one["scores"]),
                tuple(from_table(Cost, entry) for entry in one["costs"]),
            )
            for one in json.loads(path.read_text(encoding="utf-8"))
        )
    except (ValueError, TypeError, KeyError) as error:
        raise SystemExit(f"{path}: cannot be read ({error}); restore it, or move it away") from None


def with_comparison(kept: Iterable[Comparison], new: Comparison) -> tuple[Comparison, ...]:
    """Add results to those of the same run, where the last of the same method, seed and level stays."""
    comparisons = {one.run: one for one in kept}
    before = comparisons.get(new.run, Comparison(new.run, (), ()))
    scores = {(one.method, one.seed, one.level): one for one in (*before.scores, *new.scores)}
    costs = {one.method: one for one in (*before.costs, *new.costs)}
    comparisons[new.run] = Comparison(new.run, tuple(scores.values()), tuple(costs.values()))
    return tuple(comparisons.values())


def write_comparisons(path: Path, comparisons: Iterable[Comparison]) -> None:
    """Write the file, a line for each record, so that a change shows what has changed."""
    parts = [
        f' {{"run": {_line(one.run)},\n'
        f'  "scores": [{_lines(one.scores)}\n  ],\n  "costs": [{_lines(one.costs)}\n  ]}}'
        for one in comparisons
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, ("[\n" + ",\n".join(parts) + "\n]\n").encode())


def _lines(entries: Iterable[Score | Cost]) -> str:
    return ",".join(f"\n   {_line(entry)}" for entry in entries)


def _line(entry: Run | Score | Cost) -> str:
    return json.dumps(asdict(entry), ensure_ascii=False, allow_nan=False)
