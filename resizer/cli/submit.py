"""`resizer submit`: have a running server compress the images of a CSV."""

import asyncio
import json
import os
import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import yarl
from rich.console import Console

from resizer.cli.logs import printable
from resizer.cli.options import Configuration, configured, recipe_options
from resizer.cli.progress import follow, summary
from resizer.cli.remote import RemoteServer, RequestStatus
from resizer.cli.reporting import MOST_LISTED, Exit, say, say_list, say_problems
from resizer.errors import ServerRefused, ServerUnreachable
from resizer.models import BatchStatus
from resizer.support.atomic_file import check_replaceable

REFRESH = 1.0  # seconds between status requests
PATIENCE = 300.0  # seconds without a response after which the command gives up


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What to upload, and which request to wait for."""

    #: None with `resume`
    csv: Path | None
    #: options of the upload
    options: dict[str, str]
    #: id of a request that was uploaded before
    resume: str | None
    #: file of the result; None without waiting for it
    target: Path | None
    #: whether the user has named the target
    named: bool
    as_json: bool

    def resume_command(self, request_id: str, server: yarl.URL) -> str:
        output = ["--output", str(self.target)] if self.named else []
        return shlex.join(["resizer", "submit", "--resume", request_id, "--server", str(server), *output])


@click.command("submit")
@click.argument("csv", metavar="CSV", required=False, type=click.Path(path_type=Path))
@click.option(
    "--server", metavar="URL", help="Address of the server.  [config: server.public_url, or host and port]"
)
@click.option(
    "--token",
    envvar="RESIZER_TOKEN",
    help="One of the server's api_tokens; prefer RESIZER_TOKEN, which `ps` does not show.",
)
@click.option("--webhook-url", metavar="URL", help="URL that is called when the request ends.")
@recipe_options
@click.option("--wait", is_flag=True, help="Show the progress, and save the result when the request ends.")
@click.option("--resume", metavar="ID", help="Wait for this request instead of uploading a CSV.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the result.  [default: the CSV's name and -result.csv, in this folder]",
)
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=PATIENCE,
    show_default=True,
    help="Seconds without a response after which the command gives up.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the server's response as JSON.")
@partial(configured, data_dir="As for the other commands; not used here.")
def command(
    *,
    csv: Path | None,
    server: str | None,
    token: str | None,
    webhook_url: str | None,
    recipe: dict[str, Any],
    wait: bool,
    resume: str | None,
    output: Path | None,
    patience: float,
    as_json: bool,
    config: Configuration,
) -> None:
    """Upload a CSV to a running server; with --wait, wait for the result and save it.

    Exits with 0 if all images are compressed (without --wait: if the CSV is accepted), 1 if some failed, 2
    if the CSV or an option is refused, 3 if the server cannot be reached.
    """
    given = {"webhook_url": webhook_url, **recipe}
    job = Job(
        csv=csv,
        options={name: str(value) for name, value in given.items() if value is not None},
        resume=resume,
        target=(output or Path(f"{csv.stem if csv else resume}-result.csv")) if wait or resume else None,
        named=output is not None,
        as_json=as_json,
    )
    _check(job)
    # a config.toml in this folder may belong to another program, so it is read only if needed
    if server is None or config.file:
        settings = config.load()
        server = server or settings.server.own_origin
    base = _address(server)
    _check_target(job)
    remote = RemoteServer(base, _token(token or ""), patience=patience, notify=say)
    sys.exit(_run(remote, job))


def _check(job: Job) -> None:
    if (job.csv is None) == (job.resume is None):
        raise click.UsageError("name a CSV to upload, or a request with --resume")
    if job.resume is not None and not job.resume.strip():
        raise click.UsageError("--resume is empty; give it the id of a request")
    if job.csv is not None and not job.csv.is_file():
        raise click.UsageError(f"there is no file {job.csv}")
    if job.named and job.target is None:
        raise click.UsageError("--output is the file of the result; add --wait")
    if job.resume and job.options:
        name = next(iter(job.options)).replace("_", "-")
        raise click.UsageError(f"--{name} cannot be changed after the upload; omit it with --resume")


def _check_target(job: Job) -> None:
    try:
        if job.target:
            check_replaceable(job.target)
    except OSError as error:
        raise click.UsageError(f"cannot use {error.filename}: {error.strerror}") from error


def _run(remote: RemoteServer, job: Job) -> Exit:
    """Run the job, and turn errors into messages and an exit code."""
    try:
        return asyncio.run(_submit(remote, job))
    except ServerRefused as error:
        if job.csv:
            say_problems(job.csv, error.problems)
        if not error.problems:
            say(f"resizer: {error}")
        return Exit.BAD_INPUT
    except ServerUnreachable as error:
        say(f"resizer: {error}")
        return Exit.UNREACHABLE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except OSError as error:
        say(f"resizer: cannot use {error.filename}: {error.strerror}")
        return Exit.BAD_INPUT


async def _submit(remote: RemoteServer, job: Job) -> Exit:
    async with remote:
        request_id = job.resume
        if job.csv:
            body = await remote.upload(job.csv, job.options)
            request_id = str(body["request_id"])
            say(f"request {request_id}: {body['products']} products, {body['images']} images")
            say(remote.page_of(request_id))
            if not job.target:
                _print(json.dumps(body) if job.as_json else printable(request_id))
        if not job.target or not request_id:
            return Exit.OK
        try:
            return await _save(remote, request_id, job.target, as_json=job.as_json)
        except (ServerUnreachable, OSError, asyncio.CancelledError):
            again = job.resume_command(request_id, remote.base)
            say(f"the server continues with the request; to wait for it again: {again}")
            raise


async def _save(remote: RemoteServer, request_id: str, target: Path, *, as_json: bool) -> Exit:
    """Wait for the request, save its result and report failed images."""

    async def following() -> RequestStatus:
        await asyncio.sleep(REFRESH)
        return await remote.status(request_id)

    status = await follow(await remote.status(request_id), following, Console(stderr=True))
    await remote.save_result(request_id, target)
    failed = await remote.images(request_id, limit=MOST_LISTED, status="failed")
    say_list(
        (
            f"line {image['line']}, image {image['position']}: {error['code']}: {error['message']}"
            for image in failed
            for error in [image["error"]]
        ),
        total=status.failed,
    )
    say(summary(status))
    _print(json.dumps(status.body) if as_json else str(target))
    return Exit.OK if status.status is BatchStatus.COMPLETED else Exit.FAILED


def _print(text: str) -> None:
    """Print a line for scripts, which may have closed the pipe."""
    try:
        click.echo(text)
    except BrokenPipeError:
        # otherwise Python reports it again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _token(text: str) -> str | None:
    # a file of variables may have Windows line endings
    token = text.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise click.UsageError("the token in --token or RESIZER_TOKEN contains invalid characters")
    return token or None


def _address(text: str) -> yarl.URL:
    try:
        url = yarl.URL(text)
    except ValueError as error:
        raise click.UsageError(f"--server {text!r} is not a URL: {error}") from error
    try:
        host = (url.host or "").encode("idna")
    except UnicodeError:
        host = b""
    if url.scheme not in {"http", "https"} or not host or url.query_string or url.fragment:
        raise click.UsageError(f"--server {text!r} is not the address of a server; write http://HOST:PORT")
    if url.user is not None or url.password is not None:
        raise click.UsageError("--server contains a login; set RESIZER_TOKEN instead")
    return url
