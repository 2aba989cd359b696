"""Run a web application until a signal stops it."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable

from aiohttp import web

from resizer.cli.logs import ACCESS
from resizer.config import ServerSettings
from resizer.errors import ConfigError
from resizer.support.threads import start_threads
from resizer.web.connection.aiohttp_internals import connection_class
from resizer.web.connection.client_connection import ClientConnection
from resizer.web.connection.connection_limiter import ConnectionLimiter
from resizer.web.connection.listener import Listener

logger = logging.getLogger(__name__)

RESPONSES_GRACE = 5.0  # seconds for responses in progress when stopping; images have queue.shutdown_grace
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def bind_free_port(host: str) -> socket.socket:
    """Bind a free port, so that it is known before the server listens on it. Raises `ConfigError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            # as asyncio does: the next process can listen while connections of this one linger
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(host, 0, error) from error
    return bound


async def serve(
    app: web.Application,
    settings: ServerSettings,
    *,
    host: str,
    port: int,
    bound: socket.socket | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully; a second signal ends the process at once.

    Listens on the socket `bound`, if given. Raises `ConfigError` if it cannot listen on the address, and
    any error of the app's resources.
    """
    start_threads()
    stop = asyncio.Event()
    stop_on_signals(stop)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=RESPONSES_GRACE)
    try:
        await runner.setup()
        listener = await listen(runner, settings, host, port, bound=bound)
        port = listener.sockets[0].getsockname()[1]
        logger.info("listening on http://%s:%s", f"[{host}]" if ":" in host else host, port)
        await stop.wait()
        logger.info("stopping")
        listener.close()
    finally:
        await runner.cleanup()
    logger.info("stopped")


async def listen(
    runner: web.AppRunner,
    settings: ServerSettings,
    host: str,
    port: int,
    *,
    bound: socket.socket | None = None,
) -> Listener:
    manager = runner.server
    assert manager is not None  # noqa: S101 - set by runner.setup()
    loop = asyncio.get_running_loop()
    access_log = logging.getLogger(ACCESS)
    connection = connection_class()

    def connect(released: Callable[[], None]) -> ClientConnection:
        return connection(
            manager,
            loop=loop,
            access_log=access_log,
            request_timeout=settings.request_timeout,
            released=released,
        )

    limiter = ConnectionLimiter(connect, limit=settings.max_connections)
    try:
        return await Listener.open(host, port, limiter, taken=bound)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(host, port, error) from error


def _cannot_listen(host: str, port: int, error: OSError | UnicodeError) -> ConfigError:
    if isinstance(error, UnicodeError):
        return ConfigError.of(
            "server.host", f"{host[:100]!r} is not a host name", "use a name or address of this machine"
        )
    return ConfigError.of(
        "server.port",
        f"cannot listen on {host}:{port}: {error.strerror}",
        "use another --host or --port, or stop the program that uses it",
    )


def stop_on_signals(stop: asyncio.Event, *, second: int = 0) -> None:
    """Set `stop` on the first signal; the second ends the process at once with this exit code.

    No recorded outcome is lost.
    """

    def caught(number: signal.Signals) -> None:
        if stop.is_set():
            logger.warning("second %s: stopping at once", number.name)
            os._exit(second)
        logger.info("%s: finishing requests in progress; a second signal stops at once", number.name)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, caught, number)
