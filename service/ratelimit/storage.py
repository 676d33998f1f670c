"""What rate limits count with: Redis for all workers and nodes, this process while that is away.

Both are storages of the ``limits`` library. Its own one for Redis would open a second pool of
connections beside ours, and its own one in memory grows with every key it has ever seen.
"""

import asyncio
import time
from typing import NamedTuple

import structlog
from limits import RateLimitItem
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

from commands.errors import UnavailableError
from projections.lua import Script
from queries.pipelining import RequestBatcher

MAX_KEYS = 10_000
_PREFIX = "limits:"
_PATIENCE_S = 0.5
_AWAY_S = 1.0
log = structlog.get_logger(__name__)

# A window begins with its first hit and ends by itself.
_INCREASE = Script("""
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if count == tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return count
""")


class SharedCounters(Storage):
    """Counters in Redis. Where a connection breaks in the middle, a hit may count twice."""

    STORAGE_SCHEME = None

    def __init__(self, trips: RequestBatcher) -> None:
        super().__init__()
        self._trips = trips

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """What is raised where Redis is away or refuses."""
        return (UnavailableError, RedisError)

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count ``amount`` more and return the sum; a new window lasts ``expiry`` seconds."""
        return int(await self._trips.script(_INCREASE, [_PREFIX + key], [amount, expiry * 1000]))

    async def get(self, key: str) -> int:
        """Return the sum."""
        return int(await self._trips.call("GET", _PREFIX + key) or 0)

    async def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds since 1970."""
        left_ms = int(await self._trips.call("PTTL", _PREFIX + key))
        return time.time() + max(0, left_ms) / 1000

    async def check(self) -> bool:
        """Tell whether Redis answers."""
        return bool(await self._trips.call("PING"))

    async def reset(self) -> None:
        """Not for a Redis that others use, too."""
        raise NotImplementedError

    async def clear(self, key: str) -> None:
        """Begin again for ``key``."""
        await self._trips.call("DEL", _PREFIX + key)


class LocalCounters(Storage):
    """Counters of this process, at most ``MAX_KEYS``: then the window that began first is lost."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[str, tuple[int, float]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        """Nothing here fails."""
        return ValueError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count ``amount`` more and return the sum; a new window lasts ``expiry`` seconds."""
        count, ends = self._windows.get(key, (0, 0.0))
        if ends <= time.time():
            self._windows.pop(key, None)  # so that the order is that of their beginnings
            count, ends = 0, time.time() + expiry
        self._windows[key] = (count + amount, ends)
        if len(self._windows) > MAX_KEYS:
            del self._windows[next(iter(self._windows))]
        return count + amount

    async def get(self, key: str) -> int:
        """Return the sum."""
        count, ends = self._windows.get(key, (0, 0.0))
        return count if ends > time.time() else 0

    async def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds since 1970."""
        return self._windows.get(key, (0, time.time()))[1]

    async def check(self) -> bool:
        """Tell that it works."""
        return True

    async def reset(self) -> None:
        """Forget all."""
        self._windows.clear()

    async def clear(self, key: str) -> None:
        """Begin again for ``key``."""
        self._windows.pop(key, None)


class Hit(NamedTuple):
    """What became of a hit. ``ends_in_s`` is when the window ends."""

    allowed: bool
    remaining: int
    ends_in_s: float


class Counters:
    """Counts hits in Redis, and here for as long as it does not answer."""

    def __init__(self, trips: RequestBatcher) -> None:
        self._shared = FixedWindowRateLimiter(SharedCounters(trips))
        self._local = FixedWindowRateLimiter(LocalCounters())
        self._away_until = 0.0

    async def hit(self, item: RateLimitItem, key: str, cost: int = 1) -> Hit:
        """Count ``cost`` hits of ``key``; never fails and never takes longer than half a second."""
        now = time.monotonic()
        if now >= self._away_until:
            if self._away_until:
                self._away_until = now + _AWAY_S  # one tries, the others go on here
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    hit = await _hit(self._shared, item, key, cost)
            except (UnavailableError, RedisError, TimeoutError) as error:
                if not self._away_until:
                    log.warning("limits are counted by each process", error=type(error).__name__)
                self._away_until = time.monotonic() + _AWAY_S
            else:
                self._away_until = 0.0
                return hit
        return await _hit(self._local, item, key, cost)


async def _hit(limiter: FixedWindowRateLimiter, item: RateLimitItem, key: str, cost: int) -> Hit:
    allowed = await limiter.hit(item, key, cost=cost)
    ends, remaining = await limiter.get_window_stats(item, key)
    return Hit(allowed, remaining, max(0.0, ends - time.time()))
