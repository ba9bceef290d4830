"""Which results are made from which pictures: finds inputs, names results, refuses conflicts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from hyperrestore.cli.output import say
from hyperrestore.errors import UsageError
from hyperrestore.restore.place import Place, place_of

if TYPE_CHECKING:
    from hyperrestore.restore.folder import Inputs

LEFTOVERS = "removed unfinished pictures left by killed processes"


class Plan(NamedTuple):
    """Which results are made from which pictures.

    Attributes:
        pairs: Pictures and results that will be made; of a shard, only its own.
        skipped: Pictures and results that exist and are kept.
        found: Everything found among the inputs.
        every: Pictures and results of all shards.
    """

    pairs: list[tuple[Place, Place]]
    skipped: list[tuple[Place, Place]]
    found: Inputs
    every: list[tuple[Place, Place]]

    @property
    def is_batch(self) -> bool:
        """Whether several pictures, or a folder, were given."""
        return self.found.in_folder or len(self.found.pictures) > 1

    @property
    def local(self) -> list[tuple[Path, Path]]:
        """Those of `every` on this machine."""
        return [
            (source, target)
            for source, target in self.every
            if isinstance(source, Path) and isinstance(target, Path)
        ]

    @property
    def is_stored(self) -> bool:
        """Whether pictures or results lie in object storage."""
        return len(self.local) < len(self.every)


def make_plan(
    inputs: Sequence[Place],
    out: str,
    *,
    suffix: str | None,
    recursive: bool,
    overwrite: bool,
    skip_existing: bool,
    shard: tuple[int, int] | None = None,
) -> Plan:
    """Find the pictures and name their results.

    Args:
        inputs: Pictures, and with `recursive` folders, on this machine or in object storage.
        out: The output as typed: a `/` at its end makes it a folder.
        suffix: Of the files in a folder, with or without its dot; None for those of the pictures.
        recursive: Search folders, and keep existing results.
        overwrite: Replace existing results.
        skip_existing: Keep them.
        shard: K and N: of the pictures, only those of part K of N.

    Raises:
        UsageError: An input is missing, or a result would replace another or an existing file.
        PictureError: A storage refuses or does not answer.
    """
    from hyperrestore.picture.temporary import remove_leftovers
    from hyperrestore.restore.folder import find_existing, find_inputs, in_shard, plan_targets

    dotted = dotted_suffix(suffix)
    found = find_inputs(inputs, out=place_of(out), recursive=recursive)
    pairs = every = plan_targets(found.pictures, out, suffix=dotted, in_folder=found.in_folder)
    if shard is not None:
        placed = zip(every, found.pictures, strict=True)
        pairs = [pair for pair, (_, place) in placed if in_shard(place, shard)]
        say(f"part {shard[0]} of {shard[1]}: {len(pairs)} of {len(every)} pictures")
    for folder in found.unreadable:
        say(f"error: {folder}: cannot read this folder")
    folders = {target.parent for _, target in pairs if isinstance(target, Path)}
    if sum(remove_leftovers(folder) for folder in folders):
        say(LEFTOVERS)
    skipped: list[tuple[Place, Place]] = []
    made = {} if overwrite else find_existing([target for _, target in pairs], out)
    if not overwrite and (recursive or skip_existing):
        skipped = _find_skipped(pairs, made, always_said=skip_existing)
    elif made:
        _refuse_existing(made)
    kept = set(skipped)
    return Plan([pair for pair in pairs if pair not in kept], skipped, found, every)


def _refuse_existing(made: Mapping[Place, object]) -> NoReturn:
    """Refuse to replace existing results."""
    others = f" and {len(made) - 1} more" if len(made) > 1 else ""
    raise UsageError(
        f"{_first(made)}{others}: already exists; give --overwrite, --skip-existing or another output"
    )


def _first(places: Iterable[Place]) -> Place:
    return min(places, key=lambda place: str(place).split(os.sep if isinstance(place, Path) else "/"))


def _find_skipped(
    pairs: Sequence[tuple[Place, Place]], made: Mapping[Place, float | None], *, always_said: bool
) -> list[tuple[Place, Place]]:
    """The pictures whose results exist already and are kept."""
    from hyperrestore.restore.folder import find_finished

    finished, older = find_finished(pairs, made)
    if finished or always_said:
        say(f"{len(finished)} of {len(pairs)} pictures already exist")
    if older:
        others = f" and {len(older) - 1} more" if len(older) > 1 else ""
        say(f"warning: {_first(older)}{others}: older than its original, and kept; --overwrite replaces all")
    return finished


def check_mask(mask: Path, pairs: Sequence[tuple[Place, Place]], max_pixels: int) -> None:
    """Refuse a mask that cannot be read, or that a batch would replace while it is still needed.

    Raises:
        PictureError: It cannot be read.
        UsageError: It would be replaced.
    """
    from hyperrestore.restore.folder import real
    from hyperrestore.run.level_map import level_rows

    level_rows(mask, height=1, width=1, black=0, white=1, max_pixels=max_pixels)
    if len(pairs) > 1 and any(real(target) == real(mask) for _, target in pairs):
        raise UsageError(f"{mask}: the mask would be replaced by a result; write to another folder")


def say_what_is_not_read(found: Inputs) -> None:
    """Report the pictures in folders that are of an unsupported kind."""
    from hyperrestore.picture.kinds import name_foreign

    if found.foreign:
        say(f"not read: {name_foreign(found.foreign)}")


def dotted_suffix(format_name: str | None) -> str | None:
    """The suffix of a format as a person names it: "png", ".PNG"; None stays None."""
    return None if format_name is None else f".{format_name.lower().removeprefix('.')}"
