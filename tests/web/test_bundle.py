"""The built page belongs to its sources."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "web"
STATIC = ROOT / "src" / "hyperrestore" / "web" / "static"
IN_STATIC = ["assets/icon.svg", "assets/licences.txt", "assets/page.css", "assets/page.js", "index.html"]


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "node_modules" not in path.parts
    }


def test_the_page_was_built_from_the_sources_as_they_are():
    digest = hashlib.sha256()
    for path, content in sorted(files_below(SOURCES).items()):
        digest.update(f"{path}\n".encode() + content)
    recorded = (STATIC / "sources.sha256").read_text().strip()
    assert recorded == digest.hexdigest(), "the page is older than web/: run `npm ci && npm run build` there"


def test_a_new_build_gives_the_same_bytes(tmp_path):
    npm = shutil.which("npm")
    if npm is None or not (SOURCES / "node_modules").exists():
        pytest.skip("building the page needs Node.js and `npm ci` in web/")
    command = [npm, "run", "build", "--", "--outDir", str(tmp_path / "static"), "--emptyOutDir"]
    subprocess.run(command, cwd=SOURCES, check=True, capture_output=True)
    assert files_below(tmp_path / "static") == files_below(STATIC)


def test_the_page_is_small_and_loads_nothing_from_elsewhere():
    built = files_below(STATIC)
    assert sorted(built) == sorted([*IN_STATIC, "sources.sha256"])
    assert sum(map(len, built.values())) < 150_000
    page = built["index.html"].decode()
    assert re.findall(r'(?:src|href)="([^"]+)"', page) == [
        "./assets/icon.svg",
        "./assets/page.js",
        "./assets/page.css",
    ]
    assert "<style" not in page
    assert "style=" not in page
    scripts = built["assets/page.js"].decode()
    assert not re.findall(r"[\"'`]/(?:api|assets)\b", scripts), "the page may lie below a path"
    # The namespaces of SVG and MathML are names, and nothing is loaded from them.
    assert set(re.findall(r"https?://[\w.]+", scripts)) <= {"http://www.w3.org"}
    assert not re.search(r"\beval\(|new Function\(", scripts)
    assert not re.findall(r"https?://|url\(", built["assets/page.css"].decode())


def test_the_lock_file_names_no_host_to_download_from():
    packages = json.loads((SOURCES / "package-lock.json").read_text())["packages"]
    assert len(packages) > 10
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert all("integrity" in package for name, package in packages.items() if name)
