"""How far the read model is, known in every process without asking.

One subscription a process follows the live generation. Who waits for a position is woken by it;
nobody polls.
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
# Silence this long makes the feed look for itself: a broken line can look like a quiet one.
_SILENCE_S = 1.0
# Short even at its longest: what was away for long is back as soon as any.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5
_LOG_S = 30.0
log = structlog.get_logger(__name__)


class ReadPosition:
    """Follows the position that the live generation shows, for one event loop."""

    def __init__(
        self,
        redis: Any,
        *,
        limit: int = MAX_WAITING,
        log: Callable[[], str] = lambda: "",
        breaker: Breaker | None = None,
    ) -> None:
        """``log`` tells the identity of the log that a generation must show, "" for any.

        While the ``breaker`` is open, nobody waits.
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
        """Begin to follow; returns when connected or after the first try."""
        first_try = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._follow(first_try))
        await first_try.wait()

    def forget(self) -> None:
        """Count nothing as shown until the head was read again: the log is another one."""
        self.current = (0, 0)

    async def stop(self) -> None:
        """End; whoever waits gets False."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._wake(everyone=True)

    async def wait_for(self, position: int, timeout_s: float) -> bool:
        """Return whether the live generation shows ``position``, at the latest after ``timeout_s``.

        False at once while there is no connection, or when too many wait already.
        """
        away = self._breaker is not None and self._breaker.is_open
        if not self.connected or away or self._alive >= self._limit:
            return self.connected and self.current[1] >= position
        if self.current[1] >= position:
            return True
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

    def _wake(self, *, everyone: bool = False) -> None:
        while self._waiting and (everyone or self._waiting[0][0] <= self.current[1]):
            _, _, shown = heapq.heappop(self._waiting)
            _answer(shown, not everyone)

    def _sweep(self) -> None:
        """Drop those that no longer wait, once they are most of the heap."""
        if len(self._waiting) > 2 * self._alive + 64:
            self._waiting = [one for one in self._waiting if not one[2].done()]
            heapq.heapify(self._waiting)

    async def _follow(self, first_try: asyncio.Event) -> None:
        pause_s, log_at = 0.0, 0.0
        while True:
            try:
                await self._redis.initialize()  # a cluster's subscription must know the nodes
                async with contextlib.aclosing(self._redis.pubsub()) as pubsub:
                    await pubsub.subscribe(POSITION)
                    while True:
                        await self._hear(pubsub)
                        pause_s, log_at = 0.0, 0.0
                        first_try.set()
            except Exception as error:  # noqa: BLE001 - whatever it was, the loop must live on
                self.connected = False
                first_try.set()
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2 or _FIRST_PAUSE_S)
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

    async def _hear(self, pubsub: Any) -> None:
        """Take one message. After a (re)connection and after silence the head is read instead."""
        message = await pubsub.get_message(timeout=_SILENCE_S)
        if message is not None and message["type"] == "message":
            generation, position = map(int, message["data"].split(b":"))
            # Who lets a generation go live may tell its position after others told of a later one.
            least = self.current[1] if self.current[0] == generation else 0
            self._set(generation, max(least, position))
        elif message is None or message["type"] == "subscribe":
            # Also where the client connected again by itself: what was published between is lost.
            await self._read_head()
            self.connected = True

    async def _read_head(self) -> None:
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
