"""The log of a training: a row for each validation, and whether the loss has diverged since."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from hyperrestore.atomic import write_atomically
from hyperrestore.errors import CheckpointError, TrainingError

LOG = "log.csv"
DIVERGED = 5  # times the smallest mean loss between two validations


class Log:
    """A row for each validation, in a CSV file, and the mean loss since the last one.

    Args:
        folder: Where the file lies.
        names: What a validation scores.
        step: How many steps the training has made; a file that is there already is read if it has made any,
            without rows of later steps.
        device: Where losses are computed.

    Raises:
        CheckpointError: The file is another training's, or damaged.
    """

    def __init__(self, folder: Path, names: Sequence[str], *, step: int, device: torch.device) -> None:
        self.folder = folder
        self.columns = ["step", "seconds", "learning_rate", "loss", *(f"psnr_{name}" for name in names)]
        self.rows = _read_rows(folder / LOG, self.columns, step) if step else []
        self.loss, self.count = torch.zeros((), device=device), 0

    def add(self, loss: Tensor) -> None:
        """Add one step's loss, without waiting for the device."""
        self.loss += loss
        self.count += 1

    def refuse_divergence(self, step: int) -> None:
        """Stop before a diverged run overwrites its last good checkpoint.

        Raises:
            TrainingError: The loss since the last validation is not a number, or several times what it was.
        """
        if not self.count:
            return
        loss = float(self.loss) / self.count
        before = min((float(row["loss"]) for row in self.rows), default=math.inf)
        if not loss <= DIVERGED * before:
            kept = (
                f"{self.folder} keeps step {self.rows[-1]['step']}: start from it in another folder"
                if self.rows
                else "start again"
            )
            raise TrainingError(
                f"training diverged before step {step}, loss {loss:.3g} after {before:.3g}; {kept} "
                "with a lower learning_rate or clip"
            )

    def write(self, step: int, seconds: float, rate: float, scores: Sequence[float]) -> None:
        """Add a row, unless no step was made since the last one, and write the file, atomically."""
        if self.count:  # not where a finished run is resumed, or the last step was validated already
            loss = float(self.loss) / self.count
            row = [f"{step}", f"{seconds:.1f}", f"{rate:.3g}", f"{loss:.6f}"]
            row += [f"{score:.4f}" for score in scores]
            self.rows.append(dict(zip(self.columns, row, strict=True)))
        self.loss, self.count = torch.zeros_like(self.loss), 0
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, self.columns)
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.folder / LOG, table.getvalue().encode())


def _read_rows(path: Path, columns: list[str], step: int) -> list[dict[str, str]]:
    """The rows up to a step; a killed run may have logged steps later than its last saved state."""
    if not path.exists():
        return []
    with path.open(newline="", errors="replace") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != columns:
            raise CheckpointError(
                f"{path}: is not this run's log, with {', '.join(columns)}; restore it, "
                "or move it away to start a new one"
            )
        try:
            rows = list(reader)
            if not all(math.isfinite(float(cell)) for row in rows for cell in row.values()):
                raise ValueError("a cell is not a finite number")
            return [row for row in rows if int(row["step"]) <= step]
        except (ValueError, TypeError) as error:
            raise CheckpointError(
                f"{path}: is damaged ({error}); restore it, or move it away for a new one"
            ) from error
