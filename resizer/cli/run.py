"""`resizer run`: the whole job in one go, without a server."""

import asyncio
import logging
import os
import sys
from functools import partial
from pathlib import Path

import aiofiles
import aiofiles.os
import click
from aiohttp import web
from rich.console import Console

from resizer.app import COLLECTOR, REMOVER, create_app
from resizer.cli.descriptors import within_descriptors
from resizer.cli.logs import set_up_logging
from resizer.cli.options import configured, recipe_options, settings_from
from resizer.cli.progress import show_progress, summary
from resizer.cli.serving import stop_on_signals
from resizer.config import Settings
from resizer.errors import CatalogError, DatabaseFailure, NoSpace, StorageFailure, disk_fault
from resizer.models import Batch, BatchStatus, ImageStatus
from resizer.pipeline.importing import Submission
from resizer.pipeline.requests import Requests
from resizer.support.allocator import collect_seldom
from resizer.support.atomic_file import sync_folder
from resizer.support.threads import start_threads
from resizer.web.keys import LIFECYCLE, REQUESTS, STORAGE

logger = logging.getLogger(__name__)

#: exit codes (contract, section 2); 130 is the shell's for an interruption
ALL_COMPRESSED, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
#: failures listed at the end; the result and `detail` hold all of them
MOST_SHOWN = 20
MOST_IMAGES = 10**9
#: seconds between looks at the progress
REFRESH = 0.25


@click.command("run")
@click.argument("csv", metavar="CSV", type=click.Path(path_type=Path))
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where result.csv and compressed/ go.  [default: the CSV's name and -compressed]",
)
@recipe_options
@partial(configured, data_dir="Where it remembers what is done.  [default: .resizer below the output]")
def command(
    *,
    csv: Path,
    output: Path | None,
    quality: int | None,
    output_format: str | None,
    effort: str | None,
    max_width: int | None,
    max_height: int | None,
    fit: str | None,
    background: str | None,
    config_file: Path | None,
    data_dir: str | None,
) -> None:
    """Compress the images of a CSV; run again after an interruption, it goes on where it stopped."""
    folder = output or Path(f"{csv.stem}-compressed")
    _check_paths(csv, folder / "result.csv")
    settings = settings_from(
        config_file,
        data_dir or str(folder / ".resizer"),
        compress={
            "quality": quality,
            "format": output_format,
            "effort": effort,
            "max_width": max_width,
            "max_height": max_height,
            "fit": fit,
            "background": background,
        },
        # what is too much for a queue is not too much for a job
        queue={"max_pending_images": MOST_IMAGES},
        # the images of this folder, whatever the server's configuration says; nobody is called
        storage={"kind": "local", "path": str(folder / "compressed")},
        database={"path": ""},
        webhook={"url": ""},
        engine={"kind": "local"},
    )
    if settings.log.level == "info":
        settings = settings.model_copy(update={"log": settings.log.model_copy(update={"level": "warning"})})
    set_up_logging(settings.log)
    settings = within_descriptors(settings, serves=False)
    try:
        collect_seldom()
        sys.exit(asyncio.run(_run(settings, csv, folder)))
    except OSError as error:
        raise click.UsageError(
            f"{error.filename or folder} cannot be used: {disk_fault(error, folder)}"
        ) from error
    except CatalogError as error:
        for problem in error.problems:
            click.echo(f"{csv}:{problem.line}:{problem.column}: {problem.message}", err=True)
        sys.exit(BAD_INPUT)


def _check_paths(csv: Path, target: Path) -> None:
    if not csv.is_file():
        raise click.UsageError(f"there is no file {csv}")
    if target.is_dir():
        raise click.UsageError(f"{target} is a folder, so the result cannot be written there")
    if target.exists() and target.samefile(csv):
        raise click.UsageError(f"the result would replace {csv}; name another folder with --output")


async def _run(settings: Settings, csv: Path, folder: Path) -> int:
    start_threads()
    stop = asyncio.Event()
    stop_on_signals(stop, second=INTERRUPTED)
    app = create_app(settings, resume=False)
    runner = web.AppRunner(app, handle_signals=False)
    try:
        await runner.setup()
        requests = app[REQUESTS]

        async def exists(name: str) -> bool:
            return await app[STORAGE].find(name) is not None

        files_url = settings.storage.public_base_url or "compressed"
        batch = await app[LIFECYCLE].submit_or_resume(
            Submission(
                csv=csv, filename=csv.name, recipe=settings.compress.recipe(), origin="", files_url=files_url
            ),
            exists=exists,
        )
        batch = await _follow(requests, batch, stop)
        if not batch.done:
            _say(f"interrupted with {batch.pending} images to do; run it again to go on")
            return INTERRUPTED
        target = folder / "result.csv"
        await _write_result(requests, batch, files_url, target)
        await _collect(app)
        await _report(requests, batch, target)
    finally:
        await runner.cleanup()
    return ALL_COMPRESSED if batch.status is BatchStatus.COMPLETED else SOME_FAILED


async def _follow(requests: Requests, batch: Batch, stop: asyncio.Event) -> Batch:
    """Show the progress until the batch ends or someone asks to stop."""
    console = Console(stderr=True)
    if batch.pending < batch.images:
        _say(f"going on where it stopped: {batch.images - batch.pending} of {batch.images} images are done")
    with show_progress(batch, console) as display:
        while True:
            display.update(batch)
            if batch.done or stop.is_set():
                return batch
            batch = await requests.wait(batch.request_id, REFRESH)


async def _write_result(requests: Requests, batch: Batch, files_url: str, target: Path) -> None:
    """Write result.csv; it is whole or not there."""
    draft = target.with_name(f".{target.name}.draft")
    try:
        async with aiofiles.open(draft, "wb") as file:
            async for chunk in requests.result_csv(batch, files_url=files_url):
                await file.write(chunk)
            await file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        await aiofiles.os.replace(draft, target)
        await asyncio.to_thread(sync_folder, target.parent)
    finally:
        draft.unlink(missing_ok=True)


async def _collect(app: web.Application) -> None:
    """Remove what runs that were killed have left: nothing is in flight, so what no row names is theirs."""
    try:
        await app[COLLECTOR].collect(grace=0)
        await app[REMOVER].through()
    except (DatabaseFailure, NoSpace, StorageFailure) as error:
        # the result is whole without it
        logger.warning("cannot remove files that no request names: %s", error)


async def _report(requests: Requests, batch: Batch, target: Path) -> None:
    failed = await requests.images(batch, limit=MOST_SHOWN, status=ImageStatus.FAILED)
    for image in failed:
        fault = image.fault
        _say(f"line {image.line}, image {image.position}: {fault.code}: {fault.message}" if fault else "")
    if batch.failed > len(failed):
        _say(f"… and {batch.failed - len(failed)} more")
    _say(summary(batch))
    click.echo(target)


def _say(text: str) -> None:
    # what a script may want is the result's path, on standard output, alone
    click.echo(text, err=True)
