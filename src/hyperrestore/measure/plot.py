"""Scores over the level, drawn."""

from __future__ import annotations

import math
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from hyperrestore.errors import MissingExtraError, UsageError
from hyperrestore.measure.scores import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_plot(path: str | Path) -> None:
    """Refuse a file that `plot` could not write, before the scores are measured.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        UsageError: The suffix is unknown, or the file cannot be written.
    """
    path = Path(path)
    known = _figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise UsageError(
            f"{path}: cannot draw {path.suffix or 'a file without suffix'}; use .png, .svg or .pdf"
        )
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path}: the plot cannot be written; give a file in a folder that exists")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{path}: the plot cannot be written (no permission)")


def plot(evaluation: Evaluation, path: str | Path, *, unit: str) -> None:
    """Draw PSNR over the level, of the degraded and the restored pictures, with the protocol below.

    Args:
        evaluation: The scores.
        path: PNG, SVG or PDF file.
        unit: Of the level, for the axis.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        UsageError: The file cannot be written.
    """
    figure = _figure()
    means = evaluation.means()
    axes = figure.add_subplot()
    levels = [score.level for score in means]
    axes.plot(levels, [score.psnr for score in means], "o-", label="restored")
    axes.plot(levels, [score.input_psnr for score in means], "o--", color="grey", label="degraded")
    for score in means:
        if math.isfinite(score.psnr):
            axes.annotate(f"{score.psnr:.2f}", (score.level, score.psnr), xytext=(0, 6),
                          textcoords="offset points", ha="center", fontsize=8)  # fmt: skip
    axes.set(xlabel=unit, ylabel="PSNR, dB")
    axes.margins(y=0.12)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.supxlabel(textwrap.fill(evaluation.protocol, 105), fontsize=7, color="dimgrey")
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: the plot cannot be written ({error})") from error


def _figure() -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("a plot needs Matplotlib: pip install 'hyperrestore[torch]'") from error
    return Figure(figsize=(7, 4.6), layout="constrained")
