"""The counters behind rate limits: in Redis, or in this process while Redis is unreachable.

The storages of the ``limits`` library do not fit: the one for Redis opens a second pool of
connections and asks three times for each hit, the one in memory grows with every key.
"""

import asyncio
import time
from typing import NamedTuple

import structlog
from redis.exceptions import RedisError

from commands.errors import UnavailableError
from projections.lua import load_script
from queries.pipelining import RequestBatcher

MAX_LOCAL_KEYS = 10_000
_TIMEOUT_S = 0.5
_RETRY_S = 1.0
log = structlog.get_logger(__name__)

_COUNT_HITS = load_script("service.ratelimit.lua.count_hits")


class Window(NamedTuple):
    """The hits in a fixed window so far, and the time until it ends."""

    hits: int
    ends_in_s: float


class Counters:
    """Counts hits in fixed windows. If a connection breaks halfway, a hit may count twice."""

    def __init__(self, batcher: RequestBatcher) -> None:
        self._batcher = batcher
        self._local: dict[str, tuple[int, float]] = {}
        self._retry_at = 0.0

    async def hit(self, key: str, window_s: int, cost: int = 1) -> Window:
        """Count ``cost`` hits of ``key``. Never fails and never takes longer than half a second."""
        now = time.monotonic()
        if now >= self._retry_at:
            if self._retry_at:
                self._retry_at = now + _RETRY_S  # one call tries, the others count here
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    count, left_ms = await self._batcher.script(
                        _COUNT_HITS, [f"limits:{key}"], [cost, window_s * 1000]
                    )
            except (UnavailableError, RedisError, TimeoutError) as error:
                if not self._retry_at:
                    log.warning("limits are counted by each process", error=type(error).__name__)
                self._retry_at = time.monotonic() + _RETRY_S
            else:
                self._retry_at = 0.0
                return Window(int(count), max(0, int(left_ms)) / 1000)
        return self._hit_locally(key, window_s, cost)

    def _hit_locally(self, key: str, window_s: int, cost: int) -> Window:
        now = time.monotonic()
        count, ends_at = self._local.get(key, (0, now))
        if ends_at <= now:
            self._local.pop(key, None)  # so that the oldest window comes first
            count, ends_at = 0, now + window_s
        self._local[key] = (count + cost, ends_at)
        if len(self._local) > MAX_LOCAL_KEYS:
            del self._local[next(iter(self._local))]
        return Window(count + cost, ends_at - now)
