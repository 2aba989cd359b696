"""`resizer completion`: print a completion script for a shell."""

import click
from click.shell_completion import get_completion_class

from resizer.cli.options import configured

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
@configured
@click.pass_context
def command(context: click.Context, /, shell: str, **_: object) -> None:
    """Print the completion script for a SHELL: bash, zsh or fish.

    To install it: `eval "$(resizer completion bash)"` in ~/.bashrc, `eval "$(resizer completion zsh)"` in
    ~/.zshrc, `resizer completion fish > ~/.config/fish/completions/resizer.fish`.
    """
    completion = get_completion_class(shell)
    assert completion is not None  # noqa: S101 - click supports these shells
    root = context.find_root()
    click.echo(completion(root.command, {}, "resizer", "_RESIZER_COMPLETE").source())
