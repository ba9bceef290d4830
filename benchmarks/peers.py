"""Other denoisers: BM3D and non-local means in the form that `evaluate` takes, and figures of published ones.

BM3D and OpenCV are no dependencies; they are imported when they are asked for. Their scores never change, so
they are kept in a file, one JSON object a line, as soon as they are there.
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

from hyperrestore.degrade import Protocol
from hyperrestore.engine import Pixels
from hyperrestore.evaluate import Evaluated, Evaluation, Score, evaluate
from hyperrestore.level import Task
from hyperrestore.metrics import to_8bit
from hyperrestore.photos import find_photos, split_photos

# Strength of non-local means, over sigma: h and hColor of colour pictures, h of grey ones; by `choose_nlm`.
NLM_COLOUR, NLM_GREY = (0.6, 0.6), 0.9
NLM_LEVELS = (5, 15, 25, 50)
NLM_CANDIDATES = [(h, chroma) for h in (0.5, 0.6, 0.7) for chroma in (0.6, 0.7, 0.8)]
NLM_GREY_CANDIDATES = (0.8, 0.9, 1.0, 1.1)


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


def cache_key(identity: str, protocol: Protocol, grey: bool, level: float, picture: Path) -> str:
    """All that a score depends on: what restores, protocol, level, the picture's bytes."""
    bytes_of = f"{picture.name} {zlib.crc32(picture.read_bytes()):08x}"
    return f"{identity} | {protocol} {'grey' if grey else 'colour'} | {level:g} | {bytes_of}"


def read_cache(path: Path | None) -> dict[str, Evaluation]:
    """The scores that are already there, one for each key; a line that was cut off is left out."""
    known = {}
    for line in path.read_text().splitlines() if path and path.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        known[entry["key"]] = Evaluation(entry["protocol"], (Score(**entry["score"]),))
    return known


def measure(
    denoiser: Evaluated,
    identity: str,
    pictures: Sequence[Path],
    levels: Sequence[float],
    *,
    protocol: Protocol,
    grey: bool,
    cache: Path | None = None,
    only_cached: bool = False,
) -> Evaluation:
    """Score a denoiser, picture by picture; each score is kept at once: an interruption loses nothing.

    Args:
        denoiser: What restores.
        identity: All that its results depend on, in words: package and version, or weights and precision.
        pictures: Files of clean pictures.
        levels: Sigmas.
        protocol: See `evaluate`.
        grey: See `evaluate`.
        cache: Where the scores are kept.
        only_cached: Measure nothing.

    Returns:
        The scores of every level of which all pictures are there: a mean over fewer would be another figure.
    """
    known, found = read_cache(cache), []
    for level in levels:
        keys = {cache_key(identity, protocol, grey, level, picture): picture for picture in pictures}
        for key in [] if only_cached else [key for key in keys if key not in known]:
            known[key] = evaluate(denoiser, [keys[key]], [level], protocol=protocol, grey=grey)
            if cache:
                entry = {"key": key, "protocol": known[key].protocol, "score": asdict(known[key].scores[0])}
                with cache.open("a") as file:
                    # A line that was cut off before stays on its own; an empty one says nothing.
                    file.write("\n" + json.dumps(entry) + "\n")
        if known.keys() >= keys.keys():
            found += [known[key] for key in keys]
    protocols = {one.protocol for one in found}
    if len(protocols) > 1:
        raise SystemExit(f"{cache}: holds scores of several protocols; delete it ({' / '.join(protocols)})")
    return Evaluation("".join(protocols), tuple(score for one in found for score in one.scores))


@dataclass(frozen=True)
class Published:
    """Where a method is from, and its figures that are in circulation; nothing of it is measured here."""

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
PUBLISHED = [
    Published("CBM3D", "ICIP 2007", "-", True,
              {15: 33.52, 25: 30.71, 35: 28.89, 50: 27.38, 75: 25.74}),
    Published("FFDNet", "arXiv 1710.04026", "0.85 M", True,
              {15: 33.87, 25: 31.21, 35: 29.58, 50: 27.96, 75: 26.24}, FFDNET),
    Published("CDnCNN-S", "arXiv 1608.03981", "0.67 M each", False,
              {15: 33.99, 25: 31.31, 35: 29.66, 50: 28.01}, CDNCNN),
    Published("BRDNet", "Neural Networks 121, 2020", "about 1.1 M each", False,
              {15: 34.10, 25: 31.43, 50: 28.16}, BRDNET),
    Published("InstructIR-3D", "arXiv 2401.16468", "15.8 M", True, {15: 34.15, 25: 31.52, 50: 28.30}),
    Published("GRL-T", "arXiv 2303.00748", "0.88 M each", False, {15: 34.30, 25: 31.66, 50: 28.45}),
    Published("DRUNet", "arXiv 2008.13751", "32.6 M", True, {15: 34.30, 25: 31.69, 50: 28.51}, DRUNET),
    Published("GRL-S", "arXiv 2303.00748", "3.12 M each", False, {15: 34.36, 25: 31.72, 50: 28.51}),
    Published("Xformer / GRL-B", "arXiv 2303.06440 / 2303.00748", "25 M / 20 M each", False,
              {15: 34.45, 25: 31.82, 50: 28.63}),
]  # fmt: skip
