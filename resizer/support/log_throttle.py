"""Limit how often one thing is logged."""

import time


class LogThrottle:
    """True when called for the first time, and then at most once in `seconds`."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._next = 0.0  # by the system's clock

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
