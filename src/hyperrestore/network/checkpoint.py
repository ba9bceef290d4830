"""Weights, network and level scale in one safetensors file that describes itself; reading it needs no torch.

The file's header metadata holds one JSON document under the key `hyperrestore`; the tensors are stored in
fp16. Nothing in the file is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hyperrestore.atomic import write_atomically
from hyperrestore.errors import CheckpointError
from hyperrestore.level import LevelScale, Task
from hyperrestore.tables import from_table

FORMAT_VERSION = 1
FORMAT_OF_AXES = 2  # of models with several level axes, which earlier versions of hyperrestore cannot run
KEY = "hyperrestore"
WANTED = "give a .safetensors file that `hyperrestore train` wrote"  # what to do about any other


@dataclass(frozen=True)
class Description:
    """All that a checkpoint says about itself.

    Attributes:
        task: What the model repairs.
        network: Entries of `networks.NetworkConfig`.
        scale: What its level means and which levels it accepts.
        halo: Receptive radius, pixels.
        multiple: Product of the strides: windows start and end on multiples of it, pixels.
        history: How it was trained: steps, seconds, recipe, data, licence, scores. For people. Like
            `network` it holds what JSON can hold, so lists rather than tuples.
        axes: Further level axes, if the kernels depend on more than one level. Their default is their origin.
    """

    task: Task
    network: Mapping[str, Any]
    scale: LevelScale
    halo: int
    multiple: int
    history: Mapping[str, Any] = field(default_factory=dict)
    axes: tuple[LevelScale, ...] = ()

    @property
    def scales(self) -> tuple[LevelScale, ...]:
        """Every level axis, in the order in which the network takes levels."""
        return (self.scale, *self.axes)

    @property
    def subpixels(self) -> int:
        """Sub-pixels that the network gives along each side of a pixel; 1 where it gives pixels."""
        return int(self.network.get("subpixels", 1))


@dataclass(frozen=True)
class Checkpoint:
    """A model: its description, and its tensors by name in fp16."""

    description: Description
    tensors: Mapping[str, npt.NDArray[np.float16]]


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, atomically."""
    description = checkpoint.description
    header = {"format_version": FORMAT_OF_AXES if description.axes else FORMAT_VERSION}
    header |= {key: value for key, value in asdict(description).items() if key != "axes" or value}
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in sorted(checkpoint.tensors.items())}
    write_atomically(Path(path), save(tensors, metadata={KEY: json.dumps(header)}))


def read_description(path: str | Path) -> Description:
    """Read what a checkpoint says about itself, without its tensors.

    Raises:
        CheckpointError: No such file, not a checkpoint, damaged, or of another format version.
    """
    return _read(Path(path), with_tensors=False).description


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: No such file, not a checkpoint, damaged, or of another format version.
    """
    return _read(Path(path), with_tensors=True)


def tensor_places(path: str | Path) -> dict[str, tuple[int, int]]:
    """Where each tensor's bytes lie in a checkpoint: start and length, bytes, by name."""
    header = _header(path)
    return {
        name: (
            8 + len(header) + entry["data_offsets"][0],
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in json.loads(header).items()
        if name != "__metadata__"
    }


def weights_digest(checkpoint: str | Path) -> str:
    """A fingerprint of a checkpoint's weights alone, whatever else it says."""
    with Path(checkpoint).open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))  # past the header
        return hashlib.file_digest(file, "sha256").hexdigest()


def graph_path(path: str | Path, *, mapped: bool = False) -> Path:
    """Where a checkpoint's ONNX graph lies: beside it, `.onnx` in place of `.safetensors`.

    The graph for a level of each pixel has `-map.onnx` instead.
    """
    path = Path(path)
    return path.with_name(path.name.removesuffix(".safetensors") + ("-map.onnx" if mapped else ".onnx"))


def layout_digest(path: str | Path) -> str:
    """A fingerprint of a checkpoint's name, its description and where its tensors lie."""
    return hashlib.sha256(Path(path).name.encode(errors="surrogateescape") + _header(path)).hexdigest()


def _header(path: str | Path) -> bytes:
    # A safetensors file is the header's length (8 bytes), the header (JSON), then all tensors.
    with Path(path).open("rb") as file:
        return file.read(int.from_bytes(file.read(8), "little"))


def _check_file(path: Path) -> None:
    """Refuse what is no file, or an empty one: at a pipe safetensors waits, and a folder it does not name."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path}: not a readable model file ({reason}); {WANTED}") from error
    fault = None
    if stat.S_ISDIR(found.st_mode):
        fault = "it is a folder"
    elif not stat.S_ISREG(found.st_mode):
        fault = "it is a pipe or a device"
    elif not found.st_size:
        fault = "it is empty"
    if fault is not None:
        raise CheckpointError(f"{path}: not a readable model file ({fault}); {WANTED}")


def _read(path: Path, *, with_tensors: bool) -> Checkpoint:
    _check_file(path)
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if KEY not in metadata:
                raise CheckpointError(f"{path}: a safetensors file, but not a hyperrestore model; {WANTED}")
            header = json.loads(metadata[KEY])
            names = sorted(file.keys()) if with_tensors else []
            tensors = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a readable model file ({error}); {WANTED}") from error
    if strange := [name for name, tensor in tensors.items() if tensor.dtype != np.float16]:
        raise CheckpointError(f"{path}: its weights {', '.join(strange)} are not fp16")
    return Checkpoint(_description(header, path), tensors)


def _description(header: Any, path: Path) -> Description:
    version = header.get("format_version") if isinstance(header, dict) else None
    if version not in (FORMAT_VERSION, FORMAT_OF_AXES):
        raise CheckpointError(
            f"{path}: model format version {version}; this hyperrestore reads versions {FORMAT_VERSION} and "
            f"{FORMAT_OF_AXES}"
        )
    try:
        halo, multiple = int(header["halo"]), int(header["multiple"])
        if halo < 0 or multiple < 1:
            raise ValueError(f"halo {halo}, multiple {multiple}")
        return Description(
            task=Task(header["task"]),
            network=dict(header["network"]),
            scale=from_table(LevelScale, dict(header["scale"])),
            halo=halo,
            multiple=multiple,
            history=dict(header["history"]),
            axes=tuple(from_table(LevelScale, dict(axis)) for axis in header.get("axes", ())),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path}: its description is damaged ({error!r})") from error
