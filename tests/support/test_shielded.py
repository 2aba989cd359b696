import asyncio

import pytest

from resizer.support.shielded import shielded


async def test_what_comes_is_returned_and_raised() -> None:
    assert await shielded(asyncio.sleep(0, "there")) == "there"
    with pytest.raises(ZeroDivisionError):
        await shielded(_failing(asyncio.Event(), let=True))


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fails", [False, True])
async def test_who_is_cancelled_hears_of_it_when_the_other_has_ended(fails: bool, times: int) -> None:
    gate = asyncio.Event()
    waited = asyncio.ensure_future(_failing(gate) if fails else gate.wait())
    waiting = asyncio.create_task(shielded(waited))
    for _ in range(times):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert waited.done()
    assert not waited.cancelled()


async def _failing(gate: asyncio.Event, *, let: bool = False) -> None:
    if not let:
        await gate.wait()
    raise ZeroDivisionError
