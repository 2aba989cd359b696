"""`resizer restore`: put a copy of the database back."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from resizer.cli.options import configured, settings_from
from resizer.cli.signals import end_on_sigterm
from resizer.config import Settings
from resizer.data_folder import own_folder
from resizer.database import restore
from resizer.errors import ConfigError, ResizerError, disk_fault

FAILED = 1  # contract, section 2


@click.command("restore")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@configured
def command(file: Path, config_file: Path | None, data_dir: str | None) -> None:
    """Put FILE, made by `resizer backup`, in the place of the database, while no server runs.

    The database that stood there is kept beside it. What was pending in FILE goes on at the next start.
    """
    settings = settings_from(config_file, data_dir)
    path = settings.database_file.resolve()
    if path.exists() and file.exists() and file.samefile(path):
        raise click.UsageError(f"{file} is the database itself; name a copy of it")
    end_on_sigterm()
    aside = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    try:
        with own_folder(settings):
            contents = restore(file.resolve(), path, aside=aside)
            _hand_over(settings, path)
    except ConfigError:
        raise
    except ResizerError as error:
        click.echo(f"resizer: {error}", err=True)
        sys.exit(FAILED)
    except OSError as error:
        click.echo(f"resizer: {path} cannot be replaced: {disk_fault(error, path.parent)}", err=True)
        sys.exit(FAILED)
    if aside.exists():
        click.echo(f"the database that stood there is kept as {aside}", err=True)
    click.echo(f"{contents.requests} requests with {contents.images} images", err=True)
    click.echo("`resizer check` tells whether their files are there", err=True)
    click.echo(path)


def _hand_over(settings: Settings, path: Path) -> None:
    """Give what root has made to the service's user, to whom the folder belongs. Raises `OSError`."""
    owner = settings.data_folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        lock = path.with_name(f"{path.name}.lock")
        for each in (path, lock, settings.data_folder / "lock", settings.spool_folder):
            os.chown(each, owner.st_uid, owner.st_gid)
