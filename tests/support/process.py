"""The service in its own process, as users run it."""

import array
import asyncio
import atexit
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

import starter

LISTENING = re.compile(r"listening on (http://\S+)")
#: seconds; longer than anything takes on any machine
PATIENCE = 90
NUMBER = array.array("i").itemsize  # bytes


def environment(**variables: str) -> dict[str, str]:
    """Return the environment without resizer's settings, with loopback allowed and a small pool."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RESIZER_")}
    return {
        **kept,
        "RESIZER_FETCH__ALLOW_NETWORKS": "127.0.0.0/8",
        "RESIZER_WEBHOOK__ALLOW_NETWORKS": "127.0.0.0/8",
        "RESIZER_FETCH__RETRIES": "1",
        "RESIZER_COMPRESS__PROCESSES": "1",
        **variables,
    }


@functools.cache
def starter_at_work() -> socket.socket:
    """Start the process that forks commands; returns its socket. It ends with this process."""
    ours, its = socket.socketpair()
    with its:
        working = subprocess.Popen(
            [sys.executable, starter.__file__, str(its.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
        )

    def end() -> None:
        ours.close()
        working.wait()

    atexit.register(end)
    return ours


class Started:
    """A started command."""

    def __init__(self, pid: int, ends: asyncio.StreamReader, output: asyncio.StreamReader) -> None:
        self.pid = pid
        self.output = output
        self.returncode: int | None = None
        self._ends = ends

    @classmethod
    async def command(
        cls, *arguments: str, env: Mapping[str, str], files: int | None = None
    ) -> tuple[Self, asyncio.StreamReader]:
        """Start `python -m resizer` with these arguments; returns it and its standard error."""
        pipes = [os.pipe() for _ in range(3)]
        order = {"arguments": arguments, "environment": dict(env), "folder": str(Path.cwd()), "files": files}
        data = json.dumps(order).encode()
        orders = starter_at_work()
        socket.send_fds(orders, [len(data).to_bytes(starter.HEAD, "big")], [its for _, its in pipes])
        orders.sendall(data)
        for _, its in pipes:
            os.close(its)
        output, errors, ends = [await _reader(ours) for ours, _ in pipes]
        return cls(await _number(ends), ends, output), errors

    async def wait(self) -> int:
        if self.returncode is None:
            self.returncode = await _number(self._ends)
            await self._ends.read()  # closed
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):  # it has ended already
                os.kill(self.pid, number)


async def _reader(file: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(file, "rb")
    )
    return reader


async def _number(told: asyncio.StreamReader) -> int:
    return array.array("i", await told.readexactly(NUMBER))[0]


class Process:
    """`python -m resizer …` within `async with`; its log is read continuously."""

    def __init__(
        self, *arguments: str | Path, variables: Mapping[str, str] | None = None, files: int | None = None
    ) -> None:
        """Set the command; `files` limits its open files."""
        self._files = files
        self._arguments = [str(each) for each in arguments]
        # numpy would start unused threads in each process
        self._variables = {"OPENBLAS_NUM_THREADS": "1", **(variables or {})}
        self.log: list[str] = []
        self._told = asyncio.Condition()

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(PATIENCE):
            self.process, errors = await Started.command(
                *self._arguments, env=environment(**self._variables), files=self._files
            )
        self._reading = asyncio.create_task(self._read(errors))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.signal(signal.SIGKILL)
        await self.ended()

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            async with self._told:
                self.log.append(line.decode(errors="replace").rstrip())
                self._told.notify_all()
        async with self._told:
            self.log.append("(end)")
            self._told.notify_all()

    async def said(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """Wait for a log line."""
        expression = re.compile(pattern)

        def found() -> re.Match[str] | None:
            return next((match for line in self.log if (match := expression.search(line))), None)

        async with asyncio.timeout(PATIENCE), self._told:
            await self._told.wait_for(lambda: found() or "(end)" in self.log)
        match = found()
        assert match is not None, "\n".join(self.log)
        return match

    async def printed(self, pattern: str) -> re.Match[str]:
        """Wait for a line on standard output; `ended` returns the rest."""
        async with asyncio.timeout(PATIENCE):
            while line := await self.process.output.readline():
                if match := re.search(pattern, line.decode()):
                    return match
        raise AssertionError("\n".join(self.log))

    async def url(self) -> str:
        return (await self.said(LISTENING))[1]

    async def ended(self) -> tuple[int, str]:
        """Wait for the end; returns the exit code and the standard output."""
        async with asyncio.timeout(PATIENCE):
            output = await self.process.output.read()
            code = await self.process.wait()
            await self._reading
        return code, output.decode()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


async def ran(*arguments: str | Path, **variables: str) -> tuple[int, str, str]:
    """Run a command; returns its exit code, standard output and standard error."""
    async with Process(*arguments, variables=variables) as process:
        code, output = await process.ended()
    return code, output, "\n".join(process.log)


def server(folder: Path, **variables: str) -> Process:
    return Process("serve", "--port", "0", "--data-dir", folder, variables=variables)


async def get_json(session: aiohttp.ClientSession, url: str, **headers: str) -> dict[str, Any]:
    async with session.get(url, headers=headers) as response:
        text = await response.text()
        assert response.status == 200, text
        body: dict[str, Any] = json.loads(text)
        return body
