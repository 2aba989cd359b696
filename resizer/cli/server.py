"""The service, from its settings to its end."""

import asyncio
import logging

from resizer.app import create_app
from resizer.cli.descriptors import BY_WORKER, within_descriptors
from resizer.cli.logs import set_up_logging
from resizer.cli.serving import serve, take_free_port
from resizer.config import ALL_ADDRESSES, Settings
from resizer.support.allocator import collect_seldom

logger = logging.getLogger(__name__)


def run_server(settings: Settings) -> None:
    """Run the service as `serving.serve` says."""
    set_up_logging(settings.log)
    # with the distributed engine others fetch
    by_worker = BY_WORKER if settings.engine.kind == "local" else 0
    settings = within_descriptors(settings, by_worker=by_worker)
    collect_seldom()
    asyncio.run(_served(settings))


async def _served(settings: Settings) -> None:
    server = settings.server
    taken = None
    if server.port == 0:
        # the port is a part of the links in webhook events, so the application has to know it
        taken = take_free_port(server.host)
        server = server.model_copy(update={"port": taken.getsockname()[1]})
        settings = settings.model_copy(update={"server": server})
    if settings.webhook.url and not server.public_url and server.host in ALL_ADDRESSES:
        logger.warning(
            "events for webhook.url have links to %s, which lead nowhere from other machines; "
            "set server.public_url",
            server.own_origin,
        )
    await serve(create_app(settings), server, host=server.host, port=server.port, taken=taken)
