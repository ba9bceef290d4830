"""Response times of the page's server: regions of a 24-megapixel photo, and the whole of it.

python benchmarks/page_latency.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pyvips

import hyperrestore
from hyperrestore import Region, Restorer

VIEW = {"left": 2000, "top": 1500, "width": 1200, "height": 800}
REGION = Region(2000, 1500, 3200, 2300)
STACK = (5, 15, 30, 50, 75)


def main() -> None:
    """Start a server, send it requests as a page does, and print seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repeats", type=int, default=5, help="repetitions of each request; the median is printed"
    )
    options = parser.parse_args()
    pixels = photo()
    server = subprocess.Popen(
        [sys.executable, "-c", "from hyperrestore.cli.main import main; raise SystemExit(main())",
         "web", "--no-open", "--port", "0"],
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(hyperrestore.__file__).parents[1])},
    )  # fmt: skip
    try:
        address = server.stdout.readline().strip()
        with httpx.Client(
            base_url=address, headers={"X-Hyperrestore": "1"}, timeout=600, trust_env=False
        ) as client:
            client.headers["X-Page"] = client.post("/api/pages").json()["page"]
            measure(client, pixels, options.repeats)
        peak = Path(f"/proc/{server.pid}/status").read_text().split("VmHWM:")[1].split()[0]
        show("the server's peak memory, GB", int(peak) / 1e6)
    finally:
        server.terminate()
        server.wait(60)


def photo() -> np.ndarray:
    """Twenty-four megapixels (h, w, 3), smooth with noise."""
    y, x = np.mgrid[0:4000, 0:6000].astype(np.float32)
    waves = [128 + 60 * np.sin(x / 37 + band) + 40 * np.cos(y / 23 + x / 91) for band in range(3)]
    noise = np.random.default_rng(0).normal(0, 12, (4000, 6000, 3))
    return (np.stack(waves, 2) + noise).clip(0, 255).astype(np.uint8)


def measure(client: httpx.Client, pixels: np.ndarray, repeats: int) -> None:
    """Print the time of each request."""
    file = pyvips.Image.new_from_array(pixels, interpretation="srgb").jpegsave_buffer(Q=92)
    begun = time.perf_counter()
    identity = client.post("/api/photos", content=file).json()["id"]
    show(f"upload, decode, inspect ({len(file) / 1e6:.0f} MB JPEG)", time.perf_counter() - begun)

    def ask(**more: object) -> None:
        answer = client.get(f"/api/photos/{identity}/region", params={**VIEW, **more})
        answer.raise_for_status()

    def repeated(label: str, call: Callable[[int], object]) -> None:
        seconds = []
        for number in range(repeats):
            begun = time.perf_counter()
            call(number)
            seconds.append(time.perf_counter() - begun)
        show(f"{label}", statistics.median(seconds))

    repeated("1200 x 800 of the photo itself", lambda number: ask())
    whole = {"left": 0, "top": 0, "width": 1500, "height": 1000, "reduce": 4}
    begun = time.perf_counter()
    ask(**whole)
    show("the whole photo reduced by 4, first", time.perf_counter() - begun)
    repeated("the whole photo reduced by 4, again", lambda number: ask(**whole))

    restorer = Restorer.load("denoise")
    planes = pixels.transpose(2, 0, 1)

    def network(number: int) -> None:
        from hyperrestore import restore_region

        backend = restorer.at(20 + number, bits=8)
        restore_region(
            backend,
            lambda part: planes[:, part.top : part.bottom, part.left : part.right] / np.float32(255),
            REGION, height=4000, width=6000,
        )  # fmt: skip

    repeated("denoise 1200 x 800 at a new level, the network alone", network)
    repeated("denoise 1200 x 800 at a new level", lambda number: ask(task="denoise", level=20 + number))
    repeated("denoise 1200 x 800 at the same level", lambda number: ask(task="denoise", level=25))
    repeated("dejpeg 1200 x 800 at a new level", lambda number: ask(task="dejpeg", level=30 + number))
    repeated("upscale to 1200 x 800 at a new scale", lambda number: ask(task="upscale", level=2 + number / 8))

    def stack(number: int) -> None:
        for level in STACK:
            ask(task="denoise", level=level + number / 8, priority="background")

    repeated(f"a stack of {len(STACK)} levels in the background", stack)

    def amid_stack(number: int) -> None:
        ask(task="denoise", level=20 + number)

    working = threading.Thread(target=lambda: [stack(number) for number in range(100, 100 + repeats)])
    working.start()
    time.sleep(1)
    repeated("denoise 1200 x 800 while a stack is computed", amid_stack)
    working.join()

    job = client.post(f"/api/photos/{identity}/jobs", json={"task": "denoise", "level": 20}).json()["id"]
    begun = time.perf_counter()
    time.sleep(2)
    repeated("denoise 1200 x 800 while the whole is restored", amid_stack)
    while client.get(f"/api/jobs/{job}").json()["state"] in ("queued", "running"):
        time.sleep(0.1)
    show("the whole photo, with those views", time.perf_counter() - begun)


def show(label: str, seconds: float) -> None:
    """Print a line of the table."""
    print(f"{label:60} {seconds:8.3f}", flush=True)


if __name__ == "__main__":
    main()
