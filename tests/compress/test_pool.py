import asyncio
import errno
import gc
import os
import select
import signal
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import child_functions as child
from process import PATIENCE
from resizer.compress.pool import CompressPool
from resizer.config import CompressSettings
from resizer.errors import CompressCrash, CompressTimeout, HttpStatusError

SLOTS = 2


def settings(*, processes: int = SLOTS, timeout: float = 20) -> CompressSettings:
    return CompressSettings(processes=processes, timeout=timeout)


@pytest.fixture
async def pool() -> AsyncIterator[CompressPool]:
    """Each image is sent alone; test_pool_bundles sends several together."""
    async with CompressPool(settings(), bundle_seconds=0) as pool:
        yield pool


async def until_there(*paths: Path) -> None:
    while not all(path.exists() for path in paths):  # noqa: ASYNC110  another process makes them
        await asyncio.sleep(0.005)


async def test_each_result_belongs_to_its_input(pool: CompressPool) -> None:
    results = await asyncio.gather(*(pool.run(child.double, number) for number in range(200)))
    assert results == [2 * number for number in range(200)]
    assert pool.restarts == 0


async def test_all_processes_are_up_once_it_is_entered(pool: CompressPool) -> None:
    assert len(set(pool.pids)) == SLOTS
    for pid in pool.pids:
        os.kill(pid, 0)
    assert set(await asyncio.gather(*(pool.run(os.getpid) for _ in range(50)))) == set(pool.pids)


async def test_child_keeps_the_memory_of_one_image_for_the_next() -> None:
    """The kernel clears each page that it hands out: with glibc as shipped, all of them for each image."""
    async with CompressPool(settings(processes=1)) as pool:
        await pool.run(child.pages_taken, 20_000_000)
        assert await pool.run(child.pages_taken, 20_000_000) < 100


async def test_child_asks_for_huge_pages() -> None:
    """glibc reads this when a process is executed; a kernel that has no such pages ignores it."""
    async with CompressPool(settings(processes=1)) as pool:
        assert await pool.run(os.getenv, "GLIBC_TUNABLES") == "glibc.malloc.hugetlb=1"


async def test_zero_processes_are_one_a_core() -> None:
    async with CompressPool(settings(processes=0)) as pool:
        assert len(pool.pids) == len(os.sched_getaffinity(0))


async def test_an_error_is_raised_as_in_the_child(pool: CompressPool) -> None:
    with pytest.raises(HttpStatusError) as caught:
        await pool.run(child.fail, 503)
    assert (caught.value.http_status, caught.value.retry_after, caught.value.attempts) == (503, 3.0, 4)
    assert caught.value.passing
    with pytest.raises(FileNotFoundError):
        await pool.run(os.stat, "/nowhere")
    assert pool.restarts == 0


@pytest.mark.parametrize("function", [child.fail_unreadably, child.exit_politely, child.stop_iteration])
async def test_an_error_that_cannot_travel_harms_no_one(pool: CompressPool, function: object) -> None:
    assert callable(function)
    with pytest.raises(RuntimeError, match=r"Unreadable: a b|SystemExit: 3|StopIteration"):
        await pool.run(function)
    assert await pool.run(child.double, 2) == 4
    assert pool.restarts == 0


async def test_arguments_that_cannot_be_pickled_fail_alone(pool: CompressPool, tmp_path: Path) -> None:
    gates = [(tmp_path / f"started{slot}", tmp_path / "gate") for slot in range(SLOTS)]
    first = [asyncio.create_task(pool.run(child.wait_for, *gate)) for gate in gates]
    await until_there(*(started for started, _ in gates))
    with pytest.raises(TypeError, match="pickle"):
        await pool.run(id, threading.Lock())
    (tmp_path / "gate").touch()
    await asyncio.gather(*first)
    assert await pool.run(child.double, 2) == 4


async def test_a_killed_process_costs_one_try_of_its_own_image(pool: CompressPool, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    results = await asyncio.gather(
        *(pool.run(child.double_leaving_a_mark, number, marks) for number in range(8)),
        pool.run(child.die_at_first, tmp_path, "victim"),
        *(pool.run(child.double_leaving_a_mark, number, marks) for number in range(8, 16)),
    )
    assert results == [*range(0, 16, 2), "victim", *range(16, 32, 2)]
    assert len((tmp_path / "victim").read_text().splitlines()) == 2
    tries = {mark.name: len(mark.read_text().splitlines()) for mark in marks.iterdir()}
    assert tries == {str(number): 1 for number in range(16)}
    assert pool.restarts == 1


@pytest.mark.parametrize(
    "call",
    [
        (child.die, signal.SIGKILL),
        (child.die, signal.SIGSEGV),
        (child.read_nowhere,),
        (child.leave, 0),
    ],
    ids=lambda call: call[0].__name__,
)
async def test_an_image_that_kills_twice_fails_alone(pool: CompressPool, call: tuple[object, ...]) -> None:
    function, *args = call
    assert callable(function)
    results = await asyncio.gather(
        *(pool.run(child.double, number) for number in range(10)),
        pool.run(function, *args),
        *(pool.run(child.double, number) for number in range(10)),
        return_exceptions=True,
    )
    crash = results.pop(10)
    assert isinstance(crash, CompressCrash)
    assert results == [*range(0, 20, 2), *range(0, 20, 2)]
    assert pool.restarts == 2


async def test_many_killers_at_once_harm_no_one_else(pool: CompressPool) -> None:
    results = await asyncio.gather(
        *(
            pool.run(child.leave, 1) if number % 3 == 0 else pool.run(child.double, number)
            for number in range(24)
        ),
        return_exceptions=True,
    )
    for number, result in enumerate(results):
        assert isinstance(result, CompressCrash) if number % 3 == 0 else result == 2 * number
    assert pool.restarts == 16


async def test_a_hanging_image_times_out_and_its_neighbours_succeed(tmp_path: Path) -> None:
    async with CompressPool(settings(timeout=1)) as pool:
        results = await asyncio.gather(
            *(pool.run(child.double, number) for number in range(10)),
            pool.run(child.hang, tmp_path / "started"),
            *(pool.run(child.double, number) for number in range(10)),
            return_exceptions=True,
        )
        timeout = results.pop(10)
        assert isinstance(timeout, CompressTimeout)
        assert timeout.seconds == 1
        assert results == [*range(0, 20, 2), *range(0, 20, 2)]
        assert pool.restarts == 1


async def test_waiting_behind_another_counts_for_no_timeout() -> None:
    """Twelve images of 0.2 s in one process: each is within its time though the last waits 2.2 s."""
    async with CompressPool(settings(processes=1, timeout=2)) as pool:
        await asyncio.gather(*(pool.run(time.sleep, 0.2) for _ in range(12)))
        assert pool.restarts == 0


async def test_an_image_that_takes_too_much_memory_fails_alone() -> None:
    async with CompressPool(settings(), memory_limit=1 << 30) as pool:
        results = await asyncio.gather(
            *(pool.run(child.double, number) for number in range(6)),
            pool.run(child.hoard, 1 << 32),
            *(pool.run(child.double, number) for number in range(6)),
            return_exceptions=True,
        )
        assert isinstance(results.pop(6), CompressCrash)
        assert results == [*range(0, 12, 2), *range(0, 12, 2)]
        assert await pool.run(child.hoard, 1 << 20) == 1 << 20


async def test_kills_from_outside_cost_only_those_who_ran_twice(pool: CompressPool, tmp_path: Path) -> None:
    calls = [asyncio.create_task(pool.run(child.double_leaving_a_mark, n, tmp_path)) for n in range(60)]
    for number, call in enumerate(calls):
        await asyncio.wait({call})
        if number % 5 == 0 and pool.pids:
            os.kill(pool.pids[number % len(pool.pids)], signal.SIGKILL)
    for number, call in enumerate(calls):
        try:
            assert await call == 2 * number
        except CompressCrash:
            assert len((tmp_path / str(number)).read_text().splitlines()) == 2
    assert pool.restarts > 0
    assert await pool.run(child.double, 2) == 4


async def test_a_process_that_died_idle_costs_no_image(pool: CompressPool) -> None:
    for _ in range(3):
        for pid in pool.pids:
            kill_and_wait(pid)
        results = await asyncio.gather(*(pool.run(child.double, number) for number in range(6)))
        assert results == [0, 2, 4, 6, 8, 10]


async def test_a_cancelled_image_keeps_its_place_until_it_is_through(tmp_path: Path) -> None:
    async with CompressPool(settings(processes=1)) as pool:
        call = asyncio.create_task(pool.run(child.wait_for, tmp_path / "started", tmp_path / "gate"))
        await until_there(tmp_path / "started")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        behind = [asyncio.create_task(pool.run(child.double, number)) for number in range(3)]
        behind[1].cancel()
        (tmp_path / "gate").touch()
        assert await behind[0] == 0
        assert await behind[2] == 4
        assert pool.restarts == 0


async def test_a_cancelled_image_that_kills_is_not_tried_again(tmp_path: Path) -> None:
    async with CompressPool(settings(processes=1)) as pool:
        call = asyncio.create_task(pool.run(child.wait_for, tmp_path / "started", tmp_path / "gate"))
        await until_there(tmp_path / "started")
        call.cancel()
        (tmp_path / "started").unlink()
        kill_and_wait(pool.pids[0])
        assert await pool.run(child.double, 2) == 4
        assert not (tmp_path / "started").exists()


async def test_closing_waits_for_no_hanging_process(tmp_path: Path) -> None:
    async with CompressPool(settings(timeout=3600)) as pool:
        pids = pool.pids
        calls = [asyncio.create_task(pool.run(child.hang, tmp_path / str(number))) for number in range(9)]
        await until_there(tmp_path / "0", tmp_path / "1")
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert_gone(*pids)


async def test_closing_while_a_process_is_replaced_leaves_none(tmp_path: Path) -> None:
    async with CompressPool(settings(processes=1)) as pool:
        call = asyncio.create_task(pool.run(child.die_at_first, tmp_path, "victim"))
        while not pool.restarts:  # noqa: ASYNC110  it happens on its own
            await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await call
    assert pool.pids == []


async def test_nothing_is_left_after_closing() -> None:
    threads = set(threading.enumerate())
    async with CompressPool(settings()) as pool:
        pids = pool.pids
        await asyncio.gather(*(pool.run(child.double, number) for number in range(10)))
        files = open_files()
    gc.collect()
    assert_gone(*pids)
    left = [
        thread for thread in set(threading.enumerate()) - threads if not thread.name.startswith("asyncio")
    ]
    assert left == []
    assert open_files() < files
    with pytest.raises(RuntimeError, match="not open"):
        await pool.run(child.double, 2)
    await pool.aclose()


async def test_children_take_no_signal_but_the_last(pool: CompressPool) -> None:
    pids = pool.pids
    assert await pool.run(child.signals_survived) in pids
    for pid in pids:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    assert set(await asyncio.gather(*(pool.run(os.getpid) for _ in range(20)))) == set(pids)
    assert pool.restarts == 0


@pytest.mark.parametrize(
    "needed, error",
    [
        ("concurrent.futures.process._ExecutorManagerThread.start", RuntimeError("can't start new thread")),
        ("os.pipe", OSError(errno.EMFILE, "Too many open files")),
    ],
)
async def test_a_process_that_cannot_be_started_for_now_is_started_later(
    needed: str,
    error: Exception,
    pool: CompressPool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("resizer.compress.pool.START_PAUSE", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(needed, refuse)
        for pid in pool.pids:
            kill_and_wait(pid)
        waiting = pool.submit(os.getpid)
        async with asyncio.timeout(PATIENCE):
            while caplog.text.count("cannot start a compressing process") < 3:  # noqa: ASYNC110 - the pool brings it about
                await asyncio.sleep(0.01)
        assert not waiting.done()
    assert await waiting in pool.pids
    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert all(each is error for each in errors)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def kill_and_wait(pid: int) -> None:
    watch = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_until_ended(watch)


def wait_until_ended(watch: int) -> None:
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    poll.poll()
    os.close(watch)


def assert_gone(*pids: int) -> None:
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
