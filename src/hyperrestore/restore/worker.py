"""What a machine of a cluster does: holds the models and restores one picture at a time."""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import tempfile
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hyperrestore
from hyperrestore.errors import ExtrapolationWarning, HyperrestoreError, PictureError, UsageError
from hyperrestore.network.checkpoint import graph_path
from hyperrestore.restore.place import Place
from hyperrestore.restore.report import PACKAGES
from hyperrestore.restore.restorer import model_path
from hyperrestore.restore.storage import exists, is_folder

if TYPE_CHECKING:
    from hyperrestore.restore.batch import Failure
    from hyperrestore.restore.file import Success

    ResultSize = Callable[[int, int], tuple[int, int]]
    # Whether a picture is done again -> the function that restores it, and the one for its result's size.
    Recipe = Callable[[bool], tuple[Callable[..., Success], ResultSize]]

_SHARED = "all machines of a cluster must see the same files by the same path"


@dataclass(frozen=True)
class Order:
    """What a worker needs to know. It holds nothing of this package, so any version of it can read it.

    Attributes:
        versions: Of this package, and of `PACKAGES`.
        folder: The folder the command was started in, to which paths are relative.
        keeps: Whether existing results are kept.
        threads: That the engine uses.
        models: Paths or names of the models, and the digests of their files.
        places: The folders of the pictures and of the results, and the marker; see `check_places`. Pickled.
        recipe: Pickled.
    """

    versions: dict[str, str]
    folder: str
    keeps: bool
    threads: int
    models: dict[str, str]
    places: bytes
    recipe: bytes


class Worker:
    """An actor of Ray: it is given an order, and then pictures, one at a time."""

    def prepare(self, order: dict[str, Any]) -> str:
        """Check that this machine gives the same results as the one with the command, and load the models.

        Args:
            order: The attributes of an `Order`.

        Returns:
            The name of this machine.

        Raises:
            UsageError: Versions or weights differ, or an option does not fit this machine.
            PictureError: The folders are not there, or may not be read or written.
        """
        wanted = Order(**order)
        check_versions(wanted.versions)
        with suppress(OSError):  # then only absolute paths can be meant
            os.chdir(wanted.folder)
        os.environ["VIPS_CONCURRENCY"] = str(wanted.threads)
        warnings.simplefilter("ignore", ExtrapolationWarning)  # the command has said it
        check_weights(wanted.models)
        check_places(*pickle.loads(wanted.places))
        from hyperrestore.run.openvino import limit_threads

        limit_threads(wanted.threads)
        self._keeps = wanted.keeps
        self._recipe: Recipe = pickle.loads(wanted.recipe)
        try:
            self._made = {False: self._recipe(False)}
        except HyperrestoreError as error:
            raise type(error)(f"{platform.node()}: {error}") from error
        return platform.node()

    def restore(self, source: Place, target: Place, again: bool) -> Success | Failure | None:
        """Restore a picture.

        Args:
            source: The picture.
            target: Its result.
            again: Whether another worker died when it restored it: that one may have finished it.

        Returns:
            The result; None if it was made by someone else meanwhile, and is kept.
        """
        from hyperrestore.restore.batch import Failure, restore_files

        keeps = self._keeps and not again
        if keeps and isinstance(target, Path) and target.is_file():
            return None
        if again not in self._made:
            self._made[again] = self._recipe(again)
        make, size = self._made[again]
        (result,) = restore_files(make, [(source, target)], size=size, make_folders=True)
        if isinstance(result, Failure) and keeps and _exists(target):
            return None
        return result


def versions() -> dict[str, str]:
    """The versions that decide about a result, by package."""
    return {"hyperrestore": hyperrestore.__version__, **{name: version(name) for name in PACKAGES}}


def check_versions(wanted: dict[str, str]) -> None:
    """Refuse other versions than those of the machine with the command.

    Raises:
        UsageError: There are.
    """
    for name, own in versions().items():
        if wanted[name] != own:
            raise UsageError(
                f"{platform.node()}: has {name} {own}, and the machine with the command {wanted[name]}; "
                "install the same version on all machines"
            )


def digests(models: Iterable[str | Path]) -> dict[str, str]:
    """By model, a digest of its weights and graphs.

    Args:
        models: As `Restorer.load` takes them.

    Raises:
        OSError: One cannot be read.
    """
    return {str(model): _digest(model_path(model)) for model in models}


def _digest(checkpoint: Path) -> str:
    digest = hashlib.sha256(checkpoint.read_bytes())
    for mapped in (False, True):
        graph = graph_path(checkpoint, mapped=mapped)
        if graph.is_file():
            digest.update(graph.read_bytes())
    return digest.hexdigest()


def check_weights(wanted: dict[str, str]) -> None:
    """Refuse other weights than those of the machine with the command.

    Raises:
        UsageError: There are, or a model is missing.
    """
    for model, digest in wanted.items():
        try:
            own = digests([model])[model]
        except OSError as error:
            raise UsageError(
                f"{platform.node()}: model {model} cannot be read ({error.strerror}); copy it there"
            ) from error
        if own != digest:
            raise UsageError(
                f"{platform.node()}: model {model} has other weights ({own[:8]}) than on the machine "
                f"with the command ({digest[:8]}); copy the same file to all machines"
            )


def check_places(folder: Place, out: Place, marker: Path | None) -> None:
    """Refuse to work where the folders of the command are not seen, or may not be read or written.

    Args:
        folder: Of the pictures.
        out: Of the results.
        marker: A folder that the machine with the command has made in `out`; None in a storage.

    Raises:
        PictureError: They are not there, or there is no permission.
    """
    where = platform.node()
    try:
        if isinstance(folder, Path):
            with os.scandir(folder) as files:
                next(files, None)
        elif not is_folder(folder):
            raise FileNotFoundError
    except PermissionError as error:
        raise PictureError(f"{where}: {folder}: no permission to read this folder; give it there") from error
    except OSError as error:
        raise PictureError(f"{where}: {folder}: there is no such folder; {_SHARED}") from error
    if marker is None:
        return
    try:
        if not marker.is_dir():
            raise PictureError(f"{where}: {out}: is not the folder of the command; {_SHARED}")
        with tempfile.TemporaryFile(dir=str(out)):
            pass
    except OSError as error:
        raise PictureError(
            f"{where}: {out}: cannot be written to ({error.strerror}); give permission there"
        ) from error


def _exists(target: Place) -> bool:
    return target.is_file() if isinstance(target, Path) else exists(target)
