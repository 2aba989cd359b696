"""Parse the Retry-After header."""

import time
from datetime import UTC
from email.utils import parsedate_to_datetime


def seconds_to_wait(retry_after: str) -> float | None:
    """Return the seconds until a retry, from a number or an HTTP date; None if it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError: a time zone out of range
        return None
    if moment.tzinfo is None:  # "-0000" means UTC too
        moment = moment.replace(tzinfo=UTC)
    return max(moment.timestamp() - time.time(), 0.0)
