"""Scores, and how they are written: as a table, as CSV or as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Score:
    """One picture at one level, or the mean of several.

    Attributes:
        level: In the model's unit.
        picture: File name.
        input_psnr: PSNR of the degraded picture, dB.
        psnr: PSNR of the restored picture, dB.
        ssim: SSIM of the restored picture.
        seconds: Time to restore a megapixel.
    """

    level: float
    picture: str
    input_psnr: float
    psnr: float
    ssim: float
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Scores of single pictures, and the protocol in full."""

    protocol: str
    scores: tuple[Score, ...]

    def means(self) -> list[Score]:
        """The mean over all pictures, one row for each level."""
        rows = []
        for level in dict.fromkeys(score.level for score in self.scores):
            scores = [score for score in self.scores if score.level == level]
            numbers = {
                name: float(np.mean([getattr(score, name) for score in scores]))
                for name in ("input_psnr", "psnr", "ssim", "seconds")
            }
            rows.append(Score(level, f"mean of {len(scores)}", **numbers))
        return rows


def as_text(evaluation: Evaluation) -> str:
    """The means as a table for people."""
    lines = [
        f"protocol  {evaluation.protocol}",
        "",
        f"{'level':>7}  {'pictures':>12}  {'input dB':>9}  {'PSNR dB':>8}  {'SSIM':>6}  {'s/MP':>6}",
    ]
    for score in evaluation.means():
        lines.append(
            f"{score.level:7g}  {score.picture:>12}  {score.input_psnr:9.2f}  {score.psnr:8.2f}"
            f"  {score.ssim:6.4f}  {score.seconds:6.2f}"
        )
    return "\n".join(lines)


def as_csv(evaluation: Evaluation) -> str:
    """Every score and the means, one row each; the last column of each row is the protocol."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(Score)]
    writer.writerow([*names, "protocol"])
    for score in (*evaluation.scores, *evaluation.means()):
        writer.writerow([*(getattr(score, name) for name in names), evaluation.protocol])
    return text.getvalue().rstrip("\n")


def as_json(evaluation: Evaluation) -> str:
    """Protocol, means and every score; a PSNR without error, which is infinite, is null."""

    def row(score: Score) -> dict[str, object]:
        return {name: None if value == math.inf else value for name, value in asdict(score).items()}

    document = {
        "protocol": evaluation.protocol,
        "means": [row(score) for score in evaluation.means()],
        "scores": [row(score) for score in evaluation.scores],
    }
    return json.dumps(document, indent=2, allow_nan=False)


FORMATS = {"text": as_text, "csv": as_csv, "json": as_json}
