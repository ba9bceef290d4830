"""`web`: the page."""

from __future__ import annotations

import argparse
import os

from hyperrestore.cli.output import say

TOKEN = "HYPERRESTORE_TOKEN"  # an option would be seen in the list of processes


def run_web(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, and return the exit code."""
    from hyperrestore.web.server import serve

    try:
        serve(
            host=options.host,
            port=options.port,
            browser=not options.no_open,
            workers=options.workers,
            token=os.environ.get(TOKEN) or None,
        )
    except KeyboardInterrupt:  # how it ends
        say("stopped; the temporary files are removed")
    return 0
