"""The models that a command uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hyperrestore.errors import UsageError

if TYPE_CHECKING:
    from hyperrestore.restore.restorer import Restorer
    from hyperrestore.run.backend import Precision


def load_restorer(model: str, *, device: str, precision: Precision) -> Restorer:
    """Load a model, by its task or its path."""
    from hyperrestore.restore.restorer import Restorer

    return Restorer.load(model, device=device, precision=precision)


def load_restorers(models: Mapping[str, str], *, device: str, precision: Precision) -> list[Restorer]:
    """Load a model for each task.

    Args:
        models: The model of each task.
        device: As for `Restorer.load`.
        precision: As for `Restorer.load`.

    Raises:
        UsageError: A model is for another task.
    """
    restorers = [load_restorer(model, device=device, precision=precision) for model in models.values()]
    for restorer, (task, model) in zip(restorers, models.items(), strict=True):
        if restorer.task != task:
            raise UsageError(f"{model}: is a model for {restorer.task}, not for {task}")
    return restorers
