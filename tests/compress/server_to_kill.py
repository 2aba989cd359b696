"""A process with a pool, for tests that signal it: prints its children, then every answer."""

import asyncio
import os
import signal
import sys

from resizer.compress.pool import CompressPool
from resizer.config import CompressSettings


async def main() -> None:
    loop = asyncio.get_running_loop()
    signalled = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, signalled.set)
    loop.add_signal_handler(signal.SIGINT, signalled.set)
    async with CompressPool(CompressSettings(processes=2)) as pool:
        print(*pool.pids, flush=True)  # noqa: T201  the test reads it
        await signalled.wait()
        answers = await asyncio.gather(*(pool.run(os.getpid) for _ in range(8)))
        print(pool.restarts, *sorted(set(answers)), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
