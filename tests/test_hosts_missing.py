"""Hosts that are not installed: the files of `hosts` are imported all the same, and say what to install."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hyperrestore.hosts

FILES = sorted(path.stem for path in Path(hyperrestore.hosts.__file__).parent.glob("[!_]*.py"))
HOSTS = (
    "deepinv",
    "skimage",
    "spandrel",
    "torchvision",
    "huggingface_hub",
    "comfy",
    "comfy_api",
    "vapoursynth",
    "napari",
    "magicgui",
)
NEED_TORCH = ("deepinv", "tensors")
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({names!r}))\n{program}"
NAMED = "try:\n    {call}\nexcept MissingExtraError as error:\n    print(error)"
CALLS = {
    "spandrel": ("from hyperrestore.hosts.spandrel import register", "register()"),
    "vapoursynth": ("from hyperrestore.hosts.vapoursynth import denoise", "denoise(None, 12)"),
    "napari": ("from hyperrestore.hosts.napari import denoise", "denoise(None, 12)"),
    "magicgui": ("from hyperrestore.hosts.napari_forms import denoise_form", "denoise_form()"),
    "huggingface_hub": (
        "from hyperrestore.hosts.huggingface import from_pretrained",
        "from_pretrained('owner/name')",
    ),
}


def printed(program, *missing):
    """What a program prints in a Python that cannot import these modules."""
    words = [sys.executable, "-c", WITHOUT.format(names=missing, program=program)]
    inherited = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(words, capture_output=True, text=True, env=inherited, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_file_is_imported_without_any_host():
    program = "\n".join(f"import hyperrestore.hosts.{name}" for name in FILES if name not in NEED_TORCH)
    assert printed(program, *HOSTS, "torch") == ""
    assert set(NEED_TORCH) < set(FILES)


@pytest.mark.parametrize("host", CALLS)
def test_a_host_that_is_missing_is_named(host):
    imported, call = CALLS[host]
    program = f"from hyperrestore import MissingExtraError\n{imported}\n{NAMED.format(call=call)}"
    install = "'napari[pyqt6]'" if host in ("napari", "magicgui") else host
    assert printed(program, *HOSTS) == f"{host} is not installed: pip install {install}"


def test_the_denoiser_for_deepinv_needs_torch_alone():
    program = "from hyperrestore import MissingExtraError\n" + NAMED.format(
        call="import hyperrestore.hosts.deepinv"
    )
    assert printed(program, *HOSTS, "torch") == "this denoiser needs torch: pip install 'hyperrestore[torch]'"


def test_scikit_image_and_frames_need_no_host():
    program = (
        "import numpy as np\n"
        "from hyperrestore.hosts.skimage import denoise\n"
        "from hyperrestore.hosts.frames import restore_frames\n"
        "print(denoise(np.full((5, 3), 0.5), sigma=0.1).shape)\n"
        "print(restore_frames(np.full((1, 5, 3, 3), 0.5)).frames.shape)"
    )
    assert printed(program, *HOSTS, "torch").splitlines() == ["(5, 3)", "(1, 5, 3, 3)"]


def test_a_model_for_spandrel_is_written_without_it(tmp_path):
    program = (
        "from hyperrestore.hosts.spandrel import save_adjustable\n"
        f"save_adjustable({str(tmp_path / 'a.safetensors')!r}, 'denoise', level=25)"
    )
    assert printed(program, *HOSTS, "torch") == ""
    assert (tmp_path / "a.safetensors").is_file()
