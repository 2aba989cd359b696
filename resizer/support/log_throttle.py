"""Limit how often a message is logged."""

import time


class LogThrottle:
    """Returns True at the first call, and then at most once in `seconds`."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._next = 0.0  # of time.monotonic

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
