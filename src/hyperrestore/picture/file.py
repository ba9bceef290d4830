"""Image file <-> Picture: bit depth, alpha, colour profile, orientation, metadata.

`open_picture` and `create_picture` stream rows from top to bottom, so that memory does not grow with the
picture where its format allows that; `read_picture` and `write_picture` are the same two for a picture that
is wanted whole.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hyperrestore.arrays import Pixels, StoredRows
from hyperrestore.errors import PictureError, UsageError
from hyperrestore.floats import check_floats
from hyperrestore.picture.codec import SUFFIXES as SUFFIXES
from hyperrestore.picture.codec import PictureInfo as PictureInfo
from hyperrestore.picture.codec import (
    carried,
    encode,
    file_format,
    is_harmless,
    load,
    output_format,
    reading,
    resized,
    resized_info,
    resizing_of,
    spool_header,
    vips_library,
    writing,
)
from hyperrestore.picture.codec import header_size as header_size
from hyperrestore.picture.containers.geotiff import POSITION, without_position
from hyperrestore.picture.forked import before_threads

AnyPath = str | os.PathLike[str]

MAX_PIXELS = 2**30
_STRIP = 512  # rows moved at a time where whole pictures are read or written
_FETCH = 32  # rows asked of libvips at a time, which keeps several copies of them


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A whole picture in memory.

    Attributes:
        pixels: (c, h, w), float32, values in [0, 1], grey or RGB in the picture's own colour space.
        alpha: (1, h, w), float32, values in [0, 1], or None.
        info: What the file says besides.
        others: (n, h, w), float32, values in [0, 1], what a TIFF file has for each pixel besides colours and
            alpha, as infrared; or None.
    """

    pixels: Pixels
    alpha: Pixels | None
    info: PictureInfo
    others: Pixels | None = None


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
        return self._samples(top, bottom)[: self.info.channels + self.info.has_alpha]

    def _samples(self, top: int, bottom: int) -> StoredRows:
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


class PictureWriter:
    """Rows of a picture in the making; made by `create_picture`.

    Attributes:
        path: The file to be.
        info: What is written: size, depth, metadata.
        notes: One plain sentence for everything that the file's format cannot hold as it is.
    """

    def __init__(self, path: Path, info: PictureInfo, notes: tuple[str, ...], spool: Any) -> None:
        self.path = path
        self.info = info
        self.notes = notes
        self._spool = spool
        self._written = 0

    def write(self, rows: StoredRows) -> None:
        """Append rows below those already written.

        Args:
            rows: (c, n, w), uint8 or uint16 as `info.bits` says, without alpha.

        Raises:
            PictureError: The disk is full.
            UsageError: Rows of another width, depth or number of channels, or more rows than the picture has.
        """
        info = self.info
        left = info.height - self._written
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
        self._written += rows.shape[1]


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
    before_threads(str(path))
    info, resizing = resized_info(before, info.width, info.height)
    alpha_image, others_image = _besides_colours(path, like, info, alpha, others)
    info, notes = carried(info, known, alpha_image is not None, others_image, quality)
    notes = resizing + notes
    others_image = others_image if info.others else None

    times = _file_times(like.path) if keep_times and isinstance(like, PictureReader) else None
    with _folder_beside(path, target) as folder:
        with writing(path):
            spool = (folder / "rows").open("wb", buffering=0)
        with spool:
            with writing(path):
                spool.write(spool_header(info))
            writer = PictureWriter(path, info, notes, spool)
            yield writer
        if writer._written < info.height:
            raise PictureError(
                f"{path}: {writer._written} of {info.height} rows were written; nothing is kept"
            )
        encoded = folder / path.name
        with writing(path):
            encode(folder / "rows", encoded, info, known, alpha_image, others_image, quality)
            _rename(encoded, path, target, overwrite, times)


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
        alpha_image = vips.Image.new_from_array(_to_integers(alpha[0], info))
    elif again is not None and info.has_alpha:
        alpha_image = again[info.channels]
    if others is not None:
        others_image = vips.Image.new_from_array(_to_integers(others.transpose(1, 2, 0), info))
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
    for top in range(reader._next, reader.info.height, _STRIP):
        reader.rows(top, min(top + _STRIP, reader.info.height))
    times = _file_times(reader.path)
    with _folder_beside(path, target) as folder:
        copied = folder / path.name
        with writing(path):
            shutil.copyfile(reader.path, copied)
            _rename(copied, path, target, overwrite, times)
    return True


def read_picture(path: AnyPath, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a whole picture.

    Args:
        path: PNG, JPEG, WebP, TIFF or AVIF file, recognised by its content.
        max_pixels: The most pixels that are accepted.

    Returns:
        Pixels (c, h, w) and alpha (1, h, w) in float32, [0, 1], with the file's metadata.

    Raises:
        PictureError: As `open_picture`.
    """
    with open_picture(path, max_pixels=max_pixels) as reader:
        info = reader.info
        colours = info.channels + info.has_alpha
        bands = np.empty((colours + info.others, info.height, info.width), np.float32)
        for top in range(0, info.height, _STRIP):
            bottom = min(top + _STRIP, info.height)
            strip = reader._samples(top, bottom)
            np.divide(strip, 2**info.bits - 1, out=bands[:, top:bottom], casting="unsafe")
    alpha = bands[info.channels : colours] if info.has_alpha else None
    return Picture(bands[: info.channels], alpha, info, bands[colours:] if info.others else None)


def write_picture(
    path: AnyPath, picture: Picture, *, quality: int | None = None, overwrite: bool = False
) -> tuple[str, ...]:
    """Write a whole picture; values are clipped to [0, 1] and rounded to `picture.info.bits`.

    Size, channels and alpha are those of the arrays, whatever `picture.info` says.

    Args:
        path: The file to be; its suffix chooses the format.
        picture: Pixels, alpha and metadata.
        quality: 1 to 100, as for `create_picture`.
        overwrite: Whether an existing file may be replaced.

    Returns:
        One plain sentence for everything that the file's format cannot hold as it is.

    Raises:
        PictureError: As `create_picture`.
        UsageError: As `create_picture`, or what is no `Picture`, or pixels that are no (c, h, w) picture,
            or pixels or alpha that are no floats about [0, 1] (see `floats`).
    """
    if not isinstance(picture, Picture):
        raise UsageError(
            f"{path}: a `Picture` is written, got {type(picture).__name__}; an array (c, h, w) of floats in "
            "[0, 1] becomes one by Picture(array, None, PictureInfo(width, height, channels))"
        )
    pixels = picture.pixels
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3) or 0 in pixels.shape:
        raise UsageError(f"{path}: pixels of shape {pixels.shape} were given; a picture is (1 or 3, h, w)")
    if picture.alpha is not None:
        check_floats(picture.alpha, what=f"{path}: its alpha values")
    channels, height, width = pixels.shape
    info = replace(
        picture.info, width=width, height=height, channels=channels, has_alpha=picture.alpha is not None
    )
    tags = picture.info.tags
    lost: tuple[str, ...] = ()
    if (width, height) != (
        picture.info.width,
        picture.info.height,
    ):  # nobody says which part, or how enlarged
        tags, lost = without_position(tags, POSITION, "as the size is another one")
    with create_picture(
        path,
        replace(info, tags=tags),
        alpha=picture.alpha,
        others=picture.others,
        quality=quality,
        overwrite=overwrite,
    ) as writer:
        for top in range(0, height, _STRIP):
            strip = pixels[:, top : top + _STRIP]
            check_floats(strip, what=f"{path}: the pixels")
            writer.write(_to_integers(strip, info))
    return lost + writer.notes


def enlarged_picture(picture: Picture, pixels: Pixels) -> Picture:
    """Give a picture enlarged pixels (c, h, w), with all else enlarged as `create_picture` does that."""
    _, height, width = pixels.shape
    info, notes = resized_info(picture.info, width, height)
    if picture.others is not None:
        notes += (resizing_of(info),)
    return Picture(
        pixels,
        None if picture.alpha is None else _enlarged(picture.alpha, height, width),
        replace(info, notes=info.notes + notes),
        None if picture.others is None else _enlarged(picture.others, height, width),
    )


def _enlarged(samples: Pixels, height: int, width: int) -> Pixels:
    """Enlarge samples (n, h, w)."""
    before_threads("transparency")
    image = vips_library().Image.new_from_array(np.ascontiguousarray(samples.transpose(1, 2, 0)))
    enlarged: Pixels = resized(image, width, height).numpy().reshape(height, width, len(samples))
    return enlarged.transpose(2, 0, 1)


def _to_integers(values: Pixels, info: PictureInfo) -> StoredRows:
    scaled = np.clip(values, 0, 1) * np.float32(2**info.bits - 1)
    integers: StoredRows = np.rint(scaled).astype(info.dtype)
    return integers


def _file_times(path: Path) -> tuple[int, int]:
    """When a file was last read and changed, nanoseconds."""
    with reading(path):
        status = path.stat()
    return status.st_atime_ns, status.st_mtime_ns


def _rename(finished: Path, path: Path, target: Path, overwrite: bool, times: tuple[int, int] | None) -> None:
    """Give a finished file its name, once it is safely on the disk: some disks report errors only then."""
    with finished.open("rb+") as file:
        os.fsync(file.fileno())
    if times:
        os.utime(finished, ns=times)
    if target.exists():
        if not overwrite:
            raise PictureError(f"{path}: appeared meanwhile and was kept; choose another name")
        shutil.copymode(target, finished)
    finished.replace(target)


@contextmanager
def _folder_beside(path: Path, target: Path) -> Iterator[Path]:
    """A temporary folder on the disk of `target`, so that a finished file can be renamed into place."""
    with _locked(target.parent):
        with writing(path):
            folder = tempfile.TemporaryDirectory(
                dir=target.parent, prefix=f".{path.stem[:50]}-", suffix=".part"
            )
        with folder as name:
            yield Path(name)


_LEFT_OVER = re.compile(r"\..{0,50}-[a-z0-9_]{8}\.part", re.DOTALL)  # as `_folder_beside` names them


def remove_leftovers(folder: AnyPath) -> int:
    """Remove the temporary folders that killed processes have left in a folder.

    Nothing is removed while any process writes a picture into the folder, or where that cannot be told.

    Args:
        folder: Where pictures are to be written; it may be missing.

    Returns:
        How many were removed.
    """
    removed = 0
    with _locked(Path(folder), alone=True) as alone, suppress(OSError):
        for left in Path(folder).iterdir() if alone else ():
            ours = _LEFT_OVER.fullmatch(left.name) and left.is_dir() and not left.is_symlink()
            if ours and all(file.is_file() for file in left.iterdir()):
                shutil.rmtree(left)
                removed += 1
    return removed


@contextmanager
def _locked(folder: Path, *, alone: bool = False) -> Iterator[bool]:
    """Hold a folder against `remove_leftovers`, or, `alone`, against all who write into it.

    A lock ends with its process, however that ends.

    Yields:
        Whether it is held: not on a system without such locks, nor `alone` while others hold the folder.
    """
    descriptor = _lock(folder, alone)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(folder: Path, alone: bool) -> int | None:
    """Lock a folder until the descriptor is closed; None where that cannot be done."""
    try:
        import fcntl  # not on Windows

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
