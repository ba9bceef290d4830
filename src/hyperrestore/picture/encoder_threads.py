"""A fixed number of threads for the AVIF encoder, since the bytes of its files depend on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hyperrestore.picture.vips import vips_library

# The encoder cuts a picture into tiles, more for more threads. libvips gives it as many as the process has.
# Four keep four cores busy; on one core they take a tenth more of its time than one does.
AVIF_THREADS = 4

_lock = threading.Lock()
_saving = 0  # AVIF files that are being saved
_usual = 0  # threads of libvips otherwise


@contextmanager
def avif_threads() -> Iterator[None]:
    """Let libvips give an encoder `AVIF_THREADS`, whatever the machine and `VIPS_CONCURRENCY` say.

    libvips has one number for the whole process, which is set back when the last of several files that are
    saved at a time is done. What else begins in between has as many threads.
    """
    global _saving, _usual
    vips = vips_library()
    with _lock:
        if not _saving:
            _usual = vips.concurrency_get()
            vips.concurrency_set(AVIF_THREADS)
        _saving += 1
    try:
        yield
    finally:
        with _lock:
            _saving -= 1
            if not _saving:
                vips.concurrency_set(_usual)
