"""Which files are films, and which containers a restored one is written to."""

from __future__ import annotations

from pathlib import Path

from hyperrestore.errors import UsageError
from hyperrestore.picture.kinds import FILM_SUFFIXES
from hyperrestore.restore.place import Place

MATROSKA = ".mkv"
WRITTEN = (MATROSKA, ".mp4", ".m4v", ".mov")


def is_film(path: Place) -> bool:
    """Whether a file is a film, by its suffix."""
    return path.suffix.lower() in FILM_SUFFIXES


def check_container(source: Path, target: Path, *, lossless: bool) -> None:
    """Refuse an output whose container cannot be trusted to hold what the film has.

    Raises:
        UsageError: The container is not written, is neither that of the film nor Matroska, or is not Matroska
            though FFV1 is to be written.
    """
    own, wanted = source.suffix.lower(), target.suffix.lower()
    if wanted not in WRITTEN:
        known = ", ".join(suffix[1:] for suffix in WRITTEN)
        raise UsageError(
            f"output {target}: films are written to {known}; give a name that ends with {MATROSKA}"
        )
    if lossless and wanted != MATROSKA:
        raise UsageError(
            f"output {target}: --lossless writes FFV1, in Matroska; end the name with {MATROSKA}"
        )
    if wanted not in (own, MATROSKA):
        raise UsageError(
            f"output {target}: {source.name} has another container, and {wanted[1:]} may not hold all of it; "
            f"end the name with {' or '.join(dict.fromkeys((*(own,) * (own in WRITTEN), MATROSKA)))}"
        )
