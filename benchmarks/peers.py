"""Other methods: BM3D and non-local means in the form that `evaluate` takes, and figures of published ones.

BM3D and OpenCV are no dependencies; they are imported when they are asked for. Scores of the same weights or
version never change, so they are kept, with the version of hyperrestore that measured them.
"""

from __future__ import annotations

import importlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from hyperrestore.arrays import Pixels
from hyperrestore.learn.photos import find_photos, split_photos
from hyperrestore.level import Task
from hyperrestore.measure.degrade import Protocol
from hyperrestore.measure.evaluate import Evaluated, NamedBackend, evaluate
from hyperrestore.measure.metrics import to_8bit
from hyperrestore.measure.scores import Evaluation, Score

# Strength of non-local means, over sigma: h and hColor of colour pictures, h of grey ones; by `choose_nlm`.
NLM_COLOUR, NLM_GREY = (0.6, 0.6), 0.9
NLM_LEVELS = (5, 15, 25, 50)
NLM_CANDIDATES = [(h, chroma) for h in (0.5, 0.6, 0.7) for chroma in (0.6, 0.7, 0.8)]
NLM_GREY_CANDIDATES = (0.8, 0.9, 1.0, 1.1)
UNKNOWN_VERSION = "of an earlier version"  # caches did not always say which


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
    """A denoiser of another package.

    Attributes:
        name: What runs it: package, version and all else that its result depends on.
        restore: Picture (c, h, w) and sigma -> restored picture.
        task: What it repairs.
    """

    name: str
    restore: Callable[[Pixels, float], Pixels]
    task: Task = Task.DENOISE

    def at(self, level: float, *, bits: int) -> WholePicture:
        """The denoiser for one sigma."""
        return WholePicture(self.name, lambda picture: self.restore(picture, level))


def bm3d_peer() -> Peer:
    """BM3D with its own defaults, but on one thread: on several its results vary slightly."""
    bm3d = importlib.import_module("bm3d")
    profile = bm3d.BM3DProfile()
    profile.num_threads = 1

    def restore(picture: Pixels, sigma: float) -> Pixels:
        if len(picture) == 1:
            return np.asarray(bm3d.bm3d(picture[0], sigma / 255, profile)).reshape(picture.shape)
        return np.asarray(bm3d.bm3d_rgb(picture.transpose(1, 2, 0), sigma / 255, profile)).transpose(2, 0, 1)

    return Peer(f"bm3d {version('bm3d')} with bm4d {version('bm4d')}, its default profile", restore)


def nlm_peer(colour: tuple[float, float] = NLM_COLOUR, grey: float = NLM_GREY) -> Peer:
    """Non-local means of OpenCV, which takes 8 bits: it sees the noisy picture clipped and rounded."""
    cv2 = importlib.import_module("cv2")

    def restore(picture: Pixels, sigma: float) -> Pixels:
        stored = np.rint(to_8bit(picture) * 255).astype(np.uint8)
        restored: Pixels
        if len(picture) == 1:
            restored = cv2.fastNlMeansDenoising(stored[0], None, grey * sigma, 7, 21)[None]
        else:
            blue_first = np.ascontiguousarray(stored[::-1].transpose(1, 2, 0))
            h, chroma = (strength * sigma for strength in colour)
            coloured = cv2.fastNlMeansDenoisingColored(blue_first, None, h, chroma, 7, 21)
            restored = coloured.transpose(2, 0, 1)[::-1]
        return restored / np.float32(255)

    return Peer(
        f"OpenCV {cv2.__version__}, the noisy picture clipped and rounded to 8 bits, windows of 7 and 21 "
        f"pixels, h = {colour[0]:g} sigma and hColor = {colour[1]:g} sigma (grey: h = {grey:g} sigma)",
        restore,
    )


PEERS: dict[str, Callable[[], Peer]] = {"bm3d": bm3d_peer, "nlm": nlm_peer}


def choose_nlm(folder: Path) -> None:
    """Print the mean PSNR of each candidate strength on the photos that training holds out; the best wins."""
    first_of = {file.photo: file.path for file in reversed(split_photos(find_photos(folder))[1])}
    paths = sorted(first_of.values())
    print(f"{len(paths)} held-out photos, the first tile of each; mean PSNR in dB over sigma {NLM_LEVELS}")
    for grey in (False, True):
        found: dict[str, float] = {}
        for candidate in NLM_GREY_CANDIDATES if grey else NLM_CANDIDATES:
            peer = nlm_peer(grey=candidate) if isinstance(candidate, float) else nlm_peer(candidate)
            means = evaluate(peer, paths, NLM_LEVELS, grey=grey).means()
            name = f"{'grey h' if grey else 'colour h, hColor'} / sigma = {candidate}"
            found[name] = float(np.mean([mean.psnr for mean in means]))
            each = "  ".join(f"{mean.psnr:.2f}" for mean in means)
            print(f"{name:40} {found[name]:.3f}   {each}", flush=True)
        print(f"best: {max(found, key=lambda name: found[name])}", flush=True)


class Cache:
    """Scores in a file, one JSON object a line, each kept as soon as it is there.

    Args:
        path: The file; None keeps them in memory only.
        measured_by: The version of hyperrestore that measures now.
    """

    def __init__(self, path: Path | None, measured_by: str) -> None:
        self.path, self.measured_by = path, measured_by
        self.known: dict[str, Evaluation] = {}
        self.versions: dict[str, str] = {}
        for line in path.read_text().splitlines() if path and path.exists() else []:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # a line that was cut off
                continue
            self.known[entry["key"]] = Evaluation(entry["protocol"], (Score(**entry["score"]),))
            self.versions[entry["key"]] = entry.get("version", UNKNOWN_VERSION)

    def keep(self, key: str, evaluation: Evaluation) -> None:
        """Add the one score of an evaluation."""
        self.known[key], self.versions[key] = evaluation, self.measured_by
        if self.path:
            entry = {"key": key, "version": self.measured_by, "protocol": evaluation.protocol}
            entry["score"] = asdict(evaluation.scores[0])
            with self.path.open("a") as file:
                # A line that was cut off before stays on its own; an empty one says nothing.
                file.write("\n" + json.dumps(entry) + "\n")


def content(picture: Path) -> str:
    """A picture's name and a digest of its bytes."""
    return f"{picture.name} {zlib.crc32(picture.read_bytes()):08x}"


def cache_key(identity: str, protocol: Protocol, grey: bool, level: float, picture: Path) -> str:
    """All that a score depends on: what restores, protocol, level, the picture's bytes."""
    return f"{identity} | {protocol} {'grey' if grey else 'colour'} | {level:g} | {content(picture)}"


@dataclass(frozen=True)
class AtOneLevel:
    """A method whose network for one level is generated once, however many pictures come."""

    task: Task
    backend: NamedBackend

    def at(self, level: float, *, bits: int) -> NamedBackend:
        """That network."""
        return self.backend


def measure(
    method: Evaluated,
    identity: str,
    pictures: Sequence[Path],
    levels: Sequence[float],
    cache: Cache,
    *,
    protocol: Protocol,
    grey: bool,
    only_cached: bool = False,
) -> tuple[Evaluation, set[str]]:
    """Score a method, picture by picture; each score is kept at once: an interruption loses nothing.

    Args:
        method: What restores.
        identity: All that its results depend on, in words: package and version, or weights and precision.
        pictures: Files of clean pictures.
        levels: In the task's unit.
        cache: Scores that are there already, and where new ones are kept.
        protocol: See `evaluate`.
        grey: See `evaluate`.
        only_cached: Measure nothing.

    Returns:
        The scores of every level of which all pictures are there (a mean over fewer would be another figure),
        and the versions of hyperrestore that measured them.
    """
    there: list[str] = []
    for level in levels:
        keys = {cache_key(identity, protocol, grey, level, picture): picture for picture in pictures}
        missing = [] if only_cached else [key for key in keys if key not in cache.known]
        if missing:
            ready = AtOneLevel(method.task, method.at(level, bits=8))
        for key in missing:
            cache.keep(key, evaluate(ready, [keys[key]], [level], protocol=protocol, grey=grey))
        if cache.known.keys() >= keys.keys():
            there += keys
    found = [cache.known[key] for key in there]
    protocols = {one.protocol for one in found}
    if len(protocols) > 1:
        raise SystemExit(f"scores of several protocols; delete the cache ({' / '.join(protocols)})")
    scores = tuple(score for one in found for score in one.scores)
    return Evaluation("".join(protocols), scores), {cache.versions[key] for key in there}


@dataclass(frozen=True)
class Published:
    """Where a method is from, and its figures that are in circulation; nothing of it is measured here.

    Attributes:
        table: Of `quality.TABLES`, which has the same protocol.
        method: Its name.
        source: Its publication.
        parameters: How many, in words.
        one_network: Whether one network serves all levels.
        psnr: By level, dB.
        multiply_adds: Per pixel, where they can be counted from the structure.
    """

    table: str
    method: str
    source: str
    parameters: str
    one_network: bool
    psnr: dict[float, float]
    multiply_adds: float | None = None


# Multiply-adds per pixel, counted from the published structures: kernel * channels in * channels out, summed
# over the convolutions, divided by the square of the stride at which they run.
FFDNET = 9 * (13 * 96 + 10 * 96 * 96 + 96 * 12) / 4  # 12 convolutions at half resolution
CDNCNN = 9 * (3 * 64 + 18 * 64 * 64 + 64 * 3)  # 20 convolutions: that is 0.67 M parameters (17: 0.56 M)
BRDNET = 2 * 9 * (3 * 64 + 15 * 64 * 64 + 64 * 3) + 9 * 6 * 3  # two branches of 17, joined by one
# DRUNet: four residual blocks of two convolutions at 64, 128 and 256 channels, down and up (each resolution
# costs the same), and at 512 in the middle; 2x2 convolutions between them, down and up; head and tail.
DRUNET = 9 * (4 * 64 + 64 * 3) + 3 * 16 * 9 * 64**2 + 8 * 9 * 512**2 / 8**2 + 6 * (4 * 64 * 128 / 2**2)
DNCNN3 = 9 * (64 + 18 * 64 * 64 + 64)  # 20 convolutions on luminance, at the size of the result; VDSR alike
NOISE, COLOUR, GREY = "CBSD68-standard-colour", "LIVE1-standard-colour", "LIVE1-standard-grey"
SIZE = "Set5-standard-colour"
PUBLISHED = [
    Published(NOISE, "CBM3D", "ICIP 2007", "-", True,
              {15: 33.52, 25: 30.71, 35: 28.89, 50: 27.38, 75: 25.74}),
    Published(NOISE, "FFDNet", "arXiv 1710.04026", "0.85 M", True,
              {15: 33.87, 25: 31.21, 35: 29.58, 50: 27.96, 75: 26.24}, FFDNET),
    Published(NOISE, "CDnCNN-S", "arXiv 1608.03981", "0.67 M each", False,
              {15: 33.99, 25: 31.31, 35: 29.66, 50: 28.01}, CDNCNN),
    Published(NOISE, "BRDNet", "Neural Networks 121, 2020", "about 1.1 M each", False,
              {15: 34.10, 25: 31.43, 50: 28.16}, BRDNET),
    Published(NOISE, "InstructIR-3D", "arXiv 2401.16468", "15.8 M", True, {15: 34.15, 25: 31.52, 50: 28.30}),
    Published(NOISE, "GRL-T", "arXiv 2303.00748", "0.88 M each", False, {15: 34.30, 25: 31.66, 50: 28.45}),
    Published(NOISE, "DRUNet", "arXiv 2008.13751", "32.6 M", True, {15: 34.30, 25: 31.69, 50: 28.51}, DRUNET),
    Published(NOISE, "GRL-S", "arXiv 2303.00748", "3.12 M each", False, {15: 34.36, 25: 31.72, 50: 28.51}),
    Published(NOISE, "Xformer / GRL-B", "arXiv 2303.06440 / 2303.00748", "25 M / 20 M each", False,
              {15: 34.45, 25: 31.82, 50: 28.63}),
    Published(COLOUR, "QGAC", "arXiv 2004.09320", "-", True, {10: 27.62, 20: 29.88, 30: 31.17, 40: 32.05}),
    Published(COLOUR, "FBCNN", "arXiv 2109.14573", "71.9 M", True,
              {10: 27.77, 20: 30.11, 30: 31.43, 40: 32.34}),
    Published(COLOUR, "GRL-S", "arXiv 2303.00748", "3.12 M each", False,
              {10: 28.13, 20: 30.49, 30: 31.85, 40: 32.79}),
    Published(GREY, "DnCNN-3", "arXiv 1608.03981", "0.67 M", True,
              {10: 29.19, 20: 31.59, 30: 32.98, 40: 33.96}, DNCNN3),
    Published(GREY, "CFSNet", "arXiv 1904.00634", "1.73 M", True,
              {10: 29.38, 20: 31.71, 30: 33.15, 40: 34.17}),
    Published(GREY, "QGAC", "arXiv 2004.09320", "-", True, {10: 29.51, 20: 31.83, 30: 33.20, 40: 34.16}),
    Published(GREY, "FBCNN", "arXiv 2109.14573", "71.9 M", True,
              {10: 29.75, 20: 32.13, 30: 33.54, 40: 34.53}),
    Published(GREY, "SwinIR", "arXiv 2108.10257", "11.5 M each", False,
              {10: 29.86, 20: 32.25, 30: 33.69, 40: 34.67}),
    Published("Classic5-standard-grey", "FBCNN", "arXiv 2109.14573", "71.9 M", True,
              {10: 30.12, 20: 32.31, 30: 33.54, 40: 34.35}),
    Published("LIVE1-hyperres-grey", "HyperRes, network for one quality", "arXiv 2206.05970", "-", False,
              {10: 28.82}),
    Published("LIVE1-hyperres-grey", "HyperRes", "arXiv 2206.05970", "-", True, {10: 28.81}),
    Published(SIZE, "VDSR", "arXiv 1511.04587", "0.67 M", True, {2: 37.53, 3: 33.67, 4: 31.35}, DNCNN3),
    Published(SIZE, "DnCNN-3", "arXiv 1608.03981", "0.67 M", True, {2: 37.58, 3: 33.75, 4: 31.40}, DNCNN3),
    Published(SIZE, "IMDN", "arXiv 1909.11856", "0.7 M each", False, {2: 38.00, 3: 34.36, 4: 32.21}),
    Published(SIZE, "SwinIR-light", "arXiv 2108.10257", "0.9 M each", False,
              {2: 38.14, 3: 34.62, 4: 32.44}),
    Published(SIZE, "CATANet", "arXiv 2503.06896", "0.5 M each", False, {2: 38.28, 3: 34.75, 4: 32.58}),
]  # fmt: skip
