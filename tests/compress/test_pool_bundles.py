"""Waiting images are sent to a child together; the fate of one does not affect the others."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import child_functions as child
from resizer.compress.pool import MOST_IN_BUNDLE, CompressPool
from resizer.config import CompressSettings
from resizer.errors import CompressCrash, CompressTimeout

#: seconds; only the hanging image takes them
TIMEOUT = 4.0


@pytest.fixture
async def pool() -> AsyncIterator[CompressPool]:
    settings = CompressSettings(processes=1, timeout=TIMEOUT)
    async with CompressPool(settings, bundle_seconds=1000) as pool:
        yield pool


async def together(pool: CompressPool, folder: Path, *calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Have these wait behind another, so that one bundle carries them; returns their outcomes."""
    first = asyncio.create_task(pool.run(child.wait_for, folder / "started", folder / "gate"))
    while not (folder / "started").exists():  # noqa: ASYNC110  another process makes it
        await asyncio.sleep(0.005)
    running = [asyncio.ensure_future(call()) for call in calls]
    await asyncio.sleep(0)
    (folder / "gate").touch()
    ends = await asyncio.gather(*running, return_exceptions=True)
    await first
    return ends


def tries(folder: Path, number: int) -> int:
    return len((folder / str(number)).read_text().splitlines())


async def test_only_the_running_job_is_blamed_for_the_end_of_a_child(
    pool: CompressPool, tmp_path: Path
) -> None:
    """Jobs before it run again, as their outcomes are lost; jobs behind it had not begun."""
    ends = await together(
        pool,
        tmp_path,
        *(lambda number=number: pool.run(child.double_leaving_a_mark, number, tmp_path) for number in (1, 2)),
        lambda: pool.run(child.die_at_first, tmp_path, "victim"),
        *(lambda number=number: pool.run(child.double_leaving_a_mark, number, tmp_path) for number in (3, 4)),
    )
    assert ends == [2, 4, "victim", 6, 8]
    assert [tries(tmp_path, number) for number in (1, 2, 3, 4)] == [2, 2, 1, 1]
    assert pool.restarts == 1


async def amid_others(pool: CompressPool, folder: Path, call: Callable[[], Awaitable[Any]]) -> Any:
    """Send this in the middle of a bundle; returns its outcome, the others must succeed."""
    doubles = [lambda number=number: pool.run(child.double, number) for number in range(3)]
    *before, end, fifth, sixth, seventh = await together(pool, folder, *doubles, call, *doubles)
    assert before == [fifth, sixth, seventh] == [0, 2, 4]
    return end


async def test_a_job_that_kills_twice_fails_alone(pool: CompressPool, tmp_path: Path) -> None:
    end = await amid_others(pool, tmp_path, lambda: pool.run(child.leave, 1))
    assert isinstance(end, CompressCrash)
    assert pool.restarts == 2


async def test_a_job_that_hangs_times_out_alone(pool: CompressPool, tmp_path: Path) -> None:
    end = await amid_others(pool, tmp_path, lambda: pool.run(child.hang, tmp_path / "hanging"))
    assert isinstance(end, CompressTimeout)
    assert pool.restarts == 1


async def test_each_has_the_whole_time(pool: CompressPool, tmp_path: Path) -> None:
    """Six images of 0.8 s take longer than the limit, none of them does."""
    ends = await together(pool, tmp_path, *(lambda: pool.run(time.sleep, 0.8) for _ in range(6)))
    assert ends == [None] * 6
    assert pool.restarts == 0


async def test_an_error_is_its_own(pool: CompressPool, tmp_path: Path) -> None:
    end = await amid_others(pool, tmp_path, lambda: pool.run(child.exit_politely))
    assert isinstance(end, RuntimeError)


async def test_arguments_that_cannot_be_sent_keep_no_other_back(pool: CompressPool, tmp_path: Path) -> None:
    end = await amid_others(pool, tmp_path, lambda: pool.run(id, threading.Lock()))
    assert isinstance(end, TypeError)
    assert pool.restarts == 0


async def test_results_that_cannot_be_sent_keep_no_other_back(pool: CompressPool, tmp_path: Path) -> None:
    """For example without memory to pickle them. The job to blame for a later death is still known."""
    end = await amid_others(pool, tmp_path, lambda: pool.run(child.make_unsendable))
    assert isinstance(end, MemoryError)
    async with asyncio.timeout(10):
        assert await pool.run(child.die_at_first, tmp_path, "victim") == "victim"
    assert pool.restarts == 1


async def test_a_busy_child_gets_a_bundle_once_it_is_full(tmp_path: Path) -> None:
    """The first of them waited for others; that these have come one by one makes no difference."""
    async with CompressPool(CompressSettings(processes=1)) as pool:
        for number in range(40):
            await pool.run(child.double, number)  # so that it estimates them as small
        gate = pool.submit(child.wait_for, tmp_path / "started", tmp_path / "gate")
        while not (tmp_path / "started").exists():  # noqa: ASYNC110  another process makes it
            await asyncio.sleep(0.005)
        waiting = []
        for number in range(MOST_IN_BUNDLE):
            pool.submit(child.double, number)
            await asyncio.sleep(0)
            waiting.append(len(pool._waiting))  # noqa: SLF001 - it shows nowhere but in the time taken
        assert waiting == [*range(1, MOST_IN_BUNDLE), 0]
        (tmp_path / "gate").touch()
        await gate


async def test_a_job_cancelled_while_it_waits_does_not_begin(pool: CompressPool, tmp_path: Path) -> None:
    first = asyncio.create_task(pool.run(child.wait_for, tmp_path / "started", tmp_path / "gate"))
    while not (tmp_path / "started").exists():  # noqa: ASYNC110  another process makes it
        await asyncio.sleep(0.005)
    calls = [asyncio.create_task(pool.run(child.double_leaving_a_mark, n, tmp_path)) for n in range(3)]
    await asyncio.sleep(0)
    calls[0].cancel()
    await asyncio.wait(calls[:1])
    (tmp_path / "gate").touch()
    assert await calls[1] == 2
    assert await calls[2] == 4
    await first
    assert not (tmp_path / "0").exists()
