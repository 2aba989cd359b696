"""Receive the body of an upload: into the spool folder, or into memory if it is small."""

import asyncio
import errno
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiofiles
import aiofiles.os
from aiohttp import BodyPartReader, HttpVersion11, hdrs, web

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
from resizer.web.connection.aiohttp_internals import (
    BROKEN_BODY,
    form_reader,
    plain_form_reader,
    send_continue,
)
from resizer.web.connection.body_reader import BodyReader
from resizer.web.keys import AIOHTTP_TESTED

#: bytes of one option; none needs as many
MAX_OPTION = 16_384
#: fields of a form; the service knows nine
MAX_FIELDS = 100
#: bytes of a form besides the file: boundaries, headers, options
FORM_OVERHEAD = 1_000_000
#: bytes of a body that stays in memory, since a file takes longer; some 600 products
SMALL = 65_536
#: bytes written to the spool at once
WRITE_SIZE = 1_048_576
#: name of a CSV that has none
UNNAMED = "upload.csv"
#: value of Expect with which a client waits for permission to send its body
CONTINUE = "100-continue"


class _Target(Protocol):
    """An open file, or memory."""

    async def write(self, data: bytes, /) -> object: ...


class _Memory:
    def __init__(self) -> None:
        self.data = bytearray()

    async def write(self, data: bytes, /) -> None:
        self.data += data


@dataclass(kw_only=True, slots=True)
class Form:
    """What an upload says besides its CSV; nothing if its body is the CSV."""

    filename: str | None = None
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that was received completely."""

    csv: Content
    form: Form


@asynccontextmanager
async def receive_upload(request: web.Request, *, spool: Path, limit: int) -> AsyncIterator[Upload]:
    """Receive a CSV of at most `limit` bytes into memory or a file that is removed on exit.

    Raises `UnsupportedBody`, `UnsupportedEncoding`, `UploadTooLarge` as early as possible, `BodyTooSlow`,
    `UploadError`, `NoSpace`, `SpoolFailure`.
    """
    kind = request.content_type if "Content-Type" in request.headers else ""
    if kind not in {"multipart/form-data", "text/csv"}:
        raise UnsupportedBody(kind)
    most = limit + (FORM_OVERHEAD if kind == "multipart/form-data" else 0)
    if request.content_length is not None and request.content_length > most:
        raise UploadTooLarge(limit)
    body = BodyReader(request, most=most, limit=limit)
    if _is_small(request):
        memory = _Memory()
        with _translated_errors(spool):
            _check_writable(spool)
            form = await _receive(request, body, memory, limit)
        yield Upload(InMemory(bytes(memory.data)), form)
        return
    with _translated_errors(spool):
        path = Path(await asyncio.to_thread(_create_file, spool))
    try:
        with _translated_errors(spool):
            async with aiofiles.open(path, "wb") as file:
                form = await _receive(request, body, file, limit)
        yield Upload(path, form)
    finally:
        with suppress(FileNotFoundError):
            await aiofiles.os.remove(path)


async def check_spool(spool: Path) -> None:
    """Raise `SpoolFailure` or `NoSpace` if no upload can be written to this folder."""
    with _translated_errors(spool):
        await aiofiles.os.remove(await asyncio.to_thread(_create_file, spool))


async def check_expectation(request: web.Request) -> None:
    """Refuse any `Expect` but `100-continue`, which `receive_upload` answers after its checks."""
    expected = request.headers[hdrs.EXPECT]
    if request.version >= HttpVersion11 and expected.lower() != CONTINUE:
        raise web.HTTPExpectationFailed(text=f"cannot meet the expectation {expected[:64]!r}; leave it out")


def _is_small(request: web.Request) -> bool:
    """Return whether the body is known to be small; a compressed one may have any size."""
    length = request.content_length
    return length is not None and length <= SMALL and hdrs.CONTENT_ENCODING not in request.headers


def _check_writable(spool: Path) -> None:
    """Raise `OSError` if no file can be written: a small CSV needs none, but its images do.

    Blocks the loop, as a thread would take longer.
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
    # some file systems report no number of blocks or of files
    elif (disk.f_blocks and disk.f_bavail * disk.f_frsize < SMALL) or (disk.f_files and not disk.f_favail):
        fault = errno.ENOSPC
    if fault:
        raise OSError(fault, os.strerror(fault))


async def _receive(request: web.Request, body: BodyReader, target: _Target, limit: int) -> Form:
    tested = request.app[AIOHTTP_TESTED]
    # an untested aiohttp has answered the expectation itself
    if (
        tested
        and request.version >= HttpVersion11
        and request.headers.get(hdrs.EXPECT, "").lower() == CONTINUE
    ):
        await send_continue(request)
    if request.content_type == "text/csv":
        await _copy(body.pieces(), target, limit)
        return Form()
    form = Form()
    reader = form_reader(request, body) if tested else await plain_form_reader(request)
    count = 0
    async for part in reader:
        if not isinstance(part, BodyPartReader):
            raise UploadError("cannot read a multipart body inside the multipart body; send the fields flat")
        count += 1
        if count > MAX_FIELDS:
            raise UploadError(
                f"the form has more than {MAX_FIELDS} fields; send only the CSV and its options"
            )
        await _receive_part(part, form, target, limit)
    if not reader.at_eof():
        raise UploadError("the body ends before its last boundary; send it again")
    if form.filename is None:
        raise UploadError("the form has no field 'file'; send the CSV in a field of that name")
    return form


async def _receive_part(part: BodyPartReader, form: Form, target: _Target, limit: int) -> None:
    if part.name != "file":
        if value := await _text(part):
            form.fields[part.name or ""] = value
        return
    if form.filename is not None:
        raise UploadError("the form has two fields named 'file'; upload one CSV at a time")
    form.filename = clean_filename(part.filename)
    await _copy(_chunks(part), target, limit)


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
    """Return a client's file name without folders and control characters."""
    # bytes that are not UTF-8 arrive as surrogates, which nothing else accepts
    readable = (name or "").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    base = re.split(r"[/\\]", readable)[-1]
    return re.sub(r"[\x00-\x1f\x7f]", "", base).strip()[:200] or UNNAMED


@contextmanager
def _translated_errors(spool: Path) -> Iterator[None]:
    try:
        yield
    except BROKEN_BODY as error:
        raise UploadError("the body is broken or cut off; send it again") from error
    except OSError as error:
        if error.errno in OUT_OF_SPACE:
            raise NoSpace from error
        raise SpoolFailure(disk_fault(error, spool)) from error


def _create_file(spool: Path) -> str:
    handle, path = tempfile.mkstemp(prefix="upload-", suffix=".csv", dir=spool)
    with open(handle, "wb"):  # noqa: PTH123 - takes over the descriptor
        return path
