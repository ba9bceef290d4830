"""A trained method -> its scores and costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from adaptive.interface import Method, Stage
from adaptive.records import Cost, Score
from machine import cpu_name
from torch import nn

from hyperrestore.arrays import Pixels
from hyperrestore.level import Task
from hyperrestore.measure.degrade import Protocol
from hyperrestore.measure.evaluate import evaluate
from hyperrestore.network.architectures import count_parameters, multiply_adds, receptive_radius
from hyperrestore.run.backend import NetworkBackend

CHANGES = 7  # of the level, of which the fastest counts


class Scored:
    """A method as `evaluate` takes it: a backend of torch in fp32 for each level."""

    def __init__(self, method: Method, task: Task, device: torch.device, *, halo: int) -> None:
        self.method, self.device, self.halo = method, device, halo
        self.task = task

    def at(self, level: float, *, bits: int) -> NetworkBackend:
        """What restores pictures that are degraded to `level`."""
        network = self.method.at(float(level)).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        def infer(batch: Pixels) -> Pixels:
            with torch.inference_mode():
                image = torch.from_numpy(batch).to(self.device, memory_format=torch.channels_last)
                restored: Pixels = network(image).cpu().numpy()
            return restored

        return NetworkBackend(self.halo, 2, infer, residual=False, name=f"torch on {self.device.type}, fp32")


def score(
    method: Method,
    name: str,
    task: Task,
    pictures: Sequence[Path],
    levels: Sequence[float],
    *,
    protocol: Protocol,
    seed: int,
    device: torch.device,
) -> list[Score]:
    """The scores of a method; every method sees the same degraded pictures."""
    scored = Scored(method, task, device, halo=receptive_radius(method.at(levels[0]).cpu(), multiple=2))
    grey = is_grey(task, protocol)
    means = evaluate(scored, pictures, levels, protocol=protocol, grey=grey).means()
    return [Score(name, seed, one.level, round(one.input_psnr, 4), round(one.psnr, 4)) for one in means]


def is_grey(task: Task, protocol: Protocol) -> bool:
    """Whether pictures are degraded and scored in grey: the paper repairs the luminance of JPEG files."""
    return task == Task.DEJPEG and protocol == "hyperres"


def cost(method: Method, name: str, levels: Sequence[float], *, crops: int) -> Cost:
    """What a method costs; its time is that of this machine's CPU, wherever it was trained."""
    assert isinstance(method, nn.Module)
    method = method.cpu()
    network = method.at(levels[0])
    seconds = []
    for index in range(CHANGES):
        start = time.perf_counter()
        method.at(levels[index % len(levels)])
        seconds.append(time.perf_counter() - start)
    return Cost(
        name,
        trained_levels(method.stages),
        count_parameters(method),
        count_parameters(network),
        multiply_adds(network),
        crops,
        round(min(seconds), 6),
        cpu_name(),
    )


def trained_levels(stages: Sequence[Stage]) -> str:
    """The levels of a method's trainings, for people."""
    fixed = sorted({level for stage in stages for level in stage.levels})
    spans = [f"{least:g} to {most:g}" for least, most in (stage.span for stage in stages if not stage.levels)]
    return ", ".join([*(f"{level:g}" for level in fixed), *spans])
