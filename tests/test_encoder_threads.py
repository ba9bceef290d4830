"""AVIF files have the same bytes whatever the number of threads of libvips."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import pyvips
from makers import integers, picture_of

from hyperrestore.picture.encoder_threads import AVIF_THREADS, avif_threads
from hyperrestore.picture.file import write_picture

PROGRAM = """
import sys
from pathlib import Path
from hyperrestore.picture.file import read_picture, write_picture
picture = read_picture(sys.argv[1])
for quality in (90, 100):
    write_picture(Path(sys.argv[2], f"{quality}.avif"), picture, quality=quality)
"""


@pytest.fixture
def usual():
    """A number of threads that nothing else asks for."""
    before = pyvips.concurrency_get()
    pyvips.concurrency_set(3)
    yield 3
    pyvips.concurrency_set(before)


def test_bytes_do_not_depend_on_the_number_of_threads(tmp_path):
    write_picture(tmp_path / "a.png", picture_of(integers(4, 300, 600), 3))
    made = {}
    for threads in ("1", "2", "4", None):
        out = tmp_path / f"by-{threads}"
        out.mkdir()
        environment = {name: value for name, value in os.environ.items() if name != "VIPS_CONCURRENCY"}
        environment |= {"VIPS_CONCURRENCY": threads} if threads else {}
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "a.png"), str(out)]
        subprocess.run(command, env=environment, check=True)
        made[threads] = {path.name: path.read_bytes() for path in out.iterdir()}
        assert len(made[threads]) == 2
    assert all(files == made["1"] for files in made.values())


def test_afterwards_libvips_has_its_own_number_again(tmp_path, usual):
    picture = picture_of(integers(3, 300, 600), 3)
    paths = [tmp_path / f"{number}.avif" for number in range(4)]
    with ThreadPoolExecutor(len(paths)) as pool:
        list(pool.map(lambda path: write_picture(path, picture), paths))
    assert pyvips.concurrency_get() == usual
    assert len({path.read_bytes() for path in paths}) == 1


def test_so_it_has_after_a_failure(usual):
    with pytest.raises(RuntimeError), avif_threads(), avif_threads():
        assert pyvips.concurrency_get() == AVIF_THREADS
        raise RuntimeError
    assert pyvips.concurrency_get() == usual


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_other_formats_are_saved_by_the_usual_number(tmp_path, usual, suffix, monkeypatch):
    monkeypatch.setattr(pyvips, "concurrency_set", lambda number: pytest.fail(f"{number} threads"))
    write_picture(tmp_path / f"a.{suffix}", picture_of(integers(), 3))
