"""The files that each validation writes to the folder of a training: state, log, model and curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from hyperrestore.learn.curve import CURVE, plot_curve
from hyperrestore.learn.log import Log
from hyperrestore.learn.model import MODEL, save_model
from hyperrestore.learn.state import Run
from hyperrestore.learn.validate import validate


def save_all(folder: Path, run: Run, log: Log, held_out: Tensor, *, rate: float, photos: int) -> list[float]:
    """Save the state, validate the averaged network, and write the log, the model and the curve.

    Args:
        folder: Where to.
        run: The training.
        log: Its log.
        held_out: Clean crops to validate on, (n, 3, h, w).
        rate: Learning rate of the last step.
        photos: Number of training photos, for the model's history.

    Returns:
        The validation PSNR at each level, dB.

    Raises:
        TrainingError: The loss diverged; nothing is written.
    """
    log.refuse_divergence(run.step)
    run.save(folder)
    network = run.averaged_network()
    scores = validate(network, held_out, run.recipe, bf16=run.bf16)
    log.write(run.step, run.seconds, rate, scores)
    history = {
        "steps": run.step,
        "seconds": round(run.seconds, 1),
        "device": run.device.type,
        "photos": photos,
        "started_from": run.started_from,
        "training": asdict(run.recipe.training),
        "validation_psnr": [round(score, 3) for score in scores],
    }
    save_model(folder / MODEL, run.recipe, network, history)
    if log.rows:
        plot_curve(folder / CURVE, log.rows)
    return scores


def score_line(run: Run, scores: Sequence[float]) -> str:
    """The scores of a validation, for people."""
    names = run.recipe.validation_names()
    text = ", ".join(f"{name}: {score:.2f}" for name, score in zip(names, scores, strict=True))
    return f"step {run.step}, {run.seconds / 60:.1f} min, validation PSNR at {text} dB"
