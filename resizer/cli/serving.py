"""Run a web application until a signal asks it to stop."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable

from aiohttp import web

from resizer.cli.logs import ACCESS
from resizer.config import ServerSettings
from resizer.errors import ConfigError
from resizer.threads import start_threads
from resizer.web.door import Door
from resizer.web.listener import Listener
from resizer.web.protocol import Protocol

logger = logging.getLogger(__name__)

#: seconds that answers under way get when stopping; images have a limit of their own
ANSWERS_GRACE = 5.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def serve(app: web.Application, settings: ServerSettings, *, host: str, port: int) -> None:
    """Serve, within the limits of these settings, until SIGTERM or SIGINT, and then stop in order.

    A second signal ends the process at once.
    Raises `ConfigError` where the address cannot be listened on, and what the app's resources raise.
    """
    start_threads()
    stop = asyncio.Event()
    stop_on_signals(stop)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=ANSWERS_GRACE)
    try:
        await runner.setup()
        listener = await listen(runner, settings, host, port)
        bound = listener.sockets[0].getsockname()[1]
        logger.info("listening on http://%s:%s", f"[{host}]" if ":" in host else host, bound)
        await stop.wait()
        logger.info("stopping")
        listener.close()
    finally:
        await runner.cleanup()
    logger.info("stopped")


async def listen(runner: web.AppRunner, settings: ServerSettings, host: str, port: int) -> Listener:
    manager = runner.server
    assert manager is not None  # noqa: S101 - the runner is set up
    loop = asyncio.get_running_loop()
    access_log = logging.getLogger(ACCESS)

    def connect(left: Callable[[], None]) -> Protocol:
        return Protocol(
            manager,
            loop=loop,
            access_log=access_log,
            request_timeout=settings.request_timeout,
            left=left,
        )

    door = Door(connect, limit=settings.max_connections)
    try:
        return await Listener.open(host, port, door)
    except UnicodeError as error:
        raise ConfigError.of(
            "server.host", f"{host[:100]!r} is no host name", "use a name or address of this machine"
        ) from error
    except OSError as error:
        raise ConfigError.of(
            "server.port",
            f"{host}:{port} cannot be listened on: {error.strerror}",
            "use another --host or --port, or stop what listens there",
        ) from error


def stop_on_signals(stop: asyncio.Event, *, second: int = 0) -> None:
    """Set `stop` on the first signal; the second ends the process at once with this exit code.

    Nothing that was promised is lost by it.
    """

    def caught(number: signal.Signals) -> None:
        if stop.is_set():
            logger.warning("%s again: stopping at once", number.name)
            os._exit(second)
        logger.info("%s: finishing what is under way; once more stops at once", number.name)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, caught, number)
