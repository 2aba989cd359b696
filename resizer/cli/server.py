"""The service, from its settings to its end."""

import asyncio

from resizer.allocator import collect_seldom
from resizer.app import create_app
from resizer.cli.descriptors import allow_descriptors, descriptors_needed
from resizer.cli.logs import set_up_logging
from resizer.cli.serving import serve
from resizer.config import Settings


def run_server(settings: Settings) -> None:
    """Run the service as `serving.serve` says."""
    set_up_logging(settings.log)
    allow_descriptors(descriptors_needed(settings))
    collect_seldom()
    asyncio.run(_served(settings))


async def _served(settings: Settings) -> None:
    server = settings.server
    await serve(create_app(settings), server, host=server.host, port=server.port)
