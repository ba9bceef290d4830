"""Import a host, or say what to install."""

from __future__ import annotations

import importlib
from typing import Any

from hyperrestore.errors import MissingExtraError


def import_host(module: str, *, install: str) -> Any:
    """Import a module of a host.

    Args:
        module: Its dotted name.
        install: What to give to pip.

    Raises:
        MissingExtraError: The host is not installed.

    Example:
        >>> import_host("nonesuch.models", install="nonesuch")
        Traceback (most recent call last):
        hyperrestore.errors.MissingExtraError: nonesuch is not installed: pip install nonesuch
    """
    host = module.partition(".")[0]
    try:
        importlib.import_module(host)
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != host:  # the host is there, and lacks something itself
            raise
        raise MissingExtraError(f"{host} is not installed: pip install {install}") from error
