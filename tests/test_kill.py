"""`kill -9` at any moment: accepted work resumes and ends correctly."""

import asyncio
import random
import signal
from pathlib import Path

import aiohttp
import pytest

import photos
from origin import Answer, Origin
from process import get_json, server
from recovery import check_files, check_integrity, expected, slots_of
from service import SECRET, Inbox, catalogue, form

#: images held back until the last kill, so that work remains
HELD = 5


def fill(origin: Origin, count: int, *, gate: asyncio.Event) -> list[tuple[str, ...]]:
    """Add images of several kinds, each slow enough to be in flight; returns a catalogue's rows."""
    rows: list[tuple[str, ...]] = []
    for number in range(count):
        data, name = (
            (photos.png_with_alpha(seed=number), f"{number}.png")
            if number % 7 == 0
            else (photos.jpeg(seed=number, width=640, height=480), f"{number}.jpg")
        )
        if number % 10 == 9:
            origin.add(f"/{name}", Answer(status=404))
        else:
            origin.add(
                f"/{name}", Answer(body=data, delay=0.05, gate=gate if number >= count - HELD else None)
            )
        rows.append((f"P{number}", origin.url(f"/{name}")))
    return rows


@pytest.mark.early(2)
@pytest.mark.parametrize(
    "kills, count, seed",
    [
        pytest.param(3, 30, 1, id="short"),
        pytest.param(15, 150, 2, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(600)]),
    ],
)
async def test_killed_at_random_moments_it_ends_every_image_once(
    kills: int, count: int, seed: int, tmp_path: Path, origin: Origin
) -> None:
    moments = random.Random(seed)
    folder = tmp_path / "data"
    gate = asyncio.Event()
    rows = fill(origin, count, gate=gate)
    variables = {
        "RESIZER_WEBHOOK__SECRET": SECRET,
        "RESIZER_QUEUE__WORKERS": "4",
        "RESIZER_COMPRESS__PROCESSES": "2",
    }
    async with Inbox() as inbox, aiohttp.ClientSession() as session:
        async with server(folder, **variables) as process:
            url = await process.url()
            body = form(catalogue(rows), webhook_url=inbox.url)
            async with session.post(f"{url}/upload", data=body) as response:
                assert response.status == 202
                request_id = (await response.json())["request_id"]
            process.signal(signal.SIGKILL)
            await process.ended()
        check_integrity(folder)
        done: list[int] = []
        for number in range(1, kills):
            async with server(folder, **variables) as process:
                url = await process.url()
                # some images later; the exact moment is up to the machine
                goal = min(number * count // kills, count - HELD)
                while True:
                    status = await get_json(session, f"{url}/status/{request_id}")
                    settled = count - status["images"]["pending"]
                    if settled >= goal:
                        break
                    await asyncio.sleep(moments.uniform(0.001, 0.05))
                done.append(settled)
                assert not status["done"]
                process.signal(signal.SIGKILL)
                await process.ended()
            check_integrity(folder)
        assert done == sorted(done)  # recorded outcomes are unchanged

        gate.set()
        async with server(folder, **variables) as process:
            url = await process.url()
            status = await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")
            assert status["status"] == "partial"
            assert status["images"]["completed"] == count - count // 10
            assert status["images"]["failed"] == count // 10
            slots = await slots_of(session, f"{url}/result/{request_id}", rows)
            assert slots == expected(origin, rows)
            for (name,) in slots:
                if name:
                    assert (folder / "compressed" / name).is_file()
            events = await inbox.events()
            assert {event["type"] for event in events} == {"request.partial"}
            assert len({event["webhook_id"] for event in events}) == 1
            process.signal(signal.SIGTERM)
            assert (await process.ended())[0] == 0
        check_files(folder)
        check_integrity(folder)
