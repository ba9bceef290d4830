"""Quality on clean photos: ours against the paper's network, BM3D and non-local means; writes RESULTS.md.

    python benchmarks/quality.py CBSD68 --paper MODEL.safetensors --peers-cache peers.jsonl
    python benchmarks/quality.py --choose-nlm PHOTOS     # how the strength of non-local means was chosen

All methods see the same noisy pictures and are scored by the same code, `hyperrestore.evaluate`. BM3D and
OpenCV are no dependencies: what is not installed is left out, and the page says so. BM3D takes half a minute
for a picture, so scores of peers are kept in a file, one line each, as soon as they are there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import textwrap
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hyperrestore import Restorer, __version__
from hyperrestore.backends import load_network
from hyperrestore.checkpoint import load_checkpoint, write_atomically
from hyperrestore.degrade import Protocol
from hyperrestore.engine import Pixels
from hyperrestore.errors import ExtrapolationWarning
from hyperrestore.evaluate import Denoiser, Evaluation, Score, evaluate, find_pictures
from hyperrestore.hyper import materialize
from hyperrestore.metrics import to_8bit
from hyperrestore.networks import count_parameters, multiply_adds
from hyperrestore.photos import find_photos, split_photos
from hyperrestore.restorer import MODELS

METHODS = {"ours": "ours", "paper": "paper's network", "bm3d": "BM3D", "nlm": "non-local means"}
COLOUR_LEVELS, GREY_LEVELS = (5, 10, 15, 25, 35, 50, 75, 80, 90), (15, 25, 50)
INSTALL = "pip install bm3d opencv-python-headless"

# Strength of non-local means for each sigma: (h, hColor) of colour, h of grey. Chosen by --choose-nlm.
NLM_COLOUR, NLM_GREY = (0.7, 0.6), 0.9
NLM_CANDIDATES = [(h, chroma) for h in (0.5, 0.6, 0.7, 0.8) for chroma in (0.4, 0.6, 0.8)]
NLM_GREY_CANDIDATES = (0.8, 0.85, 0.9, 0.95, 1.0, 1.1)
NLM_LEVELS = (5, 15, 25, 50, 75)


@dataclass(frozen=True)
class Table:
    """What one table of the page is about."""

    protocol: Protocol
    grey: bool

    @property
    def title(self) -> str:
        """Heading, and the table's name on the command line."""
        return f"{self.protocol}-{'grey' if self.grey else 'colour'}"


TABLES = [Table(protocol, grey) for grey in (False, True) for protocol in ("standard", "hyperres")]


@dataclass(frozen=True)
class WholePicture:
    """A Backend that is any function of a picture: its halo makes every window the whole picture."""

    name: str
    restore: Callable[[Pixels], Pixels]
    halo: int = 10**6
    multiple: int = 1

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a picture (c, h, w)."""
        return self.restore(window).astype(np.float32)


@dataclass(frozen=True)
class Peer:
    """A denoiser of another package, in the form that `evaluate` takes.

    Attributes:
        name: What runs it: package, version and all that its result depends on.
        restore: Picture (c, h, w) and sigma -> restored picture.
    """

    name: str
    restore: Callable[[Pixels, float], Pixels]

    def at(self, level: float, *, bits: int) -> WholePicture:
        """The denoiser for one sigma."""
        return WholePicture(self.name, partial(self.restore, sigma=level))


def bm3d_peer() -> Peer:
    """BM3D with its own defaults, on one thread: on several its results vary slightly."""
    bm3d = importlib.import_module("bm3d")
    profile = bm3d.BM3DProfile()
    profile.num_threads = 1

    def restore(picture: Pixels, sigma: float) -> Pixels:
        if len(picture) == 1:
            return np.asarray(bm3d.bm3d(picture[0], sigma / 255, profile)).reshape(picture.shape)
        restored: Pixels = bm3d.bm3d_rgb(picture.transpose(1, 2, 0), sigma / 255, profile)
        return restored.transpose(2, 0, 1)

    return Peer(f"bm3d {version('bm3d')} with bm4d {version('bm4d')}, default profile", restore)


def nlm_peer(colour: tuple[float, float] = NLM_COLOUR, grey: float = NLM_GREY) -> Peer:
    """Non-local means of OpenCV, which takes and gives 8 bits."""
    cv2 = importlib.import_module("cv2")

    def restore(picture: Pixels, sigma: float) -> Pixels:
        stored = np.rint(to_8bit(picture) * 255).astype(np.uint8)
        if len(picture) == 1:
            return cv2.fastNlMeansDenoising(stored[0], None, grey * sigma, 7, 21)[None] / np.float32(255)
        blue_first = np.ascontiguousarray(stored[::-1].transpose(1, 2, 0))
        strengths = (strength * sigma for strength in colour)
        restored = cv2.fastNlMeansDenoisingColored(blue_first, None, *strengths, 7, 21)
        return restored.transpose(2, 0, 1)[::-1] / np.float32(255)

    strengths = f"h {colour[0]:g} sigma and hColor {colour[1]:g} sigma, grey h {grey:g} sigma"
    name = f"OpenCV {cv2.__version__}, windows of 7 and 21 pixels, {strengths}, the noisy picture in 8 bits"
    return Peer(name, restore)


@dataclass(frozen=True)
class Published:
    """A row of figures that others published; nothing of it is measured here."""

    method: str
    source: str
    parameters: str
    one_network: bool
    psnr: dict[float, float]
    multiply_adds: float | None = None


# Multiply-adds per pixel, counted from the published structures: kernel * (channels in * channels out), summed
# over the convolutions, over the square of the stride at which they run. All without attention.
FFDNET = 9 * (13 * 96 + 10 * 96 * 96 + 96 * 12) / 4  # 12 convolutions at half resolution
CDNCNN = 9 * (3 * 64 + 18 * 64 * 64 + 64 * 3)  # 20 convolutions, as 0.67 M parameters say; 17 have 0.56 M
BRDNET = 2 * 9 * (3 * 64 + 15 * 64 * 64 + 64 * 3) + 9 * 6 * 3  # two branches of 17, then one
# DRUNet: 4 residual blocks of two convolutions at 64, 128, 256 channels down and up, and at 512 in the middle,
# 2x2 convolutions between them, head and tail. Each of the three finer resolutions costs the same.
DRUNET = 9 * (4 * 64 + 64 * 3) + 3 * 16 * 9 * 64**2 + 8 * 9 * 512**2 / 64 + 6 * 4 * 64 * 128 / 4
PUBLISHED = [
    Published("CBM3D", "Dabov et al., ICIP 2007; scores from arXiv 1710.04026", "-", True,
              {15: 33.52, 25: 30.71, 35: 28.89, 50: 27.38, 75: 25.74}),
    Published("FFDNet", "arXiv 1710.04026", "0.85 M", True,
              {15: 33.87, 25: 31.21, 35: 29.58, 50: 27.96, 75: 26.24}, FFDNET),
    Published("CDnCNN-S", "arXiv 1608.03981", "0.67 M each", False,
              {15: 33.99, 25: 31.31, 35: 29.66, 50: 28.01}, CDNCNN),
    Published("BRDNet", "Tian, Xu and Zuo, Neural Networks 121, 2020", "about 1.1 M each", False,
              {15: 34.10, 25: 31.43, 50: 28.16}, BRDNET),
    Published("InstructIR-3D", "arXiv 2401.16468", "15.8 M", True, {15: 34.15, 25: 31.52, 50: 28.30}),
    Published("GRL-T", "arXiv 2303.00748", "0.88 M each", False, {15: 34.30, 25: 31.66, 50: 28.45}),
    Published("DRUNet", "arXiv 2008.13751", "32.6 M", True, {15: 34.30, 25: 31.69, 50: 28.51}, DRUNET),
    Published("GRL-S", "arXiv 2303.00748", "3.12 M each", False, {15: 34.36, 25: 31.72, 50: 28.51}),
    Published("Xformer / GRL-B", "arXiv 2303.06440 / 2303.00748", "25 M / 20 M each", False,
              {15: 34.45, 25: 31.82, 50: 28.63}),
]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A method's mean scores in one table.

    Attributes:
        key: Of `METHODS`.
        name: For people, with the number of pictures where it is not all of them.
        protocol: What is the same for all rows of the table.
        run_by: What ran the method.
        count: Number of pictures, the first by name.
        means: By level; a level whose pictures are not all measured is missing.
    """

    key: str
    name: str
    protocol: str
    run_by: str
    count: int
    means: dict[float, Score]


def read_cache(path: Path | None) -> dict[str, Evaluation]:
    """The scores of peers that are already there, by `cache_key`."""
    lines = path.read_text().splitlines() if path and path.exists() else []
    entries = map(json.loads, lines)
    return {entry["key"]: Evaluation(entry["protocol"], (Score(**entry["score"]),)) for entry in entries}


def cache_key(peer: Peer, table: Table, level: float, picture: Path) -> str:
    """All that a peer's score depends on: package version, strength, protocol, level, the picture's bytes."""
    return f"{peer.name} | {table.title} | {level:g} | {picture.name} {zlib.crc32(picture.read_bytes()):08x}"


def measure_peer(
    peer: Peer, pictures: Sequence[Path], levels: Sequence[float], table: Table, cache: Path | None, stored: bool
) -> Evaluation:
    """Score a peer, picture by picture; each score is kept at once, so that an interruption loses nothing."""
    known, found = read_cache(cache), []
    for level in levels:
        keys = {cache_key(peer, table, level, picture): picture for picture in pictures}
        for key in [] if stored else [key for key in keys if key not in known]:
            known[key] = evaluate(peer, [keys[key]], [level], protocol=table.protocol, grey=table.grey)
            if cache:
                entry = {"key": key, "protocol": known[key].protocol, "score": asdict(known[key].scores[0])}
                with cache.open("a") as file:
                    file.write(json.dumps(entry) + "\n")
        if known.keys() >= keys.keys():  # a mean over some of the pictures would be another figure
            found += [known[key] for key in keys]
    protocols = {one.protocol for one in found}
    if len(protocols) > 1:
        raise SystemExit(f"{cache}: holds scores of several protocols; delete it: {' / '.join(protocols)}")
    return Evaluation("".join(protocols), tuple(score for one in found for score in one.scores))


def row(key: str, evaluation: Evaluation, count: int, total: int) -> Row:
    """The means over the first pictures."""
    names = list(dict.fromkeys(score.picture for score in evaluation.scores))[:count]
    scores = tuple(score for score in evaluation.scores if score.picture in names)
    protocol, _, run_by = evaluation.protocol.rpartition("; ")
    name = METHODS[key] if count == total else f"{METHODS[key]}, first {count} pictures"
    means = {mean.level: mean for mean in Evaluation(evaluation.protocol, scores).means()}
    return Row(key, name, protocol, run_by, count, means)


def measure(
    denoisers: dict[str, Denoiser], pictures: Sequence[Path], table: Table, options: argparse.Namespace
) -> list[Row]:
    """All rows of one table."""
    levels = [level for level in options.levels if level in GREY_LEVELS or not table.grey]
    few, total, rows = pictures[: options.peers_pictures], len(pictures), []
    peers = any(isinstance(denoiser, Peer) for denoiser in denoisers.values())
    for key, denoiser in denoisers.items():
        print(f"{table.title}: {METHODS[key]}", file=sys.stderr, flush=True)
        if isinstance(denoiser, Peer):
            scores = measure_peer(denoiser, few, levels, table, options.peers_cache, options.cached)
            rows.append(row(key, scores, len(few), total))
            continue
        scores = evaluate(denoiser, pictures, levels, protocol=table.protocol, grey=table.grey)
        rows.append(row(key, scores, total, total))
        if key == "ours" and peers and len(few) < total:
            rows.append(row(key, scores, len(few), total))
    rows = [one for one in rows if one.means]
    if len(protocols := {one.protocol for one in rows}) > 1:
        raise SystemExit(f"the methods were scored by different protocols: {' / '.join(protocols)}")
    return rows


def grid(head: Iterable[object], lines: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    head = list(head)
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in (head, ["---"] * len(head), *lines))


def scores_text(table: Table, rows: Sequence[Row], levels: Sequence[float]) -> Iterator[str]:
    """A table's protocol, what ran each method, PSNR and SSIM."""
    levels = [level for level in levels if any(level in one.means for one in rows)]
    kind = "grey" if table.grey else "colour"
    yield f"## Measured: {kind}, protocol {table.protocol}"
    if not levels:
        yield "Nothing was measured."
        return
    inputs = rows[0]
    yield f"Protocol {inputs.protocol}."
    yield "\n".join(f"- {one.name}: {one.run_by}" for one in rows)
    yield "PSNR in dB by sigma; a dash was not measured."

    def line(name: str, one: Row, show: Callable[[Score], str]) -> list[str]:
        return [name, *(show(one.means[level]) if level in one.means else "-" for level in levels)]

    numbers = [f"{level:g}" for level in levels]
    noisy = line(f"noisy input of {inputs.name}", inputs, lambda score: f"{score.input_psnr:.2f}")
    yield grid(
        ["PSNR, dB", *numbers],
        [noisy, *(line(one.name, one, lambda score: f"{score.psnr:.2f}") for one in rows)],
    )
    yield grid(
        ["SSIM", *numbers], [line(one.name, one, lambda score: f"{score.ssim:.4f}") for one in rows]
    )


def network_line(name: str, path: Path) -> list[object]:
    """What a model costs, counted on the model itself."""
    checkpoint = load_checkpoint(path)
    network = load_network(checkpoint)
    plain, description = materialize(network, 25.0), checkpoint.description
    low, high = description.scale.trained
    return [name, f"{count_parameters(network):,}", f"{count_parameters(plain):,}",
            f"{multiply_adds(plain) / 1e6:.3f} M", f"{description.halo} pixels", f"{low:g} to {high:g}",
            description.history.get("steps", "-")]  # fmt: skip
