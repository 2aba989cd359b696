"""Take in an upload's body, whichever of its two forms it has: to the spool, or to memory if it is small."""

import asyncio
import errno
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import aiofiles
import aiofiles.os
from aiohttp import BodyPartReader, ClientPayloadError, MultipartReader, StreamReader, hdrs, web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError

from resizer.catalog.content import Content, InMemory
from resizer.errors import (
    OUT_OF_SPACE,
    NoSpace,
    SpoolFailure,
    UnsupportedBody,
    UploadError,
    UploadTooLarge,
    disk_fault,
)
from resizer.web.api.options import OPTIONS, query_options
from resizer.web.connection.body import Body

#: bytes; more than any of them needs
MAX_OPTION = 16_384
#: fields of a form; ours are nine
MAX_FIELDS = 100
#: bytes of a multipart body that are not the file: boundaries, headers, options
MULTIPART_OVERHEAD = 1_000_000
#: bytes of a body that is kept in memory, since a file takes longer; some 600 products
SMALL = 65_536
#: bytes written to the spool at once
WRITE_SIZE = 1_048_576
#: what a client sends as Expect that waits to be asked for its body
CONTINUE = "100-continue"
#: faults of the body rather than of the service
BROKEN_BODY = (
    ValueError,
    AssertionError,
    KeyError,  # a Content-Type without its boundary
    RuntimeError,
    ConnectionError,
    TimeoutError,  # what was lost on its way was never sent again
    ClientPayloadError,
    web.RequestPayloadError,
    HttpProcessingError,
)

#: file name and options
Taken = tuple[str, dict[str, str]]


class _Target(Protocol):
    """What a body is written to: a file that is open, or memory."""

    async def write(self, data: bytes, /) -> object: ...


class _Memory:
    def __init__(self) -> None:
        self.data = bytearray()

    async def write(self, data: bytes, /) -> None:
        self.data += data


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A body that has arrived whole."""

    csv: Content
    filename: str
    #: as they came, none of them empty
    options: Mapping[str, str]


@asynccontextmanager
async def receive_upload(request: web.Request, *, spool: Path, limit: int) -> AsyncIterator[Upload]:
    """Take the CSV of an upload to a file in `spool`, which is gone again on leaving, or to memory.

    Raises `UnsupportedBody`, `UnsupportedEncoding`, `UploadTooLarge` as soon as it is known, `BodyTooSlow`,
    `UploadError`, `NoSpace`, `SpoolFailure`.
    """
    kind = request.content_type if "Content-Type" in request.headers else ""
    if kind not in {"multipart/form-data", "text/csv"}:
        raise UnsupportedBody(kind)
    overhead = MULTIPART_OVERHEAD if kind == "multipart/form-data" else 0
    if request.content_length is not None and request.content_length > limit + overhead:
        raise UploadTooLarge(limit)
    body = Body(request, most=limit + overhead, limit=limit)
    take = _plain if kind == "text/csv" else _multipart
    if _is_small(request):
        memory = _Memory()
        with _faults_named(spool):
            _look_at(spool)
            await _invite(request)
            filename, options = await take(request, body, memory, limit)
        yield Upload(csv=InMemory(bytes(memory.data)), filename=filename, options=options)
        return
    with _faults_named(spool):
        path = Path(await asyncio.to_thread(_spool_file, spool))
    try:
        with _faults_named(spool):
            await _invite(request)
            async with aiofiles.open(path, "wb") as file:
                filename, options = await take(request, body, file, limit)
        yield Upload(csv=path, filename=filename, options=options)
    finally:
        with suppress(FileNotFoundError):
            await aiofiles.os.remove(path)


async def check_spool(spool: Path) -> None:
    """Raise `SpoolFailure` or `NoSpace` where an upload could not be written to this folder."""
    with _faults_named(spool):
        await aiofiles.os.remove(await asyncio.to_thread(_spool_file, spool))


async def check_expectation(request: web.Request) -> None:
    """Leave `Expect: 100-continue` for `receive_upload`: who may not upload need not send it.

    Any other expectation cannot be met.
    """
    expected = request.headers[hdrs.EXPECT]
    if request.version >= HttpVersion11 and expected.lower() != CONTINUE:
        raise web.HTTPExpectationFailed(text=f"the expectation {expected[:64]!r} cannot be met; leave it out")


async def _invite(request: web.Request) -> None:
    if request.version >= HttpVersion11 and request.headers.get(hdrs.EXPECT, "").lower() == CONTINUE:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # it counts what the answer has sent, and this is not the answer yet
        request.writer.output_size = 0


def _is_small(request: web.Request) -> bool:
    """Tell whether the body is known to be small before it comes; a packed one may be of any size."""
    length = request.content_length
    return length is not None and length <= SMALL and hdrs.CONTENT_ENCODING not in request.headers


def _look_at(spool: Path) -> None:
    """Raise `OSError` where it is plain that no file can be written: a small CSV needs none, its images do.

    Not in a thread: the loop itself writes downloads there.
    """
    folder = os.open(spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        disk = os.fstatvfs(folder)
    finally:
        os.close(folder)
    fault = None
    if disk.f_flag & os.ST_RDONLY:
        fault = errno.EROFS
    elif not os.access(spool, os.W_OK | os.X_OK):
        fault = errno.EACCES
    # some file systems have no number of blocks or of files
    elif (disk.f_blocks and disk.f_bavail * disk.f_frsize < SMALL) or (disk.f_files and not disk.f_favail):
        fault = errno.ENOSPC
    if fault:
        raise OSError(fault, os.strerror(fault))


async def _plain(request: web.Request, body: Body, target: _Target, limit: int) -> Taken:
    await _copy(body.pieces(), target, limit)
    return "upload.csv", query_options(request)


async def _multipart(request: web.Request, body: Body, target: _Target, limit: int) -> Taken:
    filename: str | None = None
    options = query_options(request)
    fields = 0
    reader = MultipartReader(request.headers, cast(StreamReader, body))
    async for part in reader:
        if not isinstance(part, BodyPartReader):
            raise UploadError(
                "a multipart body within the multipart body cannot be read; send the fields flat"
            )
        fields += 1
        if fields > MAX_FIELDS:
            raise UploadError(f"there are more than {MAX_FIELDS} fields; send the CSV and its options alone")
        if part.name == "file":
            if filename is not None:
                raise UploadError("there are two fields named 'file'; upload one CSV at a time")
            filename = clean_filename(part.filename)
            await _copy(_chunks(part), target, limit)
        else:
            value = await _text(part)
            if part.name in OPTIONS and value:
                options[part.name] = value
    if not reader.at_eof():
        raise UploadError("the body ends before its last boundary; send it again")
    if filename is None:
        raise UploadError("there is no field 'file'; send the CSV in a multipart field of that name")
    return filename, options


async def _copy(chunks: AsyncIterator[bytes], target: _Target, limit: int) -> None:
    size = 0
    buffer = bytearray()
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise UploadTooLarge(limit)
        buffer += chunk
        if len(buffer) >= WRITE_SIZE:
            await target.write(bytes(buffer))
            buffer.clear()
    await target.write(bytes(buffer))


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(65_536):
        yield chunk


async def _text(part: BodyPartReader) -> str:
    value = bytearray()
    async for chunk in _chunks(part):
        value += chunk
        if len(value) > MAX_OPTION:
            raise UploadError(f"the field {part.name!r} is longer than {MAX_OPTION} bytes")
    return value.decode().strip()


def clean_filename(name: str | None) -> str:
    """Return a client's file name without its folders and without characters that no name should hold."""
    # a name that is not UTF-8 comes with surrogates, which nothing else can take
    readable = (name or "").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    base = re.split(r"[/\\]", readable)[-1]
    return re.sub(r"[\x00-\x1f\x7f]", "", base).strip()[:200] or "upload.csv"


@contextmanager
def _faults_named(spool: Path) -> Iterator[None]:
    try:
        yield
    except BROKEN_BODY as error:
        raise UploadError("the body is broken or was cut off; send it again, whole") from error
    except OSError as error:
        if error.errno in OUT_OF_SPACE:
            raise NoSpace from error
        raise SpoolFailure(disk_fault(error, spool)) from error


def _spool_file(spool: Path) -> str:
    handle, path = tempfile.mkstemp(prefix="upload-", suffix=".csv", dir=spool)
    with open(handle, "wb"):  # noqa: PTH123 - takes over the descriptor
        return path
