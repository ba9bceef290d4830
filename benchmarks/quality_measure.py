"""Methods and clean pictures -> records, together with those kept from earlier runs."""

from __future__ import annotations

import argparse
import re
import sys
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from peers import PEERS
from quality_methods import Method
from quality_records import Record
from quality_tables import Table, name_of, place_of
from score_cache import Cache, Source, content
from score_cache import measure as score

from hyperrestore.measure.pictures import find_pictures
from hyperrestore.measure.scores import Evaluation


@dataclass(frozen=True)
class Asked:
    """A method with its pictures and levels."""

    method: Method
    pictures: list[Path]
    levels: list[float]


def to_measure(methods: Sequence[Method], table: Table, options: argparse.Namespace) -> list[Asked]:
    """The methods to measure for one table, with their pictures and levels."""
    wanted = [level for level in table.levels if options.levels is None or level in options.levels]
    if table.name not in options.tables or not wanted:
        return []
    pictures = find_pictures(options.test / table.photos)
    return [
        Asked(
            method,
            pictures[: options.peers_pictures] if method.peer else pictures,
            [level for level in wanted if method.takes(level)],
        )
        for method in methods
        if method.restorer.task == table.task and method.protocol in (None, table.protocol)
    ]


def digest_of(pictures: Sequence[Path]) -> str:
    """A digest of the names and bytes of pictures."""
    text = "\n".join(map(content, pictures))
    return f"{zlib.crc32(text.encode(errors='surrogateescape')):08x}"


def check_kept(
    earlier: Sequence[Record], asked: Sequence[Asked], table: Table, options: argparse.Namespace
) -> None:
    """Refuse earlier records that do not fit the new measurement."""
    counts = {one.method.key: len(one.pictures) for one in asked}
    pictures = find_pictures(options.test / table.photos)
    total, digest = len(pictures), digest_of(pictures)
    for one in earlier:
        if one.total != total or one.digest not in (digest, ""):  # earlier records have no digest
            raise SystemExit(
                f"{table.name}: kept records are of other inputs, {one.total} pictures (digest "
                f"{one.digest or 'unknown'}), not {total} pictures (digest {digest}); leave out --keep"
            )
        if one.pictures > counts.get(one.method, one.pictures):
            raise SystemExit(
                f"{table.name}: {name_of(one.method)} on record is of {one.pictures} pictures, this one "
                f"would be of {counts[one.method]}; change --peers-pictures or leave out --keep"
            )


@dataclass(frozen=True)
class Scored:
    """A method with its scores and their sources, by level."""

    method: Method
    evaluation: Evaluation
    sources: dict[float, set[Source]]

    @property
    def protocol(self) -> str:
        """The full protocol, without the line on what ran the method."""
        return self._parts[0]

    @property
    def run_by(self) -> str:
        """Package or runtime of the method, with its settings."""
        return self.method.weights + self._parts[1]

    @property
    def _parts(self) -> tuple[str, str]:
        text = self.evaluation.protocol.removesuffix(", seconds for a megapixel")
        protocol, _, run_by = text.rpartition("; ")
        return protocol, run_by

    def records(self, table: Table, count: int, total: int) -> list[Record]:
        """The means over the first `count` pictures of the table's `total`."""
        names = list(dict.fromkeys(score.picture for score in self.evaluation.scores))[:count]
        scores = tuple(score for score in self.evaluation.scores if score.picture in names)
        return [
            Record(
                table.name, self.method.key, mean.level, count, total, round(mean.input_psnr, 4),
                round(mean.psnr, 4), round(mean.ssim, 6), self.run_by,
                oldest_first(source.version for source in self.sources[mean.level]),
                **self._time(mean.level, mean.seconds),
            )
            for mean in Evaluation(self.evaluation.protocol, scores).means()
        ]  # fmt: skip

    def _time(self, level: float, seconds: float) -> dict[str, str | float]:
        """CPU and seconds, if one known CPU measured all."""
        cpus = {source.cpu for source in self.sources[level]}
        cpu = cpus.pop() if len(cpus) == 1 else None
        return {"cpu": cpu, "seconds": round(seconds, 3)} if cpu else {}


def oldest_first(versions: Iterable[str]) -> tuple[str, ...]:
    """Versions, each once, by their numbers."""
    return tuple(
        sorted(set(versions), key=lambda version: [int(part) for part in re.findall(r"\d+", version)])
    )


def measure(
    asked: Sequence[Asked],
    table: Table,
    cache: Cache,
    earlier: Sequence[Record],
    options: argparse.Namespace,
    *,
    protocol: str | None,
) -> tuple[list[Record], str | None]:
    """All records of one table; ours again for each number of pictures that others were measured on.

    Args:
        asked: What is measured now.
        table: The table.
        cache: Existing scores.
        earlier: Earlier records; those of other methods, or of other levels of peers, are kept.
        options: The command line.
        protocol: Full protocol of the earlier records.

    Returns:
        The records, and their full protocol.
    """
    if not asked:
        return list(earlier), protocol
    pictures = find_pictures(options.test / table.photos)
    total = len(pictures)
    records: list[Record] = []
    scored: list[Scored] = []
    for one in asked:
        print(f"{table.name}: {name_of(one.method.key)}", file=sys.stderr, flush=True)
        found = Scored(one.method, *score(
            one.method.restorer, one.method.identity, one.pictures, one.levels, cache,
            protocol=table.protocol, grey=table.grey, only_cached=options.cached and one.method.peer,
        ))  # fmt: skip
        if found.evaluation.scores:
            scored.append(found)
            records += found.records(table, len(one.pictures), total)
    measured = {one.method for one in records}
    kept = [one for one in earlier if one.method not in measured or at_another_level(one, records)]
    counts = {one.pictures for one in records + kept} - {total}
    records += kept
    for found in scored:
        if found.method.key == "ours":
            records += [one for count in counts for one in found.records(table, count, total)]
    protocols = {found.protocol for found in scored} | ({protocol} if kept and protocol else set())
    check_one_input(records, protocols, table.name)
    digest = digest_of(pictures)
    records.sort(key=lambda one: (place_of(one.method), -one.pictures))
    return in_order(
        [replace(one, digest=digest) for one in records]
    ), protocols.pop() if protocols else protocol


def at_another_level(earlier: Record, records: Sequence[Record]) -> bool:
    """Whether a record is of another level of the same package in the same version, which took hours."""
    same = [
        one.level
        for one in records
        if (one.method, one.pictures, one.run_by) == (earlier.method, earlier.pictures, earlier.run_by)
    ]
    return earlier.method in PEERS and bool(same) and earlier.level not in same


def check_one_input(records: Sequence[Record], protocols: set[str], name: str) -> None:
    """Refuse records that were scored differently, or on other degraded pictures."""
    if len(protocols) > 1:
        raise SystemExit(f"the methods were scored by different protocols: {' / '.join(sorted(protocols))}")
    for level in {one.level for one in records}:
        inputs = {
            f"{one.input_psnr:.2f}" for one in records if one.pictures == one.total and one.level == level
        }
        if len(inputs) > 1:
            raise SystemExit(f"{name}: kept records are of other inputs ({' and '.join(sorted(inputs))} dB)")


def in_order(records: Iterable[Record]) -> list[Record]:
    """Records sorted by lines of the page, weakest level first."""
    lines: dict[tuple[str, int], list[Record]] = {}
    for one in records:
        lines.setdefault((one.method, one.pictures), []).append(one)
    return [one for line in lines.values() for one in sorted(line, key=lambda one: one.level)]
