"""Operations as clients send them, each held against what the client already knows."""

import asyncio
import csv
import io
import json
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from listener import Listener
from memory import COLUMNS, Memory, Upload
from shop import Shop

from process import PATIENCE, ran
from service import form

OUTPUT = "Output Image Urls"
#: how often each operation comes among all
WEIGHTS = {
    "upload": 6,
    "repeat": 2,
    "status": 4,
    "wait": 3,
    "images": 2,
    "result": 3,
    "archive": 1,
    "events": 2,
    "cancel": 3,
    "retry": 5,
    "delete": 3,
    "redeliver": 2,
    "change": 8,
}
#: uploads in a server's life
UPLOADS = 5
#: uploads that are still at work, mostly
LATEST = 4
#: of all uploads; the rest must be there in the end
MOST_DELETED = 0.4
#: seconds between two operations of a client
PAUSES = [0, 0, 0, 0.01, 0.05, 0.1]


class Lost(Exception):
    """The connection ended before the answer did."""


class Customer:
    """Sends operations to whatever server is up; `up` and `down` are set by its owner."""

    def __init__(
        self, shop: Shop, listener: Listener, memory: Memory, session: aiohttp.ClientSession
    ) -> None:
        self.shop = shop
        self.listener = listener
        self.memory = memory
        self.session = session
        self.url = ""
        self.up, self.down = asyncio.Event(), asyncio.Event()
        self.log: list[str] = []
        #: catalogues that may still be uploaded
        self.uploads_left = 0
        self.operations: dict[str, Callable[[Random], Awaitable[object]]] = {
            name: getattr(self, f"_{name}") for name in WEIGHTS
        }

    def say(self, line: str) -> None:
        self.log.append(f"{asyncio.get_running_loop().time():.3f} {line}")

    def begin(self) -> None:
        """Send operations to the server that is up now."""
        self.uploads_left = UPLOADS
        self.down.clear()
        self.up.set()

    async def operate(self, moments: Random) -> None:
        """Do one operation; where it is lost, wait until the server is known to have ended."""
        (name,) = moments.choices([*WEIGHTS], [*WEIGHTS.values()])
        try:
            await self.operations[name](moments)
            await asyncio.sleep(moments.choice(PAUSES))
        except Lost:
            async with asyncio.timeout(PATIENCE):
                await self.down.wait()

    async def call(
        self, upload: Upload, method: str, path: str, allowed: Sequence[int], **options: Any
    ) -> tuple[int, bytes]:
        """Send a request about an upload; `Lost` where there is no whole answer."""
        gone = upload.deleted
        line = f"#{upload.number} {method} {path.replace(upload.request_id or '-', 'ID')}"
        try:
            async with self.session.request(method, f"{self.url}{path}", **options) as response:
                status, body = response.status, await response.read()
        except aiohttp.ClientError as error:
            self.say(f"{line} -> lost, {type(error).__name__}")
            if method == "GET" and upload.deleting:
                return 404, b""  # what is sent bit by bit breaks off where the request goes
            raise Lost from error
        self.say(f"{line} -> {status}")
        assert status in {*allowed, 404}, f"{line}: {status} {body.decode(errors='replace')}"
        assert status == 404 or not gone, f"{line}: {status} for a request that was deleted"
        assert status != 404 or upload.may_be_gone, f"{line}: 404 for a request that was accepted"
        return status, body

    async def status(self, upload: Upload, *, wait: int = 0) -> dict[str, Any] | None:
        """The status, held against what was seen before; None where the request is gone."""
        before, sent, retrying = upload.completed, upload.retries_sent, upload.retrying
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        code, body = await self.call(upload, "GET", f"/status/{upload.request_id}", [200], headers=headers)
        if code == 404:
            return None
        status: dict[str, Any] = json.loads(body)
        counts = dict(status["images"])
        assert counts.pop("total") == sum(counts.values()) == upload.images, status
        assert counts["completed"] >= before, f"#{upload.number}: completed images were lost: {status}"
        assert status["done"] == (not counts["pending"]), status
        upload.completed = max(upload.completed, counts["completed"])
        if status["done"] and not retrying and sent == upload.retries_sent:
            upload.see_end(counts)
        return status

    async def send(self, upload: Upload) -> None:
        """Upload it, or again where it has a key."""
        headers = {"Idempotency-Key": upload.key} if upload.key else {}
        body = form(upload.csv(), filename=upload.filename, **upload.options())
        upload.sending += 1
        try:
            _, answer = await self.call(upload, "POST", "/upload", [202], data=body, headers=headers)
        finally:
            upload.sending -= 1
        accepted = json.loads(answer)
        assert (accepted["products"], accepted["images"]) == (len(upload.cells), upload.images), accepted
        assert upload.request_id in {None, accepted["request_id"]}, "one key made two requests"
        upload.request_id = accepted["request_id"]

    async def list_all(self) -> dict[str, list[str]]:
        """The ids of all requests by the name of their file."""
        found: dict[str, list[str]] = {}
        after = ""
        while True:
            async with self.session.get(f"{self.url}/requests?limit=100{after}") as response:
                page = await response.json()
            for each in page["data"]:
                found.setdefault(each["filename"], []).append(each["request_id"])
            if not page["has_more"]:
                return found
            after = f"&after={page['next']}"

    async def result(self, upload: Upload, query: str = "") -> list[str] | None:
        """The output cells of a result whose other cells must be as uploaded; None: gone or not finished."""
        code, body = await self.call(upload, "GET", f"/result/{upload.request_id}{query}", [200, 409])
        if code != 200:
            return None
        header, *rows = csv.reader(io.StringIO(body.decode(), newline=""))
        assert header == [*COLUMNS, OUTPUT], header
        assert [row[:-1] for row in rows] == upload.rows(), f"#{upload.number}: {rows}"
        for row, urls in zip(rows, upload.urls, strict=True):
            assert row[-1].count(",") == max(len(urls) - 1, 0), row
        return [row[-1] for row in rows]

    async def images(self, upload: Upload) -> list[dict[str, Any]] | None:
        code, body = await self.call(upload, "GET", f"/requests/{upload.request_id}/images?limit=1000", [200])
        if code == 404:
            return None
        found: list[dict[str, Any]] = json.loads(body)["data"]
        assert [each["input_url"] for each in found] == [url for urls in upload.urls for url in urls], found
        for place, image in enumerate(found):
            if image["output_url"]:
                upload.see_file(place, image["output_url"].rpartition("/")[2])
        return found

    async def archive(self, upload: Upload, query: str = "") -> zipfile.ZipFile | None:
        code, body = await self.call(
            upload, "GET", f"/requests/{upload.request_id}/archive{query}", [200, 409]
        )
        if code != 200:
            return None
        archive = zipfile.ZipFile(io.BytesIO(body))
        assert archive.testzip() is None
        assert "result.csv" in archive.namelist()
        return archive

    async def back_up(self, data: Path, target: Path) -> dict[str, Upload]:
        """Copy the database, whatever happens to its server; returns the requests that must be in it."""
        before = dict(self.memory.living())
        self.say(f"backup to {target.name}")
        code, _, log = await ran("backup", target, "--data-dir", data)
        self.say(f"backup to {target.name} -> {code}")
        assert code == 0, log
        return {request_id: each for request_id, each in before.items() if not each.may_be_gone}

    async def _upload(self, moments: Random) -> None:
        if not self.uploads_left:
            return await self._wait(moments)
        self.uploads_left -= 1
        return await self.send(self.memory.new(moments, self.shop.urls, self.listener.url("own")))

    async def _repeat(self, moments: Random) -> None:
        """Send a catalogue with a key once more, also where the first answer never came."""
        found = [each for each in self.memory.uploads if each.key and not each.may_be_gone]
        if found:
            await self.send(moments.choice(found))

    async def _status(self, moments: Random) -> None:
        if upload := self._any(moments):
            await self.status(upload)

    async def _wait(self, moments: Random) -> None:
        if upload := self._any(moments):
            await self.status(upload, wait=1)

    async def _images(self, moments: Random) -> None:
        if upload := self._any(moments):
            await self.images(upload)

    async def _result(self, moments: Random) -> None:
        if upload := self._any(moments):
            await self.result(upload, moments.choice(["", "?partial=1"]))

    async def _archive(self, moments: Random) -> None:
        if upload := self._any(moments):
            await self.archive(upload, moments.choice(["", "?partial=1"]))

    async def _events(self, moments: Random) -> None:
        """Follow a request for a moment, and leave."""
        upload = self._any(moments)
        if upload is None:
            return
        gone, moment = upload.deleted, moments.uniform(0, 0.3)
        self.say(f"#{upload.number} events for {moment:.2f} s")
        try:
            async with self.session.get(f"{self.url}/requests/{upload.request_id}/events") as response:
                assert response.status == (404 if gone else 200) or upload.may_be_gone, response.status
                try:
                    async with asyncio.timeout(moment):
                        while await response.content.readline():
                            pass
                except TimeoutError:
                    response.close()
        except aiohttp.ClientError as error:
            if not upload.deleting:
                raise Lost from error

    async def _cancel(self, moments: Random) -> None:
        if upload := self._any(moments):
            upload.cancels += 1
            await self.call(upload, "POST", f"/requests/{upload.request_id}/cancel", [202, 409])

    async def _retry(self, moments: Random) -> None:
        if upload := self._any(moments):
            upload.retries += 1
            upload.retries_sent += 1
            upload.retrying += 1
            try:
                code, _ = await self.call(upload, "POST", f"/requests/{upload.request_id}/retry", [202, 409])
            finally:
                upload.retrying -= 1
            upload.retries -= code != 202

    async def _delete(self, moments: Random) -> None:
        upload = self._any(moments)
        going = sum(each.deleting for each in self.memory.uploads)
        if upload is None or upload.sending or going >= MOST_DELETED * len(self.memory.uploads):
            return
        upload.deleting = True
        await self.call(upload, "DELETE", f"/requests/{upload.request_id}", [204])
        upload.deleted = True

    async def _redeliver(self, moments: Random) -> None:
        if upload := self._any(moments):
            await self.call(upload, "POST", f"/requests/{upload.request_id}/deliveries", [202, 409])

    async def _change(self, moments: Random) -> None:
        self.say(self.shop.change(moments))

    def _any(self, moments: Random) -> Upload | None:
        """One of the uploads that were accepted, every other time of the latest; one in ten may be gone."""
        known = self.memory.known()
        there = [each for each in known if not each.deleting]
        if moments.random() < 0.1 or not there:
            return moments.choice(known) if known else None
        return moments.choice(there[-LATEST:] if moments.random() < 0.5 else there)
