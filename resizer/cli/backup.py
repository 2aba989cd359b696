"""`resizer backup`: copy the database while the server runs."""

from pathlib import Path

import click
from rich.filesize import decimal

from resizer.cli.options import Configuration, configured
from resizer.cli.reporting import exit_1_on_error, say
from resizer.cli.signals import end_on_sigterm
from resizer.database import back_up


@click.command("backup")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@configured
def command(file: Path, config: Configuration) -> None:
    """Copy the database to FILE and check the copy, even while the server runs.

    The copy is a snapshot of one moment and replaces an existing FILE once it is complete. It contains no
    images: copy their folder afterwards.
    """
    source = config.load().database_file.resolve()
    end_on_sigterm()
    with exit_1_on_error(f"write {file}", file.parent):
        if file.exists() and source.exists() and file.samefile(source):
            raise click.UsageError(f"{file} is the database itself; name another file")
        contents = back_up(source, file.resolve())
    say(f"{contents.requests} requests with {contents.images} images, {decimal(contents.size)}")
    click.echo(file)
