"""OpenVINO and torch as Backends: a model's files -> a network for one level."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hyperrestore.checkpoint import (
    Checkpoint,
    Description,
    graph_path,
    layout_digest,
    load_checkpoint,
)
from hyperrestore.degrade import shrink
from hyperrestore.engine import Pixels
from hyperrestore.errors import CheckpointError, MissingExtraError, UsageError
from hyperrestore.neutral import only_neutral_seen, without_tint
from hyperrestore.protocols import degrade
from hyperrestore.quantize import Ranges, calibrate, quantize, weights_digest
from hyperrestore.tables import from_table

if TYPE_CHECKING:
    import torch

    from hyperrestore.hyper import Hypernetwork

Precision = Literal["auto", "fp32", "bf16", "int8"]
SMALL = (
    2**16
)  # pixels of a picture up to which it takes longer to build a graph for its level than to do without
LAYOUT = "hyperrestore.layout"  # where a graph's metadata hold the `layout_digest` of its checkpoint
Infer = Callable[[Pixels], Pixels]  # (1, 3, h, w) -> (1, 3, h, w)
Level = float | tuple[float, ...]  # in the unit of a model, or one for each of its axes
Run = Callable[[dict[str, Pixels]], Pixels]  # a graph's inputs by name -> (1, 3, h, w)


@dataclass(frozen=True)
class NetworkBackend:
    """A network for one level, run by whatever `infer` calls.

    Attributes:
        halo: Receptive radius, pixels.
        multiple: Product of the strides, pixels.
        infer: Runs the network on a batch (1, 3, h, w).
        residual: `infer` gives what is to be added to the window, which is then done in the window's own
            precision, not in the network's.
        name: What runs it, and how precisely, in words.
        subpixels: More than 1 where `infer` gives sub-pixels of what is to be added to a picture enlarged by
            `subpixels.Upscaled`: (1, 3, subpixels * h, subpixels * w). They are returned as they are.
    """

    halo: int
    multiple: int
    infer: Infer
    residual: bool
    name: str
    subpixels: int = 1

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a window (1 or 3, h, w); grey goes through the colour network as three equal channels.

        Where nothing coloured is seen, the result is neutral (see `neutral`).
        """
        if window.shape[0] not in (1, 3):
            raise UsageError(f"a picture (c, h, w) has 1 or 3 channels, got c = {window.shape[0]}")
        colour = window if window.shape[0] == 3 else np.repeat(window, 3, axis=0)
        result: Pixels = self.infer(np.ascontiguousarray(colour, np.float32)[None])[0]
        if window.shape[0] == 1:
            result = result.mean(axis=0, keepdims=True)
        else:
            neutral = only_neutral_seen(window, self.halo)
            if neutral is not None:
                neutral = neutral.repeat(self.subpixels, 0).repeat(self.subpixels, 1)
            result = without_tint(result, neutral)
        if self.residual and self.subpixels == 1:
            # In place where that loses nothing: large arrays cost more to get than to fill.
            restored: Pixels = np.add(window, result, out=result if window.dtype == result.dtype else None)
            return restored
        return result


@dataclass(frozen=True)
class MapBackend:
    """A network with a level for each pixel: its windows have the levels as their last channel.

    Attributes:
        halo: Receptive radius, pixels.
        multiple: Product of the strides, pixels.
        over: The network for a map of levels (1, 1, h, w), in the model's unit.
        harmless: The level at which samples stay exactly as they are; None for none.
    """

    halo: int
    multiple: int
    over: Callable[[Pixels], NetworkBackend]
    harmless: float | None = None

    def __call__(self, window: Pixels, /) -> Pixels:
        """Restore a window (2 or 4, h, w): grey or colour, and levels; the result has no levels."""
        picture, levels = window[:-1], window[-1:]
        restored = self.over(np.ascontiguousarray(levels, np.float32)[None])(picture)
        return restored if self.harmless is None else np.where(levels == self.harmless, picture, restored)


class OpenVINOModel:
    """A model's ONNX graphs for the CPU.

    A level is fixed when its graph is compiled, which takes 0.1 to 0.5 s. Small pictures share one graph with
    a live level instead: it computes its kernels in every window (5 ms), and adds its biases apart from its
    convolutions, which costs a tenth of the time and, in bf16, 1.5 dB of the distance to fp32.

    Args:
        checkpoint: The model; its graphs lie beside it.
        description: Of that checkpoint.
        ranges: Of its activations; only int8 needs them.

    Raises:
        CheckpointError: The graph is missing, damaged, or was made of another state of the checkpoint.
    """

    def __init__(self, checkpoint: Path, description: Description, ranges: Ranges | None = None) -> None:
        self._core = _openvino_core()
        self._model, self._residual = self._read(checkpoint, mapped=False)
        self._checkpoint = checkpoint
        self._description = description
        self._ranges = ranges
        self._subpixels = int(description.network.get("subpixels", 1))
        self._compiled: tuple[tuple[Level, str], Any] | None = None  # of the last level
        self._live: dict[str, tuple[Any, Run]] = {}  # by precision
        self._compiled_map: tuple[str, Any] | None = None
        self._lock = threading.Lock()

    def _read(self, checkpoint: Path, *, mapped: bool) -> tuple[Any, bool]:
        """The model of one of the graphs, and whether it gives what is to be added to the picture."""
        import openvino

        path = graph_path(checkpoint, mapped=mapped)
        remedy = f"`hyperrestore export {checkpoint}` writes it"
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; {remedy}")
        try:
            model = self._core.read_model(path)
            made_of = model.get_rt_info(["framework", LAYOUT]).astype(str)
            outputs = {name: output for output in model.outputs for name in output.names}
            residual = "residual" in outputs
            output = outputs["residual" if residual else "restored"]
        except (RuntimeError, KeyError) as error:
            raise CheckpointError(
                f"{path}: not a readable graph of a model ({_first_line(error)}); {remedy}"
            ) from error
        if made_of != layout_digest(checkpoint):
            # Its references would point at other bytes: the picture would come out wrong, without an error.
            raise CheckpointError(f"{path}: made of another state of {checkpoint.name}; {remedy} anew")
        return openvino.Model([output.node.input_value(0)], model.get_parameters(), "hyperrestore"), residual

    def at(
        self, level: Level, *, precision: Precision, bits: int, pixels: int | None = None
    ) -> NetworkBackend:
        """The network for one level.

        Args:
            level: In the scale's unit, already checked; of a model with several axes one level for each.
            precision: "auto" is bf16 where the CPU computes in it and the picture has 8 bits, else fp32;
                where it does not, "bf16" is fp32, too.
            bits: Depth of the picture's samples.
            pixels: Of the whole result. Up to SMALL of them no graph is built for the level, but for int8.
                Where it is not known, fp32 decides for each window by itself, for both graphs give the same
                to 1e-6, as tiles of every size do; others build it.

        Raises:
            UsageError: int8 for more than 8 bits, or without ranges.
            CheckpointError: The ranges do not fit the graph.
        """
        if precision == "int8" and self._ranges is None:
            raise UsageError("precision int8 needs ranges; open the model with those of `load_ranges`")
        if precision == "int8" and bits > 8:
            raise UsageError(
                f"precision int8 is for pictures of 8 bits, got {bits}, as which an array of floats counts; "
                "give a `Picture` of 8 bits, or precision auto, bf16 or fp32"
            )
        precision = self._decided(precision, bits)
        fixed = functools.cache(lambda: _runner(self._compile(level, precision)))
        unknown = pixels is None and precision == "fp32"
        if precision == "int8" or not (unknown or (pixels is not None and pixels <= SMALL)):
            fixed()  # now, and not while others wait for their turn at the network
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
        with self._lock:
            if self._compiled_map is None or self._compiled_map[0] != precision:
                graph, _ = self._read(self._checkpoint, mapped=True)
                compiled = self._core.compile_model(graph, "CPU", _settings(precision))
                self._compiled_map = precision, compiled
            run = _runner(self._compiled_map[1])

        def over(levels: Pixels) -> NetworkBackend:
            return self._network(lambda batch: run({"image": batch, "level_map": levels}), precision)

        return MapBackend(self._description.halo, self._description.multiple, over)

    def _decided(self, precision: Precision, bits: int) -> Precision:
        """What a precision means here, for pictures of that depth."""
        if precision == "int8":
            return precision
        wanted = precision == "bf16" or (precision == "auto" and bits <= 8)
        return "bf16" if wanted and _computes_in_bf16(self._core) else "fp32"

    def _network(self, infer: Infer, precision: Precision) -> NetworkBackend:
        return NetworkBackend(
            halo=self._description.halo,
            multiple=self._description.multiple,
            infer=infer,
            residual=self._residual,
            name=f"OpenVINO on the CPU, {precision}",
            subpixels=self._subpixels,
        )

    def _compile(self, level: Level, precision: Precision) -> Any:
        """Compile the graph with its kernels computed once; to compute them in every tile costs time."""
        with self._lock:
            if self._compiled is None or self._compiled[0] != (level, precision):
                graph = self.graph(level)
                if precision == "int8" and self._ranges is not None:
                    quantize(graph, self._core, self._ranges, float(_as_input(level)[0]))
                compiled = self._core.compile_model(graph, "CPU", _settings(precision))
                self._compiled = (level, precision), compiled
            return self._compiled[1]

    def _run_live(self, precision: Precision) -> Run:
        """Run the graph whose level is an input."""
        with self._lock:
            if precision not in self._live:
                compiled = self._core.compile_model(self._model.clone(), "CPU", _settings(precision))
                self._live[precision] = compiled, _runner(compiled)
            return self._live[precision][1]

    def release_memory(self) -> None:
        """Give back what networks hold between two windows; the next window takes it anew."""
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

    def calibrate(self, photos: Sequence[Path], *, levels: Sequence[float] = (), seed: int = 0) -> Ranges:
        """Measure the ranges that int8 needs.

        Args:
            photos: Clean photos (see `quantize.calibrate`).
            levels: Where to measure, ascending, in the scale's unit; by default up to six over the whole
                scale, closer together near its low end, since there ranges change fastest.
            seed: Of crops and noise.

        Raises:
            UsageError: No photo is large enough.
        """
        scale = self._description.scale
        # Whole numbers, which JPEG needs; on a short scale several steps round to the same.
        spread = sorted({round(scale.low + (scale.high - scale.low) * (step / 5) ** 2) for step in range(6)})
        return calibrate(
            self.graph,
            self._core,
            weights=weights_digest(self._checkpoint),
            damage=self._damaged,
            photos=photos,
            levels=levels or spread,
            seed=seed,
        )

    def _damaged(
        self, crop: Pixels, level: float, generator: np.random.Generator
    ) -> dict[tuple[float, ...], Pixels]:
        """A clean crop as the network gets it at a level; of small pictures one for each softness."""
        task, multiple = self._description.task, self._description.multiple
        if self._subpixels == 1:
            return {(level,): degrade(crop, level, task, "standard", generator)}
        (softness,) = self._description.axes
        small = {
            (level, one): shrink(crop, level, softness=one)
            for one in sorted({softness.trained[0], softness.origin, softness.trained[1]})
        }
        side = min(picture.shape[-1] for picture in small.values()) // multiple * multiple
        return {levels: picture[:, :side, :side] for levels, picture in small.items()}


class TorchModel:
    """A checkpoint run by torch: the reference, and the way to CUDA and MPS.

    Args:
        path: The checkpoint.
        device: A torch device: "cpu", "cuda", "cuda:1", "mps".

    Raises:
        MissingExtraError: torch is not installed.
        UsageError: torch does not have this device.
        CheckpointError: The checkpoint cannot be read, or its weights do not fit its network.
    """

    def __init__(self, path: Path, device: str) -> None:
        self._device = find_device(device)
        checkpoint = load_checkpoint(path)
        self._description = checkpoint.description
        self._network = load_network(checkpoint).to(self._device)

    def release_memory(self) -> None:
        """Do nothing: torch gives memory back by itself."""

    def at(
        self, level: Level, *, precision: Precision, bits: int, pixels: int | None = None
    ) -> NetworkBackend:
        """The network for one level.

        Args:
            level: In the scale's unit, already checked; of a model with several axes one level for each.
            precision: "auto" is bf16 on CUDA if the picture has 8 bits, else fp32.
            bits: Depth of the picture's samples.
            pixels: Of the whole result; makes no difference.
        """
        import torch

        from hyperrestore.hyper import materialize

        plain = materialize(self._network, level).eval()
        plain = plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self._backend(plain, precision, bits)

    def mapped(self, *, precision: Precision, bits: int) -> MapBackend:
        """The network for a level of each pixel; precision and bits as for `at`."""
        import torch

        def over(levels: Pixels) -> NetworkBackend:
            level_map = torch.from_numpy(levels).to(self._device)
            return self._backend(lambda image: self._network(image, level_map), precision, bits)

        return MapBackend(self._description.halo, self._description.multiple, over)

    def _backend(self, network: Callable[[Any], Any], precision: Precision, bits: int) -> NetworkBackend:
        """A network from tensors to tensors as a Backend."""
        import torch

        kind = self._device.type
        bf16 = precision == "bf16" or (precision == "auto" and kind == "cuda" and bits <= 8)

        def infer(batch: Pixels) -> Pixels:
            with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=bf16):
                image = torch.from_numpy(batch).to(self._device, memory_format=torch.channels_last)
                return network(image).float().cpu().numpy()  # type: ignore[no-any-return]

        # The network adds its residual itself, to the picture in fp32.
        return NetworkBackend(
            halo=self._description.halo,
            multiple=self._description.multiple,
            infer=infer,
            residual=False,
            name=f"torch on {self._device}, {'bf16' if bf16 else 'fp32'}",
            subpixels=int(self._description.network.get("subpixels", 1)),
        )


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
    """How OpenVINO is to compile a graph.

    Left to itself it computes in bf16 wherever the CPU can. What int8 leaves in floating point is next to
    the picture: in bf16 it would lose more than it saves.
    """
    hint = "bf16" if precision == "bf16" else "f32"
    return {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}


def _computes_in_bf16(core: Any) -> bool:
    """Whether the CPU computes in bf16 and may do so.

    OpenVINO asks the CPU alone. If oneDNN, which computes for it, was told to do with an older set of
    instructions, its graphs in bf16 fail or give nothing.
    """
    caps = (os.environ.get(f"{name}_MAX_CPU_ISA", "ALL").upper() for name in ("ONEDNN", "DNNL"))
    return all(cap in ("ALL", "DEFAULT") for cap in caps) and "BF16" in core.get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    )


@functools.cache
def _openvino_core() -> Any:
    """OpenVINO itself, one for the process.

    A core installs a stack for signal handlers and takes it away when it is dropped. Several cores that are
    dropped in the order they were made leave a stack behind that is gone, and the next Ctrl-C crashes.
    """
    # Where its telemetry can be imported, importing OpenVINO reports its use to a server.
    telemetry = "openvino_telemetry"
    silenced = telemetry not in sys.modules
    if silenced:
        sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if silenced:
            del sys.modules[telemetry]
    return openvino.Core()


def find_device(name: str) -> torch.device:
    """The torch device of a name: "cpu", "cuda", "cuda:1", "mps".

    Raises:
        MissingExtraError: torch is not installed.
        UsageError: torch does not have this device.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(f"device {name!r} needs torch: pip install 'hyperrestore[torch]'") from error
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()  # some devices have a name but cannot be used
    except (RuntimeError, AssertionError, ImportError) as error:
        raise UsageError(f"device {name!r} cannot be used here: {_first_line(error)}") from error
    return device


def load_network(checkpoint: Checkpoint) -> Hypernetwork:
    """Build a checkpoint's adjustable network with its weights, in fp32.

    Raises:
        CheckpointError: The weights do not fit the network.
    """
    import torch

    from hyperrestore.networks import NetworkConfig, build

    description = checkpoint.description
    tensors = {name: torch.from_numpy(tensor).float() for name, tensor in checkpoint.tensors.items()}
    try:
        network = build(from_table(NetworkConfig, description.network), description.scales)
        network.load_state_dict(tensors)
    except (ValueError, RuntimeError, UsageError) as error:
        raise CheckpointError(f"the checkpoint's weights do not fit its network: {error}") from error
    return network


def _as_input(level: Level) -> Pixels:
    """Levels as a graph takes them: (axes,)."""
    return np.atleast_1d(np.array(level, np.float32))


def _first_line(error: Exception) -> str:
    """What an error says, without its trace."""
    return next(iter(str(error).strip().splitlines()), repr(error))
