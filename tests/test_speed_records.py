"""Records and page of speed: the page is that of the records, and new ones replace old ones of the same."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def speed(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    speed = importlib.import_module("speed")
    monkeypatch.setattr(speed, "RECORDS", tmp_path / "speed.json")
    monkeypatch.setattr(speed, "PAGE", tmp_path / "speed.md")
    return speed


def run(speed, monkeypatch, records, *arguments):
    monkeypatch.setattr(speed, "measure", lambda options: iter(records))
    speed.main(list(arguments))


def test_results_are_kept_if_that_is_asked_for(speed, monkeypatch):
    time = speed.Time(12, "bf16", "bf16", 1536, 11.1, 24.9, "a CPU", 2, "0.15.0", "2026-11-27")
    memory = speed.Memory(
        "ours", "denoise -l 25", "jpg, 8 bit", 12, "bf16", 0, 0, 0.8, "a CPU", 2, "0.15.0", "2026-11-27"
    )
    run(speed, monkeypatch, [time, memory])
    assert not speed.RECORDS.exists() and not speed.PAGE.exists()
    run(speed, monkeypatch, [time, memory], "--save")
    page = speed.PAGE.read_text()
    assert "| 12 | bf16 / bf16 | 1536 | 11.1 / 24.9 | 0.45 | - / - | - / - | a CPU | 2 | 0.15.0 |" in page
    assert "| ours | denoise -l 25 | jpg, 8 bit | 12 | bf16 | - | - | 0.80 | a CPU | 2 |" in page
    assert "## Upscaling" not in page
    later = replace(time, seconds=9.5, version="0.16.0", gflops=400.0)
    elsewhere = replace(time, seconds=3.0, cpu="another CPU")
    enlarged = speed.Upscaling("upscale", 12, 2, "bf16", 4.2, "a CPU", 2, "0.16.0", "2026-11-28")
    run(speed, monkeypatch, [later, elsewhere, enlarged], "--save")
    kept = speed.read_speeds(speed.RECORDS)
    assert kept.time == (later, elsewhere) and kept.memory == (memory,)
    assert "| upscale | 12 | 2 | bf16 | 4.2 | a CPU |" in speed.PAGE.read_text()


def test_a_damaged_file_is_named_before_anything_is_measured(speed, monkeypatch):
    speed.RECORDS.write_text('{"time": [{"seconds": "long"}]}')
    with pytest.raises(SystemExit, match=r"speed\.json: cannot be read .* restore it"):
        run(speed, monkeypatch, [pytest.fail], "--save")


def test_the_page_is_that_of_the_records(speed):
    records = speed.read_speeds(BENCHMARKS / "results" / "speed.json")
    assert records.time and records.memory
    assert (BENCHMARKS.parent / "docs" / "speed.md").read_text() == speed.page(records)
