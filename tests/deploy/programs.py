"""The programs that the files in deploy/ are written for, as the test's own processes."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
#: seconds; nothing here takes as long on any machine
PATIENCE = 90


def program(name: str, *, package: str) -> str:
    """Return where a program is; without it the test is left out."""
    # those of administrators are not on everyone's path
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"no {name} here: apt-get install {package}")
    return found


def output_of(*command: str | Path, **variables: str) -> str:
    """Run a program to its end, which must be a good one; returns all it says."""
    ended = subprocess.run(
        [str(each) for each in command],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, f"{command[0]} ended with {ended.returncode}:\n{ended.stdout}"
    return ended.stdout


class Running:
    """A program from `async with` to its end; what it says is read all the time."""

    def __init__(self, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        self._command = [str(each) for each in command]
        self._env = env
        self.log: list[str] = []
        self._told = asyncio.Condition()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        # programs with children of their own take them along when they are asked to end
        await self.end()

    async def end(self) -> int:
        """Ask it to end; returns its exit code."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading
        assert self._process.returncode is not None
        return self._process.returncode

    async def ended(self) -> int:
        """Wait until it has ended by itself; returns its exit code."""
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    async def said(self, pattern: str) -> re.Match[str]:
        """Wait for a line."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.log if (match := re.search(pattern, line))), None)

        async with asyncio.timeout(PATIENCE), self._told:
            await self._told.wait_for(lambda: found() or "(end)" in self.log)
        match = found()
        assert match is not None, "\n".join(self.log)
        return match

    async def listens(self, port: int) -> None:
        """Wait until it takes connections."""
        async with asyncio.timeout(PATIENCE):
            while True:
                assert self._process.returncode is None, "\n".join(self.log)
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            await self._tell(line.decode(errors="replace").rstrip())
        await self._tell("(end)")

    async def _tell(self, line: str) -> None:
        async with self._told:
            self.log.append(line)
            self._told.notify_all()
