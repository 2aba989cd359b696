"""Resolve host names by the system, in threads that delay nothing else."""

import _thread
import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

LOOKUPS = 64  # concurrent, each in a thread; further ones wait, also behind lookups that hang
THREAD_BEGINS = 5.0  # seconds in which a thread has begun, unless there was no memory for it

#: as returned by `socket.getaddrinfo`
Addresses = Sequence[tuple[int, int, int, str, tuple[Any, ...]]]


class Resolver(AbstractResolver):
    """Looks up host names in daemon threads.

    A lookup that hangs delays neither file access, which has its own threads, nor the end of the process,
    as the threads of an executor would.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        await self._free.acquire()
        lookup = _Lookup(partial(_getaddrinfo, host, port, family), on_end=self._free.release)
        try:
            found = await lookup.result
        except UnicodeError as error:  # a label that IDNA cannot encode
            raise socket.gaierror(socket.EAI_NONAME, "no host name") from error
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Do nothing: hanging lookups cannot be interrupted."""


class _Lookup:
    """A call in a thread of its own; `on_end` is called when the thread has ended."""

    def __init__(self, call: Callable[[], Addresses], *, on_end: Callable[[], None]) -> None:
        self._call = call
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Addresses] = self._loop.create_future()
        self._has_begun = self._has_ended = False
        self._timer = self._loop.call_later(THREAD_BEGINS, self._check)
        try:
            # Thread.start would wait, and block the loop, for a thread that dies of too little memory
            _thread.start_new_thread(self._run, ())
        except RuntimeError as error:
            self._end([], OSError(errno.EAGAIN, str(error)))

    def _run(self) -> None:
        self._has_begun = True
        found: Addresses = []
        failure = None
        try:
            found = self._call()
        except Exception as error:  # noqa: BLE001 - raised to the caller
            failure = error
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._end, found, failure)

    def _check(self) -> None:
        if not self._has_begun:
            self._end([], OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)))

    def _end(self, found: Addresses, error: Exception | None) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self._timer.cancel()
        self._on_end()
        if self.result.done():  # the caller was cancelled
            return
        if error is None:
            self.result.set_result(found)
        else:
            self.result.set_exception(error)


def _getaddrinfo(host: str, port: int, family: socket.AddressFamily) -> Addresses:
    try:
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
    except OSError:
        # without a free descriptor every name looks unknown: then this raises the shortage
        os.close(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
        raise
