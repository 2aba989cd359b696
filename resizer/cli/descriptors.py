"""See that the process may open as many files and connections as its settings allow."""

import logging
import resource

from resizer.batches.dispatcher import MOST_WORKERS
from resizer.config import Settings

logger = logging.getLogger(__name__)

#: of a worker: while hosts hold them up there are many times as many, each with a connection or a file
BY_WORKER = 2 * MOST_WORKERS
#: what a connection can hold: itself, and the file that is sent or written
BY_CONNECTION = 2
#: database, pipes to the compressing processes, webhooks, refused connections
BESIDES = 256


def descriptors_needed(settings: Settings) -> int:
    return settings.server.max_connections * BY_CONNECTION + settings.queue.workers * BY_WORKER + BESIDES


def allow_descriptors(needed: int) -> None:
    """Raise the process's own limit towards what is needed, and warn where the system's is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        # macOS has a limit of its own below the one that it names
        logger.debug("the limit of open files cannot be raised to %s: %s", wanted, error)
        wanted = soft
    if wanted < needed:
        logger.warning(
            "this process may open %s files and may need %s: raise the system's limit (ulimit -n), "
            "or lower server.max_connections or queue.workers",
            wanted,
            needed,
        )
