"""The command line: one file a command, imported when it is called."""

import importlib
import sys

import click

from resizer.errors import ConfigError, ResizerError, shortage
from resizer.version import VERSION

#: command → what it does in a line; its code is `resizer.cli.NAME:command`
COMMANDS = {
    "serve": "Run the server.",
    "run": "Compress the images of a CSV without a server.",
    "submit": "Have a running server compress the images of a CSV.",
    "receive": "Run a webhook receiver that checks signatures and lists what came.",
    "demo": "Show the service at work on this machine, with photos of its own.",
    "worker": "Run a worker of the distributed engine.",
    "backup": "Copy the database while the server runs.",
    "restore": "Put a copy of the database back while it does not.",
    "check": "Check the database and the files it refers to.",
    "config": "Print the configuration in force.",
    "completion": "Print the completion for a shell.",
}


class LazyGroup(click.Group):
    """Imports a command when it is called, so that `--help` and completion answer at once."""

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
    """Run the command line; an error of ours ends it with one message and the contract's exit code."""
    try:
        # also where it is run as a module: completion goes by this name
        cli(prog_name="resizer")
    except ConfigError as error:
        for wrong in error.wrong:
            click.echo(f"resizer: {wrong}", err=True)
        sys.exit(2)
    except ResizerError as error:
        click.echo(f"resizer: {error}", err=True)
        sys.exit(2)
    except (OSError, RuntimeError, MemoryError) as error:
        lacking = shortage(error)
        if lacking is None:
            raise
        click.echo(f"resizer: {lacking}", err=True)
        sys.exit(2)
