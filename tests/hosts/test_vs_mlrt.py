"""The form vs-mlrt, run by vs-mlrt's plug-in for ONNX Runtime inside VapourSynth."""

import numpy as np
import pytest

from hosts.conftest import host
from hyperrestore import Restorer
from hyperrestore.restore.restorer import model_path

STEP = 1 / 255


@pytest.fixture(scope="module")
def vs():
    return host("vapoursynth")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    export = pytest.importorskip("hyperrestore.run.forms.export")
    return export.export_form(model_path("denoise"), "vs-mlrt", tmp_path_factory.mktemp("vs-mlrt"))


def clip_of(vs, pixels):
    """A clip whose frame is a picture (c, h, w)."""
    channels, height, width = pixels.shape
    kind = vs.RGBS if channels == 3 else vs.GRAYS
    blank = vs.core.std.BlankClip(format=kind, width=width, height=height, length=1)

    def fill(n, f):
        frame = f.copy()
        for plane, values in enumerate(pixels):
            np.copyto(np.asarray(frame[plane]), values)
        return frame

    return blank.std.ModifyFrame(clips=blank, selector=fill)


def restored(vs, file, pixels, levels, **options):
    if not hasattr(vs.core, "ort"):
        pytest.skip("vapoursynth-mlrt-ort is not installed")
    clips = [clip_of(vs, pixels), clip_of(vs, levels)]
    frame = vs.core.ort.Model(clips, str(file), **options).get_frame(0)
    return np.stack([np.asarray(frame[plane]) for plane in range(3)])


def test_a_clip_of_levels_is_the_command(vs, file, noisy, by_command):
    levels = np.full((1, *noisy.shape[1:]), 25, np.float32)
    result = restored(vs, file, noisy, levels)
    wanted = by_command(noisy, "denoise", "--level", 25, "--precision", "fp32")
    assert np.abs(result.clip(0, 1) - wanted).max() < STEP


def test_tiles_with_an_overlap_of_the_halo_have_no_seams(vs, file):
    rng = np.random.default_rng(0)
    pixels = rng.random((3, 416, 432), np.float32) * 0.2 + 0.4
    levels = np.full((1, 416, 432), 25, np.float32)
    result = restored(vs, file, pixels, levels, tilesize=[320, 320], overlap=[96, 96])
    whole = Restorer.load("denoise", precision="fp32")(pixels, 25)
    assert np.abs(result.clip(0, 1) - whole).max() < 1e-4
