"""The service, from its settings to its end."""

import asyncio

from resizer.allocator import collect_seldom
from resizer.app import create_app
from resizer.cli.descriptors import BY_WORKER, within_descriptors
from resizer.cli.logs import set_up_logging
from resizer.cli.serving import serve
from resizer.config import Settings


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
    await serve(create_app(settings), server, host=server.host, port=server.port)
