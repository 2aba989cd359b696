"""Signals of commands that have no event loop."""

import signal
import sys


def end_on_sigterm() -> None:
    """Leave by the usual way out on SIGTERM, as on an error: no draft stays."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
