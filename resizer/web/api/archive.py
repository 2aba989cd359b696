"""A request's result and images in one ZIP, made while it is sent."""

import asyncio
import logging
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path

import aiofiles
from aiohttp import web

from resizer.catalog.image_names import ERRORS, RESULT, archive_path
from resizer.models import Batch, Image, ImageStatus
from resizer.pipeline.requests import Requests
from resizer.storage.base import Storage
from resizer.web.api.downloads import PIECE, send_download
from resizer.web.api.parameters import flag
from resizer.web.api.public_address import links_for
from resizer.web.api.results import stem_of
from resizer.web.api.zip_writer import ZipWriter
from resizer.web.keys import REQUESTS, STORAGE

logger = logging.getLogger(__name__)

#: images read from the database at once
PAGE = 500
#: files read and sent together; a few megabytes at most
READ_AHEAD = 16
#: missing files that are listed by name
MOST_LISTED = 1000
MISSING = (
    "The files of these images are no longer in the storage, so they are missing from this archive.\r\n"
    "Upload the CSV again to create them anew.\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A completed image and its path in the archive."""

    path: str
    url: str
    filename: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadFile:
    """A stored file after a first reading."""

    path: Path
    size: int
    checksum: int
    #: all of it if it is small, else nothing
    content: bytes


class MissingFiles:
    """Completed images whose file is gone."""

    def __init__(self) -> None:
        self.count = 0
        self._listed: list[Slot] = []

    def add(self, slot: Slot) -> None:
        self.count += 1
        if len(self._listed) < MOST_LISTED:
            self._listed.append(slot)

    async def text(self) -> AsyncIterator[bytes]:
        yield MISSING.encode()
        for slot in self._listed:
            yield f"{slot.path}  {slot.filename}  {slot.url}\r\n".encode(errors="replace")
        if self.count > len(self._listed):
            yield f"and {self.count - len(self._listed)} more\r\n".encode()


async def archive(request: web.Request) -> web.StreamResponse:
    """Send a request's images and its result as a ZIP."""
    batches = request.app[REQUESTS]
    batch = await batches.batch(request.match_info["request_id"])
    result = batches.result_csv(batch, files_url=links_for(request).files, partial=flag(request, "partial"))
    # fail with a status while none is sent, if the storage is unavailable
    for image in await batches.images(batch, limit=1, status=ImageStatus.COMPLETED):
        if image.compressed:
            await request.app[STORAGE].find(image.compressed.filename)
    filename = f"{stem_of(batch)}-images.zip"
    async with aclosing(archive_of(batch, batches, request.app[STORAGE], result)) as pieces:
        return await send_download(request, pieces, filename=filename, content_type="application/zip")


async def archive_of(
    batch: Batch, batches: Requests, storage: Storage, result: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    """Yield the archive piece by piece. Raises `BatchNotFound` if the batch is deleted."""
    writer = ZipWriter(modified=batch.finished_at or time.time())
    # the result first, so that every image it names is recorded when the images are read
    async for piece in writer.deflated(RESULT, result):
        yield piece
    missing = MissingFiles()
    async for images in _pages(batches, batch):
        slots = [
            Slot(archive_path(image, image.compressed.filename), image.url, image.compressed.filename)
            for image in images
            if image.compressed
        ]
        for start in range(0, len(slots), READ_AHEAD):
            async for piece in _stored(writer, storage, slots[start : start + READ_AHEAD], missing):
                yield piece
    # a batch loses its rows and files step by step while it is deleted
    await batches.batch(batch.request_id)
    if missing.count:
        logger.error(
            "Archive of request %s is incomplete: %s files are missing from the storage",
            batch.request_id,
            missing.count,
        )
        async for piece in writer.deflated(ERRORS, missing.text()):
            yield piece
    for piece in writer.end():
        yield piece


async def _pages(batches: Requests, batch: Batch) -> AsyncIterator[Sequence[Image]]:
    """Yield the completed images, page by page."""
    after = -1
    while page := await batches.images(batch, after=after, limit=PAGE, status=ImageStatus.COMPLETED):
        after = page[-1].seq
        yield page


async def _stored(
    writer: ZipWriter, storage: Storage, slots: Sequence[Slot], missing: MissingFiles
) -> AsyncIterator[bytes]:
    """Yield the entries of these images; small ones in one piece."""
    async with AsyncExitStack() as stack:
        opened = (stack.enter_async_context(storage.on_disk(slot.filename)) for slot in slots)
        paths = await asyncio.gather(*opened)
        # in one thread: for small files, handing over takes longer than reading
        found = await asyncio.to_thread(_read_all, paths)
        small = bytearray()
        for slot, file in zip(slots, found, strict=True):
            if file is None:
                missing.add(slot)
                continue
            small += writer.stored(slot.path, size=file.size, checksum=file.checksum)
            small += file.content
            if len(file.content) < file.size:
                yield bytes(small)
                small.clear()
                async for piece in _pieces(file):
                    yield piece
        if small:
            yield bytes(small)


def _read_all(paths: Sequence[Path | None]) -> list[ReadFile | None]:
    return [None if path is None else _read(path) for path in paths]


def _read(path: Path) -> ReadFile | None:
    """Read a file for its checksum, which precedes the content; None if it is gone."""
    try:
        with path.open("rb", buffering=0) as opened:
            first = piece = opened.read(PIECE)
            size, checksum = len(first), zlib.crc32(first)
            while piece := opened.read(PIECE):
                size += len(piece)
                checksum = zlib.crc32(piece, checksum)
    except FileNotFoundError:
        return None
    return ReadFile(path=path, size=size, checksum=checksum, content=first if size == len(first) else b"")


async def _pieces(file: ReadFile) -> AsyncIterator[bytes]:
    size = 0
    async with aiofiles.open(file.path, "rb") as opened:
        while piece := await opened.read(PIECE):
            size += len(piece)
            yield piece
    if size != file.size:
        raise OSError(f"{file.path} changed from {file.size} to {size} bytes while it was sent")
