"""A worker that does no work, to measure the cost of dispatching images."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from resizer.cli.logs import set_up_logging
from resizer.config import Settings, load_settings
from resizer.engine.base import Engine, Progress
from resizer.engine.celery.node import Node
from resizer.models import Compressed, OriginInfo, Outcome, Task
from resizer.naming import stem_of
from resizer.storage.base import Storage
from resizer.storage.local import LocalStorage
from resizer.support.in_flight import InFlight


class NoWork:
    """An engine that reports every image as compressed at once."""

    workers = 1

    async def run(self, task: Task, progress: Progress) -> Outcome:  # noqa: ARG002
        digest = f"{task.seq:032x}"
        compressed = Compressed(
            filename=f"{stem_of(digest, task.recipe)}.jpg",
            format="jpeg",
            width=64,
            height=64,
            input_bytes=1000,
            output_bytes=500,
        )
        source = OriginInfo(digest=digest, etag='"an-etag-as-hosts-give-them"', asked_at=0.0)
        return Outcome(batch_id=task.batch_id, seq=task.seq, attempts=1, compressed=compressed, source=source)

    async def room(self) -> None:
        await asyncio.sleep(0)

    async def check(self) -> None:
        await asyncio.sleep(0)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Engine, Storage]]:
    async with LocalStorage(settings.storage_folder, InFlight()) as storage:
        yield NoWork(), storage


def main() -> int:
    settings = load_settings(None)
    set_up_logging(settings.log)
    return Node(settings, partial(opened, settings)).run()


if __name__ == "__main__":
    sys.exit(main())
