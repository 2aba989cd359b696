"""`resizer check`: check the database and the files it refers to."""

import asyncio
import sys
from collections.abc import Collection
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.filesize import decimal

from resizer.cli.options import Configuration, configured
from resizer.cli.reporting import Exit, exit_1_on_error, say, say_list
from resizer.config import Settings
from resizer.data_folder import is_in_use, own_folder
from resizer.database import (
    check_database,
    count_noted,
    filenames,
    named_among,
    note_unnamed,
    open_database,
    unnamed_among,
)
from resizer.events import Events
from resizer.implementations import open_storage
from resizer.metrics import Metrics
from resizer.pipeline.collector import GRACE, unnamed_files
from resizer.pipeline.remover import Remover
from resizer.storage.base import Storage
from resizer.storage.claims import FileClaims
from resizer.support.in_flight import InFlight

TOGETHER = 32  # concurrent requests to the storage
PATIENCE = 60.0  # seconds for a running server to remove files
LOOK = 0.5  # seconds between two looks at its progress


@dataclass(kw_only=True, slots=True)
class Findings:
    """Names of missing and unused files."""

    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


@click.command("check")
@click.option("--files/--no-files", default=True, help="Whether to check compressed files too.")
@click.option("--fix", is_flag=True, help="Remove files that no request uses.")
@configured
def command(*, files: bool, fix: bool, config: Configuration) -> None:
    """Check the database and its files, and list files that no request uses, even while the server runs.

    Changes nothing without --fix. Exits with 1 if there is a fault.
    """
    settings = config.load()
    path = settings.database_file.resolve()
    if fix and not files:
        raise click.UsageError("--fix removes files, so it cannot be used with --no-files")
    with exit_1_on_error("check the files", path.parent):
        contents, faults = check_database(path)
        say(f"{path}: {contents.requests} requests with {contents.images} images, {decimal(contents.size)}")
        say_list(faults)
        # a damaged database may not list every file
        found = asyncio.run(find(settings, path)) if files and not faults else Findings()
        _report(found)
        left = asyncio.run(_remove(settings, path, found.unused)) if fix and found.unused else found.unused
    if fix and found.unused:
        say(f"{len(found.unused) - len(left)} files were removed")
    faulty = bool(faults or found.missing or left)
    click.echo("faulty" if faulty else "sound")
    sys.exit(Exit.FAILED if faulty else Exit.OK)


def _report(found: Findings) -> None:
    say_list(f"{name} is missing" for name in found.missing)
    if found.missing:
        say(f"{len(found.missing)} files are missing; to restore them, upload their catalogue again")
    say_list(f"{name} is used by no request" for name in found.unused)
    if found.unused:
        say(f"{len(found.unused)} files are used by no request; `resizer check --fix` removes them")


async def find(settings: Settings, path: Path) -> Findings:
    """Compare the database with the storage. Raises `StorageFailure`, `DatabaseUnusable`."""
    found = Findings()
    # without a server, no image is about to use a file
    grace = GRACE if is_in_use(settings) else 0.0

    async def unnamed(names: Collection[str]) -> list[str]:
        return await asyncio.to_thread(unnamed_among, path, names)

    async with open_storage(settings, InFlight(), drafts=settings.spool_folder) as storage:
        for page in filenames(path):
            found.missing += await _missing(storage, page)
        # requests may have been deleted since
        found.missing = named_among(path, found.missing)
        async with aclosing(unnamed_files(storage, unnamed, grace=grace)) as pages:
            async for listed in pages:
                found.unused += await _existing(storage, [*listed])  # some may have been removed since
    return found


async def lost(storage: Storage, name: str) -> str | None:
    return name if await storage.find(name) is None else None


async def _missing(storage: Storage, names: list[str]) -> list[str]:
    missing: list[str] = []
    for first in range(0, len(names), TOGETHER):
        some = names[first : first + TOGETHER]
        missing += filter(None, await asyncio.gather(*(lost(storage, name) for name in some)))
    return missing


async def _existing(storage: Storage, names: list[str]) -> list[str]:
    missing = {*await _missing(storage, names)}
    return [name for name in names if name not in missing]


async def _remove(settings: Settings, path: Path, names: Collection[str]) -> list[str]:
    """Remove files unless an image uses them by now; returns those that still exist."""
    note_unnamed(path, names)
    if is_in_use(settings):
        # only the server knows the files that its images are about to use
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while count_noted(path, names):  # noqa: ASYNC110 - another process removes them
                    await asyncio.sleep(LOOK)
    else:
        with own_folder(settings):
            async with (
                open_database(
                    path,
                    webhook_events=lambda _: (),
                    events=Events(),
                    in_flight=InFlight(),
                    metrics=Metrics(),
                ) as database,
                open_storage(settings, InFlight(), drafts=settings.spool_folder) as storage,
                Remover(database, storage, FileClaims()) as remover,
            ):
                await remover.through()
    async with open_storage(settings, InFlight(), drafts=settings.spool_folder) as storage:
        return await _existing(storage, unnamed_among(path, names))
