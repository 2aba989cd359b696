"""Tries are counted, waits are heeded, and no host is asked for more than it is willing to give."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from limits import limits
from origin import Answer, Origin
from resizer.config import FetchSettings
from resizer.errors import HttpStatusError, ImageError
from resizer.fetch.fetcher import Fetched, Fetcher

LOOPBACK = (ip_network("127.0.0.0/8"),)
IMAGE = bytes(range(256)) * 400
LONG = 600.0  # seconds; longer than the test is let run


@pytest.fixture(autouse=True)
def _spool_is_empty_afterwards(tmp_path: Path) -> Iterator[None]:
    yield
    spool = tmp_path / "spool"
    assert not spool.exists() or not [*spool.iterdir()]


def fetcher(folder: Path, *, backoff: float = 0.001, **settings: Any) -> Fetcher:
    chosen = FetchSettings(**{"allow_networks": LOOPBACK, **settings})
    return Fetcher(chosen, limits(chosen), spool=folder / "spool", backoff=backoff)


async def fetch(fetching: Fetcher, url: str) -> Fetched:
    async with fetching.fetch(url) as fetched:
        assert fetched.path.stat().st_size == fetched.size
        return fetched


@asynccontextmanager
async def under_way(fetching: Fetcher, *urls: str) -> AsyncIterator[list[asyncio.Task[Fetched]]]:
    tasks = [asyncio.create_task(fetch(fetching, url)) for url in urls]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=503),
        Answer(status=500),
        Answer(status=429),
        Answer(status=425),
        Answer(status=408),
        Answer.silent(),
        Answer.rejected(),
        Answer.truncated(bytes(2_000_000)),  # large enough for some of it to be in the file
        Answer.redirect("/broken"),
    ],
)
async def test_passing_fault_is_tried_again(origin: Origin, tmp_path: Path, fault: Answer) -> None:
    url = origin.add("a", fault, fault, Answer(body=IMAGE[:1000]))
    origin.add("broken", Answer.silent())
    async with fetcher(tmp_path, retries=2) as fetching:
        fetched = await fetch(fetching, url)
    assert (fetched.attempts, fetched.size) == (3, 1000)
    assert origin.hits["/a"] == 3


@pytest.mark.parametrize("retries", [0, 1, 3])
@pytest.mark.parametrize("fault", [Answer(status=502), Answer.silent(), Answer.truncated(IMAGE)])
async def test_tries_end_at_the_setting(origin: Origin, tmp_path: Path, fault: Answer, retries: int) -> None:
    url = origin.add("a", fault)
    async with fetcher(tmp_path, retries=retries) as fetching:
        with pytest.raises(ImageError) as caught:
            await fetch(fetching, url)
    assert caught.value.attempts == origin.hits["/a"] == retries + 1


async def test_timeout_is_tried_again(origin: Origin, tmp_path: Path) -> None:
    url = origin.add("a", Answer.hang(), Answer(body=IMAGE))
    async with fetcher(tmp_path, timeout=2) as fetching:
        assert (await fetch(fetching, url)).attempts == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
async def test_lasting_fault_is_not_tried_again(origin: Origin, tmp_path: Path, status: int) -> None:
    url = origin.add("a", Answer(status=status, headers={"Retry-After": "1"}))
    async with fetcher(tmp_path, retries=3) as fetching:
        with pytest.raises(HttpStatusError) as caught:
            await fetch(fetching, url)
    assert caught.value.attempts == origin.hits["/a"] == 1


async def test_retry_after_in_seconds_is_heeded(origin: Origin, tmp_path: Path) -> None:
    url = origin.add("a", Answer(status=503, headers={"Retry-After": "1"}), Answer(body=IMAGE))
    async with fetcher(tmp_path) as fetching:
        assert (await fetch(fetching, url)).attempts == 2
    first, second = origin.requests
    assert second.at - first.at >= 1


async def test_retry_after_as_a_date_is_heeded(origin: Origin, tmp_path: Path) -> None:
    moment = int(time.time()) + 2
    asked = formatdate(moment, usegmt=True)
    url = origin.add("a", Answer(status=503, headers={"Retry-After": asked}), Answer(body=IMAGE))
    async with fetcher(tmp_path) as fetching:
        assert (await fetch(fetching, url)).attempts == 2
    assert time.time() > moment - 0.01  # the loop's clock is another


async def test_retry_after_behind_a_redirect_is_waited_for_before_it(origin: Origin, tmp_path: Path) -> None:
    """What redirects may sign where it leads to for a short time only."""
    async with Origin() as other, fetcher(tmp_path) as fetching:
        url = origin.add("a", Answer.redirect(other.url("b")))
        other.add("b", Answer(status=503, headers={"Retry-After": "1"}), Answer())
        await fetch(fetching, url)
        assert origin.requests[1].at - other.requests[0].at >= 1


async def test_retry_after_holds_back_others_of_that_host_only(origin: Origin, tmp_path: Path) -> None:
    gate = asyncio.Event()
    first = origin.add("a", Answer(status=429, headers={"Retry-After": "1"}, gate=gate), Answer())
    second = origin.add("b", Answer())
    async with (
        Origin() as other,
        fetcher(tmp_path, per_host=1) as fetching,
        under_way(fetching, first, second) as tasks,
    ):
        await origin.arrived("a")
        gate.set()
        await fetch(fetching, other.add("c", Answer()))
        await asyncio.gather(*tasks)
    asked_at = origin.requests[0].at
    assert len(origin.requests) == 3
    assert all(seen.at - asked_at >= 1 for seen in origin.requests[1:])


@pytest.mark.parametrize(
    "asked", ["121", "99999999999999999999", "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"]
)
async def test_retry_after_beyond_patience_ends_it(origin: Origin, tmp_path: Path, asked: str) -> None:
    url = origin.add("a", Answer(status=503, headers={"Retry-After": asked}), Answer())
    async with fetcher(tmp_path) as fetching:
        with pytest.raises(HttpStatusError) as caught:
            await fetch(fetching, url)
        assert caught.value.attempts == origin.hits["/a"] == 1
        assert caught.value.retry_after
        assert (await fetch(fetching, url)).attempts == 1


async def test_who_waits_to_try_again_holds_no_place(origin: Origin, tmp_path: Path) -> None:
    failing = origin.add("a", Answer(status=503))
    async with (
        fetcher(tmp_path, per_host=1, backoff=LONG) as fetching,
        under_way(fetching, failing) as (waiting,),
    ):
        await origin.arrived("a")
        await fetch(fetching, origin.add("b", Answer()))
        assert not waiting.done()
    assert origin.hits["/a"] == 1


async def test_host_gets_no_more_connections_than_set(origin: Origin, tmp_path: Path) -> None:
    gate = asyncio.Event()
    urls = [origin.add(f"{number}", Answer(body=IMAGE, gate=gate)) for number in range(20)]
    moved = origin.add("moved", Answer.redirect("/0"))
    async with (
        fetcher(tmp_path, per_host=3) as fetching,
        under_way(fetching, *urls, *[moved] * 5) as tasks,
    ):
        for number in range(3):
            await origin.arrived(f"{number}")
        gate.set()
        await asyncio.gather(*tasks)
        assert origin.most_at_once == 3
        # those that are kept alive count too, and are used again
        assert origin.connections == origin.most_connections == 3


async def test_waiting_for_a_place_costs_no_time_of_the_try(origin: Origin, tmp_path: Path) -> None:
    """All together take longer than one may; each waits before both of its hops."""
    url = origin.add("a", Answer(status=302, headers={"Location": "/b"}, delay=0.1))
    origin.add("b", Answer(delay=0.1))
    async with (
        fetcher(tmp_path, per_host=1, timeout=3, retries=0) as fetching,
        under_way(fetching, *[url] * 20) as tasks,
    ):
        await asyncio.gather(*tasks)
    assert origin.requests[-1].at - origin.requests[0].at > 3


async def test_hanging_host_holds_up_no_other(origin: Origin, tmp_path: Path) -> None:
    hanging = [origin.add(f"{number}", Answer.hang()) for number in range(200)]
    async with (
        Origin() as healthy,
        fetcher(tmp_path, per_host=2, timeout=LONG) as fetching,
        under_way(fetching, *hanging) as tasks,
    ):
        await origin.arrived("0")
        await origin.arrived("1")
        for number in range(5):
            await fetch(fetching, healthy.add(f"{number}", Answer(body=IMAGE)))
        assert not any(task.done() for task in tasks)
    assert origin.most_at_once == 2


async def test_redirect_takes_a_place_where_it_leads_and_leaves_its_own(
    origin: Origin, tmp_path: Path
) -> None:
    async with Origin() as other, fetcher(tmp_path, per_host=1, timeout=LONG) as fetching:
        leaving = origin.add("a", Answer.redirect(other.add("hang", Answer.hang())))
        async with under_way(fetching, leaving, other.add("b", Answer())) as (redirected, behind):
            await other.arrived("hang")
            await fetch(fetching, origin.add("c", Answer()))
            assert not redirected.done()
            redirected.cancel()
            await behind
        assert other.most_at_once == 1


async def test_crossing_redirects_do_not_wait_for_each_other(origin: Origin, tmp_path: Path) -> None:
    async with Origin() as other, fetcher(tmp_path, per_host=1) as fetching:
        there = origin.add("a", Answer.redirect(other.add("b", Answer(body=IMAGE))))
        back = other.add("c", Answer.redirect(origin.add("d", Answer(body=IMAGE))))
        within = origin.add("e", Answer.redirect("/d"))
        async with under_way(fetching, *[there, back, within] * 10) as tasks:
            await asyncio.gather(*tasks)
        assert origin.most_at_once == other.most_at_once == 1
