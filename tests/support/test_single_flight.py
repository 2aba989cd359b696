"""One resource for all concurrent users of a key."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from resizer.support.single_flight import Flight, SingleFlight

Use = Callable[..., Awaitable[str]]


class Resource:
    """A context that records how it is used."""

    def __init__(self) -> None:
        self.may_open = asyncio.Event()
        self.opening = asyncio.Event()
        self.fails = False
        self.opened = 0
        #: how each context was left: None or the type of the exception
        self.left: list[type[BaseException] | None] = []
        self.flights: list[Flight[str]] = []

    def __call__(self, flight: Flight[str]) -> AbstractAsyncContextManager[str]:
        self.flights.append(flight)
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[str]:
        self.opened += 1
        number = self.opened
        error: type[BaseException] | None = None
        self.opening.set()
        try:
            await self._ready()
            yield f"value {number}"
        except BaseException as caught:
            error = type(caught)
            raise
        finally:
            self.left.append(error)

    async def _ready(self) -> None:
        await self.may_open.wait()
        if self.fails:
            raise ZeroDivisionError


@pytest.fixture
def resource() -> Resource:
    return Resource()


@pytest.fixture
def use(resource: Resource) -> Use:
    """Use a key until an event is set."""
    flights = SingleFlight[str, str]()

    async def use(key: str = "key", *, until: asyncio.Event | None = None) -> str:
        async with flights.join(key, resource) as flight:
            value = await flight.wait()
            if until is not None:
                await until.wait()
            return value

    return use


async def test_concurrent_users_of_a_key_share_one_resource(resource: Resource, use: Use) -> None:
    users = [asyncio.ensure_future(use()) for _ in range(3)]
    other = asyncio.ensure_future(use("other"))
    await resource.opening.wait()
    resource.may_open.set()
    assert await asyncio.gather(*users) == ["value 1"] * 3
    assert await other == "value 2"
    assert resource.opened == 2
    assert resource.left == [None, None]


async def test_a_later_user_opens_the_resource_again(resource: Resource, use: Use) -> None:
    resource.may_open.set()
    assert [await use(), await use()] == ["value 1", "value 2"]


async def test_a_user_may_join_while_the_first_uses_the_result(resource: Resource, use: Use) -> None:
    resource.may_open.set()
    done = asyncio.Event()
    first = asyncio.ensure_future(use(until=done))
    await resource.opening.wait()
    await asyncio.wait({resource.flights[0].result})
    assert await use() == "value 1"
    assert not resource.left
    done.set()
    await first
    assert resource.left == [None]


async def test_no_user_joins_after_the_first_has_left_with_the_result(resource: Resource, use: Use) -> None:
    """Otherwise a chain of overlapping users would keep an old result for ever."""
    resource.may_open.set()
    done = asyncio.Event()
    staying = asyncio.ensure_future(use(until=done))
    await resource.opening.wait()
    assert await use() == "value 1"
    assert await use() == "value 2"
    done.set()
    assert await staying == "value 1"


async def test_an_error_reaches_all_users_and_is_forgotten(resource: Resource, use: Use) -> None:
    resource.fails = True
    users = [asyncio.ensure_future(use()) for _ in range(2)]
    await resource.opening.wait()
    resource.may_open.set()
    errors = await asyncio.gather(*users, return_exceptions=True)
    assert [type(error) for error in errors] == [ZeroDivisionError] * 2
    assert resource.opened == 1
    resource.fails = False
    assert await use() == "value 2"


async def test_the_resource_outlives_the_cancelled_user_who_started_it(resource: Resource, use: Use) -> None:
    first, second = (asyncio.ensure_future(use()) for _ in range(2))
    await resource.opening.wait()
    first.cancel()
    await asyncio.wait({first})
    assert first.cancelled()
    resource.may_open.set()
    assert await second == "value 1"


async def test_the_work_is_cancelled_when_its_last_user_is(resource: Resource, use: Use) -> None:
    users = [asyncio.ensure_future(use()) for _ in range(2)]
    await resource.opening.wait()
    for user in users:
        assert not resource.left
        user.cancel()
        await asyncio.wait({user})
        assert user.cancelled()
    assert resource.left == [asyncio.CancelledError]


async def test_a_user_that_arrives_while_the_work_is_being_cancelled_starts_anew(
    resource: Resource, use: Use
) -> None:
    first = asyncio.ensure_future(use())
    await resource.opening.wait()
    first.cancel()
    await asyncio.sleep(0)
    assert resource.flights[0].users == 0
    resource.may_open.set()
    assert await use() == "value 2"


async def test_users_that_leave_without_waiting_for_the_result_cancel_the_work(resource: Resource) -> None:
    flights = SingleFlight[str, str]()
    async with flights.join("key", resource):
        await resource.opening.wait()
        assert "key" in flights
    assert "key" not in flights
    assert resource.left == [asyncio.CancelledError]


async def test_the_resource_stays_open_until_its_last_user_leaves(resource: Resource, use: Use) -> None:
    resource.may_open.set()
    done = asyncio.Event()
    staying, leaving = (asyncio.ensure_future(use(until=done)) for _ in range(2))
    await resource.opening.wait()
    await asyncio.wait({resource.flights[0].result})
    leaving.cancel()
    await asyncio.wait({leaving})
    assert not resource.left
    done.set()
    assert await staying == "value 1"
    assert resource.left == [None]


async def test_work_that_ends_although_cancelled_sees_that_nobody_wants_its_result() -> None:
    unwanted = []

    @asynccontextmanager
    async def stubborn(flight: Flight[str]) -> AsyncIterator[str]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            unwanted.append(flight.users == 0)
        yield "result"

    async with SingleFlight[str, str]().join("key", stubborn):
        await asyncio.sleep(0)
    assert unwanted == [True]


async def test_an_error_while_the_resource_is_closed_reaches_its_last_user() -> None:
    @asynccontextmanager
    async def broken(_: Flight[str]) -> AsyncIterator[str]:
        yield "value"
        raise ZeroDivisionError

    flights = SingleFlight[str, str]()
    with pytest.raises(ZeroDivisionError):
        async with flights.join("key", broken) as flight:
            assert await flight.wait() == "value"


async def test_a_signal_reports_progress_before_the_result() -> None:
    may_end = asyncio.Event()

    @asynccontextmanager
    async def reporting(flight: Flight[str]) -> AsyncIterator[str]:
        flight.signal.set_result(None)
        await may_end.wait()
        yield "value"

    async with SingleFlight[str, str]().join("key", reporting) as flight:
        await flight.signal
        assert not flight.result.done()
        may_end.set()
        assert await flight.wait() == "value"
