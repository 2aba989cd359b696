"""A pool whose children are killed all the time, and the process that starts them too."""

import asyncio
import errno
import logging
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path

import aiohttp
import pytest

import child_functions as child
import photos
from kin import descendants, named, parent_of
from origin import Answer, Origin
from process import PATIENCE, get_json, server
from resizer.compress import pool as pool_module
from resizer.compress.child import Child
from resizer.compress.pool import CompressPool
from resizer.config import CompressSettings
from resizer.errors import CompressCrash, CompressTimeout, ImageError
from service import catalogue, form

logger = logging.getLogger(__name__)

TIMEOUT = 15.0  # seconds; only a hanging image takes them, on any machine
MEMORY = 1 << 30  # bytes of address space


class Fate(Enum):
    """What happens to an image."""

    COMPRESSED = auto()
    KILLED_ONCE = auto()
    KILLED_TWICE = auto()
    TOO_LARGE = auto()
    HANGS = auto()


#: how often an image is begun, and how it fails
ENDS: dict[Fate, tuple[int, type[ImageError] | None]] = {
    Fate.COMPRESSED: (1, None),
    Fate.KILLED_ONCE: (2, None),
    Fate.KILLED_TWICE: (2, CompressCrash),
    Fate.TOO_LARGE: (2, CompressCrash),
    Fate.HANGS: (1, CompressTimeout),
}


def fates(count: int, seed: int) -> list[Fate]:
    """Every few images one whose child is killed, and some of each of the other kinds."""
    luck = random.Random(seed)
    chosen = [Fate.COMPRESSED] * count
    at = luck.randrange(3, 9)
    while at < count:
        chosen[at] = Fate.KILLED_TWICE if luck.random() < 0.15 else Fate.KILLED_ONCE
        at += luck.randrange(5, 12)
    for fate, times in ((Fate.TOO_LARGE, 2), (Fate.HANGS, 1)):
        for number in luck.sample(range(count), times):
            chosen[number] = fate
    return chosen


async def kill_as_planned(folder: Path, plan: list[Fate]) -> None:
    """Kill each child that runs an image that is to be killed, from outside, once it says that it began."""
    while True:
        for number, pid in marks(folder):
            assert plan[number] in (Fate.KILLED_ONCE, Fate.KILLED_TWICE)
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.002)


def marks(folder: Path) -> list[tuple[int, int]]:
    """Take the marks that are there: number of an image and of its process."""
    found = []
    for mark in folder.glob("*.ready"):
        number, _, pid = mark.stem.partition("-")
        mark.unlink()
        found.append((int(number), int(pid)))
    return found


async def end_of(handle: int) -> None:
    """Wait until the process has ended."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  processes bring it about
            await asyncio.sleep(0.005)


@pytest.mark.early(2)
@pytest.mark.parametrize(
    "count, seed",
    [
        pytest.param(50, 1, id="short"),
        *(
            pytest.param(400, seed, id=f"long-{seed}", marks=[pytest.mark.soak, pytest.mark.timeout(600)])
            for seed in (2, 3)
        ),
    ],
)
async def test_exactly_the_images_in_killed_children_are_tried_again(
    count: int, seed: int, tmp_path: Path
) -> None:
    source, plan = tmp_path / "source", fates(count, seed)
    source.write_bytes(photos.jpeg(width=64, height=48))
    settings = CompressSettings(processes=2, timeout=TIMEOUT)
    async with CompressPool(settings, memory_limit=MEMORY, bundle_seconds=0) as pool:
        killer = asyncio.create_task(kill_as_planned(tmp_path, plan))
        results = await asyncio.gather(
            *(
                pool.run(child.meet_its_fate, number, fate.name, source, tmp_path)
                for number, fate in enumerate(plan)
            ),
            return_exceptions=True,
        )
        killer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await killer
        seen = Counter(plan)
        logger.info("%s; %d children replaced", {fate.name: seen[fate] for fate in Fate}, pool.restarts)
        assert pool.restarts == (
            seen[Fate.KILLED_ONCE] + 2 * seen[Fate.KILLED_TWICE] + 2 * seen[Fate.TOO_LARGE] + seen[Fate.HANGS]
        )
    sizes = set()
    for number, (fate, result) in enumerate(zip(plan, results, strict=True)):
        times, error = ENDS[fate]
        begun = (tmp_path / f"{number}.begun").read_text().splitlines()
        assert len(begun) == len(set(begun)) == times, (number, fate, begun)
        if error:
            assert isinstance(result, error), (number, fate, result)
        else:
            assert isinstance(result, int), (number, fate, result)
            sizes.add(result)
            assert (tmp_path / f"{number}.target").stat().st_size == result
    assert len(sizes) == 1


async def test_the_pool_survives_the_death_of_its_fork_server(tmp_path: Path) -> None:
    """Its children end with it, and another fork server starts others."""
    async with CompressPool(CompressSettings(processes=2, timeout=60)) as pool:
        before = {pid: os.pidfd_open(pid) for pid in pool.pids}
        gates = [(tmp_path / f"begun{number}", tmp_path / "gate") for number in range(2)]
        held = [asyncio.create_task(pool.run(child.wait_for, *gate)) for gate in gates]
        await until(lambda: all(begun.exists() for begun, _ in gates))
        (forkserver,) = {parent_of(pid) for pid in pool.pids}
        os.kill(forkserver, signal.SIGKILL)
        await until(lambda: pool.restarts == 2 and len(pool.pids) == 2)
        (tmp_path / "gate").touch()
        assert set(await asyncio.gather(*held)) <= set(pool.pids)
        assert await asyncio.gather(*(pool.run(child.double, n) for n in range(20))) == [*range(0, 40, 2)]
        assert not before.keys() & set(pool.pids)
        for handle in before.values():
            await end_of(handle)


async def test_a_slot_is_not_lost_if_its_child_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason: the system's, or Python's own, which warns that it had to repair something."""
    faults = [OSError(errno.EAGAIN, "no more processes"), MemoryError(), UserWarning("relaunching")]
    start = Child.start

    def start_at_last(memory_limit: int | None) -> Child:
        if faults:
            raise faults.pop()
        return start(memory_limit)

    async with CompressPool(CompressSettings(processes=1, timeout=60)) as pool:
        monkeypatch.setattr(pool_module, "START_PAUSE", 0.01)
        monkeypatch.setattr(Child, "start", start_at_last)
        os.kill(pool.pids[0], signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            assert await pool.run(child.double, 2) == 4
        assert not faults


async def test_images_of_an_empty_slot_run_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(_: int | None) -> Child:
        raise MemoryError

    async with CompressPool(CompressSettings(processes=2, timeout=60)) as pool:
        monkeypatch.setattr(Child, "start", no_memory)
        async with asyncio.timeout(PATIENCE):
            assert await pool.run(child.die_at_first, tmp_path, "victim") == "victim"
            assert await pool.run(child.double, 2) == 4
        assert len(pool.pids) == 1


async def test_an_unknown_child_ends_with_its_fork_server() -> None:
    """Its executor takes it for dead, and may not know its pid."""
    started = await asyncio.to_thread(Child.start, None)
    forkserver = parent_of(started.pid)
    handle = os.pidfd_open(started.pid)
    os.kill(forkserver, signal.SIGKILL)
    await end_of(handle)
    await asyncio.to_thread(started.end)


async def test_a_process_that_got_the_number_of_a_dead_child_lives() -> None:
    started = await asyncio.to_thread(Child.start, None)
    handle = os.pidfd_open(started.pid)
    other = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        await asyncio.to_thread(replace(started, pid=other.pid).end)
        await end_of(handle)
        assert other.returncode is None
        other.send_signal(0)
    finally:
        other.kill()
        assert await other.wait() == -signal.SIGKILL


def choose(server_pid: int, luck: random.Random) -> tuple[int, str]:
    """Choose a process below the server: a child of its pool, or sometimes their parent."""
    below = descendants(server_pid)
    starter = next(pid for pid in named("forkserver", below) if parent_of(pid) == server_pid)
    workers = [pid for pid in below if parent_of(pid) == starter]
    kind = luck.choices(("child", "fork server", "resource tracker"), (6, 1, 1))[0]
    tracker = named("resource_tracker", below)
    if kind == "resource tracker" and tracker:
        return tracker[0], kind
    if kind == "child" and workers:
        return luck.choice(workers), kind
    return starter, "fork server"


@pytest.mark.parametrize(
    "count, seed",
    [
        pytest.param(40, 1, id="short"),
        pytest.param(200, 2, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(600)]),
    ],
)
async def test_the_service_completes_every_image_though_its_processes_are_killed(
    count: int, seed: int, tmp_path: Path, origin: Origin
) -> None:
    """No image is hit twice: the next kill waits for all that ran at the last."""
    luck, workers = random.Random(seed), 4
    rows = [
        (f"P{n}", origin.add(f"/{n}.jpg", Answer(body=photos.jpeg(seed=n, width=480, height=360))))
        for n in range(count)
    ]
    variables = {"RESIZER_COMPRESS__PROCESSES": "2", "RESIZER_QUEUE__WORKERS": str(workers)}
    async with server(tmp_path / "data", **variables) as process, aiohttp.ClientSession() as session:
        url, pid = await process.url(), process.process.pid
        async with session.post(f"{url}/upload", data=form(catalogue(rows))) as response:
            request_id = (await response.json())["request_id"]

        async def waiting() -> set[int]:
            query = f"status=pending&limit={3 * workers}"
            page = await get_json(session, f"{url}/requests/{request_id}/images?{query}")
            return {image["line"] for image in page["data"]}

        kills: Counter[str] = Counter()
        # whatever is under way is among the first that are pending
        while len(early := await waiting()) == 3 * workers:
            victim, kind = choose(pid, luck)
            os.kill(victim, signal.SIGKILL)
            kills[kind] += 1
            while early & await waiting():  # noqa: ASYNC110  the service brings it about
                await asyncio.sleep(0.01)
        status = await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")
        assert status["images"]["completed"] == count, (status, kills)
        assert await get_json(session, f"{url}/readyz") == {"status": "ok"}
        logger.info("%d images, killed: %s", count, dict(kills))
        assert sum(kills.values()) >= count // 20
        process.signal(signal.SIGTERM)
        assert (await process.ended())[0] == 0
    assert len({path.name for path in (tmp_path / "data" / "compressed").iterdir()}) == count
