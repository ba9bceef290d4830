"""Scores of single pictures in a file, so that nothing is measured twice.

Scores of the same weights or version never change, so they are kept, with the version of hyperrestore and the
CPU that measured them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hyperrestore.level import Task
from hyperrestore.measure.degrade import Protocol
from hyperrestore.measure.evaluate import Evaluated, NamedBackend, evaluate, softness_of, told_level
from hyperrestore.measure.scores import Evaluation, Score

UNKNOWN_VERSION = "of an earlier version"  # caches did not always say which


@dataclass(frozen=True)
class Source:
    """The version and CPU that measured a score.

    Attributes:
        version: Of hyperrestore.
        cpu: Its name; None if unknown.
    """

    version: str
    cpu: str | None


class Cache:
    """Scores in a file, one JSON object a line, each saved as soon as it is measured.

    Args:
        path: The file; None keeps them in memory only.
        source: Of new scores.
    """

    def __init__(self, path: Path | None, source: Source) -> None:
        self.path, self.source = path, source
        self.known: dict[str, Evaluation] = {}
        self.sources: dict[str, Source] = {}
        for line in path.read_text().splitlines() if path and path.exists() else []:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # a line that was cut off
                continue
            self.known[entry["key"]] = Evaluation(entry["protocol"], (Score(**entry["score"]),))
            self.sources[entry["key"]] = Source(entry.get("version", UNKNOWN_VERSION), entry.get("cpu"))

    def keep(self, key: str, evaluation: Evaluation) -> None:
        """Add the one score of an evaluation."""
        self.known[key], self.sources[key] = evaluation, self.source
        if self.path:
            entry = {"key": key, **asdict(self.source), "protocol": evaluation.protocol}
            entry["score"] = asdict(evaluation.scores[0])
            with self.path.open("a") as file:
                # A line that was cut off before stays on its own; empty lines are skipped.
                file.write("\n" + json.dumps(entry) + "\n")


def content(picture: Path) -> str:
    """A picture's name and a digest of its bytes."""
    return f"{picture.name} {zlib.crc32(picture.read_bytes()):08x}"


def cache_key(identity: str, protocol: Protocol, grey: bool, level: float, picture: Path) -> str:
    """Everything that a score depends on: method, protocol, level and the picture's bytes."""
    return f"{identity} | {protocol} {'grey' if grey else 'colour'} | {level:g} | {content(picture)}"


@dataclass(frozen=True)
class AtOneLevel:
    """A method whose network for one level is generated once for all pictures."""

    task: Task
    backend: NamedBackend

    def at(self, level: float, *, bits: int) -> NamedBackend:
        """That network."""
        return self.backend


def measure(
    method: Evaluated,
    identity: str,
    pictures: Sequence[Path],
    levels: Sequence[float],
    cache: Cache,
    *,
    protocol: Protocol,
    grey: bool,
    only_cached: bool = False,
) -> tuple[Evaluation, dict[float, set[Source]]]:
    """Score a method, picture by picture; each score is saved at once, so an interruption loses nothing.

    Args:
        method: The method.
        identity: Everything that its results depend on: package and version, or weights and precision.
        pictures: Files of clean pictures.
        levels: In the task's unit.
        cache: Existing scores, and the place for new ones.
        protocol: See `evaluate`.
        grey: See `evaluate`.
        only_cached: Measure nothing.

    Returns:
        The scores of each level that are complete (a mean over fewer pictures would be another figure), and
        their sources, by level.
    """
    there: dict[float, list[str]] = {}
    for level in levels:
        keys = {cache_key(identity, protocol, grey, level, picture): picture for picture in pictures}
        missing = [] if only_cached else [key for key in keys if key not in cache.known]
        if missing:
            told = told_level(method, level, softness_of(method.task, protocol, None))
            ready = AtOneLevel(method.task, method.at(told, bits=8))
        for key in missing:
            cache.keep(key, evaluate(ready, [keys[key]], [level], protocol=protocol, grey=grey))
        if cache.known.keys() >= keys.keys():
            there[level] = list(keys)
    found = [cache.known[key] for keys in there.values() for key in keys]
    protocols = {one.protocol for one in found}
    if len(protocols) > 1:
        raise SystemExit(f"scores of several protocols; delete the cache ({' / '.join(protocols)})")
    scores = tuple(score for one in found for score in one.scores)
    sources = {level: {cache.sources[key] for key in keys} for level, keys in there.items()}
    return Evaluation("".join(protocols), scores), sources
