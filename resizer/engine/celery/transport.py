"""Kombu's Redis transport, fixed for messages whose connection is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as ConnectionLost


class Channel(redis.Channel):
    """Raises the error of a lost connection, which Celery handles."""

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """Connect to acknowledge a message, or to return it.

        Kombu 5.7 reads the host of a closed connection here: an `AttributeError`, which ends the worker. The
        server finds a task that is lost this way, and sends it again.
        """
        if not client and (self.connection is None or self.connection.client is None):
            raise ConnectionLost("the connection of this message was lost")
        with super().conn_or_acquire(client) as acquired:
            yield acquired


class Transport(redis.Transport):
    Channel = Channel
