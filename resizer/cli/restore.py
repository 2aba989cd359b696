"""`resizer restore`: replace the database with a copy."""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from resizer.cli.options import Configuration, configured
from resizer.cli.reporting import exit_1_on_error, say
from resizer.cli.signals import end_on_sigterm
from resizer.config import Settings
from resizer.data_folder import own_folder
from resizer.database import restore


@click.command("restore")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@configured
def command(file: Path, config: Configuration) -> None:
    """Replace the database with FILE, a copy by `resizer backup`, while no server runs.

    The previous database is kept beside it. Pending images of FILE are processed at the next start.
    """
    settings = config.load()
    path = settings.database_file.resolve()
    if path.exists() and file.exists() and file.samefile(path):
        raise click.UsageError(f"{file} is the database itself; name a copy of it")
    end_on_sigterm()
    aside = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    with exit_1_on_error(f"replace {path}", path.parent), own_folder(settings):
        contents = restore(file.resolve(), path, aside=aside)
        _hand_over(settings, path)
    if aside.exists():
        say(f"the previous database is kept as {aside}")
    say(f"{contents.requests} requests with {contents.images} images; check their files with `resizer check`")
    click.echo(path)


def _hand_over(settings: Settings, path: Path) -> None:
    """Give files that root created to the owner of the data folder. Raises `OSError`."""
    owner = settings.data_folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        lock = path.with_name(f"{path.name}.lock")
        for each in (path, lock, settings.data_folder / "lock", settings.spool_folder):
            os.chown(each, owner.st_uid, owner.st_gid)
