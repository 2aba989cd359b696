"""`resizer demo`: run the whole service on this machine, with its own photos."""

import asyncio
import sys
import tempfile
from contextlib import ExitStack
from functools import partial

import click

from resizer.cli.logs import set_up_logging
from resizer.cli.options import Configuration, configured
from resizer.cli.reporting import Exit

HOST = "127.0.0.1"
LOOPBACK = f"{HOST}/32"


@click.command("demo")
@click.option(
    "--once", is_flag=True, help="Exit when the request has ended, instead of keeping the page open."
)
@click.option(
    "--browser/--no-browser", default=True, help="Open the page in a browser, if there is a desktop."
)
@partial(configured, data_dir="Folder of images and results.  [default: a temporary folder]")
def command(*, once: bool, browser: bool, config: Configuration) -> None:
    """Run the service without the internet: an image host, a server, a webhook receiver, a catalogue."""
    with ExitStack() as stack:
        temporary = None
        if config.data_dir is None:
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="resizer-demo-"))
        settings = config.load(
            data_dir=temporary,
            # only this machine can reach the demo, whatever the configuration says
            server={
                "host": HOST,
                "public_url": "",
                "api_tokens": [],
                "cors_origins": [],
                "allowed_hosts": [],
            },
            fetch={"allow_networks": [LOOPBACK]},
            webhook={"url": "", "allow_networks": [LOOPBACK]},
            storage={"kind": "local", "path": ""},
            database={"path": ""},
            engine={"kind": "local"},
            log={"level": "warning", "format": "text"},
        )
        set_up_logging(settings.log)
        try:
            # Ctrl-C may interrupt these imports, which take a second
            from resizer.cli.demonstration import demonstrate  # noqa: PLC0415

            sys.exit(asyncio.run(demonstrate(settings, once=once, browser=browser)))
        except KeyboardInterrupt:
            sys.exit(Exit.INTERRUPTED)
