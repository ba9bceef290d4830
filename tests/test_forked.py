"""A process that was forked works, or refuses at once and says what to do; it never hangs."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import pyvips
from conftest import SOURCE
from PIL import Image

from hyperrestore.picture.file import Picture, write_picture
from hyperrestore.picture.info import PictureInfo
from hyperrestore.restore.restorer import Restorer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")

# In a process of its own: pytest has threads and a libvips that has computed already.
PROGRAM = """
import multiprocessing, sys, warnings
import numpy as np
from hyperrestore import Picture, PictureInfo, Restorer, UsageError, read_picture, write_picture
warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of forks
folder, before, after = sys.argv[1:]
restorer = Restorer.load("denoise") if "restore" in (before, after) else None
picture = Picture(np.full((3, 40, 60), 0.5, np.float32), None, PictureInfo(60, 40, 3))

def do(what):
    try:
        if what == "restore":
            restorer(picture, 10)
        elif what == "write":
            write_picture(f"{folder}/new.png", picture, overwrite=True)
        elif what != "nothing":
            read_picture(f"{folder}/{what}")
    except UsageError as error:
        return str(error)
    return "done"

assert do(before) == "done"
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.apply_async(do, [after]).get(30))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).random((3, 40, 60), np.float32)
    picture = Picture(pixels, None, PictureInfo(60, 40, 3))
    for suffix in ("png", "jpg", "webp", "tif", "avif"):
        write_picture(folder / f"a.{suffix}", picture)
    image = pyvips.Image.new_from_file(folder / "a.png")
    image.jpegsave(folder / "progressive.jpg", interlace=True)
    image.pngsave(folder / "interlaced.png", interlace=True)
    image.tiffsave(folder / "tiled.tif", tile=True, tile_width=16, tile_height=16, compression="jpeg")
    image.icc_transform("cmyk", input_profile="srgb").jpegsave(folder / "cmyk.jpg")
    turned = Image.Exif()
    turned[274] = 6
    Image.open(folder / "a.jpg").save(folder / "turned.jpg", exif=turned)
    return folder


def forked(folder, before, after):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), before, after],
        capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    assert result.stderr == ""
    return result.stdout.strip()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("nothing", "write"),
        ("a.png", "write"),
        ("restore", "write"),
        ("restore", "restore"),
        ("write", "restore"),
        ("write", "a.png"),
        ("write", "a.jpg"),
        ("write", "a.tif"),
        ("write", "a.avif"),
        ("write", "progressive.jpg"),
        ("write", "interlaced.png"),
        ("write", "tiled.tif"),
        ("write", "cmyk.jpg"),
    ],
)
def test_what_works_in_a_fork(folder, before, after):
    assert forked(folder, before, after) == "done"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("write", "write"),
        ("turned.jpg", "write"),
        ("a.webp", "write"),
        ("write", "turned.jpg"),
        ("write", "a.webp"),
    ],
)
def test_what_would_hang_is_refused_at_once(folder, before, after):
    answer = forked(folder, before, after)
    assert "forked" in answer and '"spawn"' in answer
    assert not list(folder.glob("*.part"))


def test_a_restorer_goes_into_other_processes(tiny_model, rng):
    restorer = Restorer.load(tiny_model, precision="fp32")
    pixels = rng.random((3, 20, 30), np.float32)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(restorer, pixels, 25).result(timeout=120)
    np.testing.assert_array_equal(there, restorer(pixels, 25))
