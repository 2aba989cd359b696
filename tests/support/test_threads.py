import asyncio
import threading
from typing import Any

import pytest

from resizer.support.threads import THREADS, start_threads


def _refuse(*_: Any, **__: Any) -> None:
    raise RuntimeError("can't start new thread")


async def test_files_need_no_further_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    start_threads()
    together = threading.Barrier(THREADS, timeout=30)
    with monkeypatch.context() as lacking:
        lacking.setattr("threading.Thread.start", _refuse)
        for _ in range(3):
            await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(THREADS)))


async def test_start_without_enough_threads_fails_and_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    system = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if threading.active_count() > before + 1:
            _refuse()
        system(thread)

    monkeypatch.setattr("threading.Thread.start", start)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        start_threads()
    assert threading.active_count() == before
