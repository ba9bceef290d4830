"""A photo on a page: decoded once into a plain file, from which regions are read, restored and shown."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hyperrestore.arrays import Pixels, Rows
from hyperrestore.detect.findings import Findings, inspect
from hyperrestore.level import kinds_of
from hyperrestore.picture.bands import resized
from hyperrestore.picture.decode import load
from hyperrestore.picture.formats import FORMATS, Format
from hyperrestore.picture.info import PictureInfo
from hyperrestore.picture.reader import open_picture
from hyperrestore.picture.vips import vips_library
from hyperrestore.restore.assembly import Seen, Step, assemble, stored, with_levels
from hyperrestore.restore.repair import Repair
from hyperrestore.restore.restorer import Restorer
from hyperrestore.run.engine import Region
from hyperrestore.run.level_map import between, level_rows
from hyperrestore.run.linear_light import in_linear_light, perceptual_rows
from hyperrestore.run.transparency import VisibleRows, find_surroundings

REDUCTIONS = (1, 2, 4, 8, 16, 32, 64)
_STRIP = 512  # rows moved at a time; a multiple of two
_BACKGROUND_TILE = 500  # a sixth of a usual view: others wait a quarter of a second for a window at most


@dataclass(frozen=True)
class Raster:
    """Samples in a plain file, from which any region can be read.

    Attributes:
        path: The file; it holds (height, channels, width) samples and nothing else.
        width: Pixels per row.
        height: Rows.
        channels: Samples per pixel.
        dtype: uint8, uint16 or float32.
    """

    path: Path
    width: int
    height: int
    channels: int
    dtype: np.dtype[Any]

    def read(self, region: Region) -> Rows:
        """Samples of a region, (c, bottom - top, right - left)."""
        shape = (self.height, self.channels, self.width)
        # Mapped for this call only: the system decides what stays in memory, and it does not count as ours.
        samples = np.memmap(self.path, self.dtype, "r", shape=shape)
        part = samples[region.top : region.bottom, :, region.left : region.right]
        return np.ascontiguousarray(part.transpose(1, 0, 2))


def write_raster(raster: Raster, read: Callable[[int, int], Rows]) -> None:
    """Write rows (channels, n, width), read once from top to bottom, into a raster's file."""
    with raster.path.open("wb") as file:
        for top in range(0, raster.height, _STRIP):
            rows = read(top, min(top + _STRIP, raster.height))
            file.write(np.ascontiguousarray(rows.transpose(1, 0, 2)).data)


@dataclass(frozen=True)
class LevelMap:
    """Where a photo should be restored more, and where less.

    Attributes:
        mask: A picture of any size; white stands for one level, black for another.
        shares: How white it is, 0 to 1, in the size of the reduced photo, by reduction factor.
    """

    mask: Path
    shares: dict[int, Raster] = field(repr=False, default_factory=dict)

    def add_reduced(self, reduce: int, width: int, height: int) -> None:
        """Resize it to the reduced photo, unless that was done already; one thread at a time.

        Raises:
            PictureError: The mask cannot be read, or has transparency.
        """
        if reduce in self.shares:
            return
        read = level_rows(self.mask, height=height, width=width, black=0.0, white=1.0)
        path = self.mask.with_name(f"{self.mask.name}-{reduce}")
        raster = Raster(path, width, height, 1, np.dtype(np.float32))
        write_raster(raster, read)
        self.shares[reduce] = raster

    def remove(self) -> None:
        """Remove its files."""
        for path in (self.mask, *(raster.path for raster in self.shares.values())):
            path.unlink(missing_ok=True)

    def levels(
        self, region: Region, reduce: int, *, black: tuple[float, ...], white: tuple[float, ...]
    ) -> Pixels:
        """Levels of a region, (axes, h, w), the same as those of `level_map.level_rows`."""
        return between(self.shares[reduce].read(region), black, white)


@dataclass(frozen=True)
class Photo:
    """A photo on a page.

    Attributes:
        identity: The name that the page uses for it.
        name: Of the file as sent; only for display.
        path: The file as sent.
        format: Of that file.
        info: What it says besides its pixels.
        findings: What is wrong with it.
        colours: Its samples without alpha, by reduction factor.
        alpha: Its alpha, likewise; empty if it has none.
        inputs: The network's input, likewise: the colours, encoded if they are in linear light, or, where
            some are hidden, the rows of `transparency.VisibleRows`.
    """

    identity: str
    name: str
    path: Path
    format: Format
    info: PictureInfo
    findings: Findings
    colours: dict[int, Raster] = field(repr=False)
    alpha: dict[int, Raster] = field(repr=False)
    inputs: dict[int, Raster] = field(repr=False)

    def size(self, reduce: int) -> tuple[int, int]:
        """Width and height of the reduced photo, rounded up."""
        return -(-self.info.width // reduce), -(-self.info.height // reduce)

    def add_reduced(self, reduce: int) -> None:
        """Make the reduced photo, unless it exists already; one thread at a time."""
        if reduce in self.inputs:
            return
        if reduce > 1:
            self.add_reduced(reduce // 2)
            halve(self.colours, self.alpha, reduce)
        self.inputs[reduce] = as_seen(self.colours[reduce], self.alpha.get(reduce), self.info)

    def shown(self, region: Region, reduce: int) -> bytes:
        """A region of the photo itself as PNG."""
        alpha = self.alpha[reduce].read(region) if self.alpha else None
        return encode_view(self.colours[reduce].read(region), alpha, self.info)

    def restored(
        self,
        restorer: Restorer,
        repair: Repair,
        region: Region,
        reduce: int,
        *,
        level_map: LevelMap | None = None,
        quick: bool = False,
        between: Callable[[], None] | None = None,
    ) -> Rows:
        """Restore a region of the photo, in its own depth: the same as in the full result, unless `quick`.

        Args:
            restorer: The model.
            repair: The repair of the whole photo, with given levels.
            region: Of the result, pixels.
            reduce: Reduction factor: the photo is reduced first, then restored. Reducing averages damage
                away, so weaker levels are used (see `reduced_levels`).
            level_map: The map of the repair's mask, resized to the photo.
            quick: Use the graph for small pictures: sooner ready, and may differ by a rounding.
            between: Called before every window of work in the background, so that others can be served; an
                exception that it raises ends the work.

        Raises:
            UsageError: The precision of the model is not for this photo.
        """
        inputs = self.inputs[reduce]
        levels = repair.levels_for(self.info.width, self.info.height)
        read: Callable[[Region], Rows] = inputs.read
        if level_map is not None:
            black, white = (reduced_levels(restorer, levels, reduce) for levels in repair.ends)
            read = with_levels(read, lambda part: level_map.levels(part, reduce, black=black, white=white))
        elif levels is not None:
            levels = reduced_levels(restorer, levels, reduce)
        seen = Seen(
            inputs.width,
            inputs.height,
            self.info.bits,
            visible_only=inputs.channels > self.info.channels,
            linear=in_linear_light(self.info),
        )
        assembly = assemble([Step(restorer, levels, repair.grain)], seen, quick=quick)
        if between is None:
            pixels = assembly.region(read, region)
        else:
            pixels = assembly.region(read, region, tile=_BACKGROUND_TILE, before=between)
        return stored(pixels, self.info.dtype)

    def shown_result(self, rows: Rows, region: Region, reduce: int, size: tuple[int, int]) -> bytes:
        """A region of a result of that width and height as PNG; `rows` as `restored` gives them."""
        return encode_view(rows, self._alpha_of_result(region, reduce, *size), self.info)

    def _alpha_of_result(self, region: Region, reduce: int, width: int, height: int) -> Rows | None:
        """Alpha of a region of a result of that size."""
        if not self.alpha:
            return None
        raster = self.alpha[reduce]
        if (raster.width, raster.height) == (width, height):
            return raster.read(region)
        kind = {"format": "uchar" if self.info.bits == 8 else "ushort"}
        image = vips_library().Image.rawload(os.fsencode(raster.path), raster.width, raster.height, 1, **kind)
        part = resized(image, width, height).crop(
            region.left, region.top, region.right - region.left, region.bottom - region.top
        )
        alpha: Rows = part.rint().cast(kind["format"]).numpy()
        return alpha.reshape(1, *alpha.shape[:2])


def read_info(path: Path, *, max_pixels: int) -> tuple[Format, PictureInfo]:
    """What a file says about itself; no pixels are decoded.

    Raises:
        PictureError: As `picture.open_picture`.
    """
    with open_picture(path, max_pixels=max_pixels) as reader, path.open("rb") as file:
        head = file.read(12)
        known = next(known for known in FORMATS if re.match(known.signature, head, re.DOTALL))
        return known, reader.info


def keep_photo(path: Path, *, identity: str, name: str, max_pixels: int) -> Photo:
    """Decode a picture file into plain files beside it, and detect what is wrong with it.

    Args:
        path: The file, alone in its folder.
        identity: The name that the page uses for it.
        name: Of the file as sent.
        max_pixels: The most pixels that are accepted.

    Raises:
        PictureError: As `picture.open_picture`.
        OSError: The disk is full.
    """
    known, info = read_info(path, max_pixels=max_pixels)
    colours = Raster(path.with_name("colours-1"), info.width, info.height, info.channels, info.dtype)
    with open_picture(path, max_pixels=max_pixels) as reader:
        write_raster(colours, reader.rows)
    alpha = {}
    if info.has_alpha:
        alpha[1] = Raster(path.with_name("alpha-1"), info.width, info.height, 1, info.dtype)
        image, _ = load(path, max_pixels)
        image[image.bands - 1].rawsave(os.fsencode(alpha[1].path))
    findings = inspect(path, max_pixels=max_pixels)
    photo = Photo(identity, name, path, known, info, findings, {1: colours}, alpha, {})
    photo.add_reduced(1)
    return photo


def as_seen(colours: Raster, alpha: Raster | None, info: PictureInfo) -> Raster:
    """The network's input: the colours, encoded, or with alpha as `VisibleRows`; or just the colours."""
    rasters = [colours] if alpha is None else [colours, alpha]

    def read(top: int, bottom: int) -> Rows:
        part = Region(0, top, colours.width, bottom)
        return np.concatenate([raster.read(part) for raster in rasters])

    rows = perceptual_rows(read, info)
    surroundings = None if alpha is None else find_surroundings(rows, height=colours.height)
    if surroundings is None and rows is read:
        return colours
    path = colours.path.with_name(colours.path.name.replace("colours", "inputs"))
    raster = replace(colours, path=path, dtype=np.dtype(np.float32) if rows is not read else colours.dtype)
    if surroundings is None:
        write_raster(raster, lambda top, bottom: rows(top, bottom)[: colours.channels])
        return raster
    raster = replace(raster, channels=2 * colours.channels + 1)
    write_raster(raster, VisibleRows(rows, surroundings, bits=info.bits).rows)
    return raster


def reduced_levels(restorer: Restorer, levels: tuple[float, ...], reduce: int) -> tuple[float, ...]:
    """The levels for a photo reduced by `reduce`, from those at full size; a scale and its softness stay.

    The mean of r x r pixels has a r-th of the standard deviation of white noise. JPEG has no such law: what
    is lost to quality 100 is taken for as many times less, too.
    """
    kinds = kinds_of(restorer.task, len(levels))
    return tuple(
        level if kind is None else axis.origin + (level - axis.origin) / reduce
        for axis, level, kind in zip(restorer.scales, levels, kinds, strict=True)
    )


def halve(colours: dict[int, Raster], alpha: dict[int, Raster], reduce: int) -> None:
    """Add the photo reduced by `reduce`, from that reduced by half as much; colours are weighted by alpha."""
    sources = [rasters[reduce // 2] for rasters in (colours, alpha) if rasters]
    targets = [
        Raster(
            source.path.with_name(f"{source.path.name.partition('-')[0]}-{reduce}"),
            -(-source.width // 2), -(-source.height // 2), source.channels, source.dtype,
        )
        for source in sources
    ]  # fmt: skip
    files = [target.path.open("wb") for target in targets]
    try:
        for top in range(0, sources[0].height, _STRIP):
            part = Region(0, top, sources[0].width, min(top + _STRIP, sources[0].height))
            bands = [_even(source.read(part)) for source in sources]
            weights = bands[1].astype(np.float32) + np.float32(1e-6) if len(bands) == 2 else None
            halves = [_means_of_four(bands[0], weights)]
            if weights is not None:
                halves.append(_means_of_four(bands[1], None))
            for file, half in zip(files, halves, strict=True):
                file.write(np.ascontiguousarray(half.transpose(1, 0, 2)).data)
    finally:
        for file in files:
            file.close()
    colours[reduce] = targets[0]
    if alpha:
        alpha[reduce] = targets[1]


def _even(rows: Rows) -> Rows:
    """Repeat the last row and column where their number is odd."""
    missing = (rows.shape[1] % 2, rows.shape[2] % 2)
    return np.pad(rows, ((0, 0), (0, missing[0]), (0, missing[1])), mode="edge") if any(missing) else rows


def _means_of_four(rows: Rows, weights: Pixels | None) -> Rows:
    """Means of 2x2 pixels, (c, h, w) -> (c, h/2, w/2), weighted if there are weights (1, h, w)."""
    quarters = [(slice(None), slice(y, None, 2), slice(x, None, 2)) for y in (0, 1) for x in (0, 1)]
    if weights is None:
        total = sum(rows[quarter].astype(np.uint32) for quarter in quarters)
        return ((total + 2) // 4).astype(rows.dtype)  # type: ignore[union-attr]
    summed = sum(rows[quarter] * weights[quarter] for quarter in quarters)
    return np.rint(summed / sum(weights[quarter] for quarter in quarters)).astype(rows.dtype)


def encode_view(rows: Rows, alpha: Rows | None, info: PictureInfo) -> bytes:
    """Pixels in a photo's own colour space and depth -> PNG in sRGB with 8 bits.

    Args:
        rows: (c, h, w), uint8 or uint16.
        alpha: (1, h, w), likewise, or None.
        info: Whose colour profile holds.
    """
    vips = vips_library()
    image = _image_of(rows, info)
    if info.icc_profile:
        image.set_type(vips.GValue.blob_type, "icc-profile-data", info.icc_profile)
        try:
            image = image.icc_transform(
                "srgb", embedded=True, intent="relative", black_point_compensation=True, depth=8
            ).copy_memory()
        except vips.Error:  # damaged, or for other colours: shown as if there were none
            image = _image_of(rows, info)
    image = _in_8_bits(image)
    if image.bands == 1:
        image = image.bandjoin([image, image])
    if alpha is not None:
        image = image.bandjoin(_in_8_bits(_image_of(alpha, info)))
    # Measured on 1200 x 800 pixels: 23 ms and 1.1 MB; uncompressed 2 ms and 2.9 MB, WebP 345 ms and 0.6 MB.
    png: bytes = image.copy(interpretation="srgb").pngsave_buffer(compression=1, filter="up", keep="none")
    return png


def _image_of(rows: Rows, info: PictureInfo) -> Any:
    channels, height, width = rows.shape
    data = np.ascontiguousarray(rows.transpose(1, 2, 0))
    kind, interpretation = ("uchar", ("b-w", "srgb")) if info.bits == 8 else ("ushort", ("grey16", "rgb16"))
    image = vips_library().Image.new_from_memory(data.data, width, height, channels, kind)
    return image.copy(interpretation=interpretation[channels == 3])


def _in_8_bits(image: Any) -> Any:
    return image if image.format == "uchar" else (image / 257).rint().cast("uchar")
