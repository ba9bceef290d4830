"""The real server, a real browser, and what a person does with the page."""

import base64
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperrestore.measure.metrics import psnr

SIGMA, QUALITY = 18, 20
ONE_STEP = 1  # of 8 bits: the view and the file may round a value that lies on the border differently
COMMAND = [sys.executable, "-c", "import sys; from hyperrestore.cli.main import main; sys.exit(main())"]


def run(*arguments: object) -> None:
    """The command line, as a person runs it."""
    subprocess.run([*COMMAND, *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="session")
def noisy(folder):
    """A photo with noise of sigma 18, 451 x 300."""
    data = pytest.importorskip("skimage.data", reason="the photo comes with scikit-image")
    noise = np.random.default_rng(0).normal(0, SIGMA, (300, 451, 3))
    path = folder / "cat.png"
    Image.fromarray(np.clip(data.chelsea() + noise, 0, 255).round().astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="session")
def compressed(folder):
    """A photo saved as JPEG of quality 20, 512 x 512."""
    data = pytest.importorskip("skimage.data", reason="the photo comes with scikit-image")
    path = folder / "astronaut.jpg"
    Image.fromarray(data.astronaut()).save(path, quality=QUALITY)
    return path


@pytest.fixture(scope="session")
def large(folder, noisy):
    """The noisy photo four times in each direction, 1804 x 1200: more than the window shows."""
    path = folder / "large.png"
    Image.fromarray(np.tile(pixels_of(noisy), (4, 4, 1))).save(path)
    return path


@pytest.fixture(scope="session")
def clean(folder):
    """Photos in which nothing is found, 300 x 200, by suffix; encoded as none of ours would be."""
    data = pytest.importorskip("skimage.data", reason="the photo comes with scikit-image")
    picture = Image.fromarray(data.coffee()).resize((300, 200), Image.Resampling.LANCZOS)
    exif = Image.Exif()
    exif[0x010E] = "a cup"
    picture.save(folder / "cup.png", compress_level=1, exif=exif)
    picture.save(folder / "cup.jpg", quality=99, subsampling=0, exif=exif)
    return {".png": folder / "cup.png", ".jpg": folder / "cup.jpg"}


@pytest.fixture(scope="session")
def by_command(folder):
    """The command line's result for a photo, each made once."""
    made = {}

    def restore(task, photo, level, suffix=".png", *more):
        key = (task, photo, level, suffix, *more)
        if key not in made:
            made[key] = folder / f"{len(made)}{suffix}"
            option = {"upscale": "-s", "restore": "--noise"}.get(task, "-l")
            colours = ("--colour-noise", level) if task == "restore" else ()  # by one network, as the page
            run(task, photo, "-o", made[key], option, level, *colours, *more)
        return made[key]

    return restore


@pytest.fixture(scope="session")
def address():
    """Where `hyperrestore web` answers."""
    pytest.importorskip("uvicorn", reason="the page needs the extra [web]")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*COMMAND, "web", "--no-open", "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        yield server.stdout.readline().strip()
        server.terminate()


@pytest.fixture
def open_page(browser, address):
    """Open the page in a window of its own; whatever it complains of fails the test."""
    contexts, complaints = [], []

    def open_one(*, width: int = 1280, height: int = 860, expect_failures: bool = False, **options: object):
        context = browser.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)  # on a busy machine
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: note_request(request.url))
        if not expect_failures:  # a request that is refused is also a complaint of the console
            page.on("console", note_error)
        page.goto(address)
        return Screen(page)

    def note_request(url: str) -> None:
        if not url.startswith((address, "blob:", "data:")):
            complaints.append(f"another host was contacted: {url}")

    def note_error(line) -> None:
        if line.type == "error":
            complaints.append(f"{line.text} ({line.location['url']})")

    yield open_one
    complained = list(complaints)  # what a window asks while it closes may come too late, and be refused
    for context in contexts:
        context.close()
    assert not complained


@pytest.fixture
def screen(open_page):
    return open_page()


class Screen:
    """What a person sees and does."""

    def __init__(self, page) -> None:
        self.page = page

    def add(self, *files: Path) -> None:
        self.page.set_input_files("input[type=file]", list(files))
        self.page.wait_for_selector("section.dial")

    def denoise(self, *files: Path) -> None:
        """Add photos, and open the tab of the task that is for noise alone."""
        self.add(*files)
        self.press("Denoise")

    def state(self) -> dict[str, str]:
        return self.page.evaluate("() => ({...document.querySelector('.stage').dataset})")

    def settle(self, *, kind: str = "exact", warm: bool = False, seconds: float = 60) -> None:
        """Wait until the view is of that kind, nothing is fetched for it, and the stack is there if asked."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # Views rest for a moment before their pixels are fetched: look twice.
            if self._settled(kind, warm):
                self.page.wait_for_timeout(250)
                if self._settled(kind, warm):
                    return
            self.page.wait_for_timeout(30)
        raise AssertionError(f"the view did not become {kind} in {seconds} s: {self.state()}")

    def _settled(self, kind: str, warm: bool) -> bool:
        state = self.state()
        ready, everything = state["warm"].split("/")
        return state["kind"] == kind and "busy" not in state and (not warm or ready == everything)

    def pixels(self) -> np.ndarray:
        """The canvas of the photo, (h, w, 3) of uint8."""
        self.rest()
        width, height, data = self.page.evaluate(
            """() => {
                const canvas = document.querySelector('.stage > canvas');
                const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                let text = '';
                for (let index = 0; index < data.length; index += 32768)
                    text += String.fromCharCode(...data.subarray(index, index + 32768));
                return [canvas.width, canvas.height, btoa(text)];
            }"""
        )
        return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3]

    def rest(self) -> None:
        """Wait until what was done is on the screen."""
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def level(self) -> float | None:
        """The level in the box; None where the photo is left as it is."""
        self.rest()
        written = self.page.input_value("input.number")
        return float(written) if written else None

    def further(self, name: str) -> float:
        """The value in the box of a further level."""
        self.rest()
        return float(self.page.get_by_role("textbox", name=name, exact=True).input_value())

    def type_further(self, name: str, level: float) -> None:
        box = self.page.get_by_role("textbox", name=name, exact=True)
        box.fill(str(level))
        box.press("Enter")

    def type_level(self, level: float | str) -> None:
        self.page.fill("input.number", str(level))
        self.page.press("input.number", "Enter")

    def turn(self, position: float, *, release: bool = True) -> None:
        """Turn the dial to a position between 0 and 1, as a drag does: input events, then a change event."""
        self.rest()
        self.page.evaluate(
            """([share, release]) => {
                const dial = document.querySelector('.slider input');
                dial.value = share * dial.max;
                dial.dispatchEvent(new Event('input', { bubbles: true }));
                if (release) dial.dispatchEvent(new Event('change', { bubbles: true }));
            }""",
            [position, release],
        )

    def release(self) -> None:
        self.page.dispatch_event(".slider input", "change")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).first.click()

    def stroke(self, *points: tuple[float, float]) -> None:
        """Press the mouse at the first point, drag it through the others, and let go at the last."""
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*point, steps=4)
        self.page.mouse.up()

    def spoken(self) -> str:
        """What a screen reader is told of the view."""
        return self.page.inner_text(".status [role=status]")

    def download(self, name: str = "Download", *, exact: bool = False):
        """Press a link, and give the file that comes; `exact` waits for one of just this name."""
        with self.page.expect_download() as download:
            self.page.get_by_role("link", name=name, exact=exact).click()
        return download.value


def middle(canvas: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The part of a canvas where a photo that is smaller than it stands at 100 %."""
    height, width = shape
    top = round(canvas.shape[0] / 2 - height / 2 + 1e-9)
    left = round(canvas.shape[1] / 2 - width / 2 + 1e-9)
    return canvas[top : top + height, left : left + width]


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    return psnr(*(picture.transpose(2, 0, 1).astype(np.float32) / 255 for picture in (one, other)))


def pixels_of(path):
    return np.asarray(Image.open(path).convert("RGB"))


def assert_same(seen, expected):
    assert seen.shape == expected.shape
    assert np.abs(seen.astype(int) - expected).max() <= ONE_STEP
