"""`evaluate`: a model measured on clean pictures."""

from __future__ import annotations

import argparse

from hyperrestore.cli.output import progress_bar, put
from hyperrestore.cli.restorers import load_restorer
from hyperrestore.errors import UsageError


def run_evaluate(options: argparse.Namespace) -> int:
    """Measure a model, print the scores, and return the exit code."""
    from hyperrestore.measure.evaluate import USUAL_LEVELS, AlongAxis, along_axis, evaluate
    from hyperrestore.measure.pictures import find_pictures
    from hyperrestore.measure.plot import check_plot, plot
    from hyperrestore.measure.scores import FORMATS
    from hyperrestore.run.engine import TILE

    if options.format not in FORMATS:
        raise UsageError(f"format {options.format!r} is unknown; known are {', '.join(FORMATS)}")
    pictures = find_pictures(options.folder)
    if options.plot:
        check_plot(options.plot)
    restorer = load_restorer(options.model, device=options.device, precision=options.precision)
    measured = along_axis(restorer, options.task)
    with progress_bar(f"{len(pictures)} pictures") as show:
        evaluation = evaluate(
            measured,
            pictures,
            options.levels or USUAL_LEVELS[measured.task],
            protocol=options.protocol,
            grey=options.grey,
            seed=options.seed,
            softness=options.softness,
            told=options.told_softness,
            tile=options.tile or TILE,
            progress=show,
        )
    put(FORMATS[options.format](evaluation))
    if options.plot:
        unit = measured.unit if isinstance(measured, AlongAxis) else restorer.scale.unit
        plot(evaluation, options.plot, unit=unit)
    return 0
