"""The page about hosts: each of its examples runs inside its host."""

import re
from pathlib import Path

import numpy as np
import pytest

from hosts.conftest import host
from hyperrestore import Picture, PictureInfo, write_picture

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "hosts.md"
SECTIONS = {
    section.splitlines()[0]: re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    for section in PAGE.read_text().split("\n## ")[1:]
}
MODULES = {
    "deepinv": "deepinv",
    "scikit-image": "skimage",
    "napari": "napari",
    "spandrel": "spandrel",
    "Hugging Face hub": "huggingface_hub",
    "ComfyUI": "hyperrestore",  # the example needs no host
    "VapourSynth": "vapoursynth",
}


@pytest.mark.parametrize("name", MODULES)
def test_the_example_runs(name, request, tmp_path, monkeypatch):
    if name in ("deepinv", "spandrel"):
        request.getfixturevalue("torchvision")
    module = host(MODULES[name])
    if name == "napari":  # in a window: test_napari.py
        monkeypatch.setattr(module, "Viewer", host("napari.components").ViewerModel)
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).random((3, 40, 60), dtype=np.float32)
    write_picture("photo.png", Picture(pixels, None, PictureInfo(60, 40, 3)))
    assert len(SECTIONS[name]) == 1
    exec(compile(SECTIONS[name][0], f"{PAGE}: {name}", "exec"), {})


def test_every_host_of_the_table_has_a_section():
    hosts = re.findall(r"^\| \[(.+?)\]\(#(.+?)\)", PAGE.read_text(), re.MULTILINE)
    assert hosts
    assert [name for name, _ in hosts] == [title for title in SECTIONS if title in dict(hosts)]
    assert all(name.lower().replace(",", "").replace(" ", "-") == anchor for name, anchor in hosts)
    assert {title for title, examples in SECTIONS.items() if examples} == set(MODULES)
