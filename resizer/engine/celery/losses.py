"""Find lost tasks: sent, but neither in the queue nor with a worker.

The tasks of a killed worker stay unacknowledged until the visibility timeout; a task on its way from the
queue to a worker, or in a broker that lost its data, is nowhere. So the server compares the tasks it sent
with the queue and with the heartbeats, in which each worker lists its tasks.
"""

from collections.abc import Collection, Sequence
from typing import cast

from celery import Celery
from redis.asyncio import Redis

from resizer.engine.celery.broker import NODES, QUEUE, node_key
from resizer.engine.celery.messages import Heartbeat, id_of

#: consecutive checks that miss a task until it counts as lost: a worker lists a task it just received only in
#: its next heartbeat
MISSES = 3


class Losses:
    """The workers and their tasks as of the last check."""

    def __init__(self, redis: Redis, celery: Celery) -> None:
        self._redis = redis
        self._celery = celery
        #: images that all workers together can process at a time
        self.slots = 0
        self._held: frozenset[str] = frozenset()
        self._missed: dict[str, int] = {}

    async def read_heartbeats(self) -> None:
        """Read the workers' heartbeats. Raises `RedisError`."""
        names = [*cast("set[str]", await self._redis.smembers(NODES))]
        heartbeats = await self._redis.mget([node_key(name) for name in names]) if names else []
        dead = [name for name, beat in zip(names, heartbeats, strict=True) if beat is None]
        if dead:
            await self._redis.srem(NODES, *dead)  # one that was only slow adds itself with its next heartbeat
        found = (Heartbeat.from_json(cast("str", beat)) for beat in heartbeats if beat is not None)
        nodes = [beat for beat in found if beat is not None]
        self.slots = sum(node.slots for node in nodes)
        self._held = frozenset(each for node in nodes for each in node.held)

    async def lost(self, task_ids: Collection[str]) -> list[str]:
        """Return those of these tasks that `MISSES` checks in a row have missed. Raises `RedisError`."""
        suspects = [each for each in task_ids if each not in self._held]
        waiting = {id_of(raw) for raw in await self._queued()} if suspects else set()
        self._missed = {each: self._missed.get(each, 0) + 1 for each in suspects if each not in waiting}
        lost = [each for each, misses in self._missed.items() if misses >= MISSES]
        for each in lost:
            del self._missed[each]
        return lost

    async def withdraw(self, prefix: str, *, but: str) -> None:
        """Remove tasks of earlier runs of this server from the queue. Raises `RedisError`."""
        for raw in await self._queued():
            task_id = id_of(raw)
            if task_id and task_id.startswith(prefix) and not task_id.startswith(but):
                await self._redis.lrem(QUEUE, 1, raw)

    def requeue(self, task_ids: Sequence[str]) -> set[str]:
        """Requeue those of these tasks that are unacknowledged; returns which. Blocks.

        Raises kombu's `OperationalError`.
        """
        wanted = frozenset(task_ids)
        requeued: set[str] = set()
        with self._celery.connection_for_write() as connection:
            channel = connection.default_channel
            for tag, held in channel.client.hgetall(channel.unacked_key).items():
                task_id = id_of(held)
                if task_id and task_id in wanted:
                    channel.qos.restore_by_tag(tag.decode())
                    requeued.add(task_id)
        return requeued

    async def _queued(self) -> list[str]:
        return cast("list[str]", await self._redis.lrange(QUEUE, 0, -1))
