"""Models in spandrel: for one level, as any other model; or adjustable, with a level that can be set.

spandrel knows a model by the names and shapes of its tensors alone. So what a level means is a tensor, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save

from hyperrestore.atomic import write_atomically
from hyperrestore.errors import UsageError
from hyperrestore.hosts.installed import import_host
from hyperrestore.level import LevelScale, Task
from hyperrestore.network.checkpoint import load_checkpoint
from hyperrestore.restore.restorer import model_path

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hyperrestore.network.architectures import NetworkConfig

SCALE = "level_scale_"  # and the unit: the name of the tensor that says what a level means
SPACINGS = ("linear", "log")

Tensors = Mapping[str, Any]  # by their names


def register(registry: Any = None) -> None:
    """Let spandrel load models of hyperrestore.

    Args:
        registry: A `spandrel.ArchRegistry`; None for the main one, which every `ModelLoader` uses.

    Raises:
        MissingExtraError: spandrel is not installed.
    """
    spandrel = import_host("spandrel", install="spandrel")
    registry = spandrel.MAIN_REGISTRY if registry is None else registry
    for name, detect, load in (
        ("Hyperrestore", is_plain, load_plain),
        ("Hyperrestore adjustable", is_adjustable, load_adjustable),
    ):
        architecture = _architecture(spandrel, name, detect, load)
        registry.add(spandrel.ArchSupport.from_architecture(architecture), ignore_duplicates=True)


def save_adjustable(path: str | Path, model: str | Path = Task.DENOISE, *, level: float) -> None:
    """Write a model that spandrel loads as an adjustable one.

    Args:
        path: The file, `.safetensors`.
        model: "denoise", "dejpeg", or the path of a checkpoint with one level.
        level: That it has until another is set, in the model's unit.

    Raises:
        UsageError: The model enlarges, or has several levels.
        LevelError: The model does not accept the level.
    """
    checkpoint = load_checkpoint(model_path(model))
    description = checkpoint.description
    if description.task == Task.UPSCALE or description.axes:
        raise UsageError(f"{model} is for {description.task}; spandrel takes models for denoise and dejpeg")
    scale = description.scale
    numbers = [scale.check(level), scale.low, scale.high, *scale.trained, scale.origin, scale.reference]
    meaning = np.array([*numbers, SPACINGS.index(scale.spacing), *scale.powers], np.float64)
    tensors = {name: tensor.astype(np.float32) for name, tensor in checkpoint.tensors.items()}
    write_atomically(Path(path), save({**tensors, SCALE + scale.unit: meaning}))


def is_plain(tensors: Tensors) -> bool:
    """Whether these are the tensors of a network for one level that returns the size it gets."""
    if not {"head.weight", "tail.weight"} <= tensors.keys():
        return False
    if "middle.0.first.weight" in tensors:  # not the network that enlarges, whose last convolution is wider
        return bool(tensors["tail.weight"].shape[0] == tensors["head.weight"].shape[1])
    return {"body.0.first.weight", "enlarge.weight", "refine.weight"} <= tensors.keys()


def is_adjustable(tensors: Tensors) -> bool:
    """Whether these are the tensors of an adjustable network that returns the size it gets."""
    return is_plain(_inner(tensors)) and any(".slope" in name for name in tensors)


def load_plain(spandrel: Any, architecture: Any, tensors: Tensors) -> Any:
    """The `ImageModelDescriptor` of a network for one level."""
    from hyperrestore.hosts.tensors import without_tint
    from hyperrestore.network.architectures import build_plain

    def call(network: nn.Module, image: Tensor) -> Tensor:
        return without_tint(image, network(image))

    return _descriptor(spandrel, architecture, build_plain(_config(tensors)), tensors, call)


def load_adjustable(spandrel: Any, architecture: Any, tensors: Tensors) -> Any:
    """The `ImageModelDescriptor` of an adjustable network; its attribute `level` can be set.

    Raises:
        UsageError: The tensors do not say what a level means.
    """
    import torch

    from hyperrestore.hosts.tensors import without_tint
    from hyperrestore.network.architectures import build

    scale, level = _scale(tensors)
    network = build(_config(tensors), scale)
    network.register_buffer(SCALE + scale.unit, torch.zeros_like(tensors[SCALE + scale.unit]))

    def call(network: nn.Module, image: Tensor) -> Tensor:
        level = scale.check(descriptor.level)
        if scale.unit == "sigma" and level == scale.origin:
            return image.clone()
        return without_tint(image, network(image, level))

    descriptor = _descriptor(spandrel, architecture, network, tensors, call)
    descriptor.level = level
    return descriptor


def _architecture(spandrel: Any, name: str, detect: Any, load_tensors: Any) -> Any:
    class Architecture(spandrel.Architecture):  # type: ignore[misc]
        def load(self, state_dict: Tensors) -> Any:
            return load_tensors(spandrel, self, state_dict)

    return Architecture(id=name, detect=detect)


def _descriptor(spandrel: Any, architecture: Any, network: nn.Module, tensors: Tensors, call: Any) -> Any:
    return spandrel.ImageModelDescriptor(
        network, tensors, architecture, purpose="Restoration", tags=[], supports_half=False,
        supports_bfloat16=True, scale=1, input_channels=3, output_channels=3, call_fn=call,
    )  # fmt: skip


def _inner(tensors: Tensors) -> Tensors:
    """The tensors of the network within an adjustable one, without W; those of any other as they are."""
    return {
        name.removeprefix("network."): tensor
        for name, tensor in tensors.items()
        if ".slope" not in name and ".bias_slope" not in name
    }


def _config(tensors: Tensors) -> NetworkConfig:
    """What a network is made of, from the shapes of its tensors."""
    from hyperrestore.network.architectures import NetworkConfig

    plain = _inner(tensors)
    rank, full_to = _ranks(tensors)
    finest = int(plain["head.weight"].shape[0])
    if "enlarge.weight" in plain:
        return NetworkConfig("paper", (finest,), (_count(plain, "body."),), rank, full_to=full_to)
    coarser = [int(plain[f"down.{step}.weight"].shape[0]) for step in range(_count(plain, "down."))]
    blocks = [_count(plain, f"encoders.{step}.") for step in range(len(coarser))]
    shuffle = int((plain["head.weight"].shape[1] // 3) ** 0.5)
    return NetworkConfig(
        "unet", (finest, *coarser), (*blocks, _count(plain, "middle.")), rank, shuffle, full_to
    )


def _count(tensors: Tensors, prefix: str) -> int:
    """How many layers there are, from names such as `middle.3.first.weight`."""
    numbers = {int(name[len(prefix) :].split(".")[0]) for name in tensors if name.startswith(prefix)}
    return max(numbers, default=-1) + 1


def _ranks(tensors: Tensors) -> tuple[int, int]:
    """Rank of W, 0 for full; and the channels up to which W is of full rank all the same."""
    low = [tensor.shape[2] for name, tensor in tensors.items() if name.endswith(".slope_left")]
    if not low:
        return 0, 0
    rank, full_to = int(low[0]), 0
    for name, tensor in tensors.items():
        rows, columns = (len(tensor[0]), tensor[0, 0].numel()) if name.endswith(".slope") else (0, 0)
        if rank * (rows + columns) < rows * columns:
            full_to = max(full_to, *map(int, tensor.shape[1:3]))
    return rank, full_to


def _scale(tensors: Tensors) -> tuple[LevelScale, float]:
    """What a level means, and the level at first."""
    units = [name.removeprefix(SCALE) for name in tensors if name.startswith(SCALE)]
    if not units:
        raise UsageError(
            "these tensors are an adjustable model's, and do not say what a level means: write the file by "
            "hyperrestore.hosts.spandrel.save_adjustable"
        )
    level, low, high, least, most, origin, reference, spacing, *powers = _numbers(tensors[SCALE + units[0]])
    name = SPACINGS[int(spacing)]
    return LevelScale(
        units[0], low, high, (least, most), origin, reference, tuple(powers), name  # type: ignore[arg-type]
    ), level  # fmt: skip


def _numbers(tensor: Tensor) -> Sequence[float]:
    numbers: list[float] = tensor.tolist()
    return numbers
