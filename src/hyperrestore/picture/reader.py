"""An image file -> its rows, from top to bottom, so that memory does not grow with the picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hyperrestore.arrays import StoredRows
from hyperrestore.errors import UsageError
from hyperrestore.picture.decode import is_harmless, load
from hyperrestore.picture.info import PictureInfo
from hyperrestore.picture.vips import reading, vips_library

AnyPath = str | os.PathLike[str]

MAX_PIXELS = 2**30
STRIP = 512  # rows moved at a time where whole pictures are read or written
_FETCH = 32  # rows asked of libvips at a time, which keeps several copies of them


class PictureReader:
    """Rows of an open picture; made by `open_picture`.

    Attributes:
        path: The file.
        info: Its size, depth and metadata.
    """

    def __init__(self, path: Path, image: Any, info: PictureInfo) -> None:
        self.path = path
        self.info = info
        self._image = image
        self._region: Any = None
        self._next = 0

    def rows(self, top: int, bottom: int) -> StoredRows:
        """Read the rows from `top` up to, not including, `bottom`.

        Each call begins where the last one ended, or below: the file is read once, from top to bottom.

        Args:
            top: First row.
            bottom: The row after the last.

        Returns:
            (c, bottom - top, w), uint8 or uint16 as `info.bits` says, without alpha.

        Raises:
            PictureError: The file is damaged or truncated.
            UsageError: The rows lie outside the picture or above rows already read.
        """
        return self.bands(top, bottom)[: self.info.channels]

    def bands(self, top: int, bottom: int) -> StoredRows:
        """Read rows as `rows` does, with alpha as the last channel where the picture has it."""
        return self.samples(top, bottom)[: self.info.channels + self.info.has_alpha]

    def read_on(self) -> None:
        """Read all rows that are left, for nothing but the errors of a damaged file."""
        for top in range(self._next, self.info.height, STRIP):
            self.samples(top, min(top + STRIP, self.info.height))

    def samples(self, top: int, bottom: int) -> StoredRows:
        """Read rows with all that a pixel has: colours, alpha, and the others."""
        info = self.info
        if not self._next <= top < bottom <= info.height:
            raise UsageError(
                f"{self.path}: rows {top} to {bottom} were asked for; rows are read once from top to bottom, "
                f"and {self._next} to {info.height} are left"
            )
        depth = info.channels + info.has_alpha + info.others
        bands = np.empty((depth, bottom - top, info.width), info.dtype)
        with reading(self.path):
            for row in range(top, bottom, _FETCH):
                count = min(_FETCH, bottom - row)
                data = self._fetch(row, count)
                interleaved = np.frombuffer(data, info.dtype).reshape(count, info.width, -1)
                bands[:, row - top : row - top + count] = interleaved.transpose(2, 0, 1)
        self._next = bottom
        if bottom == info.height:  # some decoders hold the whole picture
            self._region = self._image = None
        return bands

    def _fetch(self, top: int, count: int) -> Any:
        """The bytes of some rows. After a harmless warning the file is read anew, to heed none any more."""
        vips, width = vips_library(), self.info.width
        if self._region is None:
            self._region = vips.Region.new(self._image)
        try:
            return self._region.fetch(0, top, width, count)
        except vips.Error as error:
            if not is_harmless(error):
                raise
            self._image, _ = load(self.path, width * self.info.height, strictly=False)
            self._region = vips.Region.new(self._image)
            return self._region.fetch(0, top, width, count)


@contextmanager
def open_picture(path: AnyPath, *, max_pixels: int = MAX_PIXELS) -> Iterator[PictureReader]:
    """Open a picture to read it row by row.

    The orientation that the file asks for is applied. CMYK becomes sRGB through its profile; other colours
    stay in the space they are in.

    Memory does not grow with the picture, except for files that can only be decoded as a whole: progressive
    JPEG, interlaced PNG, WebP and AVIF, and all that are to be turned (larger ones in a temporary file).

    Args:
        path: PNG, JPEG, WebP, TIFF or AVIF file, recognised by its content.
        max_pixels: The most pixels that are accepted.

    Yields:
        A reader with `.info` and `.rows(top, bottom)`.

    Raises:
        PictureError: The file is missing, damaged, of another kind, a camera raw file, animated, of several
            pages, HDR (PQ or HLG), too large, or has other samples than 8 or 16 bit integers.
    """
    path = Path(path)
    image, info = load(path, max_pixels)
    yield PictureReader(path, image, info)
