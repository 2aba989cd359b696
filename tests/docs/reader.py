"""Run the commands of a document in order, in a separate folder."""

import asyncio
import re
import shutil
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import documents
import typed

import photos
from origin import Answer, Origin
from process import PATIENCE, environment, starter_at_work

#: commands that run until they are stopped, and the output that shows that they are ready
STAY = {"serve": "listening on", "receive": "listening on"}
RESIZER = re.compile(r"(?:^|\s)resizer (?:-\S+ )*(\w+)")
EXAMPLE_HOST = "https://www.example.com"
EXAMPLE_ID = "0b6e…"
HTTP = re.compile(r"^HTTP (\d{3})$", re.MULTILINE)
REQUEST = re.compile(r'"request_id": ?"([\w-]+)"|^request ([\w-]+):', re.MULTILINE)
STARTS_REQUEST = re.compile(r"/upload|resizer submit (?!--resume)")

#: commands of the service manager, whose part the reader takes
STOP, START = "systemctl stop resizer", "systemctl start resizer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """The outcome of a command."""

    code: int
    output: str
    #: standard error, including the status of each of curl's responses
    errors: str

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in HTTP.findall(self.errors)]


class Staying:
    """A command that runs until it is stopped."""

    def __init__(self, process: asyncio.subprocess.Process, awaited: str) -> None:
        self._process = process
        self._awaited = awaited
        self._ready = asyncio.Event()
        self.said: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.said.append(line.decode(errors="replace"))
            if self._awaited in self.said[-1]:
                self._ready.set()
        self._ready.set()

    async def ready(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._ready.wait()
        assert self._awaited in "".join(self.said), "".join(self.said)

    async def stop(self) -> int:
        """Stop it like Ctrl-C; returns its exit code."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            code = await self._process.wait()
            await self._reading
        return code

    async def end(self) -> None:
        """Stop it, and assert that it succeeded."""
        assert await self.stop() == 0, "".join(self.said)


class Reader:
    """Runs commands within `async with`, and stops those still running at its end."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        self._folder = folder
        self._origin = origin
        self._ports = {"8080": _free_port(), "8081": _free_port()}
        self._staying: dict[str, Staying] = {}
        self._request_id: str | None = None
        self._environment = environment(
            PATH=f"{folder / 'bin'}:/usr/bin:/bin",
            HOME=str(folder),
            TMPDIR=str(folder),
            RESIZER_SERVER__PORT=str(self._ports["8080"]),
            STARTER=str(starter_at_work().fileno()),
        )

    async def __aenter__(self) -> Self:
        programs = self._folder / "bin"
        programs.mkdir()
        python = sys.executable
        curl = shutil.which("curl")
        assert curl, "needs Debian's package curl"
        for name, line in {
            "python": f'exec "{python}" "$@"',
            "resizer": f'exec "{python}" -I -S "{typed.__file__}" "$@"',
            # the status is written to standard error
            "curl": f"exec {curl} -sS -w '%{{stderr}}HTTP %{{http_code}}\\n' \"$@\"",
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
            (programs / name).chmod(0o755)
        catalogue = next(block for block in self._readme().blocks() if block.language == "csv")
        text = catalogue.text.replace(EXAMPLE_HOST, self._origin.url("").rstrip("/"))
        (self._folder / "products.csv").write_text(text, encoding="utf-8")
        # the second is missing, as in the README
        self._origin.add("/1.jpg", Answer(body=photos.jpeg()))
        self._origin.add("/3.png", Answer(body=photos.png_with_alpha(), content_type="image/png"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._staying.values():
            if kind is None:
                await each.end()
            else:
                await each.stop()  # the error has been reported

    async def type(self, command: str) -> Done:
        """Run a command to its end, or until it is ready."""
        if command in (STOP, START):
            await self._manage(command)
            return Done(code=0, output="", errors="")
        if EXAMPLE_ID in command and self._request_id is None:
            await self.type("resizer submit products.csv --wait")
        if ":8080" in command or "resizer submit" in command:
            await self._serving()
        name = found[1] if (found := RESIZER.search(command)) else ""
        if name in STAY:
            said = await self._stay(name, command)
            return Done(code=0, output="".join(said), errors="")
        done = await self._run(command)
        if STARTS_REQUEST.search(command) and (found_id := REQUEST.search(done.output + done.errors)):
            self._request_id = found_id[1] or found_id[2]
        return done

    def saved(self, name: str) -> str:
        """Return the content of a file that a command wrote."""
        return (self._folder / name).read_text(encoding="utf-8")

    async def _serving(self) -> None:
        if "serve" not in self._staying:
            await self._stay("serve", "resizer serve")

    async def _manage(self, command: str) -> None:
        if command == START:
            await self._serving()
        elif server := self._staying.pop("serve", None):
            await server.end()

    async def _stay(self, name: str, command: str) -> list[str]:
        if earlier := self._staying.pop(name, None):
            await earlier.end()
        process = await self._shell(f"exec env {self._real(command)}", errors=asyncio.subprocess.STDOUT)
        self._staying[name] = staying = Staying(process, STAY[name])
        await staying.ready()
        return staying.said

    async def _run(self, command: str) -> Done:
        process = await self._shell(self._real(command), errors=asyncio.subprocess.PIPE)
        async with asyncio.timeout(PATIENCE):
            output, errors = await process.communicate()
        assert process.returncode is not None
        return Done(
            code=process.returncode,
            output=output.decode(errors="replace"),
            errors=errors.decode(errors="replace"),
        )

    async def _shell(self, command: str, *, errors: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            command,
            cwd=self._folder,
            env=self._environment,
            pass_fds=[starter_at_work().fileno()],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )

    def _real(self, command: str) -> str:
        """Replace example ports and ids with real ones."""
        for shown, port in self._ports.items():
            command = re.sub(rf"(:|--port ){shown}\b", rf"\g<1>{port}", command)
        return command.replace(EXAMPLE_ID, self._request_id or "")

    @staticmethod
    def _readme() -> documents.Document:
        return documents.read(documents.ROOT / "README.md")


def same_fields(shown: object, answered: object) -> bool:
    """Return whether an example has the fields of the response."""
    if isinstance(shown, dict) and isinstance(answered, dict):
        return shown.keys() == answered.keys() and all(
            same_fields(shown[name], answered[name]) for name in shown
        )
    if isinstance(shown, list) and isinstance(answered, list):
        return not shown or not answered or same_fields(shown[0], answered[0])
    return None in (shown, answered) or type(shown) is type(answered)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
