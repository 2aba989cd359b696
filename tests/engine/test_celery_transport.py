import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from kombu.connection import Connection

from cluster import Redis
from resizer.engine.celery.broker import celery_app
from service import settings_for


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Redis]:
    redis = Redis(tmp_path / "redis")
    await redis.start()
    yield redis
    await redis.kill()


@pytest.mark.parametrize("lose", [Connection.collect, Connection.close])
async def test_message_of_a_lost_connection_cannot_be_acknowledged_and_ends_nothing(
    lose: Callable[[Connection], None], broker: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(tmp_path, engine={"kind": "celery", "broker_url": broker.url})
    with celery_app(settings, keeps_results=True).connection_for_read() as connection:
        assert connection.transport_cls == "redis"  # its name in logs
        queue: Any = connection.SimpleQueue("resizer")
        queue.put({})
        message = queue.get(block=False)
        lose(connection)
        message.ack_log_error(logging.getLogger(__name__), connection.connection_errors)
    assert "Couldn't ack" in caplog.text
