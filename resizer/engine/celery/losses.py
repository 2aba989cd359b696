"""Know which tasks are with a worker, and find those that nobody is at any more.

A worker that is killed leaves what it held unacknowledged, for as long as the visibility timeout; a task
that was on its way between the queue and a worker, or in a broker that lost its data, is nowhere. So the
server compares what it handed out with what stands in the queue and with what each living worker says that
it holds.
"""

from collections.abc import Collection, Sequence
from typing import cast

from celery import Celery
from redis.asyncio import Redis

from resizer.engine.celery.broker import NODES, QUEUE, node_key
from resizer.engine.celery.messages import Sign, held_id_of, id_of

#: looks in a row at which a task was nowhere, until it counts as lost: a worker that has just taken one
#: says so with its next sign of life
MISSES = 3


class Losses:
    """What the broker and the workers say, as of the last look."""

    def __init__(self, redis: Redis, celery: Celery) -> None:
        self._redis = redis
        self._celery = celery
        #: how many images all workers together can be at
        self.slots = 0
        self._held: frozenset[str] = frozenset()
        self._missed: dict[str, int] = {}

    async def look_at_nodes(self) -> None:
        """Learn how many workers there are, and what they hold. Raises `RedisError`."""
        names = [*cast("set[str]", await self._redis.smembers(NODES))]
        signs = await self._redis.mget([node_key(name) for name in names]) if names else []
        dead = [name for name, sign in zip(names, signs, strict=True) if sign is None]
        if dead:
            await self._redis.srem(NODES, *dead)  # one that was only slow comes back with its next sign
        found = (Sign.from_json(cast("str", sign)) for sign in signs if sign is not None)
        nodes = [sign for sign in found if sign is not None]
        self.slots = sum(node.slots for node in nodes)
        self._held = frozenset(each for node in nodes for each in node.held)

    async def lost(self, task_ids: Collection[str]) -> list[str]:
        """Return which of these nobody has been at for some looks. Raises `RedisError`."""
        suspects = [each for each in task_ids if each not in self._held]
        waiting = await self._waiting() if suspects else frozenset()
        self._missed = {each: self._missed.get(each, 0) + 1 for each in suspects if each not in waiting}
        lost = [each for each, misses in self._missed.items() if misses >= MISSES]
        for each in lost:
            del self._missed[each]
        return lost

    async def withdraw(self, prefix: str, *, but: str) -> None:
        """Take tasks out of the queue that an earlier run of this server put there. Raises `RedisError`."""
        for raw in await self._queued():
            task_id = id_of(raw)
            if task_id and task_id.startswith(prefix) and not task_id.startswith(but):
                await self._redis.lrem(QUEUE, 1, raw)

    def put_back(self, task_ids: Sequence[str]) -> set[str]:
        """Put tasks back into the queue that a lost worker held; returns which there were. Blocks.

        Raises kombu's `OperationalError`.
        """
        wanted = frozenset(task_ids)
        put_back: set[str] = set()
        with self._celery.connection_for_write() as connection:
            channel = connection.default_channel
            for tag, held in channel.client.hgetall(channel.unacked_key).items():
                task_id = held_id_of(held)
                if task_id and task_id in wanted:
                    channel.qos.restore_by_tag(tag.decode())
                    put_back.add(task_id)
        return put_back

    async def _waiting(self) -> frozenset[str]:
        return frozenset(task_id for raw in await self._queued() if (task_id := id_of(raw)))

    async def _queued(self) -> list[str]:
        return cast("list[str]", await self._redis.lrange(QUEUE, 0, -1))
