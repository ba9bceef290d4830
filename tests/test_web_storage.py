"""The private folder: nobody else's, and gone in the end."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from serving import wait_for

from hyperrestore.web import storage
from hyperrestore.web.storage import PREFIX, private_folder

SOURCE = Path(storage.__file__).parents[2]
HOLD = (
    "import pathlib, sys, time\n"
    "from hyperrestore.web.storage import private_folder\n"
    "with private_folder(pathlib.Path(sys.argv[1])) as folder:\n"
    "    (folder / 'photo').write_bytes(b'x')\n"
    "    print(folder, flush=True)\n"
    "    time.sleep(60)"
)


def start(parent):
    """Another process that holds a folder; and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(parent)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    return process, Path(process.stdout.readline().strip())


def test_only_its_owner_can_enter_and_it_is_gone_in_the_end(tmp_path):
    with private_folder(tmp_path) as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "below").mkdir()
        (folder / "below" / "photo").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), private_folder(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_a_living_one_holds_is_not(tmp_path):
    killed, left = start(tmp_path)
    living, held = start(tmp_path)
    try:
        assert (left / "photo").exists(), "a living one's folder was taken for stale"
        killed.kill()
        killed.communicate(timeout=20)
        assert (left / "photo").exists()
        with private_folder(tmp_path) as folder:
            assert sorted(tmp_path.iterdir()) == sorted([held, folder])
            assert (held / "photo").exists()
    finally:
        for process in (killed, living):
            process.kill()
            process.communicate(timeout=20)


def test_a_link_is_not_followed_and_what_is_not_ours_stays(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("lock", "photo"):
        (outside / name).write_bytes(b"x")
    (tmp_path / f"{PREFIX}link").symlink_to(outside)
    (tmp_path / f"{PREFIX}without-lock").mkdir()
    (tmp_path / f"{PREFIX}file").write_bytes(b"x")
    before = sorted(tmp_path.rglob("*"))
    with private_folder(tmp_path):
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_starts_at_the_same_time_do_not_take_each_other_for_stale(tmp_path):
    """Folders of threads that start and end at random: each keeps what it holds."""
    lost = []

    def hold():
        for _ in range(20):
            with private_folder(tmp_path) as folder:
                (folder / "photo").write_bytes(b"x")
                wait_for((folder / "photo").exists, seconds=1)
                lost.extend([] if (folder / "lock").exists() else [folder])

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert lost == []
    assert list(tmp_path.iterdir()) == []
