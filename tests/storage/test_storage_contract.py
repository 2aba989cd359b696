"""Claims of every storage; a new implementation is one more line in STORAGES."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from resizer.config import StorageSettings
from resizer.errors import StorageFailure
from resizer.storage.base import Storage
from resizer.storage.local import LocalStorage
from resizer.storage.object_store import ObjectStorage
from resizer.support.in_flight import InFlight

NAME = "0123456789abcdef0123456789abcdef.jpg"

Opener = Callable[[pytest.FixtureRequest, Path], AbstractAsyncContextManager[Storage]]


def open_local(request: pytest.FixtureRequest, folder: Path) -> AbstractAsyncContextManager[Storage]:
    del request
    return LocalStorage(folder / "compressed", InFlight())


def open_s3(request: pytest.FixtureRequest, folder: Path) -> AbstractAsyncContextManager[Storage]:
    settings = StorageSettings(**request.getfixturevalue("s3_settings"))
    return ObjectStorage(settings, drafts=folder / "drafts")


STORAGES: dict[str, Opener] = {"local": open_local, "s3": open_s3}


@pytest.fixture(params=list(STORAGES.values()), ids=list(STORAGES))
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    opener: Opener = request.param
    async with opener(request, tmp_path) as storage:
        yield storage


def written(storage: Storage, content: bytes) -> Path:
    draft = storage.draft()
    draft.write_bytes(content)
    return draft


async def content_of(storage: Storage, name: str) -> bytes | None:
    async with storage.on_disk(name) as path:
        return path.read_bytes() if path else None


async def test_what_is_put_is_found(storage: Storage) -> None:
    draft = written(storage, b"bytes")
    await storage.put(draft, NAME)
    assert await content_of(storage, NAME) == b"bytes"
    assert not draft.exists()


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "gif", "avif", "bmp", "tiff"])
async def test_every_format_has_its_ending(storage: Storage, ending: str) -> None:
    name = f"{'0' * 32}.{ending}"
    await storage.put(written(storage, b"bytes"), name)
    assert await content_of(storage, name) == b"bytes"


async def test_names_are_those_that_were_put_and_nothing_else(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("local", "object_store"):
        monkeypatch.setattr(f"resizer.storage.{module}.PAGE", 2)
    await storage.check()
    written(storage, b"a draft")
    names = [f"{number:032x}.png" for number in range(5)]
    for name in names:
        await storage.put(written(storage, b"bytes"), name)
    pages = [page async for page in storage.files()]
    assert sorted(name for page in pages for name in page) == names
    assert all(len(page) <= 2 for page in pages)


async def test_a_file_has_the_age_of_its_put(storage: Storage) -> None:
    began = time.time()
    await storage.put(written(storage, b"bytes"), NAME)
    (page,) = [page async for page in storage.files() if page]
    # stores return whole seconds
    assert began - 2 < page[NAME] <= time.time()


async def test_what_was_not_put_is_not_found(storage: Storage) -> None:
    assert await storage.find(NAME) is None


async def test_a_name_that_is_there_keeps_its_file(storage: Storage) -> None:
    await storage.put(written(storage, b"first"), NAME)
    draft = written(storage, b"second")
    await storage.put(draft, NAME)
    assert await content_of(storage, NAME) == b"first"
    assert not draft.exists()


async def test_many_put_one_name_at_once(storage: Storage) -> None:
    drafts = [written(storage, b"the same") for _ in range(8)]
    await asyncio.gather(*(storage.put(draft, NAME) for draft in drafts))
    assert await content_of(storage, NAME) == b"the same"
    assert not any(draft.exists() for draft in drafts)


async def test_drafts_are_fresh(storage: Storage) -> None:
    drafts = [storage.draft() for _ in range(10)]
    assert len(set(drafts)) == 10
    assert not any(draft.exists() for draft in drafts)
    assert all(draft.parent.is_dir() for draft in drafts)


async def test_a_draft_is_not_found_as_a_file(storage: Storage) -> None:
    assert await storage.find(written(storage, b"bytes").name) is None


async def test_a_draft_that_was_never_written_is_a_storage_failure(storage: Storage) -> None:
    with pytest.raises(StorageFailure):
        await storage.put(storage.draft(), NAME)
    assert await storage.find(NAME) is None


async def test_a_foreign_name_is_a_bug_and_takes_the_draft_with_it(storage: Storage) -> None:
    draft = written(storage, b"bytes")
    with pytest.raises(ValueError, match="not a name"):
        await storage.put(draft, "../evil.jpg")
    assert not draft.exists()


async def test_a_cancelled_put_leaves_no_draft_and_no_torn_file(storage: Storage) -> None:
    for number in range(20):
        name = f"{number:032x}.png"
        draft = written(storage, b"x" * 100_000)
        put = asyncio.create_task(storage.put(draft, name))
        for _ in range(1 + number % 5):
            await asyncio.sleep(0)
        put.cancel()
        await asyncio.wait({put})
        assert not draft.exists()
        assert await content_of(storage, name) in {None, b"x" * 100_000}


async def test_what_is_deleted_is_not_found(storage: Storage) -> None:
    await storage.put(written(storage, b"first"), NAME)
    await storage.delete(NAME)
    assert await storage.find(NAME) is None
    await storage.delete(NAME)
    await storage.put(written(storage, b"second"), NAME)
    assert await content_of(storage, NAME) == b"second"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        f"../compressed/{NAME}",
        f"./{NAME}",
        f"{NAME}/",
        f"{NAME}\n",
        f"{NAME}\0",
        f" {NAME}",
        NAME.upper(),
        NAME.replace(".jpg", ".jpeg"),
        NAME.replace(".jpg", ".svg"),
        NAME.replace(".jpg", ""),
        NAME[1:],
        "٠" * 32 + ".jpg",
        "x" * 5000,
    ],
)
async def test_another_name_is_never_found(storage: Storage, name: str) -> None:
    await storage.put(written(storage, b"bytes"), NAME)
    assert await storage.find(name) is None
    await storage.delete(name)
    assert await content_of(storage, NAME) == b"bytes"
