"""Requests are cancelled and set back whatever the database does in between."""

from pathlib import Path

import pytest

from outcomes import MakeBatch
from resizer.config import QueueSettings
from resizer.database import Database
from resizer.errors import DatabaseFailure
from resizer.events import Events
from resizer.metrics import Metrics
from resizer.models import Batch, BatchStatus
from resizer.pipeline.importing import Importer
from resizer.pipeline.lifecycle import Lifecycle
from resizer.pipeline.remover import Remover
from resizer.storage.claims import FileClaims
from resizer.storage.local import LocalStorage
from resizer.support.in_flight import InFlight
from scheduling import Bench, Ends, scheduling


async def test_request_retried_while_it_is_cancelled_ends_though_the_database_fails_in_between(
    database: Database,
    events: Events,
    batch_of: MakeBatch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resizer.pipeline.lifecycle.CANCEL_PAUSE", 0)
    bench, ends = Bench(), Ends(events)
    batch = await batch_of(["a", "b"])
    read, failures = database.batch_by_id, [DatabaseFailure("it is locked")]

    async def retried_in_between(batch_id: int) -> Batch | None:
        if failures:
            await database.outcomes.reopen(batch_id)
            raise failures.pop()
        return await read(batch_id)

    async with (
        scheduling(database, bench) as scheduler,
        LocalStorage(tmp_path / "compressed", InFlight()) as storage,
    ):
        importer = Importer(database, QueueSettings())
        remover = Remover(database, storage, FileClaims())
        async with Lifecycle(
            database, importer, scheduler, remover, events=events, metrics=Metrics()
        ) as lifecycle:
            monkeypatch.setattr(database, "batch_by_id", retried_in_between)
            await lifecycle.cancel(batch.request_id)
            await ends.until(2)  # cancelled, and completed after the retry
    ended = await read(batch.id)
    assert ended is not None
    assert (ended.status, ended.completed) == (BatchStatus.COMPLETED, 2)
