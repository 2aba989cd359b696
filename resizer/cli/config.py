"""`resizer config`: print the configuration in force."""

from pathlib import Path

import click

from resizer.cli.options import configured, settings_from
from resizer.config.printing import to_toml


@click.command("config")
@configured
def command(config_file: Path | None, data_dir: str | None) -> None:
    """Print the configuration in force as TOML, secrets masked."""
    click.echo(to_toml(settings_from(config_file, data_dir)), nl=False)
