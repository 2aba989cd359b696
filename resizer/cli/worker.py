"""`resizer worker`: run a worker of the distributed engine."""

import sys

import click

from resizer.cli.descriptors import BY_IMAGE, within_descriptors
from resizer.cli.logs import set_up_logging
from resizer.cli.options import Configuration, configured
from resizer.implementations import run_worker
from resizer.support.allocator import collect_seldom


@click.command("worker")
@configured
def command(config: Configuration) -> None:
    """Fetch, compress and store images from the broker, until SIGTERM or Ctrl-C.

    Use the server's configuration: the same broker, storage and limits.
    """
    settings = config.load()
    set_up_logging(settings.log)
    collect_seldom()
    # a worker processes one image per slot, with no fetches ahead
    settings = within_descriptors(settings, serves=False, by_worker=BY_IMAGE)
    sys.exit(run_worker(settings))
