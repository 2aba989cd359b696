"""Start `python -m resizer …` repeatedly, with its imports already loaded.

Imports take a second or two of CPU time at each start, and tests start a hundred commands. Each command is
still a separate process, forked from this one, which has no threads and no open files.
"""

import array
import atexit
import gc
import importlib
import json
import os
import resource
import runpy
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any, Never

from resizer.cli import COMMANDS

#: bytes of the length of an order, sent with three files: output, errors, and the pipe for its exit code
HEAD = 8


def take_orders(orders: socket.socket) -> list[str]:
    """Fork for each order; returns its arguments in the new process. Ends with its owner."""
    while True:
        head, files, _, _ = socket.recv_fds(orders, HEAD, 3)
        if not head:
            os._exit(0)
        order = json.loads(_exactly(orders, int.from_bytes(head, "big")))
        if not os.fork():
            orders.close()
            return _run(order, *files)
        for file in files:
            os.close(file)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _exactly(orders: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += orders.recv(size - len(data))
    return data


def _run(order: dict[str, Any], output: int, errors: int, told: int) -> list[str]:
    """Fork again; the parent reports the child's pid, then its exit code."""
    if pid := os.fork():
        for file in (output, errors):
            os.close(file)
        _tell(told, pid)
        _, status = os.waitpid(pid, 0)
        _tell(told, os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.close(told)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    for file in (output, errors):
        os.close(file)
    # shells make background processes ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if (files := order.get("files")) is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    return list(order["arguments"])


def _tell(told: int, number: int) -> None:
    os.write(told, array.array("i", [number]).tobytes())


def run_to_the_end() -> Never:
    """Exit like Python, without destroying objects, which would copy the forked memory."""
    try:
        runpy.run_module("resizer", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
        atexit._run_exitfuncs()  # noqa: SLF001
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(end.code or 0))
    raise AssertionError("the command line ends by itself")


#: modules that commands import on demand; none starts a thread, as numpy would
LATER = [
    "resizer.engine.celery.engine",
    "resizer.engine.celery.node",
    "resizer.storage.object_store",
    "kombu.transport.redis",
    "celery.backends.redis",
]

if __name__ == "__main__":
    for module in (*(f"resizer.cli.{command}" for command in COMMANDS), *LATER):
        importlib.import_module(module)
    gc.freeze()
    sys.argv[1:] = take_orders(socket.socket(fileno=int(sys.argv[1])))
    run_to_the_end()
