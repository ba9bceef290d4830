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
        "denoised-level-15",
        "denoised-level-30",
        "denoised-level-60",
        "denoise-side-by-side",
        "jpeg-quality-15",
        "repaired-level-45",
        "repaired-level-15",
        "repaired-level-5",
        "dejpeg-side-by-side",
        "bicubic-scale-3",
        "upscaled-scale-3",
        "upscale-side-by-side",
    ]
    clean = pictures["clean"]
    for task, count in (("denoise", 5), ("dejpeg", 5), ("upscale", 3)):
        assert pictures.pop(f"{task}-side-by-side").shape == (3, clean.shape[1], count * clean.shape[2])
    errors = {name: ((pixels - clean) ** 2).mean() for name, pixels in pictures.items()}
    for level, kinds in (
        ("denoised-level-30", ("noisy", "denoised")),
        ("repaired-level-15", ("jpeg", "repaired")),
        ("upscaled-scale-3", ("bicubic", "upscaled")),
    ):
        assert errors[level] == min(error for name, error in errors.items() if name.startswith(kinds))
    assert sum("dB" in line for line in lines) == 2 * 10
