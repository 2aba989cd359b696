"""Keep compressed files in an object store: S3 and what is compatible, Google's, Azure's."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, S3Store

from resizer.config import StorageSettings
from resizer.errors import ConfigError, StorageFailure, disk_fault
from resizer.storage.base import CACHE_CONTROL, NAME, PAGE, content_type_of

logger = logging.getLogger(__name__)

Store = S3Store | GCSStore | AzureStore

#: by storage.kind: what is to be done where a store refuses
CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role that may write there",
    "gcs": "set GOOGLE_APPLICATION_CREDENTIALS to the key file of an account that may write there",
    "azure": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}

STORES: dict[str, Callable[..., Store]] = {"s3": S3Store, "gcs": GCSStore, "azure": AzureStore}
#: the library's name for an address other than the provider's own
ENDPOINT = {"s3": "endpoint", "gcs": "base_url", "azure": "endpoint"}
#: asked for the role of a machine where no credentials are set; on machines of others nothing answers there
ROLES = ("169.254.169.254", "metadata.google.internal")

#: bytes that one piece of a file has at least, unless it is the last
PIECE = 256 * 1024
#: written again and again to see whether the store takes something
PROBE = "probe"
#: further tries of one operation after a passing fault, and seconds for all of them
RETRIES = 5
RETRY_SECONDS = 20
CONNECT_SECONDS = 5
#: seconds for one try
REQUEST_SECONDS = 30
#: what a store answers that has no such operation
NOT_IMPLEMENTED = "501 Not Implemented"
#: of the store's own account of a fault, in characters
MOST_TOLD = 200


class ObjectStorage:
    """Objects in `storage.bucket` below `storage.prefix`; drafts stand in a folder of this machine.

    The store takes a file whole or not at all. Entering raises `ConfigError` where the settings name none.
    """

    #: nobody can look at the files without asking the store
    folder = None

    def __init__(self, settings: StorageSettings, *, drafts: Path) -> None:
        self._settings = settings
        self._drafts = drafts
        self._store = open_store(settings)
        self._first_look: asyncio.Task[None] | None = None
        #: some stores compatible with S3 cannot put only if absent: there it is looked at first
        self._puts_if_absent = True

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self._drafts.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError.of(
                "data_dir",
                f"the folder {self._drafts} cannot be used: {disk_fault(error, self._drafts)}",
                "name a folder that can be created and written to",
            ) from error
        self._first_look = asyncio.create_task(self._look())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # all there is to close: the library sees to its connections itself
        if self._first_look is not None:
            self._first_look.cancel()
            await asyncio.gather(self._first_look, return_exceptions=True)

    async def _look(self) -> None:
        """Tell early of a store that cannot be used; it may be put right while the service runs."""
        try:
            await self.check()
        except StorageFailure as error:
            logger.error("%s", error)  # noqa: TRY400 - the message says it all

    async def identity(self) -> str:
        # endpoint and region may differ from machine to machine
        return "/".join((self._settings.kind, self._settings.bucket, self._settings.prefix.strip("/")))

    def draft(self) -> Path:
        return self._drafts / f"{uuid4().hex}.draft"

    async def put(self, draft: Path, name: str) -> None:
        try:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a compressed file")
            with self._disk_faults():
                # the whole way in one thread: a file opened there for who is cancelled would stay open
                content = await asyncio.to_thread(draft.read_bytes)
            with self._faults():
                await self._put_if_absent(name, content)
        finally:
            # not awaited, so that a cancellation cannot come between
            draft.unlink(missing_ok=True)  # noqa: ASYNC240

    async def check(self) -> None:
        with self._faults():
            await obstore.put_async(self._store, PROBE, b"resizer", use_multipart=False)

    async def find(self, name: str) -> "RemoteFile | None":
        if not NAME.fullmatch(name):
            return None
        with self._faults():
            try:
                found = await obstore.head_async(self._store, name)
            except FileNotFoundError:
                return None
        return RemoteFile(
            size=found["size"],
            etag=_strong(found["e_tag"] or name),
            modified=found["last_modified"].timestamp(),
            pieces=lambda first, end: self._pieces(name, first, end),
        )

    @asynccontextmanager
    async def on_disk(self, name: str) -> AsyncIterator[Path | None]:
        found = await self.find(name)
        if found is None:
            yield None
            return
        copy = self.draft()
        try:
            with self._disk_faults(), copy.open("wb") as file:
                async for piece in found.read(0, found.size):
                    await asyncio.to_thread(file.write, piece)
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    async def delete(self, name: str) -> None:
        if not NAME.fullmatch(name):
            return
        with self._faults():
            try:
                await obstore.delete_async(self._store, name)
            except FileNotFoundError:
                return  # stores other than S3 say so

    async def files(self) -> AsyncGenerator[dict[str, float], None]:
        with self._faults():
            async for page in obstore.list(self._store, chunk_size=PAGE):
                yield {
                    each["path"]: each["last_modified"].timestamp()
                    for each in page
                    if NAME.fullmatch(each["path"])
                }

    async def sweep(self) -> None:
        """Do nothing: drafts lie in the spool, which each start empties."""

    async def _put_if_absent(self, name: str, content: bytes) -> None:
        attributes = {
            "Content-Type": content_type_of(name),
            # for those who are sent to the store itself
            "Cache-Control": CACHE_CONTROL,
        }
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
            logger.debug("%s is there already", name)
        except exceptions.BaseError as error:
            if not self._puts_if_absent or NOT_IMPLEMENTED not in str(error):
                raise
            logger.info("the store cannot put only if absent; it is asked before each put")
            self._puts_if_absent = False
            await self._put_if_absent(name, content)

    async def _pieces(self, name: str, first: int, end: int) -> AsyncIterator[bytes]:
        if first >= end:
            return
        with self._faults():
            try:
                found = await obstore.get_async(self._store, name, options={"range": (first, end)})
            except FileNotFoundError as error:
                raise StorageFailure(f"{name} was deleted meanwhile") from error
            async for piece in found.stream(min_chunk_size=PIECE):
                yield bytes(piece)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Tell what the store's library raises as a failure of the storage."""
        try:
            yield
        except (exceptions.UnauthenticatedError, exceptions.PermissionDeniedError) as error:
            raise StorageFailure(
                f"{self._where} refuses the credentials; {CREDENTIALS[self._settings.kind]}"
            ) from error
        except FileNotFoundError as error:
            raise StorageFailure(f"{self._where} is not there; create it, or mend storage.bucket") from error
        except exceptions.BaseError as error:
            if any(address in str(error) for address in ROLES):
                raise StorageFailure(
                    f"{self._where} cannot be used without credentials; {CREDENTIALS[self._settings.kind]}"
                ) from error
            raise StorageFailure(f"{self._where} cannot be used: {_told(error)}") from error

    @contextmanager
    def _disk_faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageFailure(disk_fault(error, self._drafts)) from error

    @property
    def _where(self) -> str:
        at = f" at {self._settings.endpoint}" if self._settings.endpoint else ""
        return f"the bucket {self._settings.bucket}{at}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """An object of the store as it was when it was looked at."""

    size: int
    etag: str
    modified: float
    pieces: Callable[[int, int], AsyncIterator[bytes]]

    def read(self, first: int, end: int) -> AsyncIterator[bytes]:
        return self.pieces(first, end)


def open_store(settings: StorageSettings) -> Store:
    """Return the library's handle; nobody is asked yet. Raises `ConfigError`.

    Credentials are taken from the environment, by the names that each provider's own tools use.
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
    # the library takes no None for what is not set
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
            "storage", f"no store can be opened: {_told(error)}", CREDENTIALS[settings.kind]
        ) from error


def _strong(etag: str) -> str:
    """Return a strong tag, whatever the store says of its own: what is under a name of ours never changes."""
    return '"' + etag.removeprefix("W/").strip('"') + '"'


def _told(error: Exception) -> str:
    """Return the library's account of a fault without what only its makers can read."""
    # after two blanks and a dash stands what is wrong, before it how often it was tried
    first = str(error).strip().partition("\n")[0].rpartition("  - ")[2]
    # what the system said stands further down, among the makers' own
    causes = re.findall(r'message: "([^"]+)"', str(error))
    told = f"{first}: {causes[-1]}" if causes else first
    return told if len(told) <= MOST_TOLD else f"{told[:MOST_TOLD]}…"
