"""What a signal to the whole server does to the children of its pool."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVER = Path(__file__).with_name("server_to_kill.py")


@pytest.fixture
def server() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(SERVER)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        yield server
        server.kill()


def read_numbers(server: subprocess.Popen[str]) -> list[int]:
    assert server.stdout is not None
    return [int(word) for word in server.stdout.readline().split()]


def test_children_vanish_when_the_server_is_killed(server: subprocess.Popen[str]) -> None:
    watches = [os.pidfd_open(pid) for pid in read_numbers(server)]
    assert len(watches) == 2
    server.kill()
    for watch in watches:
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        assert poll.poll(60_000), "a child outlived its parent"
        os.close(watch)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_costs_no_child(
    server: subprocess.Popen[str], sign: signal.Signals
) -> None:
    pids = read_numbers(server)
    os.killpg(server.pid, sign)
    restarts, *answered = read_numbers(server)
    assert restarts == 0
    assert set(answered) <= set(pids)
    assert server.wait() == 0
