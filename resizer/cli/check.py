"""`resizer check`: look over the database and the files of which it tells."""

import asyncio
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
from rich.filesize import decimal

from resizer.app import open_storage
from resizer.cli.options import configured, settings_from
from resizer.config import Settings
from resizer.database import filenames, look_over
from resizer.errors import DatabaseUnusable, StorageFailure
from resizer.storage.base import Storage

SOUND, FAULTY = 0, 1
#: faults of each kind that are listed
MOST_SHOWN = 20
#: files that are asked for at once
TOGETHER = 32

say = partial(click.echo, err=True)


@click.command("check")
@click.option("--files/--no-files", default=True, help="Whether to look for every compressed file too.")
@configured
def command(*, files: bool, config_file: Path | None, data_dir: str | None) -> None:
    """Read all of the database, and look for every file it names, also while the server runs.

    Changes nothing. Ends with 1 where something is wrong.
    """
    settings = settings_from(config_file, data_dir)
    path = settings.database_file.resolve()
    try:
        contents, faults = look_over(path)
        say(f"{path}: {contents.requests} requests with {contents.images} images, {decimal(contents.size)}")
        _list(faults)
        # a damaged database cannot be believed about files
        missing = asyncio.run(_missing(settings, path)) if files and not faults else []
    except (DatabaseUnusable, StorageFailure) as error:
        say(f"resizer: {error}")
        sys.exit(FAULTY)
    _list([f"{name} is missing" for name in missing])
    if missing:
        say(f"{len(missing)} files are missing; a catalogue that is uploaded again brings its own back")
    click.echo("faulty" if faults or missing else "sound")
    sys.exit(FAULTY if faults or missing else SOUND)


def _list(faults: list[str]) -> None:
    for fault in faults[:MOST_SHOWN]:
        say(fault)
    if len(faults) > MOST_SHOWN:
        say(f"… and {len(faults) - MOST_SHOWN} more")


async def _missing(settings: Settings, path: Path) -> list[str]:
    """Return the names whose files the storage does not have. Raises `StorageFailure`."""
    missing: list[str] = []
    async with open_storage(settings, drafts=settings.spool_folder) as storage:
        for page in filenames(path):
            for names in _together(page):
                missing += [
                    name for name in await asyncio.gather(*(_lost(storage, name) for name in names)) if name
                ]
    return missing


async def _lost(storage: Storage, name: str) -> str | None:
    return name if await storage.find(name) is None else None


def _together(names: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(names), TOGETHER):
        yield names[first : first + TOGETHER]
