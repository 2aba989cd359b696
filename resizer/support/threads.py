"""Start all threads for file access early, so that a later lack of threads holds up no file."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

#: asyncio's default
THREADS = min(32, (os.cpu_count() or 1) + 4)


def start_threads() -> None:
    """Start the threads in which this loop reads and writes files. Raises `RuntimeError` if it cannot."""
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="files")
    # each waits at the barrier, so that the next task starts another thread
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
