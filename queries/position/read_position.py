"""Read position: the position of the live generation, tracked by each process.

One subscription per process follows it and wakes the requests that wait for a position.
"""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Callable
from typing import Any

import structlog

from commands.database.breaker import Breaker
from projections.generation.state import LIVE as STATE_LIVE
from projections.keys import LIVE, POSITION, Keys

MAX_WAITING = 10_000
# After this silence the position is read: a broken connection can look like a quiet one.
_SILENCE_S = 1.0
# Even the longest pause is short: after a long outage, recovery is noticed as fast.
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.05, 0.5
_LOG_S = 30.0
log = structlog.get_logger(__name__)


class ReadPosition:
    """Tracks the position of the live generation, for one event loop."""

    def __init__(
        self,
        redis: Any,
        *,
        limit: int = MAX_WAITING,
        log: Callable[[], str] = lambda: "",
        breaker: Breaker | None = None,
    ) -> None:
        """``log`` returns the identity of the log that a generation must show, "" for any.

        While the ``breaker`` is open, no request waits.
        """
        self._redis = redis
        self._breaker = breaker
        self._log = log
        self._limit = limit
        self._task: asyncio.Task[None] | None = None
        self._waiting: list[tuple[int, int, asyncio.Future[bool]]] = []
        self._alive = 0
        self._numbers = itertools.count()
        self.current = (0, 0)
        """Generation and position; zeros while none is live."""
        self.connected = False

    async def start(self) -> None:
        """Begin to follow; return when connected or after the first attempt."""
        first_attempt = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._follow(first_attempt))
        await first_attempt.wait()

    def forget(self) -> None:
        """Count no position as shown until it is read again: the log is another one."""
        self.current = (0, 0)

    async def stop(self) -> None:
        """Stop; waiting requests get False."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._wake(all_waiting=True)

    async def wait_for(self, position: int, timeout_s: float) -> bool:
        """Return whether the live generation shows ``position`` within ``timeout_s``.

        Does not wait without a connection, nor where too many requests wait already.
        """
        if self.connected and self.current[1] >= position:
            return True
        is_open = self._breaker is not None and self._breaker.is_open
        if not self.connected or is_open or self._alive >= self._limit:
            return False
        loop = asyncio.get_running_loop()
        shown: asyncio.Future[bool] = loop.create_future()
        heapq.heappush(self._waiting, (position, next(self._numbers), shown))
        timer = loop.call_later(timeout_s, _answer, shown, False)
        self._alive += 1
        try:
            return await shown
        finally:
            self._alive -= 1
            timer.cancel()
            self._sweep()

    def _wake(self, *, all_waiting: bool = False) -> None:
        while self._waiting and (all_waiting or self._waiting[0][0] <= self.current[1]):
            _, _, shown = heapq.heappop(self._waiting)
            _answer(shown, not all_waiting)

    def _sweep(self) -> None:
        """Remove finished waits once they are most of the heap."""
        if len(self._waiting) > 2 * self._alive + 64:
            self._waiting = [one for one in self._waiting if not one[2].done()]
            heapq.heapify(self._waiting)

    async def _follow(self, first_attempt: asyncio.Event) -> None:
        pause_s, log_at = 0.0, 0.0
        while True:
            try:
                await self._redis.initialize()  # a cluster's subscription needs the nodes
                async with contextlib.aclosing(self._redis.pubsub()) as pubsub:
                    await pubsub.subscribe(POSITION)
                    while True:
                        await self._receive(pubsub)
                        pause_s, log_at = 0.0, 0.0
                        first_attempt.set()
            except Exception as error:  # noqa: BLE001 - the loop must live on
                self.connected = False
                first_attempt.set()
                pause_s = min(_MAX_PAUSE_S, pause_s * 2 or _FIRST_PAUSE_S)
                if (now := asyncio.get_running_loop().time()) >= log_at:
                    log_at = now + _LOG_S
                    log.warning(
                        "position feed waits",
                        pause_s=pause_s,
                        error=f"{type(error).__name__}: {error}",
                    )
                await asyncio.sleep(pause_s)
            finally:
                self.connected = False

    async def _receive(self, pubsub: Any) -> None:
        """Process one message; after (re)connecting and after silence read the position instead."""
        message = await pubsub.get_message(timeout=_SILENCE_S)
        if message is not None and message["type"] == "message":
            generation, position = map(int, message["data"].split(b":"))
            # The message of a generation that goes live may come after one with a later position.
            least = self.current[1] if self.current[0] == generation else 0
            self._set(generation, max(least, position))
        elif message is None or message["type"] == "subscribe":
            # Also after a reconnection by the client: messages in between are lost.
            await self._read_current()
            self.connected = True

    async def _read_current(self) -> None:
        generation = await self._redis.get(LIVE)
        position, state, shown = None, None, None
        if generation is not None:
            position, state, shown = await self._redis.hmget(
                Keys(int(generation)).state, "position", "state", "log"
            )
        log = self._log()
        ours = not shown or not log or shown == log.encode()
        if position is not None and state == STATE_LIVE.encode() and ours:
            self._set(int(generation), int(position))
        else:
            self._set(0, 0)

    def _set(self, generation: int, position: int) -> None:
        self.current = (generation, position)
        self._wake()


def _answer(shown: "asyncio.Future[bool]", answer: bool) -> None:  # noqa: FBT001 - a callback
    if not shown.done():
        shown.set_result(answer)
