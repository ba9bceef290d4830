"""The outcomes of a folder of any size -> its report: they wait on the disk, not in memory."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

from hyperrestore.atomic import atomic_file
from hyperrestore.errors import DiskFullError
from hyperrestore.restore.batch import Failure
from hyperrestore.restore.closing import outcome_of
from hyperrestore.restore.file import Success
from hyperrestore.restore.place import Place, StoredPath
from hyperrestore.restore.report import (
    STATUSES,
    foreign_entry,
    picture_entry,
    report_document,
    rest_entry,
)
from hyperrestore.restore.storage import put
from hyperrestore.restore.stream import Found

Outcome = Success | Failure | Literal["skipped", "left"]

_LISTS = ("not_read", "pictures")  # of a report, which may be long
_FIRST = ("restored", "unchanged", "failed")  # pictures that were started stand before all others


class Ledger:
    """What became of each file of a folder, in any order.

    Attributes:
        outcomes: How many pictures were restored, copied, ...; see `closing.outcome_of`.
        statuses: How many pictures have each status of a report.
        foreign: How many pictures are of an unsupported kind.
        elsewhere: How many pictures belong to other shards.
        others: How many files are not pictures.
        unreadable: Folders that cannot be read.
        older: How many results are older than their pictures.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.foreign = self.elsewhere = self.others = self.older = 0
        self.unreadable: list[Place] = []
        self._pixels = 0
        # A database without a name is a temporary file, which is gone with the process.
        self._rows = sqlite3.connect("")
        self._rows.execute("PRAGMA journal_mode = OFF")
        # The order is a number, or in a storage bytes.
        self._rows.execute("CREATE TABLE entries (list, rank, place, entry, PRIMARY KEY (list, rank, place))")

    @property
    def is_of_pictures(self) -> bool:
        """Whether the folder has pictures, or may have some where it cannot be read."""
        return bool(self.statuses.total() or self.elsewhere or self.unreadable)

    def close(self) -> None:
        """Forget everything."""
        self._rows.close()

    def note(self, found: Found, outcome: Outcome | None) -> None:
        """Note what was found, and what became of it if it is a picture.

        Raises:
            DiskFullError: There is no room for it.
        """
        if outcome is not None:
            self._note_picture(found, outcome)
        elif found.kind == "foreign":
            self.foreign += 1
            self._add("not_read", 0, found, foreign_entry(found.source, found.words))
        elif found.kind == "elsewhere":
            self.elsewhere += 1
        elif found.kind == "other":
            self.others += 1
        elif found.kind == "unreadable":
            self.unreadable.append(found.source)

    def _note_picture(self, found: Found, outcome: Outcome) -> None:
        if isinstance(outcome, Success | Failure):
            entry = picture_entry(outcome)
            self.outcomes[outcome_of(outcome)] += 1
            if isinstance(outcome, Success):
                self._pixels += outcome.width * outcome.height
        else:
            entry = rest_entry(outcome, found.source, found.target)
            self.older += found.older
        status = entry["status"]
        self.statuses[status] += 1
        rank = 0 if status in _FIRST else STATUSES.index(status)
        self._add("pictures", rank, found, entry)

    def _add(self, name: str, rank: int, found: Found, entry: Mapping[str, Any]) -> None:
        # As bytes: a name need not be valid Unicode.
        order = found.order.encode(errors="surrogatepass") if isinstance(found.order, str) else found.order
        row = (name, rank, order, json.dumps(entry, indent=1))
        try:
            self._rows.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", row)
        except sqlite3.OperationalError as error:
            raise DiskFullError(
                f"the report does not fit on the disk for temporary files ({error}); free some space, or set "
                "SQLITE_TMPDIR"
            ) from error

    def foreign_kinds(self) -> Iterator[tuple[str, str]]:
        """The pictures of an unsupported kind, each with its kind."""
        for text in self._entries("not_read"):
            entry = json.loads(text)
            yield entry["source"], entry["kind"]

    def _entries(self, name: str) -> Iterator[str]:
        rows = self._rows.execute("SELECT entry FROM entries WHERE list = ? ORDER BY rank, place", (name,))
        return (entry for (entry,) in rows)

    def write_report(
        self,
        path: Place,
        *,
        models: Mapping[str, str | Path],
        settings: Mapping[str, Any],
        seconds: float,
        complete: bool,
    ) -> None:
        """Write the report that `report.write_report` would write of the same outcomes, atomically.

        Args:
            path: The file to write, on this machine or in object storage.
            models: As for `report.write_report`.
            settings: As for `report.write_report`.
            seconds: How long the batch took.
            complete: Whether it finished.

        Raises:
            OSError: It cannot be written.
            PictureError: It cannot be written to its storage.
        """
        document = report_document(
            self.statuses,
            not_read=_stand_in("not_read"),
            pictures=_stand_in("pictures"),
            totals={
                "not_read": self.foreign,
                "not_pictures": self.others,
                "megapixels": self._pixels / 1e6,
            },
            unreadable=self.unreadable,
            models=models,
            settings=settings,
            seconds=seconds,
            complete=complete,
        )
        if isinstance(path, StoredPath):
            with tempfile.TemporaryDirectory(prefix="hyperrestore-") as folder:
                file = Path(folder, "report.json")
                with file.open("wb") as opened:
                    self._write(opened, document)
                put(file, path, overwrite=True)
        else:
            with atomic_file(path) as opened:
                self._write(opened, document)

    def _write(self, file: BinaryIO, document: Mapping[str, Any]) -> None:
        text = json.dumps(document, indent=1) + "\n"
        for name in _LISTS:
            before, _, text = text.partition(json.dumps(_stand_in(name)))
            file.write(before.encode())
            between = "[\n  "
            for entry in self._entries(name):
                file.write((between + entry.replace("\n", "\n  ")).encode())
                between = ",\n  "
            file.write(b"[]" if between[0] == "[" else b"\n ]")
        file.write(text.encode())


def _stand_in(name: str) -> str:
    """What stands in a document for a list: no file has such a name, and no option such a value."""
    return f"\0{name}\0"
