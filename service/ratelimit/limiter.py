"""Rate limits: how often an account, a username or an address may call.

1. ``login`` counts the attempts on a username, registered or not, and ``login-address`` the calls
   of an address that take a password. An attempt that the second refuses does not count for the
   first: a throttled address cannot lock out an account.
2. ``api`` counts all other calls, by account, or by address without valid credentials.
3. A limit is never exceeded, whatever number of workers and nodes share it. To spare a round trip
   to Redis for each call, a process prefetches quota: as many hits as it is about to use in
   ``RECENT_S``, judged by the last quota, and at most a sixteenth of the remaining hits. Quota that
   it does not use is lost to the others in that window.

Answers carry the headers of draft-ietf-httpapi-ratelimit-headers.
"""

import asyncio
import hashlib
import time
from math import ceil
from typing import TYPE_CHECKING
from uuid import UUID

from commands.errors import ThrottledError
from commands.text import fold_name
from service.ratelimit.storage import Counters
from service.settings import Settings, parse_login_rate, parse_rate
from service.web.request import CinelogRequest
from service.web.transport.client_address import address_of, counted_as

if TYPE_CHECKING:
    from limits import RateLimitItem

MAX_KEYS = 10_000
MAX_PREFETCH = 4_096
RECENT_S = 0.5
Key = UUID | str


class _Quota:
    """Hits that this process may use until ``ends_at``, or a refusal; times are monotonic."""

    __slots__ = ("cost", "ends_at", "fetched_at", "left", "refused", "remaining")

    def __init__(self, cost: int, remaining: int, ends_in_s: float) -> None:
        self.cost = cost
        self.fetched_at = time.monotonic()
        self.ends_at = self.fetched_at + ends_in_s
        self.refused = remaining < 0
        self.left = 0 if self.refused else cost
        self.remaining = max(0, remaining)


class RateLimit:
    """One limit, for one event loop."""

    def __init__(
        self, name: str, rate: "RateLimitItem", counters: Counters, *, max_prefetch: int = 1
    ) -> None:
        self._name = name
        self._amount, self._window_s = rate.amount, rate.get_expiry()
        self._policy = f'"{name}";q={self._amount};w={self._window_s}'
        self._counters = counters
        self._max_prefetch = max_prefetch
        self._quotas: dict[Key, _Quota] = {}
        self._fetching: dict[Key, asyncio.Future[None]] = {}

    async def count(self, request: CinelogRequest, key: Key) -> None:
        """Count ``request`` for ``key`` and note its RateLimit headers. Raises ThrottledError."""
        while True:
            quota, now = self._quotas.get(key), time.monotonic()
            if quota and quota.ends_at > now and (quota.left or quota.refused):
                break
            if fetching := self._fetching.get(key):
                await asyncio.wait([fetching])
            else:
                await self._fetch(key)
        left_s = ceil(quota.ends_at - now)
        if not quota.refused:
            quota.left -= 1
        standing = f'"{self._name}";r={quota.left + quota.remaining};t={left_s}'
        if request.rate_limit_policy:
            request.rate_limit_policy = f"{request.rate_limit_policy}, {self._policy}"
            request.rate_limit = f"{request.rate_limit}, {standing}"
        else:
            request.rate_limit_policy, request.rate_limit = self._policy, standing
        if quota.refused:
            raise ThrottledError(self._name, left_s)

    async def _fetch(self, key: Key) -> None:
        """Fetch quota, or a refusal, which is remembered until the window ends."""
        self._fetching[key] = fetching = asyncio.get_running_loop().create_future()
        try:
            cost = self._next_cost(self._quotas.pop(key, None))
            counter = f"{self._name}/{key}/{self._amount}/{self._window_s}/second"
            window = await self._counters.hit(counter, self._window_s, cost)
            self._quotas[key] = _Quota(cost, self._amount - window.hits, window.ends_in_s)
            if len(self._quotas) > MAX_KEYS:
                del self._quotas[next(iter(self._quotas))]
        finally:
            del self._fetching[key]
            fetching.set_result(None)

    def _next_cost(self, last: _Quota | None) -> int:
        if last is None:
            return 1
        now = time.monotonic()
        remaining = last.remaining if last.ends_at > now else self._amount
        cost = last.cost * 2 if now - last.fetched_at < RECENT_S else last.cost // 2
        return max(1, min(cost, self._max_prefetch, remaining // 16))


class RateLimiter:
    """The limits that the settings define."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        by_username, by_address = parse_login_rate(settings.login_rate)
        api = parse_rate(settings.api_rate)
        self._proxies = settings.proxies
        self._login = by_username and RateLimit("login", by_username, counters)
        self._address = by_address and RateLimit("login-address", by_address, counters)
        self._api = api and RateLimit("api", api, counters, max_prefetch=MAX_PREFETCH)

    async def count_sign_in(self, request: CinelogRequest, username: str) -> None:
        """Count an attempt on ``username``. Raises ThrottledError."""
        await self.count_password_call(request)
        if self._login:
            # A digest: the name may be long, and Redis need not know it.
            name = fold_name(username).encode(errors="surrogatepass")
            await self._login.count(request, hashlib.blake2b(name, digest_size=16).hexdigest())

    async def count_password_call(self, request: CinelogRequest) -> None:
        """Count a call that takes a password. Raises ThrottledError."""
        if self._address:
            await self._address.count(request, self._address_of(request))

    async def count_call(self, request: CinelogRequest) -> None:
        """Count any other call. Raises ThrottledError."""
        if self._api:
            caller = request.caller
            key = caller.account_id if caller else self._address_of(request)
            await self._api.count(request, key)

    def _address_of(self, request: CinelogRequest) -> str:
        return counted_as(address_of(request, self._proxies))
