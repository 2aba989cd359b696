"""The service as a process of its own, as users run it."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

LISTENING = re.compile(r"listening on (http://\S+)")
#: seconds; nothing here takes as long on any machine
PATIENCE = 60


def environment(**variables: str) -> dict[str, str]:
    """The environment without a resizer's settings, and with leave to fetch from this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RESIZER_")}
    return {
        **kept,
        "RESIZER_FETCH__ALLOW_NETWORKS": "127.0.0.0/8",
        "RESIZER_WEBHOOK__ALLOW_NETWORKS": "127.0.0.0/8",
        "RESIZER_FETCH__RETRIES": "1",
        **variables,
    }


class Process:
    """`python -m resizer …` from `async with` to its end; what it logs is read all the time."""

    def __init__(self, *arguments: str | Path, variables: Mapping[str, str] | None = None) -> None:
        self._arguments = [str(each) for each in arguments]
        self._variables = variables or {}
        self.log: list[str] = []
        self._told = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "resizer",
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(**self._variables),
        )
        assert self.process.stderr is not None
        self._reading = asyncio.create_task(self._read(self.process.stderr))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
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

    async def url(self) -> str:
        return (await self.said(LISTENING))[1]

    async def ended(self) -> tuple[int, str]:
        """Wait for the end; returns the exit code and what stands on standard output."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            output = await self.process.stdout.read()
            code = await self.process.wait()
            await self._reading
        return code, output.decode()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


def server(folder: Path, **variables: str) -> Process:
    return Process("serve", "--port", "0", "--data-dir", folder, variables=variables)


async def get_json(session: aiohttp.ClientSession, url: str, **headers: str) -> dict[str, Any]:
    async with session.get(url, headers=headers) as response:
        text = await response.text()
        assert response.status == 200, text
        body: dict[str, Any] = json.loads(text)
        return body
