"""`resizer config`: print the configuration in force."""

import click

from resizer.cli.options import Configuration, configured
from resizer.config.printing import to_toml


@click.command("config")
@configured
def command(config: Configuration) -> None:
    """Print the configuration in force as TOML, with secrets masked."""
    click.echo(to_toml(config.load()), nl=False)
