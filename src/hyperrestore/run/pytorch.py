"""A checkpoint run with torch: the reference, and the way to CUDA and MPS."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperrestore.arrays import Pixels
from hyperrestore.errors import MissingExtraError, UsageError
from hyperrestore.network.checkpoint import load_checkpoint
from hyperrestore.run.backend import Level, MapBackend, NetworkBackend, Precision, first_line, level_text

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


class TorchModel:
    """A checkpoint run with torch: the reference, and the way to CUDA and MPS.

    Args:
        path: The checkpoint.
        device: A torch device: "cpu", "cuda", "cuda:1", "mps".
        given: What the person gave to choose it; messages name it. By default the device itself.

    Raises:
        MissingExtraError: torch is not installed.
        UsageError: torch does not have this device.
        CheckpointError: The checkpoint cannot be read, or its weights do not fit its network.
    """

    def __init__(self, path: Path, device: str, *, given: str | None = None) -> None:
        self._device = find_device(device, given=given)
        from hyperrestore.network.architectures import load_network

        checkpoint = load_checkpoint(path)
        self._description = checkpoint.description
        self._network = load_network(checkpoint).to(self._device)
        self._name = path.name
        logger.info("opened %s with torch", path)

    def release_memory(self) -> None:
        """Do nothing: torch releases memory by itself."""

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

        from hyperrestore.network.hyper import materialize

        plain = materialize(self._network, level).eval()
        plain = plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        backend = self._backend(plain, precision, bits)
        logger.info("%s at level %s: %s", self._name, level_text(level), backend.name)
        return backend

    def mapped(self, *, precision: Precision, bits: int) -> MapBackend:
        """The network for a level of each pixel; precision and bits as for `at`."""
        import torch

        def over(levels: Pixels) -> NetworkBackend:
            level_map = torch.from_numpy(levels).to(self._device)
            return self._backend(lambda image: self._network(image, level_map), precision, bits)

        axes = len(self._description.scales)
        return MapBackend(self._description.halo, self._description.multiple, over, axes)

    def _backend(self, network: Callable[[Any], Any], precision: Precision, bits: int) -> NetworkBackend:
        """A network on tensors, as a backend."""
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
            subpixels=self._description.subpixels,
        )


def find_device(name: str, *, given: str | None = None) -> torch.device:
    """The torch device of a name: "cpu", "cuda", "cuda:1", "mps".

    Args:
        name: Of the device.
        given: What the person gave to choose it; messages name it. By default the name.

    Raises:
        MissingExtraError: torch is not installed.
        UsageError: torch does not have this device.
    """
    given = name if given is None else given
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(f"device {given!r} needs torch: pip install 'hyperrestore[torch]'") from error
    known = f"this machine has {', '.join(devices_here())}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {given!r} cannot be used here: {known}") from error
    try:
        torch.empty(1, device=device).cpu()  # some devices have a name but cannot be used
    except (RuntimeError, AssertionError, ImportError) as error:
        raise UsageError(f"device {given!r} cannot be used here ({first_line(error)}): {known}") from error
    return device


def devices_here() -> list[str]:
    """The devices that a person can give on this machine, by the names that `placement` knows."""
    import torch

    graphics = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    apple = ["mps"] if torch.backends.mps.is_available() else []
    intel = [f"xpu:{number}" for number in range(torch.xpu.device_count())]
    return ["cpu", "torch", *graphics, *apple, *intel]
