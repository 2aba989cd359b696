"""`resizer run`: compress the images of a CSV without a server."""

import asyncio
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import aiofiles
import click
from aiohttp import web
from rich.console import Console

from resizer.app import COLLECTOR, REMOVER, create_app
from resizer.cli.descriptors import within_descriptors
from resizer.cli.logs import set_up_logging
from resizer.cli.options import Configuration, configured, recipe_options
from resizer.cli.progress import follow, summary
from resizer.cli.reporting import MOST_LISTED, Exit, say, say_list, say_problems
from resizer.cli.serving import stop_on_signals
from resizer.config import Settings
from resizer.errors import CatalogError, DatabaseFailure, NoSpace, StorageFailure, disk_fault
from resizer.models import Batch, BatchStatus, ImageStatus
from resizer.pipeline.importing import Submission
from resizer.pipeline.requests import Requests
from resizer.support.allocator import collect_seldom
from resizer.support.atomic_file import atomic_write
from resizer.support.threads import start_threads
from resizer.web.keys import LIFECYCLE, REQUESTS, STORAGE

logger = logging.getLogger(__name__)

MOST_IMAGES = 10**9  # a limit for queues does not apply to a single job
REFRESH = 0.25  # seconds between updates of the progress


@click.command("run")
@click.argument("csv", metavar="CSV", type=click.Path(path_type=Path))
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of result.csv and compressed/.  [default: the CSV's name and -compressed]",
)
@recipe_options
@partial(configured, data_dir="Folder of the job's state.  [default: .resizer in the output folder]")
def command(*, csv: Path, output: Path | None, recipe: dict[str, Any], config: Configuration) -> None:
    """Compress the images of a CSV; after an interruption, run it again to resume."""
    folder = output or Path(f"{csv.stem}-compressed")
    _check_paths(csv, folder / "result.csv")
    settings = config.load(
        data_dir=str(folder / ".resizer"),
        compress=recipe,
        queue={"max_pending_images": MOST_IMAGES},
        # independent of the server's configuration: images in this folder, and no webhook
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
        fault = f"cannot use {error.filename or folder}: {disk_fault(error, folder)}"
        raise click.UsageError(fault) from error
    except CatalogError as error:
        say_problems(csv, error.problems)
        sys.exit(Exit.BAD_INPUT)


def _check_paths(csv: Path, target: Path) -> None:
    if not csv.is_file():
        raise click.UsageError(f"there is no file {csv}")
    if target.is_dir():
        raise click.UsageError(f"{target} is a folder, so the result cannot be written there")
    if target.exists() and target.samefile(csv):
        raise click.UsageError(f"the result would replace {csv}; name another folder with --output")


async def _run(settings: Settings, csv: Path, folder: Path) -> Exit:
    start_threads()
    stop = asyncio.Event()
    stop_on_signals(stop, second=Exit.INTERRUPTED)
    app = create_app(settings, resume=False)
    runner = web.AppRunner(app, handle_signals=False)
    try:
        await runner.setup()
        requests = app[REQUESTS]
        files_url = settings.storage.public_base_url or "compressed"
        batch = await _start(app, csv, settings, files_url)
        batch = await follow(
            batch,
            partial(requests.wait, batch.request_id, REFRESH),
            Console(stderr=True),
            stop=stop.is_set,
        )
        if not batch.done:
            say(f"interrupted with {batch.pending} pending images; run it again to resume")
            return Exit.INTERRUPTED
        await _write_result(requests, batch, files_url, folder / "result.csv")
        await _collect(app)
        await _report(requests, batch)
        click.echo(folder / "result.csv")
    finally:
        await runner.cleanup()
    return Exit.OK if batch.status is BatchStatus.COMPLETED else Exit.FAILED


async def _start(app: web.Application, csv: Path, settings: Settings, files_url: str) -> Batch:
    """Import the CSV, or resume the previous run. Raises `CatalogError`."""

    async def exists(name: str) -> bool:
        return await app[STORAGE].find(name) is not None

    recipe = settings.compress.recipe()
    batch = await app[LIFECYCLE].submit_or_resume(
        Submission(csv=csv, filename=csv.name, recipe=recipe, origin="", files_url=files_url),
        exists=exists,
    )
    if batch.pending < batch.images:
        say(f"resuming: {batch.images - batch.pending} of {batch.images} images are finished")
    return batch


async def _write_result(requests: Requests, batch: Batch, files_url: str, target: Path) -> None:
    """Write result.csv, complete or not at all."""
    with atomic_write(target) as draft:
        async with aiofiles.open(draft, "wb") as file:
            async for chunk in requests.result_csv(batch, files_url=files_url):
                await file.write(chunk)


async def _collect(app: web.Application) -> None:
    """Remove files of killed runs: nothing is in flight, so every file that no row names is one."""
    try:
        await app[COLLECTOR].collect(grace=0)
        await app[REMOVER].through()
    except (DatabaseFailure, NoSpace, StorageFailure) as error:
        # the result is complete without it
        logger.warning("Cannot remove files that no request uses: %s; the next run tries again", error)


async def _report(requests: Requests, batch: Batch) -> None:
    failed = await requests.images(batch, limit=MOST_LISTED, status=ImageStatus.FAILED)
    lines = (
        f"line {image.line}, image {image.position}: {image.fault.code}: {image.fault.message}"
        for image in failed
        if image.fault
    )
    say_list(lines, total=batch.failed)
    say(summary(batch))
