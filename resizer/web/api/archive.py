"""A request's result and images in one ZIP, made while it is sent."""

import asyncio
import logging
import re
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
from resizer.web.api.origin import links_for
from resizer.web.api.parameters import flag
from resizer.web.api.results import send_pieces
from resizer.web.api.zip_writer import ZipWriter
from resizer.web.keys import REQUESTS, STORAGE

logger = logging.getLogger(__name__)

#: bytes read at once; a smaller file is read whole
PIECE = 256 * 1024
#: images read from the database at once
PAGE = 500
#: files looked at and sent together, some megabytes at most
AHEAD = 16
#: lost files that are named
MOST_NAMED = 1000
LOST = (
    "The files of these images are not in the storage any more, so this archive lacks them.\r\n"
    "Upload the CSV again to have them made anew.\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A completed image and its path in the archive."""

    path: str
    url: str
    filename: str


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """What was learnt of a stored file."""

    path: Path
    size: int
    checksum: int
    #: the whole where it is small, else nothing
    content: bytes


class Lost:
    """The images whose file is gone."""

    def __init__(self) -> None:
        self.count = 0
        self._named: list[Slot] = []

    def add(self, slot: Slot) -> None:
        self.count += 1
        if len(self._named) < MOST_NAMED:
            self._named.append(slot)

    async def text(self) -> AsyncIterator[bytes]:
        yield LOST.encode()
        for slot in self._named:
            yield f"{slot.path}  {slot.filename}  {slot.url}\r\n".encode(errors="replace")
        if self.count > len(self._named):
            yield f"and {self.count - len(self._named)} more\r\n".encode()


async def archive(request: web.Request) -> web.StreamResponse:
    """Send a request's images and its result as a ZIP."""
    batches = request.app[REQUESTS]
    batch = await batches.batch(request.match_info["request_id"])
    result = batches.result_csv(batch, files_url=links_for(request).files, partial=flag(request, "partial"))
    # while the status can still tell it: a store that is away
    for image in await batches.images(batch, limit=1, status=ImageStatus.COMPLETED):
        if image.compressed:
            await request.app[STORAGE].find(image.compressed.filename)
    name = re.sub(r"[.]csv$", "", batch.filename, flags=re.IGNORECASE)
    async with aclosing(archive_of(batch, batches, request.app[STORAGE], result)) as pieces:
        return await send_pieces(
            request, pieces, filename=f"{name}-images.zip", content_type="application/zip"
        )


async def archive_of(
    batch: Batch, batches: Requests, storage: Storage, result: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    """Yield the archive piece by piece. Raises `BatchNotFound` where the batch was deleted meanwhile."""
    writer = ZipWriter(modified=batch.finished_at or time.time())
    # first, so that every image it names has been settled when the images are read
    async for piece in writer.deflated(RESULT, result):
        yield piece
    lost = Lost()
    async for images in _pages(batches, batch):
        slots = [
            Slot(archive_path(image, image.compressed.filename), image.url, image.compressed.filename)
            for image in images
            if image.compressed
        ]
        for start in range(0, len(slots), AHEAD):
            async for piece in _stored(writer, storage, slots[start : start + AHEAD], lost):
                yield piece
    # a batch that is being deleted loses its rows and files bit by bit
    await batches.batch(batch.request_id)
    if lost.count:
        logger.error("the storage lacks %s files of request %s", lost.count, batch.request_id)
        async for piece in writer.deflated(ERRORS, lost.text()):
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
    writer: ZipWriter, storage: Storage, slots: Sequence[Slot], lost: Lost
) -> AsyncIterator[bytes]:
    """Yield the entries of some images; small ones come in one piece."""
    async with AsyncExitStack() as stack:
        opened = (stack.enter_async_context(storage.on_disk(slot.filename)) for slot in slots)
        paths = await asyncio.gather(*opened)
        # together in one thread: for small files the way there and back takes longer than reading
        found = await asyncio.to_thread(_looked_at, paths)
        small = bytearray()
        for slot, file in zip(slots, found, strict=True):
            if file is None:
                lost.add(slot)
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


def _looked_at(paths: Sequence[Path | None]) -> list[File | None]:
    return [None if path is None else _look_at(path) for path in paths]


def _look_at(path: Path) -> File | None:
    """Read a file through for its checksum, which stands before the content; None where it is gone."""
    try:
        with path.open("rb", buffering=0) as opened:
            first = piece = opened.read(PIECE)
            size, checksum = len(first), zlib.crc32(first)
            while piece := opened.read(PIECE):
                size += len(piece)
                checksum = zlib.crc32(piece, checksum)
    except FileNotFoundError:
        return None
    return File(path=path, size=size, checksum=checksum, content=first if size == len(first) else b"")


async def _pieces(file: File) -> AsyncIterator[bytes]:
    size = 0
    async with aiofiles.open(file.path, "rb") as opened:
        while piece := await opened.read(PIECE):
            size += len(piece)
            yield piece
    if size != file.size:
        raise OSError(f"{file.path} had {file.size} bytes, and {size} when it was sent")
