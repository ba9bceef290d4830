"""Folders of clean photos -> random crops, and the split into training and validation photos.

Photos are decoded once and stay on the training device as 8-bit values. Crops, flips and transpositions are
one gather there, so training never waits for the disk or the CPU.
"""

from __future__ import annotations

import csv
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hyperrestore.errors import UsageError
from hyperrestore.learn.drawings import draw_pictures
from hyperrestore.picture.file import read_picture
from hyperrestore.picture.formats import SUFFIXES

INDEX = "INDEX.tsv"
COLUMNS = ("part", "tile", "source", "image")
DRAWN, DRAWN_SIZE = 256, 256  # pictures, and their side in pixels


@dataclass(frozen=True)
class PhotoFile:
    """A file, and the photo that it belongs to."""

    path: Path
    photo: str


def find_photos(folder: Path) -> list[PhotoFile]:
    """List the pictures below a folder in a fixed order.

    If the folder holds an `INDEX.tsv` with the columns part, tile, source and image, the file part/tile
    is a tile of the photo source/image; elsewhere every file is a photo of its own.

    Raises:
        UsageError: There is no such folder, no picture in it, or its index lacks a column.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder of photos")
    photo_of: dict[Path, str] = {}
    index = folder / INDEX
    if index.is_file():
        with index.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                cells = [row.get(column) for column in COLUMNS]
                if None in cells:
                    raise UsageError(f"{index}: every row needs the columns {', '.join(COLUMNS)}, got {row}")
                part, tile, source, image = map(str, cells)
                photo_of[folder / part / tile] = f"{source}/{image}"
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise UsageError(f"{folder}: holds no pictures ({', '.join(SUFFIXES)})")
    return [PhotoFile(path, photo_of.get(path, path.relative_to(folder).as_posix())) for path in paths]


def photos_digest(files: Sequence[PhotoFile]) -> str:
    """A fingerprint of photos by their names and sizes in bytes, in any folder."""
    facts = [(file.photo, file.path.name, file.path.stat().st_size) for file in files]
    return hashlib.sha256(repr(sorted(facts)).encode()).hexdigest()[:16]


def split_photos(files: Sequence[PhotoFile], *, every: int = 20) -> tuple[list[PhotoFile], list[PhotoFile]]:
    """Split files into training and validation so that no photo is on both sides.

    The side depends on the photo's name alone, so adding photos later never moves one to the other side. Only
    if a side would be empty, in a very small folder, one photo is moved there.

    Args:
        files: What `find_photos` found.
        every: One photo in so many becomes a validation photo, on average.

    Returns:
        Training files and validation files.

    Raises:
        UsageError: There are fewer than two photos.
    """
    number = {file.photo: _number(file.photo) for file in files}
    if len(number) < 2:
        raise UsageError(f"{len(number)} photo is too few: one is held out for validation; give at least two")
    ordered = sorted(number, key=lambda photo: (number[photo] % every, number[photo]))
    count = sum(number[photo] % every == 0 for photo in ordered)
    held_out = set(ordered[: min(max(count, 1), len(ordered) - 1)])
    training = [file for file in files if file.photo not in held_out]
    return training, [file for file in files if file.photo in held_out]


def _number(photo: str) -> int:
    """A number derived from a photo's name, which may hold any bytes."""
    return zlib.crc32(photo.encode(errors="surrogateescape"))


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """Read a photo as 8-bit RGB (3, h, w); grey becomes three equal channels."""
    pixels = np.rint(read_picture(path).pixels * 255).astype(np.uint8)
    return np.broadcast_to(pixels, (3, *pixels.shape[1:]))


class Photos:
    """Clean photos on a device, and random crops of them.

    Args:
        files: Photos to read.
        crop: Side of the crops, pixels. Smaller photos are left out.
        device: Where the photos are kept and the crops are made.
        drawn_share: Share of crops from drawn pictures (see `drawings`), from 0 to below 1.

    Raises:
        UsageError: No photo is large enough.
    """

    def __init__(
        self, files: Sequence[PhotoFile], *, crop: int, device: torch.device, drawn_share: float = 0.0
    ) -> None:
        read = ((file, read_rgb(file.path)) for file in files)
        used = [(file, array) for file, array in read if min(array.shape[1:]) >= crop]
        if not used:
            raise UsageError(f"none of {len(files)} photos is as large as a crop of {crop}x{crop} pixels")
        self.crop = crop
        self.count = len({file.photo for file, _ in used})
        arrays = [array for _, array in used]
        files_used = len(arrays)
        if drawn_share:
            arrays.extend(draw_pictures(DRAWN, size=max(DRAWN_SIZE, crop), seed=0))
        sizes = torch.tensor([array.shape[1:] for array in arrays])
        ends = torch.cumsum(3 * sizes.prod(1), 0)
        self.offset = (ends - 3 * sizes.prod(1)).to(device)
        self.height, self.width = sizes.to(device).T
        exact = torch.float32 if device.type == "mps" else torch.float64  # there are no doubles on MPS
        self.weight = (sizes - crop + 1).prod(1).to(device, exact)  # number of crops in each
        drawn, photos = self.weight[files_used:], self.weight[:files_used].sum()
        self.weight[files_used:] = drawn_share / (1 - drawn_share) * photos * drawn / drawn.sum()
        self.pixels = torch.from_numpy(np.concatenate([array.ravel() for array in arrays])).to(device)

    def __len__(self) -> int:
        """Number of photos, each of which may be cut into several files."""
        return self.count

    def crops(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw crops, flipped and transposed at random; every position of every photo is equally likely.

        Args:
            count: How many.
            generator: Source of randomness, on the photos' device.

        Returns:
            (count, 3, crop, crop), float32, values in [0, 1].
        """
        device = self.pixels.device
        chosen = torch.multinomial(self.weight, count, replacement=True, generator=generator)
        random = torch.rand(5, count, generator=generator, device=device)
        top = (random[0] * (self.height[chosen] - self.crop + 1)).long()
        left = (random[1] * (self.width[chosen] - self.crop + 1)).long()
        # Slices are several times as fast, but a GPU would have to be asked, and waited for, where they lie.
        crops = (self._sliced if device.type == "cpu" else self._gathered)(chosen, top, left)
        transpose, flip_down, flip_right = (random[2:] < 0.5).view(3, -1, 1, 1, 1)
        crops = torch.where(flip_down, crops.flip(2), crops)
        crops = torch.where(flip_right, crops.flip(3), crops)
        return torch.where(transpose, crops.mT, crops).float() / 255

    def _sliced(self, chosen: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """Crops of the chosen files from these places on, (count, 3, crop, crop), 8 bits."""
        side = self.crop

        def cut(file: int, top: int, left: int) -> Tensor:
            first, height, width = (int(values[file]) for values in (self.offset, self.height, self.width))
            picture = self.pixels[first : first + 3 * height * width].view(3, height, width)
            return picture[:, top : top + side, left : left + side]

        return torch.stack([cut(*place) for place in torch.stack([chosen, top, left], dim=1).tolist()])

    def _gathered(self, chosen: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """The same, by the place of every single pixel."""
        step = torch.arange(self.crop, device=chosen.device)
        height, width = self.height[chosen].view(-1, 1, 1, 1), self.width[chosen].view(-1, 1, 1, 1)
        row, column = top.view(-1, 1, 1, 1) + step.view(-1, 1), left.view(-1, 1, 1, 1) + step
        channel = height * width * torch.arange(3, device=chosen.device).view(3, 1, 1)
        return self.pixels[self.offset[chosen].view(-1, 1, 1, 1) + channel + row * width + column]


def validation_crops(files: Sequence[PhotoFile], *, count: int, size: int) -> npt.NDArray[np.float32]:
    """Cut the middle of one tile of each photo: the same crops in every run.

    Args:
        files: Validation photos.
        count: At most so many crops.
        size: Side of a crop, pixels. Smaller photos are left out.

    Returns:
        (at most count, 3, size, size), values in [0, 1].

    Raises:
        UsageError: No photo is large enough.
    """
    crops: list[npt.NDArray[np.uint8]] = []
    first_of = {file.photo: file for file in reversed(files)}
    for file in sorted(first_of.values(), key=lambda file: _number(file.photo)):
        if len(crops) == count:
            break
        array = read_rgb(file.path)
        top, left = ((side - size) // 2 for side in array.shape[1:])
        if top >= 0 and left >= 0:
            crops.append(array[:, top : top + size, left : left + size])
    if not crops:
        raise UsageError(
            f"none of {len(files)} validation photos has {size}x{size} pixels; add larger photos"
        )
    return np.divide(np.stack(crops), 255, dtype=np.float32)
