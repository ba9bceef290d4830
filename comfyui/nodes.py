"""The nodes: what they show, and how their inputs reach hyperrestore."""

from __future__ import annotations

import torch
from comfy.model_management import get_torch_device
from comfy_api.latest import ComfyExtension, io

from hyperrestore.hosts.frames import Restored, enlarge_frames, restore_frames
from hyperrestore.level import Task
from hyperrestore.restore.repair import Size

CATEGORY = "image/hyperrestore"
NOTHING = {Task.DENOISE: 0.0, Task.DEJPEG: 100.0}  # levels that stand for no repair


class Restore(io.ComfyNode):
    """Removes the noise and the JPEG artefacts that are found."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the node shows."""
        return io.Schema(
            node_id="HyperrestoreRestore",
            display_name="Restore (noise and JPEG)",
            category=CATEGORY,
            description="Estimates noise and JPEG compression, and repairs both. A batch is repaired at one "
            "level, the median of its images.",
            inputs=[_image(), _strength(), _grain(), _mask()],
            outputs=[io.Image.Output(), *map(_level_output, ("sigma", "quality"))],
        )

    @classmethod
    def execute(
        cls, image: torch.Tensor, strength: float, grain: float, mask: torch.Tensor | None = None
    ) -> io.NodeOutput:
        """Repair a batch."""
        restored = _restore(image, [Task.DENOISE, Task.DEJPEG], None, strength, mask, grain)
        return _output(restored, Task.DENOISE, Task.DEJPEG)


class Denoise(io.ComfyNode):
    """Removes noise."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the node shows."""
        return io.Schema(
            node_id="HyperrestoreDenoise",
            display_name="Denoise",
            category=CATEGORY,
            description="Removes noise of a standard deviation that is given or estimated.",
            inputs=[
                _image(),
                _estimate("sigma"),
                io.Float.Input(
                    "sigma", default=25.0, min=0.0, max=100.0, step=0.5,
                    tooltip="Standard deviation of the noise, of 255; if it is not estimated",
                ),
                _strength(),
                _grain(),
                _mask(),
            ],
            outputs=[io.Image.Output(), _level_output("sigma")],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        estimate: bool,
        sigma: float,
        strength: float,
        grain: float,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Repair a batch."""
        level = None if estimate else sigma
        return _output(_restore(image, [Task.DENOISE], level, strength, mask, grain), Task.DENOISE)


class RepairJpeg(io.ComfyNode):
    """Removes JPEG artefacts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the node shows."""
        return io.Schema(
            node_id="HyperrestoreRepairJpeg",
            display_name="Repair JPEG",
            category=CATEGORY,
            description="Removes the artefacts of JPEG compression at a quality that is given or estimated.",
            inputs=[
                _image(),
                _estimate("quality"),
                io.Float.Input(
                    "quality", default=50.0, min=1.0, max=100.0, step=1.0,
                    tooltip="JPEG quality, a lower one repairs more; if it is not estimated",
                ),
                _strength(),
                _mask(),
            ],
            outputs=[io.Image.Output(), _level_output("quality")],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        estimate: bool,
        quality: float,
        strength: float,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Repair a batch."""
        level = None if estimate else quality
        return _output(_restore(image, [Task.DEJPEG], level, strength, mask), Task.DEJPEG)


class Upscale(io.ComfyNode):
    """Enlarges by any scale, or to an exact width or height."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the node shows."""
        side = {"default": 0, "min": 0, "max": 32768, "step": 1}
        return io.Schema(
            node_id="HyperrestoreUpscale",
            display_name="Upscale (any size)",
            category=CATEGORY,
            description="Enlarges by any scale from 1 to 6, or to an exact width or height.",
            inputs=[
                _image(),
                io.Float.Input(
                    "scale", default=2.0, min=1.0, max=6.0, step=0.05, tooltip="If no size is given"
                ),
                io.Int.Input("width", **side, tooltip="Of the result, pixels; 0 for none"),
                io.Int.Input("height", **side, tooltip="Of the result, instead of a width; 0 for none"),
                io.Float.Input(
                    "softness", default=1.0, min=0.0, max=3.0, step=0.05,
                    tooltip="How soft the image is: 1 if it was shrunk as usual, more for a sharper result",
                ),
            ],
            outputs=[io.Image.Output()],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, image: torch.Tensor, scale: float, width: int, height: int, softness: float
    ) -> io.NodeOutput:
        """Enlarge a batch."""
        size = Size(to_width=width or None, to_height=height or None) if width or height else None
        frames = enlarge_frames(
            image.cpu(), scale=None if size else scale, size=size, softness=softness, device=_device()
        )
        return io.NodeOutput(torch.from_numpy(frames))


class Hyperrestore(ComfyExtension):
    """All nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The nodes, as ComfyUI asks for them."""
        return [Restore, Denoise, RepairJpeg, Upscale]


async def comfy_entrypoint() -> Hyperrestore:
    """What ComfyUI calls when it loads the nodes."""
    return Hyperrestore()


def _image() -> io.Image.Input:
    return io.Image.Input("image")


def _estimate(unit: str) -> io.Boolean.Input:
    return io.Boolean.Input(
        "estimate", default=True, label_on="estimated", label_off="given",
        tooltip=f"Whether {unit} is estimated from the image",
    )  # fmt: skip


def _strength() -> io.Float.Input:
    return io.Float.Input(
        "strength", default=1.0, min=0.1, max=10.0, step=0.1, tooltip="Factor for what is estimated"
    )


def _grain() -> io.Float.Input:
    return io.Float.Input(
        "grain", default=0.0, min=0.0, max=1.0, step=0.05, tooltip="Share of the noise that is put back"
    )


def _mask() -> io.Mask.Input:
    return io.Mask.Input(
        "mask", optional=True, tooltip="Black is left as it is, white repaired at the level, grey in between"
    )


def _level_output(unit: str) -> io.Float.Output:
    return io.Float.Output(f"{unit}_used", display_name=unit)


def _restore(
    image: torch.Tensor,
    tasks: list[Task],
    level: float | None,
    strength: float,
    mask: torch.Tensor | None,
    grain: float = 0.0,
) -> Restored:
    return restore_frames(
        image.cpu(),
        tasks,
        level=level,
        mask=None if mask is None else mask.cpu(),
        strength=strength if level is None else 1.0,
        grain=grain,
        device=_device(),
    )


def _output(restored: Restored, *tasks: Task) -> io.NodeOutput:
    levels = [float(restored.levels.get(task, NOTHING[task])) for task in tasks]
    return io.NodeOutput(torch.from_numpy(restored.frames), *levels)


def _device() -> str:
    """Where ComfyUI computes; on a CPU hyperrestore has its own engine."""
    device = get_torch_device()
    return "auto" if device.type == "cpu" else str(device)
