"""Several files as one ZIP, made piece by piece while it is sent."""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

_PIECE = 2**20  # bytes in memory at a time
_LONGEST = 200  # bytes of a name; no system takes more than 255
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')  # in names of files, on one system or another


def zipped(files: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """Pack files uncompressed, since pictures are compressed already.

    Args:
        files: Their names in the archive, and their paths.

    Yields:
        The ZIP from its beginning to its end. It needs memory for one piece, and no disk.

    Raises:
        OSError: A file has vanished or cannot be read; the ZIP is then cut short.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[call-overload]
        for name, path in files:
            entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            with path.open("rb") as source, archive.open(entry, "w") as target:
                while piece := source.read(_PIECE):
                    target.write(piece)
                    yield sink.take()
    yield sink.take()


class _Sink:
    """What is written and not yet sent. It cannot seek, so `zipfile` writes each size after its file."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        """Keep a piece."""
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def take(self) -> bytes:
        """Return all that was written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def distinct_names(names: Iterable[str]) -> list[str]:
    """Make names distinct and valid in one folder on any system, whether or not it tells cases apart.

    Example:
        >>> distinct_names(["a.png", "A.png", "b: c.png"])
        ['a.png', 'A-2.png', 'b_ c.png']
    """
    taken: set[str] = set()
    given = []
    for name in names:
        plain = PurePath(_FORBIDDEN.sub("_", name))
        stem = plain.stem.encode()[:_LONGEST].decode(errors="ignore")
        number, candidate = 1, stem + plain.suffix
        while (folded := unicodedata.normalize("NFC", candidate).casefold()) in taken:
            number += 1
            candidate = f"{stem}-{number}{plain.suffix}"
        taken.add(folded)
        given.append(candidate)
    return given
