"""`resizer check`: check the database and the files it refers to."""

import asyncio
import sys
from collections.abc import Collection, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click
from rich.filesize import decimal

from resizer.cli.options import configured, settings_from
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
from resizer.errors import ConfigError, ResizerError
from resizer.events import Events
from resizer.implementations import open_storage
from resizer.metrics import Metrics
from resizer.pipeline.collector import GRACE, unnamed_files
from resizer.pipeline.remover import Remover
from resizer.storage.base import Storage
from resizer.storage.claims import FileClaims
from resizer.support.in_flight import InFlight

SOUND, FAULTY = 0, 1
#: faults of each kind that are listed
MOST_SHOWN = 20
#: files that are asked for at once
TOGETHER = 32
#: seconds in which a server that runs removes what it is asked to, and between two looks at it
PATIENCE, LOOK = 60.0, 0.5

say = partial(click.echo, err=True)


@dataclass(kw_only=True, slots=True)
class Findings:
    """Names of files at fault."""

    missing: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)


@click.command("check")
@click.option("--files/--no-files", default=True, help="Whether to check every compressed file too.")
@click.option("--fix", is_flag=True, help="Remove the files that no request names.")
@configured
def command(*, files: bool, fix: bool, config_file: Path | None, data_dir: str | None) -> None:
    """Check the database, the files it names, and files that no request names, also while the server runs.

    Changes nothing without --fix. Exits with 1 if something is wrong.
    """
    settings = settings_from(config_file, data_dir)
    path = settings.database_file.resolve()
    if fix and not files:
        raise click.UsageError("--fix removes files, so it cannot be used with --no-files")
    try:
        contents, faults = check_database(path)
        say(f"{path}: {contents.requests} requests with {contents.images} images, {decimal(contents.size)}")
        _list(faults)
        # a damaged database cannot be trusted about files
        found = asyncio.run(findings(settings, path)) if files and not faults else Findings()
        _report(found)
        left = asyncio.run(_remove(settings, path, found.unnamed)) if fix and found.unnamed else found.unnamed
    except ConfigError:
        raise
    except ResizerError as error:
        say(f"resizer: {error}")
        sys.exit(FAULTY)
    if fix and found.unnamed:
        say(f"{len(found.unnamed) - len(left)} files were removed")
    faulty = bool(faults or found.missing or left)
    click.echo("faulty" if faulty else "sound")
    sys.exit(FAULTY if faulty else SOUND)


def _report(found: Findings) -> None:
    _list(f"{name} is missing" for name in found.missing)
    if found.missing:
        say(f"{len(found.missing)} files are missing; uploading their catalogue again restores them")
    _list(f"{name} is named by no request" for name in found.unnamed)
    if found.unnamed:
        say(f"{len(found.unnamed)} files are named by no request; `resizer check --fix` removes them")


def _list(faults: Iterable[str]) -> None:
    shown = [*faults]
    for fault in shown[:MOST_SHOWN]:
        say(fault)
    if len(shown) > MOST_SHOWN:
        say(f"… and {len(shown) - MOST_SHOWN} more")


async def findings(settings: Settings, path: Path) -> Findings:
    """Compare the database with the storage. Raises `StorageFailure`, `DatabaseUnusable`."""
    found = Findings()
    # while no server runs, no outcome is about to name a file
    grace = GRACE if is_in_use(settings) else 0.0

    async def unnamed(names: Collection[str]) -> list[str]:
        return await asyncio.to_thread(unnamed_among, path, names)

    async with open_storage(settings, InFlight(), drafts=settings.spool_folder) as storage:
        for page in filenames(path):
            found.missing += await _lost_among(storage, page)
        # their request may have been deleted since
        found.missing = named_among(path, found.missing)
        async with aclosing(unnamed_files(storage, unnamed, grace=grace)) as pages:
            async for listed in pages:
                found.unnamed += await _kept_among(storage, [*listed])  # some may have been removed since
    return found


async def lost(storage: Storage, name: str) -> str | None:
    return name if await storage.find(name) is None else None


async def _lost_among(storage: Storage, names: list[str]) -> list[str]:
    found: list[str] = []
    for first in range(0, len(names), TOGETHER):
        some = names[first : first + TOGETHER]
        found += filter(None, await asyncio.gather(*(lost(storage, name) for name in some)))
    return found


async def _kept_among(storage: Storage, names: list[str]) -> list[str]:
    gone = {*await _lost_among(storage, names)}
    return [name for name in names if name not in gone]


async def _remove(settings: Settings, path: Path, names: Collection[str]) -> list[str]:
    """Remove files unless an image names them by now; returns those that are still there."""
    note_unnamed(path, names)
    if is_in_use(settings):
        # the server alone knows which files its images are about to name
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
        return await _kept_among(storage, unnamed_among(path, names))
