"""Signals of commands without an event loop."""

import signal
import sys


def end_on_sigterm() -> None:
    """Exit on SIGTERM as on an error, so that drafts are removed."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
