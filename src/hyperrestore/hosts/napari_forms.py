"""The forms of the plug-in for napari, which `napari.yaml` names: each asks for what a function needs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any

from hyperrestore.errors import HyperrestoreError
from hyperrestore.hosts.installed import import_host
from hyperrestore.hosts.napari import INSTALL, denoise, repair_jpeg, restore, upscale

if TYPE_CHECKING:
    import napari

FIELDS: dict[str, dict[str, Any]] = {
    "estimate": {"tooltip": "Whether the level is estimated from the layer"},
    "sigma": {
        "min": 0, "max": 100, "step": 0.5,
        "tooltip": "Standard deviation of the noise, where white is 255; if it is not estimated",
    },
    "quality": {
        "min": 1, "max": 100, "step": 1,
        "tooltip": "JPEG quality, a lower one repairs more; if it is not estimated",
    },
    "strength": {"min": 0.1, "max": 10, "step": 0.1, "tooltip": "Factor for what is estimated"},
    "grain": {"min": 0, "max": 1, "step": 0.05, "tooltip": "Share of the noise that is put back"},
    "mask": {"tooltip": "Labels, or a grey image: black is left as it is, white repaired at the level"},
    "scale": {"min": 1, "max": 6, "step": 0.05, "tooltip": "How many times as wide and as high"},
    "softness": {
        "min": 0, "max": 3, "step": 0.05,
        "tooltip": "How soft the layer is: 1 if it was shrunk as usual, more for a sharper result",
    },
    "white": {
        "min": 0, "max": 2**32, "step": 1,
        "tooltip": "The value that is white, as 4095 for 12 bits; 0 for 1 of floats and the largest integer",
    },
}  # fmt: skip


def restore_form() -> Any:
    """The form of `restore`."""

    def ask(
        viewer: napari.Viewer,
        layer: napari.layers.Image,
        strength: float = 1.0,
        grain: float = 0.0,
        mask: napari.layers.Layer | None = None,
        white: float = 0.0,
    ) -> Any:
        return restore(layer, strength=strength, grain=grain, mask=mask, white=white or None)

    return _form(ask, "Restore")


def denoise_form() -> Any:
    """The form of `denoise`."""

    def ask(
        viewer: napari.Viewer,
        layer: napari.layers.Image,
        estimate: bool = True,
        sigma: float = 25.0,
        strength: float = 1.0,
        grain: float = 0.0,
        mask: napari.layers.Layer | None = None,
        white: float = 0.0,
    ) -> Any:
        level, factor = (None, strength) if estimate else (sigma, 1.0)
        return denoise(layer, level, strength=factor, grain=grain, mask=mask, white=white or None)

    return _form(ask, "Denoise")


def repair_jpeg_form() -> Any:
    """The form of `repair_jpeg`."""

    def ask(
        viewer: napari.Viewer,
        layer: napari.layers.Image,
        estimate: bool = True,
        quality: float = 50.0,
        strength: float = 1.0,
        mask: napari.layers.Layer | None = None,
        white: float = 0.0,
    ) -> Any:
        level, factor = (None, strength) if estimate else (quality, 1.0)
        return repair_jpeg(layer, level, strength=factor, mask=mask, white=white or None)

    return _form(ask, "Repair")


def upscale_form() -> Any:
    """The form of `upscale`."""

    def ask(
        viewer: napari.Viewer,
        layer: napari.layers.Image,
        scale: float = 2.0,
        softness: float = 1.0,
        white: float = 0.0,
    ) -> Any:
        return upscale(layer, scale, softness=softness, white=white or None)

    return _form(ask, "Enlarge")


def _form(function: Callable[..., Any], button: str) -> Any:
    """A form for the arguments of a function, which is called in a thread; its layer goes to the viewer.

    While magicgui calls a function, the function's own name means the form, so it must not be "function".
    """
    magicgui = import_host("magicgui", install=INSTALL)
    threads = import_host("napari.qt.threading", install=INSTALL)

    # napari's threads are Qt's, not Python's own, and in such OpenVINO's bindings crash.
    thread = ThreadPoolExecutor(1)

    def called(*given: Any) -> Any:
        return thread.submit(function, *given).result()

    @wraps(function)
    def begun(viewer: Any, *given: Any) -> None:
        connected = {"returned": viewer.add_layer, "errored": _told}
        threads.create_worker(called, viewer, *given, _progress={"desc": button}, _connect=connected)

    fields = {name: FIELDS[name] for name in signature(function).parameters if name in FIELDS}
    return magicgui.magicgui(begun, call_button=button, **fields)


def _told(error: Exception) -> None:
    """Show an error as napari does: those of hyperrestore are a line, any other has its traceback."""
    if not isinstance(error, HyperrestoreError):
        raise error
    import_host("napari.utils.notifications", install=INSTALL).show_error(str(error))
