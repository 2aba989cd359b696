"""The program `resizer` for documented commands: has the starter of all tests' commands fork one.

It does the same as `process.Started`, which cannot be called from a shell.
"""

import array
import json
import os
import signal
import socket
import sys

#: variable with the descriptor of the starter's socket; bytes of an order's length
STARTER, HEAD = "STARTER", 8
NUMBER = array.array("i").itemsize  # bytes


def run() -> int:
    orders = socket.socket(fileno=int(os.environ[STARTER]))
    ours, its = os.pipe()
    order = {"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109
    data = json.dumps(order).encode()
    socket.send_fds(orders, [len(data).to_bytes(HEAD, "big")], [1, 2, its])
    orders.sendall(data)
    os.close(its)
    pid = _number(ours)
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _: os.kill(pid, number))
    code = _number(ours)
    return code if code >= 0 else 128 - code


def _number(pipe: int) -> int:
    return array.array("i", os.read(pipe, NUMBER))[0]


if __name__ == "__main__":
    sys.exit(run())
