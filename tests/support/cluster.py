"""A real Redis on loopback, and workers of the distributed engine in their own processes."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from process import PATIENCE, Process
from s3 import free_port

READY = "takes images"


class Redis:
    """A Redis server that can be killed and restarted; with `durable` it keeps its data."""

    def __init__(self, folder: Path, *, durable: bool = False, options: tuple[str, ...] = ()) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("no Redis here: apt-get install redis-server")
        self.port = free_port()
        self._folder = folder
        self._keeping = (
            ("--appendonly", "yes", "--appendfsync", "always") if durable else ("--appendonly", "no")
        )
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            "redis-server",
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
            *("--save", "", *self._keeping, *self._options),
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(PATIENCE), self.client() as client:
            while True:
                ended = self._process.returncode
                assert ended is None, f"redis-server ended with {ended}: is port {self.port} taken?"
                try:
                    await client.ping()
                except (redis.exceptions.RedisError, OSError):
                    await asyncio.sleep(0.05)
                else:
                    return

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it from answering, with all connections open, like a host that has disappeared."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.asyncio.Redis:
        return redis.asyncio.Redis.from_url(self.url, decode_responses=True)


class Cluster:
    """A broker and its workers; the test runs the server."""

    def __init__(self, broker: Redis, folder: Path, variables: dict[str, str]) -> None:
        self.broker = broker
        self.folder = folder
        self._variables = variables
        self._stack = AsyncExitStack()
        self.workers: list[Process] = []

    @property
    def engine(self) -> dict[str, Any]:
        """Return the section of the server's configuration."""
        return {"kind": "celery", "broker_url": self.broker.url}

    async def start_worker(self) -> Process:
        """Start a worker; it accepts images when this returns."""
        worker = await self.begin_worker()
        await worker.said(READY)
        return worker

    async def begin_worker(self) -> Process:
        worker = Process("worker", "--data-dir", self.folder, variables=self.variables)
        self.workers.append(await self._stack.enter_async_context(worker))
        return worker

    @property
    def variables(self) -> dict[str, str]:
        return {
            "RESIZER_ENGINE__KIND": "celery",
            "RESIZER_ENGINE__BROKER_URL": self.broker.url,
            "RESIZER_FETCH__TIMEOUT": "60",
            "RESIZER_FETCH__CONNECT_TIMEOUT": "30",
            "RESIZER_FETCH__RETRIES": "0",
            **self._variables,
        }

    async def kill(self, worker: Process) -> None:
        worker.signal(signal.SIGKILL)
        await worker.ended()
        self.workers.remove(worker)

    async def aclose(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def cluster(
    folder: Path, *, workers: int = 1, durable: bool = False, **variables: str
) -> AsyncIterator[Cluster]:
    """Start a broker and workers that share the data folder's storage with the server."""
    broker = Redis(folder.with_name(f"{folder.name}-redis"), durable=durable)
    await broker.start()
    running = Cluster(broker, folder, variables)
    try:
        begun = [await running.begin_worker() for _ in range(workers)]
        for worker in begun:
            await worker.said(READY)
        yield running
    finally:
        await running.aclose()
        await broker.kill()
