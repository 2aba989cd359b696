import asyncio
import logging
from collections.abc import Sequence

import pytest

from resizer.errors import StorageFailure
from resizer.support.background import BackgroundTasks, FailureLog, Periodic

FOREVER = 3600.0  # seconds


class Calls:
    """Raises or returns the next of `results` at each call, and repeats the last one."""

    def __init__(self, results: Sequence[float | Exception]) -> None:
        self._results = list(results)
        self._called = asyncio.Semaphore(0)

    async def __call__(self) -> float:
        self._called.release()
        result = self._results.pop(0) if len(self._results) > 1 else self._results[0]
        if isinstance(result, Exception):
            raise result
        return result

    async def wait(self, number: int) -> None:
        async with asyncio.timeout(10):
            for _ in range(number):
                await self._called.acquire()


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (record.levelno, record.getMessage()) for record in caplog.records if record.levelno > logging.DEBUG
    ]


async def test_call_is_repeated_after_the_pause_it_returns() -> None:
    calls = Calls([0.001, 0.001, FOREVER])
    async with Periodic(calls, FailureLog("count", retry=FOREVER)):
        await calls.wait(3)


async def test_waking_repeats_the_call_before_its_pause_is_over() -> None:
    calls = Calls([FOREVER])
    async with Periodic(calls, FailureLog("count", retry=FOREVER)) as periodic:
        await calls.wait(1)
        periodic.wake()
        await calls.wait(1)


async def test_waking_while_the_call_runs_repeats_it() -> None:
    started, gate, calls = asyncio.Event(), asyncio.Event(), Calls([FOREVER])

    async def call() -> float:
        started.set()
        await gate.wait()
        return await calls()

    async with Periodic(call, FailureLog("count", retry=FOREVER)) as periodic:
        await started.wait()
        periodic.wake()
        gate.set()
        await calls.wait(2)


async def test_failures_in_a_row_are_logged_once_and_so_is_their_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    fault = StorageFailure("the disk is full")
    calls = Calls([0.001, fault, fault, fault, 0.001, fault, FOREVER])
    async with Periodic(calls, FailureLog("count", retry=0.001)):
        await calls.wait(7)
    failed = (logging.WARNING, f"cannot count: {fault}; retrying every 0.001 s")
    recovered = (logging.INFO, "can count again")
    assert lines(caplog) == [failed, recovered, failed, recovered]


async def test_fault_of_the_service_is_logged_each_time_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = Calls([ZeroDivisionError(), ZeroDivisionError(), FOREVER])
    async with Periodic(calls, FailureLog("count", retry=0.001)):
        await calls.wait(3)
    assert [message for _, message in lines(caplog)] == ["cannot count; retrying every 0.001 s"] * 2
    assert all(record.exc_info for record in caplog.records if record.levelno == logging.ERROR)


async def test_nothing_is_repeated_after_the_end() -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def call() -> float:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0.0

    async with Periodic(call, FailureLog("count", retry=FOREVER)):
        await entered.wait()
    assert ended.is_set()


async def test_task_under_way_has_its_time_at_the_end() -> None:
    gate, finished = asyncio.Event(), []

    async def work() -> None:
        await gate.wait()
        finished.append(True)

    async with BackgroundTasks() as tasks:
        tasks.begin(work())
        asyncio.get_running_loop().call_later(0.01, gate.set)
    assert finished == [True]


async def test_task_that_takes_longer_is_cancelled_at_the_end() -> None:
    async with BackgroundTasks(grace=0.0) as tasks:
        task = tasks.begin(_waits_forever())
    assert task.cancelled()


@pytest.mark.parametrize(
    "fault, level", [(StorageFailure("full"), logging.WARNING), (KeyError(), logging.ERROR)]
)
async def test_error_of_a_task_is_logged(
    fault: Exception, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        raise fault

    async with BackgroundTasks() as tasks:
        tasks.begin(work())
    assert [each for each, _ in lines(caplog)] == [level]


async def test_wait_for_a_task_ends_in_time_and_the_task_continues() -> None:
    async with BackgroundTasks(grace=0.0) as tasks:
        await tasks.done_within(0.001, _waits_forever())
        with pytest.raises(KeyError):
            await tasks.done_within(10, _fails())


async def _waits_forever() -> None:
    await asyncio.Event().wait()


async def _fails() -> None:
    raise KeyError
