"""Read when a server wants to be asked again."""

import time
from datetime import UTC
from email.utils import parsedate_to_datetime


def seconds_to_wait(retry_after: str) -> float | None:
    """Read a Retry-After header: seconds, or an HTTP date. None where it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError: a zone beyond all days
        return None
    if moment.tzinfo is None:  # "-0000", which means UTC too
        moment = moment.replace(tzinfo=UTC)
    return max(moment.timestamp() - time.time(), 0.0)
