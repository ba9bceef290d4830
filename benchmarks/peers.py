"""Other methods in the form that `evaluate` takes: BM3D and non-local means.

BM3D and OpenCV are no dependencies; they are imported when they are asked for.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from hyperrestore.learn.photos import find_photos, split_photos
from hyperrestore.level import Task
from hyperrestore.measure.degrade import Protocol
from hyperrestore.measure.evaluate import evaluate
from hyperrestore.measure.metrics import to_8bit
from hyperrestore.run.engine import Pixels

# Strength of non-local means, over sigma: h and hColor of colour pictures, h of grey ones; by `choose_nlm`.
NLM_COLOUR, NLM_GREY = (0.6, 0.6), 0.9
NLM_LEVELS = (5, 15, 25, 50)
NLM_CANDIDATES = [(h, chroma) for h in (0.5, 0.6, 0.7) for chroma in (0.6, 0.7, 0.8)]
NLM_GREY_CANDIDATES = (0.8, 0.9, 1.0, 1.1)
INSTALL = "pip install bm3d opencv-python-headless"


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


@dataclass(frozen=True)
class PeerKind:
    """How a method of another package is made, and what it is for.

    Attributes:
        task: What it repairs.
        make: Makes it; ImportError where its package is not installed.
        protocol: The only one that it is made for; None for any.
        highest: The highest level that it is made for.
    """

    task: Task
    make: Callable[[], Peer]
    protocol: Protocol | None = None
    highest: float = math.inf


PEERS = {"bm3d": PeerKind(Task.DENOISE, bm3d_peer), "nlm": PeerKind(Task.DENOISE, nlm_peer)}


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
