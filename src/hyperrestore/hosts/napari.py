"""Image layers of napari, restored: `denoise(layer, 12)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hyperrestore.arrays import Float32
from hyperrestore.errors import UsageError
from hyperrestore.floats import LEAST, MOST
from hyperrestore.hosts.frames import LOOKED_AT, grain_share, levels_within, models_and_levels, shipped
from hyperrestore.hosts.installed import import_host
from hyperrestore.level import Task, as_number
from hyperrestore.picture.file import Picture
from hyperrestore.picture.info import PictureInfo
from hyperrestore.restore.levels import Level
from hyperrestore.restore.restorer import Restorer

if TYPE_CHECKING:
    import napari

INSTALL = "'napari[pyqt6]'"  # napari alone has no window
BITS = 16  # more than 8, so that networks compute in fp32
# What the new layer takes over: where it lies, and how it is shown.
KEPT = (
    "rgb", "scale", "translate", "rotate", "shear", "affine", "units", "axis_labels",
    "colormap", "contrast_limits", "gamma", "blending", "opacity", "interpolation2d", "interpolation3d",
)  # fmt: skip


def restore(
    layer: napari.layers.Image,
    *,
    strength: float = 1.0,
    grain: float = 0.0,
    mask: napari.layers.Layer | None = None,
    white: float | None = None,
    device: str = "auto",
) -> napari.layers.Image:
    """Remove the noise and the JPEG artefacts that are found.

    Args:
        layer: Grey, RGB or RGBA; a stack of such pictures is restored at one level, the median. Floats have
            white at 1, unsigned integers at the largest of their type.
        strength: Factor for what is estimated, 0.1 to 10.
        grain: Share of the luminance noise to put back, 0 to 1.
        mask: A Labels layer, of which all that has a label is repaired; or a grey Image layer: where it is 0
            nothing is repaired, where it is white at the level. As large as the layer, or as one of its
            pictures.
        white: The value that is white, if it is another: 4095 for 12 bits. Larger values are cut off.
        device: As for `Restorer.load`.

    Returns:
        A new layer in the same place and of the same type. Its `metadata["hyperrestore"]` holds the levels
        that were used, by task.

    Raises:
        MissingExtraError: napari is not installed.
        UsageError: The layer holds several resolutions, or no picture; or an option does not fit.
    """
    tasks = [Task.DENOISE, Task.DEJPEG]
    return _repaired(layer, tasks, None, "restored", strength, grain, mask, white, device)


def denoise(
    layer: napari.layers.Image,
    sigma: float | None = None,
    *,
    strength: float = 1.0,
    grain: float = 0.0,
    mask: napari.layers.Layer | None = None,
    white: float | None = None,
    device: str = "auto",
) -> napari.layers.Image:
    """Remove noise.

    Args:
        layer: As for `restore`.
        sigma: Standard deviation of the noise, on the scale on which white is 255. None estimates it.
        strength: As for `restore`; not beside a sigma.
        grain: As for `restore`.
        mask: As for `restore`.
        white: As for `restore`.
        device: As for `Restorer.load`.

    Returns:
        As `restore`.

    Raises:
        LevelError: The model does not accept sigma.
        MissingExtraError: As `restore`.
        UsageError: As `restore`.
    """
    return _repaired(layer, [Task.DENOISE], sigma, "denoised", strength, grain, mask, white, device)


def repair_jpeg(
    layer: napari.layers.Image,
    quality: float | None = None,
    *,
    strength: float = 1.0,
    mask: napari.layers.Layer | None = None,
    white: float | None = None,
    device: str = "auto",
) -> napari.layers.Image:
    """Remove JPEG artefacts.

    Args:
        layer: As for `restore`.
        quality: JPEG quality, 1 to 100; a lower one repairs more. None estimates it.
        strength: As for `restore`; not beside a quality.
        mask: As for `restore`.
        white: As for `restore`.
        device: As for `Restorer.load`.

    Returns:
        As `restore`.

    Raises:
        LevelError: The model does not accept the quality.
        MissingExtraError: As `restore`.
        UsageError: As `restore`.
    """
    return _repaired(layer, [Task.DEJPEG], quality, "repaired", strength, 0.0, mask, white, device)


def upscale(
    layer: napari.layers.Image,
    scale: float = 2.0,
    *,
    softness: float = 1.0,
    white: float | None = None,
    device: str = "auto",
) -> napari.layers.Image:
    """Enlarge.

    Args:
        layer: As for `restore`.
        scale: 1 to 6.
        softness: How soft the picture is, 0 to 3; 1 for one that was shrunk as usual.
        white: As for `restore`.
        device: As for `Restorer.load`.

    Returns:
        A new layer of more pixels, each as much smaller, so that it covers the other exactly.

    Raises:
        LevelError: The model does not accept the scale or the softness.
        MissingExtraError: As `restore`.
        UsageError: As `restore`.
    """
    stack = _Stack(layer, white)
    model = shipped(Task.UPSCALE, device)
    level = {"scale": scale, "softness": softness}
    model.result_size(1, 1, level)  # refuses what does not fit
    frames = [stack.values(model(picture, level)) for picture in map(stack.picture, stack.places)]
    return stack.layer_of(frames, f"enlarged {scale:g} times", {Task.UPSCALE: level})


def _repaired(
    layer: Any,
    tasks: Sequence[Task],
    given: float | None,
    done: str,
    strength: float,
    grain: float,
    mask: Any,
    white: float | None,
    device: str,
) -> Any:
    """A layer without what these tasks remove, one after the other."""
    stack = _Stack(layer, white)
    masks = None if mask is None else _masks(mask, stack)
    spread = np.linspace(0, len(stack.places) - 1, min(LOOKED_AT, len(stack.places))).round().astype(int)
    looked_at = (stack.picture(stack.places[number]) for number in spread)
    models, levels = models_and_levels(tasks, given, looked_at, strength=strength, grain=grain, device=device)
    frames = []
    for number, place in enumerate(stack.places):
        picture = stack.picture(place)
        for model in models:
            if model.task in levels:
                part = None if masks is None else masks[number % len(masks)]
                picture = _once(model, picture, levels[model.task], part, grain_share(grain, model.task))
        frames.append(stack.values(picture))
    named = ", ".join(
        f"{model.scale.unit} {levels[model.task]:g}" for model in models if model.task in levels
    )
    return stack.layer_of(frames, f"{done}, {named}" if named else f"{done}, nothing found", levels)


def _once(model: Restorer, picture: Picture, level: float, mask: Float32 | None, grain: float) -> Picture:
    """A picture, repaired by one model."""
    if mask is None:
        return model(picture, level, grain=grain)
    restored = model(picture, levels_within(model, level, mask), grain=grain)
    np.copyto(restored.pixels, picture.pixels, where=mask == 0)
    return restored


class _Stack:
    """The pictures of a layer: how to read them, and how to make a layer of what became of them."""

    def __init__(self, layer: Any, white: float | None) -> None:
        layers = import_host("napari.layers", install=INSTALL)
        if not isinstance(layer, layers.Image):
            raise UsageError(f"{layer!r} is no Image layer; choose one")
        if layer.multiscale:
            raise UsageError(
                f"layer {layer.name!r} holds several resolutions; make one of them a layer: "
                "viewer.add_image(layer.data[0])"
            )
        self._layer = layer
        self.dtype = np.dtype(layer.data.dtype)
        self.white = _white(self.dtype, white, layer.name)
        shape = tuple(layer.data.shape)
        self._last = 3 if layer.rgb else 2  # axes of one picture
        self.size: tuple[int, int] = shape[len(shape) - self._last :][:2]  # height and width
        self.leading = shape[: len(shape) - self._last]
        self.places = list(np.ndindex(self.leading))
        if not self.places or 0 in self.size:
            raise UsageError(f"layer {layer.name!r} of shape {shape} holds no picture")

    def picture(self, place: tuple[int, ...]) -> Picture:
        """One of the pictures, in [0, 1]."""
        values = np.asarray(self._layer.data[place], np.float64) / self.white
        moved = np.moveaxis(values, -1, 0) if self._layer.rgb else values[None]
        bands: Float32 = np.ascontiguousarray(moved, np.float32)
        low, high = bands.min(), bands.max()
        if low < LEAST or high > MOST:
            raise UsageError(
                f"layer {self._layer.name!r} has values from {low * self.white:g} to {high * self.white:g}, "
                f"and white is {self.white:g}; give the value of its white"
            )
        colours = 3 if self._layer.rgb else 1
        alpha = bands[colours:] if len(bands) > colours else None
        height, width = self.size
        return Picture(
            bands[:colours], alpha, PictureInfo(width, height, colours, BITS, has_alpha=alpha is not None)
        )

    def values(self, picture: Picture) -> npt.NDArray[Any]:
        """Values of the layer's type, (h, w) or (h, w, channels), for one of the pictures."""
        bands = picture.pixels if picture.alpha is None else np.concatenate([picture.pixels, picture.alpha])
        values = bands.clip(0, 1).astype(np.float64) * self.white
        if self.dtype.kind != "f":
            values = np.rint(values)
        return (np.moveaxis(values, 0, -1) if self._layer.rgb else values[0]).astype(self.dtype)

    def layer_of(self, frames: Sequence[npt.NDArray[Any]], done: str, levels: Mapping[Task, Level]) -> Any:
        """A layer of the pictures, in the place of the other."""
        data = np.stack(frames).reshape(*self.leading, *frames[0].shape)
        _, state, _ = self._layer.as_layer_data_tuple()
        kept = {name: state[name] for name in KEPT if name in state}
        used = {str(task): level for task, level in levels.items()}
        return import_host("napari.layers", install=INSTALL).Image(
            data,
            name=f"{self._layer.name} ({done})",
            metadata={**self._layer.metadata, "hyperrestore": used},
            **(kept | self._place(kept, frames[0].shape[:2])),
        )

    def _place(self, kept: dict[str, Any], size: tuple[int, ...]) -> dict[str, Any]:
        """Scale and translation with which a picture of another size covers the same ground.

        The coordinates of a pixel are those of its centre.
        """
        if size == self.size:
            return {}
        smaller = np.ones(self._layer.ndim)
        smaller[-2:] = np.array(self.size) / size
        transforms = import_host("napari.utils.transforms", install=INSTALL)
        turned = transforms.CompositeAffine(scale=kept["scale"], rotate=kept["rotate"], shear=kept["shear"])
        return {
            "scale": kept["scale"] * smaller,
            "translate": np.asarray(kept["translate"]) + turned((smaller - 1) / 2),
        }


def _white(dtype: np.dtype[Any], given: float | None, name: str) -> float:
    """The value that is white."""
    if dtype.kind not in "fiu":
        raise UsageError(f"layer {name!r} is of {dtype}; give one of integers or floats")
    if given is not None:
        if not 0 < as_number(given) < np.inf:
            raise UsageError(f"white {given!r} is not accepted: give a number above 0")
        return float(given)
    if dtype.kind == "i":
        raise UsageError(f"layer {name!r} is of {dtype}, whose white is not known; give white")
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)


def _masks(mask: Any, stack: _Stack) -> Float32:
    """(1 or pictures, h, w) in [0, 1]."""
    layers = import_host("napari.layers", install=INSTALL)
    fits = isinstance(mask, layers.Image | layers.Labels) and not mask.multiscale
    fits = fits and not (isinstance(mask, layers.Image) and mask.rgb)
    if not fits or mask.data.shape not in {stack.size, (*stack.leading, *stack.size)}:
        raise UsageError(
            f"mask {mask!r} does not fit: give a Labels layer or a grey Image layer of shape {stack.size}, "
            f"or {(*stack.leading, *stack.size)}"
        )
    values = np.asarray(mask.data)
    if isinstance(mask, layers.Labels):
        shares = values != 0
    else:
        shares = values / _white(values.dtype, None, mask.name)
    masks: Float32 = np.clip(shares, 0, 1).astype(np.float32).reshape(-1, *stack.size)
    return masks
