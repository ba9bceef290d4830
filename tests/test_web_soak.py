"""Twenty pages at once for two minutes, with the shipped models: nothing is lost, memory is bounded."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from serving import OWN

import hyperrestore.web as web
from hyperrestore import PictureInfo
from hyperrestore.picture.file import Picture, write_picture

SOURCE = Path(web.__file__).parents[2]
PAGES, SECONDS = 20, 120
MEMORY = 3 * 2**20  # KiB
TASKS = {"denoise": (5, 60), "dejpeg": (10, 90), "upscale": (1.2, 3.5)}


class Visitor(threading.Thread):
    """A page whose person looks here and there, changes their mind, and downloads."""

    def __init__(self, number, address, file, end):
        super().__init__()
        self.random = random.Random(number)
        self.address, self.file, self.end = address, file, end
        self.views, self.given_up, self.downloads, self.waits = 0, 0, 0, []
        self.failure = None

    def run(self):
        try:
            with httpx.Client(
                base_url=self.address, headers=OWN, timeout=300, trust_env=False
            ) as self.client:
                self.visit()
        except Exception as error:
            self.failure = error

    def visit(self):
        page = self.client.post("/api/pages").raise_for_status().json()["page"]
        self.client.headers["X-Page"] = page
        photo = self.client.post("/api/photos", content=self.file.read_bytes()).raise_for_status().json()
        self.job = None
        while time.monotonic() < self.end:
            chance = self.random.random()
            if chance < 0.2:
                self.give_up(photo)
            elif chance < 0.3 and self.job is None:
                wanted = {"task": "denoise", "level": self.random.randint(5, 50), "format": "png"}
                answer = self.client.post(f"/api/photos/{photo['id']}/jobs", json=wanted)
                self.job = answer.raise_for_status().json()["id"]
            else:
                begun = time.monotonic()
                answer = self.client.get(self.anywhere(photo))
                self.waits.append(time.monotonic() - begun)
                assert answer.raise_for_status().headers["content-type"] == "image/png"
                self.views += 1
            self.collect()
        while self.job is not None:
            self.collect()
            time.sleep(0.2)
        self.client.delete(f"/api/pages/{page}").raise_for_status()

    def anywhere(self, photo):
        """The address of a region somewhere in the photo or in a result."""
        left, top = (
            self.random.randint(0, photo["width"] - 300),
            self.random.randint(0, photo["height"] - 200),
        )
        address = f"/api/photos/{photo['id']}/region?left={left}&top={top}&width=300&height=200"
        if self.random.random() < 0.3:
            return address
        task = self.random.choice(list(TASKS))
        level = round(self.random.uniform(*TASKS[task]), 1)
        priority = self.random.choice(["now", "background"])
        return f"{address}&task={task}&level={level}&priority={priority}"

    def give_up(self, photo):
        """Ask, and go away."""
        try:
            self.client.get(self.anywhere(photo), timeout=0.1)
        except httpx.ReadTimeout:
            self.given_up += 1

    def collect(self):
        """Download what is done."""
        if self.job is None:
            return
        told = self.client.get(f"/api/jobs/{self.job}").raise_for_status().json()
        assert told["state"] in ("queued", "running", "done"), told
        if told["state"] == "done":
            file = self.client.get(f"/api/jobs/{self.job}/file").raise_for_status()
            assert file.content.startswith(b"\x89PNG")
            self.downloads += 1
            self.job = None


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_twenty_pages_for_two_minutes_lose_nothing(tmp_path):
    generator = np.random.default_rng(0)
    files = []
    for number, (width, height) in enumerate([(900, 700), (1600, 1200), (3000, 2000)]):
        pixels = generator.random((3, height, width), np.float32)
        files.append(tmp_path / f"{number}.jpg")
        write_picture(files[-1], Picture(pixels, None, PictureInfo(width, height, 3)))
    held = tmp_path / "held"
    held.mkdir()
    server = subprocess.Popen(
        [sys.executable, "-c", "from hyperrestore.cli.main import main; raise SystemExit(main())",
         "web", "--no-open", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "TMPDIR": str(held)},
    )  # fmt: skip
    try:
        address = server.stdout.readline().strip()
        end = time.monotonic() + SECONDS
        # Most have small photos: what counts is how many there are.
        visitors = [
            Visitor(each, address, files[0 if each % 5 else each // 5 % 3], end) for each in range(PAGES)
        ]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join(1200)
        status = Path(f"/proc/{server.pid}/status").read_text()
        left = list(held.glob("hyperrestore-web-*/*"))
    finally:
        server.terminate()
        _, said = server.communicate(timeout=60)
    assert [visitor.failure for visitor in visitors] == [None] * PAGES
    peak = int(status.split("VmHWM:")[1].split()[0])
    waits = sorted(wait for visitor in visitors for wait in visitor.waits)
    sums = {
        name: sum(getattr(each, name) for each in visitors) for name in ("views", "given_up", "downloads")
    }
    sys.stdout.write(
        f"{sums}, peak {peak / 2**20:.2f} GiB, views waited {np.median(waits):.2f} s (median), "
        f"{waits[len(waits) * 95 // 100]:.2f} s (95 %)\n"
    )
    assert min(visitor.views for visitor in visitors) > 0
    assert min(sums.values()) > 0
    assert peak < MEMORY
    assert [path.name for path in left] == ["lock"]
    assert said == "hyperrestore: stopped; the temporary files are removed\n"
    assert list(held.iterdir()) == []
