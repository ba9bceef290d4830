"""The scripts of the guide for digiKam, RawTherapee and darktable, with stand-ins for these programs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hyperrestore import Picture, PictureInfo, read_picture, write_picture

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "hosts.md"
SECTION = PAGE.read_text().split("\n## digiKam, RawTherapee, darktable\n")[1]
SCRIPTS = re.findall(r"^```sh\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
DEVELOP = "import shutil, sys\nfrom pathlib import Path\n"
# What each writes for its arguments, as it documents them.
PROGRAMS = {
    "rawtherapee-cli": f"""{DEVELOP}
words = sys.argv[1:]
out, photos = Path(words[words.index("-o") + 1]), Path(words[words.index("-c") + 1])
assert "-t" in words and "-b16" in words and words[-2] == "-c" and out.is_dir()
for photo in photos.iterdir():
    shutil.copy("developed-as.tif", out / f"{{photo.stem}}.tif")
""",
    "darktable-cli": f"""{DEVELOP}
photo, out, core, *words = sys.argv[1:]
assert core == "--core" and words == ["--conf", "plugins/imageio/format/tiff/bpp=16"] and Path(photo).exists()
shutil.copy("developed-as.tif", out)
""",
}


@pytest.fixture
def shell(tmp_path, monkeypatch, noisy):
    """Run a script in a folder with a developed picture of 16 bits; the programs are on the path."""
    monkeypatch.chdir(tmp_path)
    programs = {
        "hyperrestore": "import sys\nfrom hyperrestore.cli.main import main\nsys.exit(main())",
        **PROGRAMS,
    }
    for name, text in programs.items():
        program = tmp_path / "programs" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable}\n{text}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}{os.pathsep}{os.environ['PATH']}")
    write_picture("developed-as.tif", Picture(noisy, None, PictureInfo(83, 61, 3, bits=16)))
    return lambda script: subprocess.run(["sh", "-ec", script], check=True)


def assert_restored(path, noisy):
    result = read_picture(path)
    assert result.info.bits == 16
    assert np.abs(result.pixels - noisy).mean() > 5 / 255


@pytest.mark.parametrize("name", ["photo.tif", "a 'name' with $(touch x) & spaces.tif"])
def test_digikam(shell, noisy, tmp_path, name):
    """digiKam replaces $INPUT and $OUTPUT by names in quotes. The output may exist."""
    (tmp_path / name).write_bytes((tmp_path / "developed-as.tif").read_bytes())
    target = tmp_path / f"out {name}"
    places = {"$INPUT": shlex.quote(str(tmp_path / name)), "$OUTPUT": shlex.quote(str(target))}
    script = re.sub(r"\$(INPUT|OUTPUT)", lambda found: places[found[0]], SCRIPTS[0])
    for _ in range(2):
        shell(script)
        assert_restored(target, noisy)
    assert not (tmp_path / "x").exists()


def test_rawtherapee(shell, noisy, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.nef", "b.cr3"):
        (tmp_path / "photos" / name).write_bytes(b"")
    shell(SCRIPTS[1])
    assert sorted(path.name for path in (tmp_path / "restored").iterdir()) == ["a.tif", "b.tif"]
    assert_restored(tmp_path / "restored" / "a.tif", noisy)


def test_darktable(shell, noisy, tmp_path):
    (tmp_path / "photo.nef").write_bytes(b"")
    shell(SCRIPTS[2])
    assert_restored(tmp_path / "restored.tif", noisy)
