"""A folder on a Ray cluster of two machines: the files and the report of one process, whatever is killed."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from makers import photo

from hosts.conftest import host
from hosts.ray_nodes import workers_of
from hyperrestore.cli.main import main
from hyperrestore.restore.stream import AHEAD

SOURCE = Path(__file__).parents[2] / "src"
NODES = Path(__file__).with_name("ray_nodes.py")
# A dead machine is found dead after a second instead of half a minute.
QUICK = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "2"}
ENVIRONMENT = {**os.environ, **QUICK, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
COUNT = 16  # pictures
pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in Linux's /proc")


class Nodes:
    """A cluster of machines, by name."""

    def __init__(self, *names):
        self._process = subprocess.Popen(
            [sys.executable, NODES, *names],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
        )  # fmt: skip
        self.address, *raylets = self._process.stdout.readline().split()
        self._raylets = [int(raylet) for raylet in raylets]

    def tell(self, *words):
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def workers(self):
        return sorted(worker for raylet in self._raylets for worker in workers_of(raylet))

    def close(self):
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0


@pytest.fixture(scope="module")
def nodes():
    host("ray")
    running = Nodes("head", "second")
    yield running
    running.close()


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Pictures of all kinds, two of them bad, and what is none."""
    folder = tmp_path_factory.mktemp("scans")
    for number in range(COUNT):
        below = folder / f"{number % 5}"
        below.mkdir(exist_ok=True)
        suffix = ("png", "jpg", "tif", "webp", "avif")[number % 4 if number < COUNT - 2 else 4]
        photo(below / f"{number:02}.{suffix}", seed=number, width=90 + 7 * number, height=120)
    (folder / "3" / "03.webp").rename(folder / "3" / 'it\'s "3" #?%[x] \udcff.webp')
    for name in ("bad.png", "4/worse.jpg"):
        (folder / name).write_bytes(b"no picture")
    (folder / "note.txt").write_text("a note")
    (folder / "old.gif").write_bytes(b"GIF89a" + bytes(20))
    return folder


@pytest.fixture(scope="module")
def alone(scans, tmp_path_factory):
    """What one process makes of them: a folder, and its report."""
    out, report = tmp_path_factory.mktemp("alone") / "out", tmp_path_factory.mktemp("alone") / "report.json"
    assert main([*map(str, words(scans, out, report))]) == 1, "two are bad"
    return out, report


def words(scans, out, report):
    return ["denoise", scans, "-r", "-l", 15, "-o", out, "--report", report]


def start(address, scans, out, report, *more):
    """A command on the cluster; its results are printed when they are finished."""
    return subprocess.Popen(
        [sys.executable, "-m", "hyperrestore", "-v", *map(str, words(scans, out, report)),
         "--cluster", address, *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="surrogateescape", env=ENVIRONMENT,
    )  # fmt: skip


def finish(process):
    printed, said = process.communicate(timeout=120)
    return process.returncode, printed.splitlines(), said


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def outcomes(report, out):
    """A report without times and the folder of results, and with results as paths below it."""
    document = json.loads(report.read_text())
    del document["seconds"], document["settings"]["out"]
    for entry in document["pictures"]:
        entry.pop("seconds", None)
        entry["target"] = os.path.relpath(entry["target"], out)
    return document


def test_a_cluster_makes_what_one_process_makes(nodes, scans, alone, tmp_path):
    out, report = tmp_path / "out", tmp_path / "report.json"
    code, printed, said = finish(start(nodes.address, scans, out, report))
    assert code == 1, said
    assert sorted(printed) == sorted(str(out / path) for path in contents(out))
    assert contents(out) == contents(alone[0])
    assert outcomes(report, out) == outcomes(alone[1], alone[0])
    assert "16 restored, 0 copied, 0 skipped, 2 failed, 1 not read, 1 not pictures" in said
    assert 1 <= said.count("a worker is ready") <= 2, "there is room for two"
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_worker(nodes, scans, alone, tmp_path, seed):
    moment = random.Random(seed)
    process = start(nodes.address, scans, tmp_path / "out", tmp_path / "report.json")
    _read(process, moment)
    os.kill(moment.choice(nodes.workers()), signal.SIGKILL)
    code, _, said = finish(process)
    assert code == 1, said
    assert said.count("its worker died") <= 1, "at most one picture is done again"
    _is_complete(tmp_path, alone)


def test_a_killed_machine(nodes, scans, alone, tmp_path):
    moment = random.Random(3)
    process = start(nodes.address, scans, tmp_path / "out", tmp_path / "report.json")
    _read(process, moment)
    nodes.tell("kill", "second")
    nodes.tell("add", "second")
    code, _, said = finish(process)
    assert code == 1, said
    assert said.count("its worker died") <= 1, "it had one worker"
    _is_complete(tmp_path, alone)


@pytest.mark.parametrize("seed", [4, 5])
def test_a_killed_command_goes_on(nodes, scans, alone, tmp_path, seed):
    out, report = tmp_path / "out", tmp_path / "report.json"
    process = start(nodes.address, scans, out, report)
    _read(process, random.Random(seed))
    process.kill()
    process.communicate()
    code, _, said = finish(start(nodes.address, scans, out, report))
    assert code == 1, said
    assert contents(out) == contents(alone[0])
    assert not list(out.rglob(".*"))
    entries = json.loads(report.read_text())["pictures"]
    assert len({entry["source"] for entry in entries}) == len(entries) == COUNT + 2
    statuses = [entry["status"] for entry in entries]
    assert 0 < statuses.count("skipped") < COUNT, "what was finished is not done again"
    assert statuses.count("restored") + statuses.count("skipped") == COUNT


def test_ctrl_c_leaves_whole_files_and_a_report(nodes, scans, alone, tmp_path):
    out, report = tmp_path / "out", tmp_path / "report.json"
    process = start(nodes.address, scans, out, report)
    _read(process, random.Random(6))
    process.send_signal(signal.SIGINT)
    code, _, said = finish(process)
    assert code == 130, said
    whole = contents(alone[0])
    made = contents(out)
    assert made and all(whole[path] == content for path, content in made.items())
    assert not list(out.rglob(".*"))
    document = json.loads(report.read_text())
    assert not document["complete"]
    assert document["totals"]["left"] and document["totals"]["pictures"] == COUNT + 2
    assert document["totals"]["restored"] == len(made)


def test_ctrl_c_while_a_large_folder_is_listed(nodes, tmp_path):
    """The rest of it stays unlisted."""
    first = photo(tmp_path / "first.png", width=90, height=60)
    (tmp_path / "in").mkdir()
    many = 10 * AHEAD
    for number in range(many):
        os.link(first, tmp_path / "in" / f"{number}.png")
    report = tmp_path / "report.json"
    process = start(nodes.address, tmp_path / "in", tmp_path / "out", report)
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    code, printed, said = finish(process)
    assert code == 130 and said.endswith("hyperrestore: interrupted\n"), said
    totals = json.loads(report.read_text())["totals"]
    assert totals["pictures"] == totals["restored"] + totals["left"] < len(printed) + 2 * AHEAD < many


def test_two_commands_on_one_folder_restore_each_picture_once(nodes, scans, alone, tmp_path):
    out, reports = tmp_path / "out", [tmp_path / "1.json", tmp_path / "2.json"]
    running = [start(nodes.address, scans, out, report, "--worker-cpus", "0.5") for report in reports]
    for process in running:
        code, _, said = finish(process)
        assert code == 1 and "2 failed" in said, said
    assert contents(out) == contents(alone[0])
    assert not list(out.rglob(".*"))
    restored = [
        entry["target"]
        for report in reports
        for entry in json.loads(report.read_text())["pictures"]
        if entry["status"] == "restored"
    ]
    assert len(set(restored)) == len(restored) == COUNT


def test_shards_of_a_folder_inside_its_pictures(nodes, scans, alone, tmp_path):
    """Together they are one run; the results are not taken for pictures."""
    folder = tmp_path / "scans"
    shutil.copytree(scans, folder)
    out = folder / "restored"
    counts = []
    for shard in ("1/2", "2/2", "2/2"):
        code, _, said = finish(start(nodes.address, folder, out, tmp_path / "report.json", "--shard", shard))
        assert code in (0, 1), said
        counts.append(re.search(rf"part {shard[0]} of 2: (\d+) of {COUNT + 2} pictures", said)[1])
    assert int(counts[0]) + int(counts[1]) == COUNT + 2
    assert contents(out) == contents(alone[0])


def _read(process, moment):
    """Read some of what a command prints, and wait a moment more."""
    for _ in range(moment.randint(2, COUNT // 2)):
        assert process.stdout.readline()
    # Nobody reads on but `communicate`, which begins soon.
    time.sleep(moment.uniform(0, 0.3))


def _is_complete(folder, alone):
    out = folder / "out"
    assert contents(out) == contents(alone[0])
    assert outcomes(folder / "report.json", out) == outcomes(alone[1], alone[0])
    assert not list(out.rglob(".*"))


# --- What is wrong is said in one line ------------------------------------------------------------------


@pytest.fixture
def other(tmp_path):
    """A copy of the package, which a machine may have instead."""
    copy = tmp_path / "other"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy / "hyperrestore"


def of_another_version(package):
    text = (package / "__init__.py").read_text()
    (package / "__init__.py").write_text(text.replace('__version__ = "', '__version__ = "0.'))


def of_an_old_version(package):
    (package / "restore" / "worker.py").unlink()


def with_other_weights(package):
    with (package / "models" / "denoise.safetensors").open("ab") as file:
        file.write(b"\0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (of_another_version, ": has hyperrestore 0."),
        (of_an_old_version, "a machine of the cluster cannot import hyperrestore "),
        (with_other_weights, ": model denoise has other weights ("),
    ],
)
def test_a_machine_that_would_make_other_results(nodes, scans, other, tmp_path, change, words):
    change(other)
    nodes.tell("add", "third", f"PYTHONPATH={other.parent}")
    try:
        code, _, said = finish(start(nodes.address, scans, tmp_path / "out", tmp_path / "report.json"))
    finally:
        nodes.tell("kill", "third")
    errors = [line for line in said.splitlines() if "error: " in line and "is not a PNG" not in line]
    assert code == 2, said
    assert len(errors) == 1 and words in errors[0], said
    assert "Traceback" not in said


def test_a_worker_that_this_machine_has_no_room_for(nodes, scans, tmp_path):
    process = start("local", scans, tmp_path / "out", tmp_path / "report.json", "--worker-cpus", "1000")
    code, printed, said = finish(process)
    assert (code, printed) == (2, [])
    assert re.search(
        r"error: this machine has \d+ CPU, a worker needs 1000; give fewer --worker-cpus\n$", said
    )


def test_where_no_cluster_is(nodes, scans, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.example.org\r\n")

        threading.Thread(target=answer, daemon=True).start()
        code, _, said = finish(start(f"127.0.0.1:{port}", scans, tmp_path / "out", tmp_path / "report.json"))
    assert code == 2
    assert f"error: cluster 127.0.0.1:{port}: what answers there is no cluster; give HOST:PORT" in said
    code, _, said = finish(start(f"127.0.0.1:{port}", scans, tmp_path / "out", tmp_path / "report.json"))
    assert code == 2
    assert f"error: cluster 127.0.0.1:{port}: nothing answers there" in said
