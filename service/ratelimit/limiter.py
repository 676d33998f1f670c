"""Rate limits: how often an account, a username or an address may ask.

1. ``login`` counts the tries on a username, whether an account has it or not, and
   ``login-address`` the calls of an address that take a password. A try that the second refuses
   does not count for the first: nobody is locked out by an address that is.
2. ``api`` counts all other calls, by account, or by address where nobody is signed in.
3. A limit is never exceeded, whatever number of workers and nodes share it. To spare a round trip
   to Redis with every call, a process takes hits in stretches: as many as it is about to use in
   ``RECENT_S``, judged by the last one, and no more than a sixteenth of what is left. What one does
   not use up is lost to the others in that window.

Answers say where the caller stands, as draft-ietf-httpapi-ratelimit-headers has it.
"""

import asyncio
import hashlib
import time
from collections.abc import Coroutine
from math import ceil
from uuid import UUID

from limits import RateLimitItemPerSecond

from commands.errors import ThrottledError
from commands.text import fold_name
from service.ratelimit.storage import Counters, Hit
from service.rates import Rate, parse_login_rate, parse_rate
from service.settings import Settings
from service.web.client_address import address_of, counted_as
from service.web.request import CinelogRequest

MAX_KEYS = 10_000
RECENT_S = 0.5
_STRETCH = 4_096
Key = UUID | str


class _PrefetchedQuota:
    """Hits that this process has taken and may use until ``ends``; times are monotonic."""

    __slots__ = ("cost", "ends", "left", "refused", "remaining", "taken_at")

    def __init__(self, cost: int, hit: Hit) -> None:
        self.cost = cost
        self.taken_at = time.monotonic()
        self.ends = self.taken_at + hit.ends_in_s
        self.refused = not hit.allowed
        self.left = cost if hit.allowed else 0
        self.remaining = hit.remaining


class Limit:
    """One limit, for one event loop."""

    def __init__(self, name: str, rate: Rate, counters: Counters, *, stretch: int = 1) -> None:
        self._name = name
        self._policy = f'"{name}";q={rate.amount};w={rate.window_s}'
        self._stands = f'"{name}";r=%d;t=%d'
        self._amount = rate.amount
        self._item = RateLimitItemPerSecond(rate.amount, rate.window_s, namespace=name)
        self._counters = counters
        self._longest = stretch
        self._stretches: dict[Key, _PrefetchedQuota] = {}
        self._asking: dict[Key, asyncio.Future[None]] = {}

    def count(self, request: CinelogRequest, key: Key) -> Coroutine[None, None, None] | None:
        """Count ``request`` for ``key``, and have its answer tell where that stands.

        Raises ThrottledError. Returns None where the hits at hand sufficed, else what must be
        awaited, and raises the same.
        """
        return None if self._take(request, key) else self._ask(request, key)

    async def _ask(self, request: CinelogRequest, key: Key) -> None:
        while not self._take(request, key):
            if asking := self._asking.get(key):
                await asyncio.wait([asking])
            else:
                await self._stretch(key)

    def _take(self, request: CinelogRequest, key: Key) -> bool:
        """Take one of the hits at hand; False where more must be got first."""
        stretch = self._stretches.get(key)
        if stretch is None:
            return False
        left_s = stretch.ends - time.monotonic()
        if left_s <= 0 or not (stretch.left or stretch.refused):
            return False
        stretch.left -= 1
        left = 0 if stretch.refused else stretch.left + stretch.remaining
        stands = self._stands % (left, ceil(left_s))
        if request.policies:
            request.policies = f"{request.policies}, {self._policy}"
            request.stands = f"{request.stands}, {stands}"
        else:
            request.policies, request.stands = self._policy, stands
        if stretch.refused:
            raise ThrottledError(self._name, ceil(left_s))
        return True

    async def _stretch(self, key: Key) -> None:
        """Get more hits, or a refusal, which then costs Redis nothing until the window ends."""
        self._asking[key] = asking = asyncio.get_running_loop().create_future()
        try:
            cost = self._next_cost(self._stretches.pop(key, None))
            hit = await self._counters.hit(self._item, str(key), cost)
            self._stretches[key] = _PrefetchedQuota(cost, hit)
            if len(self._stretches) > MAX_KEYS:
                del self._stretches[next(iter(self._stretches))]
        finally:
            del self._asking[key]
            asking.set_result(None)

    def _next_cost(self, last: _PrefetchedQuota | None) -> int:
        if last is None:
            return 1
        now = time.monotonic()
        brisk = now - last.taken_at < RECENT_S
        remaining = last.remaining if last.ends > now else self._amount
        cost = last.cost * 2 if brisk else last.cost // 2
        return max(1, min(cost, self._longest, remaining // 16))


class Limits:
    """The limits that the settings ask for."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        by_username, by_address = parse_login_rate(settings.login_rate)
        of_all = parse_rate(settings.api_rate)
        self._proxies = settings.proxies
        self._login = by_username and Limit("login", by_username, counters)
        self._address = by_address and Limit("login-address", by_address, counters)
        self._api = of_all and Limit("api", of_all, counters, stretch=_STRETCH)

    async def count_sign_in(self, request: CinelogRequest, username: str) -> None:
        """Count a try on ``username``. Raises ThrottledError."""
        await self.count_password_call(request)
        if self._login:
            # Not the name itself: it may be long, and is nobody's business in Redis.
            name = fold_name(username).encode(errors="surrogatepass")
            digest = hashlib.blake2b(name, digest_size=16).hexdigest()
            if waits := self._login.count(request, digest):
                await waits

    async def count_password_call(self, request: CinelogRequest) -> None:
        """Count a call that takes a password. Raises ThrottledError."""
        if self._address and (waits := self._address.count(request, self._address_of(request))):
            await waits

    def count_call(self, request: CinelogRequest) -> Coroutine[None, None, None] | None:
        """Count any other call. Raises ThrottledError, now or in what is to be awaited."""
        if self._api is None:
            return None
        principal = request.caller
        return self._api.count(
            request, principal.account_id if principal else self._address_of(request)
        )

    def _address_of(self, request: CinelogRequest) -> str:
        return counted_as(address_of(request, self._proxies))
