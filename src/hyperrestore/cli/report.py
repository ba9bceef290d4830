"""`report merge`: the reports of shards made one."""

from __future__ import annotations

import argparse

from hyperrestore.cli.output import put, say

MOST_NAMED = 20  # missing shards


def run_report(options: argparse.Namespace) -> int:
    """Merge reports, and return the exit code."""
    from hyperrestore.restore.merging import merge_reports
    from hyperrestore.restore.report import check_report

    check_report(options.out)
    merged = merge_reports(options.reports, options.out)
    totals = merged["totals"]
    if missing := merged["missing_shards"]:
        others = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        say(f"warning: no report of shard {', '.join(map(str, missing[:MOST_NAMED]))}{others}")
    elif not merged["complete"]:
        say("warning: a shard did not come to its end; run it again")
    say(
        f"{totals['pictures']} pictures: {totals['restored']} restored, {totals['unchanged']} unchanged, "
        f"{totals['failed']} failed, {totals['skipped']} skipped, {totals['left']} left"
    )
    put(options.out)
    return 0 if merged["complete"] and not totals["failed"] else 1
