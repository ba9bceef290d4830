"""The page about what each format preserves: every cell is measured, and nothing is lost silently."""

import importlib
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "fidelity.md"
BY_PILLOW = ("transparency", "colours under full transparency", "EXIF: maker notes")  # needs no programs


@pytest.fixture
def fidelity(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("fidelity")


def cells():
    """By property and format."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if re.match(r"\|(?!-)", line)
    ]
    formats = rows[0][1:]
    return {row[0]: dict(zip(formats, row[1:], strict=True)) for row in rows[1:]}


def test_the_page_is_whole_and_nothing_is_lost_in_silence(fidelity):
    table = cells()
    assert list(table) == [*(name for name, _, _ in fidelity.PROPERTIES), "several pages or frames"]
    for row in table.values():
        assert list(row) == list(fidelity.FORMATS)
        for cell in row.values():
            assert re.match(r"kept|converted: |left out: |lost: |refused$|-$", cell)
            assert not re.search("LOST|KEPT|FLATTENED", cell)


def test_what_is_measured_here_is_what_the_page_says(fidelity, tmp_path):
    table = cells()
    measured = fidelity.measure(tmp_path, "png", BY_PILLOW)
    assert set(measured) == set(BY_PILLOW)
    for name in BY_PILLOW:
        assert fidelity.cell(measured[name]) == table[name]["PNG"] == "kept"


@pytest.mark.slow
def test_the_page_is_what_the_command_writes(fidelity, tmp_path):
    missing = [name for name in fidelity.PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    assert fidelity.main(["-o", str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text() == PAGE.read_text()
