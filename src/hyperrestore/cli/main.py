"""The commands: what a person asked for -> a call of the library; texts for people, exit codes for scripts.

Exit codes: 0 done, 1 some pictures failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import os
import shlex
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hyperrestore.cli.arguments import parser
from hyperrestore.errors import ExtrapolationWarning, HyperrestoreError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from hyperrestore.detect.findings import Findings
    from hyperrestore.level import Task
    from hyperrestore.restore.batch import Failure
    from hyperrestore.restore.file import Report
    from hyperrestore.restore.folder import Inputs
    from hyperrestore.restore.restorer import Restorer

ResultSize = Callable[[int, int], tuple[int, int]]  # of a picture -> of what becomes of it: width and height

# Everything else is imported where it is used: `hyperrestore --help` answers at once.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; None for the real ones.

    Returns:
        The exit code.
    """
    try:
        options = parser().parse_args(arguments)
        with _stopped_like_ctrl_c(), _warnings_in_a_line():
            return COMMANDS[options.command](options)
    except HyperrestoreError as error:
        _say(f"error: {error}")
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has stopped, as `head` does. What Python still holds for it goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder without permission
        where = "" if error.filename is None else f"{error.filename}: "
        _say(f"error: {where}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130


# --- What the user reads ----------------------------------------------------------------------------


def _say(text: str) -> None:
    """One line on stderr, whatever line breaks and control characters the name of a file holds."""
    with _beside_the_bar():
        print(f"hyperrestore: {_printable(text)}", file=sys.stderr)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _put(text: str) -> None:
    """Data on stdout, at once."""
    with _beside_the_bar():
        try:
            print(text, flush=True)
        except UnicodeEncodeError:  # the name of a file that is no text here: the bytes it has on the disk
            sys.stdout.buffer.write(os.fsencode(text + "\n"))
            sys.stdout.flush()


@contextmanager
def _progress(label: str) -> Iterator[Callable[..., None]]:
    """A bar on stderr, if that is a terminal; it is gone in the end."""
    from tqdm import tqdm

    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    # The time left comes from the mean speed since the start: pictures differ too much for the latest.
    with tqdm(
        total=1, desc=label, bar_format=form, smoothing=0, leave=False, disable=None, file=sys.stderr
    ) as bar:

        def show(done: float, total: float, label: str = label) -> None:
            bar.total = total
            if not bar.disable and bar.desc != label:
                bar.set_description_str(label)
            bar.update(done - bar.n)

        yield show


def _beside_the_bar() -> AbstractContextManager[None]:
    """Take a bar off the terminal while a line is written to it."""
    tqdm = sys.modules.get("tqdm")
    return tqdm.tqdm.external_write_mode() if tqdm else nullcontext()


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("always", ExtrapolationWarning)
        warnings.showwarning = lambda message, *place: _say(f"warning: {message}")
        yield


@contextmanager
def _stopped_like_ctrl_c() -> Iterator[None]:
    """Let whoever terminates us, or closes the terminal, leave as little behind as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


# --- The commands -----------------------------------------------------------------------------------


def _load(model: str, options: argparse.Namespace) -> Restorer:
    from hyperrestore.restore.restorer import Restorer

    return Restorer.load(model, device=options.device, precision=options.precision)


def _restore(options: argparse.Namespace) -> int:
    from hyperrestore.restore.batch import Failure, restore_files
    from hyperrestore.restore.report import check_report

    start = time.perf_counter()
    _check_choice(options)
    plan = _plan(options)
    restorers = _load_all(options)
    restore, result_size = _restoring(restorers, plan, options)
    if options.report:
        check_report(options.report)
    labels = [
        f"{number}/{len(plan.pairs)} {_printable(source.name)}"
        if len(plan.pairs) > 1
        else _printable(source.name)
        for number, (source, _) in enumerate(plan.pairs, 1)
    ]
    results: list[Report | Failure] = []
    try:
        with _progress(labels[0] if labels else "") as show:
            made = restore_files(
                restore,
                plan.pairs,
                size=result_size,
                # Where --out is a folder, not the one file.
                make_folders=all(target != Path(options.out) for _, target in plan.pairs),
                progress=lambda index, share: show(share, 1, labels[index]),
            )
            with closing(made):
                for result in made:
                    results.append(result)
                    if isinstance(result, Failure):
                        _say(f"error: {result.error}")
                        continue
                    for note in result.notes:
                        _say(f"{result.source}: {note}")
                    _put(json.dumps(asdict(result)) if options.json else result.target)
    finally:
        if options.report:
            _write_report(options, plan, results, time.perf_counter() - start)
    failed = [result.error for result in results if isinstance(result, Failure)]
    _sum_up(results, plan, options)
    if plan.found.unreadable or (plan.is_batch and failed):
        return 1
    return failed[0].exit_code if failed else 0


class _Plan(NamedTuple):
    """Which files are made of which.

    Attributes:
        pairs: Picture and result, of those that are to be made.
        skipped: The same, of those that are kept.
        found: All that was found among the inputs.
    """

    pairs: list[tuple[Path, Path]]
    skipped: list[tuple[Path, Path]]
    found: Inputs

    @property
    def is_batch(self) -> bool:
        """Whether several pictures, or a folder, were given."""
        return self.found.in_folder or len(self.found.pictures) > 1


def _plan(options: argparse.Namespace) -> _Plan:
    """Find the pictures and name their results; what can be refused before a model is loaded is refused."""
    from hyperrestore.picture.file import remove_leftovers
    from hyperrestore.restore.folder import find_inputs, plan_targets

    suffix = None if options.format is None else f".{options.format.lower().removeprefix('.')}"
    found = find_inputs(options.inputs, out=Path(options.out), recursive=options.recursive)
    pairs = plan_targets(found.pictures, options.out, suffix=suffix, in_folder=found.in_folder)
    for folder in found.unreadable:
        _say(f"error: {folder}: cannot read this folder")
    if sum(remove_leftovers(folder) for folder in {target.parent for _, target in pairs}):
        _say("removed what killed processes had left of unfinished pictures")
    skipped = [] if options.overwrite else _skipped(pairs, options)
    kept = set(skipped)
    pairs = [pair for pair in pairs if pair not in kept]
    if options.level_map:
        _check_mask(options.level_map, pairs, _max_pixels(options))
    return _Plan(pairs, skipped, found)


def _load_all(options: argparse.Namespace) -> list[Restorer]:
    """Load a model for each task."""
    restorers = [_load(model, options) for model in _models(options).values()]
    for restorer, task in zip(restorers, options.tasks, strict=True):
        if restorer.task != task:
            raise UsageError(f"{options.model}: is a model for {restorer.task}, not for {task}")
    return restorers


def _restoring(
    restorers: Sequence[Restorer], plan: _Plan, options: argparse.Namespace
) -> tuple[Callable[..., Report], ResultSize]:
    """What makes a file of a file, a sheet of several levels or the restored picture; and how large that is.

    What the models do not accept is refused here, and what they extrapolate is said, once for all pictures.
    """
    common: dict[str, Any] = {
        "tile": options.tile,
        "quality": options.quality,
        "overwrite": options.overwrite,
        "max_pixels": _max_pixels(options),
    }
    if options.sweep:
        from hyperrestore.restore.sheet import check_singles, repairs_at, sweep_file
        from hyperrestore.run.engine import Region

        region = None
        if options.region:
            left, top, width, height = options.region
            region = Region(left, top, left + width, top + height)
        sweep = repairs_at(restorers[0], options.sweep)
        if options.singles:
            check_singles(plan.pairs, sweep)
        keep_singles = options.recursive or options.skip_existing
        return functools.partial(
            sweep_file, restorers[0], repairs=sweep, region=region, singles=options.singles,
            keep_singles=keep_singles, **common,
        ), lambda width, height: (width, height)  # fmt: skip
    from hyperrestore.restore.file import repair_file
    from hyperrestore.restore.repair import Size, repairs_of

    repairs = repairs_of(
        restorers,
        options.level,
        level_map=options.level_map,
        softness=options.softness,
        grain=options.grain,
        size=Size(**_sizes(options)),
    )
    size = functools.partial(repairs[0].result_size, keep_larger=plan.is_batch)
    return functools.partial(
        repair_file, restorers, repairs, keep_larger=plan.is_batch, keep_times=options.keep_times, **common
    ), size


def _models(options: argparse.Namespace) -> dict[str, str]:
    """By task, the model that was asked for."""
    return {task: options.model or task for task in options.tasks}


def _sizes(options: argparse.Namespace) -> dict[str, Any]:
    """Sizes that were asked for, instead of a scale."""
    return {name: getattr(options, name) for name in ("to_width", "to_height", "long_side")}


def _max_pixels(options: argparse.Namespace) -> int:
    from hyperrestore.picture.file import MAX_PIXELS

    return int(options.max_pixels or MAX_PIXELS)


def _write_report(
    options: argparse.Namespace, plan: _Plan, results: Sequence[Report | Failure], seconds: float
) -> None:
    from hyperrestore.restore.report import write_report

    words = ("level", "level_map", "softness", "grain", "sweep", "region", "singles", *_sizes(options),
             "format", "quality", "tile", "device", "precision", "overwrite", "keep_times")  # fmt: skip
    write_report(
        options.report,
        plan.pairs,
        results,
        skipped=plan.skipped,
        unreadable=plan.found.unreadable,
        foreign=plan.found.foreign,
        others=plan.found.others,
        models=_models(options),
        settings={
            word: str(value) if isinstance(value := getattr(options, word), Path) else value for word in words
        },
        seconds=seconds,
        complete=len(results) == len(plan.pairs) and not plan.found.unreadable,
    )


def _sum_up(results: Sequence[Report | Failure], plan: _Plan, options: argparse.Namespace) -> None:
    """Say at the end of a batch what became of it; each failure was told when it came."""
    from hyperrestore.errors import DiskFullError
    from hyperrestore.restore.batch import Failure
    from hyperrestore.restore.closing import count_results

    failed = [result.error for result in results if isinstance(result, Failure)]
    left = len(plan.pairs) - len(results)
    if left and any(isinstance(error, DiskFullError) for error in failed):
        again = "" if options.recursive or options.skip_existing else " with --skip-existing"
        full = f"the disk is full: {left} more were not begun; make room and give the command again{again}"
    else:
        full = None
    if plan.found.in_folder:
        _say_what_is_not_read(plan.found)
        foreign, others = len(plan.found.foreign), plan.found.others
        _say(count_results(results, skipped=len(plan.skipped), left=left, foreign=foreign, others=others))
    elif len(plan.pairs) > 1 and failed:
        _say(f"{len(failed)} of {len(plan.pairs)} pictures failed")
    if full:
        _say(full)


def _say_what_is_not_read(found: Inputs) -> None:
    from hyperrestore.picture.kinds import name_foreign

    if found.foreign:
        _say(f"not read: {name_foreign(found.foreign)}")


def _check_choice(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other before anything is read."""
    two = isinstance(options.level, tuple)
    if options.level_map and not two:
        raise UsageError("--level-map needs two levels, where it is black and where it is white: as -l 0:40")
    if two and not options.level_map:
        raise UsageError("two levels need a mask that says where each is taken: give --level-map MASK")
    if options.sweep and (options.level is not None or options.grain):
        raise UsageError("--sweep takes its levels instead of -l, --level-map and --grain; give only one")
    if options.sweep and options.keep_times:
        raise UsageError("--keep-times is for restored pictures, not for sheets: leave it out, or --sweep")
    if not options.sweep and (options.region or options.singles):
        raise UsageError("--region and --singles are for a sheet: give --sweep LEVEL,...")


def _check_mask(mask: Path, pairs: Sequence[tuple[Path, Path]], max_pixels: int) -> None:
    """Refuse a mask that cannot be read, or that a batch would replace while others need it."""
    from hyperrestore.run.level_map import level_rows

    level_rows(mask, height=1, width=1, black=0, white=1, max_pixels=max_pixels)
    place = os.path.realpath(mask)
    if len(pairs) > 1 and any(os.path.realpath(target) == place for _, target in pairs):
        raise UsageError(f"{mask}: the mask would be replaced by a result; write to another folder")


def _skipped(pairs: Sequence[tuple[Path, Path]], options: argparse.Namespace) -> list[tuple[Path, Path]]:
    """The pictures whose results are there already, and are kept."""
    from hyperrestore.restore.folder import find_finished

    if not (options.recursive or options.skip_existing):
        existing = [target for _, target in pairs if target.is_file()]
        if existing:
            others = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
            raise UsageError(
                f"{min(existing)}{others}: exists already; give --overwrite, --skip-existing or another "
                "output"
            )
        return []
    finished, older = find_finished(pairs)
    if finished or options.skip_existing:
        _say(f"{len(finished)} of {len(pairs)} pictures exist already")
    if older:
        _say(
            f"warning: {min(older)}{f' and {len(older) - 1} more' if len(older) > 1 else ''}: older than the "
            "picture that it is made of, and kept; --overwrite makes all anew"
        )
    return finished


def _inspect(options: argparse.Namespace) -> int:
    from hyperrestore.detect.findings import inspect
    from hyperrestore.picture.file import MAX_PIXELS
    from hyperrestore.restore.closing import tabulate_findings
    from hyperrestore.restore.folder import find_inputs

    found = find_inputs(options.inputs, out=None, recursive=options.recursive)
    for folder in found.unreadable:
        _say(f"error: {folder}: cannot read this folder")
    failed: list[HyperrestoreError] = []
    inspected: list[tuple[str, Findings, dict[Task, float]]] = []
    for source, _ in found.pictures:
        try:
            findings = inspect(source, max_pixels=options.max_pixels or MAX_PIXELS)
        except HyperrestoreError as error:
            failed.append(error)
            _say(f"error: {error}")
            continue
        levels = _applied(findings.levels)
        _put_findings(source, findings, levels, as_json=options.json)
        inspected.append((_printable(str(source)), findings, levels))
    if found.in_folder:
        if not options.json and inspected:
            _put("\n".join(["", *tabulate_findings(inspected)]))
        _say_what_is_not_read(found)
        damaged = sum(bool(levels) for *_, levels in inspected)
        foreign = f", {len(found.foreign)} not read" if found.foreign else ""
        _say(
            f"{damaged} to repair, {len(inspected) - damaged} with nothing to repair, {len(failed)} failed"
            f"{foreign}, {found.others} not pictures"
        )
    return 1 if failed or found.unreadable else 0


def _applied(levels: dict[Task, float]) -> dict[Task, float]:
    """The levels at which `restore` repairs what was found: its models' nearest."""
    from hyperrestore.network.checkpoint import read_description
    from hyperrestore.restore.restorer import model_path

    return {
        task: read_description(model_path(task)).scale.nearest_trained(level)
        for task, level in levels.items()
    }


def _put_findings(source: Path, findings: Findings, levels: dict[Task, float], *, as_json: bool) -> None:
    """Say what was found in a picture, and which command repairs it."""
    from hyperrestore.level import Task

    tasks = " and ".join(f"{task} at {level:g}" for task, level in levels.items())
    name = f"./{source}" if str(source).startswith("-") else str(source)
    command = f"hyperrestore restore {shlex.quote(name)} -o restored/" if tasks else None
    if as_json:
        _put(json.dumps({"source": str(source), **asdict(findings), "levels": levels, "command": command}))
        return
    _put(_printable(str(source)))
    for task in (Task.DENOISE, Task.DEJPEG):
        _put(f"  {task}: {findings.sentence(task)}")
    if command and command.isprintable():
        _put(f"  {command}  # {tasks}")
    else:
        _put(f"  repair: {tasks}" if tasks else "  nothing to repair")


def _web(options: argparse.Namespace) -> int:
    from hyperrestore.web.server import serve

    try:
        serve(host=options.host, port=options.port, browser=not options.no_open)
    except KeyboardInterrupt:  # how it ends
        _say("stopped; the temporary files are removed")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from hyperrestore.measure.evaluate import FORMATS, USUAL_LEVELS, check_plot, evaluate, find_pictures, plot
    from hyperrestore.run.engine import TILE

    if options.format not in FORMATS:
        raise UsageError(f"format {options.format!r} is unknown; known are {', '.join(FORMATS)}")
    pictures = find_pictures(options.folder)
    if options.plot:
        check_plot(options.plot)
    restorer = _load(options.model, options)
    with _progress(f"{len(pictures)} pictures") as show:
        evaluation = evaluate(
            restorer,
            pictures,
            options.levels or USUAL_LEVELS[restorer.task],
            protocol=options.protocol,
            grey=options.grey,
            seed=options.seed,
            softness=options.softness,
            told=options.told_softness,
            tile=options.tile or TILE,
            progress=show,
        )
    _put(FORMATS[options.format](evaluation))
    if options.plot:
        plot(evaluation, options.plot, unit=restorer.scale.unit)
    return 0


def _train(options: argparse.Namespace) -> int:
    exporters = () if options.no_export else ("onnx", "onnxscript")
    for module in ("torch", "matplotlib", *exporters):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(f"training needs {module}: pip install 'hyperrestore[torch]'")
    from hyperrestore.learn.recipe import read_recipe
    from hyperrestore.learn.train import MODEL, choose_device, train

    recipe = read_recipe(options.recipe)
    out = options.out or Path("runs") / options.recipe.stem
    train(
        recipe,
        options.data,
        out,
        minutes=options.minutes,
        steps=options.steps,
        stop_after=options.stop_after,
        device=choose_device(options.device),
        bf16=None if options.precision == "auto" else options.precision == "bf16",
        resume=options.resume,
        start_from=options.start_from,
    )
    if not options.no_export:
        from hyperrestore.run.export import export_onnx

        export_onnx(out / MODEL)
    _put(str(out / MODEL))
    return 0


def _export(options: argparse.Namespace) -> int:
    from hyperrestore.run.export import export_onnx

    _put(str(export_onnx(options.model)))
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("torch") is None:  # where photos are found for training, too
        raise MissingExtraError("calibrating needs torch: pip install 'hyperrestore[torch]'")
    from hyperrestore.learn.calibrate import calibrate
    from hyperrestore.learn.photos import find_photos, split_photos
    from hyperrestore.network.checkpoint import read_description
    from hyperrestore.run.int8 import save_ranges
    from hyperrestore.run.openvino import OpenVINOModel

    model = OpenVINOModel(options.model, read_description(options.model))
    training, _ = split_photos(find_photos(options.data))
    ranges = calibrate(model, [file.path for file in training])
    _put(str(save_ranges(options.model, ranges)))
    return 0


COMMANDS = {
    "restore": _restore,
    "inspect": _inspect,
    "denoise": _restore,
    "dejpeg": _restore,
    "upscale": _restore,
    "web": _web,
    "evaluate": _evaluate,
    "train": _train,
    "export": _export,
    "calibrate": _calibrate,
}


if __name__ == "__main__":
    sys.exit(main())
