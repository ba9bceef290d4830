"""`export`: a model for other programs, or the graph that the engine needs beside a checkpoint."""

from __future__ import annotations

import argparse

from hyperrestore.cli.installed import EXPORTERS, check_installed
from hyperrestore.cli.output import put
from hyperrestore.errors import UsageError


def run_export(options: argparse.Namespace) -> int:
    """Write the file, print its path, and return the exit code."""
    if options.form is not None:
        return _run_form(options)
    if options.runtime is not None or options.out is not None or options.level is not None or options.half:
        raise UsageError(
            "--out, --level, --half and --runtime are for a form; give it by --as, such as --as baked"
        )
    check_installed("exporting", ("torch", *EXPORTERS))
    from hyperrestore.run.export import export_onnx

    put(str(export_onnx(options.model)))
    return 0


def _run_form(options: argparse.Namespace) -> int:
    check_installed("exporting", ("torch", "onnx"))
    from hyperrestore.restore.restorer import model_path
    from hyperrestore.run.forms.export import export_form

    model, levels = model_path(str(options.model)), tuple(options.level or ())
    written = export_form(
        model, options.form, options.out, levels=levels, half=options.half, runtime=options.runtime
    )
    put(str(written))
    return 0
