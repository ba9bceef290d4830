"""Results of a folder -> the closing lines of its run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from hyperrestore.detect.findings import Findings
from hyperrestore.level import Task
from hyperrestore.restore.batch import Failure
from hyperrestore.restore.file import COPIED, Success

ALWAYS = (
    "restored",
    "copied",
    "skipped",
    "failed",
    "not pictures",
)  # those that a line of counts never omits


def count_results(
    results: Sequence[Success | Failure], *, skipped: int, left: int, foreign: int, others: int
) -> str:
    """Count the results of a folder, in one line.

    Args:
        results: Of the pictures that were started.
        skipped: How many results existed already.
        left: How many pictures were not started.
        foreign: How many pictures are of an unsupported kind.
        others: How many files are not pictures.

    Example:
        >>> count_results([], skipped=2, left=0, foreign=1, others=3)
        '0 restored, 0 copied, 2 skipped, 0 failed, 1 not read, 3 not pictures'
    """
    counts = Counter(outcome_of(result) for result in results)
    return count_line(counts, skipped=skipped, left=left, foreign=foreign, others=others)


def count_line(outcomes: Mapping[str, int], *, skipped: int, left: int, foreign: int, others: int) -> str:
    """The same from counts of `outcome_of`."""
    counts = Counter(outcomes)
    counts.update({"skipped": skipped, "not begun": left, "not read": foreign, "not pictures": others})
    order = (
        "restored",
        "copied",
        "only converted",
        "skipped",
        "failed",
        "not begun",
        "not read",
        "not pictures",
    )
    return ", ".join(f"{counts[name]} {name}" for name in order if counts[name] or name in ALWAYS)


def outcome_of(result: Success | Failure) -> str:
    """What became of a picture, in the words of the closing line."""
    if isinstance(result, Failure):
        return "failed"
    if result.levels:
        return "restored"
    return "copied" if COPIED in result.notes else "only converted"


def tabulate_findings(
    findings: Sequence[tuple[str, Findings, Mapping[Task, float]]],
) -> list[str]:
    """Format what was found in the pictures of a folder as a table, one line for each.

    Args:
        findings: Name of each picture, what was found in it, and the levels that would repair it.

    Returns:
        Lines of columns: noise and JPEG quality as found, the repair, the picture.
    """
    rows = [("noise", "JPEG", "repair", "picture")]
    for name, found, levels in findings:
        noise = "?" if found.noise is None else f"{found.noise.sigma:.1f}"
        quality = found.compression.quality
        repair = ", ".join(f"{task} {level:g}" for task, level in levels.items())
        rows.append((noise, "none" if quality is None else str(quality), repair or "nothing", name))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        f"{noise:>{widths[0]}}  {quality:>{widths[1]}}  {repair:<{widths[2]}}  {name}"
        for noise, quality, repair, name in rows
    ]
