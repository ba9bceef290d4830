"""Optional packages that a command needs, looked for before it starts."""

from __future__ import annotations

import importlib.util

from hyperrestore.errors import MissingExtraError

EXPORTERS = ("onnx", "onnxscript")


def check_installed(job: str, modules: tuple[str, ...]) -> None:
    """Refuse a job before it starts if a package that it needs is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(f"{job} needs {module}: pip install 'hyperrestore[torch]'")
