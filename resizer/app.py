"""The composition root: the one place that names implementations."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from aiohttp import web

from resizer.compress.calls import missing_encoders
from resizer.compress.pool import CompressPool
from resizer.config import Settings
from resizer.data_folder import take_folder, take_worker_folder
from resizer.database import Database, open_database
from resizer.engine.base import Engine
from resizer.errors import ConfigError
from resizer.fetch.fetcher import Fetcher
from resizer.fetch.originals import Originals
from resizer.metrics import Metrics, Standing, watch_loop
from resizer.models import Outcome
from resizer.pipeline import announcer, open_batches
from resizer.pipeline.image import LocalEngine, memory_limit
from resizer.storage.base import Storage
from resizer.storage.local import LocalStorage
from resizer.support import failpoints
from resizer.support.allocator import keep_freed_memory
from resizer.web import setup_web
from resizer.web.api.upload_body import check_spool
from resizer.web.keys import BATCHES, CHECKS, METRICS, ORIGINALS, SETTINGS, STANDING, STORAGE
from resizer.webhooks.outbox import Outbox
from resizer.webhooks.signing import load_secret

logger = logging.getLogger(__name__)

#: bytes: the bodies that are received at any time
KEPT_MEMORY = 16 * 2**20

DATABASE = web.AppKey("database", Database)
ENGINE = web.AppKey("engine", Engine)
OUTBOX = web.AppKey("outbox", Outbox)
RESUME = web.AppKey("resume", bool)
UNCLAIMED = web.AppKey("unclaimed", list[Outcome])


def create_app(settings: Settings, *, resume: bool = True) -> web.Application:
    """Put the service together; its resources open when it starts and close in reverse.

    With `resume` it takes up what an earlier process left. Raises `ConfigError`; starting it raises
    `DataFolderInUse`, `DatabaseUnusable` and `ConfigError`.
    """
    check_available(settings)
    failpoints.arm(os.environ)
    app = web.Application()
    app[SETTINGS] = settings
    app[RESUME] = resume
    app[CHECKS] = {}
    app[UNCLAIMED] = []
    app[METRICS] = Metrics()
    app[STANDING] = lambda: standing(app)
    app.cleanup_ctx.extend([event_loop, data_folder, database, storage, engine, outbox, batches])
    app.on_shutdown.append(stop_taking)
    setup_web(app)
    return app


def check_available(settings: Settings) -> None:
    """Refuse what cannot be had with what is installed. Raises `ConfigError`."""
    if settings.engine.kind == "celery" and not all(map(find_spec, ("celery", "redis"))):
        raise ConfigError.of(
            "engine.kind",
            "'celery' needs Celery, which is not installed",
            "run pip install 'resizer[celery]', or use 'local'",
        )


async def event_loop(app: web.Application) -> AsyncIterator[None]:
    watching = asyncio.create_task(watch_loop(app[METRICS]))
    yield
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def data_folder(app: web.Application) -> AsyncIterator[None]:
    """Own the data folder: a second process on it is refused, and what a crash left half done goes."""
    with ExitStack() as stack:
        await asyncio.to_thread(take_folder, app[SETTINGS], stack)
        app[CHECKS]["spool"] = partial(check_spool, app[SETTINGS].spool_folder)
        yield


async def database(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    async with open_database(settings.database_file, announcer(settings), app[METRICS]) as opened:
        app[DATABASE] = opened
        app[CHECKS]["database"] = opened.check
        yield


async def storage(app: web.Application) -> AsyncIterator[None]:
    async with open_storage(app[SETTINGS], drafts=app[SETTINGS].spool_folder) as opened:
        app[STORAGE] = opened
        app[CHECKS]["storage"] = opened.check
        yield


async def engine(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    keep_freed_memory(KEPT_MEMORY)
    async with Fetcher(settings.fetch, spool=settings.spool_folder) as fetcher:
        app[ORIGINALS] = Originals(fetcher).fetch
        opened = (
            open_celery_engine(settings, app[STORAGE], unclaimed=partial(discard, app))
            if settings.engine.kind == "celery"
            else open_local_engine(settings, fetcher, app[STORAGE], app[METRICS])
        )
        async with opened as app[ENGINE]:
            app[CHECKS]["pool" if settings.engine.kind == "local" else "workers"] = app[ENGINE].check
            yield


def discard(app: web.Application, outcome: Outcome) -> None:
    """Note what came of an image that nobody wants any more."""
    if BATCHES in app:
        app[BATCHES].discard(outcome)
    else:  # of an earlier run, and told while this one starts
        app[UNCLAIMED].append(outcome)


def open_storage(settings: Settings, *, drafts: Path) -> AbstractAsyncContextManager[Storage]:
    """Open what storage.kind says; `drafts` is for files on their way to another machine."""
    if settings.storage.kind == "local":
        return LocalStorage(settings.storage_folder)
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
        yield LocalEngine(fetcher, pool, storage, settings.compress, metrics)


def open_celery_engine(
    settings: Settings, storage: Storage, *, unclaimed: Callable[[Outcome], None]
) -> AbstractAsyncContextManager[Engine]:
    # an extra that need not be installed
    from resizer.engine.celery.engine import CeleryEngine  # noqa: PLC0415

    return CeleryEngine(settings, storage, unclaimed=unclaimed)


def run_worker(settings: Settings) -> int:
    """Be a worker of the distributed engine until a signal asks to stop; returns the exit code.

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
    """Open all that a worker needs: a spool, the storage, and the local engine."""
    keep_freed_memory(KEPT_MEMORY)
    metrics = Metrics()
    with ExitStack() as stack:
        spool = await asyncio.to_thread(take_worker_folder, settings, stack)
        async with (
            open_storage(settings, drafts=spool) as opened,
            Fetcher(settings.fetch, spool=spool) as fetcher,
            open_local_engine(settings, fetcher, opened, metrics) as local,
        ):
            yield local, opened


async def outbox(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    secret = await asyncio.to_thread(load_secret, settings.webhook, settings.data_folder)
    async with Outbox(app[DATABASE].deliveries, settings.webhook, secret, metrics=app[METRICS]) as opened:
        app[OUTBOX] = opened
        yield


async def batches(app: web.Application) -> AsyncIterator[None]:
    async with open_batches(
        app[DATABASE],
        app[ENGINE],
        app[STORAGE],
        app[OUTBOX],
        settings=app[SETTINGS],
        metrics=app[METRICS],
        resume=app[RESUME],
    ) as opened:
        app[BATCHES] = opened
        for outcome in app[UNCLAIMED]:
            opened.discard(outcome)
        yield


async def standing(app: web.Application) -> Standing:
    """Look up what metrics tell of the moment. Raises `DatabaseFailure`."""
    in_flight = app[BATCHES].dispatcher.in_flight
    # those in flight look pending too, until their outcome is written
    pending = await app[DATABASE].pending_images()
    return Standing(
        requests=await app[DATABASE].count_by_status(),
        waiting=max(pending - in_flight, 0),
        in_flight=in_flight,
    )


async def stop_taking(app: web.Application) -> None:
    """Begin no further image and keep nobody waiting: the service is about to stop."""
    app[BATCHES].stop_taking()
