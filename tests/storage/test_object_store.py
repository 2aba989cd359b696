"""Claims of the object store alone; those of every storage are in test_storage_contract."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import obstore
import pytest

from faulty_store import FaultyStore
from resizer.config import StorageSettings
from resizer.errors import ConfigError, StorageFailure
from resizer.storage import object_store
from resizer.storage.object_store import ObjectStorage, open_store
from s3 import S3Server, free_port
from service import settings_for

NAME = "0123456789abcdef0123456789abcdef.webp"

S3Settings = dict[str, str]


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "RETRIES", 1)


@pytest.fixture
async def storage(s3_settings: S3Settings, tmp_path: Path) -> AsyncIterator[ObjectStorage]:
    async with ObjectStorage(StorageSettings(**s3_settings), drafts=tmp_path) as opened:
        yield opened


def left(folder: Path) -> list[Path]:
    return [*folder.iterdir()]


async def put(storage: ObjectStorage, content: bytes, name: str = NAME) -> None:
    draft = storage.draft()
    draft.write_bytes(content)
    await storage.put(draft, name)


async def test_object_says_what_it_is_and_may_be_kept_for_ever(
    storage: ObjectStorage, s3_settings: S3Settings
) -> None:
    await put(storage, b"picture")
    answer = await obstore.get_async(open_store(StorageSettings(**s3_settings)), NAME)
    assert bytes(await answer.bytes_async()) == b"picture"
    assert answer.attributes == {
        "Content-Type": "image/webp",
        "Cache-Control": "public, max-age=31536000, immutable",
    }


async def test_object_is_read_in_parts(storage: ObjectStorage) -> None:
    content = bytes(range(256)) * 4096
    await put(storage, content)
    found = await storage.find(NAME)
    assert found is not None
    assert found.size == len(content)
    pieces = [piece async for piece in found.read(1000, 900_000)]
    assert b"".join(pieces) == content[1000:900_000]
    assert len(pieces) > 1
    assert [piece async for piece in found.read(5, 5)] == []


async def test_file_that_goes_while_it_is_read_is_a_failure(storage: ObjectStorage) -> None:
    await put(storage, b"picture")
    found = await storage.find(NAME)
    assert found is not None
    await storage.delete(NAME)
    with pytest.raises(StorageFailure, match="deleted while it was read"):
        assert [piece async for piece in found.read(0, 3)] == []


async def test_copy_is_gone_on_leaving(storage: ObjectStorage, tmp_path: Path) -> None:
    await put(storage, b"picture")
    async with storage.on_disk(NAME) as copy:
        assert copy is not None
        assert copy.read_bytes() == b"picture"
    assert left(tmp_path) == []


async def test_bucket_that_is_not_there_is_named(s3_settings: S3Settings, tmp_path: Path) -> None:
    settings = StorageSettings(**{**s3_settings, "bucket": "nobody-made-it"})
    async with ObjectStorage(settings, drafts=tmp_path) as storage:
        with pytest.raises(StorageFailure, match=r"bucket nobody-made-it .* does not exist; create it"):
            await put(storage, b"picture")
        with pytest.raises(StorageFailure, match="nobody-made-it"):
            await storage.check()
    assert left(tmp_path) == []


async def test_store_that_is_away_is_a_failure_until_it_is_back(
    s3_settings: S3Settings, tmp_path: Path
) -> None:
    server = S3Server(free_port(), tmp_path / "log")
    drafts = tmp_path / "drafts"
    settings = StorageSettings(**{**s3_settings, "endpoint": server.endpoint, "bucket": "comes-later"})
    async with ObjectStorage(settings, drafts=drafts) as storage:
        for operation in (put(storage, b"picture"), storage.find(NAME), storage.check()):
            with pytest.raises(StorageFailure, match=rf"comes-later at {server.endpoint} cannot be used"):
                await operation
        with pytest.raises(StorageFailure, match="comes-later"):
            await storage.delete(NAME)
        assert left(drafts) == []
        server.start()
        try:
            server.make_bucket("comes-later")
            await storage.check()
            await put(storage, b"picture")
            assert await storage.find(NAME) is not None
        finally:
            server.stop()


async def test_passing_faults_are_tried_again(s3: S3Server, s3_settings: S3Settings, tmp_path: Path) -> None:
    """A store that responds with 503 at first, as S3 does under load."""
    async with FaultyStore(s3.endpoint) as between:
        settings = StorageSettings(**{**s3_settings, "endpoint": between.url})
        async with ObjectStorage(settings, drafts=tmp_path) as storage:
            await storage.check()
            between.faults = 1
            await put(storage, b"picture")
            between.faults = 1
            found = await storage.find(NAME)
            assert found is not None
            assert between.refused == 2


async def test_credentials_that_are_refused_are_told(s3_settings: S3Settings, tmp_path: Path) -> None:
    async with FaultyStore(s3_settings["endpoint"], faults=10_000, status=403) as between:
        settings = StorageSettings(**{**s3_settings, "endpoint": between.url})
        async with ObjectStorage(settings, drafts=tmp_path) as storage:
            with pytest.raises(StorageFailure, match="refuses the credentials; set AWS_ACCESS_KEY_ID"):
                await put(storage, b"picture")


async def test_store_that_knows_no_conditions_is_asked_first(s3_settings: S3Settings, tmp_path: Path) -> None:
    async with FaultyStore(s3_settings["endpoint"], without_conditions=True) as between:
        settings = StorageSettings(**{**s3_settings, "endpoint": between.url})
        async with ObjectStorage(settings, drafts=tmp_path) as storage:
            await put(storage, b"first")
            await put(storage, b"second")
            async with storage.on_disk(NAME) as copy:
                assert copy is not None
                assert copy.read_bytes() == b"first"


def test_bucket_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"storage\.bucket"):
        ObjectStorage(StorageSettings(kind="s3"), drafts=tmp_path)


@pytest.mark.parametrize(
    "section, variables",
    [
        ({"kind": "s3"}, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}),
        ({"kind": "s3", "region": "eu-west-1"}, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}),
        ({"kind": "s3", "endpoint": "http://127.0.0.1:9"}, {}),
        ({"kind": "gcs"}, {}),
        ({"kind": "azure"}, {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "Yg=="}),
    ],
    ids=["s3", "s3 with a region", "s3 elsewhere", "gcs", "azure"],
)
def test_every_kind_opens_with_the_defaults(
    section: dict[str, Any], variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = settings_for(tmp_path, storage={"bucket": "pictures", **section}).storage
    assert settings.prefix == ""
    open_store(settings)


async def test_store_that_cannot_be_reached_is_told_with_the_cause(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    endpoint = f"http://127.0.0.1:{unused_tcp_port}"
    settings = settings_for(tmp_path, storage={"kind": "s3", "bucket": "pictures", "endpoint": endpoint})
    async with ObjectStorage(settings.storage, drafts=tmp_path) as storage:
        with pytest.raises(StorageFailure, match="Connection refused") as caught:
            await storage.check()
    assert endpoint in str(caught.value)


def test_half_of_the_credentials_is_told_with_what_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    settings = settings_for(tmp_path, storage={"kind": "s3", "bucket": "pictures"}).storage
    with pytest.raises(ConfigError, match="AWS_SECRET_ACCESS_KEY"):
        open_store(settings)
