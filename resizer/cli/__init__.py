"""The command line: one file per command, imported when it is called."""

import importlib
import sys

import click

from resizer.errors import ResizerError, shortage
from resizer.version import VERSION

#: command → summary; its code is `resizer.cli.NAME:command`
COMMANDS = {
    "serve": "Run the server.",
    "run": "Compress the images of a CSV without a server.",
    "submit": "Have a running server compress the images of a CSV.",
    "receive": "Run a webhook receiver that verifies and lists events.",
    "demo": "Run the whole service on this machine, with its own photos.",
    "worker": "Run a worker of the distributed engine.",
    "backup": "Copy the database while the server runs.",
    "restore": "Replace the database with a copy while no server runs.",
    "check": "Check the database and the files it refers to.",
    "config": "Print the configuration in force.",
    "completion": "Print a completion script for a shell.",
}


class LazyGroup(click.Group):
    """Imports a command when it is called, which keeps `--help` and completion fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"resizer.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="resizer")
def cli() -> None:
    """Turn a CSV of product image URLs into compressed images."""


def main() -> None:
    """Run the command line; a `ResizerError` ends it with its message and exit code 2."""
    try:
        # completion uses this name, also for `python -m resizer`
        cli(prog_name="resizer")
    except ResizerError as error:
        for line in str(error).splitlines():
            click.echo(f"resizer: {line}", err=True)
        sys.exit(2)
    except (OSError, RuntimeError, MemoryError) as error:
        reason = shortage(error)
        if reason is None:
            raise
        click.echo(f"resizer: {reason}", err=True)
        sys.exit(2)
