"""Time a newcomer's first picture in each host of docs/guide/hosts.md, in an environment of its own.

    python benchmarks/fresh_hosts.py  # all hosts that this Python can have
    python benchmarks/fresh_hosts.py VapourSynth --python python3.12

The page's own `pip install` line and example are used; the package is a wheel built from this checkout. Then
a noisy picture is restored by the host in fp32, and compared with what the command line makes of it.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from machine import cpu_name, usable_cores
from markdown import grid

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guide" / "hosts.md"
STEP = 1 / 255
OWN = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")  # of who runs this program, not of a newcomer

WINDOWS = ("napari",)  # hosts whose example opens one; without a screen, xvfb-run makes a virtual one

# What a host makes of the noisy picture `pixels`, (h, w, 3), at sigma 25.
RESTORED = {
    "deepinv": """
import deepinv, torch
from hyperrestore.hosts.deepinv import Denoiser
image = torch.from_numpy(pixels).movedim(-1, 0)[None]
restored = Denoiser()(image, 25 / 255)[0].movedim(0, -1).clamp(0, 1).numpy()
""",
    "scikit-image": """
from hyperrestore.hosts.skimage import denoise
restored = denoise(pixels, sigma=25 / 255, channel_axis=-1)
""",
    "napari": """
from napari.layers import Image
from hyperrestore.hosts.napari import denoise
restored = denoise(Image(pixels, rgb=True), 25).data
""",
    "spandrel": """
import torch
from spandrel import ModelLoader
from hyperrestore.hosts.spandrel import register, save_adjustable
register()
save_adjustable("model.safetensors", "denoise", level=25)
model = ModelLoader().load_from_file("model.safetensors")
restored = model(torch.from_numpy(pixels).movedim(-1, 0)[None])[0].movedim(0, -1).numpy()
""",
    "Hugging Face hub": """
from hyperrestore.hosts.huggingface import from_pretrained, save_pretrained
save_pretrained("denoise", "a-denoiser", licence="apache-2.0")
restored = from_pretrained("a-denoiser", precision="fp32")(pixels.transpose(2, 0, 1), 25).transpose(1, 2, 0)
""",
    "ComfyUI": """
from hyperrestore.hosts.frames import restore_frames
from hyperrestore.level import Task
restored = restore_frames(pixels[None], [Task.DENOISE], level=25).frames[0]
""",
    "VapourSynth": """
import vapoursynth as vs
from hyperrestore.hosts.vapoursynth import denoise
height, width, _ = pixels.shape
blank = vs.core.std.BlankClip(format=vs.RGBS, width=width, height=height, length=1)
def fill(n, f):
    frame = f.copy()
    for plane in range(3):
        np.copyto(np.asarray(frame[plane]), pixels[..., plane])
    return frame
frame = denoise(blank.std.ModifyFrame(clips=blank, selector=fill), 25).get_frame(0)
restored = np.stack([np.asarray(frame[plane]) for plane in range(3)], axis=-1)
""",
}

NOISY = """
import numpy as np
from hyperrestore import Picture, PictureInfo, read_picture, write_picture
rows, columns = np.mgrid[:61, :83] / 20
clean = 0.5 + 0.3 * np.stack([np.sin(columns + shift) * np.cos(rows) for shift in (0, 1, 2)], axis=-1)
noisy = (clean + np.random.default_rng(0).normal(0, 25 / 255, clean.shape)).clip(0, 1)
pixels = (np.rint(noisy * 65535) / 65535).astype(np.float32)
write_picture("noisy.png", Picture(pixels.transpose(2, 0, 1).copy(), None, PictureInfo(83, 61, 3, bits=16)))
"""

COMPARED = """
wanted = read_picture("wanted.png").pixels.transpose(1, 2, 0)
print(float(np.abs(np.asarray(restored) - wanted).max()))
"""

# PyPI's torchvision is for CUDA. Beside a torch for the CPU it finds none of its operators, which are not
# needed here: their names are declared, so that it can be imported.
ONLY_CPU = """
try:
    import torchvision
except ImportError:
    pass
except RuntimeError:
    import torch
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


class Told(NamedTuple):
    """What the page tells of a host: the packages to install, options for that, and an example."""

    packages: list[str]
    options: list[str]
    example: str


class Tried(NamedTuple):
    """Seconds that each part took, and the largest difference from the command line."""

    download: float
    install: float
    example: float
    difference: float


def told(page: str, host: str) -> Told:
    """What the page tells of a host."""
    section = re.split(r"^## ", page.split(f"\n## {host}\n")[1], flags=re.MULTILINE)[0]
    (line,) = re.findall(r"^pip install (.+)$", section, re.MULTILINE)
    (example,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    words = shlex.split(line, comments=True)
    options = [word for word in words if word.startswith("-")]
    return Told([word for word in words if word not in options], options, example)


def try_host(host: str, wheel: Path, python: str, folder: Path) -> Tried:
    """Follow the page in a new environment.

    Raises:
        subprocess.CalledProcessError: A step fails.
    """
    packages, options, example = told(PAGE.read_text(encoding="utf-8"), host)
    (folder / "constraints.txt").write_text(
        f"hyperrestore=={wheel.name.split('-')[1]}\n{(ROOT / 'constraints.txt').read_text()}"
    )
    links = f"{os.environ.get('PIP_FIND_LINKS', '')} {wheel.parent}"  # where the wheel lies, and any torch
    constrained = {"PIP_CONSTRAINT": str(folder / "constraints.txt"), "PIP_FIND_LINKS": links}
    binaries, packed = folder / "venv" / "bin", folder / "packages"
    begun = time.perf_counter()
    run([python, "-m", "venv", folder / "venv"], folder)
    made = time.perf_counter() - begun
    pip = [binaries / "pip", "--quiet", "--disable-pip-version-check"]
    download = timed([*pip, "wheel", "--wheel-dir", packed, *packages], folder, constrained)
    offline = {**constrained, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packed)}
    install = timed([*pip, "install", *options, *packages], folder, offline)
    run([binaries / "python", "-c", NOISY.replace("noisy.png", "photo.png")], folder)  # for the example
    screen = ["xvfb-run", "-a"] if host in WINDOWS and "DISPLAY" not in os.environ else []
    first = timed([*screen, binaries / "python", "-c", f"{ONLY_CPU}\n{example}"], folder)
    run([binaries / "python", "-c", NOISY], folder)
    command = [binaries / "hyperrestore", "denoise", "noisy.png", "-o", "wanted.png", "-l", "25"]
    run([*command, "--precision", "fp32"], folder)
    program = "\n".join([ONLY_CPU, NOISY.replace("noisy.png", "same.png"), RESTORED[host], COMPARED])
    said = run([binaries / "python", "-c", program], folder)
    return Tried(download, made + install, first, float(said.splitlines()[-1]))


def timed(words: list[object], folder: Path, environment: dict[str, str] | None = None) -> float:
    """Run a program; seconds."""
    begun = time.perf_counter()
    run(words, folder, environment)
    return time.perf_counter() - begun


def run(words: list[object], folder: Path, environment: dict[str, str] | None = None) -> str:
    """Run a program as a newcomer would, without this checkout on its path; what it prints."""
    inherited = {name: value for name, value in os.environ.items() if name not in OWN}
    done = subprocess.run(
        list(map(str, words)), cwd=folder, env={**inherited, **(environment or {})}, check=True,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return done.stdout


def build_wheel(folder: Path) -> Path:
    """The package of this checkout."""
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], folder)
    (wheel,) = folder.glob("hyperrestore-*.whl")
    return wheel


def main() -> None:
    """Try the hosts, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = [host for host in RESTORED if host != "VapourSynth" or sys.version_info >= (3, 12)]
    parser.add_argument("hosts", nargs="*", help=f"of {', '.join(RESTORED)}; default those of this Python")
    parser.add_argument("--python", default=sys.executable, help="of the environments; default this one")
    options = parser.parse_args()
    if unknown := [host for host in options.hosts if host not in RESTORED]:
        parser.error(f"unknown host {', '.join(unknown)}; known are {', '.join(RESTORED)}")
    lines = []
    with tempfile.TemporaryDirectory() as top:
        wheel = build_wheel(Path(top))
        for host in options.hosts or usual:
            folder = Path(top) / host.replace(" ", "-")
            folder.mkdir()
            tried = try_host(host, wheel, options.python, folder)
            if tried.difference > STEP:
                sys.exit(f"{host} differs from the command line by {tried.difference:.2g}, more than 1/255")
            seconds = (tried.download, tried.install, tried.example, tried.install + tried.example)
            lines.append([host, *(f"{each:.0f} s" for each in seconds), f"{tried.difference * 255:.4f}"])
            print(*lines[-1], sep=", ", file=sys.stderr, flush=True)
    head = ("host", "downloads", "installing", "the example", "first picture", "difference, of 255")
    print(grid(head, lines))
    print(f"\n{cpu_name()}, {usable_cores()} core(s)")


if __name__ == "__main__":
    main()
