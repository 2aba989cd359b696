"""Run the demo: an image host, a webhook receiver, the server, and a client that submits a catalogue."""

import asyncio
import csv
import io
import json
import os
import sys
import webbrowser
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
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
from resizer.webhooks.receiver import create_receiver
from resizer.webhooks.signing import load_secret

#: drawn by `python -m benchmarks.demo_photos`
FOLDER = Path(__file__).parent / "demo_photos"
#: product name → files of its photos
PRODUCTS = {
    "Vase Tall": ("vase-tall.jpg", "vase-tall-above.jpg"),
    "Bowl Wide": ("bowl-wide.jpg", "bowl-wide-small.jpg"),
    "Bottle Slim": ("bottle-slim.jpg",),
    "Cup Morning": ("cup-morning.jpg", "cup-morning-above.jpg"),
    "Jar Round": ("jar-round.jpg", "jar-round-small.jpg"),
    "Planter Low": ("planter-low.jpg",),
}
REFRESH = 0.25  # seconds between two status requests
PATIENCE = 60.0  # seconds to wait for an answer from this process
#: exit codes; 130 is the shell's code for an interruption
FAILED, INTERRUPTED = 1, 130


async def demonstrate(settings: Settings, *, once: bool, browser: bool) -> int:
    """Run the demo and, unless `once`, keep serving until a signal; returns the exit code."""
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
    """Start every server on the stack and submit a catalogue; returns its page and final status."""
    origin = web.Application()
    origin.router.add_static("/photos", FOLDER)
    photos = await stack.enter_async_context(_served(origin, settings))
    secret = await asyncio.to_thread(load_secret, settings.webhook, settings.data_folder)
    receiver = await stack.enter_async_context(_served(create_receiver(secret), settings))
    server = await stack.enter_async_context(_served(create_app(settings), settings, port=port))
    for what, where in (("image host", photos), ("webhook receiver", receiver), ("resizer", server)):
        console.print(f"{what:>16}  {where}", highlight=False)
    catalogue = settings.data_folder / "ceramics.csv"
    await asyncio.to_thread(catalogue.write_bytes, _catalogue(photos))
    standing = await _submitted(server, catalogue, receiver, console)
    if standing.status is not BatchStatus.COMPLETED:
        console.print(f"[red]it ended as {standing.status}[/red]; {server} shows why")
    console.print(
        f"webhook received, signature good: {await _event(receiver, standing.request_id)}",
        highlight=False,
    )
    return f"{server}/#/requests/{standing.request_id}", standing


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


def _catalogue(photos: str) -> bytes:
    """Return the CSV with the photos at this address."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["S. No.", "Product Name", "Input Image Urls"])
    for number, (product, files) in enumerate(PRODUCTS.items(), 1):
        writer.writerow([number, product, ", ".join(f"{photos}/photos/{name}" for name in files)])
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
