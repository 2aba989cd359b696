"""Hand images to Celery workers, and take their outcomes in."""

import asyncio
import itertools
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self, cast

from celery.states import SUCCESS
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from resizer.config import Settings
from resizer.engine.base import Progress
from resizer.engine.celery.broker import BEAT, CANCEL, RESULT, TASK, celery_app, redis_client
from resizer.engine.celery.losses import Losses
from resizer.engine.celery.messages import Message, Result, message_of, outcome_from
from resizer.errors import BrokerDown, ConfigError, NoWorkers, TaskFailed, disk_fault
from resizer.events import Events, FilesUnused
from resizer.models import Outcome, Task
from resizer.storage.base import Storage
from resizer.storage.claims import FileClaims, stem_of_name
from resizer.support.atomic_file import lasting_name

logger = logging.getLogger(__name__)

#: file of the data folder by whose name tasks are known as this server's
NAME_FILE = "server-id"
#: seconds for which tasks wait for others to be sent with them, in one trip to a thread
GATHER = 0.005
#: seconds between tries to reach the broker
PAUSE = 1.0
#: tasks handed out for each that the workers can be at, so that none of them waits for the server
AHEAD = 1.25
#: tasks handed out in all, however many workers there are
MOST_OUT = 20_000
#: faults of workers with one task until that is the end of it
MOST_FAILURES = 4
#: results read or deleted at once
AT_ONCE = 500


@dataclass(eq=False, slots=True)
class Flight:
    """A task that was handed out and has not come back."""

    task_id: str
    message: Message
    #: it has reached the broker
    sent: bool = False
    answer: asyncio.Future[Result] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    #: nobody waits for it any more
    abandoned: bool = False
    #: how often a worker met a fault with it that is none of the image
    failures: int = 0
    #: the last failure as it came; it comes twice, published and looked up
    failure: str = ""


class CeleryEngine:
    """Hands each image to a worker, and finds the ones that were lost on the way.

    Entering raises `ConfigError`, `StorageFailure`.

    The file of an outcome that no image waits for any more is reported as unused.
    """

    def __init__(self, settings: Settings, storage: Storage, claims: FileClaims, events: Events) -> None:
        self._storage = storage
        self._claims = claims
        self._events = events
        self._configured = settings.queue.workers
        self._celery = celery_app(settings, keeps_results=False)
        self._redis = redis_client(settings)
        self._name_file = settings.data_folder / NAME_FILE
        #: before the ids of this server's tasks, and of those of this run of it
        self._server = self._run = ""
        #: of the storage; a worker that sees another one is to say so
        self._identity = ""
        self._numbers = itertools.count(1)
        #: handed out and not back, by the task's id
        self.flights: dict[str, Flight] = {}
        self._losses = Losses(self._redis, self._celery)
        self._to_send: list[Flight] = []
        self._to_revoke: list[str] = []
        self._woken = asyncio.Event()
        #: ids of results that have been read
        self._read: list[str] = []
        #: what an earlier run of this server left in the queue is not there any more
        self._withdrawn = False
        #: the broker could not be reached when it was last needed
        self._away = False
        self._chores: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            # known again after a restart, on whatever machine, and no other server's
            name = await asyncio.to_thread(lasting_name, self._name_file)
        except OSError as error:
            raise ConfigError.of(
                "data_dir",
                f"{self._name_file} cannot be used: {disk_fault(error, self._name_file.parent)}",
                "name a folder that can be created and written to",
            ) from error
        self._server = f"resizer-{name}-"
        self._run = f"{self._server}{secrets.token_hex(4)}-"
        self._identity = await self._storage.identity()
        self._chores = [
            asyncio.create_task(self._again_and_again(each))
            for each in (self._send_gathered, self._listen, self._watch)
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        await self._redis.aclose()
        await asyncio.to_thread(self._celery.close)

    @property
    def workers(self) -> int:
        return max(self._configured, min(math.ceil(AHEAD * self._losses.slots), MOST_OUT))

    async def room(self) -> None:
        """Return at once: tasks wait in the broker's queue."""

    async def run(self, task: Task, progress: Progress) -> Outcome:
        """Have a worker process one image. Raises `TaskFailed` where the worker met a fault of ours."""
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
        flight = Flight(f"{self._run}{next(self._numbers)}", message_of(task))
        self.flights[flight.task_id] = flight
        self._to_send.append(flight)
        self._woken.set()
        try:
            result = await asyncio.shield(flight.answer)
        except asyncio.CancelledError:
            if flight.answer.done():
                # it came just before: who cancels is to know of its file
                return _outcome(flight.answer.result())
            flight.abandoned = True
            self._to_revoke.append(flight.task_id)
            self._woken.set()
            raise
        return _outcome(result)

    async def check(self) -> None:
        """Raise `NoWorkers` where no worker has given a sign of life, `BrokerDown` where none can."""
        try:
            await self._losses.look_at_nodes()
        except (RedisError, OSError) as error:
            raise BrokerDown(str(error)) from error
        if not self._losses.slots:
            raise NoWorkers

    async def _again_and_again(self, chore: Callable[[], Awaitable[None]]) -> None:
        """Do this all the time; a broker that is away is waited for."""
        while True:
            try:
                await chore()
                if self._away:
                    logger.info("the broker is back")
                self._away = False
            except (OperationalError, RedisError, OSError) as error:
                if not self._away:
                    logger.warning("the broker is away; it is tried again each %g s: %s", PAUSE, error)
                self._away = True
                await asyncio.sleep(PAUSE)
            except Exception:
                # a chore that ends would be missed by nobody, while images wait for ever
                logger.exception("the engine met a fault of the service; going on")
                await asyncio.sleep(PAUSE)

    async def _send_gathered(self) -> None:
        """Send what has come together, tasks and cancellations."""
        await self._woken.wait()
        await asyncio.sleep(GATHER)
        self._woken.clear()
        flights, self._to_send = [each for each in self._to_send if self._is_wanted(each)], []
        revoked, self._to_revoke = self._to_revoke, []
        try:
            if not self._withdrawn:
                await self._losses.withdraw(self._server, but=self._run)
                self._withdrawn = True
            await asyncio.to_thread(self._publish, flights, revoked)
        except Exception:
            self._to_send = [each for each in flights if not each.sent] + self._to_send
            self._to_revoke = revoked + self._to_revoke
            self._woken.set()
            raise

    def _is_wanted(self, flight: Flight) -> bool:
        """Tell whether a task is still to be sent; one that was given up before is forgotten."""
        if flight.abandoned and not flight.sent:
            self.flights.pop(flight.task_id, None)
        return flight.task_id in self.flights

    def _publish(self, flights: Sequence[Flight], revoked: Sequence[str]) -> None:
        with self._celery.producer_pool.acquire(block=True) as producer:
            for flight in flights:
                self._celery.send_task(
                    TASK,
                    args=(flight.message, self._identity),
                    task_id=flight.task_id,
                    producer=producer,
                    retry=False,
                )
                flight.sent = True
            if revoked:
                control, ids = self._celery.control, [*revoked]
                control.revoke(ids, connection=producer.connection)
                control.broadcast(CANCEL, arguments={"ids": ids}, connection=producer.connection)

    async def _listen(self) -> None:
        """Take results in as they are published; what was missed meanwhile is looked up."""
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            # of earlier runs too: what they left with workers is to be known, though nobody waits for it
            await channel.psubscribe(f"{RESULT}{self._server}*")
            earlier = [key async for key in self._redis.scan_iter(f"{RESULT}{self._server}*", count=AT_ONCE)]
            await self._catch_up({*self.flights, *(key.removeprefix(RESULT) for key in earlier)})
            while True:
                message = await channel.get_message(timeout=BEAT)
                if message is not None:
                    self._take(message["data"])

    async def _catch_up(self, task_ids: Collection[str]) -> None:
        """Look for results of which nobody told."""
        ids = [*task_ids]
        for start in range(0, len(ids), AT_ONCE):
            keys = [f"{RESULT}{each}" for each in ids[start : start + AT_ONCE]]
            for found in await self._redis.mget(keys):
                if found is not None:
                    self._take(cast("str", found))

    def _take(self, data: str) -> None:
        result = Result.from_json(data)
        if result is None:
            return
        self._read.append(result.task_id)
        flight = self.flights.get(result.task_id)
        if flight is None:
            # it came twice, published and looked up, or from a worker that seemed lost and was not
            if not result.task_id.startswith(self._run):
                self._tell_unclaimed(result)
            return
        if result.status != SUCCESS and not flight.abandoned:
            if data == flight.failure:
                return
            if result.was_cut_off or flight.failures < MOST_FAILURES:
                logger.warning("task %s is sent again: %s", flight.task_id, result.result)
                flight.failures += not result.was_cut_off
                flight.failure = data
                self._send_again(flight)
                return
        del self.flights[flight.task_id]
        if flight.abandoned:
            self._tell_unclaimed(result)
        else:
            flight.answer.set_result(result)

    def _tell_unclaimed(self, result: Result) -> None:
        if result.status == SUCCESS and result.result is not None:
            outcome = outcome_from(result.result)
            if outcome.compressed is not None:
                self._events.publish(FilesUnused((outcome.compressed.filename,)))

    async def _watch(self) -> None:
        """Look after workers, and after tasks that nobody is at any more."""
        await asyncio.sleep(BEAT)
        await self._losses.look_at_nodes()
        await self._delete_read()
        lost = await self._losses.lost([each.task_id for each in self.flights.values() if each.sent])
        # the result may have come while nobody listened
        await self._catch_up(lost)
        await self._recover([each for each in lost if each in self.flights])

    async def _recover(self, lost: Sequence[str]) -> None:
        """Give lost tasks to other workers: what a worker held is put back, what is nowhere is sent again."""
        if not lost:
            return
        put_back = await asyncio.to_thread(self._losses.put_back, lost)
        # some may have come meanwhile
        flights = [flight for each in lost if (flight := self.flights.get(each))]
        logger.warning("%s images were lost with a worker or the broker and are done again", len(flights))
        for flight in flights:
            if flight.task_id not in put_back:
                self._send_again(flight)  # where nobody wants it any more this forgets it
            elif flight.abandoned:
                self._to_revoke.append(flight.task_id)  # to workers that were not there at the first time
        self._woken.set()

    def _send_again(self, flight: Flight) -> None:
        flight.sent = False
        self._to_send.append(flight)
        self._woken.set()

    async def _delete_read(self) -> None:
        read, self._read = self._read, []
        for start in range(0, len(read), AT_ONCE):
            await self._redis.unlink(*(f"{RESULT}{each}" for each in read[start : start + AT_ONCE]))


def _outcome(result: Result) -> Outcome:
    if result.status != SUCCESS or result.result is None:
        raise TaskFailed(f"{result.status}: {result.result}")
    return outcome_from(result.result)
