"""libvips: imported on first use, and its failures as errors of the package."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hyperrestore.errors import FULL, DiskFullError, PictureError

UNSTATED = 72 / 25.4, 72 / 25.4  # pixels per millimetre, where a file says nothing of its resolution
_UNHEARD = logging.NullHandler()


@cache
def vips_library() -> Any:
    """Import libvips on first use.

    What it has to say beyond errors goes to the logger "pyvips", and not to stderr.
    """
    os.environ.setdefault("VIPS_WARNING", "0")
    logging.getLogger("pyvips").addHandler(_UNHEARD)
    import pyvips  # here, because it costs more than the rest of the command line's start

    # What GLib says of absurd values in a damaged header goes the same way: the file is refused in any case.
    if handler := getattr(pyvips, "_log_handler_cb", None):
        every_level, domain = 0xFF, b"GLib-GObject"
        number = pyvips.glib_lib.g_log_set_handler(domain, every_level, handler, pyvips.ffi.NULL)
        atexit.register(pyvips.glib_lib.g_log_remove_handler, domain, number)

    # libvips remembers finished operations by file name: it would answer with an old picture after a file has
    # changed, and hold deleted files, and with them the disk, open.
    pyvips.cache_set_max(0)
    return pyvips


def field(image: Any, name: str, default: Any = None) -> Any:
    """What an image says under a name; the default where it says nothing."""
    return image.get(name) if image.get_typeof(name) else default


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn failures of libvips and of the disk while reading into a PictureError."""
    with _failures(path, "cannot be read", "the file is damaged, truncated or of an unusual kind"):
        yield


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn failures of libvips and of the disk while writing into a PictureError; a full disk is its own."""
    advice = "nothing was left behind; check the folder, its permissions and free space"
    try:
        with _failures(path, "cannot be written", advice):
            yield
    except PictureError as error:
        cause = error.__cause__  # libvips tells the number of the error only in words, and not in the first
        for number in FULL:
            if getattr(cause, "errno", None) == number or os.strerror(number) in getattr(cause, "detail", ""):
                raise DiskFullError(f"{path}: cannot be written ({os.strerror(number)}); {advice}") from cause
        raise


@contextmanager
def _failures(path: Path, what: str, advice: str) -> Iterator[None]:
    vips = vips_library()
    try:
        yield
    except (OSError, UnicodeEncodeError, vips.Error) as error:
        lines = [str(getattr(error, "strerror", error))]
        if isinstance(error, vips.Error):
            # The cause comes first, after seeks that libheif and libtiff try in vain.
            lines = [line.strip() for line in error.detail.splitlines() if "bad seek" not in line]
        cause = next((line for line in lines if line), "no reason given")
        cause = cause.rpartition(f"{path.name}: ")[2]  # some begin with the name of the temporary file
        raise PictureError(f"{path}: {what} ({cause[:200]}); {advice}") from error
