"""Points at which a test can end the process as a crash would."""

import itertools
import logging
import os
from collections.abc import Mapping
from enum import StrEnum

from resizer.errors import ConfigError

logger = logging.getLogger(__name__)

#: `POINT`, or `POINT:N` to end the process at the Nth passing
VARIABLE = "RESIZER_FAILPOINT"
#: most digits of N
LONGEST = 9
EXIT_CODE = 86  # different from those of shells, of signals and of the command line


class Point(StrEnum):
    """Where the process can end, with what is unfinished at each point."""

    CSV_COMMITTED = "csv-committed"  # the client has no 202 yet
    FETCHED = "fetched"  # the download is in the spool
    COMPRESSED = "compressed"  # the draft is beside its target
    RENAMED = "renamed"  # the folder is not synced, and the outcome not recorded
    OUTCOMES_COMMITTED = "outcomes-committed"  # no event is published yet
    WEBHOOK_DUE = "webhook-due"  # the webhook is not sent yet
    WEBHOOK_SENT = "webhook-sent"  # the try is not recorded yet


_armed: Point | None = None
_last = 1
# thread-safe: threads pass some of the points
_passings = itertools.count(1)


def reach(point: Point) -> None:
    """Pass a point; at the Nth passing of the armed one the process ends without any cleanup."""
    if point is _armed and next(_passings) == _last:
        os._exit(EXIT_CODE)


def arm(environment: Mapping[str, str]) -> None:
    """Arm the point that the environment names, if any. Raises `ConfigError`.

    Only the service calls this: in a child process no point is armed.
    """
    global _armed, _last
    given = environment.get(VARIABLE, "")
    if not given:
        return
    name, _, number = given.partition(":")
    if name not in set(Point):
        raise ConfigError.of(VARIABLE, f"{name!r} is not a failpoint", "use one of " + ", ".join(Point))
    if number and not (number.isascii() and number.isdigit() and len(number) <= LONGEST and int(number)):
        raise ConfigError.of(VARIABLE, f"{number!r} is not a number of passings", f"use {name} or {name}:N")
    _armed, _last = Point(name), int(number or 1)
    logger.warning("%s is set, for tests only: the process ends at %s", VARIABLE, given)
