"""Take the pictures of the page that the documentation shows: light and dark, wide and narrow.

python examples/page_pictures.py docs/images

It needs scikit-image for the photos, playwright, and Debian's Chromium (`make test-web` installs them).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from skimage import data

CHROMIUM = "/usr/bin/chromium"
SIGMA, QUALITY = 18, 20
WINDOWS = {"": (1200, 760, "s", "2"), "-narrow": (360, 740, "w", "0")}  # width, height, keys to press
SETTLED = """() => {
    const { kind, busy, warm } = document.querySelector('.stage').dataset;
    const [ready, all] = warm.split('/');
    return kind === 'exact' && busy === undefined && ready === all;
}"""


def make_photos(folder: Path) -> list[Path]:
    """Write a noisy photo, a compressed one and a clean one."""
    noise = np.random.default_rng(0).normal(0, SIGMA, (300, 451, 3))
    noisy = np.clip(data.chelsea() + noise, 0, 255).round().astype(np.uint8)
    Image.fromarray(noisy).save(folder / "cat.png")
    Image.fromarray(data.astronaut()).save(folder / "astronaut.jpg", quality=QUALITY)
    Image.fromarray(data.coffee()).save(folder / "cup.png")
    return [folder / name for name in ("cat.png", "astronaut.jpg", "cup.png")]


def take(browser: Browser, address: str, photos: list[Path], theme: str, ending: str, folder: Path) -> None:
    """Open the page, add the photos, and save what the window shows."""
    width, height, *keys = WINDOWS[ending]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
    page.set_default_timeout(120_000)
    page.goto(address)
    page.set_input_files("input[type=file]", photos)
    page.wait_for_selector("section.dial")
    for photo in photos:
        page.wait_for_selector(f"[title='{photo.name}']")
    page.click(f"[title='{photos[0].name}']")
    page.evaluate("document.activeElement.blur()")  # no ring around it
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_timeout(500)
    page.wait_for_function(SETTLED)
    page.wait_for_timeout(500)
    path = folder / f"web-{theme}{ending}.png"
    page.screenshot(path=path)
    page.close()
    shrink(path)


def shrink(path: Path) -> None:
    """Reduce a picture to 256 colours: a third of the file. Dithering would look like noise."""
    picture = Image.open(path).convert("RGB")
    picture.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path)


def main(folder: Path) -> None:
    """Take all four pictures."""
    command = [sys.executable, "-u", "-m", "hyperrestore", "web", "--no-open", "--port", "0"]
    with (
        tempfile.TemporaryDirectory() as temporary,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        sync_playwright() as running,
    ):
        try:
            address = server.stdout.readline().strip()
            photos = make_photos(Path(temporary))
            browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for theme in ("light", "dark"):
                for ending in WINDOWS:
                    take(browser, address, photos, theme, ending, folder)
            browser.close()
        finally:
            server.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/images"))
