"""Where training runs, whether bf16 is faster there, and how the C library keeps memory."""

from __future__ import annotations

import ctypes
import sys
import time

import torch
import torch.nn.functional as F

from hyperrestore.run.pytorch import find_device


def choose_device(name: str) -> torch.device:
    """The torch device of a name; "auto" is the first of CUDA, MPS and CPU that there is.

    Raises:
        UsageError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return find_device(name)


def is_fast_in_bf16(device: torch.device) -> bool:
    """Whether training is faster in bf16 than in fp32: assumed for any GPU, measured for a CPU.

    A CPU that only emulates bf16 takes several times as long, whatever it reports.
    """
    if device.type != "cpu":
        return True
    crop = torch.ones(1, 64, 64, 64).to(memory_format=torch.channels_last)
    kernel = torch.ones(64, 64, 3, 3, requires_grad=True)

    def seconds(bf16: bool) -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16, cache_enabled=False):
            result = F.conv2d(crop, kernel, padding=1)
        result.float().sum().backward()  # type: ignore[no-untyped-call]
        return time.perf_counter() - start

    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(6):  # alternately, so that other load affects both
        for bf16, times in taken.items():
            times.append(seconds(bf16))
    return min(taken[True]) < min(taken[False])


def keep_memory() -> None:
    """Let glibc keep freed memory, since releasing and allocating it at every step costs page faults."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        trim_threshold, mmap_max = -1, -4  # names of malloc.h
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)
