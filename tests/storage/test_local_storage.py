import asyncio
import errno
import gc
import os
import pickle
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import aiofiles.os
import pytest

from resizer.errors import ConfigError, StorageFailure
from resizer.storage import local
from resizer.storage.local import LocalStorage
from resizer.support.atomic_file import sync
from resizer.support.in_flight import InFlight

NAME = "0123456789abcdef0123456789abcdef.jpg"

#: opens the storage, leaves a draft, prints its path, and exits when standard input ends
OWNER = """
import asyncio, os, sys
from pathlib import Path
from typing import Any
from resizer.storage.local import LocalStorage
from resizer.support.in_flight import InFlight

async def main():
    async with LocalStorage(Path(sys.argv[1]), InFlight()) as storage:
        draft = storage.draft()
        draft.write_bytes(b"half")
        print(draft, flush=True)
        sys.stdin.read()
        os._exit(1)

asyncio.run(main())
"""


@contextmanager
def owner(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run another process on the folder; yields its draft."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def written(storage: LocalStorage, content: bytes = b"bytes") -> Path:
    draft = storage.draft()
    draft.write_bytes(content)
    return draft


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_the_folder_is_made_and_holds_only_files_after_closing(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    async with LocalStorage(folder, InFlight()) as storage:
        await storage.put(written(storage), NAME)
        written(storage)
    assert names_in(folder) == [NAME]


async def test_leftovers_of_a_crash_are_swept_and_files_stay(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"bytes")
    (tmp_path / "notes.txt").write_text("a file of the user")
    with owner(tmp_path) as (process, draft):
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        assert draft.exists()
    async with LocalStorage(tmp_path, InFlight()):
        assert not draft.exists()
    assert names_in(tmp_path) == [NAME, "notes.txt"]


async def test_leftovers_are_swept_though_the_clock_was_set_back(tmp_path: Path) -> None:
    draft = tmp_path / ".0123456789abcdef-1.draft"
    draft.write_bytes(b"half")
    os.utime(draft, (2**32, 2**32))
    async with LocalStorage(tmp_path, InFlight()):
        assert not draft.exists()


async def test_drafts_of_a_living_neighbour_stay(tmp_path: Path) -> None:
    with owner(tmp_path) as (_, draft):
        async with LocalStorage(tmp_path, InFlight()) as storage:
            assert draft.read_bytes() == b"half"
            await storage.put(written(storage), NAME)
        assert draft.read_bytes() == b"half"


async def test_beside_a_neighbour_only_drafts_that_nobody_can_be_at_are_swept(tmp_path: Path) -> None:
    with owner(tmp_path) as (_, draft):
        old = tmp_path / ".0123456789abcdef-1.draft"
        old.write_bytes(b"half")
        os.utime(old, (0, 0))
        async with LocalStorage(tmp_path, InFlight()):
            assert draft.exists()
            assert not old.exists()


async def test_nothing_but_files_lies_in_the_folder_while_it_is_open(tmp_path: Path) -> None:
    async with LocalStorage(tmp_path, InFlight()) as storage:
        await storage.put(written(storage), NAME)
        assert names_in(tmp_path) == [NAME]


async def test_many_open_one_folder_at_once(tmp_path: Path) -> None:
    storages = [LocalStorage(tmp_path, InFlight()) for _ in range(20)]
    await asyncio.gather(*(storage.__aenter__() for storage in storages))
    drafts = [written(storage) for storage in storages]
    assert len(set(drafts)) == 20
    await asyncio.gather(*(storage.__aexit__(None, None, None) for storage in storages))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
async def test_files_have_the_mode_that_the_umask_says(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        async with LocalStorage(tmp_path, InFlight()) as storage:
            draft = written(storage)
            draft.chmod(0o600)
            await storage.put(draft, NAME)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o666 & ~umask


async def test_a_file_is_synced_then_named_then_its_folder_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fsync, replace = os.fsync, Path.replace

    def record_fsync(file: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "sync file")
        fsync(file)

    def record_replace(self: Path, target: Path) -> Path:
        steps.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    async with LocalStorage(tmp_path, InFlight()) as storage:
        await storage.put(written(storage), NAME)
        assert steps == ["sync file", "name", "sync folder"]
        await storage.put(written(storage), NAME)
        assert steps[3:] == ["sync folder"]


async def test_puts_of_the_same_time_share_a_sync_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync follows all renames of its batch, and puts that arrive while it runs do not wait for it."""
    running, gate, syncs = threading.Event(), threading.Event(), []

    def slow(folder: Path) -> None:
        syncs.append(sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")))
        running.set()
        if len(syncs) == 1:
            assert gate.wait(60)

    monkeypatch.setattr(local, "sync", slow)
    async with LocalStorage(tmp_path, InFlight()) as storage:
        names = [f"{number:032x}.jpg" for number in range(20)]
        first = [asyncio.create_task(storage.put(written(storage), name)) for name in names[:10]]
        await asyncio.to_thread(running.wait)
        await asyncio.gather(*(storage.put(written(storage), name) for name in names[10:]))
        assert not any(task.done() for task in first)
        gate.set()
        await asyncio.gather(*first)
    assert syncs == [names[:10], names]


async def test_one_that_cannot_be_put_does_not_fail_those_beside_it(tmp_path: Path) -> None:
    names = [f"{number:032x}.jpg" for number in range(3)]
    async with LocalStorage(tmp_path, InFlight()) as storage:
        drafts = [written(storage), storage.draft(), written(storage)]
        ends = await asyncio.gather(*map(storage.put, drafts, names), return_exceptions=True)
        assert [type(end) for end in ends] == [type(None), StorageFailure, type(None)]
        assert [await storage.find(name) is not None for name in names] == [True, False, True]


async def test_a_folder_that_cannot_be_synced_fails_all_that_are_new_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with LocalStorage(tmp_path, InFlight()) as storage:
        monkeypatch.setattr(local, "sync", fail)
        puts = [storage.put(written(storage), f"{number:032x}.jpg") for number in range(3)]
        ends = await asyncio.gather(*puts, return_exceptions=True)
        assert all(isinstance(end, StorageFailure) for end in ends)


@pytest.mark.parametrize("before", ["resizer.storage.local.sync", "os.fsync"])
async def test_file_waits_for_a_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """If only the sync of the folder failed, the file has its name already."""
    real: Callable[[Any], None] = sync if before != "os.fsync" else os.fsync
    refused = iter(range(3))

    def refuse(what: Any) -> None:
        if next(refused, None) is not None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        real(what)

    monkeypatch.setattr(local, "PAUSE", 0.001)
    monkeypatch.setattr(before, refuse)
    async with LocalStorage(tmp_path, InFlight()) as storage:
        draft = written(storage)
        await storage.put(draft, NAME)
        assert await storage.find(NAME) == tmp_path / NAME
        assert not draft.exists()
    assert next(refused, None) is None


@pytest.mark.parametrize(
    "number, message",
    [
        (errno.ENOSPC, "no space left on the disk of {folder}"),
        (errno.EDQUOT, "quota of {folder}"),
        (errno.EACCES, "no permission to write to {folder}"),
        (errno.EROFS, "disk of {folder} is mounted read-only"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ESTALE, os.strerror(errno.ESTALE)),
    ],
)
async def test_a_fault_of_the_disk_is_told_to_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    async with LocalStorage(tmp_path, InFlight()) as storage:
        monkeypatch.setattr(local, "PATIENCE", 0.0)
        monkeypatch.setattr(os, "fsync", fail)
        draft = written(storage)
        with pytest.raises(StorageFailure) as caught:
            await storage.put(draft, NAME)
        assert message.format(folder=tmp_path) in str(caught.value)
        assert "Errno" not in str(caught.value)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        assert not draft.exists()
        assert await storage.find(NAME) is None
        monkeypatch.undo()
        await storage.put(written(storage), NAME)
        assert await storage.find(NAME) == tmp_path / NAME


async def test_a_folder_sync_that_fails_fails_the_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with LocalStorage(tmp_path, InFlight()) as storage:
        monkeypatch.setattr(local, "sync", fail)
        with pytest.raises(StorageFailure, match="reports errors"):
            await storage.put(written(storage), NAME)
        monkeypatch.undo()
        await storage.put(written(storage), NAME)


async def test_a_folder_that_vanished_is_a_storage_failure(tmp_path: Path) -> None:
    folder = tmp_path / "compressed"
    async with LocalStorage(folder, InFlight()) as storage:
        draft = written(storage)
        folder.rename(tmp_path / "elsewhere")
        with pytest.raises(StorageFailure, match="compressed"):
            await storage.put(draft, NAME)


async def test_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/none")):
        with pytest.raises(ConfigError, match=f"storage.path: the folder {folder} cannot be used") as caught:
            await LocalStorage(folder, InFlight()).__aenter__()
        assert "Errno" not in str(caught.value)


async def test_a_foreign_name_never_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise AssertionError("the disk was asked")

    async with LocalStorage(tmp_path, InFlight()) as storage:
        monkeypatch.setattr(os.path, "isfile", fail)
        monkeypatch.setattr(aiofiles.os, "remove", fail)
        for name in (f"../{NAME}", f"{NAME}\n", "/etc/passwd", ""):
            assert await storage.find(name) is None
            await storage.delete(name)


async def test_what_the_disk_does_not_let_see_is_not_there(tmp_path: Path) -> None:
    """A path that is too long raises an error as a lost network disk does; Python hides most others."""
    storage = LocalStorage(tmp_path / ("long" * 100), InFlight())
    assert not any(await asyncio.gather(storage.find(NAME), storage.find(NAME)))


async def test_fault_of_a_look_is_told_to_all_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> bool:
        raise RuntimeError("can't start new thread")

    async with LocalStorage(tmp_path, InFlight()) as storage:
        with monkeypatch.context() as patch:
            patch.setattr(os.path, "isfile", fail)
            found = await asyncio.gather(storage.find(NAME), storage.find(NAME), return_exceptions=True)
        assert [type(each) for each in found] == [RuntimeError, RuntimeError]
        assert await storage.find(NAME) is None


async def test_a_folder_of_a_files_name_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    async with LocalStorage(tmp_path, InFlight()) as storage:
        assert await storage.find(NAME) is None
        with pytest.raises(StorageFailure):
            await storage.delete(NAME)


async def test_drafts_need_an_open_storage(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        LocalStorage(tmp_path, InFlight()).draft()


async def test_a_listing_that_is_cancelled_leaves_no_folder_open(tmp_path: Path) -> None:
    """A folder left open is a warning, and so an error here."""
    async with LocalStorage(tmp_path, InFlight()) as storage:

        async def list_all() -> None:
            async with aclosing(storage.files()) as pages:
                async for _ in pages:
                    pass

        for steps in range(12):
            listing = asyncio.create_task(list_all())
            for _ in range(steps):
                await asyncio.sleep(0)
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)
    gc.collect()
