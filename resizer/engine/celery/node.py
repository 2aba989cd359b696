"""A worker: takes tasks from the broker and lets the local engine process them.

Celery has a thread for each task at hand; all of them wait for one event loop, in a thread of its own, in
which the engine fetches, compresses in child processes and stores.
"""

import asyncio
import json
import logging
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

from celery import Celery, signals
from celery.apps.worker import Worker
from celery.exceptions import Reject
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
from resizer.engine.celery.messages import Message, message_of, task_from
from resizer.models import Outcome

logger = logging.getLogger(__name__)

#: loggers of Celery that tell of every task that went well
A_LINE_A_TASK = ("celery.app.trace", "celery.worker.strategy")

Opener = Callable[[], AbstractAsyncContextManager[Engine]]


class Node:
    """One worker, from its start to its end."""

    def __init__(self, settings: Settings, open_engine: Opener) -> None:
        self._settings = settings
        self._open_engine = open_engine
        self._grace = settings.queue.shutdown_grace
        self._slots = settings.queue.workers
        self._name = f"{socket.gethostname()}-{uuid4().hex[:8]}"
        #: ids of tasks taken from the queue and not done
        self._held: set[str] = set()
        #: what the engine is at, by the task's id
        self._running: dict[str, Future[Outcome]] = {}
        self._cancelled: set[str] = set()
        self._ready: Future[tuple[asyncio.AbstractEventLoop, Engine, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run_loop, name="engine", daemon=True)

    def run(self) -> int:
        """Work until a signal asks to stop; returns the exit code. Raises what opening the engine raises."""
        app = celery_app(self._settings, keeps_results=True)

        @app.task(name=TASK, bind=True)  # type: ignore[untyped-decorator]
        def process(task: Any, message: Message) -> Message | None:
            return self.process(task.request.id, message)

        control_command(name=CANCEL, args=[("ids", list)])(self.cancel)
        self._thread.start()
        loop, _, stop = self._ready.result()
        try:
            return self._work(app)
        finally:
            loop.call_soon_threadsafe(stop.set)
            self._thread.join()

    def process(self, task_id: str, message: Message) -> Message | None:
        """Process one image: what Celery calls, in one of its threads. None where it was cancelled."""
        loop, engine, _ = self._ready.result()
        running = asyncio.run_coroutine_threadsafe(engine.run(task_from(message)), loop)
        self._running[task_id] = running
        try:
            return message_of(running.result())
        except CancelledError as error:
            if task_id in self._cancelled:
                return None
            # another worker has it then
            raise Reject("the worker stops", requeue=True) from error
        finally:
            del self._running[task_id]
            self._cancelled.discard(task_id)

    def cancel(self, _: object, ids: Sequence[str]) -> None:
        """End what is being done of these: what Celery calls on a command of the server's."""
        for task_id in ids:
            running = self._running.get(task_id)
            if running is not None:
                self._cancelled.add(task_id)
                running.cancel()

    def _work(self, app: Celery) -> int:
        # Celery would set up its own
        signals.setup_logging.connect(_nothing, weak=False)
        signals.task_received.connect(self._taken, weak=False)
        signals.task_postrun.connect(self._done, weak=False)
        signals.task_revoked.connect(self._revoked, weak=False)
        signals.worker_ready.connect(self._say_ready, weak=False)
        # it is about pickle, which is not accepted
        warnings.simplefilter("ignore", SecurityWarning)
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
        async with self._open_engine() as engine, redis_client(self._settings) as client:
            await self._give_sign(client)
            beating = asyncio.create_task(self._beat(client))
            self._ready.set_result((asyncio.get_running_loop(), engine, stop))
            await stop.wait()
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            # what it has not done is back in the queue
            self._slots = 0
            self._held.clear()
            await self._give_sign(client)

    async def _beat(self, client: Redis) -> None:
        while True:
            await asyncio.sleep(BEAT)
            await self._give_sign(client)

    async def _give_sign(self, client: Redis) -> None:
        """Tell the server that this worker lives, and what it is at."""
        sign = json.dumps({"slots": self._slots, "held": [*self._held]})
        try:
            async with client.pipeline(transaction=False) as pipe:
                pipe.set(node_key(self._name), sign, px=int(ALIVE * 1000))
                pipe.sadd(NODES, self._name)
                await pipe.execute()
        except (RedisError, OSError) as error:
            logger.warning("the broker is away: %s", error)

    def _taken(self, request: Any, **_: object) -> None:
        self._held.add(request.id)

    def _done(self, task_id: str, **_: object) -> None:
        self._held.discard(task_id)

    def _revoked(self, request: Any, **_: object) -> None:
        self._held.discard(request.id)

    def _say_ready(self, **_: object) -> None:
        logger.info("worker %s takes images, %s at once", self._name, self._slots)

    def _stop(self) -> None:
        """Take nothing more; what runs may end in its time, and is then given back; a second call does so."""
        if self._slots:
            logger.info("stopping: %s images in flight", len(self._running))
            self._slots = 0
            timer = threading.Timer(self._grace, self._give_back)
            timer.daemon = True
            timer.start()
        else:
            self._give_back()

    def _give_back(self) -> None:
        for running in [*self._running.values()]:
            running.cancel()


def _nothing(**_: object) -> None:
    pass


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
