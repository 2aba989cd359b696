"""`resizer submit`: have a running server do the job."""

import asyncio
import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import yarl
from rich.console import Console

from resizer.cli.logs import printable
from resizer.cli.options import configured, recipe_options, settings_from
from resizer.cli.progress import show_progress, summary
from resizer.cli.remote import RemoteServer, Standing
from resizer.config import Settings
from resizer.errors import ServerRefused, ServerUnreachable
from resizer.models import BatchStatus
from resizer.support.atomic_file import check_replaceable

#: exit codes (contract, section 2); 130 is the shell's for an interruption
ALL_COMPRESSED, SOME_FAILED, BAD_INPUT, NOT_REACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
#: failures listed at the end; the result with ?detail=1 holds all of them
MOST_SHOWN = 20
#: seconds between looks at the progress
REFRESH = 1.0
#: seconds without an answer after which waiting ends
PATIENCE = 300.0
#: hosts to listen on that are none to connect to
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - nothing listens here


def say(text: str) -> None:
    """Print a line for people; what a server has put into it steers no terminal."""
    click.echo(printable(text), err=True)


@click.command("submit")
@click.argument("csv", metavar="CSV", required=False, type=click.Path(path_type=Path))
@click.option("--server", metavar="URL", help="The server.  [config: server.public_url, or host and port]")
@click.option(
    "--token",
    envvar="RESIZER_TOKEN",
    help="One of the server's api_tokens; better given as RESIZER_TOKEN, which `ps` does not show.",
)
@click.option("--webhook-url", metavar="URL", help="Told when the request has ended.")
@recipe_options
@click.option("--wait", is_flag=True, help="Show the progress, and save the result when it has ended.")
@click.option("--resume", metavar="ID", help="Wait for this request instead of uploading a CSV.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the result goes.  [default: the CSV's name and -result.csv, in this folder]",
)
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=PATIENCE,
    show_default=True,
    help="Seconds without an answer after which it gives up.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the server's answer as JSON.")
@partial(configured, data_dir="As for the other commands; not used here.")
def command(
    *,
    csv: Path | None,
    server: str | None,
    token: str | None,
    webhook_url: str | None,
    quality: int | None,
    output_format: str | None,
    effort: str | None,
    max_width: int | None,
    max_height: int | None,
    fit: str | None,
    background: str | None,
    wait: bool,
    resume: str | None,
    output: Path | None,
    patience: float,
    as_json: bool,
    config_file: Path | None,
    data_dir: str | None,
) -> None:
    """Upload a CSV to a running server; with --wait, see it through and save the result.

    Ends with 0 when all images are compressed (without --wait: when the CSV is accepted), 1 when some
    failed, 2 when the CSV or an option is refused, 3 when the server cannot be reached.
    """
    options = {
        "webhook_url": webhook_url,
        "quality": quality,
        "format": output_format,
        "effort": effort,
        "max_width": max_width,
        "max_height": max_height,
        "fit": fit,
        "background": background,
    }
    given = {name: str(value) for name, value in options.items() if value is not None}
    _check(csv, resume, output, given, wait=wait)
    # a folder's config.toml may be another program's: it is read only where it is needed
    if server is None or config_file:
        settings = settings_from(config_file, data_dir)
        server = server or _address_of(settings)
    base = _address(server)
    target = output or Path(f"{csv.stem if csv else resume}-result.csv")
    if wait or resume:
        _check_target(target)
    remote = RemoteServer(base, _token(token or ""), patience=patience, tell=say)
    uploading = Upload(csv=csv, options=given) if csv else None
    following = Following(target=target, resume=resume, named=output is not None) if wait or resume else None
    sys.exit(_see_through(remote, uploading, following, as_json=as_json))


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """What is to be uploaded."""

    csv: Path
    options: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Following:
    """Which request is to be seen through; its result goes to `target`."""

    target: Path
    #: None is the one that was just uploaded
    resume: str | None
    #: whether the user has named the target
    named: bool

    def again(self, request_id: str, server: yarl.URL) -> str:
        """Return the command that waits once more."""
        output = ["--output", str(self.target)] if self.named else []
        return shlex.join(["resizer", "submit", "--resume", request_id, "--server", str(server), *output])


def _check(
    csv: Path | None, resume: str | None, output: Path | None, options: Mapping[str, str], *, wait: bool
) -> None:
    if (csv is None) == (resume is None):
        raise click.UsageError("name a CSV to upload, or a request with --resume")
    if resume is not None and not resume.strip():
        raise click.UsageError("--resume is empty; give it the id of a request")
    if csv is not None and not csv.is_file():
        raise click.UsageError(f"there is no file {csv}")
    if output is not None and not (wait or resume):
        raise click.UsageError("--output is for the result; add --wait")
    if resume and options:
        name = next(iter(options)).replace("_", "-")
        raise click.UsageError(f"a request that was uploaded already takes no --{name}")


def _see_through(
    remote: RemoteServer, uploading: Upload | None, following: Following | None, *, as_json: bool
) -> int:
    """Do it, and turn what went wrong into words and an exit code."""
    try:
        return asyncio.run(_submit(remote, uploading, following, as_json=as_json))
    except ServerRefused as error:
        if uploading:
            for problem in error.problems:
                say(f"{uploading.csv}:{problem.line}:{problem.column}: {problem.message}")
        if not error.problems:
            say(f"resizer: {error}")
        return BAD_INPUT
    except ServerUnreachable as error:
        say(f"resizer: {error}")
        return NOT_REACHABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        say(f"resizer: {error.filename} cannot be used: {error.strerror}")
        return BAD_INPUT


async def _submit(
    remote: RemoteServer, uploading: Upload | None, following: Following | None, *, as_json: bool
) -> int:
    async with remote:
        request_id = following.resume if following else None
        if uploading:
            body = await remote.upload(uploading.csv, uploading.options)
            request_id = body["request_id"]
            say(f"request {request_id}: {body['products']} products, {body['images']} images")
            say(remote.page_of(body["request_id"]))
            if not following:
                _print(json.dumps(body) if as_json else printable(str(request_id)))
        if not following or not request_id:
            return ALL_COMPRESSED
        try:
            standing = await _follow(remote, request_id)
            await remote.save_result(request_id, following.target)
        except (ServerUnreachable, OSError, asyncio.CancelledError):
            say(f"the server goes on with it; to wait again: {following.again(request_id, remote.base)}")
            raise
        for failed in await remote.images(request_id, limit=MOST_SHOWN, status="failed"):
            fault = failed["error"]
            say(f"line {failed['line']}, image {failed['position']}: {fault['code']}: {fault['message']}")
        if standing.failed > MOST_SHOWN:
            say(f"… and {standing.failed - MOST_SHOWN} more")
        say(summary(standing))
        _print(json.dumps(standing.body) if as_json else str(following.target))
        return ALL_COMPRESSED if standing.status is BatchStatus.COMPLETED else SOME_FAILED


def _print(text: str) -> None:
    """Print what scripts read; one that has ended before misses nothing."""
    try:
        click.echo(text)
    except BrokenPipeError:
        # nor does Python find fault with it when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _follow(remote: RemoteServer, request_id: str) -> Standing:
    """Show the progress until the request has ended."""
    standing = await remote.status(request_id)
    with show_progress(standing, Console(stderr=True)) as display:
        while True:
            display.update(standing)
            if standing.done:
                return standing
            await asyncio.sleep(REFRESH)
            standing = await remote.status(request_id)


def _check_target(target: Path) -> None:
    try:
        check_replaceable(target)
    except OSError as error:
        raise click.UsageError(f"{error.filename} cannot be used: {error.strerror}") from error


def _token(text: str) -> str | None:
    # a file of variables may end its lines as Windows does
    token = text.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise click.UsageError("the token, in --token or RESIZER_TOKEN, holds characters that none has")
    return token or None


def _address_of(settings: Settings) -> str:
    """Return where a server with these settings is reached from this machine."""
    server = settings.server
    host = ANY_HOST.get(server.host, f"[{server.host}]" if ":" in server.host else server.host)
    return server.public_url or f"http://{host}:{server.port}"


def _address(text: str) -> yarl.URL:
    try:
        url = yarl.URL(text)
    except ValueError as error:
        raise click.UsageError(f"--server {text!r} is no URL: {error}") from error
    try:
        known = (url.host or "").encode("idna")
    except UnicodeError:
        known = b""
    if url.scheme not in {"http", "https"} or not known or url.query_string or url.fragment:
        raise click.UsageError(f"--server {text!r} is no address of a server; write http://HOST:PORT")
    if url.user is not None or url.password is not None:
        raise click.UsageError("--server holds a login; the server wants a token: set RESIZER_TOKEN")
    return url
