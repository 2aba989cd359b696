"""`resizer serve`: run the server."""

import click

from resizer.cli.options import Configuration, configured
from resizer.compress.child import warm_up
from resizer.config import check_exposure


@click.command("serve")
@click.option("--host", help="Address to listen on.  [config: server.host]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 chooses a free one.  [config: server.port]",
)
@configured
def command(host: str | None, port: int | None, config: Configuration) -> None:
    """Run the server until SIGTERM or Ctrl-C; a second signal stops it at once."""
    settings = config.load(server={"host": host, "port": port})
    check_exposure(settings.server)
    if settings.engine.kind == "local":
        warm_up()
    # these imports take half of the startup time; the child processes start concurrently
    from resizer.cli.server import run_server  # noqa: PLC0415

    run_server(settings)
