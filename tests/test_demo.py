"""The demonstration runs, and writes what it says."""

import importlib.util
from pathlib import Path

from hyperrestore import read_picture

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"


def test_the_demo_writes_what_it_says(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    demo.main(tmp_path / "new" / "folder")
    demo.main(tmp_path / "new" / "folder")  # again, over its own files
    lines = capsys.readouterr().out.splitlines()
    paths = [Path(line.split()[0]) for line in lines[: len(lines) // 2]]
    assert sorted(paths) == sorted((tmp_path / "new" / "folder").iterdir())
    pictures = {path.stem: read_picture(path).pixels for path in paths}
    assert list(pictures) == [
        "clean",
        "noisy-sigma-30",
        "restored-level-15",
        "restored-level-30",
        "restored-level-60",
        "all-side-by-side",
    ]
    clean = pictures["clean"]
    assert pictures.pop("all-side-by-side").shape == (3, clean.shape[1], 5 * clean.shape[2])
    errors = {name: ((pixels - clean) ** 2).mean() for name, pixels in pictures.items()}
    assert errors["restored-level-30"] == min(list(errors.values())[1:])
    assert sum("dB" in line for line in lines) == 2 * 4
