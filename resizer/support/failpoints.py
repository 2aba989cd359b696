"""Points on an image's road at which a test can end the process as a crash would."""

import itertools
import logging
import os
from collections.abc import Mapping
from enum import StrEnum

from resizer.errors import ConfigError

logger = logging.getLogger(__name__)

#: `POINT`, or `POINT:N` to let it be passed N - 1 times
VARIABLE = "RESIZER_FAILPOINT"
#: digits of N
LONGEST = 9
EXIT_CODE = 86  # no shell's, no signal's and none of ours, so that a test knows whose it is


class Point(StrEnum):
    """Where the process can end; what each leaves half done stands behind it."""

    CSV_COMMITTED = "csv-committed"  # the client has no 202 yet
    FETCHED = "fetched"  # the download lies in the spool
    COMPRESSED = "compressed"  # the draft lies beside its target
    RENAMED = "renamed"  # the folder is not synced, and nothing recorded
    OUTCOMES_COMMITTED = "outcomes-committed"  # nobody has been told
    WEBHOOK_DUE = "webhook-due"  # the event is not sent yet
    WEBHOOK_SENT = "webhook-sent"  # the try is not recorded yet


_armed: Point | None = None
_last = 1
# a counter that threads may share: some points are passed in them
_passings = itertools.count(1)


def reach(point: Point) -> None:
    """Pass a point; where it is armed, its Nth passing ends the process, and nothing is cleared up."""
    if point is _armed and next(_passings) == _last:
        os._exit(EXIT_CODE)


def arm(environment: Mapping[str, str]) -> None:
    """Arm the point that the environment names, if any. Raises `ConfigError`.

    Called once, by the service: a child process that imports this has no point armed.
    """
    global _armed, _last
    given = environment.get(VARIABLE, "")
    if not given:
        return
    name, _, number = given.partition(":")
    if name not in set(Point):
        raise ConfigError.of(VARIABLE, f"{name!r} is no failpoint", "use one of " + ", ".join(Point))
    if number and not (number.isascii() and number.isdigit() and len(number) <= LONGEST and int(number)):
        raise ConfigError.of(VARIABLE, f"{number!r} is no number of passings", f"use {name} or {name}:N")
    _armed, _last = Point(name), int(number or 1)
    logger.warning("%s is set, for tests only: the process ends at %s", VARIABLE, given)
