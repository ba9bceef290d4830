"""Where a picture lies: a path of this machine, or a file in object storage. Nothing is looked up here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hyperrestore.errors import UsageError

# By scheme, the package with which fsspec reaches such a storage; None for what needs no package.
DRIVERS = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "memory": None}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)  # two letters at least: C: is a disk


@dataclass(frozen=True)
class StoredPath:
    """A file or a folder in object storage.

    Attributes:
        url: Such as `s3://bucket/folder/name`, without a slash at its end.
        changed: When it was last changed, seconds since 1970; None where that is not known. It does not
            count when two are compared.
    """

    url: str
    changed: float | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.url

    @property
    def scheme(self) -> str:
        """The kind of storage: "s3"."""
        return self.url.partition("://")[0]

    @property
    def bucket(self) -> StoredPath:
        """The bucket, or container, that it lies in."""
        scheme, _, key = self.url.partition("://")
        return StoredPath(f"{scheme}://{key.partition('/')[0]}")

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.url.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The suffix of its name, with the dot; empty if it has none."""
        return PurePosixPath(self.name).suffix

    def __truediv__(self, place: Path) -> StoredPath:
        """What lies at a relative path below this folder."""
        return StoredPath(f"{self.url}/{place.as_posix()}")


Place = Path | StoredPath


def place_of(text: str) -> Place:
    """The place that a text names: a path, or a URL whose scheme is in `DRIVERS` or is `file`.

    Raises:
        UsageError: The scheme is unknown, or the URL names no bucket.

    Example:
        >>> place_of("s3://photos/2019/").url
        's3://photos/2019'
        >>> place_of("file:///scans/a.png").as_posix()
        '/scans/a.png'
    """
    match = _URL.fullmatch(text)
    if match is None:
        return Path(text)
    scheme, key = match[1].lower(), match[2].rstrip("/")
    if scheme == "file":
        return Path(local_text(text))
    if scheme not in DRIVERS:
        known = ", ".join(f"{name}://" for name in (*DRIVERS, "file") if name != "memory")
        raise UsageError(f"{text}: {scheme}:// is unknown; give a path or a URL that begins with {known}")
    if not key.partition("/")[0]:
        raise UsageError(f"{text}: names no bucket; give {scheme}://BUCKET/FOLDER")
    return StoredPath(f"{scheme}://{key}")


def local_text(text: str) -> str:
    """A path as it was typed, without the `file://` in front of it.

    Raises:
        UsageError: It names another machine.
    """
    match = _URL.fullmatch(text)
    if match is None or match[1].lower() != "file":
        return text
    path = match[2].removeprefix("localhost")
    if not path.startswith("/"):
        raise UsageError(f"{text}: names another machine, or no absolute path; give file:///FOLDER/FILE")
    return path
