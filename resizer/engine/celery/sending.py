"""Send tasks to the broker, and revoke those whose caller was cancelled."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from celery import Celery

from resizer.engine.celery.broker import CANCEL, TASK
from resizer.engine.celery.messages import Message, Result
from resizer.support.background import FailureLog
from resizer.support.coalescer import Coalescer
from resizer.support.in_flight import InFlight

#: most tasks sent at a time, however many workers there are
MOST_SENT = 20_000
#: seconds a task waits for others, which share a trip to a thread, and tasks that wait no longer
GATHER, ENOUGH = 0.005, 100


@dataclass(eq=False, slots=True)
class Flight:
    """A task until its result arrives."""

    task_id: str
    message: Message
    #: identity of the server's storage; a worker with another one fails the task
    storage: str
    #: it has reached the broker
    sent: bool = False
    answer: asyncio.Future[Result] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    #: its caller was cancelled
    abandoned: bool = False
    #: failures of workers that the image did not cause
    failures: int = 0
    #: the last failure as received; it is received twice, published and looked up
    failure: str = ""


class TaskSender:
    """Brings the broker up to date about flights; abandoned ones that were never sent are dropped.

    `failures` logs a broker that cannot be reached, which is tried again until it can.
    """

    def __init__(
        self, celery: Celery, flights: dict[str, Flight], failures: FailureLog, in_flight: InFlight
    ) -> None:
        self._celery = celery
        self._flights = flights
        self._failures = failures
        self._updates = Coalescer(
            self._update_all, in_flight=in_flight, max_items=MOST_SENT, max_wait=GATHER, enough=ENOUGH
        )

    async def aclose(self) -> None:
        """Give up what was not sent yet."""
        await self._updates.cancel()

    def update(self, flight: Flight) -> None:
        """Send the flight's task unless it was sent, or revoke it if it was abandoned since."""
        self._updates.submit(flight)

    async def _update_all(self, flights: Sequence[Flight]) -> list[None]:
        while True:
            try:
                await self._send_and_revoke(flights)
            except Exception as error:  # noqa: BLE001 - logged; a flight given up here would be awaited for ever
                self._failures.failed(error)
                await asyncio.sleep(self._failures.retry)
            else:
                self._failures.succeeded()
                return [None] * len(flights)

    async def _send_and_revoke(self, updated: Sequence[Flight]) -> None:
        flights = [each for each in dict.fromkeys(updated) if each.task_id in self._flights]
        for flight in flights:
            if flight.abandoned and not flight.sent:
                del self._flights[flight.task_id]
        to_send = [each for each in flights if not each.sent and not each.abandoned]
        to_revoke = [each.task_id for each in flights if each.sent and each.abandoned]
        if to_send or to_revoke:
            await asyncio.to_thread(self._publish, to_send, to_revoke)

    def _publish(self, to_send: Sequence[Flight], to_revoke: Sequence[str]) -> None:
        with self._celery.producer_pool.acquire(block=True) as producer:
            for flight in to_send:
                self._celery.send_task(
                    TASK,
                    args=(flight.message, flight.storage),
                    task_id=flight.task_id,
                    producer=producer,
                    retry=False,
                )
                flight.sent = True
            if to_revoke:
                control, connection = self._celery.control, producer.connection
                control.revoke(to_revoke, connection=connection)
                control.broadcast(CANCEL, arguments={"ids": to_revoke}, connection=connection)
