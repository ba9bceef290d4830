"""The plots of the page of quality, drawn from its rows."""

from __future__ import annotations

import io
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image
from published import NOISE, PUBLISHED
from quality_records import Record

COLOURS = {"ours": "C3", "int8": "C1", "paper": "C0", "bm3d": "C2", "nlm": "C4"}
MORE_COLOURS = ("C5", "C6", "C8", "C9")  # of models that are given by name
COMPARED = 25  # sigma of the plot over multiply-adds
DRAWN = ("FFDNet", "DRUNet", "Xformer / GRL-B")  # more published curves would hide each other
ZOOM = 1.25  # dB around ours


@dataclass(frozen=True)
class Row:
    """A method's mean scores in one table: a line of the page, a curve of a plot.

    Attributes:
        key: Of the method.
        name: On the page; says so if not all pictures were scored.
        protocol: What all rows of a table have in common.
        run_by: Package or runtime of the method, with its settings.
        count: Number of pictures, the first by name.
        means: By level.
        versions: Of hyperrestore, that measured it.
        pictures: All of the table, in words; what is the same for all its rows.
    """

    key: str
    name: str
    protocol: str
    run_by: str
    count: int
    means: dict[float, Record]
    versions: tuple[str, ...]
    pictures: str


def colours(rows: Sequence[Row]) -> dict[str, str]:
    """A colour for each method."""
    others = dict.fromkeys(one.key for one in rows if one.key not in COLOURS)
    return COLOURS | dict(zip(others, itertools.cycle(MORE_COLOURS), strict=False))


def figure(protocol: str) -> Figure:
    """An empty figure, with pictures and protocol stated below."""
    drawing = Figure(figsize=(8, 5), layout="constrained")
    drawing.supxlabel(textwrap.fill(protocol, 130), fontsize=7, color="dimgrey")
    return drawing


def save(drawing: Figure, path: Path) -> None:
    """Write a PNG of few colours, including rare ones: it is kept with the code and should be small."""
    file = io.BytesIO()
    drawing.savefig(file, format="png", dpi=100)
    with Image.open(file) as picture:
        few = picture.convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE)
        few.save(path, format="PNG", optimize=True)


def draw_sigma(title: str, rows: Sequence[Row], path: Path) -> None:
    """PSNR of the measured methods over sigma, and the difference of each, and of published ones, to ours."""
    ours = {one.count: one.means for one in rows if one.key == "ours"}
    everything = ours[max(ours)]
    drawing = figure(f"{title}. Protocol {rows[0].protocol}")
    colour_of = colours(rows)
    whole, near = drawing.subplots(1, 2, width_ratios=(2, 3))
    published = [one for one in PUBLISHED if one.table == NOISE]
    noisy = [mean.input_psnr for mean in everything.values()]
    whole.plot(list(everything), noisy, ".--", color="grey", label="noisy")
    for one in rows:
        if one.key == "ours" and one.means is not everything:
            continue  # ours on fewer pictures is what peers are compared to
        levels = list(one.means)
        colour = colour_of[one.key]
        whole.plot(levels, [one.means[level].psnr for level in levels], ".-", color=colour, label=one.name)
        base = ours.get(one.count, {})
        levels = [level for level in levels if level in base]
        gains = [one.means[level].psnr - base[level].psnr for level in levels]
        near.plot(levels, gains, ".-", color=colour, label=one.name)
    for other, marker in zip((other for other in published if other.method in DRAWN), "^sv", strict=True):
        levels = [level for level in everything if level in other.psnr]
        gains = [other.psnr[level] - everything[level].psnr for level in levels]
        near.plot(levels, gains, f"{marker}:", color="dimgrey", markerfacecolor="white",
                   label=f"{other.method}, published")  # fmt: skip
    whole.set(xlabel="sigma", ylabel="PSNR, dB")
    near.set(xlabel="sigma", ylabel=f"PSNR minus ours, dB (cut at {ZOOM:g})", ylim=(-ZOOM, ZOOM))
    for axes in (whole, near):
        axes.grid(alpha=0.3)
    labelled = {
        label: line
        for axes in (whole, near)
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    drawing.legend(labelled.values(), labelled.keys(), loc="outside upper center", ncols=4, fontsize=7.5)
    save(drawing, path)


def draw_gain(title: str, unit: str, rows: Sequence[Row], table: str, path: Path) -> None:
    """The gain of measured and published methods over the input at each level."""
    published = [one for one in PUBLISHED if one.table == table]
    note = " Empty marks are published figures, not measured here." if published else ""
    drawing = figure(f"{title}. Protocol {rows[0].protocol}.{note}")
    axes, colour_of = drawing.subplots(), colours(rows)
    inputs = {level: mean.input_psnr for one in rows for level, mean in one.means.items()}
    for one in rows:
        gains = [mean.psnr - mean.input_psnr for mean in one.means.values()]
        axes.plot(list(one.means), gains, ".-", color=colour_of[one.key], label=one.name)
    for other, marker in zip(published, itertools.cycle("^sv<>D"), strict=False):
        levels = [level for level in other.psnr if level in inputs]
        gains = [other.psnr[level] - inputs[level] for level in levels]
        axes.plot(levels, gains, f"{marker}:", color="dimgrey", markerfacecolor="white",
                  label=f"{other.method}, published")  # fmt: skip
    axes.set(xlabel=unit, ylabel="PSNR gained over the input, dB")
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save(drawing, path)


def draw_multiply_adds(title: str, rows: Sequence[Row], millions: Mapping[str, float], path: Path) -> None:
    """PSNR at one sigma over multiply-adds per pixel: filled marks are measured, empty ones published."""
    drawing = figure(
        f"{title}. Protocol {rows[0].protocol}. Empty marks are published figures, not measured here."
    )
    axes, colour_of = drawing.subplots(), colours(rows)
    points = [
        (one.name, millions[one.key], one.means[COMPARED].psnr, colour_of[one.key])
        for one in rows
        if one.key in millions and COMPARED in one.means and one.count == max(row.count for row in rows)
    ]
    points += [(one.method, one.multiply_adds / 1e6, one.psnr[COMPARED], "white")
               for one in PUBLISHED if one.multiply_adds and COMPARED in one.psnr]  # fmt: skip
    for name, cost, psnr, colour in points:
        edge = "dimgrey" if colour == "white" else colour
        axes.scatter(cost, psnr, s=50, color=colour, edgecolor=edge, zorder=2)
        axes.annotate(f"{name}: {psnr:.2f}", (cost, psnr), xytext=(8, 0), textcoords="offset points",
                      va="center", fontsize=8)  # fmt: skip
    ticks = [0.1, 0.2, 0.5, 1, 2, 4]
    axes.set(xscale="log", xlabel="multiply-adds per pixel, millions (logarithmic)",
             ylabel=f"PSNR at sigma {COMPARED}, dB", xlim=(ticks[0], ticks[-1]))  # fmt: skip
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.margins(y=0.2)
    axes.grid(alpha=0.3)
    save(drawing, path)
