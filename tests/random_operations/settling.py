"""What a client must find once all is quiet: every request that was accepted, and everything it names."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import aiohttp
from customer import Customer
from memory import Upload

from process import PATIENCE

#: what must come to nothing by itself while no client asks for anything
UNDER_WAY = {
    "deliveries": "SELECT count(*) FROM deliveries WHERE status = 'pending'",
    "batches that go": "SELECT count(*) FROM batches WHERE NOT ready OR forgotten",
    "files that go": "SELECT count(*) FROM orphans",
}


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database itself, which may be in use, for reading."""
    uri = f"{(folder / 'resizer.db').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


async def settle(customer: Customer, folder: Path) -> None:
    """Wait until everything has come to its end, and hold it against what the client knows."""
    customer.shop.calm()
    await _expired_are_gone(customer)
    await _learn_what_was_lost(customer)
    for _, upload in customer.memory.living():
        status = await customer.status(upload, wait=60)
        assert status is not None
        assert status["done"], status
    await _quiet(folder)
    for _, upload in customer.memory.living():
        await _check_answers(customer, upload)


async def _expired_are_gone(customer: Customer) -> None:
    for upload in customer.memory.uploads:
        async with asyncio.timeout(PATIENCE):
            while upload.expired and not upload.deleted:
                upload.deleted = await customer.status(upload) is None
                await asyncio.sleep(0.02)


async def _learn_what_was_lost(customer: Customer) -> None:
    """Look in the list for requests whose 202 never came, and for those whose deletion may not have been."""
    listed = await customer.list_all()
    for upload in customer.memory.uploads:
        ids = listed.pop(upload.filename, [])
        if upload.deleted:
            assert not ids, f"#{upload.number} was deleted, and is listed"
        elif upload.deleting:
            assert ids in ([], [upload.request_id]), f"#{upload.number}: {ids}"
            upload.deleted, upload.deleting = not ids, not ids
        elif upload.request_id:
            assert ids == [upload.request_id], f"#{upload.number} was accepted: {ids}"
        else:
            assert len(ids) <= 1, f"#{upload.number} was sent once: {ids}"
            upload.request_id = ids[0] if ids else None
    assert not listed, f"requests that nobody sent: {listed}"


async def _quiet(folder: Path) -> None:
    """Wait until webhooks are delivered or given up, and all that is to go has gone, unnamed files too."""
    left: dict[str, object] = {}
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                with reading(folder) as connection:
                    counted = {name: connection.execute(sql).fetchone()[0] for name, sql in UNDER_WAY.items()}
                    named = {name for (name,) in connection.execute("SELECT filename FROM images")}
                left = {name: count for name, count in counted.items() if count}
                left |= {path.name: "in the spool" for path in (folder / "spool").iterdir()}
                # drafts among them
                stored = {path.name for path in (folder / "compressed").iterdir()}
                left |= dict.fromkeys(stored - named, "stored, and named by no row")
                if not left:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"it does not come to rest: {left}") from None


async def _check_answers(customer: Customer, upload: Upload) -> None:
    """Result, list, archive and files tell the same."""
    cells = await customer.result(upload)
    found = await customer.images(upload)
    archive = await customer.archive(upload)
    assert cells is not None
    assert found is not None
    assert archive is not None
    slots = [slot for cell, urls in zip(cells, upload.urls, strict=True) if urls for slot in cell.split(",")]
    assert slots == [image["output_url"] or "" for image in found], f"#{upload.number}: {slots} {found}"
    for image in found:
        assert bool(image["output_url"]) == (image["status"] == "completed"), image
        assert bool(image["error"]) == (image["status"] == "failed"), image
    sizes = {image["output_url"]: image["output_bytes"] for image in found if image["output_url"]}
    for url, size in sizes.items():
        await _check_served(customer.session, url, size)
    assert "errors.txt" not in archive.namelist(), f"#{upload.number}: {archive.namelist()}"
    packed = {info.file_size for info in archive.infolist() if info.filename != "result.csv"}
    assert packed == set(sizes.values()), f"#{upload.number}: {archive.namelist()}"


async def _check_served(session: aiohttp.ClientSession, url: str, size: int) -> None:
    async with session.get(url) as response:
        assert response.status == 200, f"{url}: {response.status}"
        assert len(await response.read()) == size, url
