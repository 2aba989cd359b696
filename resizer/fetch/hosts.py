"""Limit what is asked of each host: images in flight, connections at once, and pauses."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from resizer.errors import ErrorCode
from resizer.models import Outcome

#: images in flight at a host that has not answered yet
UNPROVEN = 2
#: hosts remembered; the ones heard of longest ago are forgotten
MEMORY = 10_000
#: faults that say that a host cannot be reached, or not now; statuses of 500 and more say so too
AWAY = frozenset({ErrorCode.CONNECT, ErrorCode.DNS, ErrorCode.TIMEOUT, ErrorCode.TLS})
BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(slots=True)
class _Connections:
    free: asyncio.Semaphore
    #: coroutines that hold a connection or wait for one
    users: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class RoomWait:
    """A callback for room at one of several hosts."""

    hosts: Collection[str]
    callback: Callable[[], object]


class HostLimits:
    """The one place that knows how much may be asked of a host.

    A host takes `per_host` images once it has answered, two before that, and one after it was away, until it
    answers again. Hosts in doubt together take at most `most_in_doubt`, so that any number of dead hosts
    leaves the rest to those that answer. A host that asked for a pause takes none until its end. Redirects
    and retries count: no host ever gets more than `per_host` connections at once.
    """

    def __init__(self, *, per_host: int, most_in_doubt: int) -> None:
        self._per_host = per_host
        self._most_in_doubt = most_in_doubt
        self._in_flight: Counter[str] = Counter()
        self._in_doubt = 0
        #: whether a host answered when it was last heard of
        self._answers: OrderedDict[str, bool] = OrderedDict()
        #: loop time before which a host is left alone
        self._paused: dict[str, float] = {}
        self._connections: dict[str, _Connections] = {}
        #: those that wait for room, first the one that has waited longest
        self._waiting: dict[str, dict[RoomWait, None]] = {}

    def has_room(self, host: str) -> bool:
        """Return whether another image may be asked for."""
        if self._pause_left(host) > 0 or (self._is_in_doubt(host) and self._doubt_is_full):
            return False
        return self._in_flight[host] < self._limit(host)

    def enter(self, host: str) -> None:
        """Take one of the host's places for an image."""
        with self._weighed(host):
            self._in_flight[host] += 1

    def leave(self, host: str, *, answered: bool | None) -> None:
        """Give the place back; `answered` is None where the image was given up halfway."""
        was_full = self._doubt_is_full
        with self._weighed(host):
            self._in_flight[host] -= 1
            if answered is not None:
                self._answers[host] = answered
                self._answers.move_to_end(host)
        if not self._in_flight[host]:
            del self._in_flight[host]  # at rest a host takes no memory
        self._forget()
        if was_full and not self._doubt_is_full:
            self.offer_all()
        else:
            self.offer([host])

    def when_room(self, hosts: Collection[str], callback: Callable[[], object]) -> RoomWait:
        """Register a callback for room at one of these hosts; the oldest registration is called first.

        It is called once, by an `offer` that comes after this call.
        """
        wait = RoomWait(hosts, callback)
        for host in hosts:
            self._waiting.setdefault(host, {})[wait] = None
        return wait

    def forget(self, wait: RoomWait) -> None:
        """Call back no more."""
        for host in wait.hosts:
            waiting = self._waiting.get(host, {})
            waiting.pop(wait, None)
            if not waiting:
                self._waiting.pop(host, None)

    def offer(self, hosts: Collection[str]) -> None:
        """Call back one that waits for each of these hosts, where it has room."""
        for host in hosts:
            if self._waiting.get(host) and self.has_room(host):
                wait = next(iter(self._waiting[host]))
                self.forget(wait)
                wait.callback()

    def offer_all(self) -> None:
        self.offer([*self._waiting])

    @asynccontextmanager
    async def connection(self, host: str) -> AsyncIterator[None]:
        """Hold one of the host's connections; waits for it, and for the end of a pause."""
        connections = self._connections.setdefault(host, _Connections(asyncio.Semaphore(self._per_host)))
        connections.users += 1
        try:
            while True:
                if (left := self._pause_left(host)) > 0:
                    await asyncio.sleep(left)
                async with connections.free:
                    # the one that held the connection may have met a new pause
                    if self._pause_left(host) > 0:
                        continue
                    yield
                    return
        finally:
            connections.users -= 1
            if not connections.users:
                del self._connections[host]

    def pause(self, host: str, seconds: float) -> None:
        """Ask nothing more of a host for so long."""
        loop = asyncio.get_running_loop()
        self._paused = {each: until for each, until in self._paused.items() if until > loop.time()}
        self._paused[host] = max(self._paused.get(host, 0.0), loop.time() + seconds)
        loop.call_at(self._paused[host], self.offer, [host])

    def _pause_left(self, host: str) -> float:
        until = self._paused.get(host)
        return 0.0 if until is None else max(0.0, until - asyncio.get_running_loop().time())

    @property
    def _doubt_is_full(self) -> bool:
        return self._in_doubt >= self._most_in_doubt

    def _is_in_doubt(self, host: str) -> bool:
        """Return whether the host did not answer when it was last heard of, or was never heard of."""
        return not self._answers.get(host, False)

    @contextmanager
    def _weighed(self, host: str) -> Iterator[None]:
        """Keep the count of images at hosts in doubt right over a change."""
        self._in_doubt -= self._in_flight[host] * self._is_in_doubt(host)
        yield
        self._in_doubt += self._in_flight[host] * self._is_in_doubt(host)

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
    """Return whether the image's host can be reached, and now."""
    fault = outcome.fault
    if fault is None:
        return True
    status = fault.http_status or HTTPStatus.OK
    return not (fault.code in AWAY or status in BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR)
