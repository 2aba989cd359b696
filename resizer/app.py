"""The composition root: the one place that names implementations."""

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from aiohttp import web

from resizer import failpoints
from resizer.allocator import keep_freed_memory
from resizer.batches import announcer, open_batches
from resizer.config import Settings
from resizer.database import Database, open_database
from resizer.durable import make_folder
from resizer.engine.base import Engine
from resizer.engine.local import LocalEngine, memory_limit
from resizer.engine.pool import CompressPool
from resizer.errors import ConfigError, DatabaseUnusable, DataFolderInUse, disk_fault
from resizer.images.fetcher import Fetcher
from resizer.images.originals import Originals
from resizer.metrics import Metrics, Standing, watch_loop
from resizer.storage.local import LocalStorage
from resizer.web import setup_web
from resizer.web.keys import BATCHES, CHECKS, METRICS, ORIGINALS, SETTINGS, STANDING, STORAGE
from resizer.web.uploads import check_spool
from resizer.webhooks.outbox import Outbox
from resizer.webhooks.signing import load_secret

logger = logging.getLogger(__name__)

#: bytes: the bodies that are received at any time
KEPT_MEMORY = 16 * 2**20

DATABASE = web.AppKey("database", Database)
ENGINE = web.AppKey("engine", Engine)
OUTBOX = web.AppKey("outbox", Outbox)
RESUME = web.AppKey("resume", bool)


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
    app[METRICS] = Metrics()
    app[STANDING] = lambda: standing(app)
    app.cleanup_ctx.extend([event_loop, data_folder, database, storage, engine, outbox, batches])
    app.on_shutdown.append(stop_taking)
    setup_web(app)
    return app


def check_available(settings: Settings) -> None:
    """Refuse what a later version brings. Raises `ConfigError`."""
    if settings.storage.kind != "local":
        raise ConfigError.of("storage.kind", "'s3' is not in this version", "use 'local'")
    if settings.engine.kind != "local":
        raise ConfigError.of("engine.kind", "'celery' is not in this version", "use 'local'")


async def event_loop(app: web.Application) -> AsyncIterator[None]:
    watching = asyncio.create_task(watch_loop(app[METRICS]))
    yield
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def data_folder(app: web.Application) -> AsyncIterator[None]:
    """Own the data folder: a second process on it is refused, and what a crash left half done goes."""
    with ExitStack() as stack:
        await asyncio.to_thread(_take_folder, app[SETTINGS], stack)
        app[CHECKS]["spool"] = partial(check_spool, app[SETTINGS].spool_folder)
        yield


async def database(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    async with open_database(
        settings.database_file, announcer(settings.webhook, settings.retention), app[METRICS]
    ) as opened:
        app[DATABASE] = opened
        app[CHECKS]["database"] = opened.check
        yield


async def storage(app: web.Application) -> AsyncIterator[None]:
    async with LocalStorage(app[SETTINGS].storage_folder) as opened:
        app[STORAGE] = opened
        app[CHECKS]["storage"] = opened.check
        yield


async def engine(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    keep_freed_memory(KEPT_MEMORY)
    async with (
        Fetcher(settings.fetch, spool=settings.spool_folder) as fetcher,
        CompressPool(
            settings.compress, memory_limit=memory_limit(settings.compress), metrics=app[METRICS]
        ) as pool,
    ):
        app[ENGINE] = LocalEngine(fetcher, pool, app[STORAGE], settings.compress, app[METRICS])
        app[ORIGINALS] = Originals(fetcher).fetch
        app[CHECKS]["pool"] = app[ENGINE].check
        yield


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


def _take_folder(settings: Settings, stack: ExitStack) -> None:
    folder = settings.data_folder
    try:
        make_folder(folder)
        settings.spool_folder.mkdir(exist_ok=True)
        _lock(folder / "lock", stack, owned=folder)
        for left in settings.spool_folder.iterdir():
            if left.is_file():
                logger.info("removing %s, left by a crash", left)
                left.unlink()
    except OSError as error:
        raise ConfigError.of(
            "data_dir",
            f"the folder {folder} cannot be used: {disk_fault(error, folder)}",
            "name a folder that can be created and written to",
        ) from error
    # a database outside the folder could be another service's, and that in it could be named by another;
    # the lock stands beside the file itself, whatever link leads there
    file = settings.database_file.resolve()
    try:
        make_folder(file.parent)
        _lock(file.with_name(f"{file.name}.lock"), stack, owned=file)
    except OSError as error:
        raise DatabaseUnusable(str(file), disk_fault(error, file.parent)) from error


def _lock(path: Path, stack: ExitStack, *, owned: Path) -> None:
    """Hold a lock for as long as the stack is open. Raises `DataFolderInUse`."""
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    stack.callback(os.close, file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DataFolderInUse(str(owned)) from error
