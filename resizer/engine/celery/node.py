"""A worker: takes tasks from the broker and lets the local engine process them.

Celery has a thread for each task at hand; all of them wait for one event loop, in a thread of its own, in
which the engine fetches, compresses in child processes and stores.
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
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from celery import Celery, signals
from celery.apps.worker import Worker
from celery.exceptions import CPendingDeprecationWarning, Reject
from celery.platforms import SecurityWarning
from celery.worker import state
from celery.worker.control import control_command
from redis.asyncio import Redis
from redis.exceptions import RedisError

from resizer.config import Settings
from resizer.engine.base import Engine
from resizer.engine.celery.broker import (
    ALIVE,
    BEAT,
    CANCEL,
    NODES,
    TASK,
    celery_app,
    node_key,
    redis_client,
)
from resizer.engine.celery.messages import Message, Sign, message_of, task_from
from resizer.engine.celery.work import Cancelled, Stopping, Work
from resizer.errors import StorageFailure
from resizer.models import Fault, Outcome
from resizer.storage.base import Storage

logger = logging.getLogger(__name__)

#: loggers of Celery that tell of every task that went well
A_LINE_A_TASK = ("celery.app.trace", "celery.worker.strategy")

#: a worker without the server's storage would leave its files where nobody finds them
OTHER_STORAGE = (
    "a worker has another storage than the server; give both the same storage.* keys, "
    "and a storage.path that leads to one shared folder"
)
#: seconds for the broker to take back what a worker that stops was at
GIVING_BACK = 10.0

Opener = Callable[[], AbstractAsyncContextManager[tuple[Engine, Storage]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """What the engine's thread has opened."""

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
        #: `time.monotonic` at which Celery's consumer last showed that it is at work
        self._ticked = time.monotonic()
        self._away = False
        #: what it has not done is back in the queue
        self._ended = False
        self._ready: Future[Opened] = Future()
        self._thread = threading.Thread(target=self._run_loop, name="engine", daemon=True)

    def run(self) -> int:
        """Work until a signal asks to stop; returns the exit code. Raises what opening the engine raises."""
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
        """Process one image: what Celery calls, in one of its threads. None where it was cancelled."""
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
            # another worker has it then
            raise Reject("the worker stops", requeue=True) from error

    def cancel(self, _: object, ids: Sequence[str]) -> None:
        """End what is being done of these: what Celery calls on a command of the server's."""
        self._tasks.cancel(ids, self._ready.result().loop)

    def _work(self, app: Celery) -> int:
        # Celery would set up its own
        signals.setup_logging.connect(_nothing, weak=False)
        signals.task_received.connect(self._taken, weak=False)
        signals.task_postrun.connect(self._done, weak=False)
        signals.task_revoked.connect(self._revoked, weak=False)
        signals.worker_ready.connect(self._consuming, weak=False)
        # these are about pickle, which is not accepted, and about a choice that was made
        warnings.simplefilter("ignore", SecurityWarning)
        warnings.simplefilter("ignore", CPendingDeprecationWarning)
        worker = _Worker(
            app=app,
            hostname=f"resizer@{self._name}",
            pool="threads",
            concurrency=self._slots,
            loglevel=self._settings.log.level.upper(),
            quiet=True,
            without_gossip=True,
            without_mingle=True,
        )
        worker.on_signal = self._stop
        if self._settings.log.level != "debug":
            for each in A_LINE_A_TASK:
                logging.getLogger(each).setLevel(logging.WARNING)
        # these tell whole messages, with URLs and what stands in their queries
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
        async with self._open_engine() as (engine, storage), redis_client(self._settings) as client:
            identity = await storage.identity()
            await self._give_sign(client)
            beating = asyncio.create_task(self._beat(client))
            loop = asyncio.get_running_loop()
            self._ready.set_result(Opened(loop=loop, engine=engine, storage=identity, stop=stop))
            await stop.wait()
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            # what it has not done is back in the queue
            self._slots, self._ended = 0, True
            await self._give_sign(client)

    async def _beat(self, client: Redis) -> None:
        while True:
            await asyncio.sleep(BEAT)
            # a consumer that hangs takes nothing and ends nothing: what it holds is for others
            if time.monotonic() - self._ticked < ALIVE:
                await self._give_sign(client)

    async def _give_sign(self, client: Redis) -> None:
        """Tell the server that this worker lives, and what it is at."""
        sign = Sign(slots=self._slots, held=() if self._ended else tuple(self._tasks.held))
        try:
            async with client.pipeline(transaction=False) as pipe:
                pipe.set(node_key(self._name), sign.to_json(), px=int(ALIVE * 1000))
                pipe.sadd(NODES, self._name)
                await pipe.execute()
        except (RedisError, OSError) as error:
            if not self._away:
                logger.warning("the broker is away; it is tried again each %g s: %s", BEAT, error)
            self._away = True
        else:
            if self._away:
                logger.info("the broker is back")
            self._away = False

    def _taken(self, request: Any, **_: object) -> None:
        self._tasks.taken(request.id)

    def _done(self, task_id: str, **_: object) -> None:
        self._tasks.done(task_id)

    def _revoked(self, request: Any, **_: object) -> None:
        self._tasks.done(request.id)

    def _consuming(self, sender: Any, **_: object) -> None:
        """Note that Celery's consumer takes tasks: once at the start, and after each loss of the broker."""
        self._tick()
        # in the consumer's own thread, and gone with its connection
        sender.timer.call_repeatedly(BEAT, self._tick)
        logger.info("worker %s takes images, %s at once", self._name, self._slots)

    def _tick(self) -> None:
        self._ticked = time.monotonic()

    def _stop(self) -> None:
        """Take nothing more; what runs may end in its time, and is then given back; a second call does so."""
        if self._slots:
            logger.info("stopping: %s images in flight", self._tasks.in_flight)
            self._slots = 0
            _later(self._grace, self._give_back)
        else:
            self._give_back()

    def _give_back(self) -> None:
        self._tasks.give_back(self._ready.result().loop)
        # a broker that hangs must not keep a worker that is to stop
        _later(GIVING_BACK, _end_hard)


def _later(seconds: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


def _end_hard() -> None:
    logger.error("the broker does not take back what this worker was at; it is found by others in its time")
    os._exit(1)


def _nothing(**_: object) -> None:
    pass


def _without_message(record: logging.LogRecord) -> bool:
    """Shorten what Celery says of a message that it cannot use: it would repeat all of it."""
    text = str(record.msg)
    if "\n" in text and "message" in text:
        record.msg = re.split(r"[%\n]", text)[0].rstrip(" :") + "; it is dropped"
        record.args, record.exc_info = (), None
    return True


def _without_trace(record: logging.LogRecord) -> bool:
    """Shorten what Celery says of each task that it cannot acknowledge when the broker was away."""
    if str(record.msg).startswith("Couldn't"):
        record.exc_info = None
    return True


# Celery has no types
class _Worker(Worker):  # type: ignore[misc]
    """Celery's, but for the signals: both of those that ask to stop let it end what it is at."""

    on_signal: Callable[[], None]

    def install_platform_tweaks(self, worker: object) -> None:
        del worker
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._caught)

    def _caught(self, *_: object) -> None:
        self.on_signal()
        state.should_stop = 0
