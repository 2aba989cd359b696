"""`resizer serve`: the server."""

from pathlib import Path

import click

from resizer.cli.options import configured, settings_from
from resizer.compress.child import warm_up
from resizer.config import check_exposure


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
    if settings.engine.kind == "local":
        warm_up()
    # half of the time until it listens goes into these imports: the other processes start meanwhile
    from resizer.cli.server import run_server  # noqa: PLC0415

    run_server(settings)
