"""The device that a person gives -> the runtime that computes a network, the device, and its CPU threads."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Literal, NamedTuple

Runtime = Literal["openvino", "torch"]  # the library that computes


class Placement(NamedTuple):
    """Where a network is computed, and by what.

    Attributes:
        runtime: The library.
        device: The device, in the terms of that library: "cpu", "cuda:1", "mps".
        given: What the person gave; messages name it.
    """

    runtime: Runtime
    device: str
    given: str


def placement(given: str) -> Placement:
    """Where a device that a person gave places a network.

    Args:
        given: "auto" and "cpu" mean OpenVINO on the CPU, and "torch" means torch on the CPU. Any other is a
            device of torch, which may not be there.

    Example:
        >>> placement("torch")
        Placement(runtime='torch', device='cpu', given='torch')
    """
    if given in ("auto", "cpu"):
        return Placement("openvino", "cpu", given)
    return Placement("torch", "cpu" if given == "torch" else given, given)


def cpu_threads(
    *, cgroups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int:
    """How many CPUs this process may use at a time: those it may run on, or fewer if a container limits them.

    Args:
        cgroups: Where Linux shows its control groups, of version 2.
        membership: The file that names the group of this process.
    """
    return min([allowed_cpus(), *_limits(cgroups, membership)])


def allowed_cpus() -> int:
    """How many CPUs this process may run on; over time it may use fewer of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _limits(cgroups: Path, membership: Path) -> list[int]:
    """The limits of the groups that this process is in, CPUs, rounded up."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # not Linux
        return []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:  # only groups of version 1
        return []
    limits = []
    for group in (cgroups / own, *(cgroups / own).parents):
        if not group.is_relative_to(cgroups):
            break
        try:
            quota, period = (group / "cpu.max").read_text().split()
        except OSError:  # the topmost group of a machine has none; a container sees only its own
            continue
        if quota != "max":
            limits.append(max(1, math.ceil(int(quota) / int(period))))
    return limits
