"""How many images of one host are in flight, so that slow and dead hosts do not hold up the others."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from resizer.errors import ErrorCode
from resizer.models import Outcome

#: places of a host that has not answered yet
UNPROVEN = 2
#: hosts remembered; the ones heard of longest ago are forgotten
MEMORY = 10_000
#: faults that say that the host cannot be reached, or not now; statuses of 500 and more say so too
AWAY = frozenset({ErrorCode.CONNECT, ErrorCode.DNS, ErrorCode.TIMEOUT, ErrorCode.TLS})
BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class Places:
    """Places for images in flight, by host.

    A host has `per_host` places once it has answered, two before that, and one after it was away, until it
    answers again. Hosts in doubt together get no more than half of all `workers`, so that any number of
    dead hosts leaves the other half to those that answer; slow images do not count there, since another
    worker stands in for them.
    """

    def __init__(self, *, per_host: int, workers: int) -> None:
        self._per_host = per_host
        self._most_in_doubt = max(workers // 2, 1)
        self._in_flight: Counter[str] = Counter()
        self._slow: Counter[str] = Counter()
        self._in_doubt = 0
        #: whether a host answered when it was last heard of
        self._answers: OrderedDict[str, bool] = OrderedDict()

    @property
    def doubt_is_full(self) -> bool:
        """Whether hosts in doubt wait for each other."""
        return self._in_doubt >= self._most_in_doubt

    def in_doubt(self, host: str) -> bool:
        """Whether the host did not answer when it was last heard of, or was never heard of."""
        return not self._answers.get(host, False)

    def has_room(self, host: str) -> bool:
        if self.in_doubt(host) and self.doubt_is_full:
            return False
        return self._in_flight[host] < self._limit(host)

    def enter(self, host: str) -> None:
        with self._weighed(host):
            self._in_flight[host] += 1

    def slow(self, host: str) -> None:
        """Note that one of the host's images takes long."""
        with self._weighed(host):
            self._slow[host] += 1

    def leave(self, host: str, *, answered: bool | None, slow: bool = False) -> None:
        """Give a place back; `answered` is None where the image was given up halfway."""
        with self._weighed(host):
            self._in_flight[host] -= 1
            self._slow[host] -= slow
            if answered is not None:
                self._answers[host] = answered
                self._answers.move_to_end(host)
        for counts in (self._in_flight, self._slow):
            if not counts[host]:
                del counts[host]  # at rest a host takes no memory
        self._forget()

    @contextmanager
    def _weighed(self, host: str) -> Iterator[None]:
        self._in_doubt -= self._weight(host)
        yield
        self._in_doubt += self._weight(host)

    def _weight(self, host: str) -> int:
        return self._in_flight[host] - self._slow[host] if self.in_doubt(host) else 0

    def _limit(self, host: str) -> int:
        match self._answers.get(host):
            case None:
                return min(UNPROVEN, self._per_host)
            case False:
                return 1
            case True:
                return self._per_host

    def _forget(self) -> None:
        while len(self._answers) > MEMORY:
            host = next((each for each in self._answers if each not in self._in_flight), None)
            if host is None:
                return
            del self._answers[host]


def answered(outcome: Outcome) -> bool:
    """Tell whether the image's host can be reached, and now."""
    fault = outcome.fault
    if fault is None:
        return True
    status = fault.http_status or HTTPStatus.OK
    return not (fault.code in AWAY or status in BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR)
