import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

import pytest

from resizer.support.coalescer import Coalescer
from resizer.support.in_flight import InFlight
from resizer.support.log_context import current_request_id, log_request_id

#: seconds; an item that may wait so long is released for another reason
FOREVER = 3600.0


class Doubler:
    """Doubles numbers in batches once its gate is open; returns exceptions as they are."""

    def __init__(self) -> None:
        self.batches: list[Sequence[int | Exception]] = []
        self.began, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[int | Exception]) -> list[int | Exception]:
        self.batches.append(items)
        self.began.set()
        await self.gate.wait()
        return [each if isinstance(each, Exception) else 2 * each for each in items]


def coalescer(
    doubler: Doubler,
    *,
    images: int = 0,
    max_items: int = 100,
    max_batches: int = 1,
    max_wait: float = FOREVER,
    enough: int = 8,
) -> Coalescer[int | Exception, int]:
    in_flight = InFlight()
    in_flight.images = images
    return Coalescer(
        doubler,
        in_flight=in_flight,
        max_items=max_items,
        max_batches=max_batches,
        max_wait=max_wait,
        enough=enough,
    )


async def test_items_of_one_step_share_a_batch_and_each_caller_gets_its_own_result() -> None:
    doubler = Doubler()
    doubling = coalescer(doubler, max_wait=0)
    assert await asyncio.gather(*(doubling.submit(each) for each in range(5))) == [0, 2, 4, 6, 8]
    assert doubler.batches == [[0, 1, 2, 3, 4]]


async def test_an_item_is_processed_at_once_where_no_other_is_in_flight() -> None:
    doubling = coalescer(Doubler(), images=1)
    async with asyncio.timeout(10):
        assert await doubling.submit(4) == 8


async def test_an_item_waits_until_half_of_the_images_in_flight_wait_with_it() -> None:
    doubler = Doubler()
    doubling = coalescer(doubler, images=6)
    callers = [doubling.submit(each) for each in range(2)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert doubler.batches == []
    assert await doubling.submit(2) == 4
    assert await asyncio.gather(*callers) == [0, 2]
    assert doubler.batches == [[0, 1, 2]]


async def test_an_item_waits_for_no_more_than_enough_others() -> None:
    doubler = Doubler()
    doubling = coalescer(doubler, images=1000, enough=4)
    async with asyncio.timeout(10):
        assert await asyncio.gather(*(doubling.submit(each) for each in range(4))) == [0, 2, 4, 6]
    assert doubler.batches == [[0, 1, 2, 3]]


async def test_an_item_waits_for_others_no_longer_than_allowed() -> None:
    doubling = coalescer(Doubler(), images=1000, max_wait=0.01)
    async with asyncio.timeout(10):
        assert await doubling.submit(4) == 8


async def test_an_item_that_is_urgent_releases_the_earlier_ones_before_it() -> None:
    doubler = Doubler()
    doubling = coalescer(doubler, images=1000)
    earlier = doubling.submit(1)
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert await doubling.submit(2, at_once=True) == 4
        assert await earlier == 2
    assert doubler.batches == [[1, 2]]


async def test_items_beyond_the_size_of_a_batch_are_in_the_next_in_the_same_order() -> None:
    doubler = Doubler()
    doubling = coalescer(doubler, max_items=2)
    assert await asyncio.gather(*(doubling.submit(each) for each in range(5))) == [0, 2, 4, 6, 8]
    assert doubler.batches == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("most", [1, 3])
async def test_so_many_batches_are_processed_concurrently_and_no_more(most: int) -> None:
    doubler = Doubler()
    doubler.gate.clear()
    doubling = coalescer(doubler, max_batches=most)
    callers = []
    for number in range(5):
        callers.append(doubling.submit(number))
        for _ in range(5):
            await asyncio.sleep(0)
    assert doubler.batches == [[number] for number in range(most)]
    doubler.gate.set()
    assert await asyncio.gather(*callers) == [0, 2, 4, 6, 8]
    assert doubler.batches[most:] == [[*range(most, 5)]]


async def test_an_exception_for_one_item_is_raised_to_its_caller_alone() -> None:
    doubling = coalescer(Doubler())
    fault = ZeroDivisionError()
    results = await asyncio.gather(*(doubling.submit(each) for each in (1, fault, 3)), return_exceptions=True)
    assert results == [2, fault, 6]


@pytest.mark.parametrize("fault", [OSError("no space"), None])
async def test_an_exception_for_a_batch_is_raised_to_all_its_callers_and_the_next_is_processed(
    fault: Exception | None,
) -> None:
    """Without `fault` a result is missing."""

    async def process(items: Sequence[int]) -> list[int | Exception]:
        if fault and 1 in items:
            raise fault
        return [*items] if 1 not in items else []

    doubling = Coalescer(process, in_flight=InFlight(), max_items=100)
    results = await asyncio.gather(*(doubling.submit(each) for each in (1, 2)), return_exceptions=True)
    assert [type(each) for each in results] == [type(fault or ValueError())] * 2
    assert await doubling.submit(3) == 3


@pytest.mark.parametrize("under_way", [False, True])
async def test_the_item_of_a_cancelled_caller_is_processed_and_the_others_get_their_results(
    under_way: bool, caplog: pytest.LogCaptureFixture
) -> None:
    doubler = Doubler()
    doubler.gate.clear()
    doubling = coalescer(doubler, images=1000, enough=2)

    async def caller() -> int:
        return await doubling.submit(ZeroDivisionError())

    cancelled = asyncio.create_task(caller())
    await asyncio.sleep(0)
    other = doubling.submit(2)
    if under_way:
        await doubler.began.wait()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    doubler.gate.set()
    assert await other == 4
    assert [len(batch) for batch in doubler.batches] == [2]
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_closing_processes_all_that_waits() -> None:
    doubler = Doubler()
    doubler.gate.clear()
    doubling = coalescer(doubler, images=1000, max_items=2)
    callers = [doubling.submit(each) for each in range(5)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(doubling.aclose())
    await doubler.began.wait()
    late = doubling.submit(5)
    await asyncio.sleep(0)
    assert not closing.done()
    doubler.gate.set()
    async with asyncio.timeout(10):
        await closing
    assert [each.done() for each in callers] == [True] * 5
    assert await asyncio.gather(*callers, late) == [0, 2, 4, 6, 8, 10]
    async with asyncio.timeout(10):
        await doubling.aclose()


async def test_callers_are_cancelled_with_the_batch() -> None:
    """As `asyncio.run` does at its end: no caller waits for ever."""

    doubler = Doubler()
    doubler.gate.clear()
    doubling = coalescer(doubler)
    callers = [doubling.submit(each) for each in range(2)]
    before = asyncio.all_tasks()
    await doubler.began.wait()
    (batch,) = asyncio.all_tasks() - before
    batch.cancel()
    for each in callers:
        with suppress(asyncio.CancelledError):
            async with asyncio.timeout(10):
                await each
        assert each.cancelled()


async def test_the_log_lines_of_a_batch_belong_to_no_callers_request() -> None:
    async def process(items: Sequence[int]) -> list[str | None]:
        return [current_request_id() for _ in items]

    with log_request_id("a-request"):
        assert current_request_id() == "a-request"
        assert await Coalescer(process, in_flight=InFlight(), max_items=1).submit(1) is None
