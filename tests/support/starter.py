"""Starts `python -m resizer …` as often as it is asked, with what it imports already there.

Most of a start is imports, a second or two of CPU time, and tests start it a hundred times. Each command is
a process of its own nevertheless, forked from this one, which has no thread and has opened nothing.
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

#: bytes of an order's length, which come with the files: output, errors, and where its end is told
HEAD = 8


def take_orders(orders: socket.socket) -> list[str]:
    """Fork for each order; returns its arguments in the process that is to run it. Ends with its owner."""
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
    """Fork once more, and tell in what is left behind: the process, then how it ended."""
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
    # a shell has what it starts in the background ignore it
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
    """End as Python does, but for taking every object apart: that would copy the memory of the fork."""
    try:
        runpy.run_module("resizer", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
        atexit._run_exitfuncs()  # noqa: SLF001
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(end.code or 0))
    raise AssertionError("the command line ends by itself")


#: what commands import when they want it; none of it starts a thread, as numpy would
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
