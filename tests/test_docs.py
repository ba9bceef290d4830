"""The documentation: its examples run, its commands are accepted, its links lead somewhere."""

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest

from hyperrestore import Picture, PictureInfo, write_picture
from hyperrestore.cli.arguments.parser import parser
from hyperrestore.run.forms.web_runtime import TESTED

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "guide").glob("*.md")])
TOLD_ELSEWHERE = {
    "training-on-a-gpu.md",
    "experiments.md",
}  # shell variables, and commands of earlier versions

RUN_ELSEWHERE = {"hosts.md"}  # inside other programs: tests/hosts/test_guide.py


def blocks(page, language):
    """The code blocks of a page in one language; "" is a block that names none."""
    every = re.findall(r"^```(.*?)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for named, text in every if named == language]


def named(pages):
    return {"argvalues": pages, "ids": [str(page.relative_to(ROOT)) for page in pages]}


@pytest.mark.parametrize(
    "page", **named([page for page in PAGES if blocks(page, "python") and page.name not in RUN_ELSEWHERE])
)
def test_python_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).random((3, 40, 60), dtype=np.float32)
    write_picture("photo.jpg", Picture(pixels, None, PictureInfo(60, 40, 3)))
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), {})


def commands(page):
    """Every `hyperrestore ...` line of a page's shell blocks."""
    for block in blocks(page, "") + blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.strip(), comments=True)
            if words[:1] == ["hyperrestore"] and words[1:] not in (["--version"], ["COMMAND", "--help"]):
                yield [word for word in words[1:] if word != "&"]


@pytest.mark.parametrize(
    "page", **named([page for page in PAGES if page.name not in TOLD_ELSEWHERE and list(commands(page))])
)
def test_commands_are_accepted(page):
    for words in commands(page):
        parser().parse_args(words)


@pytest.mark.parametrize("page", **named([page for page in PAGES if list(commands(page))]))
def test_commands_of_a_block_write_different_files(page):
    """Who follows them one after another is not told that a file exists."""
    for block in blocks(page, ""):
        outputs = re.findall(r"^hyperrestore .*?(?:-o|--out) (\S+)", block, re.MULTILINE)
        assert len(outputs) == len(set(outputs)), outputs


GUIDE = [page for page in PAGES if page.parent.name == "guide"]


@pytest.mark.parametrize("page", **named(GUIDE))
def test_options_in_the_text_exist(page):
    """Those of the command line, which is what the guide speaks of."""
    (commands,) = (action for action in parser()._actions if action.dest == "command")
    known = {option for command in commands.choices.values() for option in command._option_string_actions}
    named = {word for code in re.findall(r"`([^`\n]+)`", page.read_text()) for word in code.split()}
    assert {word for word in named if re.fullmatch(r"--[a-z-]+", word)} <= known


@pytest.mark.parametrize("page", **named(PAGES))
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists() or target in GENERATED, target


def test_the_table_of_hosts_names_the_versions_that_are_tested():
    """As far as they are pinned: the packages of the extra `test-hosts`, and the browser's ONNX Runtime."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][
        "test-hosts"
    ]
    pinned = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?==([\d.]+)", "\n".join(extra), re.MULTILINE))
    pinned |= {"a browser, without a server": TESTED}
    packages = {
        "Hugging Face hub": "huggingface-hub",
        "VapourSynth": "vapoursynth",
        "vs-mlrt": "vapoursynth-mlrt-ort",
        "programs that run ONNX": "onnxruntime",
        "films": "av",
    }
    page = (ROOT / "docs" / "guide" / "hosts.md").read_text()
    told = 0
    for line in re.findall(r"^\| \[.+", page, re.MULTILINE):
        cells = line.strip("| ").split(" | ")
        host = cells[0].split("]")[0].strip("[")
        wanted = pinned.get(packages.get(host, host))
        if wanted is not None:
            version = re.search(r"\d[\d.]*", cells[6])[0]
            assert wanted == version or wanted.startswith(f"{version}."), host
            told += 1
    assert told == 10


GENERATED = {"commands.md", "python.md"}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.fixture
def fresh_hosts(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("fresh_hosts")


def test_the_commands_that_are_timed_are_those_of_the_page(fresh_hosts):
    page = fresh_hosts.PAGE.read_text()
    for host in fresh_hosts.RESTORED:
        told = fresh_hosts.told(page, host)
        assert told.packages[0] in ("hyperrestore", "hyperrestore[torch]")
        compile(told.example, host, "exec")
    table = re.findall(r"^\| (.+?) \| \d+ s \| \d+ s \| \d+ s \| \d+ s \| 0\.\d+ \|$", page, re.MULTILINE)
    assert set(table) <= set(fresh_hosts.RESTORED) and table
