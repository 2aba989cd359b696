"""The Celery application, and the names of what it and the engine keep in Redis."""

import ssl
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio
from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES
from redis.exceptions import RedisError

from resizer.config import Settings
from resizer.fetch.fetcher import MAX_RETRY_AFTER

TASK = "resizer.process"
QUEUE = "resizer"
#: remote control command that ends running tasks; Celery's own `revoke` ends those still waiting
CANCEL = "resizer_cancel"
#: before the task's id: the key of its result, and the channel that publishes it; Celery's Redis backend
RESULT = "celery-task-meta-"
#: set of workers' names
NODES = "resizer:nodes"
#: seconds a result is kept for a server that is down
RESULT_EXPIRES = 3600
#: seconds between two heartbeats of a worker
BEAT = 2.0
#: seconds after its last heartbeat until a worker counts as dead
ALIVE = 5 * BEAT
#: seconds for a connection to the broker, and for a response
CONNECT_TIMEOUT, SOCKET_TIMEOUT = 5, 15
#: least visibility timeout in seconds; Celery's own
HOUR = 3600
#: seconds for what is neither fetching nor compressing
MARGIN = 120

#: errors of a broker that cannot be reached; a later try may succeed
BROKER_ERRORS = (OperationalError, RedisError, OSError)

#: settings of each connection to the broker: a broker that hangs, or whose host is gone, is noticed
TRANSPORT_OPTIONS = {
    "socket_connect_timeout": CONNECT_TIMEOUT,
    "socket_timeout": SOCKET_TIMEOUT,
    "socket_keepalive": True,
    "health_check_interval": SOCKET_TIMEOUT,
}
OPTIONS: dict[str, Any] = {
    "result_expires": RESULT_EXPIRES,
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    "result_accept_content": ["json"],
    "task_default_queue": QUEUE,
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "redis_socket_connect_timeout": CONNECT_TIMEOUT,
    "redis_socket_timeout": SOCKET_TIMEOUT,
    "redis_socket_keepalive": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
}


def node_key(name: str) -> str:
    """Return the key of a worker's heartbeat."""
    return f"resizer:node:{name}"


def longest_task(settings: Settings) -> float:
    """Return the most seconds one image can take: all tries and pauses, a full pool, two crashes."""
    fetch, compress = settings.fetch, settings.compress
    fetching = (fetch.retries + 1) * fetch.timeout + fetch.retries * MAX_RETRY_AFTER
    compressing = (settings.queue.workers + 2) * compress.timeout
    return fetching + compressing + MARGIN


def celery_app(settings: Settings, *, keeps_results: bool) -> Celery:
    """Create the Celery application; a worker's keeps results, the server's only listens to them."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "resizer.engine.celery.transport:Transport"))
    url = settings.engine.broker_url
    # a task that is not acknowledged for this long is given to another worker
    transport = TRANSPORT_OPTIONS | {"visibility_timeout": max(HOUR, 2 * longest_task(settings))}
    options = OPTIONS | {
        "broker_url": url,
        "result_backend": url if keeps_results else "disabled://",
        "broker_transport_options": transport,
        "result_backend_transport_options": transport,
    }
    if urlsplit(url).scheme == "rediss":
        verified = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
        options |= {"broker_use_ssl": verified, "redis_backend_use_ssl": verified}
    app = Celery("resizer", set_as_current=False)
    app.conf.update(options)
    return app


def redis_client(settings: Settings) -> redis.asyncio.Redis:
    """Return a client for the engine's own keys; it connects when it is used."""
    return redis.asyncio.Redis.from_url(
        settings.engine.broker_url,
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=SOCKET_TIMEOUT,
        socket_keepalive=True,
        health_check_interval=10,
    )
