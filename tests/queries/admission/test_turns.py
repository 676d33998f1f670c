"""Turns: no account waits for all requests of another one."""

import asyncio

import pytest

from commands.errors import BusyError, ThrottledError
from queries.admission import turns
from queries.admission.turns import Turns


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


class TurnQueue:
    """Turns, and the accounts in the order in which they got one."""

    def __init__(self, **options):
        self.turns = Turns("filters", **{"running": 1, "waiting": 100} | options)
        self.got, self.done = [], asyncio.Event()

    def request(self, account):
        return asyncio.create_task(self._request(account))

    async def _request(self, account):
        async with self.turns.of(account):
            self.got.append(account)
            await self.done.wait()


async def test_accounts_take_turns():
    queue = TurnQueue()
    requests = [queue.request(account) for account in "aaaaabbc"]
    await settled()
    queue.done.set()
    await asyncio.gather(*requests)
    assert "".join(queue.got) == "aabcabaa"


async def test_concurrent_turns_are_bounded():
    queue = TurnQueue(running=3)
    requests = [queue.request("a") for _ in range(5)]
    await settled()
    assert len(queue.got) == 3
    queue.done.set()
    await asyncio.gather(*requests)
    assert queue.turns._free == 3


async def test_a_full_queue_refuses_only_its_account():
    queue = TurnQueue(waiting=2)
    requests = [queue.request("a") for _ in range(3)]
    await settled()
    with pytest.raises(ThrottledError):
        await queue.request("a")
    requests.append(queue.request("b"))
    await settled()
    queue.done.set()
    await asyncio.gather(*requests)


async def test_a_cancelled_request_takes_no_turn():
    """It is still waiting, or has just been given its turn."""
    queue = TurnQueue()
    first, *others = [queue.request(account) for account in "abcd"]
    await settled()
    others[1].cancel()
    first.cancel()  # passes its turn to b, which is cancelled at the same moment
    await asyncio.sleep(0)
    others[0].cancel()
    await settled()
    queue.done.set()
    await asyncio.gather(*others, first, return_exceptions=True)
    assert queue.got == ["a", "d"]
    assert (queue.turns._free, queue.turns._queues) == (1, {})


async def test_waiting_for_a_turn_times_out(monkeypatch):
    monkeypatch.setattr(turns, "WAIT_S", 0.02)
    queue = TurnQueue()
    first = queue.request("a")
    await settled()
    with pytest.raises(BusyError):
        await queue.request("b")
    queue.done.set()
    await first
    assert (queue.turns._free, queue.turns._queues) == (1, {})
