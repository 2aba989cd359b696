"""The process ends at each named point; the next one loses nothing and does nothing twice."""

import asyncio
import functools
import random
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import photos
from origin import Answer, Origin
from process import PATIENCE, get_json, server
from recovery import (
    Rows,
    check_files,
    check_integrity,
    check_not_torn,
    database_as_left,
    expected,
    slots_of,
)
from resizer.errors import ConfigError
from resizer.support.failpoints import EXIT_CODE, VARIABLE, Point, arm
from service import SECRET, Inbox, catalogue, form

VARIABLES = {"RESIZER_WEBHOOK__SECRET": SECRET, "RESIZER_COMPRESS__PROCESSES": "1"}
#: how often each point is passed at least: 20 images at 12 URLs, 11 of which return something, into 9 files;
#: a URL's result may be reused, and concurrent outcomes share a commit; each of the two requests has an event
PASSINGS = {
    Point.CSV_COMMITTED: 2,
    Point.FETCHED: 11,
    Point.COMPRESSED: 9,
    Point.RENAMED: 9,
    Point.OUTCOMES_COMMITTED: 3,
    Point.WEBHOOK_DUE: 2,
    Point.WEBHOOK_SENT: 2,
}


@functools.cache
def picture(number: int) -> bytes:
    if number == 5:
        return photos.png_with_alpha(seed=number)
    return photos.webp(seed=number) if number == 6 else photos.jpeg(seed=number)


def stock(origin: Origin) -> dict[str, Rows]:
    """Return two catalogues by Idempotency-Key, both with failing images and repeated URLs and bytes."""
    url = [origin.add(f"/{number}.jpg", Answer(body=picture(number))) for number in range(9)]
    same = origin.add("/same.jpg", Answer(body=picture(0)))
    gone = origin.add("/gone.jpg", Answer(status=404))
    page = origin.add("/page.jpg", Answer.html())
    return {
        "first": [
            ("A", url[0], url[1]),
            ("B", gone),
            ("C", url[2], url[0], same),
            ("D",),
            ("E", url[5], page, url[3]),
            ("A", gone, url[4]),
            ("G", url[1]),
        ],
        "second": [("A", url[6], url[0]), ("I", gone, url[7]), ("J", url[3], url[7], url[8]), ("K", gone)],
    }


class Run:
    """A data folder from a crash at a point to the end of the next process's work."""

    def __init__(self, point: Point, number: int, folder: Path) -> None:
        self.point = point
        self.number = number
        self.folder = folder
        # one fetch coroutine commits its outcomes mostly one by one
        workers = "1" if point is Point.OUTCOMES_COMMITTED else "3"
        self.variables = {**VARIABLES, "RESIZER_QUEUE__WORKERS": workers}

    async def __call__(self) -> None:
        async with Origin() as self.origin, Inbox() as self.inbox, aiohttp.ClientSession() as self.session:
            self.catalogues = stock(self.origin)
            accepted = await self.end_at_the_point()
            check_integrity(self.folder)
            check_not_torn(self.folder)
            self.check_place(accepted)
            settled = self.settled_urls()
            before = dict(self.origin.hits)
            ids = await self.recover(accepted)
            for url in settled:
                path = "/" + url.rpartition("/")[2]
                assert self.origin.hits[path] == before[path], f"{path} was fetched again"
            check_files(self.folder)
            check_integrity(self.folder)
            self.check_rows(ids)

    async def end_at_the_point(self) -> dict[str, str | None]:
        """Post the catalogues; returns the ids of the requests answered with 202."""
        armed = {VARIABLE: f"{self.point}:{self.number}"}
        async with server(self.folder, **self.variables, **armed) as process:
            url = await process.url()
            assert any(VARIABLE in line and "WARNING" in line for line in process.log)
            accepted = {key: await self.post(url, key) for key in self.catalogues}
            code, _ = await process.ended()
            assert code == EXIT_CODE, "\n".join(process.log)
        return accepted

    async def post(self, url: str, key: str) -> str | None:
        body = form(catalogue(self.catalogues[key]), webhook_url=self.inbox.url)
        try:
            async with self.session.post(
                f"{url}/upload", data=body, headers={"Idempotency-Key": key}
            ) as response:
                assert response.status == 202, await response.text()
                return str((await response.json())["request_id"])
        except aiohttp.ClientError:
            return None  # the process has reached its point

    def check_place(self, accepted: Mapping[str, str | None]) -> None:
        """Check what the crash left half done."""
        files = {path.name for path in (self.folder / "compressed").iterdir()}
        drafts = {name for name in files if name.endswith(".draft")}
        before = self.number - 1
        with database_as_left(self.folder) as connection:

            def count(rows: str) -> int:
                return int(connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])

            settled, attempts = count("images WHERE status <> 'pending'"), count("attempts")
            if self.point is Point.CSV_COMMITTED:
                assert [*accepted.values()].count(None) == len(accepted) - before
                assert count("batches WHERE ready") == self.number
            elif self.point is Point.FETCHED:
                assert list((self.folder / "spool").glob("*.image"))
                assert before or not files
            elif self.point is Point.COMPRESSED:
                assert drafts
                assert before or files == drafts
            elif self.point is Point.RENAMED:
                assert files > drafts
                assert before or count("images WHERE status = 'completed'") == 0
            elif self.point is Point.OUTCOMES_COMMITTED:
                assert settled >= self.number
            elif self.point is Point.WEBHOOK_DUE:
                assert count("deliveries") >= self.number
                assert attempts <= before
                assert before or not self.inbox.answers
            else:
                assert len(self.inbox.answers) >= self.number
                assert attempts <= before

    def settled_urls(self) -> set[str]:
        """Return the URLs that need no more work."""
        with database_as_left(self.folder) as connection:
            pending = {
                url for (url,) in connection.execute("SELECT url FROM images WHERE status = 'pending'")
            }
            keys = {key for (key,) in connection.execute("SELECT key FROM idempotency_keys")}
        urls = {key: {url for _, *urls in rows for url in urls} for key, rows in self.catalogues.items()}
        to_do = pending.union(*(urls[key] for key in urls.keys() - keys))
        return set().union(*urls.values()) - to_do

    async def recover(self, accepted: Mapping[str, str | None]) -> dict[str, str]:
        """Restart, post again, and wait for the end; returns the id of each request."""
        ids: dict[str, str] = {}
        async with server(self.folder, **self.variables) as process:
            url = await process.url()
            for key in self.catalogues:
                again = await self.post(url, key)
                assert again is not None
                assert accepted[key] in {None, again}
                ids[key] = again
            for key, rows in self.catalogues.items():
                await self.check_end(url, ids[key], rows)
            process.signal(signal.SIGTERM)
            assert (await process.ended())[0] == 0
        assert set(self.inbox.answers) == {204}
        if self.point is Point.WEBHOOK_SENT:
            assert len(self.inbox.answers) > len(self.catalogues)  # at least once: here twice
        return ids

    async def check_end(self, url: str, request_id: str, rows: Rows) -> None:
        status = await get_json(self.session, f"{url}/status/{request_id}", Prefer="wait=60")
        names = expected(self.origin, rows)
        done = [name for row in names for name in row if name]
        total = sum(len(row) - 1 for row in rows)
        assert status["status"] == "partial"
        assert status["images"] == {
            "total": total,
            "pending": 0,
            "completed": len(done),
            "failed": total - len(done),
            "cancelled": 0,
        }
        assert await slots_of(self.session, f"{url}/result/{request_id}", rows) == names
        sizes = [(self.folder / "compressed" / name).stat().st_size for name in done]
        assert status["bytes"]["output"] == sum(sizes)
        delivery = await self.delivered(url, request_id)
        events = [event for event in await self.inbox.events() if event["data"]["request_id"] == request_id]
        assert [event["webhook_id"] for event in events] == [delivery["webhook_id"]]
        assert events[0]["type"] == "request.partial"

    async def delivered(self, url: str, request_id: str) -> dict[str, Any]:
        """Wait until the only event of a request is recorded as delivered."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await get_json(self.session, f"{url}/requests/{request_id}/deliveries")
                (delivery,) = found["data"]
                if delivery["status"] == "delivered":
                    return dict(delivery)
                await asyncio.sleep(0.02)

    def check_rows(self, ids: Mapping[str, str]) -> None:
        """Check that the database holds each catalogue once, and nothing else."""
        with database_as_left(self.folder) as connection:
            products = connection.execute(
                "SELECT request_id, p.name, count(url) FROM batches b JOIN products p ON b.id = p.batch_id "
                "LEFT JOIN images i USING (batch_id, ordinal) GROUP BY b.id, ordinal ORDER BY b.id, ordinal"
            ).fetchall()
            images = connection.execute("SELECT url FROM images ORDER BY batch_id, seq").fetchall()
            events = connection.execute(
                "SELECT request_id, count(d.id) FROM batches b LEFT JOIN deliveries d "
                "ON b.id = batch_id GROUP BY b.id ORDER BY b.id"
            ).fetchall()
            keys = connection.execute(
                "SELECT key, request_id FROM idempotency_keys k JOIN batches b ON b.id = batch_id"
            ).fetchall()
        assert products == [
            (ids[key], name, len(urls)) for key, rows in self.catalogues.items() for name, *urls in rows
        ]
        assert [url for (url,) in images] == [
            url for rows in self.catalogues.values() for _, *urls in rows for url in urls
        ]
        assert events == [(request_id, 1) for request_id in ids.values()]
        assert dict(keys) == ids


def numbers(point: Point, runs: int) -> list[int]:
    """Return the passings to end at: the last, which also ends a request, the first, and a random one."""
    chance = random.Random(point)
    most = PASSINGS[point]
    return [most, 1, *(chance.randint(1, most) for _ in range(runs))][:runs]


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param(1, id="short"),
        pytest.param(3, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(600)]),
    ],
)
@pytest.mark.parametrize("point", Point)
async def test_process_that_ends_at_a_point_loses_doubles_and_tears_nothing(
    point: Point, runs: int, tmp_path: Path
) -> None:
    for run, number in enumerate(numbers(point, runs)):
        try:
            await Run(point, number, tmp_path / f"{run}")()
        except BaseException as error:
            error.add_note(f"at {point}:{number}")
            raise


@pytest.mark.parametrize(
    "value, told",
    [
        ("nowhere", "use one of csv-committed, fetched, compressed, renamed"),
        (":1", "use one of"),
        ("Renamed", "use one of"),
        ("renamed:0", "use renamed or renamed:N"),
        ("renamed:-1", "use renamed or renamed:N"),
        ("renamed:x", "use renamed or renamed:N"),
        ("renamed:²", "use renamed or renamed:N"),
    ],
)
def test_wrong_failpoint_is_told_with_those_there_are(value: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        arm({VARIABLE: value})


async def test_wrong_failpoint_stops_the_start(tmp_path: Path) -> None:
    async with server(tmp_path / "data", **{VARIABLE: "nowhere"}) as process:
        code, _ = await process.ended()
    text = "\n".join(process.log)
    assert code == 2
    assert "'nowhere' is not a failpoint" in text
    assert all(point in text for point in Point)
    assert "Traceback" not in text
    assert not (tmp_path / "data").exists()
