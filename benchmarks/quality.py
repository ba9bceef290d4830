"""Quality on clean photos, for every task: ours, the paper's network and others -> RESULTS.md and plots.

    python benchmarks/quality.py TEST --paper MODEL.safetensors --cache scores.jsonl
    python benchmarks/quality.py TEST --tables Set5-standard-colour --also 'ours, equal steps=MODEL'
    python benchmarks/quality.py --choose-nlm PHOTOS     # how the strength of non-local means was chosen

TEST is a folder that holds the folders CBSD68, LIVE1, Classic5, Set5 and Set14, or some of them. All methods
see the same degraded pictures and are scored by the same code, `hyperrestore.evaluate`. BM3D needs much time:
with `--cache` everything is measured once, and an interruption loses nothing.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from peers import COLOUR, NLM_LEVELS, NOISE, PEERS, PUBLISHED, Cache, Published, choose_nlm
from peers import measure as score
from quality_plots import draw_gain, draw_multiply_adds, draw_sigma

from hyperrestore import Restorer, __version__
from hyperrestore.backends import Precision, load_network
from hyperrestore.checkpoint import Description, load_checkpoint, read_description, write_atomically
from hyperrestore.degrade import Protocol
from hyperrestore.errors import CheckpointError, ExtrapolationWarning
from hyperrestore.evaluate import Evaluated, Evaluation, Score, find_pictures
from hyperrestore.hyper import materialize
from hyperrestore.level import Task
from hyperrestore.networks import count_parameters, multiply_adds
from hyperrestore.quantize import weights_digest
from hyperrestore.restorer import MODELS

NAMES = {
    "ours": "ours", "int8": "ours in int8", "paper": "the paper's network", "bm3d": "BM3D",
    "nlm": "non-local means",
}  # fmt: skip
INSTALL = "pip install bm3d opencv-python-headless"


@dataclass(frozen=True)
class Table:
    """What one table of the page is about."""

    task: Task
    photos: str
    protocol: Protocol
    grey: bool
    levels: tuple[float, ...]

    @property
    def name(self) -> str:
        """As on the command line."""
        return f"{self.photos}-{self.protocol}-{'grey' if self.grey else 'colour'}"

    @property
    def pictures(self) -> str:
        """What is degraded, on the page."""
        return f"{self.photos}, {'grey' if self.grey else 'colour'}"


SIGMAS, SOME_SIGMAS = (5, 10, 15, 25, 35, 50, 75, 80, 90), (15, 25, 50)
QUALITIES = (10, 20, 30, 40)
TABLES = {
    table.name: table
    for table in (
        Table(Task.DENOISE, "CBSD68", "standard", False, SIGMAS),
        Table(Task.DENOISE, "CBSD68", "hyperres", False, SIGMAS),
        Table(Task.DENOISE, "CBSD68", "standard", True, SOME_SIGMAS),
        Table(Task.DENOISE, "CBSD68", "hyperres", True, SOME_SIGMAS),
        Table(Task.DEJPEG, "LIVE1", "standard", False, tuple(range(5, 100, 5))),
        Table(Task.DEJPEG, "LIVE1", "standard", True, QUALITIES),
        Table(Task.DEJPEG, "Classic5", "standard", True, QUALITIES),
        Table(Task.DEJPEG, "LIVE1", "hyperres", True, QUALITIES),
        Table(Task.UPSCALE, "Set5", "standard", False, (2, 3, 4)),
        Table(Task.UPSCALE, "Set14", "standard", False, (1.3, 1.5, 2, 2.5, 2.7, 3, 3.5, 4, 5, 6)),
        Table(Task.UPSCALE, "Set5", "hyperres", False, (2, 3, 4, 5)),
    )
}
HEADINGS = {Task.DENOISE: "Denoising", Task.DEJPEG: "JPEG repair", Task.UPSCALE: "Upscaling"}
UNITS = {Task.DENOISE: "sigma", Task.DEJPEG: "quality", Task.UPSCALE: "scale"}


@dataclass(frozen=True)
class Method:
    """What is measured.

    Attributes:
        key: Of `NAMES`; of any other model its name.
        restorer: What restores.
        identity: All that its results depend on.
        peer: Whether it is of another package.
    """

    key: str
    restorer: Evaluated
    identity: str
    peer: bool = False

    @classmethod
    def of_model(cls, key: str, path: Path, *, precision: Precision = "auto") -> Method:
        """A model."""
        restorer = Restorer.load(path, precision=precision)
        run_by = restorer.at(restorer.scale.reference, bits=8).name
        return cls(key, restorer, f"{weights_digest(path)}, {run_by}")


@dataclass(frozen=True)
class Row:
    """A method's mean scores in one table.

    Attributes:
        key: Of the method.
        name: For people; says so where it is not of all pictures.
        protocol: What is the same for all rows of a table.
        run_by: What ran the method, and how.
        count: Number of pictures, the first by name.
        means: By level.
    """

    key: str
    name: str
    protocol: str
    run_by: str
    count: int
    means: dict[float, Score]


def name_of(key: str) -> str:
    """What a method is called on the page."""
    return NAMES.get(key, key)


def row(key: str, evaluation: Evaluation, count: int, total: int) -> Row:
    """The means over the first `count` pictures."""
    names = list(dict.fromkeys(score.picture for score in evaluation.scores))[:count]
    scores = tuple(score for score in evaluation.scores if score.picture in names)
    protocol, _, run_by = evaluation.protocol.removesuffix(", seconds for a megapixel").rpartition("; ")
    name = name_of(key) if count == total else f"{name_of(key)}, first {count} pictures"
    means = {mean.level: mean for mean in Evaluation(evaluation.protocol, scores).means()}
    return Row(key, name, protocol, run_by, count, means)


def measure(methods: Sequence[Method], table: Table, cache: Cache, options: argparse.Namespace) -> list[Row]:
    """All rows of one table; ours a second time where peers are measured on fewer pictures."""
    methods = [method for method in methods if method.restorer.task == table.task]
    levels = [level for level in table.levels if options.levels is None or level in options.levels]
    if not methods or not levels:
        return []
    pictures = find_pictures(options.test / table.photos)
    few, total, rows = pictures[: options.peers_pictures], len(pictures), []
    peers = any(method.peer for method in methods)
    for method in methods:
        print(f"{table.name}: {name_of(method.key)}", file=sys.stderr, flush=True)
        scores = score(
            method.restorer, method.identity, few if method.peer else pictures, levels, cache,
            protocol=table.protocol, grey=table.grey, only_cached=options.cached and method.peer,
        )  # fmt: skip
        rows.append(row(method.key, scores, len(few) if method.peer else total, total))
        if method.key == "ours" and peers and len(few) < total:
            rows.append(row(method.key, scores, len(few), total))
    if len(protocols := {one.protocol for one in rows if one.means}) > 1:
        raise SystemExit(f"the methods were scored by different protocols: {' / '.join(protocols)}")
    return [one for one in rows if one.means]


def grid(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def scores_text(table: Table, rows: Sequence[Row]) -> Iterator[str]:
    """A table's protocol, what ran each method, PSNR and SSIM; a dash was not measured."""
    numbers = sorted({level for one in rows for level in one.means})

    def line(name: str, one: Row, show: Callable[[Score], str]) -> list[str]:
        return [name, *(show(one.means[level]) if level in one.means else "-" for level in numbers)]

    inputs = max(rows, key=lambda one: (one.count, len(one.means)))
    psnr = [line(one.name, one, lambda score: f"{score.psnr:.2f}") for one in rows]
    ssim = [line(one.name, one, lambda score: f"{score.ssim:.4f}") for one in rows]
    yield f"### {table.pictures}, protocol {table.protocol}"
    yield f"{inputs.count} pictures. Protocol {inputs.protocol}."
    yield "\n".join(f"- {one.name}: {one.run_by}" for one in rows)
    head, unit = [f"{level:g}" for level in numbers], UNITS[table.task]
    degraded = line("input", inputs, lambda score: f"{score.input_psnr:.2f}")
    yield grid([f"PSNR in dB at {unit}", *head], [degraded, *psnr])
    yield grid([f"SSIM at {unit}", *head], ssim)
    if published := [one for one in PUBLISHED if one.table == table.name]:
        yield from published_text(table, published)


@dataclass(frozen=True)
class Cost:
    """What a model costs, counted on the model itself."""

    stored: int
    generated: int
    multiply_adds: float
    description: Description


Costs = dict[tuple[Task, str], Cost]  # by task and method


def cost(path: Path) -> Cost:
    """Count a model's parameters, and multiply-adds per pixel."""
    checkpoint = load_checkpoint(path)
    network, scale = load_network(checkpoint), checkpoint.description.scale
    plain = materialize(network, scale.reference)
    return Cost(
        count_parameters(network), count_parameters(plain), multiply_adds(plain), checkpoint.description
    )


def costs_text(costs: Costs) -> str:
    """The table of networks."""
    head = ["network", "task", "stored parameters", "of which one level generates", "multiply-adds per pixel",
            "receptive radius, pixels", "trained for", "steps"]  # fmt: skip
    lines = (
        [name_of(key), one.description.task.value, f"{one.stored:,}", f"{one.generated:,}",
         f"{one.multiply_adds / 1e6:.3f} M", f"{one.description.halo}",
         "{} {:g} to {:g}".format(one.description.scale.unit, *one.description.scale.trained),
         f"{one.description.history.get('steps', '-')}"]
        for (_, key), one in costs.items()
    )  # fmt: skip
    return grid(head, lines)


def published_text(table: Table, published: Sequence[Published]) -> Iterator[str]:
    """The rows that were not measured."""
    levels = sorted({level for one in published for level in one.psnr})
    yield (
        "Published, not measured here: figures that are in circulation for these methods, not checked here. "
        f"{PUBLISHED_PROTOCOL[table.task]} Multiply-adds, for a pixel of the result, are counted from the "
        "structure where that is plain convolutions."
    )
    head = ["method", "publication", "parameters", "one network for all levels", "multiply-adds per pixel"]
    lines = (
        [one.method, one.source, one.parameters, "yes" if one.one_network else "no",
         f"{one.multiply_adds / 1e6:.3f} M" if one.multiply_adds else "-",
         *(f"{one.psnr[level]:.2f}" if level in one.psnr else "-" for level in levels)]
        for one in published
    )  # fmt: skip
    yield grid([*head, *map(str, levels)], lines)


PUBLISHED_PROTOCOL = {
    Task.DENOISE: "Their protocol: Gaussian noise in floating point and not clipped, scored on RGB, no "
    "border cropped, result rounded to 8 bits; noise of their own.",
    Task.DEJPEG: "Their protocol is that of the table, as far as it is known.",
    Task.UPSCALE: "Their protocol: bicubic input of MATLAB, scored on studio-range luminance, a border of "
    "the scale cropped.",
}


def page(
    options: argparse.Namespace, costs: Costs, left_out: list[str], tables: dict[str, list[Row]]
) -> Iterator[str]:
    """The paragraphs of the page; the plots are drawn on the way."""
    yield "# Quality"
    yield (
        f"Generated by `benchmarks/quality.py` with hyperrestore {__version__}; not to be edited. All "
        "measured methods see the same degraded pictures and are scored by the same code."
    )
    if costs:
        yield "## Networks"
        yield costs_text(costs)
        yield "Beyond the levels that it was trained for a network extrapolates."
    if left_out:
        yield "Left out:"
        yield "\n".join(f"- {line}" for line in left_out)
    for task, heading in HEADINGS.items():
        of_task = {name: rows for name, rows in tables.items() if TABLES[name].task == task and rows}
        if of_task:
            yield f"## {heading}"
            yield from plots(task, of_task, costs, options.output)
        for name, rows in of_task.items():
            yield from scores_text(TABLES[name], rows)
        if any(one.key == "nlm" for rows in of_task.values() for one in rows):
            yield (
                "The strength of non-local means is the best of several on photos that training holds out, "
                f"by the mean PSNR over sigma {', '.join(map(str, NLM_LEVELS))}: "
                "`python benchmarks/quality.py --choose-nlm PHOTOS`."
            )


def plots(task: Task, tables: dict[str, list[Row]], costs: Costs, output: Path) -> Iterator[str]:
    """Draw the plots of a task that the measured tables allow, and refer to them."""
    if task == Task.DENOISE and (rows := tables.get(NOISE)) and rows[0].key == "ours":
        title = TABLES[NOISE].pictures
        draw_sigma(title, rows, output / "psnr-vs-sigma.png")
        yield "![PSNR against sigma](psnr-vs-sigma.png)"
        millions = {
            key: one.multiply_adds / 1e6 for (one_task, key), one in costs.items() if one_task == task
        }
        if draw_multiply_adds(title, rows, millions, output / "psnr-vs-multiply-adds.png"):
            yield "![PSNR against multiply-adds per pixel](psnr-vs-multiply-adds.png)"
    name = {Task.DEJPEG: COLOUR, Task.UPSCALE: "Set14-standard-colour"}.get(task, "")
    if rows := tables.get(name):
        unit = UNITS[task]
        draw_gain(TABLES[name].pictures, unit, rows, name, output / f"gain-vs-{unit}.png")
        yield f"![PSNR gained over the input against {unit}](gain-vs-{unit}.png)"


def load(options: argparse.Namespace) -> tuple[list[Method], Costs, list[str]]:
    """The methods that were asked for and are to be had, what they cost, and a line on each other one."""
    methods: list[Method] = []
    costs: Costs = {}
    left_out = []
    asked = options.only.split(",")
    left_out += [
        f"{NAMES[key]}: not asked for (`--only {options.only}`)" for key in NAMES if key not in asked
    ]

    def add(key: str, path: Path) -> None:
        method = Method.of_model(key, path)
        methods.append(method)
        costs[method.restorer.task, key] = cost(path)

    ours = {task: MODELS / f"{task}.safetensors" for task in Task}
    ours |= {read_description(path).task: path for path in options.model}
    wanted = {TABLES[name].task for name in options.tables}
    for task, path in ours.items() if "ours" in asked else ():
        if task in wanted:
            add("ours", path)
    for task, path in ours.items() if "int8" in asked else ():
        if task in wanted:
            try:
                methods.append(Method.of_model("int8", path, precision="int8"))
            except CheckpointError:
                left_out.append(
                    f"{NAMES['int8']}, {task}: no ranges for these weights (`hyperrestore calibrate`)"
                )
    if "paper" in asked:
        for path in options.paper:
            add("paper", path)
        for task in sorted(wanted - {task for task, key in costs if key == "paper"}):
            left_out.append(
                f"{NAMES['paper']}, {task}: no trained model of it was given (`--paper MODEL.safetensors`)"
            )
    for key in PEERS if Task.DENOISE in wanted else ():
        if key in asked:
            try:
                peer = PEERS[key]()
                methods.append(Method(key, peer, peer.name, peer=True))
            except ImportError:
                left_out.append(f"{NAMES[key]}: not installed (`{INSTALL}`)")
    for entry in options.also:
        name, _, path = entry.rpartition("=")
        add(name, Path(path))
    return methods, costs, left_out


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page and its plots."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("test", nargs="?", type=Path, help="folder of folders of clean pictures")
    parser.add_argument(
        "--model", nargs="+", type=Path, default=[], help="ours, instead of the built-in model of its task"
    )
    parser.add_argument(
        "--paper",
        nargs="+",
        type=Path,
        default=[],
        help="models trained by recipes/paper-denoise.toml and alike",
    )
    parser.add_argument(
        "--also", nargs="+", default=[], metavar="NAME=MODEL", help="rows of any other models"
    )
    parser.add_argument("--only", default=",".join(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--levels", nargs="+", type=float, help="only these of the tables' levels")
    parser.add_argument("--peers-pictures", type=int, metavar="N", help="peers on the first N pictures only")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="keeps every score")
    parser.add_argument("--cached", action="store_true", help="take peers only from the cache")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder of the results")
    parser.add_argument("--choose-nlm", type=Path, metavar="PHOTOS", help="try strengths of non-local means")
    options = parser.parse_args(arguments)
    if options.choose_nlm:
        return choose_nlm(options.choose_nlm)
    if unknown := set(options.only.split(",")) - NAMES.keys():
        parser.error(f"--only knows {','.join(NAMES)}, not {','.join(sorted(unknown))}")
    if nameless := [entry for entry in options.also if not entry.rpartition("=")[0]]:
        parser.error(f"--also needs NAME=MODEL, not {nameless[0]}")
    if not options.test:
        parser.error("give a folder that holds folders of clean pictures")
    absent = sorted(
        {TABLES[name].photos for name in options.tables if not (options.test / TABLES[name].photos).is_dir()}
    )
    options.tables = [name for name in options.tables if TABLES[name].photos not in absent]
    if not options.tables:
        parser.error(f"{options.test} holds no folder {' or '.join(absent)}")
    warnings.simplefilter("ignore", ExtrapolationWarning)  # the page says which levels were trained
    methods, costs, left_out = load(options)
    left_out += [f"{name}: no such folder of pictures" for name in absent]
    for line in left_out:
        print(line, file=sys.stderr)
    cache = Cache(options.cache)
    tables = {name: measure(methods, TABLES[name], cache, options) for name in options.tables}
    text = list(page(options, costs, left_out, tables))
    write_atomically(options.output / "RESULTS.md", ("\n\n".join(text) + "\n").encode())


if __name__ == "__main__":
    main()
