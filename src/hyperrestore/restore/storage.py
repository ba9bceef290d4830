"""Object storage, which is reached with fsspec: its folders are listed, its files are read and written."""

from __future__ import annotations

import errno
import importlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from hyperrestore.errors import (
    FULL,
    DiskFullError,
    HyperrestoreError,
    MissingExtraError,
    PictureError,
    UsageError,
)
from hyperrestore.restore.place import DRIVERS, StoredPath

DELAYS = (1.0, 2.0, 4.0)  # seconds before another attempt; the drivers try several times in each
HEAD = 64  # bytes that tell the format of a picture
# What drivers raise that is no OSError, as module and name: errors that another attempt may not meet ...
_TRANSIENT = {
    "s3": (("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientError")),
    "gs": (("gcsfs.retry", "HttpError"), ("aiohttp", "ClientError")),
    "az": (("azure.core.exceptions", "AzureError"),),
    "memory": (),
}
# ... and those that it will.
_REFUSED = {
    "s3": (("botocore.exceptions", "NoCredentialsError"), ("botocore.exceptions", "ProfileNotFound")),
    "gs": (("google.auth.exceptions", "GoogleAuthError"),),
    "az": (("azure.core.exceptions", "ClientAuthenticationError"),),
    "memory": (),
}
_FINAL = (errno.EINVAL, errno.EPERM, errno.ENAMETOOLONG, errno.ENOSYS)  # of an OSError: asked in vain
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")  # what drivers call it
# Drivers log whole tracebacks of what is tried again, which Python would print if nobody listened.
_LOGGERS = ("adlfs", "aiobotocore", "azure", "botocore", "fsspec", "gcsfs", "google", "s3fs")
_UNHEARD = logging.NullHandler()
logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def is_folder(path: StoredPath) -> bool:
    """Tell whether a path is a bucket, or has files below it.

    Raises:
        PictureError: The storage refuses or does not answer.
        MissingExtraError: A package that reaches it is not installed.
    """
    return path == path.bucket or _ask(path, lambda files: bool(files.isdir(path.url)))


def exists(path: StoredPath) -> bool:
    """Tell whether there is such a file.

    Raises:
        PictureError: The storage refuses or does not answer.
    """
    return bool(_ask(path, lambda files: files.isfile(path.url)))


def list_files(path: StoredPath) -> Iterator[StoredPath]:
    """All files below a folder, or the file itself, by name; none where there is nothing.

    Raises:
        PictureError: There is no such bucket, or the storage refuses or does not answer.
        MissingExtraError: A package that reaches it is not installed.
        UsageError: A name has an empty part, ".", ".." or a null character, so that a folder could not have
            such a file.
    """
    files, _ = _listed(path, lambda files: files.find(path.url, detail=True).items())
    yield from files


def walk_folders(
    path: StoredPath,
    unreadable: Callable[[StoredPath, HyperrestoreError], None] | None = None,
    *,
    without: StoredPath | None = None,
) -> Iterator[tuple[StoredPath, list[StoredPath]]]:
    """A folder and all folders below it, each with its files by name; one request reads one folder.

    `list_files` needs fewer requests, but answers only when it has read everything.

    Args:
        path: The folder.
        unreadable: Called with each folder below it that cannot be read, and why; without it, that is raised.
        without: A folder that is left out, with all below it.

    Raises:
        PictureError: There is no such bucket, or the storage refuses or does not answer.
        MissingExtraError: A package that reaches it is not installed.
        UsageError: As for `list_files`.
    """
    files, folders = _listed(
        path, lambda files: [(about["name"], about) for about in files.ls(path.url, detail=True)]
    )
    yield path, [file for file in files if file != path]  # a file lists itself
    for folder in folders:
        if folder == without:
            continue
        try:
            yield from walk_folders(folder, unreadable, without=without)
        except (PictureError, UsageError) as error:
            if unreadable is None:
                raise
            unreadable(folder, error)


def files_in(path: StoredPath) -> dict[str, StoredPath]:
    """The files that lie in a folder itself, by name; none where there is no such folder.

    Raises:
        PictureError: There is no such bucket, or the storage refuses or does not answer.
        MissingExtraError: A package that reaches it is not installed.
        UsageError: As for `list_files`.
    """
    _, files = next(walk_folders(path))
    return {file.name: file for file in files}


def _listed(
    path: StoredPath, read: Callable[[Any], Iterable[tuple[str, dict[str, Any]]]]
) -> tuple[list[StoredPath], list[StoredPath]]:
    """The files and the folders that a storage lists below a folder, by name; none where there is none.

    A storage may have a file and a folder of one name.

    Args:
        path: The folder.
        read: Takes the file system of fsspec; gives what it lists by name.
    """

    def ask(files: Any) -> Iterable[tuple[str, dict[str, Any]]]:
        try:
            return read(files)
        except FileNotFoundError:
            if not files.exists(path.bucket.url):
                raise
            return ()

    root = _filesystem(path)._strip_protocol(path.url)
    files: list[StoredPath] = []
    folders: list[StoredPath] = []
    for name, about in sorted(_ask(path, ask), key=lambda item: item[0]):
        is_file = about["type"] == "file"
        if is_file and name.endswith("/"):  # an empty file marks a folder
            continue
        below = name.removeprefix(root).removeprefix("/")
        is_itself = is_file and not below
        parts = set(below.removesuffix("/").split("/"))
        if not is_itself and ({"", ".", ".."} & parts or "\0" in below):
            raise UsageError(f"{path}/{below}: no file of a folder can have this name; rename it")
        url = path.url if is_itself else f"{path}/{below.removesuffix('/')}"
        (files if is_file else folders).append(StoredPath(url, _changed(about)))
    return files, folders


def read_head(path: StoredPath) -> bytes:
    """The first bytes of a file.

    Raises:
        PictureError: The storage refuses or does not answer.
    """
    return bytes(_ask(path, lambda files: files.cat_file(path.url, start=0, end=HEAD)))


def fetch(path: StoredPath, to: Path) -> None:
    """Copy a file of the storage to this machine.

    Raises:
        PictureError: There is no such file, or the storage refuses or does not answer.
        DiskFullError: The disk of this machine is full.
    """
    _ask(path, lambda files: files.get_file(path.url, str(to)))


def put(file: Path, path: StoredPath, *, overwrite: bool) -> None:
    """Copy a file of this machine to the storage; it is there as a whole, or not at all.

    Args:
        file: What is copied.
        path: Where it will be.
        overwrite: Whether an existing file may be replaced.

    Raises:
        PictureError: It exists already, or the storage refuses or does not answer.
    """
    if not overwrite and _ask(path, lambda files: files.exists(path.url)):
        raise PictureError(f"{path}: was created in the meantime, and is kept; choose another name")
    _ask(path, lambda files: files.put_file(str(file), path.url))
    logger.info("put %s, %d bytes", path, file.stat().st_size)


def write(path: StoredPath, content: bytes) -> None:
    """Write a file as a whole; an older one is replaced.

    Raises:
        PictureError: The storage refuses or does not answer.
    """
    _ask(path, lambda files: files.pipe_file(path.url, content))


def _ask(path: StoredPath, call: Callable[[Any], Result]) -> Result:
    """Call the storage, several times if need be; its errors become sentences.

    Args:
        path: What the call is about.
        call: Takes the file system of fsspec; may run more than once.
    """
    files = _filesystem(path)
    refused: tuple[type[Exception], ...] = (PermissionError, *_classes(_REFUSED[path.scheme]))
    transient: tuple[type[Exception], ...] = (OSError, *_classes(_TRANSIENT[path.scheme]))
    for delay in (*DELAYS, None):
        try:
            return call(files)
        except FileNotFoundError as error:
            raise PictureError(f"{path}: there is no such file, folder or bucket") from error
        except refused as error:
            raise PictureError(
                f"{path}: no permission ({_line(error)}); check the credentials and rights there"
            ) from error
        except ValueError as error:
            raise UsageError(f"{path}: the storage does not accept this name ({_line(error)})") from error
        except transient as error:
            if delay is None or getattr(error, "errno", None) in (*_FINAL, *FULL):
                _give_up(path, error)
            logger.info("%s: %s; trying again in %g s", path, _line(error), delay)
            time.sleep(delay)
    raise AssertionError("the last attempt returns or raises")


def _give_up(path: StoredPath, error: Exception) -> NoReturn:
    number = getattr(error, "errno", None)
    if number in FULL:
        raise DiskFullError(
            f"{path}: the disk for temporary files is full; free some space, or set TMPDIR"
        ) from error
    tries = "" if number in _FINAL else f", {len(DELAYS) + 1} attempts"
    raise PictureError(f"{path}: the storage does not answer as it should ({_line(error)}{tries})") from error


def _filesystem(path: StoredPath) -> Any:
    """The file system of fsspec that a path belongs to; fsspec keeps one for each storage."""
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtraError(f"{path} needs fsspec: pip install 'hyperrestore[storage]'") from error
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(_UNHEARD)
    driver = DRIVERS[path.scheme]
    try:
        # Without its cache of listings, which would not hear of what others write.
        # By the bucket: in the name of a file fsspec would take "::" for a chain of storages.
        return fsspec.core.url_to_fs(path.bucket.url, use_listings_cache=False)[0]
    except ImportError as error:
        raise MissingExtraError(f"{path} needs {driver}: pip install '{driver}'") from error
    except ValueError as error:  # what the driver asks for before anything else, such as an account
        raise UsageError(f"{path}: {_line(error)}") from error


def _classes(names: tuple[tuple[str, str], ...]) -> tuple[type[Exception], ...]:
    """Classes of errors; the modules belong to a driver that is loaded already."""
    return tuple(getattr(importlib.import_module(module), name) for module, name in names)


def _changed(about: dict[str, Any]) -> float | None:
    """When a file was last changed, seconds since 1970, as far as a listing tells."""
    for value in map(about.get, _TIMES):
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):
            return datetime.fromisoformat(value).timestamp()
    return None


def _line(error: Exception) -> str:
    """The first line of what an error says, or else its kind."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
