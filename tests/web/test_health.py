import asyncio
from collections.abc import Awaitable, Callable

import pytest

from resizer.engine.pool import CompressPool
from resizer.errors import DatabaseFailure, NoSpace, ResizerError, StorageFailure
from resizer.web.keys import CHECKS, STORAGE
from service import Client, problem

Serve = Callable[..., Awaitable[Client]]


async def test_service_that_is_well_says_so(serve: Serve) -> None:
    client = await serve()
    for path in ("/healthz", "/readyz"):
        async with client.get(path) as response:
            assert response.status == 200
            assert await response.json() == {"status": "ok"}


async def test_checks_leave_nothing_behind(serve: Serve) -> None:
    client = await serve()
    app = client.server.app  # type: ignore[attr-defined]
    for check in app[CHECKS].values():
        await check()
    assert not list(app[STORAGE].draft().parent.iterdir())


@pytest.mark.parametrize(
    "part, error",
    [
        ("database", DatabaseFailure("attempt to write a readonly database")),
        ("database", NoSpace()),
        ("storage", StorageFailure("no space left on the disk")),
    ],
)
async def test_part_at_fault_is_named(part: str, error: ResizerError, serve: Serve) -> None:
    client = await serve()

    async def fails() -> None:
        raise error

    client.server.app[CHECKS][part] = fails  # type: ignore[attr-defined]
    async with client.get("/readyz") as response:
        body = await problem(response, 503)
    assert body["failing"] == [part]
    assert f"{part}: {error}" in body["detail"]
    async with client.get("/healthz") as response:
        assert response.status == 200


async def test_part_that_does_not_answer_is_at_fault(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resizer.web.health.PATIENCE", 0.05)
    client = await serve()
    client.server.app[CHECKS]["storage"] = asyncio.Event().wait  # type: ignore[attr-defined]
    async with client.get("/readyz") as response:
        assert (await problem(response, 503))["failing"] == ["storage"]


async def test_pool_without_a_process_is_at_fault(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await serve()
    monkeypatch.setattr(CompressPool, "pids", [])
    async with client.get("/readyz") as response:
        assert (await problem(response, 503))["failing"] == ["pool"]
