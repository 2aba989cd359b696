"""Limits by host: images in flight, connections, pauses, and who is woken for room."""

import asyncio

import pytest

from outcomes import done, failed
from resizer.errors import ErrorCode
from resizer.fetch.hosts import UNPROVEN, HostLimits, answered
from resizer.models import Outcome
from resizer.support.host_key import HostKey

PER_HOST = 4
IN_DOUBT = 16


def proven(*names: str) -> HostLimits:
    """Return limits at hosts that have all answered before."""
    hosts = HostLimits(per_host=PER_HOST, most_in_doubt=IN_DOUBT)
    for name in names:
        hosts.enter(name)
        hosts.leave(name, answered=True)
    return hosts


def room(hosts: HostLimits, host: str) -> int:
    """Take all the hosts that there are for a host."""
    count = 0
    while hosts.has_room(host):
        hosts.enter(host)
        count += 1
    return count


def test_host_has_few_hosts_until_it_answers() -> None:
    hosts = proven("known")
    assert room(hosts, "known") == PER_HOST
    assert room(hosts, "new") == UNPROVEN
    hosts.leave("new", answered=True)
    assert room(hosts, "new") == PER_HOST - 1


@pytest.mark.parametrize(
    "outcome",
    [
        failed(1, 0),
        failed(1, 0, ErrorCode.TIMEOUT),
        failed(1, 0, ErrorCode.HTTP_STATUS, 503),
        failed(1, 0, ErrorCode.HTTP_STATUS, 429),
    ],
)
def test_host_that_is_away_has_one_place_until_it_answers(outcome: Outcome) -> None:
    hosts = proven("h")
    hosts.enter("h")
    hosts.leave("h", answered=answered(outcome))
    assert room(hosts, "h") == 1
    hosts.leave("h", answered=answered(done(1, 0)))
    assert room(hosts, "h") == PER_HOST


@pytest.mark.parametrize(
    "outcome",
    [
        failed(1, 0, ErrorCode.NOT_AN_IMAGE),
        failed(1, 0, ErrorCode.HTTP_STATUS, 404),
        failed(1, 0, ErrorCode.CORRUPT_IMAGE),
    ],
)
def test_host_that_answers_badly_keeps_its_hosts(outcome: Outcome) -> None:
    hosts = proven("h")
    for _ in range(10):
        hosts.enter("h")
        hosts.leave("h", answered=answered(outcome))
    assert room(hosts, "h") == PER_HOST


def test_hosts_in_doubt_leave_the_rest_to_the_others() -> None:
    hosts = proven("h")
    assert sum(room(hosts, f"dead{number}") for number in range(100)) == IN_DOUBT
    assert room(hosts, "h") == PER_HOST
    for number in range(IN_DOUBT // 2):
        hosts.leave(f"dead{number}", answered=False)
    assert sum(room(hosts, f"other{number}") for number in range(100)) == IN_DOUBT // 2


def test_hosts_at_rest_take_no_place() -> None:
    hosts = HostLimits(per_host=PER_HOST, most_in_doubt=IN_DOUBT)
    for number in range(1000):
        for known in (None, True, False, None):
            hosts.enter(str(number))
            hosts.leave(str(number), answered=known)
    assert sum(room(hosts, f"new{number}") for number in range(100)) == IN_DOUBT


async def test_the_one_that_has_waited_longest_is_called_first() -> None:
    hosts, called = proven("h"), list[str]()
    room(hosts, "h")
    hosts.when_room(["h"], lambda: called.append("first"))
    given_up = hosts.when_room(["h"], lambda: called.append("second"))
    hosts.forget(given_up)
    hosts.when_room(["h"], lambda: called.append("third"))
    hosts.leave("h", answered=True)
    assert called == ["first"]
    hosts.enter("h")
    hosts.leave("h", answered=True)
    assert called == ["first", "third"]


async def test_room_that_is_not_taken_is_offered_to_the_next() -> None:
    hosts, called = proven("h"), list[str]()
    room(hosts, "h")
    hosts.when_room(["h"], lambda: called.append("first"))
    hosts.when_room(["h"], lambda: called.append("second"))
    hosts.leave("h", answered=True)
    assert called == ["first"]
    hosts.offer(["h"])
    assert called == ["first", "second"]


async def test_room_among_hosts_in_doubt_is_offered_to_those_that_wait_for_any_of_them() -> None:
    hosts, called = HostLimits(per_host=PER_HOST, most_in_doubt=1), list[str]()
    hosts.enter("dead")
    hosts.when_room(["new"], lambda: called.append("new"))
    hosts.leave("dead", answered=False)
    assert called == ["new"]


async def test_nobody_is_called_while_it_registers() -> None:
    """The caller has yet to note what it waits for."""
    hosts, called = proven("h"), list[str]()
    hosts.when_room(["h"], lambda: called.append("h"))
    assert called == []
    hosts.offer(["h"])
    assert called == ["h"]


async def test_host_that_asked_for_a_pause_has_no_room_until_its_end() -> None:
    hosts, over = proven("h"), asyncio.Event()
    hosts.pause("h", 0.05)
    assert not hosts.has_room("h")
    assert hosts.has_room("other")
    hosts.when_room(["h"], over.set)
    assert not over.is_set()
    await over.wait()
    assert hosts.has_room("h")


async def test_no_more_connections_than_per_host_are_held() -> None:
    hosts = HostLimits(per_host=2, most_in_doubt=IN_DOUBT)
    held, most = 0, 0

    async def hold() -> None:
        nonlocal held, most
        async with hosts.connection("h"):
            held += 1
            most = max(most, held)
            await asyncio.sleep(0.001)
            held -= 1

    await asyncio.gather(*(hold() for _ in range(10)))
    assert most == 2


async def test_hosts_at_rest_take_no_memory() -> None:
    hosts = HostLimits(per_host=1, most_in_doubt=IN_DOUBT)
    for number in range(100):
        async with hosts.connection(f"h{number}"):
            hosts.pause(f"h{number}", 0.0)
    assert sum(len(kept) for kept in vars(hosts).values() if isinstance(kept, dict)) == 1


async def test_connection_waits_for_its_turn_and_is_given_back_on_cancellation() -> None:
    hosts = HostLimits(per_host=1, most_in_doubt=IN_DOUBT)
    order: list[str] = []

    async def visit(name: str) -> None:
        async with hosts.connection(HostKey.of("http://h.example/")):
            order.append(name)

    async with hosts.connection(HostKey.of("http://h.example.:80/other")):
        first, second = asyncio.create_task(visit("first")), asyncio.create_task(visit("second"))
        async with hosts.connection(HostKey.of("https://h.example/")):
            order.append("another port")
        first.cancel()
        order.append("leaving")
    await second
    assert order == ["another port", "leaving", "second"]
