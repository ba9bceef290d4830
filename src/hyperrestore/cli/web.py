"""`web`: the page."""

from __future__ import annotations

import argparse

from hyperrestore.cli.output import say


def run_web(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, and return the exit code."""
    from hyperrestore.web.server import serve

    try:
        serve(host=options.host, port=options.port, browser=not options.no_open)
    except KeyboardInterrupt:  # how it ends
        say("stopped; the temporary files are removed")
    return 0
