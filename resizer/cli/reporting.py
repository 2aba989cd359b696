"""Exit codes, and messages to the user on standard error."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import click

from resizer.cli.logs import printable
from resizer.errors import ConfigError, Problem, ResizerError, disk_fault

MOST_LISTED = 20  # lines of a list that are printed


class Exit(IntEnum):
    """Exit codes; docs/command-line.md lists them by command."""

    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    UNREACHABLE = 3
    INTERRUPTED = 130  # as the shell's


def say(text: str) -> None:
    """Print a line to standard error; control characters are escaped, as a server may have sent the text."""
    click.echo(printable(text), err=True)


def say_list(lines: Iterable[str], *, total: int | None = None) -> None:
    """Print the first lines of a list, and how many more there are."""
    listed = [*lines]
    for line in listed[:MOST_LISTED]:
        say(line)
    more = (len(listed) if total is None else total) - MOST_LISTED
    if more > 0:
        say(f"… and {more} more")


def say_problems(csv: Path, problems: Iterable[Problem]) -> None:
    """Print the problems of a CSV in the format of compilers, FILE:LINE:COLUMN."""
    for problem in problems:
        say(f"{csv}:{problem.line}:{problem.column}: {problem.message}")


@contextmanager
def exit_1_on_error(action: str, folder: Path) -> Iterator[None]:
    """Print an error other than one of the configuration, and exit with 1.

    `action` and `folder` describe what an `OSError` prevented.
    """
    try:
        yield
    except ConfigError:
        raise
    except ResizerError as error:
        say(f"resizer: {error}")
        sys.exit(Exit.FAILED)
    except OSError as error:
        say(f"resizer: cannot {action}: {disk_fault(error, folder)}")
        sys.exit(Exit.FAILED)
