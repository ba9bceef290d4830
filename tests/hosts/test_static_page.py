"""The page of `hyperrestore export --as page`, from Python's own web server, in Chromium.

ONNX Runtime for browsers is downloaded by npm.
"""

import contextlib
import functools
import http.server
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import CHROMIUM, QUIET
from PIL import Image

from hyperrestore.run.forms.static_page import TILE
from hyperrestore.run.forms.web_runtime import TESTED

COMMAND = [sys.executable, "-m", "hyperrestore"]
ENDED = ".chip[data-done], .banner:not([hidden])"
TIMES = "\N{MULTIPLICATION SIGN}"
MINUTES = 300_000  # ms, on a busy machine


def run(*arguments):
    subprocess.run([*COMMAND, *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="session")
def runtime(tmp_path_factory):
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("downloading ONNX Runtime for browsers needs npm")
    folder, package = tmp_path_factory.mktemp("npm"), f"onnxruntime-web@{TESTED}"
    subprocess.run([npm, "pack", "--prefer-offline", package], cwd=folder, check=True, capture_output=True)
    return folder / f"onnxruntime-web-{TESTED}.tgz"


class Silent(http.server.SimpleHTTPRequestHandler):
    """What `python -m http.server` answers with."""

    def log_message(self, *arguments):
        pass


class Slow(Silent):
    """A server that takes its time for the page's description."""

    def do_GET(self):
        if self.path.endswith("page.json"):
            time.sleep(2)
        super().do_GET()


class Isolating(Silent):
    """A server that lets the page use threads."""

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


@pytest.fixture(scope="module")
def site(runtime, browser, tmp_path_factory):
    """A folder with the pages of the shipped models."""
    folder = tmp_path_factory.mktemp("site")
    for model in ("denoise", "dejpeg"):
        run("export", model, "--as", "page", "--runtime", runtime, "-o", folder / model)
    return folder


@contextlib.contextmanager
def serving(folder, handler=Silent):
    """Serve a folder; gives the address."""
    answer = functools.partial(handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def address(site):
    with serving(site) as where:
        yield where


@pytest.fixture
def open_page(browser, address):
    """Open the page of a model; an error, or a request to any other host, fails the test."""
    contexts, asked, complaints, hosts = [], [], [], []

    def open_one(model="denoise", *, query="", by=browser, at=address):
        hosts.append(at)
        context = by.new_context(accept_downloads=True)
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.set_default_timeout(MINUTES)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.goto(f"{at}/{model}/{query}")
        return Screen(page)

    yield open_one
    complained = list(complaints)
    for context in contexts:
        context.close()
    assert not complained
    assert asked
    known = (*hosts, *(f"blob:{host}" for host in hosts), "data:")
    assert not [url for url in asked if not url.startswith(known)]


class Screen:
    """What a person sees and does."""

    def __init__(self, page):
        self.page = page

    def choose(self, photo):
        self.page.set_input_files("input[type=file]", photo)
        self.page.wait_for_selector(".page:not([data-empty]) .restore:enabled, .banner:not([hidden])")

    def restore(self, level):
        self.page.fill(".number", str(level))
        self.page.press(".number", "Enter")
        self.page.click(".restore")
        self.page.wait_for_selector(ENDED)
        assert not self.trouble()

    def trouble(self):
        return self.page.inner_text(".banner")

    def saved(self, path):
        with self.page.expect_download() as download:
            self.page.click(".save")
        download.value.save_as(path)
        with Image.open(path) as picture:
            assert picture.mode in ("RGB", "RGBA")  # 8 bits
            return np.asarray(picture.convert("RGBA"))


def photo(path, width, height, *, grey=False, seed=0):
    """A noisy picture with edges, as a file."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 40
    planes = [0.5 + 0.3 * np.sin(x + phase) * np.cos(y * (1 + phase)) for phase in (0, 0.4, 0.9)]
    clean = 255 * (np.stack(planes, axis=-1) + 0.15 * ((x * 7).astype(int) % 2)[..., None])
    noisy = np.clip(clean + rng.normal(0, 25, clean.shape), 0, 255).round().astype(np.uint8)
    Image.fromarray(np.repeat(noisy[..., :1], 3, axis=-1) if grey else noisy).save(path)
    return path


def by_command(task, source, level):
    target = Path(source).with_name("by-command.png")
    run(task, source, "-o", target, "-l", level, "--precision", "fp32", "--overwrite")
    return np.asarray(Image.open(target).convert("RGBA"))


def assert_within_one_step(result, wanted):
    assert result.shape == wanted.shape
    assert np.abs(result.astype(int) - wanted).max() <= 1
    assert (result != wanted).mean() < 0.001  # values on the border between two steps


SIZES = [(96, 80), (97, 61), (5, 3), (1, 1)]


def test_the_page_restores_as_the_command_does(open_page, tmp_path):
    screen = open_page()
    for seed, (width, height) in enumerate(SIZES):
        source = photo(tmp_path / f"photo-{width}.png", width, height, seed=seed)
        screen.choose(source)
        screen.page.wait_for_selector(f".before[width='{width}']")
        screen.restore(25)
        assert_within_one_step(screen.saved(tmp_path / "saved.png"), by_command("denoise", source, 25))


def test_tiles_have_no_seams(open_page, tmp_path):
    width, height = TILE + 150, 200
    source = photo(tmp_path / "wide.png", width, height)
    screen = open_page()
    screen.choose(source)
    screen.restore(40)
    result, wanted = screen.saved(tmp_path / "saved.png"), by_command("denoise", source, 40)
    assert_within_one_step(result, wanted)
    assert (result != wanted)[:, TILE - 4 : TILE + 4].mean() < 0.005  # nor more of them beside the seam
    assert screen.page.inner_text(".chip").startswith(f"sigma 40 · {width} {TIMES} {height} · ")


def test_a_photo_may_be_chosen_before_the_levels_are_known(open_page, site, tmp_path):
    source = photo(tmp_path / "early.png", 32, 24)
    with serving(site, Slow) as where:
        screen = open_page(at=where)
        screen.page.set_default_timeout(20_000)
        screen.choose(source)
        screen.restore(25)
        assert_within_one_step(screen.saved(tmp_path / "saved.png"), by_command("denoise", source, 25))


def test_jpeg_is_repaired_by_a_quality(open_page, tmp_path):
    source = tmp_path / "photo.jpg"
    Image.open(photo(tmp_path / "photo.png", 120, 90)).save(source, quality=20, subsampling=0)
    screen = open_page("dejpeg")
    screen.choose(source)
    screen.restore(20)
    decoded = screen.page.evaluate(
        """() => {
            const canvas = document.querySelector('.before');
            return [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data];
        }"""
    )
    # The browser's own decoder may differ from ours by a step, so the command is given what it decoded.
    pixels = np.array(decoded, np.uint8).reshape(90, 120, 4)[..., :3]
    Image.fromarray(pixels).save(tmp_path / "decoded.png")
    wanted = by_command("dejpeg", tmp_path / "decoded.png", 20)
    assert_within_one_step(screen.saved(tmp_path / "saved.png"), wanted)


def test_grey_stays_grey_and_sigma_0_changes_nothing(open_page, tmp_path):
    source = photo(tmp_path / "grey.png", 64, 50, grey=True)
    screen = open_page()
    screen.choose(source)
    screen.restore(30)
    result = screen.saved(tmp_path / "saved.png")
    assert (result[..., 0] == result[..., 1]).all() and (result[..., 0] == result[..., 2]).all()
    assert_within_one_step(result, by_command("denoise", source, 30))
    screen.restore(0)
    np.testing.assert_array_equal(
        screen.saved(tmp_path / "saved.png")[..., :3], np.asarray(Image.open(source))
    )


def test_alpha_stays_as_it_is(open_page, tmp_path):
    picture = Image.open(photo(tmp_path / "photo.png", 70, 40))
    alpha = np.full((40, 70), 255, np.uint8)
    alpha[:, :20], alpha[:, 20:40] = 0, 128
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "alpha.png")
    screen = open_page()
    screen.choose(tmp_path / "alpha.png")
    screen.restore(25)
    np.testing.assert_array_equal(screen.saved(tmp_path / "saved.png")[..., 3], alpha)


def test_the_page_stays_responsive_and_can_be_stopped(open_page, tmp_path):
    screen = open_page()
    page = screen.page
    screen.choose(photo(tmp_path / "long.png", 3 * TILE, 300))
    page.click(".restore")
    page.get_by_text("tile 1 of 3").wait_for()
    page.fill(".number", "7")
    page.press(".number", "Enter")
    assert page.input_value(".dial [type=range]") == "14"
    page.click(".restore")  # now "Stop"
    assert page.inner_text(".restore") == "Restore"
    assert page.is_disabled(".save") and page.is_hidden(".after")
    screen.choose(photo(tmp_path / "short.png", 40, 30))
    page.wait_for_selector(".before[width='40']")
    screen.restore(25)
    assert page.inner_text(".chip").startswith(f"sigma 25 · 40 {TIMES} 30 · ")


def test_what_cannot_be_restored_is_refused_in_words(open_page, tmp_path):
    screen = open_page()
    (tmp_path / "notes.txt").write_text("not a photo")
    screen.choose(tmp_path / "notes.txt")
    assert screen.trouble() == "notes.txt: this browser cannot read it; give a JPEG, PNG or WebP file"
    Image.new("RGB", (16400, 8)).save(tmp_path / "long.png")
    screen.choose(tmp_path / "long.png")
    screen.page.get_by_text("long.png: ").wait_for()
    assert f"16400 {TIMES} 8 pixels are too many for a browser" in screen.trouble()
    screen.choose(photo(tmp_path / "photo.png", 30, 20))
    screen.page.wait_for_selector(".restore:enabled")
    screen.page.fill(".number", "101")
    screen.page.press(".number", "Enter")
    assert screen.page.evaluate("document.querySelector('.number').validationMessage") == (
        "sigma takes a number from 0 to 100."
    )


def test_threads_compute_the_same(site, open_page, tmp_path):
    source = photo(tmp_path / "photo.png", 230, 190)
    with serving(site, Isolating) as where:
        screen = open_page(at=where)
        assert screen.page.evaluate("crossOriginIsolated")
        screen.choose(source)
        screen.restore(25)
    assert_within_one_step(screen.saved(tmp_path / "saved.png"), by_command("denoise", source, 25))


@pytest.mark.slow
def test_webgpu_computes_the_same(browser, open_page, tmp_path):
    """By Chromium's emulation of a graphics card, which is far slower than the processor."""
    emulated = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]
    source = photo(tmp_path / "photo.png", 43, 30)
    with browser.browser_type.launch(executable_path=CHROMIUM, args=[*QUIET, *emulated]) as other:
        screen = open_page(query="?device=gpu", by=other)
        screen.choose(source)
        screen.restore(25)
        assert screen.page.inner_text(".chip").endswith("graphics card")
        assert_within_one_step(screen.saved(tmp_path / "saved.png"), by_command("denoise", source, 25))
