"""Uploads are refused while the next start would not find them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from databases import opened_database, published
from resizer.database import Database
from resizer.errors import DatabaseFailure, NoSpace


def replaced(file: Path) -> None:
    file.rename(file.with_name("moved"))
    file.write_bytes(file.with_name("moved").read_bytes())


@pytest.mark.parametrize("act", [lambda file: file.rename(file.with_name("moved")), replaced])
async def test_moved_file_refuses_uploads_until_it_is_put_back(
    act: Callable[[Path], None], tmp_path: Path
) -> None:
    file = tmp_path / "resizer.db"
    async with opened_database(file) as database:
        await database.check()
        act(file)
        with pytest.raises(DatabaseFailure, match="was moved, deleted or replaced"):
            await published(database, 1)
        with pytest.raises(DatabaseFailure, match="put it back, or restart"):
            await database.check()
        file.with_name("moved").rename(file)
        await published(database, 1)


async def test_uploads_leave_the_last_of_the_disk(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resizer.database.database_file.RESERVE", 2**63)
    monkeypatch.setattr("resizer.database.database_file.RESERVED_PART", 1)
    with pytest.raises(NoSpace):
        await published(database, 1)
    with pytest.raises(NoSpace):
        await database.check_space()
    assert await database.newest(limit=1) == []
