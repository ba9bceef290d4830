"""Every test of this folder is of a program that hyperrestore works in."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from skimage import data

from hyperrestore import Picture, PictureInfo, read_picture, write_picture
from hyperrestore.cli.main import main

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.hosts)


@pytest.fixture(scope="session")
def noisy():
    """A part of a photograph with noise of sigma 25, (3, 61, 83), sides that are no multiple of anything."""
    clean = np.moveaxis(data.chelsea()[100:161, 100:183], -1, 0) / 255
    values = clean + np.random.default_rng(0).normal(0, 25 / 255, clean.shape)
    return (np.rint(values.clip(0, 1) * 65535) / 65535).astype(np.float32)


@pytest.fixture
def by_command(tmp_path):
    """What the command line makes of pixels (c, h, w) in [0, 1], in 16 bits."""

    def run(pixels, *words):
        channels, height, width = pixels.shape
        info = PictureInfo(width, height, channels, bits=16)
        source, target = tmp_path / "in.png", tmp_path / "out.png"
        write_picture(source, Picture(pixels, None, info), overwrite=True)
        assert main([*map(str, words), str(source), "-o", str(target), "--overwrite"]) == 0
        return read_picture(target).pixels

    return run


def host(module: str) -> ModuleType:
    """A host's module; a test without it is skipped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            pytest.skip(f"{module} cannot be imported: {error}")


@pytest.fixture(scope="session")
def torchvision():
    """Its Python part, also where its compiled part does not fit torch.

    The build on PyPI is for CUDA. Beside a torch for the CPU it does not import, since it finds none of its
    operators; what they compute is not needed here.
    """
    try:
        return host("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        module = host("torchvision")
        module.declared = library  # its operators are there as long as it is
        return module


@pytest.fixture(scope="session")
def deepinv(torchvision):
    return host("deepinv")


@pytest.fixture(scope="session")
def spandrel(torchvision):
    return host("spandrel")
