"""Open the storage and the engine that the settings name."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from resizer.compress.calls import missing_encoders
from resizer.compress.memory import memory_limit
from resizer.compress.pool import CompressPool
from resizer.config import Settings
from resizer.data_folder import take_worker_folder
from resizer.engine.base import Engine
from resizer.errors import ConfigError
from resizer.events import Events
from resizer.fetch.fetcher import Fetcher
from resizer.fetch.hosts import HostLimits
from resizer.metrics import Metrics
from resizer.pipeline.image import LocalEngine
from resizer.storage.base import Storage
from resizer.storage.claims import FileClaims
from resizer.storage.local import LocalStorage
from resizer.support.allocator import keep_freed_memory
from resizer.support.in_flight import InFlight

logger = logging.getLogger(__name__)

#: bytes: the bodies that are received at any time
KEPT_MEMORY = 16 * 2**20


def check_available(settings: Settings) -> None:
    """Refuse an engine that is not installed. Raises `ConfigError`."""
    if settings.engine.kind == "celery" and not all(map(find_spec, ("celery", "redis"))):
        raise ConfigError.of(
            "engine.kind",
            "'celery' needs Celery, which is not installed",
            "run pip install 'resizer[celery]', or use 'local'",
        )


def host_limits(settings: Settings) -> HostLimits:
    queue = settings.queue
    return HostLimits(per_host=settings.fetch.per_host, most_in_doubt=queue.fetchers - queue.workers)


def open_storage(
    settings: Settings, in_flight: InFlight, *, drafts: Path
) -> AbstractAsyncContextManager[Storage]:
    """Open what storage.kind says; `drafts` is for files on their way to another machine."""
    if settings.storage.kind == "local":
        return LocalStorage(settings.storage_folder, in_flight)
    # a library of some weight, that most do without
    from resizer.storage.object_store import ObjectStorage  # noqa: PLC0415

    return ObjectStorage(settings.storage, drafts=drafts)


@asynccontextmanager
async def open_local_engine(
    settings: Settings, fetcher: Fetcher, storage: Storage, metrics: Metrics
) -> AsyncIterator[Engine]:
    limit = memory_limit(settings.compress)
    async with CompressPool(settings.compress, memory_limit=limit, metrics=metrics) as pool:
        if reason := await pool.run(missing_encoders):
            logger.warning(
                "cannot load libvips: %s; JPEG has effort balanced at most, PNG has effort fast",
                reason,
            )
        yield LocalEngine(fetcher, pool, storage, settings.compress, settings.queue, metrics=metrics)


def open_celery_engine(
    settings: Settings, storage: Storage, claims: FileClaims, events: Events, in_flight: InFlight
) -> AbstractAsyncContextManager[Engine]:
    # an extra that need not be installed
    from resizer.engine.celery.engine import CeleryEngine  # noqa: PLC0415

    return CeleryEngine(settings, storage, claims, events, in_flight)


def run_worker(settings: Settings) -> int:
    """Run a worker of the distributed engine until a signal asks it to stop; returns the exit code.

    Raises `ConfigError`.
    """
    check_available(settings)
    if settings.engine.kind != "celery":
        raise ConfigError.of(
            "engine.kind",
            "a worker has nothing to do where it is 'local'",
            "set it to 'celery', here and for the server",
        )
    from resizer.engine.celery.node import Node  # noqa: PLC0415 - as above

    return Node(settings, partial(open_worker_engine, settings)).run()


@asynccontextmanager
async def open_worker_engine(settings: Settings) -> AsyncIterator[tuple[Engine, Storage]]:
    """Open what a worker needs: a spool, the storage, and the local engine."""
    keep_freed_memory(KEPT_MEMORY)
    with ExitStack() as stack:
        spool = await asyncio.to_thread(take_worker_folder, settings, stack)
        async with (
            open_storage(settings, InFlight(), drafts=spool) as opened,
            Fetcher(settings.fetch, host_limits(settings), spool=spool) as fetcher,
            open_local_engine(settings, fetcher, opened, Metrics()) as local,
        ):
            yield local, opened
