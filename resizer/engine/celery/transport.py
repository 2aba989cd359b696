"""Kombu's Redis transport, but for messages whose connection is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as ConnectionLost


class Channel(redis.Channel):
    """Says of a lost connection that it is lost, which Celery gets over."""

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """Connect for what is not acknowledged yet, or for what is given back.

        Kombu 5.7 asks a connection that is closed for its host then: an `AttributeError`, at which the whole
        worker ends. What is lost so is found by the server, and done once more.
        """
        if not client and (self.connection is None or self.connection.client is None):
            raise ConnectionLost("the connection of this message was lost")
        with super().conn_or_acquire(client) as acquired:
            yield acquired


class Transport(redis.Transport):
    Channel = Channel
