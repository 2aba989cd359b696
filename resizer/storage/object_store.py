"""Store compressed files in an object store: S3 and compatible ones, Google's, Azure's."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, S3Store

from resizer.config import StorageSettings
from resizer.errors import ConfigError, StorageFailure
from resizer.storage.base import CACHE_CONTROL, NAME, PAGE, content_type_of, disk_failures
from resizer.support.background import BackgroundTasks

logger = logging.getLogger(__name__)

Store = S3Store | GCSStore | AzureStore

#: by storage.kind: the remedy if a store refuses
CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role that may write there",
    "gcs": "set GOOGLE_APPLICATION_CREDENTIALS to the key file of an account that may write there",
    "azure": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}

STORES: dict[str, Callable[..., Store]] = {"s3": S3Store, "gcs": GCSStore, "azure": AzureStore}
#: the library's name for an address other than the provider's own
ENDPOINT = {"s3": "endpoint", "gcs": "base_url", "azure": "endpoint"}
#: asked for the role of a machine if no credentials are set; outside the clouds nothing answers there
ROLES = ("169.254.169.254", "metadata.google.internal")

#: bytes; least size of a chunk of a file, except the last
CHUNK = 256 * 1024
#: object written by each check
PROBE = "probe"
#: retries of one operation after a temporary error, and seconds for all of them
RETRIES = 5
RETRY_SECONDS = 20
CONNECT_SECONDS = 5
#: seconds for one try
REQUEST_SECONDS = 30
#: status of a store without the operation
NOT_IMPLEMENTED = "501 Not Implemented"
#: characters quoted of the store's own error
MOST_QUOTED = 200


class ObjectStorage:
    """Objects in `storage.bucket` below `storage.prefix`; the drafts are in a folder of this machine.

    The store accepts a file whole or not at all. Creating it raises `ConfigError` if no bucket is named;
    entering it, if the folder of the drafts cannot be used.
    """

    #: only the store itself can tell which files exist
    folder = None

    def __init__(self, settings: StorageSettings, *, drafts: Path) -> None:
        self._settings = settings
        self._drafts = drafts
        self._store = open_store(settings)
        self._background = BackgroundTasks(grace=0.0)
        #: False for a store compatible with S3 that cannot put only if absent; it is asked before each put
        self._puts_if_absent = True

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self._drafts.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError.unusable_folder("data_dir", self._drafts, error) from error
        self._background.begin(self._check_early())
        return self

    async def __aexit__(self, *_: object) -> None:
        # the library closes its connections itself
        await self._background.__aexit__()

    async def _check_early(self) -> None:
        """Log at the start that the store cannot be used; it may be corrected while the service runs."""
        try:
            await self.check()
        except StorageFailure as error:
            logger.error("%s", error)  # noqa: TRY400 - the message is complete

    async def identity(self) -> str:
        # endpoint and region may differ from machine to machine
        return "/".join((self._settings.kind, self._settings.bucket, self._settings.prefix.strip("/")))

    def draft(self) -> Path:
        return self._drafts / f"{uuid4().hex}.draft"

    async def put(self, draft: Path, name: str) -> None:
        try:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a name of a compressed file")
            with disk_failures(self._drafts):
                # opened and closed in one thread: a cancellation in between would leave the file open
                content = await asyncio.to_thread(draft.read_bytes)
            with self._store_failures():
                await self._put_if_absent(name, content)
        finally:
            # not awaited, so that a cancellation cannot come between
            draft.unlink(missing_ok=True)  # noqa: ASYNC240

    async def check(self) -> None:
        with self._store_failures():
            await obstore.put_async(self._store, PROBE, b"resizer", use_multipart=False)

    async def find(self, name: str) -> "RemoteFile | None":
        if not NAME.fullmatch(name):
            return None
        with self._store_failures():
            try:
                found = await obstore.head_async(self._store, name)
            except FileNotFoundError:
                return None
        return RemoteFile(
            size=found["size"],
            etag=_strong(found["e_tag"] or name),
            modified=found["last_modified"].timestamp(),
            chunks=partial(self._chunks, name),
        )

    @asynccontextmanager
    async def on_disk(self, name: str) -> AsyncIterator[Path | None]:
        found = await self.find(name)
        if found is None:
            yield None
            return
        copy = self.draft()
        try:
            with disk_failures(self._drafts), copy.open("wb") as file:
                async for chunk in found.read(0, found.size):
                    await asyncio.to_thread(file.write, chunk)
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    async def delete(self, name: str) -> None:
        if not NAME.fullmatch(name):
            return
        with self._store_failures():
            try:
                await obstore.delete_async(self._store, name)
            except FileNotFoundError:
                return  # S3 reports no error for it, other stores do

    async def files(self) -> AsyncGenerator[dict[str, float], None]:
        with self._store_failures():
            async for page in obstore.list(self._store, chunk_size=PAGE):
                yield {
                    each["path"]: each["last_modified"].timestamp()
                    for each in page
                    if NAME.fullmatch(each["path"])
                }

    async def sweep(self) -> None:
        """Do nothing: the drafts are in the spool, which is emptied at each start."""

    async def _put_if_absent(self, name: str, content: bytes) -> None:
        # for clients that are redirected to the store
        attributes = {"Content-Type": content_type_of(name), "Cache-Control": CACHE_CONTROL}
        if not self._puts_if_absent and await self.find(name) is not None:
            return
        try:
            await obstore.put_async(
                self._store,
                name,
                content,
                attributes=attributes,
                mode="create" if self._puts_if_absent else "overwrite",
                use_multipart=False,
            )
        except exceptions.AlreadyExistsError:
            logger.debug("%s exists already", name)
        except exceptions.BaseError as error:
            if not self._puts_if_absent or NOT_IMPLEMENTED not in str(error):
                raise
            logger.info("the store cannot put only if absent; asking it before each put")
            self._puts_if_absent = False
            await self._put_if_absent(name, content)

    async def _chunks(self, name: str, first: int, end: int) -> AsyncIterator[bytes]:
        if first >= end:
            return
        with self._store_failures():
            try:
                found = await obstore.get_async(self._store, name, options={"range": (first, end)})
            except FileNotFoundError as error:
                raise StorageFailure(f"{name} was deleted while it was read") from error
            async for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    @contextmanager
    def _store_failures(self) -> Iterator[None]:
        """Raise `StorageFailure` in place of the library's errors."""
        try:
            yield
        except (FileNotFoundError, exceptions.BaseError) as error:
            at = f" at {self._settings.endpoint}" if self._settings.endpoint else ""
            fault = _fault(error, CREDENTIALS[self._settings.kind])
            raise StorageFailure(f"the bucket {self._settings.bucket}{at} {fault}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """An object of the store as it was when it was looked up."""

    size: int
    etag: str
    modified: float
    chunks: Callable[[int, int], AsyncIterator[bytes]]

    def read(self, first: int, end: int) -> AsyncIterator[bytes]:
        return self.chunks(first, end)


def open_store(settings: StorageSettings) -> Store:
    """Return the library's handle; it connects when it is used. Raises `ConfigError`.

    Credentials come from the environment variables that each provider's own tools use.
    """
    if not settings.bucket:
        raise ConfigError.of(
            "storage.bucket", f"storage.kind is '{settings.kind}' and no bucket is named", "name one"
        )
    common: dict[str, Any] = {
        "client_options": {
            "allow_http": settings.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "timeout": timedelta(seconds=REQUEST_SECONDS),
        },
        "retry_config": {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
    }
    # the library accepts no None for an unset option
    if prefix := settings.prefix.strip("/"):
        common["prefix"] = prefix
    if settings.endpoint:
        common[ENDPOINT[settings.kind]] = settings.endpoint
    if settings.region and settings.kind == "s3":
        common["region"] = settings.region
    try:
        return STORES[settings.kind](settings.bucket, **common)
    except (exceptions.BaseError, ValueError, TypeError) as error:
        raise ConfigError.of(
            "storage", f"no store can be opened: {_cause(error)}", CREDENTIALS[settings.kind]
        ) from error


def _strong(etag: str) -> str:
    """Return a strong tag, also for a weak one of the store: the content under a name never changes."""
    return '"' + etag.removeprefix("W/").strip('"') + '"'


def _fault(error: Exception, credentials: str) -> str:
    match error:
        case exceptions.UnauthenticatedError() | exceptions.PermissionDeniedError():
            return f"refuses the credentials; {credentials}"
        case FileNotFoundError():
            return "does not exist; create it, or correct storage.bucket"
        case _ if any(address in str(error) for address in ROLES):
            return f"cannot be used without credentials; {credentials}"
    return f"cannot be used: {_cause(error)}"


def _cause(error: Exception) -> str:
    """Return the library's error without the parts for its developers."""
    # the cause follows two blanks and a dash, after the number of tries
    first = str(error).strip().partition("\n")[0].rpartition("  - ")[2]
    # the system's error is further down, in the representation of the library's own
    causes = re.findall(r'message: "([^"]+)"', str(error))
    cause = f"{first}: {causes[-1]}" if causes else first
    return cause if len(cause) <= MOST_QUOTED else f"{cause[:MOST_QUOTED]}…"
