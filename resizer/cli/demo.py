"""`resizer demo`: the whole service at work on this machine, with photos of its own."""

import asyncio
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from resizer.cli.logs import set_up_logging
from resizer.cli.options import configured, settings_from

HOST = "127.0.0.1"
LOOPBACK = f"{HOST}/32"
INTERRUPTED = 130  # the shell's


@click.command("demo")
@click.option("--once", is_flag=True, help="End when all is shown, instead of leaving the page open.")
@click.option("--browser/--no-browser", default=True, help="Open the page where there is a desktop.")
@partial(configured, data_dir="Where photos and results go and stay.  [default: a folder that goes again]")
def command(*, once: bool, browser: bool, config_file: Path | None, data_dir: str | None) -> None:
    """Show the service at work, with no internet: photos, a server, a webhook receiver, a catalogue."""
    with ExitStack() as stack:
        folder = data_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="resizer-demo-"))
        settings = settings_from(
            config_file,
            folder,
            # whatever the configuration says of a service for others, this one is for who sits here
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
            # a second of imports, which a Ctrl-C may interrupt
            from resizer.cli.demonstration import demonstrate  # noqa: PLC0415

            sys.exit(asyncio.run(demonstrate(settings, once=once, browser=browser)))
        except KeyboardInterrupt:  # while it was loaded
            sys.exit(INTERRUPTED)
