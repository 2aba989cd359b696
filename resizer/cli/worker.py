"""`resizer worker`: one worker of the distributed engine."""

import sys
from pathlib import Path

import click

from resizer.cli.descriptors import BY_IMAGE, within_descriptors
from resizer.cli.logs import set_up_logging
from resizer.cli.options import configured, settings_from
from resizer.implementations import run_worker
from resizer.support.allocator import collect_seldom


@click.command("worker")
@configured
def command(config_file: Path | None, data_dir: str | None) -> None:
    """Take images from the broker, fetch, compress and store them, until SIGTERM or Ctrl-C.

    The configuration is the server's: the same broker, the same storage, the same limits.
    """
    settings = settings_from(config_file, data_dir)
    set_up_logging(settings.log)
    collect_seldom()
    # no worker is replaced here while its host is slow
    settings = within_descriptors(settings, serves=False, by_worker=BY_IMAGE)
    sys.exit(run_worker(settings))
