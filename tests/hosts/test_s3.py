"""Object storage as it is: a server that speaks S3, on this machine, which is stopped and started again."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from makers import photo
from PIL import Image

pytest.importorskip("s3fs")
pytest.importorskip("moto")

USER = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}


# What it holds is lost with it, so it is filled before it listens.
SERVER = """
import sys
from pathlib import Path
from moto.s3.models import s3_backends
from moto.server import main

port, folder = sys.argv[1], Path(sys.argv[2])
held = s3_backends["123456789012"]["aws"]
held.create_bucket("photos", "us-east-1")
for file in folder.rglob("*"):
    if file.is_file():
        held.put_object("photos", file.relative_to(folder).as_posix(), file.read_bytes())
main(["-H", "127.0.0.1", "-p", port])
"""


class Storage:
    """A server on a port of this machine, whose bucket `photos` holds what a folder does when it starts."""

    def __init__(self, port, folder):
        self.port, self.folder = port, folder
        self.url = f"http://127.0.0.1:{port}"
        self.env = {**os.environ, **USER, "AWS_ENDPOINT_URL": self.url}
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.port), str(self.folder)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "100000"},
        )  # fmt: skip
        end = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < end and self.process.poll() is None
            time.sleep(0.1)

    def _answers(self):
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def files(self):
        import s3fs

        return s3fs.S3FileSystem(
            key="testing", secret="testing", endpoint_url=self.url, skip_instance_cache=True,
            use_listings_cache=False,
        )  # fmt: skip

    def words(self, *words):
        return [sys.executable, "-m", "hyperrestore", *map(str, words)]

    def run(self, *words, **env):
        """A command line: exit code, lines on stdout and stderr."""
        done = subprocess.run(
            self.words(*words),
            capture_output=True,
            text=True,
            timeout=200,
            env={**self.env, **env},
            check=False,
        )
        return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


@pytest.fixture
def storage(scans):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    made = Storage(port, scans)
    yield made
    made.kill()


@pytest.fixture
def scans(tmp_path):
    """Pictures below a folder, one with metadata, one bad."""
    folder = tmp_path / "scans"
    (folder / "2019").mkdir(parents=True)
    for number in range(4):
        photo(folder / "2019" / f"{number} ü.png", seed=number)
    exif = Image.Exif()
    exif[0x010E] = "a description"
    Image.new("RGB", (60, 40), "gray").save(folder / "a.jpg", exif=exif)
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def results(files, place):
    return {name.removeprefix(f"{place}/"): files.cat_file(name) for name in files.find(place)}


def test_a_bucket_is_restored_as_a_folder_is(storage, scans, tmp_path):
    files = storage.files()
    code, _, said = storage.run("denoise", "-l", 25, "-r", scans, "-o", tmp_path / "out")
    words = (
        "denoise",
        "-l",
        25,
        "-r",
        "s3://photos",
        "-o",
        "s3://photos/out",
        "--report",
        "s3://photos/r.json",
    )
    stored_code, put, stored_said = storage.run(*words)
    assert (code, said[-1]) == (stored_code, stored_said[-1])
    assert code == 1
    made = results(files, "photos/out")
    assert made == content(tmp_path / "out")
    assert sorted(put) == [f"s3://photos/out/{name}" for name in sorted(made)]
    assert json.loads(files.cat_file("photos/r.json"))["totals"]["restored"] == 5

    files.rm("photos/out/2019/1 ü.png")
    code, put, said = storage.run(*words)
    assert put == ["s3://photos/out/2019/1 ü.png"], "only what is missing"
    assert results(files, "photos/out") == made
    before = files.info("photos/out/a.jpg")["LastModified"]
    assert storage.run("denoise", "-l", 25, "s3://photos/a.jpg", "-o", "s3://photos/out/")[0] == 2
    assert files.info("photos/out/a.jpg")["LastModified"] == before, "it is not replaced"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["s3://missing/scans", "-r", "-o", "out/"], 1, "there is no such file, folder or bucket"),
        (["s3://missing", "-r", "-o", "out/"], 1, "there is no such file, folder or bucket"),
        (["s3://photos", "-r", "-o", "s3://missing/out"], 1, "there is no such file, folder or bucket"),
        (["s3://photos/empty/", "-r", "-o", "out/"], 1, "there is no such file, folder or bucket"),
        (["gs://photos/a.png", "-o", "out/"], 2, "needs gcsfs: pip install 'gcsfs'"),
        (["az://photos/a.png", "-o", "out/"], 2, "needs adlfs: pip install 'adlfs'"),
        (["ftp://photos/a.png", "-o", "out/"], 2, "ftp:// is unknown"),
        (["s3://photos", "-o", "out/"], 2, "is a folder; give -r"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(storage, tmp_path, monkeypatch, words, code, sentence):
    monkeypatch.chdir(tmp_path)
    ended, put, said = storage.run("denoise", "-l", 25, *words)
    assert (ended, put) == (code, [])
    assert sentence in said[0]
    assert not any("Traceback" in line for line in said)


def test_without_permission_it_says_so(storage, tmp_path):
    plain = {"Content-Type": "text/plain"}
    ask = urllib.request.Request(f"{storage.url}/moto-api/reset-auth", b"0", plain)  # from now on
    urllib.request.urlopen(ask, timeout=20).close()
    code, _, said = storage.run("denoise", "-l", 25, "s3://photos", "-r", "-o", tmp_path / "out")
    assert code == 1
    assert "s3://photos: no permission (" in said[0]
    assert len(said) == 1


@contextlib.contextmanager
def running(storage, *words, **env):
    """A command that goes on while the server is killed and started."""
    with subprocess.Popen(
        storage.words(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**storage.env, **env},
    ) as process:  # fmt: skip
        yield process
        process.kill()


def test_a_server_that_returns_in_time_is_waited_for(storage):
    storage.kill()
    words = ("-v", "denoise", "-l", 25, "s3://photos/a.jpg", "-o", "s3://photos/b.png")
    with running(storage, *words, AWS_MAX_ATTEMPTS="5") as process:
        said = next(line for line in process.stderr if "trying again" in line)
        assert "s3://photos/a.jpg: " in said
        storage.start()
        put, rest = process.communicate(timeout=100)
    assert process.returncode == 0, rest
    assert put.splitlines() == ["s3://photos/b.png"]
    assert storage.files().exists("photos/b.png")


def test_a_server_that_stays_away_fails_only_what_needs_it(storage, scans, tmp_path):
    """It is killed after the first result; some of the others fail, and the next run makes them."""
    storage.kill()
    shutil.rmtree(scans)
    scans.mkdir()
    for number in range(8):
        photo(scans / f"{number}.png", seed=number)
    storage.start()
    out = tmp_path / "out"
    words = ("denoise", "-l", 25, "s3://photos", "-r", "-o", out)
    with running(storage, *words) as process:
        end = time.monotonic() + 60
        while not list(out.glob("*.png")):
            assert time.monotonic() < end
            time.sleep(0.01)
        storage.kill()
        put, said = process.communicate(timeout=200)
    put = put.splitlines()
    assert process.returncode == 1
    failed = [line for line in said.splitlines() if "the storage does not answer as it should" in line]
    assert len(put) + len(failed) == 8, said
    assert failed and all(", 4 attempts)" in line for line in failed)
    assert sorted(map(str, out.iterdir())) == sorted(put), "nothing half-written is left"

    storage.start()
    code, again, said = storage.run(*words)
    assert code == 0, said
    assert len(put) + len(again) == len(list(out.iterdir())) == 8
