"""`inspect`: what is wrong with pictures, and which command repairs it."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

from hyperrestore.cli.output import printable, put, say
from hyperrestore.cli.plan import say_what_is_not_read
from hyperrestore.errors import HyperrestoreError

if TYPE_CHECKING:
    from hyperrestore.detect.findings import Findings
    from hyperrestore.level import Task
    from hyperrestore.restore.place import Place


def run_inspect(options: argparse.Namespace) -> int:
    """Report what is wrong with pictures, and return the exit code."""
    from hyperrestore.detect.findings import inspect
    from hyperrestore.picture.reader import MAX_PIXELS
    from hyperrestore.restore.closing import tabulate_findings
    from hyperrestore.restore.folder import find_inputs
    from hyperrestore.restore.spool import fetched

    found = find_inputs(options.inputs, out=None, recursive=options.recursive)
    for folder in found.unreadable:
        say(f"error: {folder}: cannot read this folder")
    failed: list[HyperrestoreError] = []
    inspected: list[tuple[str, Findings, dict[Task, float]]] = []
    for source, _ in found.pictures:
        try:
            with fetched(source) as file:
                findings = inspect(file, max_pixels=options.max_pixels or MAX_PIXELS)
        except HyperrestoreError as error:
            failed.append(error)
            say(f"error: {error}")
            continue
        levels = _applied(findings.levels)
        _put_findings(source, findings, levels, as_json=options.json)
        inspected.append((printable(str(source)), findings, levels))
    if found.in_folder:
        if not options.json and inspected:
            put("\n".join(["", *tabulate_findings(inspected)]))
        say_what_is_not_read(found)
        damaged = sum(bool(levels) for *_, levels in inspected)
        foreign = f", {len(found.foreign)} not read" if found.foreign else ""
        say(
            f"{damaged} to repair, {len(inspected) - damaged} with nothing to repair, {len(failed)} failed"
            f"{foreign}, {found.others} not pictures"
        )
    return 1 if failed or found.unreadable else 0


def _applied(levels: dict[Task, float]) -> dict[Task, float]:
    """The levels at which `restore` repairs what was found: the nearest that its models were trained for."""
    from hyperrestore.network.checkpoint import read_description
    from hyperrestore.restore.restorer import model_path

    return {
        task: read_description(model_path(task)).scale.nearest_trained(level)
        for task, level in levels.items()
    }


def _put_findings(source: Place, findings: Findings, levels: dict[Task, float], *, as_json: bool) -> None:
    """Report what was found in a picture, and which command repairs it."""
    from hyperrestore.level import Task

    tasks = " and ".join(f"{task} at {level:g}" for task, level in levels.items())
    name = f"./{source}" if str(source).startswith("-") else str(source)
    command = f"hyperrestore restore {shlex.quote(name)} -o restored/" if tasks else None
    if as_json:
        put(json.dumps({"source": str(source), **asdict(findings), "levels": levels, "command": command}))
        return
    put(printable(str(source)))
    for task in (Task.DENOISE, Task.DEJPEG):
        put(f"  {task}: {findings.sentence(task)}")
    if command and command.isprintable():
        put(f"  {command}  # {tasks}")
    else:
        put(f"  repair: {tasks}" if tasks else "  nothing to repair")
