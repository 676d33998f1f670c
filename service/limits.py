"""Rate limits: how often an account, a username or an address may ask.

1. ``login`` counts the tries on a username, whether an account has it or not, and
   ``login-address`` the calls of an address that take a password. A try that the second refuses
   does not count for the first: nobody is locked out by an address that is.
2. ``api`` counts all other calls, by account, or by address where nobody is signed in.
3. A limit is never exceeded, whatever number of workers and nodes share it. To spare a round trip
   to Redis with every call, a process takes hits in stretches of at most ``_STRETCH``, and of a
   sixteenth of what is left. What one does not use up is lost to the others in that window.

Answers say where the caller stands, as draft-ietf-httpapi-ratelimit-headers has it.
"""

import asyncio
import hashlib
import time
from math import ceil

from limits import RateLimitItemPerSecond

from commands.errors import ThrottledError
from commands.text import fold
from service.client import address_of, counted_as
from service.counters import Counters
from service.rates import Rate, parse_login_rate, parse_rate
from service.requests import CinelogRequest
from service.settings import Settings

MAX_KEYS = 10_000
_STRETCH = 64


class _Stretch:
    """Hits that this process has taken and may use until ``ends`` (of the monotonic clock)."""

    __slots__ = ("ends", "left", "remaining")

    def __init__(self, left: int, remaining: int, ends: float) -> None:
        self.left = left
        self.remaining = remaining
        self.ends = ends


class Limit:
    """One limit, for one event loop."""

    def __init__(self, name: str, rate: Rate, counters: Counters, *, stretch: int = 1) -> None:
        self.name = name
        self.policy = f'"{name}";q={rate.amount};w={rate.window_s}'
        self._amount = rate.amount
        self._item = RateLimitItemPerSecond(rate.amount, rate.window_s, namespace=name)
        self._counters = counters
        self._longest = stretch
        self._stretches: dict[str, _Stretch] = {}
        self._asking: dict[str, asyncio.Future[None]] = {}

    def take(self, key: str) -> str | None:
        """Take one of the hits at hand; return where ``key`` stands then, None to ``ask`` first.

        Raises ThrottledError.
        """
        stretch = self._stretches.get(key)
        if stretch is None:
            return None
        left_s = stretch.ends - time.monotonic()
        if left_s <= 0:
            return None
        if stretch.left:
            stretch.left -= 1
            return f'"{self.name}";r={stretch.left + stretch.remaining};t={ceil(left_s)}'
        if stretch.remaining:
            return None
        raise ThrottledError(self.name, ceil(left_s))

    async def ask(self, key: str) -> str:
        """Take one hit, and more for later; raises ThrottledError."""
        while (stands := self.take(key)) is None:
            if asking := self._asking.get(key):
                await asyncio.wait([asking])
                continue
            self._asking[key] = asking = asyncio.get_running_loop().create_future()
            try:
                await self._stretch(key)
            finally:
                del self._asking[key]
                asking.set_result(None)
        return stands

    def stands(self, error: ThrottledError) -> str:
        """Return where a caller stands that was refused."""
        return f'"{self.name}";r=0;t={error.retry_after_s}'

    async def _stretch(self, key: str) -> None:
        known = self._stretches.pop(key, None)
        fresh = known is None or known.ends <= time.monotonic()
        remaining = self._amount if known is None or fresh else known.remaining
        cost = max(1, min(self._longest, remaining // 16))
        hit = await self._counters.hit(self._item, key, cost)
        # What is refused stays so until the window ends, and costs Redis nothing more.
        taken, left = (cost, hit.remaining) if hit.allowed else (0, 0)
        self._stretches[key] = _Stretch(taken, left, time.monotonic() + hit.ends_in_s)
        if len(self._stretches) > MAX_KEYS:
            del self._stretches[next(iter(self._stretches))]


class Limits:
    """The limits that the settings ask for."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        by_username, by_address = parse_login_rate(settings.login_rate)
        of_all = parse_rate(settings.api_rate)
        self._proxies = settings.proxies
        self._login = by_username and Limit("login", by_username, counters)
        self._address = by_address and Limit("login-address", by_address, counters)
        self.api = of_all and Limit("api", of_all, counters, stretch=_STRETCH)

    async def sign_in(self, request: CinelogRequest, username: str) -> None:
        """Count a try on ``username``. Raises ThrottledError."""
        await self.register(request)
        if self._login:
            # Not the name itself: it may be long, and is nobody's business in Redis.
            digest = hashlib.blake2b(fold(username).encode(), digest_size=16).hexdigest()
            await _count(request, self._login, digest)

    async def register(self, request: CinelogRequest) -> None:
        """Count a call that takes a password. Raises ThrottledError."""
        if self._address:
            await _count(request, self._address, self.address(request))

    def address(self, request: CinelogRequest) -> str:
        """Return what stands for a caller who is not signed in."""
        return counted_as(address_of(request, self._proxies))


async def _count(request: CinelogRequest, limit: Limit, key: str) -> None:
    try:
        stands = limit.take(key) or await limit.ask(key)
    except ThrottledError as error:
        request.tell_limit(limit.policy, limit.stands(error))
        raise
    request.tell_limit(limit.policy, stands)
