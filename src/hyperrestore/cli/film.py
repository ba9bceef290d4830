"""`restore`, `denoise`, `dejpeg` and `upscale` with a film: its pictures restored, all else copied."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hyperrestore.cli.output import printable, progress_bar, put, say
from hyperrestore.errors import UsageError
from hyperrestore.film.kinds import check_container, is_film
from hyperrestore.film.library import pyav
from hyperrestore.restore.place import StoredPath, local_text, place_of

if TYPE_CHECKING:
    from hyperrestore.restore.repair import Repair
    from hyperrestore.restore.restorer import Restorer

logger = logging.getLogger(__name__)

# Options that are for pictures only, and their names.
FOR_PICTURES = {
    "level_map": "--level-map",
    "sweep": "--sweep",
    "region": "--region",
    "singles": "--singles",
    "shard": "--shard",
    "cluster": "--cluster",
    "report": "--report",
    "format": "--format",
    "quality": "--quality",
    "keep_times": "--keep-times",
    "recursive": "--recursive",
    "max_pixels": "--max-pixels",
}


def takes_films(options: argparse.Namespace) -> bool:
    """Tell whether a film is to be restored, and check what can be checked before a model is loaded.

    Raises:
        MissingExtraError: PyAV is not installed.
        UsageError: Options do not fit films, or pictures; several films are given, or both.
    """
    films = [
        path for path in options.inputs if is_film(path) and not (isinstance(path, Path) and path.is_dir())
    ]
    if not films:
        for given, name in ((options.follow, "--follow"), (options.lossless, "--lossless")):
            if given:
                raise UsageError(f"{name} is for films, and {options.inputs[0]} is none; leave it out")
        return False
    if len(options.inputs) > 1:
        raise UsageError(
            f"{films[0]} is a film, and {len(options.inputs)} inputs were given; give one film at a time"
        )
    for place in (films[0], place_of(options.out)):
        if isinstance(place, StoredPath):
            raise UsageError(
                f"{place}: films are restored on this machine, not in object storage; copy it here"
            )
    for attribute, name in FOR_PICTURES.items():
        if getattr(options, attribute):
            raise UsageError(f"{name} is for pictures, and {films[0]} is a film; leave it out")
    if options.follow and options.level is not None and options.command != "upscale":
        raise UsageError("--follow follows an estimated level; give only one of -l and --follow")
    check_container(films[0], Path(local_text(options.out)), lossless=options.lossless)
    pyav()
    return True


def run_film(options: argparse.Namespace, restorers: Sequence[Restorer], repairs: Sequence[Repair]) -> int:
    """Restore the film, and return the exit code."""
    from hyperrestore.film.restore import restore_film
    from hyperrestore.restore.steps import in_words

    source, target = options.inputs[0], Path(local_text(options.out))
    if options.skip_existing and target.is_file():
        say(f"{target} already exists")
        return 0
    try:
        with progress_bar(printable(source.name)) as show:
            result = restore_film(
                restorers,
                repairs,
                source,
                target,
                follow=options.follow,
                lossless=options.lossless,
                tile=options.tile,
                overwrite=options.overwrite,
                settings={name: getattr(options, name) for name in ("model", "device", "precision", "tile")},
                progress=show,
            )
    except KeyboardInterrupt:
        say(f"{target}: not finished; the same command goes on with it")
        raise
    for note in result.notes:
        say(f"{source}: {note}")
    logger.info(
        "wrote %s: %d x %d pixels, %s, in %.2f s",
        *(target, result.width, result.height, in_words(result.levels) or "unchanged", result.seconds),
    )
    put(json.dumps(asdict(result)) if options.json else result.target)
    return 0
