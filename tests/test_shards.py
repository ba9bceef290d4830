"""Shards: parts of a folder that several machines restore, and their reports made one."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import photo

from hyperrestore.cli.main import main
from hyperrestore.restore.folder import in_shard

GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "several-machines.md"


@pytest.fixture
def run(capsys):
    """Run a command line: exit code, what it printed on stdout and stderr."""

    def call(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return call


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), st.integers(1, 50))
def test_every_picture_belongs_to_one_shard(name, count):
    assert sum(in_shard(Path(name), (number, count)) for number in range(1, count + 1)) == 1


def test_shards_are_about_equally_large():
    places = [Path("2019", f"scan {number}.tif") for number in range(1000)]
    sizes = [sum(in_shard(place, (number, 4)) for place in places) for number in range(1, 5)]
    assert min(sizes) > 200


def test_shards_are_the_same_on_every_machine():
    places = [Path("a/b.png"), Path("photo.jpg"), Path("2019/scan 1.tif"), Path("\u00fc.png")]
    assert [next(k for k in range(1, 8) if in_shard(place, (k, 7))) for place in places] == [1, 7, 1, 2]


def filled(folder):
    for name in ("0", "1"):
        (folder / name).mkdir(parents=True)
    for number in range(9):
        photo(folder / f"{number % 2}" / f"{number}.png", seed=number)
    (folder / "bad.png").write_bytes(b"no picture")
    (folder / "note.txt").write_text("a note")
    (folder / "old.gif").write_bytes(b"GIF89a" + bytes(20))
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_shards_make_what_one_run_makes(run, tmp_path):
    scans = filled(tmp_path / "scans")
    words = ("denoise", scans, "-r", "-l", 5)
    run(*words, "-o", tmp_path / "whole", "--report", tmp_path / "whole.json")
    reports = []
    for number in (2, 3, 1):
        reports.append(tmp_path / f"part-{number}.json")
        code, _, said = run(
            *words, "-o", tmp_path / "parts", "--shard", f"{number}/3", "--report", reports[-1]
        )
        assert code == ("bad.png" in said)
        assert f"part {number} of 3: " in said and "of 10 pictures" in said
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")

    code, printed, said = run("report", "merge", *reports, "-o", tmp_path / "merged.json")
    assert (code, printed.strip()) == (1, str(tmp_path / "merged.json")), "a picture failed"
    assert "10 pictures: 9 restored, 0 unchanged, 1 failed, 0 skipped, 0 left" in said
    merged, whole = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("merged", "whole"))
    assert merged["complete"] and not merged["missing_shards"]
    seconds = sum(json.loads(one.read_text())["seconds"] for one in reports)
    assert merged["seconds"] == pytest.approx(seconds, abs=0.002)
    assert merged["totals"] == pytest.approx(whole["totals"])
    for name in ("not_read", "models", "versions", "unreadable_folders"):
        assert merged[name] == whole[name], name

    def told(document):
        return {(entry["source"], entry["status"]) for entry in document["pictures"]}

    assert told(merged) == told(whole) and len(merged["pictures"]) == len(whole["pictures"])


def test_a_shard_without_pictures_has_nothing_to_do(run, tmp_path):
    photo(tmp_path / "a.png")
    codes = [
        run("denoise", tmp_path / "a.png", "-l", 5, "-o", f"{tmp_path}/out/", "--shard", f"{k}/2")[0]
        for k in (1, 2)
    ]
    assert codes == [0, 0] and [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_names_that_collide_are_refused_by_every_shard(run, tmp_path):
    (tmp_path / "in").mkdir()
    photo(tmp_path / "in" / "a.png")
    photo(tmp_path / "in" / "a.jpg")
    for number in (1, 2):
        words = ("-o", tmp_path / "out", "-f", "png", "--shard", f"{number}/2")
        code, _, said = run("denoise", tmp_path / "in", "-r", "-l", 5, *words)
        assert code == 2 and "would both be written" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3", "/", "", "1/100001"])
def test_what_is_no_shard_is_refused(run, shard):
    code, _, said = run("denoise", "a.png", "-l", 5, "-o", "b.png", f"--shard={shard}")
    assert code == 2 and "is not K/N" in said


def report(path, shard, **changes):
    totals = dict.fromkeys(
        ("pictures", "restored", "unchanged", "failed", "skipped", "left", "not_read", "not_pictures"), 0
    )
    document = {
        "complete": True, "seconds": 1.5, "totals": {**totals, "megapixels": 0.0}, "not_read": [],
        "unreadable_folders": [], "settings": {"level": 5, "shard": shard}, "models": [], "versions": {},
        "pictures": [],
    }  # fmt: skip
    path.write_text(json.dumps({**document, **changes}))
    return path


def test_shards_of_different_folders_are_refused(run, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        photo(tmp_path / folder / "a.png")
    paths = [tmp_path / f"{number}.json" for number in (1, 2, 3)]
    for path, folder, out, number in zip(
        paths, ("one", "two", "one"), ("out", "out", "out/"), (1, 2, 2), strict=True
    ):
        words = ("-r", "-l", 5, "-o", f"{tmp_path}/{out}", "--shard", f"{number}/2", "--report", path)
        assert run("denoise", tmp_path / folder, *words)[0] == 0
    code, _, said = run("report", "merge", paths[0], paths[1], "-o", tmp_path / "all.json")
    assert code == 2 and "not of one batch, their settings differ in inputs" in said
    assert run("report", "merge", paths[0], paths[2], "-o", tmp_path / "all.json")[0] == 0
    # Another machine may have the folder at another place.
    elsewhere = paths[2].read_text().replace(str(tmp_path), "Z:/mounted")
    paths[2].write_text(elsewhere)
    assert run("report", "merge", paths[0], paths[2], "-o", tmp_path / "all.json")[0] == 0


def test_missing_and_unfinished_shards_are_told(run, tmp_path):
    out = tmp_path / "all.json"
    first = report(tmp_path / "1.json", [1, 3])
    code, _, said = run("report", "merge", first, report(tmp_path / "3.json", [3, 3]), "-o", out)
    assert code == 1 and "no report of shard 2" in said
    assert json.loads(out.read_text())["missing_shards"] == [2]
    rest = [report(tmp_path / "2.json", [2, 3]), report(tmp_path / "3.json", [3, 3], complete=False)]
    code, _, said = run("report", "merge", first, *rest, "-o", out)
    assert code == 1 and "did not come to its end" in said


@pytest.mark.parametrize(
    ("shard", "changes", "said"),
    [
        ([1, 2], {}, "both are of shard 1/2"),
        ([2, 3], {}, "equally many shards"),
        ([2, 2], {"settings": {"level": 9, "shard": [2, 2]}}, "their settings differ"),
        ([2, 2], {"models": [{"sha256": "0"}]}, "their models differ"),
        ([2, 2], {"versions": {"numpy": "1"}}, "their versions differ"),
        (None, {}, "not the report of a shard"),
        ([3, 2], {}, "not the report of a shard"),
        ([1.5, 2], {}, "not the report of a shard"),
        (["2", "2"], {}, "not the report of a shard"),
        ([2, 2, 2], {}, "not the report of a shard"),
        ([2, 10**13], {}, "not the report of a shard"),
        ([2, 2], {"totals": {}}, "not the report of a shard"),
        ([2, 2], {"seconds": None}, "not the report of a shard"),
        ([2, 2], {"not_read": None}, "not the report of a shard"),
        ([2, 2], {"pictures": ["a.png"]}, "not the report of a shard"),
        ([2, 2], {"pictures": [{"status": "lost", "source": "a.png"}]}, "not the report of a shard"),
    ],
)
def test_what_does_not_belong_together_is_refused(run, tmp_path, shard, changes, said):
    paths = [report(tmp_path / "1.json", [1, 2]), report(tmp_path / "2.json", shard, **changes)]
    code, _, error = run("report", "merge", *paths, "-o", tmp_path / "all.json")
    assert code == 2 and said in error and not (tmp_path / "all.json").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", '"text"', "[" * 100_000])
def test_what_is_no_report_is_refused(run, tmp_path, text):
    (tmp_path / "1.json").write_text(text)
    code, _, error = run("report", "merge", tmp_path / "1.json", "-o", tmp_path / "all.json")
    assert code == 2 and "1.json: not the report of a shard" in error


def test_a_missing_report_is_refused(run, tmp_path):
    code, _, error = run("report", "merge", tmp_path / "1.json", "-o", tmp_path / "all.json")
    assert code == 2 and "cannot be read" in error


def test_a_report_is_not_replaced_by_what_it_is_merged_into(run, tmp_path):
    first, second = (report(tmp_path / f"{number}.json", [number, 2]) for number in (1, 2))
    before = first.read_bytes()
    (tmp_path / "link.json").symlink_to(first)
    for out in (first, tmp_path / "link.json"):
        code, _, said = run("report", "merge", first, second, "-o", out)
        assert code == 2 and "is one of the reports" in said and first.read_bytes() == before


def test_many_files_that_were_not_read_are_merged_at_once(run, tmp_path):
    not_read = [{"source": f"{number}.gif", "kind": "GIF"} for number in range(20_000)]
    paths = [report(tmp_path / f"{k}.json", [k, 50_000], not_read=not_read) for k in (1, 2)]
    start = time.process_time()
    code, _, said = run("report", "merge", *paths, "-o", tmp_path / "all.json")
    assert time.process_time() - start < 10
    assert code == 1 and "shard 3, 4, " in said and "and 49978 more" in said
    assert json.loads((tmp_path / "all.json").read_text())["not_read"] == not_read


@pytest.mark.skipif(shutil.which("parallel") is None, reason="needs GNU parallel")
def test_the_recipe_for_parallel_works(tmp_path):
    (recipe,) = re.findall(r"^```bash\n(parallel .*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "scans").mkdir()
    for number in range(6):
        photo(tmp_path / "scans" / f"{number}.png", seed=number)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-e", "-c", recipe], cwd=tmp_path, env=environment, check=True, timeout=300)
    assert sorted(path.name for path in (tmp_path / "restored").iterdir()) == [f"{n}.png" for n in range(6)]
    assert json.loads((tmp_path / "report.json").read_text())["complete"]
