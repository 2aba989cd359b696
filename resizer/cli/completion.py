"""`resizer completion`: what a shell needs to complete commands, options and files."""

import click
from click.shell_completion import get_completion_class

from resizer.cli.options import configured

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
@configured
@click.pass_context
def command(context: click.Context, /, shell: str, **_: object) -> None:
    """Print the completion for a SHELL: bash, zsh or fish.

    For good: `eval "$(resizer completion bash)"` in ~/.bashrc, `eval "$(resizer completion zsh)"` in
    ~/.zshrc, `resizer completion fish > ~/.config/fish/completions/resizer.fish`.
    """
    completion = get_completion_class(shell)
    assert completion is not None  # noqa: S101 - it is one of click's own
    root = context.find_root()
    click.echo(completion(root.command, {}, "resizer", "_RESIZER_COMPLETE").source())
