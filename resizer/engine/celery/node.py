"""A worker: processes tasks of the broker with the local engine.

Celery runs a thread for each task; all of them wait for one event loop, in a thread of its own, in which the
engine fetches, compresses in child processes, and stores.
"""

import asyncio
import logging
import os
import re
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from celery import Celery, signals
from celery.apps.worker import Worker
from celery.exceptions import CPendingDeprecationWarning, Reject
from celery.platforms import SecurityWarning
from celery.worker import state
from celery.worker.control import control_command
from redis.asyncio import Redis

from resizer.config import Settings
from resizer.engine.base import Engine
from resizer.engine.celery.broker import (
    ALIVE,
    BEAT,
    BROKER_ERRORS,
    CANCEL,
    NODES,
    TASK,
    celery_app,
    node_key,
    redis_client,
)
from resizer.engine.celery.messages import Heartbeat, Message, message_of, task_from
from resizer.engine.celery.work import Cancelled, Stopping, Work
from resizer.errors import StorageFailure
from resizer.models import Fault, Outcome
from resizer.storage.base import Storage
from resizer.support.background import FailureLog, Periodic

logger = logging.getLogger(__name__)

#: loggers of Celery with a line for each successful task
A_LINE_A_TASK = ("celery.app.trace", "celery.worker.strategy")

#: a worker without the server's storage would store files where the server does not find them
OTHER_STORAGE = (
    "a worker has another storage than the server; give both the same storage.* keys, "
    "and a storage.path that leads to one shared folder"
)
#: seconds for a worker that stops to return its tasks to the broker
RETURN_TIMEOUT = 10.0

Opener = Callable[[], AbstractAsyncContextManager[tuple[Engine, Storage]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """The resources of the engine's thread."""

    loop: asyncio.AbstractEventLoop
    engine: Engine
    #: identity of the storage
    storage: str
    stop: asyncio.Event


class Node:
    """One worker, from its start to its end."""

    def __init__(self, settings: Settings, open_engine: Opener) -> None:
        self._settings = settings
        self._open_engine = open_engine
        self._grace = settings.queue.shutdown_grace
        self._slots = settings.queue.workers
        self._name = f"{socket.gethostname()}-{uuid4().hex[:8]}"
        self._tasks = Work()
        #: `time.monotonic` of the last sign that Celery's consumer runs
        self._ticked = time.monotonic()
        #: its unfinished tasks are back in the queue
        self._ended = False
        self._ready: Future[Opened] = Future()
        self._thread = threading.Thread(target=self._run_loop, name="engine", daemon=True)

    def run(self) -> int:
        """Process tasks until a signal asks to stop; returns the exit code. Raises as `open_engine`."""
        app = celery_app(self._settings, keeps_results=True)

        @app.task(name=TASK, bind=True)  # type: ignore[untyped-decorator]
        def process(task: Any, message: Message, storage: str | None = None) -> Message | None:
            return self.process(task.request.id, message, storage)

        control_command(name=CANCEL, args=[("ids", list)])(self.cancel)
        self._thread.start()
        opened = self._ready.result()
        try:
            return self._work(app)
        finally:
            opened.loop.call_soon_threadsafe(opened.stop.set)
            self._thread.join()

    def process(self, task_id: str, message: Message, storage: str | None) -> Message | None:
        """Process one image, in one of Celery's threads. None if it was cancelled."""
        opened = self._ready.result()
        task = task_from(message)
        if storage is not None and storage != opened.storage:
            logger.error("%s", OTHER_STORAGE)
            fault = Fault.of(StorageFailure(OTHER_STORAGE))
            return message_of(Outcome(batch_id=task.batch_id, seq=task.seq, attempts=0, fault=fault))
        try:
            return message_of(self._tasks.process(task_id, task, opened.engine, opened.loop))
        except Cancelled:
            return None
        except Stopping as error:
            # another worker processes it
            raise Reject("the worker stops", requeue=True) from error

    def cancel(self, _: object, ids: Sequence[str]) -> None:
        """End these tasks, on a command of the server."""
        self._tasks.cancel(ids, self._ready.result().loop)

    def _work(self, app: Celery) -> int:
        # Celery would configure logging itself
        signals.setup_logging.connect(_nothing, weak=False)
        signals.task_received.connect(self._received, weak=False)
        signals.task_postrun.connect(self._done, weak=False)
        signals.task_revoked.connect(self._revoked, weak=False)
        signals.worker_ready.connect(self._consuming, weak=False)
        # one warns of pickle, which is not accepted, the other of a deliberate setting
        warnings.simplefilter("ignore", SecurityWarning)
        warnings.simplefilter("ignore", CPendingDeprecationWarning)
        worker = _Worker(
            self._stop,
            app=app,
            hostname=f"resizer@{self._name}",
            pool="threads",
            concurrency=self._slots,
            loglevel=self._settings.log.level.upper(),
            quiet=True,
            without_gossip=True,
            without_mingle=True,
        )
        if self._settings.log.level != "debug":
            for each in A_LINE_A_TASK:
                logging.getLogger(each).setLevel(logging.WARNING)
        # these log whole messages, with the query strings of URLs
        logging.getLogger("celery.pool").setLevel(logging.INFO)
        logging.getLogger("celery.worker.consumer.consumer").addFilter(_without_message)
        logging.getLogger("celery.worker.request").addFilter(_without_trace)
        worker.start()
        return int(worker.exitcode or 0)

    def _run_loop(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        stop = asyncio.Event()
        failures = FailureLog("reach the broker", retry=BEAT, temporary=BROKER_ERRORS)
        async with self._open_engine() as (engine, storage), redis_client(self._settings) as client:
            identity = await storage.identity()
            async with Periodic(partial(self._beat, client), failures):
                loop = asyncio.get_running_loop()
                self._ready.set_result(Opened(loop=loop, engine=engine, storage=identity, stop=stop))
                await stop.wait()
            self._slots, self._ended = 0, True
            with suppress(*BROKER_ERRORS):  # without it the worker counts as alive a little longer
                await self._send_heartbeat(client)

    async def _beat(self, client: Redis) -> float:
        # a consumer that hangs begins and ends no task: other workers are to process its tasks
        if time.monotonic() - self._ticked < ALIVE:
            await self._send_heartbeat(client)
        return BEAT

    async def _send_heartbeat(self, client: Redis) -> None:
        """Send the server this worker's slots and tasks."""
        beat = Heartbeat(slots=self._slots, held=() if self._ended else tuple(self._tasks.held))
        async with client.pipeline(transaction=False) as pipe:
            pipe.set(node_key(self._name), beat.to_json(), px=int(ALIVE * 1000))
            pipe.sadd(NODES, self._name)
            await pipe.execute()

    def _received(self, request: Any, **_: object) -> None:
        self._tasks.received(request.id)

    def _done(self, task_id: str, **_: object) -> None:
        self._tasks.finished(task_id)

    def _revoked(self, request: Any, **_: object) -> None:
        self._tasks.finished(request.id)

    def _consuming(self, sender: Any, **_: object) -> None:
        """Note that Celery's consumer runs: at the start, and after each loss of the broker."""
        self._tick()
        # in the consumer's own thread, and ends with its connection
        sender.timer.call_repeatedly(BEAT, self._tick)
        logger.info("worker %s takes images, %s at once", self._name, self._slots)

    def _tick(self) -> None:
        self._ticked = time.monotonic()

    def _stop(self) -> None:
        """Begin no more tasks, and return unfinished ones after the grace time, or at the second call."""
        if self._slots:
            logger.info("stopping: %s images in flight", self._tasks.in_flight)
            self._slots = 0
            _later(self._grace, self._return_tasks)
        else:
            self._return_tasks()

    def _return_tasks(self) -> None:
        self._tasks.return_all(self._ready.result().loop)
        # a broker that hangs must not keep the worker from stopping
        _later(RETURN_TIMEOUT, _exit_now)


def _later(seconds: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


def _exit_now() -> None:
    logger.error("cannot return tasks to the broker: it does not respond; exiting; the server recovers them")
    os._exit(1)


def _nothing(**_: object) -> None:
    pass


def _without_message(record: logging.LogRecord) -> bool:
    """Shorten Celery's log line for an unknown message, which would repeat the message."""
    text = str(record.msg)
    if "\n" in text and "message" in text:
        record.msg = re.split(r"[%\n]", text)[0].rstrip(" :") + "; dropping it"
        record.args, record.exc_info = (), None
    return True


def _without_trace(record: logging.LogRecord) -> bool:
    """Drop the traceback of each task that Celery cannot acknowledge after a loss of the broker."""
    if str(record.msg).startswith("Couldn't"):
        record.exc_info = None
    return True


# Celery has no types
class _Worker(Worker):  # type: ignore[misc]
    """Celery's worker, but both signals that ask to stop let it finish its tasks."""

    def __init__(self, on_signal: Callable[[], None], **options: Any) -> None:
        self._on_signal = on_signal
        super().__init__(**options)

    def install_platform_tweaks(self, worker: object) -> None:
        del worker
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._caught)

    def _caught(self, *_: object) -> None:
        self._on_signal()
        state.should_stop = 0
