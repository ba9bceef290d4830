"""`restore`, `denoise`, `dejpeg` and `upscale`: pictures restored, or sheets of several levels."""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperrestore.cli.arguments.restore import check_choice
from hyperrestore.cli.batch import run_plan, sum_up
from hyperrestore.cli.plan import Plan, check_mask, make_plan
from hyperrestore.cli.restorers import check_levels, load_restorers

if TYPE_CHECKING:
    from hyperrestore.restore.batch import Failure, Report
    from hyperrestore.restore.restorer import Restorer

# What the report says was asked for.
SETTINGS = (
    *("level", "level_map", "softness", "grain", "sweep", "region", "singles"),
    *("to_width", "to_height", "long_side"),
    *("format", "quality", "tile", "device", "precision", "overwrite", "keep_times"),
)


def run_restore(options: argparse.Namespace) -> int:
    """Restore pictures, and return the exit code. What can be refused is refused first."""
    from hyperrestore.picture.reader import MAX_PIXELS
    from hyperrestore.restore.report import check_report

    start = time.perf_counter()
    check_choice(options)
    max_pixels = options.max_pixels or MAX_PIXELS
    plan = make_plan(
        options.inputs,
        options.out,
        suffix=options.format,
        recursive=options.recursive,
        overwrite=options.overwrite,
        skip_existing=options.skip_existing,
    )
    if options.level_map:
        check_mask(options.level_map, plan.pairs, max_pixels)
    models = {task: options.model or task for task in options.tasks}
    restorers = load_restorers(models, device=options.device, precision=options.precision)
    levels = options.sweep or _levels(options.level)
    check_levels(restorers, levels, options.softness)
    if options.report:
        check_report(options.report)
    make = _making_sheets if options.sweep else _restoring
    keeps_existing = options.recursive or options.skip_existing
    results = run_plan(
        make(options, restorers, plan, max_pixels),
        plan,
        size=functools.partial(_result_size, options.tasks, options.level, _sizes(options), plan.is_batch),
        # Where --out is a folder, not the one file.
        make_folders=all(target != Path(options.out) for _, target in plan.pairs),
        quiet=bool(levels),
        as_json=options.json,
        finish=functools.partial(_write_report, options, models, plan, start),
    )
    return sum_up(results, plan, keeps_existing=keeps_existing)


def _levels(level: float | tuple[float, float] | None) -> tuple[float, ...]:
    """The levels that were asked for: none, one, or the two of a map."""
    if level is None:
        return ()
    return level if isinstance(level, tuple) else (level,)


def _restoring(
    options: argparse.Namespace, restorers: Sequence[Restorer], plan: Plan, max_pixels: int
) -> Callable[..., Report]:
    """What makes a restored picture of a picture."""
    from hyperrestore.restore.batch import restore_file

    return functools.partial(
        restore_file,
        restorers,
        level=options.level,
        level_map=options.level_map,
        softness=options.softness,
        grain=options.grain,
        keep_larger=plan.is_batch,
        keep_times=options.keep_times,
        **_sizes(options),
        tile=options.tile,
        quality=options.quality,
        overwrite=options.overwrite,
        max_pixels=max_pixels,
    )


def _making_sheets(
    options: argparse.Namespace, restorers: Sequence[Restorer], plan: Plan, max_pixels: int
) -> Callable[..., Report]:
    """What makes a sheet of several levels of a picture."""
    from hyperrestore.restore.sheet import check_singles, sweep_file
    from hyperrestore.run.engine import Region

    region = None
    if options.region:
        left, top, width, height = options.region
        region = Region(left, top, left + width, top + height)
    if options.singles:
        check_singles(plan.pairs, options.sweep)
    return functools.partial(
        sweep_file,
        restorers[0],
        levels=options.sweep,
        region=region,
        singles=options.singles,
        keep_singles=options.recursive or options.skip_existing,
        tile=options.tile,
        quality=options.quality,
        overwrite=options.overwrite,
        max_pixels=max_pixels,
    )


def _sizes(options: argparse.Namespace) -> dict[str, Any]:
    """Sizes that were asked for, instead of a scale."""
    return {name: getattr(options, name) for name in ("to_width", "to_height", "long_side")}


def _result_size(
    tasks: Sequence[str], scale: float, sizes: dict[str, Any], in_batch: bool, width: int, height: int
) -> tuple[int, int]:
    """Width and height of what is made of a picture of this size."""
    from hyperrestore.level import Task
    from hyperrestore.run.enlarge import enlarged_size, is_as_large

    if Task.UPSCALE not in tasks or (in_batch and is_as_large(width, height, **sizes)):
        return width, height
    return enlarged_size(width, height, scale=scale, **sizes)[:2]


def _write_report(
    options: argparse.Namespace,
    models: dict[str, str],
    plan: Plan,
    start: float,
    results: Sequence[Report | Failure],
) -> None:
    """Write the report, if one was asked for."""
    from hyperrestore.restore.report import write_report

    if not options.report:
        return
    asked = {name: getattr(options, name) for name in SETTINGS}
    write_report(
        options.report,
        plan.pairs,
        results,
        skipped=plan.skipped,
        unreadable=plan.found.unreadable,
        foreign=plan.found.foreign,
        others=plan.found.others,
        models=models,
        settings={name: str(value) if isinstance(value, Path) else value for name, value in asked.items()},
        seconds=time.perf_counter() - start,
        complete=len(results) == len(plan.pairs) and not plan.found.unreadable,
    )
