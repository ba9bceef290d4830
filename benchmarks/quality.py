"""Quality on clean photos: ours, the paper's network, BM3D and non-local means -> RESULTS.md and two plots.

    python benchmarks/quality.py CBSD68 --paper MODEL.safetensors --cache scores.jsonl
    python benchmarks/quality.py CBSD68 --paper MODEL.safetensors --also 'ours, equal steps=MODEL.safetensors'
    python benchmarks/quality.py --choose-nlm PHOTOS     # how the strength of non-local means was chosen

All methods see the same noisy pictures and are scored by the same code, `hyperrestore.evaluate`. BM3D needs
much time: with `--cache` everything is measured once, and an interruption loses nothing.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from peers import NLM_LEVELS, PEERS, PUBLISHED, Peer, choose_nlm
from peers import measure as score
from quality_plots import COMPARED, draw_multiply_adds, draw_sigma

from hyperrestore import Restorer, __version__
from hyperrestore.backends import Precision, load_network
from hyperrestore.checkpoint import Description, load_checkpoint, write_atomically
from hyperrestore.degrade import Protocol
from hyperrestore.errors import CheckpointError, ExtrapolationWarning
from hyperrestore.evaluate import Evaluated, Evaluation, Score, find_pictures
from hyperrestore.hyper import materialize
from hyperrestore.networks import count_parameters, multiply_adds
from hyperrestore.quantize import weights_digest
from hyperrestore.restorer import MODELS

NAMES = {
    "ours": "ours", "int8": "ours in int8", "paper": "the paper's network", "bm3d": "BM3D",
    "nlm": "non-local means",
}  # fmt: skip
INSTALL = "pip install bm3d opencv-python-headless"
LEVELS, GREY_LEVELS = (5, 10, 15, 25, 35, 50, 75, 80, 90), (15, 25, 50)


class Model(Restorer):
    """A model that knows the fingerprint of its weights."""

    digest: str

    @classmethod
    def read(cls, path: Path, *, precision: Precision = "auto") -> Model:
        """Load a model."""
        model = cls.load(path, precision=precision)
        model.digest = weights_digest(path)
        return model


@dataclass(frozen=True)
class Table:
    """What one table of the page is about."""

    protocol: Protocol
    grey: bool

    @property
    def name(self) -> str:
        """As on the command line."""
        return f"{self.protocol}-{'grey' if self.grey else 'colour'}"


TABLES = {
    table.name: table
    for table in (Table(protocol, grey) for grey in (False, True) for protocol in ("standard", "hyperres"))
}


@dataclass(frozen=True)
class Row:
    """A method's mean scores in one table.

    Attributes:
        key: Of `NAMES`; of any other model its name.
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


def identity_of(denoiser: Evaluated) -> str:
    """All that the results of a denoiser depend on."""
    name = denoiser.at(LEVELS[0], bits=8).name
    return f"{denoiser.digest}, {name}" if isinstance(denoiser, Model) else name


def measure(
    denoisers: dict[str, Evaluated], pictures: Sequence[Path], table: Table, options: argparse.Namespace
) -> list[Row]:
    """All rows of one table; ours a second time where peers are measured on fewer pictures."""
    levels = [level for level in options.levels if level in GREY_LEVELS or not table.grey]
    few, total, rows = pictures[: options.peers_pictures], len(pictures), []
    for key, denoiser in denoisers.items() if levels else ():
        print(f"{table.name}: {name_of(key)}", file=sys.stderr, flush=True)
        peer = isinstance(denoiser, Peer)
        scores = score(
            denoiser, identity_of(denoiser), few if peer else pictures, levels, protocol=table.protocol,
            grey=table.grey, cache=options.cache, only_cached=options.cached and peer,
        )  # fmt: skip
        rows.append(row(key, scores, len(few) if peer else total, total))
        if key == "ours" and len(few) < total:
            rows.append(row(key, scores, len(few), total))
    if len(protocols := {one.protocol for one in rows if one.means}) > 1:
        raise SystemExit(f"the methods were scored by different protocols: {' / '.join(protocols)}")
    return rows


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
    yield f"## {'Grey' if table.grey else 'Colour'}, protocol {table.protocol}"
    yield f"{inputs.count} pictures. Protocol {inputs.protocol}."
    yield "\n".join(f"- {one.name}: {one.run_by or 'not measured yet'}" for one in rows)
    head = [f"{level:g}" for level in numbers]
    noisy = line("noisy", inputs, lambda score: f"{score.input_psnr:.2f}")
    yield grid(["PSNR in dB at sigma", *head], [noisy, *psnr])
    yield grid(["SSIM at sigma", *head], ssim)


@dataclass(frozen=True)
class Cost:
    """What a model costs, counted on the model itself."""

    stored: int
    generated: int
    multiply_adds: float
    description: Description


def cost(path: Path) -> Cost:
    """Count a model's parameters, and multiply-adds per pixel."""
    checkpoint = load_checkpoint(path)
    network, scale = load_network(checkpoint), checkpoint.description.scale
    plain = materialize(network, scale.reference)
    return Cost(
        count_parameters(network), count_parameters(plain), multiply_adds(plain), checkpoint.description
    )


def costs_text(costs: dict[str, Cost]) -> str:
    """The table of networks."""
    head = ["network", "stored parameters", "of which one level generates", "multiply-adds per pixel",
            "receptive radius, pixels", "trained for sigma", "steps"]  # fmt: skip
    lines = (
        [name_of(key), f"{one.stored:,}", f"{one.generated:,}", f"{one.multiply_adds / 1e6:.3f} M",
         f"{one.description.halo}", "{:g} to {:g}".format(*one.description.scale.trained),
         f"{one.description.history.get('steps', '-')}"]
        for key, one in costs.items()
    )  # fmt: skip
    return grid(head, lines)


def published_text() -> Iterator[str]:
    """The rows that were not measured."""
    levels = sorted({level for one in PUBLISHED for level in one.psnr})
    yield "## Published, not measured here"
    yield (
        "CBSD68, colour, PSNR in dB: figures that are in circulation for these methods, not checked here. "
        "Their protocol: Gaussian noise in floating point and not clipped, scored on RGB, no border cropped, "
        "result rounded to 8 bits; noise of their own. Multiply-adds per pixel are counted from the "
        "structure where that is plain convolutions."
    )
    head = [
        "method",
        "method's publication",
        "parameters",
        "one network for all levels",
        "multiply-adds per pixel",
    ]
    lines = (
        [one.method, one.source, one.parameters, "yes" if one.one_network else "no",
         f"{one.multiply_adds / 1e6:.3f} M" if one.multiply_adds else "-",
         *(f"{one.psnr[level]:.2f}" if level in one.psnr else "-" for level in levels)]
        for one in PUBLISHED
    )  # fmt: skip
    yield grid([*head, *map(str, levels)], lines)


def page(
    options: argparse.Namespace, costs: dict[str, Cost], left_out: list[str], tables: dict[str, list[Row]]
) -> Iterator[str]:
    """The paragraphs of the page; the plots are drawn on the way."""
    title = options.pictures.name
    yield f"# Quality on {title}"
    yield (
        f"Generated by `benchmarks/quality.py` with hyperrestore {__version__}; not to be edited. All "
        "measured methods see the same noisy pictures and are scored by the same code."
    )
    if costs:
        yield "## Networks"
        yield costs_text(costs)
        yield "Beyond the sigmas that it was trained for a network extrapolates."
    if left_out:
        yield "Left out:"
        yield "\n".join(f"- {line}" for line in left_out)
    standard = tables.get("standard-colour", [])
    if any(one.key == "ours" for one in standard):
        draw_sigma(f"{title}, colour", standard, options.output / "psnr-vs-sigma.png")
        yield "![PSNR against sigma](psnr-vs-sigma.png)"
        if COMPARED in standard[0].means:
            draw_multiply_adds(
                f"{title}, colour", standard, costs, options.output / "psnr-vs-multiply-adds.png"
            )
            yield "![PSNR against multiply-adds per pixel](psnr-vs-multiply-adds.png)"
    for name, rows in tables.items():
        if any(one.means for one in rows):
            yield from scores_text(TABLES[name], rows)
    if any(one.key == "nlm" for rows in tables.values() for one in rows):
        yield (
            "The strength of non-local means is the best of several on photos that training holds out, by "
            f"the mean PSNR over sigma {', '.join(map(str, NLM_LEVELS))}: "
            "`python benchmarks/quality.py --choose-nlm PHOTOS`."
        )
    yield from published_text()


def load(options: argparse.Namespace) -> tuple[dict[str, Evaluated], dict[str, Cost], list[str]]:
    """The methods that were asked for and are to be had, what they cost, and a line on each other one."""
    denoisers: dict[str, Evaluated] = {}
    costs, left_out = {}, []
    for key, name in NAMES.items():
        path = {"ours": options.model, "paper": options.paper}.get(key)
        if key not in options.only.split(","):
            left_out.append(f"{name}: not asked for (`--only {options.only}`)")
        elif path:
            denoisers[key], costs[key] = Model.read(path), cost(path)
        elif key == "int8":
            try:
                denoisers[key] = Model.read(options.model, precision="int8")
            except CheckpointError:
                left_out.append(f"{name}: no ranges for these weights (`hyperrestore calibrate`)")
        elif key == "paper":
            left_out.append(f"{name}: no trained model of it was given (`--paper MODEL.safetensors`)")
        else:
            try:
                denoisers[key] = PEERS[key]()
            except ImportError:
                left_out.append(f"{name}: not installed (`{INSTALL}`)")
    for entry in options.also:
        name, _, path = entry.rpartition("=")
        denoisers[name], costs[name] = Model.read(Path(path)), cost(Path(path))
    return denoisers, costs, left_out


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page and its plots."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="?", type=Path, help="folder of clean pictures")
    parser.add_argument("--model", type=Path, default=MODELS / "denoise.safetensors", help="ours")
    parser.add_argument("--paper", type=Path, help="a model trained by recipes/paper-denoise.toml")
    parser.add_argument(
        "--also", nargs="+", default=[], metavar="NAME=MODEL", help="rows of any other models"
    )
    parser.add_argument("--only", default=",".join(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--levels", nargs="+", type=float, default=list(LEVELS), help="some of the sigmas")
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
    if not options.pictures:
        parser.error("give a folder of clean pictures")
    warnings.simplefilter("ignore", ExtrapolationWarning)  # the page says which levels were trained
    pictures = find_pictures(options.pictures)
    denoisers, costs, left_out = load(options)
    for line in left_out:
        print(line, file=sys.stderr)
    tables = {name: measure(denoisers, pictures, TABLES[name], options) for name in options.tables}
    text = list(page(options, costs, left_out, tables))
    write_atomically(options.output / "RESULTS.md", ("\n\n".join(text) + "\n").encode())


if __name__ == "__main__":
    main()
