"""A plot of a training: validation scores over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CURVE = "curve.png"


def plot_curve(path: Path, rows: list[dict[str, str]]) -> None:
    """Draw the validation scores of a log over training time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    minutes = [float(row["seconds"]) / 60 for row in rows]
    for column in (name for name in rows[0] if name.startswith("psnr_")):
        scores = [float(row[column]) for row in rows]
        axes.plot(minutes, np.array(scores) - scores[-1], label=f"{column[5:]}: {scores[-1]:.2f} dB")
    axes.set(xlabel="training time, minutes", ylabel="validation PSNR against the end, dB")
    axes.set_ylim(bottom=max(-1, axes.get_ylim()[0]))  # how it began from nothing would hide the rest
    axes.grid(alpha=0.3)
    axes.legend(title="level: PSNR at the end")
    figure.savefig(path, dpi=120)
