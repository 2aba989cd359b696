"""Limit connections and workers to the file descriptors that the process may open."""

import logging
import resource

from resizer.compress.pool import cores
from resizer.config import Settings
from resizer.config.sections import FETCHERS

logger = logging.getLogger(__name__)

BY_IMAGE = 2  # descriptors of a fetched image: connection and file
#: descriptors of a worker, which requests this many images at once
BY_WORKER = BY_IMAGE * FETCHERS
BY_CONNECTION = 2  # descriptors of a connection: socket, and the file that is sent or written
BY_PROCESS = 9  # descriptors of a compressing process: pipes and pidfd
#: descriptors for the database, webhooks, DNS lookups and refused connections; at most half of a low limit
BESIDES = 256


def within_descriptors(settings: Settings, *, serves: bool = True, by_worker: int = BY_WORKER) -> Settings:
    """Raise the limit of the process as far as needed; returns settings lowered to the limit.

    `by_worker` is 0 if this process does not fetch and compress.
    """
    needed = descriptors_needed(settings, serves=serves, by_worker=by_worker)
    allowed = _raise_limit(needed)
    if allowed is None or allowed >= needed:
        return settings
    server, queue = settings.server, settings.queue
    room = allowed - min(BESIDES, allowed // 2) - (_for_processes(settings) if by_worker else 0)
    # half for each, or the remainder of the other
    for_workers = max(room // 2, room - server.max_connections * BY_CONNECTION * serves)
    workers = min(queue.workers, max(1, for_workers // max(by_worker, 1)))
    connections = min(server.max_connections, max(1, (room - workers * by_worker) // BY_CONNECTION))
    kept = []
    if serves and connections < server.max_connections:
        kept.append(f"{connections} connections (server.max_connections is {server.max_connections})")
    if by_worker and workers < queue.workers:
        kept.append(f"{workers} workers (queue.workers is {queue.workers})")
    if not kept:
        return settings
    logger.warning(
        "this process may open %s files but may need %s: limiting it to %s; "
        "raise its limit (ulimit -n, LimitNOFILE= of systemd), or lower these settings",
        allowed,
        needed,
        " and ".join(kept),
    )
    fitted = {
        "server": server.model_copy(update={"max_connections": connections} if serves else {}),
        "queue": queue.model_copy(update={"workers": workers} if by_worker else {}),
    }
    return settings.model_copy(update=fitted)


def descriptors_needed(settings: Settings, *, serves: bool = True, by_worker: int = BY_WORKER) -> int:
    connections = settings.server.max_connections * BY_CONNECTION if serves else 0
    workers = settings.queue.workers * by_worker + _for_processes(settings) if by_worker else 0
    return connections + workers + BESIDES


def _for_processes(settings: Settings) -> int:
    return BY_PROCESS * (settings.compress.processes or cores())


def _raise_limit(needed: int) -> int | None:
    """Raise the soft limit as far as needed; returns the new limit, None if there is none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    if soft >= needed:
        return soft
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        # macOS has a lower limit than the one that it reports
        logger.debug("cannot raise the limit of open files to %s: %s", wanted, error)
        return soft
    return wanted
