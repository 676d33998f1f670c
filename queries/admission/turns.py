"""Turns: a bound on concurrent work, shared fairly between accounts."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager

from commands.errors import BusyError, ThrottledError

WAIT_S = 5.0


class Turns:
    """At most ``running`` turns at a time, for one event loop.

    Accounts get turns in rotation: an account with many requests delays another by a single turn.
    An account has at most ``waiting`` requests in line, all accounts at most four times as many,
    each for at most 5 s unless ``patient``.
    """

    def __init__(self, name: str, *, running: int, waiting: int, patient: bool = False) -> None:
        self._name = name
        self._free = running
        self._waiting = waiting
        self.in_line = 0
        self._timeout_s = None if patient else WAIT_S
        self._queues: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def of(self, account: Hashable) -> AsyncGenerator[None]:
        """Hold a turn. Raises ThrottledError where the account's line is full, BusyError."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(account)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, account: Hashable) -> None:
        queue = self._queues.get(account, deque())
        if len(queue) >= self._waiting:
            raise ThrottledError(self._name, 1)
        if self.in_line >= 4 * self._waiting:
            raise self._busy()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._queues[account] = queue
        self.in_line += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            elif turn in queue:
                queue.remove(turn)
                if not queue:
                    self._queues.pop(account, None)
            if isinstance(error, TimeoutError):
                raise self._busy() from None
            raise
        finally:
            self.in_line -= 1

    def _busy(self) -> BusyError:
        return BusyError(f"too many {self._name} at once")

    def _pass_on(self) -> None:
        """Give the turn to the next account in line, or free it."""
        while self._queues:
            account = next(iter(self._queues))
            queue = self._queues.pop(account)
            turn = queue.popleft()
            if queue:
                self._queues[account] = queue  # at the end of the rotation
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
