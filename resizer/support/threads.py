"""Threads that run before they are needed, so that a lack of them later holds up no file."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

#: as many as asyncio's own
THREADS = min(32, (os.cpu_count() or 1) + 4)


def start_threads() -> None:
    """Start all threads in which this loop reads and writes files. Raises `RuntimeError` where it cannot."""
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="files")
    # one that waits is not given another task, for which another thread is started
    together = threading.Barrier(THREADS + 1)
    try:
        for _ in range(THREADS):
            executor.submit(together.wait)
        together.wait()
    except RuntimeError:
        together.abort()
        executor.shutdown()
        raise
    asyncio.get_running_loop().set_default_executor(executor)
