"""The CPUs that a process may use: those of the machine, or fewer in a container."""

import os

import pytest

from hyperrestore.run.device import cpu_threads
from hyperrestore.run.openvino import _limit_threads


@pytest.fixture
def threads(tmp_path, monkeypatch):
    """The threads on a machine of 16 CPUs whose groups have these limits; the process is in `group`."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)

    def count(group, **limits):
        for name, limit in limits.items():
            folder = tmp_path / "cgroup" / name.replace("_", "/").strip("/")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "cpu.max").write_text(limit + "\n")
        (tmp_path / "membership").write_text(group + "\n")
        return cpu_threads(cgroups=tmp_path / "cgroup", membership=tmp_path / "membership")

    return count


def test_a_container_sees_its_own_limit_on_top(threads):
    assert threads("0::/", _="200000 100000") == 2
    assert threads("0::/", _="250000 100000") == 3, "rounded up"
    assert threads("0::/", _="5000 100000") == 1
    assert threads("0::/", _="max 100000") == 16
    assert threads("0::/", _="6400000 100000") == 16, "no more than the machine has"


def test_the_least_limit_of_all_groups_counts(threads):
    assert threads("0::/a/b", a="300000 100000", a_b="max 100000") == 3
    assert threads("0::/a/b", a="800000 100000", a_b="400000 100000") == 4
    assert threads("0::/a", a="800000 100000", a_b="100000 100000") == 8, "those of others do not"


def test_without_groups_of_version_2_the_machine_counts(threads, tmp_path):
    assert threads("4:cpu,cpuacct:/a", a="100000 100000") == 16
    assert cpu_threads(cgroups=tmp_path, membership=tmp_path / "missing") == 16


def test_the_engine_computes_with_that_many():
    import openvino

    core = openvino.Core()
    _limit_threads(core, 1)
    assert core.get_property("CPU", "INFERENCE_NUM_THREADS") == 1
    assert core.get_property("CPU", "ENABLE_CPU_PINNING") is False
