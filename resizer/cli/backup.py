"""`resizer backup`: a copy of the database while the server runs."""

import sys
from pathlib import Path

import click
from rich.filesize import decimal

from resizer.cli.options import configured, settings_from
from resizer.cli.signals import end_on_sigterm
from resizer.database import back_up
from resizer.errors import DatabaseUnusable, disk_fault

FAILED = 1  # contract, section 2


@click.command("backup")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@configured
def command(file: Path, config_file: Path | None, data_dir: str | None) -> None:
    """Copy the database to FILE, of one moment and looked over, also while the server runs.

    A FILE that is there is replaced once the copy is whole. Images are not in it: copy their folder after it.
    """
    settings = settings_from(config_file, data_dir)
    source = settings.database_file.resolve()
    end_on_sigterm()
    try:
        if file.exists() and source.exists() and file.samefile(source):
            raise click.UsageError(f"{file} is the database itself; name another file")
        contents = back_up(source, file.resolve())
    except DatabaseUnusable as error:
        click.echo(f"resizer: {error}", err=True)
        sys.exit(FAILED)
    except OSError as error:
        click.echo(f"resizer: {file} cannot be written: {disk_fault(error, file.parent)}", err=True)
        sys.exit(FAILED)
    click.echo(
        f"{contents.requests} requests with {contents.images} images, {decimal(contents.size)}", err=True
    )
    click.echo(file)
