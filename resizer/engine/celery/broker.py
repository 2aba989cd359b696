"""Celery as we use it, and what stands in Redis besides."""

import logging
import ssl
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio
from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

from resizer.config import Settings
from resizer.fetch.fetcher import MAX_RETRY_AFTER

logger = logging.getLogger(__name__)

TASK = "resizer.process"
QUEUE = "resizer"
#: remote control command that ends tasks which a worker is at; Celery's own `revoke` ends those before
CANCEL = "resizer_cancel"
#: Celery's Redis backend: key of a result, and the channel on which it is published, before the task's id
RESULT = "celery-task-meta-"
#: seconds for which a result is kept for a server that is away
RESULT_EXPIRES = 3600
#: seconds between two signs of life of a worker
BEAT = 2.0
#: seconds after its last sign of life for which a worker counts as alive
ALIVE = 5 * BEAT
#: seconds for a connection to the broker, and for an answer
CONNECT_TIMEOUT, SOCKET_TIMEOUT = 5, 15
#: set of workers' names
NODES = "resizer:nodes"
#: least visibility timeout in seconds; Celery's own
HOUR = 3600
#: seconds for what is neither fetching nor compressing
MARGIN = 120


def node_key(name: str) -> str:
    """Return the key of a worker's sign of life."""
    return f"resizer:node:{name}"


def longest_task(settings: Settings) -> float:
    """Return the seconds that one image takes at most: all tries, all pauses, a full pool, two crashes."""
    fetch, compress = settings.fetch, settings.compress
    fetching = (fetch.retries + 1) * fetch.timeout + fetch.retries * MAX_RETRY_AFTER
    compressing = (settings.queue.workers + 2) * compress.timeout
    return fetching + compressing + MARGIN


def celery_app(settings: Settings, *, keeps_results: bool) -> Celery:
    """Make a Celery application; the server's keeps no results: it listens to what workers write."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "resizer.engine.celery.transport:Transport"))
    url = settings.engine.broker_url
    app = Celery("resizer", set_as_current=False)
    # what nobody has acknowledged for so long is given to another worker
    transport = {
        "visibility_timeout": max(HOUR, 2 * longest_task(settings)),
        # a broker that hangs, or whose host is gone, is noticed
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_keepalive": True,
        "health_check_interval": SOCKET_TIMEOUT,
    }
    options: dict[str, Any] = {
        "broker_url": url,
        "result_backend": url if keeps_results else "disabled://",
        "result_expires": RESULT_EXPIRES,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_default_queue": QUEUE,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "broker_transport_options": transport,
        "result_backend_transport_options": transport,
        "redis_socket_connect_timeout": CONNECT_TIMEOUT,
        "redis_socket_timeout": SOCKET_TIMEOUT,
        "redis_socket_keepalive": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }
    if urlsplit(url).scheme == "rediss":
        verified = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
        options |= {"broker_use_ssl": verified, "redis_backend_use_ssl": verified}
    app.conf.update(options)
    return app


def redis_client(settings: Settings) -> redis.asyncio.Redis:
    """Open a client of our own; it connects when it is used."""
    return redis.asyncio.Redis.from_url(
        settings.engine.broker_url,
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=SOCKET_TIMEOUT,
        socket_keepalive=True,
        health_check_interval=10,
    )
