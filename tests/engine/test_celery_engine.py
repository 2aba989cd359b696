"""The distributed engine with a real Redis and worker processes: no image is lost or processed twice."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

import photos
from cluster import READY, Cluster, cluster
from origin import Answer, Origin
from outcomes import done
from process import Process, get_json, server
from recovery import check_integrity, check_not_torn, expected, slots_of
from resizer.engine.base import NoProgress
from resizer.engine.celery.broker import QUEUE, RESULT, TASK, celery_app
from resizer.engine.celery.engine import CeleryEngine
from resizer.engine.celery.messages import Result, message_of
from resizer.events import Events
from resizer.models import Task
from resizer.storage.claims import FileClaims
from resizer.storage.local import LocalStorage
from resizer.support.in_flight import InFlight
from service import SECRET, Inbox, catalogue, form, settings_for

Rows = list[tuple[str, ...]]


def fill(origin: Origin, count: int, *, delay: float = 0.05) -> Rows:
    """Return a catalogue of images that take a while; every tenth is missing."""
    rows: Rows = []
    for number in range(count):
        name = f"{number}.jpg"
        body = photos.jpeg(seed=number, width=320, height=240)
        origin.add(f"/{name}", Answer(status=404) if number % 10 == 9 else Answer(body=body, delay=delay))
        rows.append((f"P{number}", origin.url(f"/{name}")))
    return rows


async def submit(session: aiohttp.ClientSession, url: str, rows: Rows, **fields: str) -> str:
    async with session.post(f"{url}/upload", data=form(catalogue(rows), **fields)) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["request_id"])


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    while not await look():  # noqa: ASYNC110 - what a client cannot be told, it has to ask for
        await asyncio.sleep(0.05)


async def settled_at_least(count: int, session: aiohttp.ClientSession, url: str, request_id: str) -> None:
    async def so_many() -> bool:
        images = (await get_json(session, f"{url}/status/{request_id}"))["images"]
        return bool(images["total"] - images["pending"] >= count)

    await until(so_many)


async def check_end(
    session: aiohttp.ClientSession, url: str, request_id: str, rows: Rows, origin: Origin, *, folder: Path
) -> None:
    """Check that each image has its outcome, once, and that the counts are right."""
    while not (status := await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60"))["done"]:
        pass
    count = len(rows)
    assert status["images"] == {
        "total": count, "pending": 0, "completed": count - count // 10, "failed": count // 10, "cancelled": 0,
    }  # fmt: skip
    assert await slots_of(session, f"{url}/result/{request_id}", rows) == expected(origin, rows)
    check_not_torn(folder)
    check_integrity(folder)


def open_files(process: Process) -> list[str]:
    return [str(each.resolve()) for each in Path(f"/proc/{process.process.pid}/fd").iterdir()]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def serving(running: Cluster) -> Process:
    variables = {**running.variables, "RESIZER_WEBHOOK__SECRET": SECRET, "RESIZER_FETCH__PER_HOST": "32"}
    return server(running.folder, **variables)


@pytest.mark.early(2)
@pytest.mark.parametrize(
    "kills, count",
    [
        pytest.param(3, 40, id="short"),
        pytest.param(50, 600, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
async def test_workers_killed_at_random_moments_lose_and_double_nothing(
    kills: int, count: int, tmp_path: Path, origin: Origin, session: aiohttp.ClientSession
) -> None:
    moments = random.Random(kills)
    folder = tmp_path / "data"
    rows = fill(origin, count)
    async with Inbox() as inbox, cluster(folder, workers=2) as running, serving(running) as process:
        url = await process.url()
        request_id = await submit(session, url, rows, webhook_url=inbox.url)
        for number in range(kills):
            # spread over the batch, and while the workers are busy
            await settled_at_least(number * (count - 20) // kills, session, url, request_id)
            victim = moments.choice(running.workers)
            await victim.said(READY)
            await asyncio.sleep(moments.uniform(0, 0.1))
            await running.kill(victim)
            await running.begin_worker()
        await check_end(session, url, request_id, rows, origin, folder=folder)
        events = await inbox.events()
        assert {event["type"] for event in events} == {"request.partial"}
        assert len({event["webhook_id"] for event in events}) == 1


@pytest.mark.early(2)
@pytest.mark.parametrize(
    "durable, kills, count",
    [
        pytest.param(True, 2, 40, id="keeps what it held"),
        pytest.param(False, 1, 40, id="forgets what it held"),
        pytest.param(True, 30, 600, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
async def test_broker_that_is_killed_in_the_midst_of_work_is_got_over(
    *,
    durable: bool,
    kills: int,
    count: int,
    tmp_path: Path,
    origin: Origin,
    session: aiohttp.ClientSession,
) -> None:
    folder = tmp_path / "data"
    rows = fill(origin, count)
    async with cluster(folder, workers=2, durable=durable) as running, serving(running) as process:
        url = await process.url()
        request_id = await submit(session, url, rows)
        for number in range(kills):
            await settled_at_least(5 + number * (count - 20) // kills, session, url, request_id)
            await running.broker.kill()
            async with session.get(f"{url}/readyz") as response:
                assert response.status == 503
                assert (await response.json())["failing"] == ["workers"]
            # the server still responds
            assert (await get_json(session, f"{url}/healthz")) == {"status": "ok"}
            await running.broker.start()
        await check_end(session, url, request_id, rows, origin, folder=folder)
        for worker in running.workers:
            assert "(end)" not in worker.log, "\n".join(worker.log)


async def test_server_that_is_killed_midway_goes_on(
    tmp_path: Path, origin: Origin, session: aiohttp.ClientSession
) -> None:
    folder = tmp_path / "data"
    rows = fill(origin, 60)
    async with cluster(folder) as running:
        async with serving(running) as process:
            url = await process.url()
            request_id = await submit(session, url, rows)
            await settled_at_least(5, session, url, request_id)
            process.signal(signal.SIGKILL)
            await process.ended()
        async with serving(running) as process:
            await check_end(session, await process.url(), request_id, rows, origin, folder=folder)


async def test_worker_that_is_asked_to_stop_ends_what_it_is_at_and_leaves_the_rest(
    tmp_path: Path, origin: Origin, session: aiohttp.ClientSession
) -> None:
    folder = tmp_path / "data"
    gate = asyncio.Event()
    held = origin.add("/held.jpg", Answer(body=photos.jpeg(), gate=gate))
    async with cluster(folder) as running, serving(running) as process:
        url = await process.url()
        request_id = await submit(session, url, [("One", held)])
        await origin.arrived("/held.jpg")
        (worker,) = running.workers
        worker.signal(signal.SIGTERM)
        await worker.said("stopping: 1 images in flight")
        gate.set()
        assert (await worker.ended())[0] == 0
        status = await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")
        assert status["status"] == "completed"
        assert len([seen for seen in origin.requests if seen.path == "/held.jpg"]) == 1


async def test_worker_that_may_wait_no_longer_gives_its_images_to_another(
    tmp_path: Path, origin: Origin, session: aiohttp.ClientSession
) -> None:
    folder = tmp_path / "data"
    gate = asyncio.Event()
    held = origin.add("/held.jpg", Answer(body=photos.jpeg(), gate=gate), Answer(body=photos.jpeg()))
    async with cluster(folder, RESIZER_QUEUE__SHUTDOWN_GRACE="0") as running, serving(running) as process:
        url = await process.url()
        request_id = await submit(session, url, [("One", held)])
        await origin.arrived("/held.jpg")
        (worker,) = running.workers
        worker.signal(signal.SIGINT)
        assert (await worker.ended())[0] == 0
        assert (await get_json(session, f"{url}/status/{request_id}"))["images"]["pending"] == 1
        running.workers.remove(worker)
        await running.start_worker()
        status = await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")
        assert status["status"] == "completed"


async def test_outcome_that_came_before_a_cancellation_is_told(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, engine={"kind": "celery"})
    in_flight = InFlight()
    storage = LocalStorage(settings.storage_folder, in_flight)
    engine = CeleryEngine(settings, storage, FileClaims(), Events(), in_flight)
    task = Task(batch_id=1, seq=0, url="http://x/a.jpg", recipe=settings.compress.recipe())
    running = asyncio.create_task(engine.run(task, NoProgress()))
    await asyncio.sleep(0)
    task_id, flight = engine.flights.popitem()
    outcome = done(1, 0)
    flight.answer.set_result(Result(task_id=task_id, status="SUCCESS", result=message_of(outcome)))
    running.cancel()
    assert await running == outcome


async def test_nothing_is_left_in_the_broker(
    tmp_path: Path, origin: Origin, session: aiohttp.ClientSession
) -> None:
    folder = tmp_path / "data"
    rows = fill(origin, 20)
    async with cluster(folder) as running, serving(running) as process, running.broker.client() as client:
        url = await process.url()
        request_id = await submit(session, url, rows)
        await check_end(session, url, request_id, rows, origin, folder=folder)

        async def empty() -> bool:
            results = await client.keys(f"{RESULT}*")
            return not results and not await client.llen(QUEUE) and not await client.hlen("unacked")

        await until(empty)
        settings = settings_for(tmp_path / "other", engine=running.engine)
        inspected = await asyncio.to_thread(
            celery_app(settings, keeps_results=False).control.inspect(timeout=10, limit=1).registered
        )
        assert [*inspected.values()] == [[TASK]]
        # the database is the server's alone
        (worker,) = running.workers
        assert not [name for name in open_files(worker) if "resizer.db" in name]


async def test_without_workers_the_service_waits_and_says_why(
    tmp_path: Path, origin: Origin, session: aiohttp.ClientSession
) -> None:
    folder = tmp_path / "data"
    rows = fill(origin, 3)
    async with cluster(folder, workers=0) as running, serving(running) as process:
        url = await process.url()
        async with session.get(f"{url}/readyz") as response:
            assert response.status == 503
            assert "resizer worker" in (await response.json())["detail"]
        request_id = await submit(session, url, rows)
        await running.start_worker()
        await check_end(session, url, request_id, rows, origin, folder=folder)
        async with session.get(f"{url}/readyz") as response:
            assert response.status == 200


async def test_strangers_messages_stop_nobody(
    tmp_path: Path, origin: Origin, session: aiohttp.ClientSession
) -> None:
    """The server ignores unknown messages in the broker, also at its start."""
    folder = tmp_path / "data"
    rows = fill(origin, 10)
    async with cluster(folder, workers=0) as running, running.broker.client() as client:
        for stranger in ("not json", "{}", '{"headers": {}}'):
            await client.rpush(QUEUE, stranger)
        await client.sadd("resizer:nodes", "stranger")
        await client.set("resizer:node:stranger", "nonsense")
        async with serving(running) as process:
            url = await process.url()
            request_id = await submit(session, url, rows)

            async def sent() -> bool:  # without a worker the tasks stay in the queue
                return bool(await client.llen(QUEUE) > 3)

            await until(sent)
            # Celery's own consumer is not under test
            for stranger in ("not json", "{}", '{"headers": {}}'):
                await client.lrem(QUEUE, 1, stranger)
            await running.start_worker()
            await check_end(session, url, request_id, rows, origin, folder=folder)
            assert not [line for line in process.log if "cannot reach the broker" in line]


async def test_worker_with_another_storage_fails_images_and_says_so(
    tmp_path: Path, origin: Origin, session: aiohttp.ClientSession
) -> None:
    """Otherwise they would be completed without a file."""
    folder = tmp_path / "data"
    rows = fill(origin, 3)
    elsewhere = {"RESIZER_STORAGE__PATH": str(tmp_path / "elsewhere")}
    async with cluster(folder, workers=0) as running, serving(running) as process:
        worker = Process("worker", "--data-dir", folder, variables={**running.variables, **elsewhere})
        async with worker:
            await worker.said(READY)
            url = await process.url()
            request_id = await submit(session, url, rows)
            status = await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")
            assert status["status"] == "failed"
            images = await get_json(session, f"{url}/requests/{request_id}/images")
            assert {image["error"]["code"] for image in images["data"]} == {"storage"}
            assert "storage.path" in images["data"][0]["error"]["message"]
            await worker.said("another storage than the server")
        # with the right storage they can be retried
        await running.start_worker()
        async with session.post(f"{url}/requests/{request_id}/retry") as response:
            assert response.status == 202
        await check_end(session, url, request_id, rows, origin, folder=folder)


async def test_deleted_request_leaves_no_file_wherever_its_tasks_were(
    tmp_path: Path, origin: Origin, session: aiohttp.ClientSession
) -> None:
    """Queued, being fetched, or just stored: repeated with other moments."""
    folder = tmp_path / "data"
    async with cluster(folder) as running, serving(running) as process:
        url = await process.url()
        for attempt in range(4):
            rows: Rows = [(f"P{each}", origin.url(f"/{attempt}-{each}.jpg")) for each in range(20)]
            for number in range(20):
                body = photos.jpeg(seed=20 * attempt + number, width=320, height=240)
                origin.add(f"/{attempt}-{number}.jpg", Answer(body=body, delay=0.1))
            request_id = await submit(session, url, rows)
            await settled_at_least(attempt + 1, session, url, request_id)
            async with session.delete(f"{url}/requests/{request_id}") as response:
                assert response.status == 204

        async def gone() -> bool:
            return not [*(folder / "compressed").glob("*.jpg")]

        await until(gone)


async def test_outcome_of_a_deleted_request_of_an_earlier_run_leaves_no_file(
    tmp_path: Path, origin: Origin, session: aiohttp.ClientSession
) -> None:
    """The server is killed while a worker holds its image, and the request is deleted after a restart."""
    folder = tmp_path / "data"
    gate = asyncio.Event()
    origin.add("/held.jpg", Answer(body=photos.jpeg(), gate=gate))
    async with cluster(folder) as running:
        async with serving(running) as first:
            url = await first.url()
            request_id = await submit(session, url, [("One", origin.url("/held.jpg"))])
            await origin.arrived("/held.jpg")
            first.signal(signal.SIGKILL)
            await first.ended()
        async with serving(running) as second:
            url = await second.url()
            async with session.delete(f"{url}/requests/{request_id}") as response:
                assert response.status == 204
            files = folder / "compressed"

            async def stored() -> bool:
                return bool([*files.glob("*.jpg")])

            async def gone() -> bool:
                return not await stored()

            # stopped until the test has seen the file, which the server would remove quickly
            second.signal(signal.SIGSTOP)
            gate.set()
            await until(stored)
            second.signal(signal.SIGCONT)
            await until(gone)


@pytest.mark.early(2)
async def test_worker_ends_though_the_broker_hangs(
    tmp_path: Path, origin: Origin, session: aiohttp.ClientSession
) -> None:
    folder = tmp_path / "data"
    origin.add("/held.jpg", Answer(body=photos.jpeg(), gate=asyncio.Event()))
    async with (
        cluster(folder, RESIZER_QUEUE__SHUTDOWN_GRACE="0") as running,
        serving(running) as process,
    ):
        await submit(session, await process.url(), [("One", origin.url("/held.jpg"))])
        await origin.arrived("/held.jpg")
        running.broker.freeze()
        (worker,) = running.workers
        worker.signal(signal.SIGTERM)
        await worker.ended()
        running.workers.remove(worker)
        running.broker.thaw()


@pytest.mark.early(2)
async def test_broker_that_hung_is_got_over(
    tmp_path: Path, origin: Origin, session: aiohttp.ClientSession
) -> None:
    folder = tmp_path / "data"
    rows = fill(origin, 30)
    async with cluster(folder) as running, serving(running) as process:
        url = await process.url()
        request_id = await submit(session, url, rows)
        await settled_at_least(3, session, url, request_id)
        running.broker.freeze()
        # longer than the timeout of a response
        await process.said("cannot reach the broker")
        running.broker.thaw()
        await check_end(session, url, request_id, rows, origin, folder=folder)
