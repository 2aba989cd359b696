"""Operations at random and `kill -9` at random moments, all of it by one seed."""

import asyncio
import os
import signal
import sqlite3
import time
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from random import Random

import aiohttp
from customer import Customer
from listener import Listener
from memory import Memory
from remains import check_no_file_without_row, check_remains, check_sound
from settling import reading, settle
from shop import Shop

from kin import descendants
from origin import Origin
from process import Process, ran, server
from resizer.support.failpoints import EXIT_CODE, VARIABLE, Point
from service import SECRET

#: days after which requests go; those that are to go have their end put back by twice as much
RETENTION = 5
DAY = 24 * 3600  # seconds
ACTORS = 6
#: seconds of a server's life
LIFE = (0.05, 1.5)
#: how a server ends: by a signal to itself, or to its children too
ENDS = ["everything", "everything", "everything", "server", "SIGTERM"]
#: where it ends by itself; mostly between a file's name and its row, where most is left behind
POINTS = [*Point, *[Point.RENAMED] * 4]
LINES = 400  # of the log that are shown


class Storm:
    """One data folder, and what happens to it; `run` raises where something is not as it must be."""

    def __init__(self, seed: int, folder: Path, *, rounds: int, lives: int) -> None:
        self.seed = seed
        self.folder = folder
        self.data = folder / "data"
        self.rounds = rounds
        self.lives = lives
        self.moments = Random(f"{seed} lives")
        self.operations = self.kills = 0
        self._over = False

    async def run(self) -> str:
        """Go through all rounds; returns what was done."""
        shared = Random(f"{self.seed} receivers")
        async with Origin() as origin, Listener(shared) as listener, aiohttp.ClientSession() as session:
            self.customer = Customer(Shop(origin), listener, Memory(), session)
            self.variables = self._variables(listener)
            try:
                for number in range(self.rounds):
                    self.customer.say(f"round {number}")
                    await self._round(number)
                await self._settled()
                code, output, log = await ran("check", "--data-dir", self.data)
                assert (code, output.strip()) == (0, "sound"), log
            except BaseException as error:
                error.add_note("\n".join(self.customer.log[-LINES:]))
                error.add_note(f"again: SEEDS={self.seed} pytest -m soak tests/random_operations")
                raise
        with reading(self.data) as connection:
            images = dict([*connection.execute("SELECT status, count(*) FROM images GROUP BY status")])
        uploads = len(self.customer.memory.uploads)
        return f"{self.operations} operations, {uploads} uploads, {self.kills} kills, {images} images left"

    def _variables(self, listener: Listener) -> dict[str, str]:
        return {
            "RESIZER_WEBHOOK__SECRET": SECRET,
            "RESIZER_WEBHOOK__URL": self.moments.choice(["", listener.url("all")]),
            "RESIZER_WEBHOOK__SCHEDULE": "[0, 0.05, 0.05, 0.1, 0.1]",
            "RESIZER_RETENTION__DAYS": str(RETENTION),
            "RESIZER_FETCH__RETRIES": "0",
            "RESIZER_FETCH__TIMEOUT": "2",
            "RESIZER_FETCH__PER_HOST": self.moments.choice(["2", "8"]),
            "RESIZER_QUEUE__WORKERS": self.moments.choice(["2", "8"]),
            "RESIZER_QUEUE__SHUTDOWN_GRACE": "0",
            "RESIZER_COMPRESS__PROCESSES": self.moments.choice(["1", "2"]),
        }

    async def _round(self, round_number: int) -> None:
        """Operate through some lives of the server, then let all come to rest and look at what there is."""
        self._over = False
        async with AsyncExitStack() as stack:
            async with asyncio.TaskGroup() as group:
                for number in range(ACTORS):
                    group.create_task(self._act(Random(f"{self.seed} actor {number} round {round_number}")))
                backups = group.create_task(self._back_up())
                for _ in range(self.lives):
                    await self._live(stack)
                self._over = True
                self.customer.up.set()
            await self._settled()
        await self._check_backup(*backups.result())
        self._expire_some()

    async def _act(self, moments: Random) -> None:
        while True:
            await self.customer.up.wait()
            if self._over:
                return
            await self.customer.operate(moments)
            self.operations += 1

    async def _live(self, stack: AsyncExitStack) -> None:
        """Let a server be up for a while, and end it; `stack` waits for what it leaves behind."""
        armed = {}
        fixes = self.moments.random() < 0.15
        if not fixes and self.moments.random() < 0.6:
            armed[VARIABLE] = f"{self.moments.choice(POINTS)}:{self.moments.randint(1, 5)}"
        life, end = self.moments.uniform(*LIFE), self.moments.choice(ENDS)
        if self.moments.random() < 0.5:
            self._age_files()
        process = await stack.enter_async_context(server(self.data, **self.variables, **armed))
        try:
            self.customer.url = await process.url()
        except AssertionError:
            assert await process.process.wait() == EXIT_CODE, "\n".join(process.log)
            self.customer.say(f"server ended at {armed}, before it listened")
            return
        self.customer.say(f"server is up, pid {process.process.pid}, {armed}")
        self.customer.begin()
        if fixes:
            await self._fix()  # some files are about to be named
        child_killed = await self._live_on(process, life)
        self.customer.up.clear()
        end = "failpoint" if process.process.returncode is not None else end
        self.customer.say(f"server ends by {end}")
        _end(process, end)
        # not for its children, which end a little later: the next one starts beside them
        code = await process.process.wait()
        self.customer.down.set()
        assert code in {EXIT_CODE if armed else 0, 0, -signal.SIGKILL}, "\n".join(process.log)
        self.kills += end != "SIGTERM"
        if not child_killed:  # it may be the one that starts others, and then the log tells why none can be
            stack.callback(_check_log, process)

    async def _live_on(self, process: Process, life: float) -> bool:
        """Wait until a server has ended by itself, or `life` seconds; returns whether a child was killed."""
        child_killed = False
        with suppress(TimeoutError):
            async with asyncio.timeout(life):
                if self.moments.random() < 0.3:
                    await asyncio.sleep(life * self.moments.random())
                    for child in descendants(process.process.pid)[-1:]:
                        self.customer.say("a child is killed")
                        _kill(child)
                        child_killed = True
                await process.process.wait()
        return child_killed

    async def _back_up(self) -> tuple[Path, set[str]]:
        """Copy the database amid all that; returns the copy and the requests that must be in it."""
        await self.customer.up.wait()
        target = self.folder / f"{self.operations}.backup"
        return target, {*await self.customer.back_up(self.data, target)}

    async def _settled(self) -> None:
        self._age_files()  # so that the server's own look at start finds what no row names
        if self.moments.random() < 0.3:
            await self._fix()
        async with server(self.data, **self.variables) as process:
            self.customer.url = await process.url()
            self.customer.say("settling")
            self.customer.down.clear()
            await settle(self.customer, self.data)
            process.signal(signal.SIGTERM)
            assert (await process.ended())[0] == 0, "\n".join(process.log)
            _check_log(process)
        self.customer.up.clear()
        self.customer.down.set()
        check_no_file_without_row(self.data)
        check_remains(self.customer, self.data, webhook_url=self.variables["RESIZER_WEBHOOK__URL"])

    async def _fix(self) -> None:
        """Have what no row names removed at once, whether a server runs or not."""
        self.customer.say("check --fix")
        code, output, log = await ran("check", "--fix", "--data-dir", self.data)
        self.customer.say(f"check --fix -> {code}")
        assert (code, output.strip()) == (0, "sound"), log

    async def _check_backup(self, copy: Path, wanted: set[str]) -> None:
        """Put the copy in the place of nothing: it is sound, and has what had been accepted before it."""
        folder = copy.with_suffix(".restored")
        code, _, log = await ran("restore", copy, "--data-dir", folder)
        assert code == 0, log
        check_sound(folder / "resizer.db")
        with closing(sqlite3.connect(folder / "resizer.db")) as connection:
            there = {request_id for (request_id,) in connection.execute("SELECT request_id FROM batches")}
        assert wanted <= there, f"not in the backup: {wanted - there}"

    def _age_files(self) -> None:
        """Make every file older than any grace, while nobody uses them."""
        long_ago = time.time() - 2 * DAY
        for path in [*self.data.glob("compressed/*"), *self.data.glob("spool/*")]:
            with suppress(FileNotFoundError):
                os.utime(path, (long_ago, long_ago))

    def _expire_some(self) -> None:
        """Let it be long ago that some requests ended: the next start forgets them."""
        with closing(sqlite3.connect(self.data / "resizer.db")) as connection, connection:
            for request_id, upload in [*self.customer.memory.living()]:
                if self.moments.random() < 0.3:
                    upload.expired = True
                    connection.execute(
                        "UPDATE batches SET finished_at = finished_at - ? WHERE request_id = ?",
                        (2 * RETENTION * DAY, request_id),
                    )
                    self.customer.say(f"#{upload.number} expires")


def _check_log(process: Process) -> None:
    log = "\n".join(process.log)
    assert "Traceback" not in log, log


def _end(process: Process, how: str) -> None:
    if how == "SIGTERM":
        process.signal(signal.SIGTERM)
        return
    children = descendants(process.process.pid) if how == "everything" else []
    process.signal(signal.SIGKILL)
    for child in children:
        _kill(child)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
