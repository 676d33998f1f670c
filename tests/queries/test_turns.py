"""Turns: no account waits for all that another one asks."""

import asyncio

import pytest

from commands.errors import BusyError, ThrottledError
from queries import turns
from queries.turns import Turns


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


class Line:
    """Turns, those who hold one now, and the order in which they got it."""

    def __init__(self, **options):
        self.turns = Turns("filters", **{"running": 1, "waiting": 100} | options)
        self.got, self.done = [], asyncio.Event()

    def ask(self, account):
        return asyncio.create_task(self._ask(account))

    async def _ask(self, account):
        async with self.turns.of(account):
            self.got.append(account)
            await self.done.wait()


async def test_accounts_take_turns():
    line = Line()
    asked = [line.ask(account) for account in "aaaaabbc"]
    await settled()
    line.done.set()
    await asyncio.gather(*asked)
    assert "".join(line.got) == "aabcabaa"


async def test_concurrent_turns_are_bounded():
    line = Line(running=3)
    asked = [line.ask("a") for _ in range(5)]
    await settled()
    assert len(line.got) == 3
    line.done.set()
    await asyncio.gather(*asked)
    assert line.turns._free == 3


async def test_a_full_line_refuses_only_its_account():
    line = Line(waiting=2)
    asked = [line.ask("a") for _ in range(3)]
    await settled()
    with pytest.raises(ThrottledError):
        await line.ask("a")
    asked.append(line.ask("b"))
    await settled()
    line.done.set()
    await asyncio.gather(*asked)


async def test_a_cancelled_request_takes_no_turn():
    """Whether it waits still or has just been given one."""
    line = Line()
    first, *others = [line.ask(account) for account in "abcd"]
    await settled()
    others[1].cancel()
    first.cancel()  # gives its turn to b, which goes at the same moment
    await asyncio.sleep(0)
    others[0].cancel()
    await settled()
    line.done.set()
    await asyncio.gather(*others, first, return_exceptions=True)
    assert line.got == ["a", "d"]
    assert (line.turns._free, line.turns._queues) == (1, {})


async def test_waiting_for_a_turn_times_out(monkeypatch):
    monkeypatch.setattr(turns, "WAIT_S", 0.02)
    line = Line()
    first = line.ask("a")
    await settled()
    with pytest.raises(BusyError):
        await line.ask("b")
    line.done.set()
    await first
    assert (line.turns._free, line.turns._queues) == (1, {})
