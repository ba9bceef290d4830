"""Scores on real pairs as JSON, and their section of docs/quality.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from markdown import grid

from hyperrestore.atomic import write_atomically
from hyperrestore.tables import from_table


@dataclass(frozen=True)
class Real:
    """A method's mean score on the pairs of a folder.

    Attributes:
        pairs: Name of the folder.
        method: In words, with its level if all crops have the same.
        crops: How many pairs.
        digest: Of the names and bytes of the noisy pictures.
        psnr: Mean, of RGB in 8 bits, dB.
        worse: In how many crops it is 0.1 dB or more below the input.
        found: In how many crops noise was found; -1 if the method does not estimate it.
        version: Of hyperrestore.
        date: Of the measurement.
    """

    pairs: str
    method: str
    crops: int
    digest: str
    psnr: float
    worse: int
    found: int
    version: str
    date: str


def read_real(path: Path) -> tuple[Real, ...]:
    """Read the file; without one there are no records.

    Raises:
        SystemExit: It is damaged.
    """
    if not path.is_file():
        return ()
    try:
        return tuple(from_table(Real, entry) for entry in json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise SystemExit(f"{path}: cannot be read ({error}); restore it, or leave out --save") from None


def write_real(path: Path, records: Sequence[Real]) -> None:
    """Write the file, a line for each record; they replace earlier ones of the same folders."""
    folders = {one.pairs for one in records}
    kept = [one for one in read_real(path) if one.pairs not in folders]
    lines = ",".join(f"\n {json.dumps(asdict(one), ensure_ascii=False)}" for one in (*kept, *records))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, f"[{lines}\n]\n".encode())


def table(records: Sequence[Real]) -> str:
    """The rows of one folder."""
    head = ["method", "PSNR, dB", "crops worse by 0.1 dB", "crops in which noise was found"]
    return grid(head, [
        [one.method, f"{one.psnr:.2f}", f"{one.worse}", "-" if one.found < 0 else f"{one.found}"]
        for one in records
    ])  # fmt: skip


def section(records: Sequence[Real]) -> list[str]:
    """The paragraphs of the page."""
    parts = [
        "## Real noise",
        "A noisy picture of a camera beside the mean of many: `python benchmarks/real.py FOLDER`. PSNR of "
        "RGB, 8 bits, mean over crops. A best sigma is chosen by the result, as nobody can without the mean.",
    ]
    for folder in dict.fromkeys(one.pairs for one in records):
        of_it = [one for one in records if one.pairs == folder]
        first = of_it[0]
        parts += [
            f"### {folder}",
            f"{first.crops} crops (digest {first.digest} of their names and bytes). Measured with "
            f"hyperrestore {first.version}, {first.date}.",
            table(of_it),
        ]
    return parts
