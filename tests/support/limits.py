"""Limits by host for tests of what lies above them."""

from resizer.config import FetchSettings
from resizer.fetch.hosts import HostLimits


def limits(settings: FetchSettings | None = None) -> HostLimits:
    """Return limits that have not heard of any host."""
    per_host = (settings or FetchSettings()).per_host
    return HostLimits(per_host=per_host, most_in_doubt=100)
