"""Quality on clean photos, for every task: ours, the paper's network and others -> records, page and plots.

    python benchmarks/quality.py TEST --paper MODEL.safetensors --cache scores.jsonl
    python benchmarks/quality.py TEST --task upscale --also 'ours, equal steps=MODEL'
    python benchmarks/quality.py TEST --task denoise --only ours,int8 --keep    # after a new training
    python benchmarks/quality.py                         # the page and its plots, from the records
    python benchmarks/quality.py --choose-nlm PHOTOS     # how the strength of non-local means was chosen

TEST is a folder that holds the folders CBSD68, LIVE1, Classic5, Set5 and Set14, or some of them. All methods
see the same degraded pictures and are scored by the same code, `hyperrestore.measure.evaluate`. BM3D takes
long. With `--cache` everything is measured once (models once for each version), and an interruption loses
nothing.

Each task has a file of records, benchmarks/results/TASK.json, from which docs/quality.md is made. Tasks that
were not measured stay as they are. With `--keep`, so do records of methods that were not measured, marked
with the version that measured them, and levels of other packages, so that these can be measured a few levels
at a time. Records hold a digest of the pictures; kept records of other pictures are rejected. Records that
another run writes meanwhile for other tasks stay; of two runs of one task the last wins.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from machine import cpu_name
from peers import choose_nlm
from quality_measure import check_kept, measure, to_measure
from quality_methods import Loaded, Missing, load
from quality_page import IMAGES, page, plots
from quality_records import Cost, Record, Results, path_of, read_results, write_results
from quality_tables import HEADINGS, NAMES, TABLES, name_of
from real_records import read_real
from score_cache import Cache, Source

from hyperrestore import __version__
from hyperrestore.atomic import write_atomically
from hyperrestore.errors import ExtrapolationWarning
from hyperrestore.level import Task
from hyperrestore.network.checkpoint import read_description

RECORDS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"
REAL = "real.json"  # beside the records of the tasks, written by real.py


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("test", nargs="?", type=Path, help="folder of folders of clean pictures")
    parser.add_argument(
        "--model", nargs="+", type=Path, default=[], help="replaces our built-in model of its task"
    )
    parser.add_argument(
        "--paper", nargs="+", type=Path, default=[],
        help="models trained by recipes/paper-*.toml",
    )  # fmt: skip
    parser.add_argument("--also", nargs="+", default=[], metavar="NAME=MODEL", help="additional models")
    parser.add_argument("--only", default=",".join(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument(
        "--task", nargs="+", choices=list(HEADINGS), default=list(HEADINGS), help="only these sections"
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--levels", nargs="+", type=float, help="only these of the tables' levels")
    parser.add_argument("--peers-pictures", type=int, metavar="N", help="peers on the first N pictures only")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="file that keeps every score")
    parser.add_argument("--cached", action="store_true", help="take peers only from the cache")
    parser.add_argument(
        "--keep", action="store_true", help="keep the records of methods that are not measured"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER",
        help="folder for records, page and plots, instead of benchmarks/results, docs and docs/images",
    )  # fmt: skip
    parser.add_argument("--choose-nlm", type=Path, metavar="PHOTOS", help="try strengths of non-local means")
    options = parser.parse_args(arguments)
    options.records, options.docs = options.output or RECORDS, options.output or DOCS
    check_names(parser, options)
    check_models(parser, options)
    return options


def check_names(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse unknown methods and names shared by two rows; split `--also` into pairs."""
    if unknown := set(options.only.split(",")) - NAMES.keys():
        parser.error(f"--only knows {','.join(NAMES)}, not {','.join(sorted(unknown))}")
    if nameless := [entry for entry in options.also if not entry.rpartition("=")[0]]:
        parser.error(f"--also needs NAME=MODEL, not {nameless[0]}")
    options.also = [(name, Path(path)) for name, _, path in (entry.rpartition("=") for entry in options.also)]
    for name, _ in options.also:
        if name in (*NAMES, *NAMES.values()) or "|" in name or ", first " in name or not name.isprintable():
            parser.error(f"--also needs a name that no method has, without '|' and ', first ', not {name!r}")


def check_models(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse several models of one task under one name."""
    given = [("--model", path) for path in options.model] + [("--paper", path) for path in options.paper]
    given += [(f"--also {name}", path) for name, path in options.also]
    places = [(option, read_description(path).task) for option, path in given]
    for option, task in places:
        if places.count((option, task)) > 1:
            parser.error(f"{option} gives several models of the task {task}; give one")


def leave_out_absent(options: argparse.Namespace) -> list[Missing]:
    """The tables whose pictures the folder holds, and a line on each missing set."""
    options.tables = [name for name in options.tables if TABLES[name].task in options.task]
    absent = sorted(
        {TABLES[name].photos for name in options.tables if not (options.test / TABLES[name].photos).is_dir()}
    )
    options.tables = [name for name in options.tables if TABLES[name].photos not in absent]
    if not options.tables:
        raise SystemExit(
            f"{options.test} holds no folder {' or '.join(absent) or 'of these tables and tasks'}"
        )
    return [
        Missing(task, f"{name}: no such folder of pictures")
        for name in absent
        for task in sorted({table.task for table in TABLES.values() if table.photos == name})
    ]


def measure_task(
    task: Task, loaded: Loaded, kept: Results | None, cache: Cache, options: argparse.Namespace
) -> Results | None:
    """All results of a task after measuring what was requested; None if there are none."""
    records: list[Record] = []
    protocols: dict[str, str] = {}
    for table in TABLES.values():
        if table.task != task:
            continue
        asked = to_measure(loaded.methods, table, options)
        earlier = [one for one in kept.records if one.table == table.name] if kept else []
        before = kept.protocols.get(table.name) if kept else None
        found, protocol = measure(asked, table, cache, earlier, options, protocol=before)
        records += found
        if protocol:
            protocols[table.name] = protocol
    if not records:
        return None
    networks: dict[str, Cost] = {one.method: one for one in kept.networks} if kept else {}
    networks |= {one.method: one for its_task, one in loaded.costs if its_task == task}
    there = tuple(f"{name_of(one.method)}:" for one in records)
    lines = (one.line for one in loaded.missing if one.task in (None, task))
    left_out = tuple(line for line in lines if not line.startswith(there))
    return Results(__version__, protocols, tuple(networks.values()), left_out, tuple(records))


def measure_all(options: argparse.Namespace) -> list[Task]:
    """Measure what was requested, and write a file for each task; return the tasks that have results."""
    absent = leave_out_absent(options)
    loaded = load(options, __version__)
    loaded.missing.extend(absent)
    for missing in loaded.missing:
        print(missing.line, file=sys.stderr)
    tasks = [task for task in HEADINGS if any(TABLES[name].task == task for name in options.tables)]
    kept = {task: read_results(path_of(options.records, task)) if options.keep else None for task in tasks}
    for table in TABLES.values():
        results = kept.get(table.task)
        if results and (asked := to_measure(loaded.methods, table, options)):
            check_kept([one for one in results.records if one.table == table.name], asked, table, options)
    cache = Cache(options.cache, Source(__version__, cpu_name()))
    measured = {task: measure_task(task, loaded, kept[task], cache, options) for task in tasks}
    for task, results in measured.items():
        if results:
            write_results(path_of(options.records, task), results)
    return [task for task, results in measured.items() if results]


def write_page(records: Path, docs: Path, drawn: Sequence[Task]) -> None:
    """Write the page from all records, and the plots of some tasks."""
    found = {task: read_results(path_of(records, task)) for task in HEADINGS}
    results = {task: one for task, one in found.items() if one}
    (docs / IMAGES).mkdir(parents=True, exist_ok=True)
    for task in drawn:
        for plot in plots(task, results[task]) if task in results else ():
            plot.draw(docs / IMAGES / plot.name)
    write_atomically(docs / "quality.md", page(results, read_real(records / REAL)).encode())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write records, page and plots."""
    options = parse(arguments)
    if options.choose_nlm:
        choose_nlm(options.choose_nlm)
        return
    drawn = list(HEADINGS)
    if options.test:
        warnings.simplefilter("ignore", ExtrapolationWarning)  # the page says which levels were trained
        drawn = measure_all(options)
    write_page(options.records, options.docs, drawn)


if __name__ == "__main__":
    main()
