"""`resizer serve`: the server."""

import asyncio
from pathlib import Path

import click

from resizer.allocator import collect_seldom
from resizer.app import create_app
from resizer.cli.descriptors import allow_descriptors, descriptors_needed
from resizer.cli.logs import set_up_logging
from resizer.cli.options import configured, settings_from
from resizer.cli.serving import serve
from resizer.config import Settings, check_exposure


@click.command("serve")
@click.option("--host", help="Address to listen on.  [config: server.host]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.  [config: server.port]",
)
@configured
def command(host: str | None, port: int | None, config_file: Path | None, data_dir: str | None) -> None:
    """Run the server until SIGTERM or Ctrl-C; a second one stops at once."""
    settings = settings_from(config_file, data_dir, server={"host": host, "port": port})
    check_exposure(settings.server)
    set_up_logging(settings.log)
    allow_descriptors(descriptors_needed(settings))
    collect_seldom()
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    server = settings.server
    await serve(create_app(settings), server, host=server.host, port=server.port)
