"""Process images on Celery workers: send tasks, receive outcomes, recover lost tasks."""

import asyncio
import itertools
import logging
import math
import secrets
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import NoReturn, Self, cast

from celery.states import SUCCESS

from resizer.config import Settings
from resizer.engine.base import Progress
from resizer.engine.celery.broker import BEAT, BROKER_ERRORS, RESULT, celery_app, redis_client
from resizer.engine.celery.losses import Losses
from resizer.engine.celery.messages import Result, message_of, outcome_from
from resizer.engine.celery.sending import MOST_SENT, Flight, TaskSender
from resizer.errors import BrokerDown, ConfigError, NoWorkers, TaskFailed
from resizer.events import Events, FilesUnused
from resizer.models import Outcome, Task
from resizer.storage.base import Storage
from resizer.storage.claims import FileClaims, stem_of_name
from resizer.support.atomic_file import create_once
from resizer.support.background import FailureLog, Periodic
from resizer.support.in_flight import InFlight

logger = logging.getLogger(__name__)

#: file of the data folder with the id that this server's tasks begin with
NAME_FILE = "server-id"
#: seconds between tries to reach the broker
PAUSE = 1.0
#: tasks sent for each that the workers can process, so that no worker waits for the server
AHEAD = 1.25
#: failures of workers with one task until it fails
MOST_FAILURES = 4
#: results read or deleted by one command
PAGE = 500


class CeleryEngine:
    """Sends each image to a worker, and sends it again if it was lost.

    The file of an outcome whose caller was cancelled is reported as unused. Entering raises `ConfigError`,
    `StorageFailure`.
    """

    def __init__(
        self, settings: Settings, storage: Storage, claims: FileClaims, events: Events, in_flight: InFlight
    ) -> None:
        self._storage = storage
        self._claims = claims
        self._events = events
        self._configured = settings.queue.workers
        self._celery = celery_app(settings, keeps_results=False)
        self._redis = redis_client(settings)
        self._name_file = settings.data_folder / NAME_FILE
        #: prefixes of the ids of this server's tasks, and of those of this run
        self._server = self._run = ""
        #: identity of the storage
        self._identity = ""
        self._numbers = itertools.count(1)
        #: by the task's id
        self.flights: dict[str, Flight] = {}
        self._losses = Losses(self._redis, self._celery)
        #: ids of results to delete
        self._read: list[str] = []
        #: the queue holds no more tasks of an earlier run
        self._is_withdrawn = False
        self._failures = FailureLog("reach the broker", retry=PAUSE, temporary=BROKER_ERRORS)
        self._sender = TaskSender(self._celery, self.flights, self._failures, in_flight)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            # the same after a restart, on whatever machine, and different for each server
            name = await asyncio.to_thread(create_once, self._name_file, secrets.token_hex(8))
        except OSError as error:
            raise ConfigError.unusable_folder("data_dir", self._name_file.parent, error) from error
        self._server = f"resizer-{name}-"
        self._run = f"{self._server}{secrets.token_hex(4)}-"
        self._identity = await self._storage.identity()
        self._stack.push_async_callback(asyncio.to_thread, self._celery.close)
        self._stack.push_async_callback(self._redis.aclose)
        self._stack.push_async_callback(self._sender.aclose)
        await self._stack.enter_async_context(Periodic(self._listen, self._failures))
        await self._stack.enter_async_context(Periodic(self._watch, self._failures))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def workers(self) -> int:
        return max(self._configured, min(math.ceil(AHEAD * self._losses.slots), MOST_SENT))

    async def room(self) -> None:
        """Return at once: tasks wait in the broker's queue."""

    async def check(self) -> None:
        """Raise `NoWorkers` if no worker sends heartbeats, `BrokerDown` if the broker cannot be reached."""
        try:
            await self._losses.read_heartbeats()
        except BROKER_ERRORS as error:
            raise BrokerDown(str(error)) from error
        if not self._losses.slots:
            raise NoWorkers

    async def run(self, task: Task, progress: Progress) -> Outcome:
        """Process one image on a worker. Raises `TaskFailed` for a fault that is the worker's own."""
        while True:
            deletions = self._claims.deletions
            outcome = await self._process(task)
            if outcome.compressed is None:
                return outcome
            name = outcome.compressed.filename
            await progress.claim(stem_of_name(name))
            # a file that the worker found may have been deleted before this server knew of it
            if deletions == self._claims.deletions or await self._storage.find(name) is not None:
                return outcome
            logger.info("file %s was deleted in between; processing image %s again", name, task.seq)
            task = replace(task, known=None)

    async def _process(self, task: Task) -> Outcome:
        flight = Flight(f"{self._run}{next(self._numbers)}", message_of(task), self._identity)
        self.flights[flight.task_id] = flight
        self._sender.update(flight)
        try:
            return _outcome(await asyncio.shield(flight.answer))
        except asyncio.CancelledError:
            if flight.answer.done():
                # it arrived just before: the caller has to know of its file
                return _outcome(flight.answer.result())
            flight.abandoned = True
            self._sender.update(flight)
            raise

    async def _listen(self) -> NoReturn:
        """Receive results as they are published, after a look-up of those published earlier."""
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            # of earlier runs too: their workers may have stored files that no caller waits for
            await channel.psubscribe(f"{RESULT}{self._server}*")
            earlier = [key async for key in self._redis.scan_iter(f"{RESULT}{self._server}*", count=PAGE)]
            await self._look_up({*self.flights, *(key.removeprefix(RESULT) for key in earlier)})
            while True:
                message = await channel.get_message(timeout=BEAT)
                if message is not None:
                    self._receive(message["data"])

    async def _look_up(self, task_ids: Collection[str]) -> None:
        """Read results that were not received as they were published."""
        for ids in _pages([*task_ids]):
            for found in await self._redis.mget([f"{RESULT}{each}" for each in ids]):
                if found is not None:
                    self._receive(cast("str", found))

    def _receive(self, data: str) -> None:
        result = Result.from_json(data)
        if result is None:
            return
        self._read.append(result.task_id)
        flight = self.flights.get(result.task_id)
        if flight is None:
            # received twice, published and looked up, or from a worker that had seemed lost
            if not result.task_id.startswith(self._run):
                self._report_unused(result)
            return
        if result.status != SUCCESS and not flight.abandoned:
            if data == flight.failure:
                return
            if result.was_cut_off or flight.failures < MOST_FAILURES:
                logger.warning("task %s failed: %s; sending it again", flight.task_id, result.result)
                flight.failures += not result.was_cut_off
                flight.failure = data
                self._send_again(flight)
                return
        del self.flights[flight.task_id]
        if flight.abandoned:
            self._report_unused(result)
        else:
            flight.answer.set_result(result)

    def _report_unused(self, result: Result) -> None:
        if result.status == SUCCESS and result.result is not None:
            outcome = outcome_from(result.result)
            if outcome.compressed is not None:
                self._events.publish(FilesUnused((outcome.compressed.filename,)))

    async def _watch(self) -> float:
        """Check the workers' heartbeats, delete results that were read, and recover lost tasks."""
        if not self._is_withdrawn:
            await self._losses.withdraw(self._server, but=self._run)
            self._is_withdrawn = True
        await self._losses.read_heartbeats()
        read, self._read = self._read, []
        for ids in _pages(read):
            await self._redis.unlink(*(f"{RESULT}{each}" for each in ids))
        lost = await self._losses.lost([each.task_id for each in self.flights.values() if each.sent])
        # a result may have been published while the server was not listening
        await self._look_up(lost)
        await self._recover([each for each in lost if each in self.flights])
        return BEAT

    async def _recover(self, lost: Sequence[str]) -> None:
        """Give lost tasks to other workers: requeue those that a worker held, send the others again."""
        if not lost:
            return
        requeued = await asyncio.to_thread(self._losses.requeue, lost)
        # results may have arrived in between
        flights = [flight for each in lost if (flight := self.flights.get(each))]
        logger.warning("a worker or the broker lost %s images; processing them again", len(flights))
        for flight in flights:
            if flight.task_id not in requeued:
                self._send_again(flight)
            elif flight.abandoned:
                self._sender.update(flight)  # to workers that started after it was revoked

    def _send_again(self, flight: Flight) -> None:
        flight.sent = False
        self._sender.update(flight)


def _pages(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + PAGE] for start in range(0, len(ids), PAGE)]


def _outcome(result: Result) -> Outcome:
    if result.status != SUCCESS or result.result is None:
        raise TaskFailed(f"{result.status}: {result.result}")
    return outcome_from(result.result)
