"""What several test files share: scales, tiny networks with weights that matter, model files, a browser."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import hyperrestore
from hyperrestore.learn.model import save_model
from hyperrestore.learn.recipe import Recipe, Training
from hyperrestore.level import LevelScale, Task
from hyperrestore.network.architectures import NetworkConfig, build
from hyperrestore.network.hyper import Hypernetwork
from hyperrestore.run.export import export_onnx

SIGMA = LevelScale("sigma", low=0, high=100, trained=(0, 75), origin=0, reference=50)
QUALITY = LevelScale("quality", low=1, high=100, trained=(5, 95), origin=100, reference=20, spacing="log")
SCALE = LevelScale("scale", low=1, high=6, trained=(1, 4), origin=1, reference=3, spacing="log")
SOFTNESS = LevelScale("softness", low=0, high=3, trained=(0, 2), origin=1, reference=2, powers=(1, 2))
NOISE = LevelScale("noise", low=0, high=100, trained=(0, 75), origin=0, reference=50)
COLOUR_NOISE = LevelScale("colour noise", low=0, high=100, trained=(0, 75), origin=0, reference=50)
SAVED = LevelScale("quality", low=1, high=100, trained=(5, 100), origin=100, reference=20, spacing="log")
TINY = NetworkConfig("unet", widths=(8, 16), blocks=(1, 1), rank=2)
SUBPIXEL = NetworkConfig("subpixel", widths=(8, 12), blocks=(1, 1), rank=2, subpixels=4)
SMALL_PAPER = NetworkConfig("paper", widths=(8,), blocks=(2,))

CHROMIUM = Path("/usr/bin/chromium")  # Debian's
QUIET = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--metrics-recording-only",
]

SOURCE = Path(hyperrestore.__file__).parents[1]
MEASURE = """
import sys
from hyperrestore import restore_file
from hyperrestore.level import LevelScale, Task

class Identity:
    halo, multiple, task = 96, 8, Task(sys.argv[1])
    scales = (LevelScale("level", low=0, high=100, trained=(0, 100), origin=0, reference=50),)
    def __call__(self, window):
        return window
    def network(self, levels, *, bits, pixels=None):
        return self
    def release_memory(self):
        pass

source, target, level, tile = sys.argv[2:]
restore_file(Identity(), source, target, float(level), tile=int(tile), overwrite=True)
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""
needs_linux = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the peak of memory from Linux"
)


def peak_memory(task: Task, source: Path, target: Path, level: float, *, tile: int = 1024) -> float:
    """The most memory that restoring a file takes, MiB, without a network: a tile bounds that of one."""
    words = [str(word) for word in (task, source, target, level, tile)]
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, *words],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(SOURCE)}, timeout=300,
    )  # fmt: skip
    assert not result.stderr
    return int(result.stdout) / 1024


def randomised(network: Hypernetwork, *, size: float = 0.15, seed: int = 0) -> Hypernetwork:
    """Fill every weight, W too: at W = 0, where training starts, most laws hold for nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
    return network


def tiny_recipe(network: NetworkConfig = TINY, **training: object) -> Recipe:
    settings = {"learning_rate": 1e-3, "validate_at": (15.0, 50.0), "crop": 16, "warmup": 5, **training}
    return Recipe(Task.DENOISE, network, SIGMA, Training(**settings))


def write_model(
    path: Path,
    config: NetworkConfig,
    *,
    seed: int = 0,
    task: Task = Task.DENOISE,
    scale: LevelScale = SIGMA,
    axes: tuple[LevelScale, ...] = (),
    graphs: bool = True,
) -> Path:
    """Write a checkpoint and its ONNX graphs, which take a second; return the checkpoint's path."""
    network = randomised(build(config, (scale, *axes)), size=0.1, seed=seed)
    recipe = Recipe(task, config, scale, Training(1e-3, (scale.reference,), whole_share=1.0), axes)
    save_model(path, recipe, network, {"steps": 0})
    if graphs:
        export_onnx(path)
    return path


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A model whose network adds a residual to the picture, as the shipped ones do."""
    return write_model(tmp_path_factory.mktemp("tiny") / "tiny.safetensors", TINY)


@pytest.fixture(scope="session")
def paper_model(tmp_path_factory):
    """A model whose network predicts the picture itself."""
    return write_model(tmp_path_factory.mktemp("paper") / "paper.safetensors", SMALL_PAPER)


@pytest.fixture(scope="session")
def dejpeg_model(tmp_path_factory):
    """A model whose level is a JPEG quality."""
    path = tmp_path_factory.mktemp("dejpeg") / "dejpeg.safetensors"
    return write_model(path, TINY, task=Task.DEJPEG, scale=QUALITY)


@pytest.fixture(scope="session")
def photo_model(tmp_path_factory):
    """A model whose levels are noise, colour noise and a JPEG quality."""
    path = tmp_path_factory.mktemp("photo") / "photo.safetensors"
    return write_model(path, TINY, task=Task.PHOTO, scale=NOISE, axes=(COLOUR_NOISE, SAVED))


@pytest.fixture(scope="session")
def upscale_model(tmp_path_factory):
    """A model that restores enlarged pictures."""
    path = tmp_path_factory.mktemp("upscale") / "upscale.safetensors"
    return write_model(path, TINY, task=Task.UPSCALE, scale=SCALE)


@pytest.fixture(scope="session")
def subpixel_model(tmp_path_factory):
    """A model that enlarges small pictures by sub-pixels; its levels are scale and softness."""
    path = tmp_path_factory.mktemp("subpixel") / "subpixel.safetensors"
    return write_model(path, SUBPIXEL, task=Task.UPSCALE, scale=SCALE, axes=(SOFTNESS,))


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard():
    """A shell lets its background jobs ignore Ctrl-C, and the tests of it would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="driving the page needs playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"driving the page needs {CHROMIUM}")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()
