import asyncio
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from full_disk import read_only
from resizer.compress.pool import CompressPool
from resizer.errors import DatabaseFailure, NoSpace, ResizerError, StorageFailure
from resizer.web.api.upload_body import SMALL
from resizer.web.keys import CHECKS, STORAGE
from service import Client, catalogue, form, problem

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
    monkeypatch.setattr("resizer.web.api.health.PATIENCE", 0.05)
    client = await serve()
    checks = client.server.app[CHECKS]  # type: ignore[attr-defined]
    # the others answer at once, however slow the machine
    checks.update(dict.fromkeys(checks, partial(asyncio.sleep, 0)), storage=asyncio.Event().wait)
    async with client.get("/readyz") as response:
        assert (await problem(response, 503))["failing"] == ["storage"]


async def test_pool_without_a_process_is_at_fault(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await serve()
    monkeypatch.setattr(CompressPool, "pids", [])
    async with client.get("/readyz") as response:
        assert (await problem(response, 503))["failing"] == ["pool"]


def without_spool(data: Path) -> None:
    shutil.rmtree(data / "spool")


def with_a_file_for_a_spool(data: Path) -> None:
    without_spool(data)
    (data / "spool").touch(mode=0o777)


def without_database(data: Path) -> None:
    (data / "resizer.db").rename(data / "moved.db")


def with_another_database(data: Path) -> None:
    shutil.copy(data / "resizer.db", data / "copy.db")
    (data / "copy.db").replace(data / "resizer.db")


def moved_away(data: Path) -> None:
    data.rename(data.with_name("elsewhere"))


@pytest.mark.parametrize(
    "spoil, part",
    [
        (without_spool, "spool"),
        (with_a_file_for_a_spool, "spool"),
        (without_database, "database"),
        (with_another_database, "database"),
        (moved_away, "database"),
    ],
)
async def test_folder_that_is_changed_under_the_service_is_told_and_nothing_is_taken(
    spoil: Callable[[Path], None],
    part: str,
    serve: Serve,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = await serve()
    spoil(tmp_path / "data")
    async with client.get("/readyz") as response:
        assert part in (await problem(response, 503))["failing"]
    for name in ("One", "One" * SMALL):
        data = catalogue([(name, "http://127.0.0.1:1/a.jpg")])
        async with client.post("/upload", data=form(data)) as response:
            await problem(response, 503)
    assert "Traceback" not in caplog.text


async def test_upload_for_which_the_spool_may_only_be_read_is_refused(serve: Serve, tmp_path: Path) -> None:
    client = await serve()
    with read_only(tmp_path / "data" / "spool") as arranged:
        if not arranged:
            pytest.skip("nothing may be mounted here, and modes do not bind root")
        details = []
        for name in ("One", "One" * SMALL):
            data = catalogue([(name, "http://127.0.0.1:1/a.jpg")])
            async with client.post("/upload", data=form(data)) as response:
                details.append((await problem(response, 503))["detail"])
    assert details[0] == details[1]
