"""No host gets more connections at once than `fetch.per_host`, whatever leads to it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from origin import Answer, Origin
from photos import jpeg
from service import Client, catalogue, settled, upload

Serve = Callable[..., Awaitable[Client]]

PER_HOST = 3


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_host_counts_no_more_connections_than_set(
    serve: Serve, origin: Origin, *, keep_alive: bool
) -> None:
    """Its own images, redirects of two other hosts, tries again, and two requests, all at the same time.

    Connections that are kept alive and idle count too.
    """
    body = jpeg(width=64, height=48)
    fine = Answer(body=body, delay=0.01, close=not keep_alive)
    busy = Answer(status=503, delay=0.01, close=not keep_alive)
    async with Origin() as first, Origin() as second:
        client = await serve(fetch={"per_host": PER_HOST, "retries": 1})
        catalogues = []
        for batch in range(2):
            urls = [origin.add(f"{batch}/own/{number}", fine) for number in range(20)]
            urls += [origin.add(f"{batch}/again/{number}", busy, fine) for number in range(2)]
            urls += [origin.add(f"{batch}/broken/{number}", Answer.silent(), fine) for number in range(1)]
            for other in (first, second):
                urls += [
                    other.add(f"{batch}/{number}", Answer.redirect(origin.url(f"{batch}/own/{number}")))
                    for number in range(10)
                ]
            catalogues.append(catalogue([("A", url) for url in urls]))
        accepted = await asyncio.gather(*(upload(client, each) for each in catalogues))
        for each in accepted:
            status = await settled(client, each["request_id"])
            assert status["images"]["completed"] == status["images"]["total"] == 43
    assert origin.most_at_once == PER_HOST
    assert origin.most_connections == PER_HOST
    assert max(first.most_connections, second.most_connections) <= PER_HOST
    assert sum(origin.hits.values()) == 2 * (20 + 2 * 10 + 2 * 2 + 2 * 1)
