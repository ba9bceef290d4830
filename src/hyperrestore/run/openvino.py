"""OpenVINO, which computes on the CPU: a model's graphs -> a network for one level."""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hyperrestore.arrays import Pixels
from hyperrestore.errors import CheckpointError, UsageError
from hyperrestore.network.checkpoint import (
    Description,
    graph_path,
    layout_digest,
)
from hyperrestore.run.backend import (
    Infer,
    Level,
    MapBackend,
    NetworkBackend,
    Precision,
    first_line,
    level_text,
)
from hyperrestore.run.device import allowed_cpus, cpu_threads
from hyperrestore.run.int8 import Ranges, quantize

# Up to so many pixels of a picture, building a graph for its level takes longer than it saves.
SMALL = 2**16
LAYOUT = "hyperrestore.layout"  # where a graph's metadata hold the `layout_digest` of its checkpoint
logger = logging.getLogger(__name__)

Run = Callable[[dict[str, Pixels]], Pixels]  # a graph's inputs by name -> (1, 3, h, w)


class OpenVINOModel:
    """A model's ONNX graphs for the CPU.

    Compiling a graph for a fixed level takes 0.1 to 0.5 s. Small pictures share one graph with a live level
    instead: it computes its kernels in every window (5 ms) and adds biases separately from convolutions,
    which costs a tenth of the time and, in bf16, 1.5 dB of the distance to fp32.

    Args:
        checkpoint: The model; its graphs are in the same folder.
        description: Of that checkpoint.
        ranges: Of its activations; only int8 needs them.

    Raises:
        CheckpointError: The graph is missing or damaged, or was made from another state of the checkpoint.
    """

    def __init__(self, checkpoint: Path, description: Description, ranges: Ranges | None = None) -> None:
        self.core = openvino_core()
        self._model, self._residual = self._read(checkpoint, mapped=False)
        self.checkpoint = checkpoint
        self.description = description
        self._ranges = ranges
        self._compiled: tuple[tuple[Level, str], Any] | None = None  # of the last level
        self._live: dict[str, tuple[Any, Run]] = {}  # by precision
        self._compiled_map: tuple[str, Any] | None = None
        self._lock = threading.Lock()
        logger.info("opened %s with OpenVINO", checkpoint)

    def _read(self, checkpoint: Path, *, mapped: bool) -> tuple[Any, bool]:
        """The model of one of the graphs, and whether it gives a residual."""
        import openvino

        path = graph_path(checkpoint, mapped=mapped)
        remedy = f"`hyperrestore export {checkpoint}` writes it"
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; {remedy}")
        try:
            model = self.core.read_model(path)
            made_of = model.get_rt_info(["framework", LAYOUT]).astype(str)
            outputs = {name: output for output in model.outputs for name in output.names}
            residual = "residual" in outputs
            output = outputs["residual" if residual else "restored"]
        except (RuntimeError, KeyError) as error:
            raise CheckpointError(
                f"{path}: not a readable graph of a model ({first_line(error)}); {remedy}"
            ) from error
        if made_of != layout_digest(checkpoint):
            # Its references would point at other bytes: the picture would come out wrong, without an error.
            raise CheckpointError(f"{path}: made from a different state of {checkpoint.name}; {remedy} again")
        return openvino.Model([output.node.input_value(0)], model.get_parameters(), "hyperrestore"), residual

    def at(
        self, level: Level, *, precision: Precision, bits: int, pixels: int | None = None
    ) -> NetworkBackend:
        """The network for one level.

        Args:
            level: In the scale's unit, already checked; of a model with several axes one level for each.
            precision: "auto" is bf16 if the CPU has it and the picture has 8 bits, else fp32. On a CPU
                without bf16, "bf16" is fp32, too.
            bits: Depth of the picture's samples.
            pixels: Number of pixels of the whole result. Up to SMALL, no graph is built for the level, except
                for int8. If it is unknown, fp32 decides for each window, since both graphs agree to 1e-6, as
                tiles of all sizes do; other precisions build the graph.

        Raises:
            UsageError: int8 for more than 8 bits, or without ranges.
            CheckpointError: The ranges do not fit the graph.
        """
        if precision == "int8" and self._ranges is None:
            raise UsageError("precision int8 needs ranges; open the model with those of `load_ranges`")
        if precision == "int8" and bits > 8:
            raise UsageError(
                f"precision int8 is for pictures of 8 bits, got {bits} (arrays of floats count as that); "
                "give a `Picture` of 8 bits, or precision auto, bf16 or fp32"
            )
        precision = self._decided(precision, bits)
        logger.info(
            "%s at level %s: OpenVINO on the CPU, %s", self.checkpoint.name, level_text(level), precision
        )
        fixed = functools.cache(lambda: _runner(self._compile(level, precision)))
        unknown = pixels is None and precision == "fp32"
        if precision == "int8" or not (unknown or (pixels is not None and pixels <= SMALL)):
            fixed()  # now, and not later, when other threads wait for the network
            return self._network(lambda batch: fixed()({"image": batch}), precision)
        live, value = self._run_live(precision), _as_input(level)

        def infer(batch: Pixels) -> Pixels:
            if unknown and batch[0, 0].size > SMALL:
                return fixed()({"image": batch})
            return live({"image": batch, "level": value})

        return self._network(infer, precision)

    def mapped(self, *, precision: Precision, bits: int) -> MapBackend:
        """The network for a level of each pixel.

        Args:
            precision: As for `at`, but not "int8".
            bits: Depth of the picture's samples.

        Raises:
            UsageError: The precision is "int8".
            CheckpointError: There is no graph for it, or it does not fit the checkpoint.
        """
        if precision == "int8":
            raise UsageError("precision int8 is for one level, not for a map of levels; give auto")
        precision = self._decided(precision, bits)
        logger.info("%s with a map of levels: OpenVINO on the CPU, %s", self.checkpoint.name, precision)
        with self._lock:
            if self._compiled_map is None or self._compiled_map[0] != precision:
                graph, _ = self._read(self.checkpoint, mapped=True)
                compiled = self.core.compile_model(graph, "CPU", _settings(precision))
                self._compiled_map = precision, compiled
            run = _runner(self._compiled_map[1])

        def over(levels: Pixels) -> NetworkBackend:
            return self._network(lambda batch: run({"image": batch, "level_map": levels}), precision)

        axes = len(self.description.scales)
        return MapBackend(self.description.halo, self.description.multiple, over, axes)

    def _decided(self, precision: Precision, bits: int) -> Precision:
        """The precision that is used on this CPU, for pictures of that depth."""
        if precision == "int8":
            return precision
        wanted = precision == "bf16" or (precision == "auto" and bits <= 8)
        return "bf16" if wanted and _computes_in_bf16(self.core) else "fp32"

    def _network(self, infer: Infer, precision: Precision) -> NetworkBackend:
        return NetworkBackend(
            halo=self.description.halo,
            multiple=self.description.multiple,
            infer=infer,
            residual=self._residual,
            name=f"OpenVINO on the CPU, {precision}",
            subpixels=self.description.subpixels,
        )

    def _compile(self, level: Level, precision: Precision) -> Any:
        """Compile the graph with its kernels computed once, since computing them in every tile costs time."""
        with self._lock:
            if self._compiled is None or self._compiled[0] != (level, precision):
                graph = self.graph(level)
                if precision == "int8" and self._ranges is not None:
                    quantize(graph, self.core, self._ranges, float(_as_input(level)[0]))
                compiled = self.core.compile_model(graph, "CPU", _settings(precision))
                self._compiled = (level, precision), compiled
            return self._compiled[1]

    def _run_live(self, precision: Precision) -> Run:
        """Run the graph whose level is an input."""
        with self._lock:
            if precision not in self._live:
                compiled = self.core.compile_model(self._model.clone(), "CPU", _settings(precision))
                self._live[precision] = compiled, _runner(compiled)
            return self._live[precision][1]

    def release_memory(self) -> None:
        """Release the memory that networks hold between two windows; the next window allocates it again."""
        with self._lock:
            kept = [pair[1] for pair in (self._compiled, self._compiled_map) if pair is not None]
            for compiled in (*kept, *(compiled for compiled, _ in self._live.values())):
                if hasattr(compiled, "release_memory"):  # since OpenVINO 2025.0
                    compiled.release_memory()

    def graph(self, level: Level) -> Any:
        """The graph for one level, an `openvino.Model` whose only input is `image`."""
        from openvino import opset13

        graph = self._model.clone()
        (live,) = (node for node in graph.get_parameters() if "level" in node.output(0).get_names())
        fixed = opset13.constant(_as_input(level))
        for target in live.output(0).get_target_inputs():
            target.replace_source_output(fixed.output(0))
        graph.remove_parameter(live)
        return graph


def _runner(compiled: Any) -> Run:
    """Run a compiled graph, from any thread."""
    requests = threading.local()  # an inference request serves one thread at a time

    def run(inputs: dict[str, Pixels]) -> Pixels:
        if not hasattr(requests, "request"):
            requests.request = compiled.create_infer_request()
        result: Pixels
        (result,) = requests.request.infer(inputs, share_inputs=True).values()
        return result

    return run


def _settings(precision: Precision) -> dict[str, str]:
    """Settings for compiling a graph.

    By default OpenVINO computes in bf16 wherever the CPU can. The layers that int8 leaves in floating point
    are next to the picture: in bf16 they would lose more than they save.
    """
    hint = "bf16" if precision == "bf16" else "f32"
    return {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}


def _computes_in_bf16(core: Any) -> bool:
    """Whether the CPU computes in bf16 and may do so.

    OpenVINO only asks the CPU. If oneDNN, which computes for it, is limited to an older instruction set,
    graphs in bf16 fail or give nothing.
    """
    caps = (os.environ.get(f"{name}_MAX_CPU_ISA", "ALL").upper() for name in ("ONEDNN", "DNNL"))
    return all(cap in ("ALL", "DEFAULT") for cap in caps) and "BF16" in core.get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    )


@functools.cache
def openvino_core() -> Any:
    """OpenVINO itself, one core for the process.

    A core installs a stack for signal handlers and removes it when it is deleted. If several cores are
    deleted in the order they were made, a removed stack stays installed, and the next Ctrl-C crashes.
    """
    # If its telemetry can be imported, importing OpenVINO reports its use to a server.
    telemetry = "openvino_telemetry"
    silenced = telemetry not in sys.modules
    if silenced:
        sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if silenced:
            del sys.modules[telemetry]
    core = openvino.Core()
    threads = cpu_threads()
    if threads < allowed_cpus():  # those OpenVINO finds itself
        _limit_threads(core, threads)
    return core


def limit_threads(threads: int) -> None:
    """Let this process compute with so many threads from now on, where several processes share the CPUs."""
    _limit_threads(openvino_core(), threads)


def _limit_threads(core: Any, threads: int) -> None:
    # By default threads are bound to CPUs: every process, or container, would choose the same ones.
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False})


def _as_input(level: Level) -> Pixels:
    """Levels as a graph takes them: (axes,)."""
    return np.atleast_1d(np.array(level, np.float32))
