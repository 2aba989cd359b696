"""Names under /compressed/ that are none of ours: 404, and no file is as much as opened."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest

import photos
from resizer.app import create_app
from resizer.storage.local import LocalStorage
from service import settings_for
from wire import Wire, listening

CANARY = b"canary: nobody reads this"
HEX = "0123456789abcdef" * 2
SOUND = f"{HEX}.jpg"
FOLDER = f"{'f' * 32}.jpg"
MISSING = f"{'0' * 32}.jpg"
#: bytes of a file's name
LONGEST = 255

NAMES = [
    "", ".", "..", "/", "//", "../", "%2e%2e", "%2e%2e%2f", ".%2e/", "..%2F", "..%2f..%2f",
    "../resizer.db", "..%2fresizer.db", "..%2Fresizer.db", "..%252fresizer.db", "%2e%2e%2fresizer.db",
    "%2E%2E/resizer.db", "..%5cresizer.db", "..\\resizer.db", "%2e%2e%5Cresizer.db", "....//resizer.db",
    "..;/resizer.db", "..%c0%afresizer.db", "..%ef%bc%8fresizer.db", "%00../resizer.db", "../../canary.txt",
    "/etc/passwd", "%2fetc%2fpasswd", "//etc/passwd", "file:///etc/passwd", "http://127.0.0.1/",
    "canary.txt", "./canary.txt", "canary.txt%00.jpg", f"{HEX}.txt", ".hidden", "%2ehidden", ".0-1.draft",
    f"a/{SOUND}", f"../compressed/{SOUND}", f"..%2fcompressed%2f{SOUND}", f"./{SOUND}", f"/{SOUND}",
    f"%2f{SOUND}", f"{SOUND}/", f"{SOUND}%2f", f"{SOUND}%00", f"{SOUND}%00.jpg", f"{SOUND}%0a",
    f"{SOUND}%0d%0a", f"%0a{SOUND}", f"{SOUND}%20", f"%20{SOUND}", f"{SOUND}.", f"{SOUND}~", f"{SOUND}.bak",
    f".{SOUND}", f"{SOUND};v=1",
    f"{SOUND}%3fx", f"{SOUND}%23x", f"{SOUND}::$DATA", f"{HEX.upper()}.jpg", f"{HEX}.JPG", f"{HEX}.jpeg",
    f"{HEX}.svg", f"{HEX}.html", f"{HEX}", f"{HEX}.", f"{HEX}xjpg", f"{HEX[1:]}.jpg", f"{HEX}0.jpg", MISSING,
    f"{'a' * 7900}.jpg", f"{'%2e%2e%2f' * 800}canary.txt", "%25" * 2000,
    "%D9%A0" * 32 + ".jpg", "%EF%BC%90" * 32 + ".jpg", f"{HEX[:-1]}%C3%A9.jpg", "%ff%fe", "%", "%zz",
    "%u002e",
    f"{HEX}.jpg%2ejpg", f"{HEX}%2ejpg%2f..%2fcanary.txt",
    FOLDER,
]  # fmt: skip


class Opened:
    """Records the files of a folder that this process opens while it is watched."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.below: str | None = None
        sys.addaudithook(self._hear)  # there is no way to take it back; without a folder it hears nothing

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.below is not None and event == "open" and str(arguments[0]).startswith(self.below):
            self.paths.append(str(arguments[0]))


@pytest.fixture(scope="module")
def opened() -> Opened:
    return Opened()


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[int]:
    """The service, with canaries in its folder of images, beside it and above it."""
    data = folder / "data"
    images = data / "compressed"
    images.mkdir(parents=True)
    (images / SOUND).write_bytes(photos.jpeg())
    (images / FOLDER).mkdir()
    async with listening(create_app(settings_for(data))) as port:
        for canary in (folder / "canary.txt", data / "canary.txt"):
            canary.write_bytes(CANARY)
        # and under every name that a file can have, so that it is the name that keeps it from being sent
        names = {unquote(name) for name in NAMES} - {FOLDER, MISSING}
        for name in names:
            if not {"/", "\0"} & set(name) and name.strip(".") and len(name.encode()) < LONGEST:
                (images / name).write_bytes(CANARY)
        yield port


async def test_any_other_name_is_answered_404_and_nothing_is_opened(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Path | None] = []
    find = LocalStorage.find

    async def recorded(self: LocalStorage, name: str) -> Path | None:
        found.append(await find(self, name))
        return found[-1]

    monkeypatch.setattr(LocalStorage, "find", recorded)
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        opened.below, opened.paths = str(tmp_path), []
        for name in NAMES:
            for method in ("GET", "HEAD"):
                await wire.send(f"{method} /compressed/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                reply = await wire.reply(head_only=method == "HEAD")
                assert (name, reply.status) == (name, 404)
                assert reply.headers["content-type"].startswith("application/problem+json")
                assert CANARY not in reply.body
        assert not [path for path in found if path]
        assert opened.paths == []

        # and what is ours is found, in any spelling of the URL
        for name in (SOUND, f"{SOUND}?v=1", f"%30{SOUND[1:]}", SOUND.replace(".", "%2e")):
            await wire.send(f"GET /compressed/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            reply = await wire.reply()
            assert (reply.status, reply.body) == (200, photos.jpeg())
        assert len(opened.paths) == 4
        opened.below = None


RANGES = [
    ("bytes=0-0", 206, "0-0"),
    ("bytes=5-", 206, "5-{last}"),
    ("bytes=-3", 206, "{tail}-{last}"),
    ("bytes=0-999999999", 206, "0-{last}"),
    ("Bytes=1-2", 206, "1-2"),
    ("bytes={size}-", 416, "*"),
    ("bytes=999999-1000000", 416, "*"),
    ("bytes=-0", 416, "*"),
    ("bytes=5-2", 200, ""),
    ("bytes=", 200, ""),
    ("bytes=-", 200, ""),
    ("bytes=a-b", 200, ""),
    ("bytes=0-1,3-4", 200, ""),
    ("lines=0-1", 200, ""),
    ("nonsense", 200, ""),
    ("bytes=" + "9" * 4000 + "-", 200, ""),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_range_is_sent_or_refused_or_passed_over(method: str, tmp_path: Path) -> None:
    data = photos.jpeg()
    facts = {"size": len(data), "last": len(data) - 1, "tail": len(data) - 3}
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        for asked, status, span in RANGES:
            start = f"{method} /compressed/{SOUND} HTTP/1.1\r\nHost: localhost\r\n"
            await wire.send(f"{start}Range: {asked.format(**facts)}\r\n\r\n".encode())
            reply = await wire.reply(head_only=method == "HEAD")
            assert (asked, reply.status) == (asked, status)
            expected = f"bytes {span.format(**facts)}/{len(data)}" if span else None
            assert reply.headers.get("content-range") == expected
            assert ("cache-control" in reply.headers) == (status != 416)
            if method == "GET" and status == 416:
                reply.problem(416)
            elif method == "GET" and status == 200:
                assert reply.body == data


async def test_condition_comes_before_the_range(tmp_path: Path) -> None:
    async with service(tmp_path) as port, await Wire.to(port) as wire:

        async def get(**headers: str) -> int:
            lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            await wire.send(
                "\r\n".join([f"GET /compressed/{SOUND} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()
            )
            reply = await wire.reply()
            etags.append(reply.headers.get("etag", ""))
            return reply.status

        etags: list[str] = []
        assert await get() == 200
        assert await get(Range="bytes=999999-", If_None_Match=etags[0]) == 304
        assert await get(Range="bytes=999999-", If_Range="Sat, 01 Jan 2000 00:00:00 GMT") == 200
        assert await get(Range="bytes=0-1", If_None_Match='"other"') == 206
        assert await get(Range="bytes=0-1", If_Range=etags[0]) == 206
        for another in ('"other"', f"W/{etags[0]}"):
            assert await get(Range="bytes=0-1", If_Range=another) == 200
            assert await get(Range="bytes=999999-", If_Range=another) == 200
