"""Show the service at work: photos, their host, a server, a webhook receiver, and a client of all that."""

import asyncio
import csv
import io
import json
import os
import signal
import sys
import webbrowser
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from multiprocessing import get_context
from pathlib import Path

import aiohttp
import yarl
from aiohttp import web
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from resizer.app import create_app
from resizer.cli.progress import show_progress, summary
from resizer.cli.remote import RemoteServer, Standing
from resizer.cli.serving import listen, stop_on_signals
from resizer.config import Settings
from resizer.errors import ConfigError
from resizer.models import BatchStatus
from resizer.photos import PIECES, Shot, photograph
from resizer.webhooks.receiver import create_receiver
from resizer.webhooks.signing import load_secret

PAPERS = ((0.80, 0.77, 0.72), (0.66, 0.72, 0.74), (0.82, 0.74, 0.68))
#: seconds between looks at the progress, and for an answer from this very process
REFRESH, PATIENCE = 0.25, 60.0
#: exit codes: where something did not come out as it should, and the shell's for an interruption
FAILED, INTERRUPTED = 1, 130


async def demonstrate(settings: Settings, *, once: bool, browser: bool) -> int:
    """Do all of it, and, unless `once`, keep serving until a signal; returns the exit code."""
    console = Console()
    stop = asyncio.Event()
    stop_on_signals(stop, second=INTERRUPTED)
    async with AsyncExitStack() as stack:
        showing = asyncio.create_task(
            _show(settings, stack, console, port=0 if once else settings.server.port)
        )
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({showing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not showing.done():
            console.print("stopping")
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            return INTERRUPTED
        page, standing = await showing
        if not once:
            console.print(f"\nThe page stays open: {page}\nCtrl-C ends it.", highlight=False, soft_wrap=True)
            if browser and _desktop():
                await asyncio.to_thread(webbrowser.open, page)
            await stopped
        stopped.cancel()
    return 0 if standing.status is BatchStatus.COMPLETED else FAILED


async def _show(
    settings: Settings, stack: AsyncExitStack, console: Console, *, port: int
) -> tuple[str, Standing]:
    """Start all of it, to end with the stack, and see a catalogue through; returns its page and its end."""
    shots = _shots()
    with console.status(f"taking {len(shots)} photos of ceramics"):
        photos = await _photos(shots)
    console.print(
        f"{len(photos)} photos of {len(PIECES)} pieces, {decimal(sum(map(len, photos.values())))}",
        highlight=False,
    )
    origin = await stack.enter_async_context(_served(_origin(photos), settings))
    secret = await asyncio.to_thread(load_secret, settings.webhook, settings.data_folder)
    receiver = await stack.enter_async_context(_served(create_receiver(secret), settings))
    server = await stack.enter_async_context(_served(create_app(settings), settings, port=port))
    for what, where in (("image host", origin), ("webhook receiver", receiver), ("resizer", server)):
        console.print(f"{what:>16}  {where}", highlight=False)
    catalogue = settings.data_folder / "ceramics.csv"
    await asyncio.to_thread(catalogue.write_bytes, _catalogue(shots, origin))
    standing = await _submitted(server, catalogue, receiver, console)
    if standing.status is not BatchStatus.COMPLETED:
        console.print(f"[red]it ended as {standing.status}[/red]; {server} shows why")
    console.print(
        f"webhook received, signature good: {await _event(receiver, standing.request_id)}",
        highlight=False,
    )
    return f"{server}/#/requests/{standing.request_id}", standing


def _shots() -> dict[str, Shot]:
    """Return file names and how each photo is taken: all of each piece, and some closer."""
    shots = {}
    for number, piece in enumerate(PIECES):
        name = piece.name.lower().replace(" ", "-")
        paper = PAPERS[number % len(PAPERS)]
        shots[f"{name}.jpg"] = Shot(piece=piece, paper=paper, seed=number)
        if number % 3 == 0:
            shots[f"{name}-above.jpg"] = Shot(piece=piece, paper=paper, tilt=0.5, seed=number)
        elif number % 3 == 1:
            # what a camera or a designer's program hands over
            shots[f"{name}.png"] = Shot(
                piece=piece,
                width=600,
                height=600,
                paper=paper,
                tilt=0.4,
                seed=number,
                format="PNG",
                options={},
            )
    return shots


async def _photos(shots: dict[str, Shot]) -> dict[str, bytes]:
    loop = asyncio.get_running_loop()
    # the terminal tells the children of an interruption, too: it is this process that ends them
    pool = ProcessPoolExecutor(
        mp_context=get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    )
    try:
        taken = await asyncio.gather(
            *(loop.run_in_executor(pool, photograph, shot) for shot in shots.values())
        )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return dict(zip(shots, taken, strict=True))


def _origin(photos: dict[str, bytes]) -> web.Application:
    """Return an image host, as a shop has one."""

    async def photo(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in photos:
            raise web.HTTPNotFound
        kind = "image/png" if name.endswith(".png") else "image/jpeg"
        return web.Response(body=photos[name], content_type=kind, headers={"ETag": f'"{name}"'})

    app = web.Application()
    app.router.add_get("/photos/{name}", photo)
    return app


@asynccontextmanager
async def _served(app: web.Application, settings: Settings, *, port: int = 0) -> AsyncIterator[str]:
    """Serve an application on this port, or on a free one; gives its address."""
    host = settings.server.host
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
    try:
        await runner.setup()
        try:
            listener = await listen(runner, settings.server, host, port)
        except ConfigError:
            if port == 0:
                raise
            listener = await listen(runner, settings.server, host, 0)
        yield f"http://{host}:{listener.sockets[0].getsockname()[1]}"
        listener.close()
    finally:
        await runner.cleanup()


def _catalogue(shots: dict[str, Shot], origin: str) -> bytes:
    """Return the CSV: a row for each piece with all its photos."""
    urls: dict[str, list[str]] = {}
    for name, shot in shots.items():
        urls.setdefault(shot.piece.name, []).append(f"{origin}/photos/{name}")
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["S. No.", "Product Name", "Input Image Urls"])
    for number, (product, found) in enumerate(urls.items(), 1):
        writer.writerow([number, product, ", ".join(found)])
    return text.getvalue().encode()


async def _submitted(server: str, catalogue: Path, receiver: str, console: Console) -> Standing:
    """Submit the catalogue as a client does, and show what comes of it."""
    target = catalogue.with_name(f"{catalogue.stem}-result.csv")
    async with RemoteServer(yarl.URL(server), None, patience=PATIENCE, tell=console.print) as remote:
        body = await remote.upload(catalogue, {"webhook_url": f"{receiver}/webhook"})
        request_id = body["request_id"]
        console.print(
            f"\n{catalogue.name}: {body['products']} products, {body['images']} images", highlight=False
        )
        standing = await remote.status(request_id)
        with show_progress(standing, console) as display:
            display.update(standing)
            while not standing.done:
                await asyncio.sleep(REFRESH)
                standing = await remote.status(request_id)
                display.update(standing)
        await remote.save_result(request_id, target)
        console.print(_savings(await remote.images(request_id, limit=standing.images)))
    console.print(summary(standing), highlight=False)
    return standing


def _savings(images: list[dict[str, object]]) -> Table:
    table = Table("Product", "Photo", "Before", "After", "Saved", box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for image in images:
        before, after = image["input_bytes"], image["output_bytes"]
        photo = str(image["input_url"]).rpartition("/")[2]
        if isinstance(before, int) and isinstance(after, int):
            sizes = (decimal(before), decimal(after), f"{100 * (1 - after / before):.0f} %")
        else:
            sizes = ("", "", json.dumps(image["error"]))
        table.add_row(str(image["product_name"]), photo, *sizes)
    return table


async def _event(receiver: str, request_id: str) -> str:
    """Wait until the receiver has the event of a request; returns its type."""
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{receiver}/events") as response:
                for event in (await response.json())["data"]:
                    if event["data"]["request_id"] == request_id:
                        return str(event["type"])
            await asyncio.sleep(REFRESH)


def _desktop() -> bool:
    """Tell whether a browser would open in a window; one in the terminal would hide what stands there."""
    return sys.stdout.isatty() and (
        sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    )
