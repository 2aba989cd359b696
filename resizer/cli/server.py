"""Run the service with given settings."""

import asyncio
import logging

from resizer.app import create_app
from resizer.cli.descriptors import BY_WORKER, within_descriptors
from resizer.cli.logs import set_up_logging
from resizer.cli.serving import bind_free_port, serve
from resizer.config import ALL_ADDRESSES, Settings
from resizer.support.allocator import collect_seldom

logger = logging.getLogger(__name__)


def run_server(settings: Settings) -> None:
    """Run the service until a signal; see `serving.serve`."""
    set_up_logging(settings.log)
    # with the distributed engine, workers fetch
    by_worker = BY_WORKER if settings.engine.kind == "local" else 0
    settings = within_descriptors(settings, by_worker=by_worker)
    collect_seldom()
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    server = settings.server
    bound = None
    if server.port == 0:
        # links in webhook events contain the port, so the application must know it
        bound = bind_free_port(server.host)
        server = server.model_copy(update={"port": bound.getsockname()[1]})
        settings = settings.model_copy(update={"server": server})
    if settings.webhook.url and not server.public_url and server.host in ALL_ADDRESSES:
        logger.warning(
            "Events for webhook.url have links to %s, unusable on other machines; set server.public_url",
            server.own_origin,
        )
    await serve(create_app(settings), server, host=server.host, port=server.port, bound=bound)
