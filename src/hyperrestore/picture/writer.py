"""Rows, from top to bottom -> an image file, all or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hyperrestore.arrays import Pixels, StoredRows
from hyperrestore.errors import PictureError, UsageError
from hyperrestore.picture.decode import load
from hyperrestore.picture.encode import encode
from hyperrestore.picture.forked import before_threads
from hyperrestore.picture.formats import Format, file_format, output_format
from hyperrestore.picture.info import PictureInfo
from hyperrestore.picture.losses import carried, resized_info
from hyperrestore.picture.reader import AnyPath, PictureReader
from hyperrestore.picture.spool import spool_header
from hyperrestore.picture.temporary import file_times, folder_beside, rename
from hyperrestore.picture.vips import vips_library, writing


class PictureWriter:
    """Rows of a picture in the making; made by `create_picture`.

    Attributes:
        path: The file to be.
        info: What is written: size, depth, metadata.
        notes: One plain sentence for everything that the file's format cannot hold as it is.
        written: How many rows are written.
    """

    def __init__(self, path: Path, info: PictureInfo, notes: tuple[str, ...], spool: Any) -> None:
        self.path = path
        self.info = info
        self.notes = notes
        self._spool = spool
        self.written = 0

    def write(self, rows: StoredRows) -> None:
        """Append rows below those already written.

        Args:
            rows: (c, n, w), uint8 or uint16 as `info.bits` says, without alpha.

        Raises:
            PictureError: The disk is full.
            UsageError: Rows of another width, depth or number of channels, or more rows than the picture has.
        """
        info = self.info
        left = info.height - self.written
        expected = (info.channels, min(rows.shape[1], left), info.width) if rows.ndim == 3 else None
        if rows.shape != expected or rows.dtype != info.dtype:
            raise UsageError(
                f"{self.path}: rows of shape {rows.shape} and type {rows.dtype} were given; expected "
                f"({info.channels}, up to {left}, {info.width}) and {info.dtype}"
            )
        with writing(self.path):
            interleaved = rows.transpose(1, 2, 0).astype(rows.dtype.newbyteorder("<"), order="C")
            left_over = interleaved.reshape(-1).view(np.uint8).data
            while left_over:  # an unbuffered file may take only a part
                left_over = left_over[self._spool.write(left_over) :]
        self.written += rows.shape[1]


@contextmanager
def create_picture(
    path: AnyPath,
    like: PictureReader | PictureInfo,
    *,
    width: int | None = None,
    height: int | None = None,
    alpha: Pixels | None = None,
    others: Pixels | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    keep_times: bool = False,
) -> Iterator[PictureWriter]:
    """Create a picture from rows, all or nothing.

    The file appears under its name when all rows are written and encoded; after any failure nothing is left.
    Memory does not grow with the picture, except for WebP and AVIF, which are encoded as a whole.

    Args:
        path: The file to be; its suffix chooses the format.
        like: Where depth, channels and metadata come from. From a reader alpha is taken too: its file is read
            a second time. Alpha of another size is resized.
        width: Pixels per row, if not as in `like`.
        height: Rows, if not as in `like`.
        alpha: (1, h, w), float32, values in [0, 1], instead of a reader's.
        others: (n, h, w), float32, values in [0, 1], the samples besides colours and alpha, instead of a
            reader's. Those of another size are resized. Only TIFF holds them.
        quality: 1 to 100 for JPEG, WebP (default 95) and AVIF (90); in the last two 100 is lossless. PNG and
            TIFF always are. The default for JPEG is 95, or the original's where that was a JPEG of higher
            quality; never less, which would bring back the very damage that was repaired. JPEG has its
            colours at full resolution from 90 on, and below where the original had.
        overwrite: Whether an existing file may be replaced; it may be the one that is being read.
        keep_times: Whether the file gets the times of access and change of a reader's file.

    Yields:
        A writer with `.write(rows)` and `.notes`.

    Raises:
        PictureError: The file cannot be written, the picture is too large for it, or rows are missing.
        UsageError: Unknown suffix, impossible size or quality, the file exists and `overwrite` is not set, or
            this process was forked from one that had written pictures.

    Example:
        >>> import tempfile
        >>> from hyperrestore.picture.file import read_picture
        >>> folder = Path(tempfile.mkdtemp())
        >>> with create_picture(folder / "grey.png", PictureInfo(width=2, height=1, channels=1)) as writer:
        ...     writer.write(np.zeros((1, 1, 2), np.uint8))
        >>> read_picture(folder / "grey.png").pixels.shape
        (1, 1, 2)
    """
    info = like.info if isinstance(like, PictureReader) else like
    before, info = info, replace(info, width=width or info.width, height=height or info.height)
    path = Path(path)
    target = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    known = output_format(path, quality, overwrite)
    _check_size(path, info, known)
    before_threads(str(path))
    info, resizing = resized_info(before, info.width, info.height)
    alpha_image, others_image = _besides_colours(path, like, info, alpha, others)
    info, notes = carried(info, known, alpha_image is not None, others_image, quality)
    notes = resizing + notes
    others_image = others_image if info.others else None

    times = file_times(like.path) if keep_times and isinstance(like, PictureReader) else None
    with folder_beside(path, target) as folder:
        with _spooled(folder / "rows", path, info, notes) as writer:
            yield writer
        encoded = folder / path.name
        with writing(path):
            encode(folder / "rows", encoded, info, known, alpha_image, others_image, quality)
            rename(encoded, path, target, overwrite, times)


@contextmanager
def _spooled(rows: Path, path: Path, info: PictureInfo, notes: tuple[str, ...]) -> Iterator[PictureWriter]:
    """Write rows into a file of their own, until all are there."""
    with writing(path):
        spool = rows.open("wb", buffering=0)
    with spool:
        with writing(path):
            spool.write(spool_header(info))
        writer = PictureWriter(path, info, notes, spool)
        yield writer
    if writer.written < info.height:
        raise PictureError(f"{path}: {writer.written} of {info.height} rows were written; nothing is kept")


def _check_size(path: Path, info: PictureInfo, known: Format) -> None:
    """Refuse a picture that is none, or that the format cannot hold."""
    if info.channels not in (1, 3) or info.bits not in (8, 16) or min(info.width, info.height) < 1:
        raise UsageError(
            f"{path}: {info.width} x {info.height} pixels, {info.channels} channels and {info.bits} bits "
            "were asked for; a picture has at least 1 x 1 pixels, 1 or 3 channels, and 8 or 16 bits"
        )
    if max(info.width, info.height) > known.largest_side:
        raise PictureError(
            f"{path}: {known.name} holds at most {known.largest_side} pixels a side and the picture has "
            f"{info.width} x {info.height}; write PNG or TIFF"
        )


def _besides_colours(
    path: Path,
    like: PictureReader | PictureInfo,
    info: PictureInfo,
    alpha: Pixels | None,
    others: Pixels | None,
) -> tuple[Any, Any]:
    """Alpha and the other samples as images; those of a reader come from its file, read a second time."""
    vips = vips_library()
    if others is not None and (others.ndim != 3 or len(others) != info.others):
        raise UsageError(
            f"{path}: {info.others} samples besides colours and alpha belong to the picture; others of shape "
            f"{others.shape} were given"
        )
    wanted = (alpha is None and info.has_alpha) or (others is None and info.others)
    again = None
    if wanted and isinstance(like, PictureReader):
        again, _ = load(like.path, like.info.width * like.info.height)
    elif alpha is None and info.has_alpha:
        raise UsageError(f"{path}: the picture has alpha; pass its reader or `alpha`")
    alpha_image = others_image = None
    if alpha is not None:
        alpha_image = vips.Image.new_from_array(to_integers(alpha[0], info))
    elif again is not None and info.has_alpha:
        alpha_image = again[info.channels]
    if others is not None:
        others_image = vips.Image.new_from_array(to_integers(others.transpose(1, 2, 0), info))
    elif again is not None and info.others:
        others_image = again.extract_band(info.channels + info.has_alpha, n=info.others)
    return alpha_image, others_image


def copy_picture(reader: PictureReader, path: AnyPath, *, overwrite: bool = False) -> bool:
    """Copy a picture's file byte for byte, all or nothing, if the copy's suffix stands for its format.

    The copy has the times of access and change of the file, too.

    Args:
        reader: The picture. Its rows are read to the end, so that no damaged file is copied.
        path: The file to be.
        overwrite: Whether an existing file may be replaced; it may be the picture's own.

    Returns:
        Whether it was copied; not if `path` is to have another format.

    Raises:
        PictureError: The file cannot be written, or the picture is damaged or truncated.
        UsageError: Unknown suffix, or the file exists and `overwrite` is not set.
    """
    path = Path(path)
    target = path.resolve()
    if output_format(path, None, overwrite) != file_format(reader.path):
        return False
    reader.read_on()
    times = file_times(reader.path)
    with folder_beside(path, target) as folder:
        copied = folder / path.name
        with writing(path):
            shutil.copyfile(reader.path, copied)
            rename(copied, path, target, overwrite, times)
    return True


def to_integers(values: Pixels, info: PictureInfo) -> StoredRows:
    """Round values in [0, 1] to the depth of a picture; others are clipped."""
    scaled = np.clip(values, 0, 1) * np.float32(2**info.bits - 1)
    integers: StoredRows = np.rint(scaled).astype(info.dtype)
    return integers
