"""The composition root: names the implementations, and subscribes them to the events."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from functools import partial

from aiohttp import web

from resizer.config import Settings
from resizer.data_folder import take_folder
from resizer.database import Database, open_database
from resizer.engine.base import Engine
from resizer.events import (
    DeliveriesDue,
    Events,
    FilesUnused,
    RequestDeleted,
    RequestFinished,
    RequestsChanged,
)
from resizer.fetch.fetcher import Fetcher
from resizer.fetch.hosts import HostLimits
from resizer.fetch.originals import Originals
from resizer.implementations import (
    KEPT_MEMORY,
    check_available,
    host_limits,
    open_celery_engine,
    open_local_engine,
    open_storage,
)
from resizer.metrics import Metrics, QueueStats, watch_loop
from resizer.pipeline.collector import Collector
from resizer.pipeline.image import ImagePipeline
from resizer.pipeline.importing import Importer
from resizer.pipeline.lifecycle import Lifecycle
from resizer.pipeline.remover import Remover
from resizer.pipeline.reporting import report_finished
from resizer.pipeline.requests import Requests
from resizer.pipeline.retention import Retention
from resizer.pipeline.scheduler import Scheduler
from resizer.pipeline.shared_tasks import SharedTasks
from resizer.pipeline.watchers import Watchers
from resizer.storage.claims import FileClaims
from resizer.support import failpoints
from resizer.support.allocator import keep_freed_memory
from resizer.support.in_flight import InFlight
from resizer.web import setup_web
from resizer.web.api.upload_body import check_spool
from resizer.web.keys import CHECKS, LIFECYCLE, METRICS, ORIGINALS, QUEUE_STATS, REQUESTS, SETTINGS, STORAGE
from resizer.webhooks.outbox import Outbox
from resizer.webhooks.signing import load_secret
from resizer.webhooks.webhook_events import webhook_events

logger = logging.getLogger(__name__)

EVENTS = web.AppKey("events", Events)
IN_FLIGHT = web.AppKey("in_flight", InFlight)
CLAIMS = web.AppKey("claims", FileClaims)
HOSTS = web.AppKey("hosts", HostLimits)
WATCHERS = web.AppKey("watchers", Watchers)
DATABASE = web.AppKey("database", Database)
REMOVER = web.AppKey("remover", Remover)
COLLECTOR = web.AppKey("collector", Collector)
ENGINE = web.AppKey("engine", Engine)
SCHEDULER = web.AppKey("scheduler", Scheduler)
RESUME = web.AppKey("resume", bool)


def create_app(settings: Settings, *, resume: bool = True) -> web.Application:
    """Put the service together; its resources open when it starts and close in reverse.

    With `resume` it continues what an earlier process left. Raises `ConfigError`; starting it raises
    `DataFolderInUse`, `DatabaseUnusable` and `ConfigError`.
    """
    check_available(settings)
    failpoints.arm(os.environ)
    app = web.Application()
    app[SETTINGS] = settings
    app[RESUME] = resume
    app[CHECKS] = {}
    app[EVENTS] = Events()
    app[METRICS] = Metrics()
    app[IN_FLIGHT] = InFlight()
    app[CLAIMS] = FileClaims()
    app[HOSTS] = host_limits(settings)
    app[WATCHERS] = Watchers()
    app[QUEUE_STATS] = lambda: queue_stats(app)
    app.cleanup_ctx.extend([event_loop, data_folder, database, storage, removal, engine, outbox, pipeline])
    app.on_shutdown.append(stop)
    setup_web(app)
    return app


async def event_loop(app: web.Application) -> AsyncIterator[None]:
    watching = asyncio.create_task(watch_loop(app[METRICS]))
    yield
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def data_folder(app: web.Application) -> AsyncIterator[None]:
    """Lock the data folder against a second process, and remove what a crash left in it."""
    with ExitStack() as stack:
        await asyncio.to_thread(take_folder, app[SETTINGS], stack)
        app[CHECKS]["spool"] = partial(check_spool, app[SETTINGS].spool_folder)
        yield


async def database(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    async with open_database(
        settings.database_file,
        webhook_events=webhook_events(settings),
        events=app[EVENTS],
        in_flight=app[IN_FLIGHT],
        metrics=app[METRICS],
    ) as opened:
        app[DATABASE] = opened
        app[CHECKS]["database"] = opened.check
        yield


async def storage(app: web.Application) -> AsyncIterator[None]:
    async with open_storage(app[SETTINGS], app[IN_FLIGHT], drafts=app[SETTINGS].spool_folder) as opened:
        app[STORAGE] = opened
        app[CHECKS]["storage"] = opened.check
        yield


async def removal(app: web.Application) -> AsyncIterator[None]:
    remover = app[REMOVER] = Remover(app[DATABASE], app[STORAGE], app[CLAIMS])
    collector = app[COLLECTOR] = Collector(app[DATABASE], app[STORAGE], remover)
    app[EVENTS].subscribe(FilesUnused, lambda event: remover.note(event.names))
    app[EVENTS].subscribe(RequestDeleted, lambda _: remover.wake())
    await collector.decide()
    async with remover:
        yield


async def engine(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    keep_freed_memory(KEPT_MEMORY)
    async with Fetcher(settings.fetch, app[HOSTS], spool=settings.spool_folder) as fetcher:
        app[ORIGINALS] = Originals(fetcher).fetch
        opened = (
            open_celery_engine(settings, app[STORAGE], app[CLAIMS], app[EVENTS], app[IN_FLIGHT])
            if settings.engine.kind == "celery"
            else open_local_engine(settings, fetcher, app[STORAGE], app[METRICS])
        )
        async with opened as app[ENGINE]:
            app[CHECKS]["pool" if settings.engine.kind == "local" else "workers"] = app[ENGINE].check
            yield


async def outbox(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    secret = await asyncio.to_thread(load_secret, settings.webhook, settings.data_folder)
    async with Outbox(app[DATABASE].deliveries, settings.webhook, secret, metrics=app[METRICS]) as opened:
        app[EVENTS].subscribe(RequestFinished, lambda _: opened.wake())
        app[EVENTS].subscribe(DeliveriesDue, lambda _: opened.wake())
        yield


async def pipeline(app: web.Application) -> AsyncIterator[None]:
    settings, events, metrics, watchers = app[SETTINGS], app[EVENTS], app[METRICS], app[WATCHERS]
    shared = SharedTasks(app[ENGINE], app[CLAIMS], events, metrics)
    images = ImagePipeline(app[DATABASE], shared, app[HOSTS], metrics=metrics)
    scheduler = app[SCHEDULER] = Scheduler(
        app[DATABASE],
        app[ENGINE],
        images,
        app[HOSTS],
        settings.queue,
        in_flight=app[IN_FLIGHT],
        revalidate=settings.fetch.revalidate,
    )
    collector = app[COLLECTOR]
    importer = Importer(app[DATABASE], settings.queue)
    lifecycle = Lifecycle(app[DATABASE], importer, scheduler, app[REMOVER], events=events, metrics=metrics)
    events.subscribe(RequestsChanged, lambda event: watchers.changed(event.batch_ids))
    events.subscribe(RequestFinished, lambda event: shared.ended(event.batch))
    events.subscribe(RequestFinished, lambda event: watchers.finished(event.batch.id))
    events.subscribe(RequestFinished, lambda event: report_finished(event, metrics))
    events.subscribe(RequestDeleted, lambda event: shared.ended(event.batch))
    events.subscribe(RequestDeleted, lambda event: watchers.finished(event.batch.id))
    app[LIFECYCLE] = lifecycle
    app[REQUESTS] = Requests(app[DATABASE], watchers, settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(shared)
        await stack.enter_async_context(scheduler)
        await stack.enter_async_context(lifecycle)
        if app[RESUME]:
            await lifecycle.resume()
            if seconds := settings.retention.seconds:
                await stack.enter_async_context(Retention(app[DATABASE], lifecycle.forget, seconds=seconds))
            await stack.enter_async_context(collector)
        yield


async def queue_stats(app: web.Application) -> QueueStats:
    """Return the current size of the queue. Raises `DatabaseFailure`."""
    in_flight = app[IN_FLIGHT].images
    # images in flight are pending, too, until their outcome is recorded
    pending = await app[DATABASE].pending_images()
    return QueueStats(
        requests=await app[DATABASE].count_by_status(),
        waiting=max(pending - in_flight, 0),
        in_flight=in_flight,
    )


async def stop(app: web.Application) -> None:
    """Start no further image and answer those who wait: the service is about to stop."""
    app[SCHEDULER].stop()
    app[WATCHERS].close()
