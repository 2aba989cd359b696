"""`resizer receive`: run the bundled webhook receiver."""

import asyncio
from pathlib import Path

import click

from resizer.cli.descriptors import within_descriptors
from resizer.cli.logs import set_up_logging
from resizer.cli.options import Configuration, configured
from resizer.cli.serving import serve
from resizer.support.cross_site import ANY_HOST, AllowedHosts
from resizer.webhooks.receiver import create_receiver
from resizer.webhooks.signing import load_secret

DEFAULT_PORT = 8081


@click.command("receive")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on.",
)
@click.option(
    "--secret", help="Signing secret, whsec_….  [config: webhook.secret, or DATA_DIR/webhook.secret]"
)
@click.option(
    "--log",
    "log_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append each event to this file, one JSON object per line.",
)
@configured
def command(
    *, host: str, port: int, secret: str | None, log_file: Path | None, config: Configuration
) -> None:
    """Receive webhooks at POST /webhook, verify their signatures, and list them at GET /events."""
    settings = config.load(webhook={"secret": secret})
    set_up_logging(settings.log)
    settings = within_descriptors(settings, by_worker=0)
    # "*" requires a token, and the receiver has none
    hosts = AllowedHosts(host, (each for each in settings.server.allowed_hosts if each != ANY_HOST))
    app = create_receiver(load_secret(settings.webhook, settings.data_folder), log_file, hosts=hosts)
    asyncio.run(serve(app, settings.server, host=host, port=port))
