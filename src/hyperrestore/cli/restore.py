"""`restore`, `denoise`, `dejpeg` and `upscale`: restored pictures or films, or sheets of several levels."""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperrestore.cli.arguments.restore import check_choice
from hyperrestore.cli.arguments.values import Dial
from hyperrestore.cli.batch import run_plan, sum_up
from hyperrestore.cli.cluster import check_cluster, run_cluster
from hyperrestore.cli.film import run_film, takes_films
from hyperrestore.cli.plan import Plan, check_mask, dotted_suffix, make_plan
from hyperrestore.cli.restorers import load_restorers
from hyperrestore.cli.stream import is_streamed, run_stream
from hyperrestore.errors import UsageError
from hyperrestore.restore.place import StoredPath, place_of

if TYPE_CHECKING:
    from hyperrestore.restore.batch import Failure
    from hyperrestore.restore.file import Success
    from hyperrestore.restore.ledger import Ledger
    from hyperrestore.restore.levels import Level
    from hyperrestore.restore.repair import Repair
    from hyperrestore.restore.restorer import Restorer

ResultSize = Callable[[int, int], tuple[int, int]]  # width and height of a picture -> those of its result

REPAIRED = ("denoise", "dejpeg")  # by `restore`, in this order

# Options that the report contains.
SETTINGS = (
    *("inputs", "out"),
    *("level", "level_map", "softness", "grain", "sweep", "region", "singles"),
    *("restore", "noise", "colour_noise", "jpeg_quality", "strength"),
    *("to_width", "to_height", "long_side"),
    *("shard", "format", "quality", "tile", "device", "precision", "overwrite", "keep_times"),
)


def run_restore(options: argparse.Namespace) -> int:
    """Restore pictures, and return the exit code. Everything that can be checked early is checked first."""
    from hyperrestore.picture.reader import MAX_PIXELS
    from hyperrestore.restore.report import check_report
    from hyperrestore.restore.spool import through_spool

    start = time.perf_counter()
    check_choice(options)
    if takes_films(options):
        return _restore_film(options)
    if options.cluster is not None:
        return _restore_on_cluster(options, start)
    if is_streamed(options):
        return _restore_stored(options, start)
    max_pixels = options.max_pixels or MAX_PIXELS
    plan = make_plan(
        options.inputs,
        options.out,
        suffix=options.format,
        recursive=options.recursive,
        overwrite=options.overwrite,
        skip_existing=options.skip_existing,
        shard=options.shard,
    )
    if plan.is_stored:
        _check_stored(options)
    if options.level_map:
        check_mask(options.level_map, plan.every, max_pixels)
    models = _models(options)
    restorers = load_restorers(models, device=options.device, precision=options.precision)
    make, result_size = _making(options, restorers, is_batch=plan.is_batch, local=plan.local)
    if plan.is_stored:
        make = through_spool(make, size=result_size, overwrite=options.overwrite)
    if options.report:
        check_report(options.report)
    keeps_existing = options.recursive or options.skip_existing
    results = run_plan(
        make,
        plan,
        size=result_size,
        # Where --out is a folder, not the one file.
        make_folders=all(target != place_of(options.out) for _, target in plan.every),
        as_json=options.json,
        finish=functools.partial(_write_report, options, models, plan, start),
    )
    return sum_up(results, plan, keeps_existing=keeps_existing)


def _restore_on_cluster(options: argparse.Namespace, start: float) -> int:
    """Restore a folder on a cluster. What is wrong everywhere is found here, before any worker starts."""
    from hyperrestore.restore.report import check_report

    check_cluster(options)
    (folder,), out = options.inputs, place_of(options.out)
    if isinstance(folder, StoredPath) or isinstance(out, StoredPath):
        _check_stored(options)
    models = _models(options)
    device = options.device if options.device in ("auto", "cpu", "torch") else "auto"  # this machine's
    _making(options, load_restorers(models, device=device, precision=options.precision), is_batch=True)
    if options.report:
        check_report(options.report)
    report = functools.partial(_write_ledger, options, models, start)
    return run_cluster(options, models, functools.partial(on_worker, options), report)


def _restore_stored(options: argparse.Namespace, start: float) -> int:
    """Restore a folder of a storage, or into one, while it is searched."""
    from hyperrestore.picture.reader import MAX_PIXELS
    from hyperrestore.restore.folder import check_format, check_results
    from hyperrestore.restore.own_crew import OwnCrew
    from hyperrestore.restore.report import check_report
    from hyperrestore.restore.spool import through_spool

    _check_stored(options)
    out = place_of(options.out)
    check_format(dotted_suffix(options.format))
    check_results(out, str(out), several="a folder")
    if options.level_map:
        check_mask(options.level_map, [], options.max_pixels or MAX_PIXELS)
    models = _models(options)
    restorers = load_restorers(models, device=options.device, precision=options.precision)
    make, size = _making(options, restorers, is_batch=True)
    if options.report:
        check_report(options.report)
    crew = OwnCrew(through_spool(make, size=size, overwrite=options.overwrite))
    try:
        return run_stream(options, crew, functools.partial(_write_ledger, options, models, start))
    finally:
        crew.end()


def on_worker(options: argparse.Namespace, again: bool) -> tuple[Callable[..., Success], ResultSize]:
    """The function that restores a picture on a machine of a cluster, and the one for the size of its result.

    Args:
        options: Of the command.
        again: Whether the result may exist, finished by a worker that died.

    Raises:
        UsageError: An option does not fit the machine.
        CheckpointError: A model is missing or damaged.
    """
    from hyperrestore.restore.spool import through_spool

    own = argparse.Namespace(**{**vars(options), "overwrite": options.overwrite or again})
    restorers = load_restorers(_models(own), device=own.device, precision=own.precision)
    make, size = _making(own, restorers, is_batch=True)
    return through_spool(make, size=size, overwrite=own.overwrite), size


def _check_stored(options: argparse.Namespace) -> None:
    """Refuse what cannot be done in object storage."""
    for name, given in {"--keep-times": options.keep_times, "--singles": options.singles}.items():
        if given:
            raise UsageError(f"{name} is for pictures and results on this machine; leave it out")


def _restore_film(options: argparse.Namespace) -> int:
    """Restore a film."""
    restorers = load_restorers(_models(options), device=options.device, precision=options.precision)
    return run_film(options, restorers, _repairs(options, restorers))


def _models(options: argparse.Namespace) -> dict[str, str]:
    """By task, in the order in which they repair a picture, the model for it."""
    tasks = (*REPAIRED, *options.tasks) if options.restore else options.tasks
    off = {task for task, dial in _dials(options).items() if dial is not None and dial.is_off}
    if options.colour_noise is None:
        models = {task: task for task in tasks if task not in off}
    else:  # noise of colours has a level of its own in one network for both kinds of damage
        models = {task: task for task in ("photo", *tasks) if task not in REPAIRED}
    return models | ({task: options.model for task in options.tasks} if options.model else {})


def _dials(options: argparse.Namespace) -> dict[str, Dial | None]:
    """How strongly each kind of damage is repaired, by the task; None as for "auto"."""
    return {"denoise": options.noise, "dejpeg": options.jpeg_quality}


def _levels(options: argparse.Namespace, restorers: Sequence[Restorer]) -> Level | tuple[float, float] | None:
    """The levels that are given: of one kind of damage, or by their units."""
    if len(restorers) == 1 and options.level is not None:
        level: float | tuple[float, float] = options.level
        return level
    dials = {
        "sigma": options.noise,
        "noise": options.noise,
        "colour noise": options.colour_noise,
        "quality": options.jpeg_quality,
    }
    given = {
        scale.unit: scale.origin if dial.level is None else dial.level
        for restorer in restorers
        for scale in restorer.scales
        if (dial := dials.get(scale.unit)) is not None and not dial.is_estimated
    }
    if options.level is not None:
        given[restorers[-1].scale.unit] = options.level  # the scale
    return given


def _repairs(options: argparse.Namespace, restorers: Sequence[Restorer]) -> list[Repair]:
    """The repair by each model.

    Levels that the models do not accept are refused here, and extrapolation is warned of, once for all
    pictures.
    """
    from hyperrestore.restore.repair import Size, repairs_of

    return repairs_of(
        restorers,
        _levels(options, restorers),
        level_map=options.level_map,
        softness=options.softness,
        grain=options.grain,
        size=Size(to_width=options.to_width, to_height=options.to_height, long_side=options.long_side),
        strength=1.0 if options.strength is None else options.strength,
        at_least=None if options.noise is None else options.noise.at_least,
    )


def _making(
    options: argparse.Namespace,
    restorers: Sequence[Restorer],
    *,
    is_batch: bool,
    local: Sequence[tuple[Path, Path]] = (),
) -> tuple[Callable[..., Success], ResultSize]:
    """The function that makes a result of a picture, and the one for the size of the result.

    Args:
        options: Of the command.
        restorers: By which the picture is repaired.
        is_batch: Whether it is one of several.
        local: Pictures and results on this machine.
    """
    from hyperrestore.picture.reader import MAX_PIXELS

    max_pixels = options.max_pixels or MAX_PIXELS
    if options.sweep:
        return _making_sheets(options, restorers, local, max_pixels)
    return _restoring(options, restorers, is_batch, max_pixels)


def _restoring(
    options: argparse.Namespace, restorers: Sequence[Restorer], is_batch: bool, max_pixels: int
) -> tuple[Callable[..., Success], ResultSize]:
    """The function that restores a picture, and the one for the size of its result."""
    from hyperrestore.restore.file import repair_file

    repairs = _repairs(options, restorers)
    restore = functools.partial(
        repair_file,
        restorers,
        repairs,
        keep_larger=is_batch,
        keep_times=options.keep_times,
        tile=options.tile,
        quality=options.quality,
        overwrite=options.overwrite,
        max_pixels=max_pixels,
    )
    return restore, functools.partial(repairs[-1].result_size, keep_larger=is_batch)


def _making_sheets(
    options: argparse.Namespace,
    restorers: Sequence[Restorer],
    local: Sequence[tuple[Path, Path]],
    max_pixels: int,
) -> tuple[Callable[..., Success], ResultSize]:
    """The same for a sheet of several levels; it refuses and warns as `_repairs` does."""
    from hyperrestore.restore.sheet import check_singles, repairs_at, sweep_file
    from hyperrestore.run.engine import Region

    region = None
    if options.region:
        left, top, width, height = options.region
        region = Region(left, top, left + width, top + height)
    repairs = repairs_at(restorers[0], options.sweep)
    if options.singles:
        check_singles(local, repairs)
    make_sheet = functools.partial(
        sweep_file,
        restorers[0],
        repairs=repairs,
        region=region,
        singles=options.singles,
        keep_singles=options.recursive or options.skip_existing,
        tile=options.tile,
        quality=options.quality,
        overwrite=options.overwrite,
        max_pixels=max_pixels,
    )
    return make_sheet, lambda width, height: (width, height)


def _write_report(
    options: argparse.Namespace,
    models: dict[str, str],
    plan: Plan,
    start: float,
    results: Sequence[Success | Failure],
) -> None:
    """Write the report, if one was requested."""
    from hyperrestore.restore.report import write_report

    if not options.report:
        return
    write_report(
        options.report,
        plan.pairs,
        results,
        skipped=plan.skipped,
        unreadable=plan.found.unreadable,
        foreign=plan.found.foreign,
        others=plan.found.others,
        models=models,
        settings=_settings(options),
        seconds=time.perf_counter() - start,
        complete=len(results) == len(plan.pairs) and not plan.found.unreadable,
    )


def _write_ledger(
    options: argparse.Namespace, models: dict[str, str], start: float, ledger: Ledger, complete: bool
) -> None:
    """Write the report of a folder that was restored while it was searched, if one was requested."""
    if options.report:
        ledger.write_report(
            options.report,
            models=models,
            settings=_settings(options),
            seconds=time.perf_counter() - start,
            complete=complete,
        )


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The options that the report contains."""
    asked = {name: getattr(options, name) for name in SETTINGS}
    # Shards of one batch agree on them, however the names were typed.
    asked |= {"inputs": [str(place) for place in options.inputs], "out": place_of(options.out)}
    as_text = Path | StoredPath | Dial
    return {name: str(value) if isinstance(value, as_text) else value for name, value in asked.items()}
